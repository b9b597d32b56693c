import { OP } from '../../ir/ops.ts';
import {
  CC_CO,
  CC_CO_FLAGS,
  CC_CO_MASK,
  CC_DST,
  CC_OP,
  CC_SHL8,
  CC_SHR8,
  CC_SRC,
  CC_STEP_OLD_OF,
  RCX,
  SCRATCH,
} from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { rotateOverride, sizeLog } from './lazy-flags.ts';
import { K_CX, K_ONE } from './operand-codes.ts';
import { RMW } from './operands.ts';
import type { Translator } from './translator.ts';

/** SHL, SHR or SAR: opcodes for 32 and 64 bits (the immediate forms follow), flag kind, signedness of the operand. */
interface Shift {
  readonly op32: number;
  readonly op64: number;
  readonly imm32: number;
  readonly imm64: number;
  readonly cc: number;
}
const SHL: Shift = {
  op32: OP.shl_i32,
  op64: OP.shl_i64,
  imm32: OP.shl_i32_imm,
  imm64: OP.shl_i64_imm,
  cc: CC_SHL8,
};
const SHR: Shift = {
  op32: OP.shr_i32,
  op64: OP.shr_i64,
  imm32: OP.shr_i32_imm,
  imm64: OP.shr_i64_imm,
  cc: CC_SHR8,
};
const SAR: Shift = {
  op32: OP.sar_i32,
  op64: OP.sar_i64,
  imm32: OP.sar_i32_imm,
  imm64: OP.sar_i64_imm,
  cc: CC_SHR8,
};

function countMask(size: number): number {
  return size === 8 ? 63 : 31;
}

/** Constant count, masked; -1 if the count is in CL. Operand n holds the count. */
function constantCount(t: Translator, n: number, size: number): number {
  const kind = t.operandKind(n);
  if (kind === K_CX) return -1;
  return kind === K_ONE ? 1 : t.immLo & countMask(size);
}

/** The operand as the shift sees it: narrow right shifts need the bits above. */
function shiftOperand(t: Translator, shift: Shift): number {
  const size = t.size(0);
  const a = t.load(0, RMW);
  if (size >= 4 || shift === SHL) return a;
  return shift === SAR ? t.sext(a, size) : t.isMemory(0) ? a : t.zext(a, size);
}

/** A count of zero changes nothing, except that a 32-bit register is still written; memory must be writable all the same. */
function zeroCount(t: Translator): void {
  if (t.isMemory(0)) t.load(0, RMW);
  if (t.gpr(0) >= 0 && t.size(0) === 4) t.writeReg(t.gpr(0), 4, t.load(0));
}

function shiftBy(t: Translator, shift: Shift): void {
  const size = t.size(0);
  const count = constantCount(t, 1, size);
  if (count < 0) return shiftByCl(t, shift);
  if (count === 0) return zeroCount(t);
  const { ir } = t;
  const op = size === 8 ? shift.imm64 : shift.imm32;
  const a = shiftOperand(t, shift);
  if (t.isMemory(0)) {
    const r = t.temp();
    ir.imm(op, r, a, count);
    t.store(0, r);
    t.killFlags();
    before(t, op, a, count);
    return t.flagsResult(shift.cc, size, r, CC_SRC);
  }
  t.killFlags();
  before(t, op, a, count);
  const d = t.dst(0);
  ir.imm(op, d, a, count);
  t.commit(0, d);
  t.flagsResult(shift.cc, size, d, CC_SRC);
}

/** CC_SRC = the operand shifted by one less. */
function before(t: Translator, op: number, a: number, count: number): void {
  if (count === 1) t.ir.op(OP.mov, CC_SRC, a);
  else t.ir.imm(op, CC_SRC, a, count - 1);
}

function maskedCl(t: Translator, size: number): number {
  const c = t.temp();
  t.ir.imm(OP.and_i32_imm, c, RCX, countMask(size));
  return c;
}

/** Stores a result and sets shift flags unless the count in slot c is zero. */
function finishByCl(t: Translator, cc: number, c: number, r: number, pre: number): void {
  const { ir } = t;
  const size = t.size(0);
  if (t.isMemory(0)) t.store(0, r);
  t.syncFlags();
  ir.op4(OP.select, CC_DST, c, r, CC_DST);
  ir.op4(OP.select, CC_SRC, c, pre, CC_SRC);
  ir.op4(OP.select, CC_OP, c, t.constant(cc + sizeLog(size)), CC_OP);
  t.flagsDynamic();
  if (!t.isMemory(0)) {
    if (size === 4) t.writeRegZ(t.gpr(0), 4, r);
    else t.store(0, r);
  }
}

