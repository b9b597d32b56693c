import type { IrBuilder } from '../../ir/builder.ts';
import { NO_SLOT, OP } from '../../ir/ops.ts';
import {
  CC_ADC8,
  CC_ADD8,
  CC_BASE_MASK,
  CC_BITSCAN8,
  CC_CO,
  CC_CO_CARRY,
  CC_CO_FLAGS,
  CC_CO_MASK,
  CC_CO_ROL8,
  CC_CO_ROR8,
  CC_DEC8,
  CC_DST,
  CC_DYNAMIC,
  CC_EFLAGS,
  CC_ID,
  CC_INC8,
  CC_LOGIC8,
  CC_MUL8,
  CC_OP,
  CC_POPCNT,
  CC_SBB8,
  CC_SHL8,
  CC_SHR8,
  CC_SRC,
  CC_SRC2,
  CC_STEP,
  CC_STEP_DEC,
  CC_STEP_OLD_OF,
  CC_STEP_SIZE_SHIFT,
  CC_SUB8,
  TEMP_BASE,
} from '../../runtime/x86/layout.ts';
import { Decoder } from './decoder.ts';
import { HELPER } from './helpers.ts';

// ---- pending flag state
const P_NONE = 0;
/** CC_DST = the value in slot A, CC_SRC = the value in slot B or an immediate. */
const P_RESULT = 1;
/** Comparison of A with B or an immediate: CC_DST = A - B is not computed yet. For 8 and 16 bits both are zero-extended. */
const P_CMP = 2;
/** CC_DST = A & B is not computed yet. */
const P_TEST = 3;

/** log2 of an operand size. */
export function sizeLog(size: number): number {
  return size === 1 ? 0 : size === 2 ? 1 : size === 4 ? 2 : 3;
}

/**
 * Lazy flags. What the flags are is known statically as far as possible (`ccOp`), and the words CC_DST and CC_SRC are written
 * only when something needs them: an operation that may fault, a helper, the end of the block, or a change of the register they
 * would be copied from. An instruction that replaces all flags before that drops them.
 */
export class LazyFlags extends Decoder {
  ir!: IrBuilder;

  /** Statically known CC_OP: base kind | override; base CC_DYNAMIC: the CC_OP slot knows. */
  ccOp: number = CC_DYNAMIC;
  /** What the CC_OP slot is known to hold, -1 if unknown (then it is right while ccOp's base is CC_DYNAMIC). */
  private ccSlot = -1;
  private pendKind = P_NONE;
  /** CC_DST and CC_SRC have been written; the operands are still useful for conditions. */
  private pendWritten = false;
  private pendA = 0;
  /** Slot B, NO_SLOT: none, or -1: the immediate. */
  private pendB = 0;
  private pendLo = 0;
  private pendHi = 0;
  /** Set by `cond`: the slot holds the negated condition; it holds 0 or 1 and nothing else. */
  condInverted = false;
  private condBool = true;

  protected beginFlags(): void {
    this.ccOp = CC_DYNAMIC;
    this.ccSlot = -1;
    this.pendKind = P_NONE;
  }

  /** True while temporaries must not be reused. */
  protected get flagsHoldTemps(): boolean {
    return (
      this.pendKind !== P_NONE &&
      (this.pendA >= TEMP_BASE || (this.pendB >= TEMP_BASE && this.pendB !== NO_SLOT))
    );
  }

  /** Target data of restore words: CC_OP known at translation, 0 if the slot is valid. */
  protected get restoreCc(): number {
    return (this.ccOp & CC_BASE_MASK) === CC_DYNAMIC || this.ccOp === this.ccSlot ? 0 : this.ccOp;
  }

  // ---- setting

  /** The coming flag definition replaces all six flags and nothing can fault in between: forget the old ones. */
  killFlags(): void {
    this.pendKind = P_NONE;
  }

  private setPending(kind: number, ccOp: number, a: number, b: number): void {
    this.pendKind = kind;
    this.pendWritten = false;
    this.pendA = a;
    this.pendB = b;
    this.ccOp = ccOp;
  }

