/** One of the three DMA engines of an AC '97 controller: 32 descriptors in a ring, played or filled one after the other. */
import type { AddressSpace } from '../../core/address-space.ts';
import type { AudioVoice } from '../../core/audio.ts';
import { bool, defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';

const DESCRIPTORS = 32;
const DESCRIPTOR_BYTES = 8;
const SAMPLE_BYTES = 2;
const CHANNELS = 2;

// Status, 13.2.4
const HALTED = 1;
const LAST_REACHED = 2;
const LAST_INTERRUPT = 4;
const COMPLETION_INTERRUPT = 8;
const FIFO_ERROR = 16;
const STATUS_CLEARABLE = LAST_INTERRUPT | COMPLETION_INTERRUPT | FIFO_ERROR;

// Control, 13.2.7
const RUN = 1;
const RESET = 2;
const LAST_INTERRUPT_ENABLE = 4;
const FIFO_INTERRUPT_ENABLE = 8;
const COMPLETION_INTERRUPT_ENABLE = 16;
const CONTROL_WRITABLE = 0x1f;
/** What a reset of the engine keeps. */
const CONTROL_KEPT = 0x1c;

/** In the second word of a descriptor. */
const INTERRUPT_ON_COMPLETION = 0x8000_0000;

const schema = defineState('ac97-engine', 1, {
  base: u32(),
  current: u8(),
  last: u8(),
  status: u16(HALTED),
  samplesLeft: u16(),
  prefetched: u8(),
  control: u8(),
  address: u32(),
  interruptOnCompletion: bool(),
});

export interface EnginePorts {
  readonly memory: AddressSpace;
  /** The function may master the bus. */
  canMaster(): boolean;
  rateHz(): number;
  /** Factors of the two channels on the way out. */
  readonly gains: readonly [() => number, () => number];
  /** Makes the engine's stream. */
  connect(engine: Ac97Engine): AudioVoice;
  onInterrupt(): void;
}

export class Ac97Engine {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: EnginePorts;
  readonly #voice: AudioVoice;
  #bytes = new Uint8Array(0);

  constructor(ports: EnginePorts) {
    this.#ports = ports;
    this.#voice = ports.connect(this);
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#runVoice() });
  }

  reset(): void {
    schema.reset(this.#s);
    this.#runVoice();
  }

  /** The level of its interrupt. */
  get interrupts(): boolean {
    const { status, control } = this.#s;
    return (
      ((status & LAST_INTERRUPT) !== 0 && (control & LAST_INTERRUPT_ENABLE) !== 0) ||
      ((status & COMPLETION_INTERRUPT) !== 0 && (control & COMPLETION_INTERRUPT_ENABLE) !== 0) ||
      ((status & FIFO_ERROR) !== 0 && (control & FIFO_INTERRUPT_ENABLE) !== 0)
    );
  }

  /** One byte of the engine's 16. */
  read(offset: number): number {
    const s = this.#s;
    if (offset < 4) return (s.base >>> (8 * offset)) & 0xff;
    const { current, last, status, samplesLeft, prefetched, control } = s;
    return (
      [current, last, status, status >> 8, samplesLeft, samplesLeft >> 8, prefetched, control][offset - 4]! &
      0xff
    );
  }

  write(offset: number, value: number): void {
    const s = this.#s;
    if (offset < 4) {
      const shift = 8 * offset;
      s.base = (((s.base & ~(0xff << shift)) | (value << shift)) & ~7) >>> 0;
    } else if (offset === 5) this.#writeLast(value);
    else if (offset === 6) {
      s.status &= ~(value & STATUS_CLEARABLE);
      this.#ports.onInterrupt();
    } else if (offset === 11) this.#writeControl(value);
  }

  #writeLast(value: number): void {
    const s = this.#s;
    s.last = value % DESCRIPTORS;
    // A halted engine goes on with what was added (13.2.3).
    if ((s.control & RUN) === 0 || (s.status & HALTED) === 0) return;
    s.status &= ~(HALTED | LAST_REACHED);
    this.#nextDescriptor();
    this.#runVoice();
  }

  #writeControl(value: number): void {
    const s = this.#s;
    if ((value & RESET) !== 0) {
      const { control } = s;
      schema.reset(s);
      s.control = control & CONTROL_KEPT;
    } else {
      const starts = (value & RUN) !== 0 && (s.control & RUN) === 0;
      s.control = value & CONTROL_WRITABLE;
      if (starts && s.samplesLeft === 0) this.#nextDescriptor();
      if ((value & RUN) === 0) s.status |= HALTED;
      else s.status &= ~HALTED;
    }
    this.#runVoice();
    this.#ports.onInterrupt();
  }

  /** The stream runs while descriptors do; its rate is the codec's at the start. */
  #runVoice(): void {
    const runs = (this.#s.control & RUN) !== 0 && (this.#s.status & HALTED) === 0;
    if (runs && !this.#voice.isRunning)
      this.#voice.start({ rateHz: this.#ports.rateHz(), channels: CHANNELS });
    else if (!runs) this.#voice.stop();
  }

  #nextDescriptor(): void {
    const s = this.#s;
    s.current = s.prefetched;
    s.prefetched = (s.current + 1) % DESCRIPTORS;
    const view = new DataView(new ArrayBuffer(DESCRIPTOR_BYTES));
    if (this.#ports.canMaster())
      this.#ports.memory.readBytes(s.base + s.current * DESCRIPTOR_BYTES, new Uint8Array(view.buffer));
    const flags = view.getUint32(4, true);
    s.address = (view.getUint32(0, true) & ~1) >>> 0;
    s.samplesLeft = flags & 0xffff;
    s.interruptOnCompletion = (flags & INTERRUPT_ON_COMPLETION) !== 0;
  }

  #finishDescriptor(): void {
    const s = this.#s;
    s.status &= ~LAST_REACHED;
    if (s.interruptOnCompletion) s.status |= COMPLETION_INTERRUPT;
    if (s.current === s.last) {
      s.status |= HALTED | LAST_REACHED | LAST_INTERRUPT;
      this.#runVoice();
    } else this.#nextDescriptor();
    this.#ports.onInterrupt();
  }

  /**
   * Goes through the buffers for up to `samples` samples; `move` transfers between guest memory and the samples from `at` on. At
   * most one turn of the ring: descriptors may be empty.
   */
  #transfer(samples: number, move: (address: number, at: number, count: number) => void): number {
    const s = this.#s;
    let done = 0;
    for (let turns = 0; done < samples && turns <= DESCRIPTORS && (s.status & HALTED) === 0; ) {
      const count = Math.min(samples - done, s.samplesLeft);
      if (count > 0 && this.#ports.canMaster()) move(s.address, done, count);
      done += count;
      s.address = (s.address + count * SAMPLE_BYTES) >>> 0;
      s.samplesLeft -= count;
      if (s.samplesLeft === 0) {
        turns++;
        this.#finishDescriptor();
      }
    }
    return done;
  }

  /** What the stream wants to hear. */
  play(into: Int16Array, frames: number): number {
    const bytes = this.#room(frames);
    const done = this.#transfer(frames * CHANNELS, (address, at, count) =>
      this.#ports.memory.readBytes(address, bytes.subarray(at * SAMPLE_BYTES, (at + count) * SAMPLE_BYTES)),
    );
    const view = new DataView(bytes.buffer);
    const gains = this.#ports.gains.map((gain) => gain());
    for (let i = 0; i < done; i++)
      into[i] = clip(view.getInt16(i * SAMPLE_BYTES, true) * gains[i % CHANNELS]!);
    return Math.floor(done / CHANNELS);
  }

  /** What the stream has heard. */
  record(from: Int16Array, frames: number): void {
    const bytes = this.#room(frames);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < frames * CHANNELS; i++) view.setInt16(i * SAMPLE_BYTES, from[i]!, true);
    this.#transfer(frames * CHANNELS, (address, at, count) =>
      this.#ports.memory.writeBytes(address, bytes.subarray(at * SAMPLE_BYTES, (at + count) * SAMPLE_BYTES)),
    );
  }

  #room(frames: number): Uint8Array {
    const size = frames * CHANNELS * SAMPLE_BYTES;
    if (this.#bytes.length < size) this.#bytes = new Uint8Array(2 * size);
    return this.#bytes.fill(0, 0, size);
  }
}

function clip(sample: number): number {
  return Math.max(-32768, Math.min(32767, sample));
}
