import {
  F32_CONST,
  F64_CONST,
  I32_CONST,
  I64_CONST,
  LOCAL_GET,
  LOCAL_SET,
  LOCAL_TEE,
  V128_CONST,
  type ValueType,
} from './opcodes.ts';

/**
 * Emitter of one function body at a time into a reusable buffer. Methods append bytes and check nothing but room; validity is
 * the caller's business. `begin` starts a body, `WasmModule.addBody` copies it with its local declarations.
 */
export class WasmCode {
  bytes = new Uint8Array(1 << 16);
  /** Number of bytes emitted. */
  pos = 0;
  /** Types of the declared locals (parameters excluded). */
  readonly localTypes = new Uint8Array(50_000);
  localCount = 0;
  private paramCount = 0;
  private readonly floats = new DataView(new ArrayBuffer(8));

  begin(paramCount: number): void {
    this.pos = 0;
    this.localCount = 0;
    this.paramCount = paramCount;
  }

  /** Declares one more local and returns its index. */
  local(type: ValueType): number {
    this.localTypes[this.localCount] = type;
    return this.paramCount + this.localCount++;
  }

  private grow(): void {
    const bigger = new Uint8Array(this.bytes.length * 2);
    bigger.set(this.bytes);
    this.bytes = bigger;
  }

  byte(value: number): void {
    if (this.pos >= this.bytes.length) this.grow();
    this.bytes[this.pos++] = value;
  }

  /** An instruction without immediates; prefixed opcodes are `prefix << 8 | opcode`. */
  op(opcode: number): void {
    if (this.pos + 4 > this.bytes.length) this.grow();
    if (opcode < 0x100) {
      this.bytes[this.pos++] = opcode;
    } else {
      this.prefixed(opcode);
    }
  }

  private prefixed(opcode: number): void {
    const bytes = this.bytes;
    bytes[this.pos++] = opcode >> 8;
    const low = opcode & 0xff;
    if (opcode > 0xffff) {
      bytes[this.pos++] = low | 0x80;
      bytes[this.pos++] = 2;
    } else if (low < 0x80) {
      bytes[this.pos++] = low;
    } else {
      bytes[this.pos++] = low;
      bytes[this.pos++] = 1;
    }
  }

  /** Unsigned LEB128 of a 32-bit value. */
  u32(value: number): void {
    if (this.pos + 5 > this.bytes.length) this.grow();
    const bytes = this.bytes;
    let v = value >>> 0;
    while (v > 0x7f) {
      bytes[this.pos++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    bytes[this.pos++] = v;
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    if (this.pos + 5 > this.bytes.length) this.grow();
    const bytes = this.bytes;
    let v = value | 0;
    while (v > 0x3f || v < -0x40) {
      bytes[this.pos++] = (v & 0x7f) | 0x80;
      v >>= 7;
    }
    bytes[this.pos++] = v & 0x7f;
  }

  /** Signed LEB128 of a 64-bit value in two halves. */
  s64(lo: number, hi: number): void {
    let l = lo | 0;
    let h = hi | 0;
    if (h === l >> 31) return this.s32(l);
    if (this.pos + 10 > this.bytes.length) this.grow();
    const bytes = this.bytes;
    while (h !== l >> 31 || l > 0x3f || l < -0x40) {
      bytes[this.pos++] = (l & 0x7f) | 0x80;
      l = (l >>> 7) | (h << 25);
      h >>= 7;
    }
    bytes[this.pos++] = l & 0x7f;
  }

  localGet(index: number): void {
    this.op1(LOCAL_GET, index);
  }

  localSet(index: number): void {
    this.op1(LOCAL_SET, index);
  }

  localTee(index: number): void {
    this.op1(LOCAL_TEE, index);
  }

  /** One-byte opcode with one unsigned immediate: branches, calls, locals, globals, block types. */
  op1(opcode: number, immediate: number): void {
    if (this.pos + 6 > this.bytes.length) this.grow();
    this.bytes[this.pos++] = opcode;
    if (immediate < 0x80) this.bytes[this.pos++] = immediate;
    else this.u32(immediate);
  }

  i32(value: number): void {
    this.byte(I32_CONST);
    this.s32(value);
  }

  i64(lo: number, hi: number): void {
    this.byte(I64_CONST);
    this.s64(lo, hi);
  }

  /** i64 constant from a sign-extended 32-bit value. */
  i64s(value: number): void {
    this.byte(I64_CONST);
    this.s32(value);
  }

  f32(value: number): void {
    this.byte(F32_CONST);
    this.floats.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(this.floats.getUint8(i));
  }

  f64(value: number): void {
    this.byte(F64_CONST);
    this.floats.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(this.floats.getUint8(i));
  }

  /** Vector constant from four words, lowest first. */
  v128(c0: number, c1: number, c2: number, c3: number): void {
    this.op(V128_CONST);
    this.word(c0);
    this.word(c1);
    this.word(c2);
    this.word(c3);
  }

  /** Four raw little-endian bytes. */
  word(value: number): void {
    if (this.pos + 4 > this.bytes.length) this.grow();
    const p = this.pos;
    this.bytes[p] = value;
    this.bytes[p + 1] = value >> 8;
    this.bytes[p + 2] = value >> 16;
    this.bytes[p + 3] = value >> 24;
    this.pos = p + 4;
  }

  /**
   * A memory access with a constant offset; `align` is the log2 of the alignment promised (0 is always valid for plain
   * accesses; atomics need the natural one).
   */
  mem(opcode: number, offset: number, align = 0): void {
    this.op(opcode);
    this.byte(align);
    this.u32(offset);
  }
}