  private setPendingImm(kind: number, ccOp: number, a: number, lo: number, hi: number): void {
    this.setPending(kind, ccOp, a, -1);
    this.pendLo = lo;
    this.pendHi = hi;
  }

  /** Flags of kind `cc` (an 8-bit base such as CC_ADD8) from the result in slot `dst` and the second operand in slot `src`. */
  flagsResult(cc: number, size: number, dst: number, src: number): void {
    this.setPending(P_RESULT, cc + sizeLog(size), dst, src);
  }

  flagsResultImm(cc: number, size: number, dst: number, lo: number, hi: number): void {
    this.setPendingImm(P_RESULT, cc + sizeLog(size), dst, lo, hi);
  }

  /** CF = OF = AF = 0, the rest from the result in slot `dst`. */
  flagsLogic(size: number, dst: number): void {
    this.setPending(P_RESULT, CC_LOGIC8 + sizeLog(size), dst, NO_SLOT);
  }

  /** Comparison a - b. Slots of 8- and 16-bit values must be zero-extended. */
  flagsCmp(size: number, a: number, b: number): void {
    this.setPending(P_CMP, CC_SUB8 + sizeLog(size), a, b);
  }

  /** Comparison with an immediate (sign-extended halves). */
  flagsCmpImm(size: number, a: number, lo: number, hi: number): void {
    const mask = size === 1 ? 0xff : size === 2 ? 0xffff : -1;
    this.setPendingImm(P_CMP, CC_SUB8 + sizeLog(size), a, lo & mask, size < 4 ? 0 : hi);
  }

  flagsTest(size: number, a: number, b: number): void {
    if (a === b) this.flagsLogic(size, a);
    else this.setPending(P_TEST, CC_LOGIC8 + sizeLog(size), a, b);
  }

  flagsTestImm(size: number, a: number, lo: number, hi: number): void {
    const mask = size === 1 ? 0xff : size === 2 ? 0xffff : -1;
    this.setPendingImm(P_TEST, CC_LOGIC8 + sizeLog(size), a, lo & mask, size < 4 ? 0 : hi);
  }

  /** CC_DST, CC_SRC … have been written for kind `ccOp`. */
  flagsWritten(ccOp: number): void {
    this.pendKind = P_NONE;
    this.ccOp = ccOp;
  }

  /** CC_OP has been written to its slot: the kind is not known statically. */
  flagsDynamic(): void {
    this.pendKind = P_NONE;
    this.ccOp = CC_DYNAMIC;
    this.ccSlot = -1;
  }

  /** All six flags are in slot `flags` at their RFLAGS positions. */
  flagsValue(flags: number): void {
    this.pendKind = P_NONE;
    this.ir.op(OP.mov, CC_SRC, flags);
    this.ccOp = CC_EFLAGS;
  }

  /** CF and OF by override `co` (CC_CO_*) from slot `value`; the others stay. The previous flags must not fault any more. */
  flagsOverride(co: number, value: number): void {
    const ir = this.ir;
    if (value !== CC_CO) ir.op(OP.mov, CC_CO, value);
    const base = this.ccOp & CC_BASE_MASK;
    if (base === CC_DYNAMIC) {
      const t = ir.temp();
      const kind = co === CC_CO_CARRY ? co : co | CC_STEP_OLD_OF;
      ir.imm(OP.and_i32_imm, t, CC_OP, ~CC_CO_MASK);
      ir.imm(OP.or_i32_imm, CC_OP, t, kind);
      this.ccSlot = -1;
      this.ccOp = (this.ccOp & ~CC_CO_MASK) | kind;
      return;
    }
    this.ccOp = base | co;
  }

  /** CF is not known statically: it takes a helper to compute it. */
  get carryIsDynamic(): boolean {
    return (this.ccOp & (CC_BASE_MASK | CC_CO_MASK)) === CC_DYNAMIC;
  }

  /** Flags of INC or DEC over dynamic ones: all but CF from the result in slot `value`. Nothing may fault any more. */
  flagsStep(size: number, decrement: boolean, value: number): void {
    const { ir } = this;
    const kind = CC_STEP | (sizeLog(size) << CC_STEP_SIZE_SHIFT) | (decrement ? CC_STEP_DEC : 0);
    ir.op(OP.mov, CC_ID, value);
    const t = ir.temp();
    ir.imm(OP.and_i32_imm, t, CC_OP, CC_BASE_MASK | CC_CO_MASK);
    ir.imm(OP.or_i32_imm, CC_OP, t, kind);
    this.pendKind = P_NONE;
    this.ccSlot = -1;
    this.ccOp = kind;
  }

