import type { WasmCode } from './code.ts';
import { FUNCREF, type ValueType } from './opcodes.ts';

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const SECTION_TYPE = 1;
const SECTION_IMPORT = 2;
const SECTION_FUNCTION = 3;
const SECTION_EXPORT = 7;
const SECTION_ELEMENT = 9;
const SECTION_CODE = 10;
export const EXTERNAL_FUNCTION = 0;
export const EXTERNAL_TABLE = 1;
export const EXTERNAL_MEMORY = 2;
export const EXTERNAL_GLOBAL = 3;

/** Growable byte string with the few encodings a module's sections need. */
class Bytes {
  data = new Uint8Array(1 << 10);
  length = 0;

  private room(n: number): void {
    if (this.length + n <= this.data.length) return;
    const bigger = new Uint8Array(Math.max(this.data.length * 2, this.length + n));
    bigger.set(this.data.subarray(0, this.length));
    this.data = bigger;
  }

  byte(value: number): void {
    this.room(1);
    this.data[this.length++] = value;
  }

  u32(value: number): void {
    this.room(5);
    let v = value >>> 0;
    while (v > 0x7f) {
      this.data[this.length++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    this.data[this.length++] = v;
  }

  /** Signed LEB128 of a non-negative value. */
  u32Signed(value: number): void {
    let v = value >>> 0;
    while (v > 0x3f) {
      this.byte((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.byte(v);
  }

  /** Five bytes at `at` that encode `value`: a size known only later. */
  padded(at: number, value: number): void {
    for (let i = 0; i < 4; i++) this.data[at + i] = ((value >>> (7 * i)) & 0x7f) | 0x80;
    this.data[at + 4] = (value >>> 28) & 0x0f;
  }

  append(source: Uint8Array, length: number): void {
    this.room(length);
    this.data.set(length === source.length ? source : source.subarray(0, length), this.length);
    this.length += length;
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  section(id: number, count: number, content: Bytes): void {
    if (count === 0) return;
    const before = lebSize(count);
    this.byte(id);
    this.u32(before + content.length);
    this.u32(count);
    this.append(content.data, content.length);
  }
}

function lebSize(value: number): number {
  let n = 1;
  for (let v = value >>> 7; v !== 0; v >>>= 7) n++;
  return n;
}

/**
 * Builds one binary module. Declare types and imports first, then functions in index order, each followed by its body.
 * `reset` drops everything but types and imports, so that a just-in-time compiler pays for those once. Names are ASCII.
 */
export class WasmModule {
  private readonly types = new Bytes();
  private typeCount = 0;
  private readonly typeIndex = new Map<string, number>();
  private readonly imports = new Bytes();
  private importCount = 0;
  private importedFunctions = 0;
  private readonly functions = new Bytes();
  private functionCount = 0;
  private readonly exports = new Bytes();
  private exportCount = 0;
  private readonly elements = new Bytes();
  private elementCount = 0;
  private readonly code = new Bytes();
  private bodyCount = 0;
  private readonly out = new Bytes();

  /** Index of a function type; equal signatures share one. */
  type(params: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.typeIndex.get(key);
    if (known !== undefined) return known;
    this.types.byte(0x60);
    this.types.u32(params.length);
    for (const t of params) this.types.byte(t);
    this.types.u32(results.length);
    for (const t of results) this.types.byte(t);
    this.typeIndex.set(key, this.typeCount);
    return this.typeCount++;
  }

  private import(module: string, name: string, kind: number): Bytes {
    this.imports.name(module);
    this.imports.name(name);
    this.imports.byte(kind);
    this.importCount++;
    return this.imports;
  }

  /** Imports a shared memory; sizes in 64 KiB pages. */
  importMemory(module: string, name: string, minimum: number, maximum: number): void {
    const b = this.import(module, name, EXTERNAL_MEMORY);
    b.byte(3);
    b.u32(minimum);
    b.u32(maximum);
  }

  /** Imports a table of functions. */
  importTable(module: string, name: string, minimum: number): void {
    const b = this.import(module, name, EXTERNAL_TABLE);
    b.byte(FUNCREF);
    b.byte(0);
    b.u32(minimum);
  }

  /** Imports an immutable global and returns nothing useful but its order: globals are numbered from 0. */
  importGlobal(module: string, name: string, type: ValueType): void {
    const b = this.import(module, name, EXTERNAL_GLOBAL);
    b.byte(type);
    b.byte(0);
  }

  /** Returns the function's index. All imports precede the first `addBody`. */
  importFunction(module: string, name: string, type: number): number {
    this.import(module, name, EXTERNAL_FUNCTION).u32(type);
    return this.importedFunctions++;
  }

  /** Drops functions, bodies, exports and elements. */
  reset(): void {
    this.functions.length = this.functionCount = 0;
    this.exports.length = this.exportCount = 0;
    this.elements.length = this.elementCount = 0;
    this.code.length = this.bodyCount = 0;
  }

  /** Declares the next function without a body yet (for calls among functions); bodies follow in the same order. */
  declare(type: number): number {
    this.functions.u32(type);
    return this.importedFunctions + this.functionCount++;
  }

  /** Body of the next declared function. The code must end with END. */
  addBody(code: WasmCode): void {
    const out = this.code;
    for (let i = 0; i < 5; i++) out.byte(0);
    const start = out.length;
    this.locals(code);
    out.append(code.bytes, code.pos);
    out.padded(start - 5, out.length - start);
    this.bodyCount++;
  }

  /** Declares a function and adds its body; returns its index. */
  addFunction(type: number, code: WasmCode): number {
    const index = this.declare(type);
    this.addBody(code);
    return index;
  }

  /** Local declarations, runs of equal types joined. */
  private locals(code: WasmCode): void {
    const types = code.localTypes;
    const count = code.localCount;
    let groups = 0;
    for (let i = 0; i < count; i++) if (i === 0 || types[i] !== types[i - 1]) groups++;
    this.code.u32(groups);
    for (let i = 0; i < count; ) {
      const type = types[i]!;
      let end = i + 1;
      while (end < count && types[end] === type) end++;
      this.code.u32(end - i);
      this.code.byte(type);
      i = end;
    }
  }

  export(name: string, kind: number, index: number): void {
    this.exports.name(name);
    this.exports.byte(kind);
    this.exports.u32(index);
    this.exportCount++;
  }

  /** Active element segment: `functions` into table 0 from `offset` on. */
  element(offset: number, functions: readonly number[]): void {
    const b = this.elements;
    b.byte(0);
    b.byte(0x41);
    b.u32Signed(offset);
    b.byte(0x0b);
    b.u32(functions.length);
    for (const f of functions) b.u32(f);
    this.elementCount++;
  }

  /** The finished module: a view of a buffer that the next `build` overwrites. */
  build(): Uint8Array {
    if (this.bodyCount !== this.functionCount)
      throw new Error('wasm module: a declared function has no body');
    const out = this.out;
    out.length = 0;
    for (const b of HEADER) out.byte(b);
    out.section(SECTION_TYPE, this.typeCount, this.types);
    out.section(SECTION_IMPORT, this.importCount, this.imports);
    out.section(SECTION_FUNCTION, this.functionCount, this.functions);
    out.section(SECTION_EXPORT, this.exportCount, this.exports);
    out.section(SECTION_ELEMENT, this.elementCount, this.elements);
    out.section(SECTION_CODE, this.bodyCount, this.code);
    return out.data.subarray(0, out.length);
  }
}
