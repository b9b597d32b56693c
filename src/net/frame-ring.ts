/**
 * Frames between two threads: a single-producer, single-consumer ring in shared memory. A frame lies in one piece, so that both ends work
 * on it in place; what is left at the end of the ring is skipped.
 */
import { createMeta, type FrameMeta, PLAIN_FRAME } from '../core/net-backend.ts';

const HEAD = 0; // bytes ever consumed, modulo 2^32
const TAIL = 1; // bytes ever produced, modulo 2^32
const RING_HEADER_BYTES = 16;
/** Length; flags, type and header bytes; segment size and checksum start; checksum offset. */
const ENTRY_HEADER_BYTES = 16;
const SKIP = 0xffff_ffff;

export const RING_BYTES = 2 ** 20;

export class FrameRing {
  static readonly byteLength = RING_HEADER_BYTES + RING_BYTES;

  /** Of the frame that `next` found. */
  readonly meta: FrameMeta = createMeta();
  readonly #header: Int32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  #reserved = -1;
  #reservedBytes = 0;
  #nextBytes = 0;

  /** Attaches to a ring at `byteOffset`, a multiple of 8; zeroed memory is an empty ring. */
  constructor(buffer: SharedArrayBuffer, byteOffset: number) {
    this.#header = new Int32Array(buffer, byteOffset, RING_HEADER_BYTES / 4);
    this.#words = new Uint32Array(buffer, byteOffset + RING_HEADER_BYTES, RING_BYTES / 4);
    this.#bytes = new Uint8Array(buffer, byteOffset + RING_HEADER_BYTES, RING_BYTES);
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#header, HEAD) === Atomics.load(this.#header, TAIL);
  }

  /** Bytes in the ring, headers included. */
  get usedBytes(): number {
    return (Atomics.load(this.#header, TAIL) - Atomics.load(this.#header, HEAD)) >>> 0;
  }

  // --- producer

  /** Room for a frame, or undefined. The last reservation is the one that `commit` hands over. */
  reserve(length: number): Uint8Array | undefined {
    const tail = Atomics.load(this.#header, TAIL) >>> 0;
    const free = RING_BYTES - this.usedBytes;
    const entry = entryBytes(length);
    let at = tail % RING_BYTES;
    const toEnd = RING_BYTES - at;
    if (entry > toEnd) {
      if (free < toEnd + entry) return undefined;
      this.#words[at >> 2] = SKIP;
      Atomics.store(this.#header, TAIL, (tail + toEnd) | 0);
      at = 0;
    } else if (free < entry) return undefined;
    this.#reserved = at;
    this.#reservedBytes = length;
    return this.#bytes.subarray(at + ENTRY_HEADER_BYTES, at + ENTRY_HEADER_BYTES + length);
  }

  commit(meta: Readonly<FrameMeta>): void {
    const word = this.#reserved >> 2;
    const words = this.#words;
    words[word] = this.#reservedBytes;
    words[word + 1] = meta.flags | (meta.gsoType << 8) | (meta.headerBytes << 16);
    words[word + 2] = meta.gsoSize | (meta.checksumStart << 16);
    words[word + 3] = meta.checksumOffset;
    const tail = Atomics.load(this.#header, TAIL);
    Atomics.store(this.#header, TAIL, (tail + entryBytes(this.#reservedBytes)) | 0);
  }

  write(frame: Uint8Array, meta: Readonly<FrameMeta> = PLAIN_FRAME): boolean {
    const room = this.reserve(frame.length);
    if (room === undefined) return false;
    room.set(frame);
    this.commit(meta);
    return true;
  }

  // --- consumer

  /** The first frame, in place until `advance`; `meta` belongs to it. */
  next(): Uint8Array | undefined {
    for (;;) {
      const head = Atomics.load(this.#header, HEAD) >>> 0;
      if (head === Atomics.load(this.#header, TAIL) >>> 0) return undefined;
      const at = head % RING_BYTES;
      const word = at >> 2;
      const length = this.#words[word]!;
      if (length === SKIP) {
        Atomics.store(this.#header, HEAD, (head + RING_BYTES - at) | 0);
        continue;
      }
      this.#readMeta(word);
      this.#nextBytes = entryBytes(length);
      return this.#bytes.subarray(at + ENTRY_HEADER_BYTES, at + ENTRY_HEADER_BYTES + length);
    }
  }

  advance(): void {
    Atomics.store(this.#header, HEAD, (Atomics.load(this.#header, HEAD) + this.#nextBytes) | 0);
  }

  #readMeta(word: number): void {
    const { meta } = this;
    const first = this.#words[word + 1]!;
    const second = this.#words[word + 2]!;
    meta.flags = first & 0xff;
    meta.gsoType = (first >> 8) & 0xff;
    meta.headerBytes = first >>> 16;
    meta.gsoSize = second & 0xffff;
    meta.checksumStart = second >>> 16;
    meta.checksumOffset = this.#words[word + 3]! & 0xffff;
  }
}

function entryBytes(length: number): number {
  return (ENTRY_HEADER_BYTES + length + 15) & ~15;
}
