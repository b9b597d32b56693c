/**
 * The byte streams of one character device between the machine thread (the device) and the main thread (the host's back
 * end): two rings and two flags in one SharedArrayBuffer. Nothing is lost: a full ring makes its producer wait.
 */
import { SharedRing } from '../util/ring.ts';

const CAPACITY = 65536;
const FLAGS_BYTES = 16;
const OUTPUT_BLOCKED = 0;
const INPUT_BLOCKED = 1;
const RING_BYTES = SharedRing.byteLength(CAPACITY);

export class CharChannel {
  readonly buffer: SharedArrayBuffer;
  /** Guest to host: the machine thread writes. */
  readonly output: SharedRing;
  /** Host to guest: the main thread writes. */
  readonly input: SharedRing;
  readonly #flags: Int32Array;

  static create(): CharChannel {
    return new CharChannel(new SharedArrayBuffer(FLAGS_BYTES + 2 * RING_BYTES));
  }

  /** Attaches to the channel of the other thread. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#flags = new Int32Array(buffer, 0, FLAGS_BYTES / 4);
    this.output = new SharedRing(buffer, FLAGS_BYTES, CAPACITY);
    this.input = new SharedRing(buffer, FLAGS_BYTES + RING_BYTES, CAPACITY);
  }

  /**
   * A producer that found its ring full says so, and then must try once more: the consumer may just have emptied it
   * without seeing the flag.
   */
  setOutputBlocked(): void {
    Atomics.store(this.#flags, OUTPUT_BLOCKED, 1);
  }

  /** The consumer asks after having read: true once if the producer waits to be woken. */
  takeOutputBlocked(): boolean {
    return Atomics.exchange(this.#flags, OUTPUT_BLOCKED, 0) === 1;
  }

  setInputBlocked(): void {
    Atomics.store(this.#flags, INPUT_BLOCKED, 1);
  }

  takeInputBlocked(): boolean {
    return Atomics.exchange(this.#flags, INPUT_BLOCKED, 0) === 1;
  }
}