  /** CF = slot (0/1), the others stay: CLC, STC, CMC. */
  flagsSetCarry(slot: number): void {
    const co = this.ccOp & CC_CO_MASK;
    if (co === CC_CO_FLAGS) {
      this.ir.imm(OP.and_i32_imm, CC_CO, CC_CO, ~1);
      this.ir.op(OP.or_i32, CC_CO, CC_CO, slot);
      return;
    }
    if (this.carryIsDynamic || (co !== 0 && co !== CC_CO_CARRY)) {
      const t = this.allFlags();
      const u = this.ir.temp();
      this.ir.imm(OP.and_i32_imm, u, t, ~1);
      this.ir.op(OP.or_i32, u, u, slot);
      this.flagsValue(u);
      return;
    }
    this.flagsOverride(CC_CO_CARRY, slot);
  }

  // ---- making the state valid

  /** Writes CC_DST and CC_SRC if they are pending. Required before any operation that may fault. */
  flushFlags(): void {
    if (this.pendKind === P_NONE || this.pendWritten) return;
    this.pendWritten = true;
    const ir = this.ir;
    const { pendA: a, pendB: b, pendLo: lo, pendHi: hi } = this;
    const wide = (this.ccOp & 3) === 3;
    if (this.pendKind === P_TEST) {
      if (b === -1) ir.imm64(wide ? OP.and_i64_imm : OP.and_i32_imm, CC_DST, a, lo, hi);
      else ir.op(wide ? OP.and_i64 : OP.and_i32, CC_DST, a, b);
      return;
    }
    if (b === -1) ir.movi64(CC_SRC, lo, hi);
    else if (b !== NO_SLOT && b !== CC_SRC) ir.op(OP.mov, CC_SRC, b);
    if (this.pendKind === P_RESULT) ir.op(OP.mov, CC_DST, a);
    else if (b === -1) ir.imm64(wide ? OP.sub_i64_imm : OP.sub_i32_imm, CC_DST, a, lo, hi);
    else ir.op(wide ? OP.sub_i64 : OP.sub_i32, CC_DST, a, b);
  }

  /** Slot `slot` is about to change: write out what depends on it and refer to the copies from now on. */
  willWrite(slot: number): void {
    if (this.pendKind === P_NONE || (this.pendA !== slot && this.pendB !== slot)) return;
    this.flushFlags();
    if (this.pendKind === P_TEST) {
      this.pendKind = P_RESULT;
      this.pendA = CC_DST;
      this.pendB = NO_SLOT;
      return;
    }
    if (this.pendB === slot) this.pendB = CC_SRC;
    if (this.pendA !== slot) return;
    if (this.pendKind === P_CMP) this.pendKind = P_NONE;
    else this.pendA = CC_DST;
  }

  /** Makes CC_OP, CC_DST, CC_SRC valid in their slots: before a helper that reads flags and at the end of the block. */
  syncFlags(): void {
    this.flushFlags();
    if ((this.ccOp & CC_BASE_MASK) !== CC_DYNAMIC && this.ccOp !== this.ccSlot) {
      this.ir.movi(CC_OP, this.ccOp);
      this.ccSlot = this.ccOp;
    }
  }

  /** All six flags as a value. */
  allFlags(): number {
    if (this.ccOp === CC_EFLAGS) return CC_SRC;
    this.syncFlags();
    const t = this.ir.temp();
    this.ir.call(HELPER.cc_all, t);
    return t;
  }

  // ---- reading

  private get ccSize(): number {
    return 1 << (this.ccOp & 3);
  }

  private get ccKind(): number {
    const base = this.ccOp & CC_BASE_MASK;
    return base === CC_EFLAGS || base === CC_DYNAMIC || base === CC_POPCNT ? base : base & ~3;
  }

