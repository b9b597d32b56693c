/** Bit streams of zstd: read from the end backwards, written forwards. */
import { BlockError, EIO } from '../block-node.ts';

export function damaged(): BlockError {
  return new BlockError(EIO, 'a zstd stream is damaged');
}

/** Reads from the last bit to the first; the highest set bit of the last byte only marks the end. */
export class BackwardBits {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  /** Bits left; negative once more was read than there is (those bits are 0). */
  left: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    const last = end > start ? bytes[end - 1]! : 0;
    if (last === 0) throw damaged();
    this.#bytes = bytes;
    this.#start = start;
    this.left = (end - start - 1) * 8 + (31 - Math.clz32(last));
  }

  /** Up to 24 bits. */
  #peekAt(bit: number, count: number): number {
    const at = this.#start + (bit >>> 3);
    const bytes = this.#bytes;
    const word =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    return (word >>> (bit & 7)) & ((1 << count) - 1);
  }

  read(count: number): number {
    if (count > 16) return this.read(count - 16) * 65536 + this.read(16);
    this.left -= count;
    if (this.left >= 0) return this.#peekAt(this.left, count);
    const present = count + this.left;
    return present <= 0 ? 0 : this.#peekAt(0, present) << -this.left;
  }
}

/** Reads from the first bit on, lowest first. */
export class ForwardBits {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #bit: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#bit = start * 8;
    this.#end = end * 8;
  }

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.#bit++) {
      if (this.#bit >= this.#end) throw damaged();
      value |= ((this.#bytes[this.#bit >>> 3]! >>> (this.#bit & 7)) & 1) << i;
    }
    return value;
  }

  unread(count: number): void {
    this.#bit -= count;
  }

  /** The first whole byte not yet touched. */
  get byteOffset(): number {
    return (this.#bit + 7) >>> 3;
  }
}

/** What `BackwardBits` reads: the last value written is the first one read. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #word = 0;
  #count = 0;

  write(value: number, count: number): void {
    for (let left = count; left > 0; ) {
      const take = Math.min(8, left);
      this.#word |= (value & ((1 << take) - 1)) << this.#count;
      this.#count += take;
      value = Math.floor(value / 2 ** take);
      left -= take;
      while (this.#count >= 8) {
        this.#bytes.push(this.#word & 255);
        this.#word >>>= 8;
        this.#count -= 8;
      }
    }
  }

  finish(): readonly number[] {
    this.write(1, 1);
    if (this.#count > 0) this.#bytes.push(this.#word & 255);
    return this.#bytes;
  }
}
