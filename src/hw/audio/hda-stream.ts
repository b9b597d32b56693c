/** One DMA engine of an HD audio controller: a cyclic buffer described by a list (HD Audio 1.0a, 3.3.35 to 3.3.43). */
import type { AddressSpace } from '../../core/address-space.ts';
import { defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import { hdaFormat } from './hda-codec.ts';

export const STREAM_BYTES = 0x20;

const RESET = 1;
const RUN = 2;
const INTERRUPT_ON_COMPLETION = 4;
const CONTROL_WRITABLE = 0xff001f;
const COMPLETED = 4;
const STATUS_CLEARABLE = 0x1c;
const FIFO_READY = 0x20;
const FIFO_BYTES = 0x100;
const ENTRY_BYTES = 16;
const MAX_LAST = 255;
const SAMPLE_BYTES = 2;
/** Physical addresses. */
const MAX_ADDRESS = 2 ** 52;

const schema = defineState('hda-stream', 1, {
  control: u32(),
  status: u8(),
  position: u32(),
  length: u32(),
  last: u16(),
  format: u16(),
  listLow: u32(),
  listHigh: u32(),
  /** Where it is in the list: entry, and bytes of it that are done. */
  entry: u16(),
  entryDone: u32(),
});

export interface StreamPorts {
  readonly memory: AddressSpace;
  canMaster(): boolean;
  /** It starts, stops or gets another number; `before`: the number it had. */
  onRun(before: number): void;
  onInterrupt(): void;
  /** Some of the buffer is done: the position is to be told. */
  onMoved(): void;
}

export class HdaStream {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: StreamPorts;
  #bytes = new Uint8Array(0);

  constructor(ports: StreamPorts) {
    this.#ports = ports;
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    const before = this.number;
    const wasRunning = this.isRunning;
    schema.reset(this.#s);
    if (wasRunning) this.#ports.onRun(before);
  }

  get number(): number {
    return (this.#s.control >> 20) & 15;
  }

  get isRunning(): boolean {
    return (this.#s.control & RUN) !== 0;
  }

  get format(): number {
    return this.#s.format;
  }

  get position(): number {
    return this.#s.position;
  }

  /** Its bit of the controller's interrupt status, and whether it interrupts. */
  get hasInterrupt(): boolean {
    return (this.#s.status & COMPLETED) !== 0;
  }

  get interrupts(): boolean {
    return this.hasInterrupt && (this.#s.control & INTERRUPT_ON_COMPLETION) !== 0;
  }

  /** A 32-bit word of its registers. */
  read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case 0x00:
        return (s.control | ((s.status | (this.isRunning ? FIFO_READY : 0)) << 24)) >>> 0;
      case 0x04:
        return s.position;
      case 0x08:
        return s.length;
      case 0x0c:
        return s.last;
      case 0x10:
        return (FIFO_BYTES | (s.format << 16)) >>> 0;
      case 0x18:
        return s.listLow;
      case 0x1c:
        return s.listHigh;
      default:
        return 0;
    }
  }

  /** `mask`: the bits that are written. */
  write(offset: number, value: number, mask: number): void {
    const s = this.#s;
    const merged = (old: number): number => ((old & ~mask) | (value & mask)) >>> 0;
    switch (offset) {
      case 0x00:
        s.status &= ~(((value & mask) >>> 24) & STATUS_CLEARABLE);
        this.#writeControl(merged(s.control) & CONTROL_WRITABLE);
        break;
      case 0x08:
        s.length = merged(s.length);
        break;
      case 0x0c:
        s.last = merged(s.last) & MAX_LAST;
        break;
      case 0x10:
        s.format = merged(s.format << 16) >>> 16;
        break;
      case 0x18:
        s.listLow = (merged(s.listLow) & ~0x7f) >>> 0;
        break;
      case 0x1c:
        s.listHigh = merged(s.listHigh);
    }
  }

  #writeControl(value: number): void {
    const s = this.#s;
    const before = this.number;
    const wasRunning = this.isRunning;
    if ((value & RESET) !== 0) schema.reset(s);
    s.control = (value & RESET) !== 0 ? RESET : value;
    if (this.isRunning !== wasRunning || (this.isRunning && this.number !== before))
      this.#ports.onRun(before);
    this.#ports.onInterrupt();
  }

  /** Goes through the list for up to `bytes` bytes; at most one turn of it: entries may be empty. */
  #transfer(bytes: number, move: (address: number, at: number, count: number) => void): number {
    const s = this.#s;
    let done = 0;
    for (let turns = 0; done < bytes && turns <= s.last + 1 && s.length > 0 && this.#ports.canMaster(); ) {
      const { address, size, interrupts } = this.#entry();
      const left = Math.max(0, size - s.entryDone);
      const count = Math.min(bytes - done, left, Math.max(0, s.length - s.position));
      if (count > 0 && address + s.entryDone + count < MAX_ADDRESS) move(address + s.entryDone, done, count);
      done += count;
      s.entryDone += count;
      s.position += count;
      if (count < left && s.position < s.length) break;
      turns++;
      this.#finishEntry(interrupts);
    }
    if (done > 0) this.#ports.onMoved();
    return done;
  }

  #entry(): { address: number; size: number; interrupts: boolean } {
    const s = this.#s;
    const view = new DataView(new ArrayBuffer(ENTRY_BYTES));
    const at = s.listHigh * 2 ** 32 + s.listLow + s.entry * ENTRY_BYTES;
    if (at + ENTRY_BYTES < MAX_ADDRESS) this.#ports.memory.readBytes(at, new Uint8Array(view.buffer));
    return {
      address: view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true),
      size: view.getUint32(8, true),
      interrupts: (view.getUint32(12, true) & 1) !== 0,
    };
  }

  #finishEntry(interrupts: boolean): void {
    const s = this.#s;
    const wraps = s.position >= s.length || s.entry >= s.last;
    if (wraps) s.position = 0;
    s.entry = wraps ? 0 : s.entry + 1;
    s.entryDone = 0;
    if (!interrupts) return;
    s.status |= COMPLETED;
    this.#ports.onInterrupt();
  }

  /** What the stream wants to hear, in its own format. */
  play(into: Int16Array, frames: number): number {
    const bytes = this.#room(frames);
    const done = this.#transfer(bytes.length, (address, at, count) =>
      this.#ports.memory.readBytes(address, bytes.subarray(at, at + count)),
    );
    const view = new DataView(bytes.buffer);
    const samples = Math.floor(done / SAMPLE_BYTES);
    for (let i = 0; i < samples; i++) into[i] = view.getInt16(i * SAMPLE_BYTES, true);
    return Math.floor(samples / this.#channels());
  }

  /** What the stream has heard. */
  record(from: Int16Array, frames: number): void {
    const bytes = this.#room(frames);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < bytes.length / SAMPLE_BYTES; i++) view.setInt16(i * SAMPLE_BYTES, from[i]!, true);
    this.#transfer(bytes.length, (address, at, count) =>
      this.#ports.memory.writeBytes(address, bytes.subarray(at, at + count)),
    );
  }

  #channels(): number {
    return hdaFormat(this.#s.format)?.channels ?? 1;
  }

  #room(frames: number): Uint8Array {
    const size = frames * this.#channels() * SAMPLE_BYTES;
    if (this.#bytes.length < size) this.#bytes = new Uint8Array(2 * size);
    return this.#bytes.subarray(0, size).fill(0);
  }
}