  /** Slot of the result, valid in its low `ccSize` bytes. */
  private resultSlot(): number {
    if (this.pendKind === P_RESULT) return this.pendA;
    this.flushFlags();
    return CC_DST;
  }

  /** Zero- or sign-extends an operand of the flags to at least 32 bits. */
  private extend(slot: number, size: number, signed: boolean): number {
    if (size >= 4) return slot;
    const t = this.ir.temp();
    this.ir.op(size === 1 ? (signed ? OP.ext8s_i32 : OP.ext8u) : signed ? OP.ext16s_i32 : OP.ext16u, t, slot);
    return t;
  }

  private compare(op32: number, op64: number, size: number, a: number, b: number): number {
    const t = this.ir.temp();
    this.ir.op(size === 8 ? op64 : op32, t, a, b);
    return t;
  }

  private compareImm(op32: number, op64: number, size: number, a: number, lo: number, hi: number): number {
    const t = this.ir.temp();
    this.ir.imm64(size === 8 ? op64 : op32, t, a, lo, hi);
    return t;
  }

  /** Result == 0. */
  private zero(): number {
    const size = this.ccKind === CC_POPCNT ? 8 : this.ccSize;
    const slot = this.extend(this.resultSlot(), size, false);
    return this.compareImm(OP.eq_i32_imm, OP.eq_i64_imm, size, slot, 0, 0);
  }

  /** Top bit of the result. */
  private sign(): number {
    const size = this.ccSize;
    const slot = this.extend(this.resultSlot(), size, true);
    return this.compareImm(OP.lts_i32_imm, OP.lts_i64_imm, size, slot, 0, 0);
  }

  /** Applies a comparison to minuend and subtrahend of a subtraction. */
  private compareSub(op32: number, op64: number, imm32: number, imm64: number, signed: boolean): number {
    const size = this.ccSize;
    if (this.pendKind === P_CMP) {
      const a = signed ? this.extend(this.pendA, size, true) : this.pendA;
      if (this.pendB === -1) {
        let lo = this.pendLo;
        if (signed && size < 4) lo = size === 1 ? (lo << 24) >> 24 : (lo << 16) >> 16;
        return this.compareImm(imm32, imm64, size, a, lo, size === 8 ? this.pendHi : lo >> 31);
      }
      return this.compare(op32, op64, size, a, signed ? this.extend(this.pendB, size, true) : this.pendB);
    }
    this.flushFlags();
    const t = this.ir.temp();
    this.ir.op(size === 8 ? OP.add_i64 : OP.add_i32, t, CC_DST, CC_SRC);
    return this.compare(op32, op64, size, this.extend(t, size, signed), this.extend(CC_SRC, size, signed));
  }

  /** CF as 0 or 1. */
  carry(): number {
    const ir = this.ir;
    const co = this.ccOp & CC_CO_MASK;
    if (co !== 0) return this.overrideCarry(co);
    const kind = this.ccKind;
    const size = this.ccSize;
    const t = ir.temp();
    switch (kind) {
      case CC_SUB8:
        return this.compareSub(OP.ltu_i32, OP.ltu_i64, OP.ltu_i32_imm, OP.ltu_i64_imm, false);
      case CC_LOGIC8:
      case CC_POPCNT:
        ir.movi(t, 0);
        return t;
      default:
    }
    this.flushFlags();
    switch (kind) {
      case CC_ADD8:
        return this.compare(
          OP.ltu_i32,
          OP.ltu_i64,
          size,
          this.extend(CC_DST, size, false),
          this.extend(CC_SRC, size, false),
        );
      case CC_ADC8:
      case CC_SBB8:
        return this.carryOfCarry(kind, size);
      case CC_INC8:
      case CC_DEC8:
      case CC_BITSCAN8:
        return CC_SRC;
      case CC_SHL8:
        ir.imm(size === 8 ? OP.shr_i64_imm : OP.shr_i32_imm, t, CC_SRC, size * 8 - 1);
        if (size < 4) ir.imm(OP.and_i32_imm, t, t, 1);
        return t;
      case CC_SHR8:
      case CC_EFLAGS:
        ir.imm(OP.and_i32_imm, t, CC_SRC, 1);
        return t;
      case CC_MUL8:
        ir.imm(OP.ne_i64_imm, t, CC_SRC, 0);
        return t;
      default:
        this.syncFlags();
        ir.call(HELPER.cc_carry, t);
        return t;
    }
  }

