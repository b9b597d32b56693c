import { MEM_ALIGN, MEM_RMW, MEM_STACK, NO_SLOT, OP } from '../../ir/ops.ts';
import {
  DS,
  ES,
  FS,
  HF_CS64,
  HF_FLAT,
  HF_MMU_SHIFT,
  SEG,
  SEG_BASE,
  SEG_SELECTOR,
  SEG_STRIDE,
  SS,
  VECTOR_TEMP,
  XMM,
} from '../../runtime/x86/layout.ts';
import { BASE_NONE, BASE_RIP } from './decoder.ts';
import { HELPER, X86_HELPERS } from './helpers.ts';
import { LazyFlags } from './lazy-flags.ts';
import {
  K_AX,
  K_B,
  K_CX,
  K_DX,
  K_E,
  K_G,
  K_I,
  K_M,
  K_O,
  K_ONE,
  K_P,
  K_R,
  K_S,
  K_SEG,
  K_V,
  K_XMM0,
  K_Z,
  W_NATIVE,
  W_QQ,
  W_V,
  W_V_MEM16,
  W_X,
  W_X2,
  W_X4,
  W_X8,
  W_Y,
  W_Y_MEM8,
  W_Y_MEM16,
  W_Z,
} from './operand-codes.ts';

/** Kind of a memory access, for checks. */
export const READ = 0;
export const WRITE = 1;
/** Read of a read-modify-write. */
export const RMW = 2;

// ---- what a helper's row means for the lazy flags
const NEEDS_FLUSH = 1;
const NEEDS_FLAGS = 2;
const WRITES_FLAGS = 4;
const HELPER_NEEDS = Uint8Array.from(
  X86_HELPERS,
  (row) =>
    (row.faults ? NEEDS_FLUSH : 0) |
    (row.reads || row.writes ? NEEDS_FLAGS : 0) |
    (row.writes ? WRITES_FLAGS : 0),
);

/** Byte offset of a segment register's field. */
export function segSlot(segment: number, field: number): number {
  return SEG + segment * SEG_STRIDE + field;
}

/**
 * Operand access for handlers. A *raw* value is a slot whose low `size` bytes are the operand; what is above is not defined.
 * General registers are returned as their guest slots without a copy wherever possible, so read operands before writing any.
 */
export class Operands extends LazyFlags {
  /** HFLAGS of the block. */
  flags = 0;
  protected flat = false;
  private mmu = 0;
  /** RIP of the current and of the next instruction, as halves (truncated to the code's width). */
  ripLo = 0;
  ripHi = 0;
  nextLo = 0;
  nextHi = 0;

  // ---- linear address of the memory operand, once `ea` has run for this instruction
  private vectorTempNext = VECTOR_TEMP;
  private eaReady = false;
  private eaSlot = 0;
  private eaDisp = 0;
  private eaInfo = 0;

  protected beginOperands(flags: number): void {
    this.flags = flags;
    this.flat = (flags & (HF_FLAT | HF_CS64)) !== 0;
    this.mmu = (flags >> HF_MMU_SHIFT) & 3;
  }

  protected beginInsnOperands(): void {
    this.eaReady = false;
    this.vectorTempNext = VECTOR_TEMP;
  }

  temp(): number {
    return this.ir.temp();
  }

  // ---- helpers

  /** Calls a helper. Flags are written out first as its row demands; afterwards they are dynamic if it writes state. */
  call(
    helper: number,
    result: number = NO_SLOT,
    a: number = NO_SLOT,
    b: number = NO_SLOT,
    c: number = NO_SLOT,
  ): void {
    const needs = HELPER_NEEDS[helper]!;
    if (needs & NEEDS_FLAGS) this.syncFlags();
    else if (needs & NEEDS_FLUSH) this.flushFlags();
    this.ir.call(helper, result, a, b, c);
    if (needs & WRITES_FLAGS) this.flagsDynamic();
  }