function shiftByCl(t: Translator, shift: Shift): void {
  const { ir } = t;
  const size = t.size(0);
  const op = size === 8 ? shift.op64 : shift.op32;
  const a = shiftOperand(t, shift);
  const c = maskedCl(t, size);
  const r = t.temp();
  ir.op(op, r, a, c);
  const less = t.temp();
  ir.imm(OP.sub_i32_imm, less, c, 1);
  const pre = t.temp();
  ir.op(op, pre, a, less);
  finishByCl(t, shift.cc, c, r, pre);
}

// ---- rotates

/** The operand repeated to fill 32 bits, so that a 32-bit rotate does for all sizes. */
function rotateOperand(t: Translator): number {
  const size = t.size(0);
  const a = t.load(0, RMW);
  if (size >= 4) return a;
  const r = t.temp();
  t.ir.imm(OP.mul_i32_imm, r, t.isMemory(0) ? a : t.zext(a, size), size === 1 ? 0x01010101 : 0x00010001);
  return r;
}

function rotate(t: Translator, left: boolean): void {
  const size = t.size(0);
  const count = constantCount(t, 1, size);
  if (count === 0) return zeroCount(t);
  if (count < 0) return rotateByCl(t, left);
  const wide = size === 8;
  const op = left ? (wide ? OP.rotl_i64_imm : OP.rotl_i32_imm) : wide ? OP.rotr_i64_imm : OP.rotr_i32_imm;
  const a = rotateOperand(t);
  const d = t.isMemory(0) ? t.temp() : t.dst(0);
  t.ir.imm(op, d, a, count);
  t.commit(0, d);
  t.flagsOverride(rotateOverride(left, size), d);
}

function rotateByCl(t: Translator, left: boolean): void {
  const { ir } = t;
  const size = t.size(0);
  const wide = size === 8;
  const a = rotateOperand(t);
  const c = maskedCl(t, size);
  const r = t.temp();
  ir.op(left ? (wide ? OP.rotl_i64 : OP.rotl_i32) : wide ? OP.rotr_i64 : OP.rotr_i32, r, a, c);
  if (t.isMemory(0)) t.store(0, r);
  t.syncFlags();
  const kind = t.temp();
  ir.imm(OP.and_i32_imm, kind, CC_OP, ~CC_CO_MASK);
  ir.imm(OP.or_i32_imm, kind, kind, rotateOverride(left, size) | CC_STEP_OLD_OF);
  ir.op4(OP.select, CC_CO, c, r, CC_CO);
  ir.op4(OP.select, CC_OP, c, kind, CC_OP);
  t.flagsDynamic();
  if (!t.isMemory(0)) t.storeZ(0, r);
}

/** RCL and RCR by one: the carry comes in at one end, the other end goes out. */
function rotateCarryOnce(t: Translator, left: boolean): void {
  const { ir } = t;
  const size = t.size(0);
  const bits = size * 8;
  const a = t.loadZ(0, RMW);
  const carry = t.carry();
  const r = t.temp();
  const out = t.temp();
  if (left) {
    ir.imm(OP.shl_i64_imm, r, a, 1);
    ir.op(OP.or_i64, r, r, carry);
    ir.imm(OP.shr_i64_imm, out, a, bits - 1);
  } else {
    const high = t.temp();
    ir.imm(OP.shl_i64_imm, high, carry, bits - 1);
    ir.imm(OP.shr_i64_imm, r, a, 1);
    ir.op(OP.or_i64, r, r, high);
    ir.imm(OP.and_i64_imm, out, a, 1);
  }
  // OF: left: top bit of the result ^ CF; right: xor of the two top bits.
  const of = t.temp();
  ir.imm(OP.shr_i64_imm, of, r, bits - 1);
  if (left) {
    ir.op(OP.xor_i64, of, of, out);
  } else {
    const next = t.temp();
    ir.imm(OP.shr_i64_imm, next, r, bits - 2);
    ir.op(OP.xor_i64, of, of, next);
  }
  ir.imm(OP.and_i32_imm, of, of, 1);
  ir.imm(OP.shl_i32_imm, of, of, 11);
  ir.op(OP.or_i32, of, of, out);
  t.store(0, r);
  t.flagsOverride(CC_CO_FLAGS, of);
}

function rotateCarry(t: Translator, left: boolean): void {
  const { ir } = t;
  const size = t.size(0);
  const count = constantCount(t, 1, size);
  if (count === 1) return rotateCarryOnce(t, left);
  if (count === 0) return zeroCount(t);
  const a = t.loadZ(0, RMW);
  const info = t.temp();
  ir.imm(OP.shl_i64_imm, info, t.allFlags(), 8);
  ir.imm(OP.or_i64_imm, info, info, size);
  const n = count < 0 ? t.zext(RCX, 1) : t.constant(count);
  const r = t.callValue(left ? HELPER.rcl : HELPER.rcr, a, n, info);
  const flags = t.temp();
  ir.op(OP.mov, flags, SCRATCH);
  t.store(0, r);
  t.flagsValue(flags);
}