  private overrideCarry(co: number): number {
    const t = this.ir.temp();
    if (co >= CC_CO_ROR8 && co < CC_CO_CARRY) {
      const size = 1 << ((co - CC_CO_ROR8) >> 8);
      this.ir.imm(size === 8 ? OP.shr_i64_imm : OP.shr_i32_imm, t, CC_CO, size * 8 - 1);
      if (size < 4) this.ir.imm(OP.and_i32_imm, t, t, 1);
      return t;
    }
    if (co === CC_CO_CARRY) return CC_CO;
    this.ir.imm(OP.and_i32_imm, t, CC_CO, 1);
    return t;
  }

  /** ADC: result < operand, or equal with carry in. SBB: minuend < subtrahend, or equal with borrow in. */
  private carryOfCarry(kind: number, size: number): number {
    const ir = this.ir;
    let a: number = CC_DST;
    if (kind === CC_SBB8) {
      a = ir.temp();
      ir.op(OP.add_i64, a, CC_DST, CC_SRC);
      ir.op(OP.add_i64, a, a, CC_SRC2);
    }
    const x = this.extend(a, size, false);
    const y = this.extend(CC_SRC, size, false);
    const less = this.compare(OP.ltu_i32, OP.ltu_i64, size, x, y);
    const equal = this.compare(OP.eq_i32, OP.eq_i64, size, x, y);
    const t = ir.temp();
    ir.op(OP.and_i32, t, equal, CC_SRC2);
    ir.op(OP.or_i32, t, t, less);
    return t;
  }

  /**
   * Condition code cc (0..15): a slot whose low 32 bits are non-zero if the condition holds, or if it does not when
   * `condInverted` is set on return.
   */
  cond(cc: number): number {
    this.condInverted = (cc & 1) !== 0;
    this.condBool = true;
    if (this.ccOp & CC_STEP) return this.condStep(cc);
    switch (cc >> 1) {
      case 1:
        return this.carry();
      case 2:
        return this.condZero();
      case 3:
        return this.condBelowEqual();
      case 4:
        return this.condSign(cc);
      case 6:
        return this.condLess(cc);
      case 7:
        return this.condLessEqual(cc);
      default:
        return this.condEflagsOr(cc);
    }
  }

  /** Condition as 0 or 1. */
  cond01(cc: number): number {
    const slot = this.cond(cc);
    if (!this.condInverted && this.condBool) return slot;
    const t = this.ir.temp();
    this.ir.imm(this.condInverted ? OP.eq_i32_imm : OP.ne_i32_imm, t, slot, 0);
    return t;
  }

  private condSign(cc: number): number {
    const kind = this.ccKind;
    const helper = kind === CC_EFLAGS || kind === CC_DYNAMIC || kind === CC_POPCNT || kind === CC_BITSCAN8;
    return helper ? this.condEflagsOr(cc) : this.sign();
  }

  /** Conditions after `flagsStep`. */
  private condStep(cc: number): number {
    const size = 1 << ((this.ccOp >> CC_STEP_SIZE_SHIFT) & 3);
    const kind = cc >> 1;
    if (kind === 1) return this.carry();
    if (kind === 2)
      return this.compareImm(OP.eq_i32_imm, OP.eq_i64_imm, size, this.extend(CC_ID, size, false), 0, 0);
    if (kind === 4)
      return this.compareImm(OP.lts_i32_imm, OP.lts_i64_imm, size, this.extend(CC_ID, size, true), 0, 0);
    return this.condEflagsOr(cc);
  }

  private condZero(): number {
    const kind = this.ccKind;
    if (kind === CC_DYNAMIC || kind === CC_EFLAGS) return this.condEflagsOr(this.condInverted ? 5 : 4);
    if (this.pendKind === P_CMP)
      return this.compareSub(OP.eq_i32, OP.eq_i64, OP.eq_i32_imm, OP.eq_i64_imm, false);
    if (this.pendKind === P_TEST && (this.ccSize === 4 || (this.ccSize < 4 && this.pendB === -1)))
      return this.testNonZero();
    if (this.pendKind === P_RESULT && this.ccSize === 4) {
      // The 32-bit result itself tells.
      this.condInverted = !this.condInverted;
      this.condBool = false;
      return this.pendA;
    }
    return this.zero();
  }

