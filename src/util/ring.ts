/**
 * Byte streams between two threads: a single-producer, single-consumer ring in a SharedArrayBuffer, and the doorbell a
 * sleeping thread waits on. Head and tail are free-running 32-bit counters, so a full ring and an empty one differ.
 */
import { assert } from './errors.ts';

const HEAD = 0; // bytes ever consumed, modulo 2^32 (written by the consumer)
const TAIL = 1; // bytes ever produced, modulo 2^32 (written by the producer)
const CLOSED = 2;
const HEADER_BYTES = 16;

/** One end of a ring. Each of `write` and `read` may be used by one thread only. */
export class SharedRing {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly capacity: number;
  readonly #header: Int32Array;
  readonly #data: Uint8Array;

  /** Bytes of shared memory that a ring of `capacity` bytes needs. */
  static byteLength(capacity: number): number {
    return HEADER_BYTES + capacity;
  }

  /** A fresh ring in memory of its own. `capacity` is a power of two. */
  static create(capacity: number): SharedRing {
    return new SharedRing(new SharedArrayBuffer(SharedRing.byteLength(capacity)), 0, capacity);
  }

  /** Attaches to a ring at `byteOffset` (4-byte aligned; zeroed memory is an empty ring). */
  constructor(
    buffer: SharedArrayBuffer,
    byteOffset = 0,
    capacity = buffer.byteLength - byteOffset - HEADER_BYTES,
  ) {
    assert(capacity > 0 && (capacity & (capacity - 1)) === 0, 'ring capacity must be a power of two');
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.capacity = capacity;
    this.#header = new Int32Array(buffer, byteOffset, HEADER_BYTES / 4);
    this.#data = new Uint8Array(buffer, byteOffset + HEADER_BYTES, capacity);
  }

  /** Bytes that can be read now. */
  get readable(): number {
    return (Atomics.load(this.#header, TAIL) - Atomics.load(this.#header, HEAD)) >>> 0;
  }

  /** Bytes that can be written now. */
  get writable(): number {
    return this.capacity - this.readable;
  }

  /** Set by either end; what was written before can still be read. */
  get isClosed(): boolean {
    return Atomics.load(this.#header, CLOSED) !== 0;
  }

  close(): void {
    Atomics.store(this.#header, CLOSED, 1);
  }

  /** Writes as much of `bytes` as fits and returns the count. The caller rings the doorbell. */
  write(bytes: Uint8Array): number {
    const tail = Atomics.load(this.#header, TAIL);
    const count = Math.min(bytes.length, this.writable);
    if (count === 0) return 0;
    const at = tail & (this.capacity - 1);
    const first = Math.min(count, this.capacity - at);
    this.#data.set(bytes.subarray(0, first), at);
    if (count > first) this.#data.set(bytes.subarray(first, count), 0);
    Atomics.store(this.#header, TAIL, (tail + count) | 0);
    return count;
  }

  /** Writes one byte; false when full. */
  writeByte(byte: number): boolean {
    const tail = Atomics.load(this.#header, TAIL);
    if (this.writable === 0) return false;
    this.#data[tail & (this.capacity - 1)] = byte;
    Atomics.store(this.#header, TAIL, (tail + 1) | 0);
    return true;
  }

  /** Moves bytes into `into` and returns the count. */
  read(into: Uint8Array): number {
    const head = Atomics.load(this.#header, HEAD);
    const count = Math.min(into.length, this.readable);
    if (count === 0) return 0;
    const at = head & (this.capacity - 1);
    const first = Math.min(count, this.capacity - at);
    into.set(this.#data.subarray(at, at + first), 0);
    if (count > first) into.set(this.#data.subarray(0, count - first), first);
    Atomics.store(this.#header, HEAD, (head + count) | 0);
    return count;
  }

  /** The next byte, or -1 when empty. */
  readByte(): number {
    const head = Atomics.load(this.#header, HEAD);
    if (this.readable === 0) return -1;
    const byte = this.#data[head & (this.capacity - 1)]!;
    Atomics.store(this.#header, HEAD, (head + 1) | 0);
    return byte;
  }
}

/** A counter that one thread sleeps on and any thread bumps. No ring is lost between `read` and `wait`. */
export class Doorbell {
  readonly words: Int32Array;
  readonly index: number;

  constructor(words: Int32Array = new Int32Array(new SharedArrayBuffer(4)), index = 0) {
    this.words = words;
    this.index = index;
  }

  /** The present count: read it, look for work, then pass it to `wait`. */
  read(): number {
    return Atomics.load(this.words, this.index);
  }

  ring(): void {
    Atomics.add(this.words, this.index, 1);
    Atomics.notify(this.words, this.index);
  }

  /** Sleeps until rung since `seen` was read, or until the time-out. True if rung. Not on a browser's main thread. */
  wait(seen: number, timeoutMs = Number.POSITIVE_INFINITY): boolean {
    return Atomics.wait(this.words, this.index, seen, timeoutMs) !== 'timed-out';
  }
}