  /** Calls a helper whose result is a value. */
  callValue(helper: number, a: number = NO_SLOT, b: number = NO_SLOT, c: number = NO_SLOT): number {
    const t = this.temp();
    this.call(helper, t, a, b, c);
    return t;
  }

  /** A constant in a slot. */
  constant(lo: number, hi = lo >> 31): number {
    const t = this.temp();
    this.ir.movi64(t, lo, hi);
    return t;
  }

  // ---- general registers

  /** Slot of general register n (0..15) to be written in full: 64 bits, or a zero-extended 32-bit value. */
  gprDst(n: number): number {
    this.willWrite(n << 3);
    return n << 3;
  }

  /** Byte registers: without REX 4..7 are AH, CH, DH, BH. */
  private isHighByte(n: number): boolean {
    return this.rex === 0 && n >= 4 && n < 8;
  }

  /** Raw value of register n. */
  readReg(n: number, size: number): number {
    if (size !== 1 || !this.isHighByte(n)) return n << 3;
    const t = this.temp();
    this.ir.op(OP.ext8hu, t, (n - 4) << 3);
    return t;
  }

  /** Writes a raw value to register n; 32-bit writes clear the upper half. */
  writeReg(n: number, size: number, value: number): void {
    const ir = this.ir;
    if (size === 8) {
      if (value !== n << 3) ir.op(OP.mov, this.gprDst(n), value);
    } else if (size === 4) {
      ir.op(OP.ext32u, this.gprDst(n), value);
    } else if (size === 2) {
      const d = this.gprDst(n);
      ir.op(OP.dep16, d, d, value);
    } else if (this.isHighByte(n)) {
      const d = this.gprDst(n - 4);
      ir.op(OP.dep8h, d, d, value);
    } else {
      const d = this.gprDst(n);
      ir.op(OP.dep8, d, d, value);
    }
  }

  /** As writeReg, for a value known to be zero-extended (any 32-bit operation's result): saves the extension. */
  writeRegZ(n: number, size: number, value: number): void {
    if (size === 4) {
      if (value !== n << 3) this.ir.op(OP.mov, this.gprDst(n), value);
    } else {
      this.writeReg(n, size, value);
    }
  }

  zext(slot: number, size: number): number {
    if (size === 8) return slot;
    const t = this.temp();
    this.ir.op(size === 1 ? OP.ext8u : size === 2 ? OP.ext16u : OP.ext32u, t, slot);
    return t;
  }

  /** Sign-extended to 64 bits. */
  sext(slot: number, size: number): number {
    if (size === 8) return slot;
    const t = this.temp();
    this.ir.op(size === 1 ? OP.ext8s_i64 : size === 2 ? OP.ext16s_i64 : OP.ext32s, t, slot);
    return t;
  }

  // ---- operands by number (0 = destination)

  operandKind(n: number): number {
    return this.table.operandKind[this.row * 4 + n]!;
  }

  /** Size of operand n in bytes. */
  size(n: number): number {
    const w = this.table.operandWidth[this.row * 4 + n]!;
    if (w < W_V) return w;
    switch (w) {
      case W_V:
        return this.opSize;
      case W_Z:
        return this.opSize === 2 ? 2 : 4;
      case W_Y:
        return this.opSize === 8 ? 8 : 4;
      case W_NATIVE:
        return this.code64 ? 8 : 4;
      case W_V_MEM16:
        return this.isMem ? 2 : this.opSize;
      case W_Y_MEM8:
        return this.isMem ? 1 : this.opSize === 8 ? 8 : 4;
      case W_Y_MEM16:
        return this.isMem ? 2 : this.opSize === 8 ? 8 : 4;
      case W_X:
      case W_X2:
      case W_X4:
      case W_X8:
        return (16 << this.vexL) >> (w - W_X);
      case W_QQ:
        return 32;
      default:
        return this.opSize;
    }
  }