  /** TEST of 32 bits, or of a byte or word with an immediate: the AND itself serves as the negated condition. */
  private testNonZero(): number {
    this.condInverted = !this.condInverted;
    this.condBool = false;
    const t = this.ir.temp();
    if (this.pendB === -1) this.ir.imm64(OP.and_i32_imm, t, this.pendA, this.pendLo, this.pendHi);
    else this.ir.op(OP.and_i32, t, this.pendA, this.pendB);
    return t;
  }

  private condBelowEqual(): number {
    const kind = this.ccKind;
    if ((this.ccOp & CC_CO_MASK) === 0) {
      if (kind === CC_SUB8)
        return this.compareSub(OP.leu_i32, OP.leu_i64, OP.leu_i32_imm, OP.leu_i64_imm, false);
      if (kind === CC_LOGIC8) return this.condZero();
    }
    return this.condEflagsOr(this.condInverted ? 7 : 6);
  }

  private condLess(cc: number): number {
    if ((this.ccOp & CC_CO_MASK) === 0 || (this.ccOp & CC_CO_MASK) === CC_CO_CARRY) {
      const kind = this.ccKind;
      if (kind === CC_SUB8)
        return this.compareSub(OP.lts_i32, OP.lts_i64, OP.lts_i32_imm, OP.lts_i64_imm, true);
      if (kind === CC_LOGIC8) return this.sign();
      if (kind === CC_DEC8) return this.beforeDec(OP.lts_i32_imm, OP.lts_i64_imm);
    }
    return this.condEflagsOr(cc);
  }

  private condLessEqual(cc: number): number {
    if ((this.ccOp & CC_CO_MASK) === 0 || (this.ccOp & CC_CO_MASK) === CC_CO_CARRY) {
      const kind = this.ccKind;
      if (kind === CC_SUB8)
        return this.compareSub(OP.les_i32, OP.les_i64, OP.les_i32_imm, OP.les_i64_imm, true);
      if (kind === CC_LOGIC8) {
        const size = this.ccSize;
        return this.compareImm(
          OP.les_i32_imm,
          OP.les_i64_imm,
          size,
          this.extend(this.resultSlot(), size, true),
          0,
          0,
        );
      }
      if (kind === CC_DEC8) return this.beforeDec(OP.les_i32_imm, OP.les_i64_imm);
    }
    return this.condEflagsOr(cc);
  }

  /** Signed comparison of the value before DEC with 1. */
  private beforeDec(op32: number, op64: number): number {
    const size = this.ccSize;
    const t = this.ir.temp();
    this.ir.imm(size === 8 ? OP.add_i64_imm : OP.add_i32_imm, t, this.resultSlot(), 1);
    return this.compareImm(op32, op64, size, this.extend(t, size, true), 1, 0);
  }

  /** RFLAGS mask of the conditions that are one flag or an OR of flags, by cc >> 1; 0: others. */
  private condEflagsOr(cc: number): number {
    const t = this.ir.temp();
    const mask = [0x800, 0x1, 0x40, 0x41, 0x80, 0x4, 0, 0][cc >> 1]!;
    if (this.ccOp === CC_EFLAGS && mask !== 0) {
      this.condInverted = (cc & 1) !== 0;
      this.condBool = false;
      this.ir.imm(OP.and_i32_imm, t, CC_SRC, mask);
      return t;
    }
    this.syncFlags();
    this.condInverted = false;
    const n = this.ir.temp();
    this.ir.movi(n, cc);
    this.ir.call(HELPER.cc_cond, t, n);
    return t;
  }
}

/** Overrides of rotates by operand size. */
export function rotateOverride(left: boolean, size: number): number {
  return (left ? CC_CO_ROL8 : CC_CO_ROR8) + (sizeLog(size) << 8);
}
