/** Guest memory as a USB host controller reaches it: RAM only, so that a transfer never ends in another device's registers. */
import type { AddressSpace } from '../../core/address-space.ts';
import { DmaBuffer, type DmaSegment } from '../../core/dma.ts';

export class UsbDma {
  readonly #memory: AddressSpace;

  constructor(memory: AddressSpace) {
    this.#memory = memory;
  }

  /** What is not RAM reads as all ones. */
  u32(addr: number): number {
    const at = this.#memory.ramOffsetOf(addr, 4);
    return at < 0 ? 0xffffffff : this.#memory.ram.view.getUint32(at, true);
  }

  setU32(addr: number, value: number): void {
    const range = this.#memory.find(addr);
    if (range === undefined || range.ramOffset < 0 || range.readOnly || addr + 4 > range.end) return;
    const at = range.ramOffset + (addr - range.start);
    this.#memory.ram.view.setUint32(at, value >>> 0, true);
    this.#memory.ram.notifyWrite(at, 4);
  }

  /** 64-bit addresses lose what lies beyond 2^53. */
  u64(addr: number): number {
    return (this.u32(addr + 4) & 0x1fffff) * 2 ** 32 + this.u32(addr);
  }

  setU64(addr: number, value: number): void {
    this.setU32(addr, value);
    this.setU32(addr + 4, Math.floor(value / 2 ** 32));
  }

  read(segments: readonly DmaSegment[]): Uint8Array {
    const buffer = new DmaBuffer(this.#memory, segments, false);
    const bytes = new Uint8Array(buffer.sizeBytes);
    buffer.read(bytes);
    return bytes;
  }

  write(segments: readonly DmaSegment[], bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const buffer = new DmaBuffer(this.#memory, segments, true);
    buffer.fill(bytes);
    buffer.commit();
  }
}