  /** Number of the general register of operand n, -1 if it is none (memory, immediate …). */
  gpr(n: number): number {
    switch (this.operandKind(n)) {
      case K_E:
        return this.isMem ? -1 : this.rm;
      case K_G:
        return this.reg;
      case K_R:
        return this.rm;
      case K_Z:
        return (this.opcode & 7) | ((this.rex & 1) << 3);
      case K_AX:
        return 0;
      case K_CX:
        return 1;
      case K_DX:
        return 2;
      case K_B:
        return this.vvvv;
      default:
        return -1;
    }
  }

  isMemory(n: number): boolean {
    const k = this.operandKind(n);
    return this.isMem && (k === K_E || k === K_M || k === K_O || k === K_V + 1 || k === K_P + 1);
  }

  isImmediate(n: number): boolean {
    const k = this.operandKind(n);
    return k === K_I || k === K_ONE;
  }

  /** Raw value of operand n; memory is read (zero-extended). `access` = RMW when the same operand is stored afterwards. */
  load(n: number, access = READ): number {
    const size = this.size(n);
    const reg = this.gpr(n);
    if (reg >= 0) return this.readReg(reg, size);
    const k = this.operandKind(n);
    if (k === K_I) return this.constant(this.immLo, this.immHi);
    if (k === K_ONE) return this.constant(1);
    if (k === K_S) return segSlot(this.reg & 7, SEG_SELECTOR);
    if (k >= K_SEG && k < K_SEG + 6) return segSlot(k - K_SEG, SEG_SELECTOR);
    const t = this.temp();
    this.ea(size, access);
    this.ld(loadOp(size), t);
    return t;
  }

  /** Operand n zero-extended to 64 bits. */
  loadZ(n: number, access = READ): number {
    const value = this.load(n, access);
    return this.gpr(n) >= 0 && !(this.size(n) === 1 && value >= 0x8000)
      ? this.zext(value, this.size(n))
      : value;
  }

  /** Operand n sign-extended to 64 bits. */
  loadS(n: number): number {
    if (!this.isMemory(n)) return this.isImmediate(n) ? this.load(n) : this.sext(this.load(n), this.size(n));
    const size = this.size(n);
    const t = this.temp();
    this.ea(size, READ);
    this.ld(size === 1 ? OP.ld8s : size === 2 ? OP.ld16s : size === 4 ? OP.ld32s : OP.ld64, t);
    return t;
  }

  /** Stores a raw value to operand n. After a load with RMW the address is not computed again. */
  store(n: number, value: number): void {
    const size = this.size(n);
    const reg = this.gpr(n);
    if (reg >= 0) return this.writeReg(reg, size, value);
    this.ea(size, WRITE);
    this.st(storeOp(size), value);
  }

  /** Stores a value that is zero-extended to 64 bits. */
  storeZ(n: number, value: number): void {
    const reg = this.gpr(n);
    if (reg >= 0) this.writeRegZ(reg, this.size(n), value);
    else this.store(n, value);
  }

  /**
   * Slot in which to compute the new value of operand n: the register itself for 32- and 64-bit registers, else a temporary.
   * Finish with `commit`. Call after the last operation that may fault.
   */
  dst(n: number): number {
    const reg = this.gpr(n);
    return reg >= 0 && this.size(n) >= 4 ? this.gprDst(reg) : this.temp();
  }

  /** Completes a computation in `dst(n)`. */
  commit(n: number, slot: number): void {
    const reg = this.gpr(n);
    if (reg >= 0 && this.size(n) >= 4 && slot === reg << 3) return;
    this.store(n, slot);
  }

  // ---- memory

  /** Segment of the memory operand. */
  segment(): number {
    if (this.segOverride >= 0) return this.segOverride;
    // BP-based addressing uses SS: rBP and rSP as base, in 16-bit addressing also BP with an index.
    return this.base === 4 || this.base === 5 ? SS : DS;
  }

