/** How network cards reach guest memory: RAM and nothing else. What is not there reads as all ones, and writes to it are lost. */
import type { AddressSpace } from '../../core/address-space.ts';

export class NicMemory {
  readonly #memory: AddressSpace;

  constructor(memory: AddressSpace) {
    this.#memory = memory;
  }

  /** Fills `into` from `length` bytes at `address`, beginning at `at`. */
  read(address: number, into: Uint8Array, at: number, length: number): void {
    const { ram } = this.#memory;
    for (let done = 0; done < length; ) {
      const range = this.#memory.find(address + done);
      const left = length - done;
      if (range === undefined || range.ramOffset < 0) {
        into.fill(0xff, at + done, at + length);
        return;
      }
      const count = Math.min(left, range.end - (address + done));
      const from = range.ramOffset + (address + done - range.start);
      into.set(ram.bytes.subarray(from, from + count), at + done);
      done += count;
    }
  }

  write(address: number, bytes: Uint8Array): void {
    const { ram } = this.#memory;
    for (let done = 0; done < bytes.length; ) {
      const range = this.#memory.find(address + done);
      if (range === undefined || range.ramOffset < 0 || range.readOnly) return;
      const count = Math.min(bytes.length - done, range.end - (address + done));
      const to = range.ramOffset + (address + done - range.start);
      ram.bytes.set(done === 0 && count === bytes.length ? bytes : bytes.subarray(done, done + count), to);
      ram.notifyWrite(to, count);
      done += count;
    }
  }
}
