/**
 * Binary form of a saved state: a tagged tree with the fields' names in it. All numbers little-endian.
 *
 *     value  := tag:u8 body
 *     string := length:u32 utf-16 code units
 */
import { UserError } from '../util/errors.ts';
import type { Saved, SavedState } from './vmstate.ts';

const TAG_U32 = 1;
const TAG_F64 = 2;
const TAG_FALSE = 3;
const TAG_TRUE = 4;
const TAG_U64 = 5;
const TAG_STRING = 6;
const TAG_BYTES = 7;
const TAG_LIST = 8;
const TAG_RECORD = 9;
const MAX_DEPTH = 32;

export function encodeState(state: SavedState): Uint8Array {
  const writer = new Writer();
  writer.value({ name: state.name, version: state.version, fields: state.fields });
  return writer.bytes();
}

/** `UserError` code `SnapshotCorrupt` if the bytes are not what `encodeState` makes. */
export function decodeState(bytes: Uint8Array): SavedState {
  const reader = new Reader(bytes);
  const value = reader.value(0) as { name?: Saved; version?: Saved; fields?: Saved };
  const { name, version, fields } = value;
  const isRecord = typeof fields === 'object' && !Array.isArray(fields) && !(fields instanceof Uint8Array);
  if (typeof name !== 'string' || typeof version !== 'number' || !isRecord || !reader.atEnd) throw corrupt();
  return { name, version, fields: fields as { readonly [name: string]: Saved } };
}

function corrupt(): UserError {
  return new UserError('SnapshotCorrupt', 'the saved state is damaged');
}

class Writer {
  #data = new Uint8Array(256);
  #view = new DataView(this.#data.buffer);
  #length = 0;

  bytes(): Uint8Array {
    return this.#data.slice(0, this.#length);
  }

  value(value: Saved): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'boolean') this.#u8(value ? TAG_TRUE : TAG_FALSE);
    else if (typeof value === 'bigint') {
      this.#u8(TAG_U64);
      const at = this.#grow(8);
      this.#view.setBigUint64(at, value, true);
    } else if (typeof value === 'string') {
      this.#u8(TAG_STRING);
      this.#string(value);
    } else if (value instanceof Uint8Array) {
      this.#u8(TAG_BYTES);
      this.#u32(value.length);
      const at = this.#grow(value.length);
      this.#data.set(value, at);
    } else if (Array.isArray(value)) {
      this.#u8(TAG_LIST);
      this.#u32(value.length);
      for (const item of value as readonly Saved[]) this.value(item);
    } else this.#record(value as { readonly [name: string]: Saved });
  }

  #number(value: number): void {
    if (value >>> 0 === value && !Object.is(value, -0)) {
      this.#u8(TAG_U32);
      this.#u32(value);
    } else {
      this.#u8(TAG_F64);
      const at = this.#grow(8);
      this.#view.setFloat64(at, value, true);
    }
  }

  #record(value: { readonly [name: string]: Saved }): void {
    const names = Object.keys(value);
    this.#u8(TAG_RECORD);
    this.#u32(names.length);
    for (const name of names) {
      this.#string(name);
      this.value(value[name]!);
    }
  }

  #string(text: string): void {
    this.#u32(text.length);
    const at = this.#grow(text.length * 2);
    for (let i = 0; i < text.length; i++) this.#view.setUint16(at + 2 * i, text.charCodeAt(i), true);
  }

  #u8(value: number): void {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
  }

  #u32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
  }

  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#data.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#data.length * 2));
      larger.set(this.#data);
      this.#data = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

class Reader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#data.length;
  }

  value(depth: number): Saved {
    if (depth > MAX_DEPTH) throw corrupt();
    const tag = this.#view.getUint8(this.#take(1));
    switch (tag) {
      case TAG_U32:
        return this.#u32();
      case TAG_F64:
        return this.#view.getFloat64(this.#take(8), true);
      case TAG_FALSE:
        return false;
      case TAG_TRUE:
        return true;
      case TAG_U64:
        return this.#view.getBigUint64(this.#take(8), true);
      case TAG_STRING:
        return this.#string();
      case TAG_BYTES: {
        const length = this.#u32();
        const at = this.#take(length);
        return this.#data.slice(at, at + length);
      }
      case TAG_LIST:
        return this.#list(depth);
      case TAG_RECORD:
        return this.#record(depth);
      default:
        throw corrupt();
    }
  }

  #list(depth: number): Saved[] {
    const length = this.#u32();
    if (length > this.#data.length - this.#at) throw corrupt();
    const out: Saved[] = [];
    for (let i = 0; i < length; i++) out.push(this.value(depth + 1));
    return out;
  }

  #record(depth: number): { [name: string]: Saved } {
    const length = this.#u32();
    if (length > this.#data.length - this.#at) throw corrupt();
    const out: { [name: string]: Saved } = Object.create(null);
    for (let i = 0; i < length; i++) {
      const name = this.#string();
      out[name] = this.value(depth + 1);
    }
    return out;
  }

  #string(): string {
    const length = this.#u32();
    const at = this.#take(length * 2);
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.#view.getUint16(at + 2 * i, true));
    return text;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#data.length - at) throw corrupt();
    this.#at += count;
    return at;
  }
}