// ---- double shifts

/** 16 bits: the operands side by side in 64 bits, wide enough for every count up to 31. */
function doubleShift16(t: Translator, left: boolean, a: number, b: number, count: number): number {
  const { ir } = t;
  const az = t.zext(a, 2);
  const v = t.temp();
  const mid = t.temp();
  ir.imm(OP.shl_i64_imm, v, az, 32);
  ir.imm(OP.shl_i64_imm, mid, t.zext(b, 2), 16);
  ir.op(OP.or_i64, v, v, mid);
  ir.op(OP.or_i64, v, v, az);
  const r = t.temp();
  ir.op(left ? OP.shl_i64 : OP.shr_i64, r, v, count);
  if (left) ir.imm(OP.shr_i64_imm, r, r, 32);
  return r;
}

/** 32 and 64 bits, count in a slot: (a shift c) | (b opposite-shift 1 opposite-shift (bits - 1 - c)). */
function doubleShiftWide(
  t: Translator,
  left: boolean,
  a: number,
  b: number,
  c: number,
  size: number,
): number {
  const { ir } = t;
  const wide = size === 8;
  const main = left ? (wide ? OP.shl_i64 : OP.shl_i32) : wide ? OP.shr_i64 : OP.shr_i32;
  const other = left ? (wide ? OP.shr_i64 : OP.shr_i32) : wide ? OP.shl_i64 : OP.shl_i32;
  const otherImm = left ? (wide ? OP.shr_i64_imm : OP.shr_i32_imm) : wide ? OP.shl_i64_imm : OP.shl_i32_imm;
  const r = t.temp();
  ir.op(main, r, a, c);
  const rest = t.temp();
  ir.imm(otherImm, rest, b, 1);
  const inverse = t.temp();
  ir.imm(OP.xor_i32_imm, inverse, c, size * 8 - 1);
  ir.op(other, rest, rest, inverse);
  ir.op(wide ? OP.or_i64 : OP.or_i32, r, r, rest);
  return r;
}

function doubleShiftConstant(
  t: Translator,
  left: boolean,
  a: number,
  b: number,
  count: number,
  size: number,
): number {
  const { ir } = t;
  const wide = size === 8;
  const shl = wide ? OP.shl_i64_imm : OP.shl_i32_imm;
  const shr = wide ? OP.shr_i64_imm : OP.shr_i32_imm;
  const r = t.temp();
  const rest = t.temp();
  ir.imm(left ? shl : shr, r, a, count);
  ir.imm(left ? shr : shl, rest, b, size * 8 - count);
  ir.op(wide ? OP.or_i64 : OP.or_i32, r, r, rest);
  return r;
}

function doubleShift(t: Translator, left: boolean): void {
  const { ir } = t;
  const size = t.size(0);
  const shift = left ? SHL : SHR;
  const count = constantCount(t, 2, size);
  if (count === 0) return zeroCount(t);
  const a = shiftOperand(t, shift);
  const b = t.load(1);
  if (count < 0) {
    const c = maskedCl(t, size);
    const r = size === 2 ? doubleShift16(t, left, a, b, c) : doubleShiftWide(t, left, a, b, c, size);
    const less = t.temp();
    ir.imm(OP.sub_i32_imm, less, c, 1);
    const pre = t.temp();
    ir.op(size === 8 ? shift.op64 : shift.op32, pre, a, less);
    return finishByCl(t, shift.cc, c, r, pre);
  }
  const r =
    size === 2
      ? doubleShift16(t, left, a, b, t.constant(count))
      : doubleShiftConstant(t, left, a, b, count, size);
  if (t.isMemory(0)) t.store(0, r);
  t.killFlags();
  before(t, size === 8 ? shift.imm64 : shift.imm32, a, count);
  if (!t.isMemory(0)) t.storeZ(0, r);
  t.flagsResult(shift.cc, size, r, CC_SRC);
}

/** Shifts and rotates (SDM Vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). */
export const shiftHandlers = {
  shl: (t: Translator) => shiftBy(t, SHL),
  shr: (t: Translator) => shiftBy(t, SHR),
  sar: (t: Translator) => shiftBy(t, SAR),
  rol: (t: Translator) => rotate(t, true),
  ror: (t: Translator) => rotate(t, false),
  rcl: (t: Translator) => rotateCarry(t, true),
  rcr: (t: Translator) => rotateCarry(t, false),
  shld: (t: Translator) => doubleShift(t, true),
  shrd: (t: Translator) => doubleShift(t, false),
};