  /** Info field of memory operations through a segment. */
  memInfo(segment: number): number {
    return segment === SS ? this.mmu | MEM_STACK : this.mmu;
  }

  /** Offset of the memory operand (LEA): computed into slot `d`, truncated to the address size. */
  offset(d: number): void {
    const ir = this.ir;
    const { base, index, addrSize } = this;
    const wide = addrSize === 8;
    if (base === BASE_RIP) {
      this.ripRelative(d);
    } else if (base === BASE_NONE && index < 0) {
      if (this.operandKind(0) === K_O || this.operandKind(1) === K_O)
        ir.movi64(d, this.immLo, wide ? this.immHi : 0);
      else ir.movi64(d, addrSize === 2 ? this.disp & 0xffff : this.disp, wide ? this.disp >> 31 : 0);
    } else if (index < 0) {
      if (this.disp === 0) ir.op(addrSize === 2 ? OP.ext16u : wide ? OP.mov : OP.ext32u, d, base << 3);
      else this.add(d, base << 3, this.disp);
    } else if (base === BASE_NONE) {
      ir.imm(wide ? OP.shl_i64_imm : OP.shl_i32_imm, d, index << 3, this.scale);
      if (this.disp !== 0) this.add(d, d, this.disp);
    } else {
      ir.op4(wide ? OP.lea_i64 : OP.lea_i32, d, base << 3, index << 3, 0, this.scale, this.disp);
      if (addrSize === 2) ir.op(OP.ext16u, d, d);
    }
  }

  private ripRelative(d: number): void {
    const lo = (this.nextLo + this.disp) | 0;
    const carry = (this.nextLo >>> 0) + (this.disp >>> 0) > 0xffffffff ? 1 : 0;
    const hi = this.addrSize === 8 ? (this.nextHi + (this.disp >> 31) + carry) | 0 : 0;
    this.ir.movi64(d, lo, hi);
  }

  /** d = a + disp in the width of the address size. */
  private add(d: number, a: number, disp: number): void {
    this.ir.imm(this.addrSize === 8 ? OP.add_i64_imm : OP.add_i32_imm, d, a, disp);
    if (this.addrSize === 2) this.ir.op(OP.ext16u, d, d);
  }

  /** Computes the linear address of the memory operand for an access of `size` bytes, once per instruction. */
  ea(size: number, access = READ): void {
    if (this.eaReady) return;
    const segment = this.segment();
    const info = this.memInfo(segment) | (access === RMW ? MEM_RMW : 0);
    if (this.addrSize === 8 && this.index < 0 && this.simpleEa(segment, info)) return;
    const t = this.temp();
    this.offset(t);
    this.linear(t, segment, size, access, info);
  }

  /** 64-bit addresses that need at most one operation: register plus displacement, FS or GS base plus a constant or a register. */
  private simpleEa(segment: number, info: number): boolean {
    const { base } = this;
    if (segment < FS) {
      if (base < 0) return false;
      this.setEa(base << 3, this.disp, info);
      return true;
    }
    const segBase = segSlot(segment, SEG_BASE);
    if (base === BASE_NONE) {
      if (this.operandKind(0) === K_O || this.operandKind(1) === K_O) return false;
      this.setEa(segBase, this.disp, info);
    } else {
      const t = this.temp();
      if (base === BASE_RIP) {
        this.ripRelative(t);
        this.ir.op(OP.add_i64, t, t, segBase);
        this.setEa(t, 0, info);
      } else {
        this.ir.op(OP.add_i64, t, base << 3, segBase);
        this.setEa(t, this.disp, info);
      }
    }
    return true;
  }

  /** Takes slot `offset` (already truncated) through the segment; the result serves `ld` and `st`. */
  linear(offset: number, segment: number, size: number, access: number, info = this.memInfo(segment)): void {
    this.setEa(this.linearSlot(offset, segment, size, access), 0, info | (access === RMW ? MEM_RMW : 0));
  }

