/** Numbers and strings of 9P messages: little-endian, strings with a 16-bit length (9P2000 intro(5)). Strings are one character a byte. */
import { EPROTO, ShareError } from './share.ts';

export const QID_BYTES = 13;

export class P9Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new ShareError(EPROTO, 'the message is too short');
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  text(): string {
    return binaryText(this.bytes(this.u16()));
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }
}

export class P9Writer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get room(): number {
    return this.bytes.length - this.at;
  }

  #claim(count: number): number {
    const { at } = this;
    if (count > this.room) throw new ShareError(EPROTO, 'the reply does not fit');
    this.at += count;
    return at;
  }

  u8(value: number): this {
    this.bytes[this.#claim(1)] = value;
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#claim(2), value, true);
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#claim(4), value, true);
    return this;
  }

  u64(value: bigint): this {
    this.#view.setBigUint64(this.#claim(8), BigInt.asUintN(64, value), true);
    return this;
  }

  text(value: string): this {
    this.u16(value.length);
    const at = this.#claim(value.length);
    for (let i = 0; i < value.length; i++) this.bytes[at + i] = value.charCodeAt(i);
    return this;
  }
}

export function binaryText(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096)
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

export function binaryBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