  /** Linear address of `offset` in a segment. */
  linearSlot(offset: number, segment: number, size: number, access: number): number {
    if (this.code64) {
      if (segment < FS) return offset;
      const t = this.temp();
      this.ir.op(OP.add_i64, t, offset, segSlot(segment, SEG_BASE));
      return t;
    }
    if (this.flat && (segment === DS || segment === ES || segment === SS)) return offset;
    const n = this.constant(segment | ((size === 512 ? 0 : size) << 8));
    return this.callValue(access === READ ? HELPER.seg_read : HELPER.seg_write, offset, n);
  }

  private setEa(slot: number, disp: number, info: number): void {
    this.eaReady = true;
    this.eaSlot = slot;
    this.eaDisp = disp;
    this.eaInfo = info;
  }

  /** Makes a slot that is not a memory operand of the instruction the address for `ld` and `st`. */
  useAddress(slot: number, segment: number): void {
    this.setEa(slot, 0, this.memInfo(segment));
    this.eaReady = false;
  }

  /** Linear address in a slot of its own. */
  eaValue(): number {
    if (this.eaDisp === 0) return this.eaSlot;
    const t = this.temp();
    this.ir.imm(OP.add_i64_imm, t, this.eaSlot, this.eaDisp);
    return t;
  }

  private displacement(disp: number): number {
    const sum = this.eaDisp + disp;
    if (sum === (sum | 0)) return sum;
    this.eaSlot = this.eaValue();
    this.eaDisp = 0;
    return disp;
  }

  /** Loads from the address set by `ea` (plus disp) into slot d. */
  ld(op: number, d: number, disp = 0): void {
    this.flushFlags();
    const sum = this.displacement(disp);
    this.ir.mem(op, d, this.eaSlot, this.eaInfo, sum);
  }

  /** Stores slot `value` to the address set by `ea` (plus disp). */
  st(op: number, value: number, disp = 0): void {
    this.flushFlags();
    const sum = this.displacement(disp);
    this.ir.mem(op, value, this.eaSlot, this.eaInfo, sum);
  }

  /** Loads or stores 16 bytes at the address set by `ea`, which must be aligned: #GP(0) otherwise (SDM Vol. 1 4.1.1). */
  aligned(op: number, slot: number): void {
    this.flushFlags();
    this.ir.mem(op, slot, this.eaSlot, this.eaInfo | MEM_ALIGN, this.eaDisp);
  }

  // ---- vector registers

  /** State offset of the XMM register named by ModRM.reg, ModRM.rm. */
  get xmmReg(): number {
    return XMM + (this.reg << 4);
  }

  get xmmRm(): number {
    return XMM + (this.rm << 4);
  }

  /** Of the register named by VEX.vvvv. */
  get xmmV(): number {
    return XMM + (this.vvvv << 4);
  }

  /** Of the register named by bits 7..4 of the immediate byte; bit 7 is ignored outside 64-bit code. */
  get xmmImm(): number {
    return XMM + (((this.immLo >> 4) & (this.code64 ? 15 : 7)) << 4);
  }

  /** A 256-bit temporary of this instruction, always in memory: its offset may be passed to helpers in any form. */
  vectorTemp(): number {
    const t = this.vectorTempNext;
    this.vectorTempNext = t + 16;
    return t;
  }

  /** State offset of operand n, an XMM register (not memory). */
  xmm(n: number): number {
    const k = this.operandKind(n);
    return k === K_V ? this.xmmReg : k === K_XMM0 ? XMM : this.xmmRm;
  }
}

/** Zero-extending load of a size. */
export function loadOp(size: number): number {
  return size === 1 ? OP.ld8u : size === 2 ? OP.ld16u : size === 4 ? OP.ld32u : OP.ld64;
}

export function storeOp(size: number): number {
  return size === 1 ? OP.st8 : size === 2 ? OP.st16 : size === 4 ? OP.st32 : OP.st64;
}
