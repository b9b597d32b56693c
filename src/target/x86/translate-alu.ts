import { OP } from '../../ir/ops.ts';
import {
  CC_ADC8,
  CC_ADD8,
  CC_DEC8,
  CC_DST,
  CC_INC8,
  CC_SBB8,
  CC_SRC,
  CC_SRC2,
  CC_SUB8,
  RAX,
  RBX,
  RCX,
  RDX,
} from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { sizeLog } from './lazy-flags.ts';
import { RMW } from './operands.ts';
import type { Translator } from './translator.ts';

/** Opcodes of a two-operand operation: 32 and 64 bits, then with an immediate. */
type Ops = readonly [number, number, number, number];
const ADD: Ops = [OP.add_i32, OP.add_i64, OP.add_i32_imm, OP.add_i64_imm];
const SUB: Ops = [OP.sub_i32, OP.sub_i64, OP.sub_i32_imm, OP.sub_i64_imm];
const AND: Ops = [OP.and_i32, OP.and_i64, OP.and_i32_imm, OP.and_i64_imm];
const OR: Ops = [OP.or_i32, OP.or_i64, OP.or_i32_imm, OP.or_i64_imm];
const XOR: Ops = [OP.xor_i32, OP.xor_i64, OP.xor_i32_imm, OP.xor_i64_imm];

/** Flags of a result: `cc` is CC_ADD8 or CC_SUB8, 0 for logic. */
function resultFlags(t: Translator, cc: number, size: number, result: number, src: number): void {
  if (cc === 0) t.flagsLogic(size, result);
  else t.flagsResult(cc, size, result, src);
}

function binaryImm(t: Translator, ops: Ops, cc: number): void {
  const size = t.size(0);
  const op = size === 8 ? ops[3] : ops[2];
  const a = t.load(0, RMW);
  let d: number;
  if (t.isMemory(0)) {
    d = t.temp();
    t.ir.imm64(op, d, a, t.immLo, t.immHi);
    t.store(0, d);
  } else {
    t.killFlags();
    d = t.dst(0);
    t.ir.imm64(op, d, a, t.immLo, t.immHi);
    t.commit(0, d);
  }
  if (cc === 0) t.flagsLogic(size, d);
  else t.flagsResultImm(cc, size, d, t.immLo, t.immHi);
}

/** The register of operand 0 shares its slot with value slot b. */
function aliases(t: Translator, b: number): boolean {
  const reg = t.gpr(0);
  return b < 0x80 && reg >= 0 && (reg << 3 === b || t.size(0) === 1);
}

function binary(t: Translator, ops: Ops, cc: number): void {
  if (t.isImmediate(1)) return binaryImm(t, ops, cc);
  const size = t.size(0);
  const op = size === 8 ? ops[1] : ops[0];
  const a = t.load(0, RMW);
  let b = t.load(1);
  let d: number;
  if (t.isMemory(0)) {
    d = t.temp();
    t.ir.op(op, d, a, b);
    t.store(0, d);
  } else {
    t.killFlags();
    if (cc !== 0 && aliases(t, b)) {
      t.ir.op(OP.mov, CC_SRC, b);
      b = CC_SRC;
    }
    d = t.dst(0);
    t.ir.op(op, d, a, b);
    t.commit(0, d);
  }
  resultFlags(t, cc, size, d, b);
}

/** XOR r,r and SUB r,r: zero. */
function zeroIdiom(t: Translator): boolean {
  const reg = t.gpr(0);
  if (reg < 0 || reg !== t.gpr(1) || t.size(0) < 4) return false;
  t.killFlags();
  const d = t.gprDst(reg);
  t.ir.movi(d, 0);
  t.flagsLogic(t.size(0), d);
  return true;
}

/** Flags of ADC and SBB, all words written. */
function carryFlags(t: Translator, cc: number, size: number, carry: number, b: number): void {
  t.killFlags();
  t.ir.op(OP.mov, CC_SRC2, carry);
  if (t.isImmediate(1)) t.ir.movi64(CC_SRC, t.immLo, t.immHi);
  else t.ir.op(OP.mov, CC_SRC, b);
  t.flagsWritten(cc + sizeLog(size));
}

function withCarry(t: Translator, ops: Ops, cc: number): void {
  const size = t.size(0);
  const op = size === 8 ? ops[1] : ops[0];
  const a = t.load(0, RMW);
  const b = t.isImmediate(1) ? -1 : t.load(1);
  const carry = t.carry();
  const sum = t.temp();
  if (b < 0) t.ir.imm64(size === 8 ? ops[3] : ops[2], sum, a, t.immLo, t.immHi);
  else t.ir.op(op, sum, a, b);
  if (t.isMemory(0)) {
    const r = t.temp();
    t.ir.op(op, r, sum, carry);
    t.store(0, r);
    carryFlags(t, cc, size, carry, b);
    t.ir.op(OP.mov, CC_DST, r);
  } else {
    carryFlags(t, cc, size, carry, b);
    t.ir.op(op, CC_DST, sum, CC_SRC2);
    t.storeZ(0, CC_DST);
  }
}

/** SBB r,r: minus the carry. */
function sbbSelf(t: Translator): boolean {
  const reg = t.gpr(0);
  const size = t.size(0);
  if (reg < 0 || reg !== t.gpr(1) || size < 4) return false;
  const carry = t.carry();
  t.killFlags();
  t.ir.op(OP.mov, CC_SRC, carry);
  const d = t.gprDst(reg);
  t.ir.op(size === 8 ? OP.neg_i64 : OP.neg_i32, d, CC_SRC);
  t.flagsResult(CC_SUB8, size, d, CC_SRC);
  return true;
}

function step(t: Translator, delta: number, cc: number): void {
  const size = t.size(0);
  const op = size === 8 ? OP.add_i64_imm : OP.add_i32_imm;
  const a = t.load(0, RMW);
  if (t.carryIsDynamic) {
    const r = t.isMemory(0) ? t.temp() : t.dst(0);
    t.ir.imm(op, r, a, delta);
    t.commit(0, r);
    return t.flagsStep(size, delta < 0, r);
  }
  const carry = t.carry();
  let d: number;
  if (t.isMemory(0)) {
    d = t.temp();
    t.ir.imm(op, d, a, delta);
    t.store(0, d);
    t.killFlags();
    if (carry !== CC_SRC) t.ir.op(OP.mov, CC_SRC, carry);
  } else {
    t.killFlags();
    if (carry !== CC_SRC) t.ir.op(OP.mov, CC_SRC, carry);
    d = t.dst(0);
    t.ir.imm(op, d, a, delta);
    t.commit(0, d);
  }
  t.flagsResult(cc, size, d, CC_SRC);
}

/** Zero-extended operand of a narrow comparison, the slot itself otherwise. */
function compareOperand(t: Translator, n: number): number {
  return t.size(0) < 4 ? t.loadZ(n) : t.load(n);
}

function cmp(t: Translator): void {
  const size = t.size(0);
  const a = compareOperand(t, 0);
  if (t.isImmediate(1)) return t.flagsCmpImm(size, a, t.immLo, t.immHi);
  t.flagsCmp(size, a, compareOperand(t, 1));
}

function test(t: Translator): void {
  const size = t.size(0);
  const a = t.load(0);
  if (t.isImmediate(1)) t.flagsTestImm(size, a, t.immLo, t.immHi);
  else t.flagsTest(size, a, t.load(1));
}

function neg(t: Translator): void {
  const size = t.size(0);
  const op = size === 8 ? OP.neg_i64 : OP.neg_i32;
  const a = t.load(0, RMW);
  if (t.isMemory(0)) {
    const d = t.temp();
    t.ir.op(op, d, a);
    t.store(0, d);
    return t.flagsResult(CC_SUB8, size, d, a);
  }
  t.killFlags();
  t.ir.op(OP.mov, CC_SRC, a);
  const d = t.dst(0);
  t.ir.op(op, d, CC_SRC);
  t.commit(0, d);
  t.flagsResult(CC_SUB8, size, d, CC_SRC);
}

function not(t: Translator): void {
  const a = t.load(0, RMW);
  const d = t.isMemory(0) ? t.temp() : t.dst(0);
  t.ir.op(t.size(0) === 8 ? OP.not_i64 : OP.not_i32, d, a);
  t.commit(0, d);
}

function xadd(t: Translator): void {
  const size = t.size(0);
  const a = t.load(0, RMW);
  const b = t.load(1);
  const r = t.temp();
  t.ir.op(size === 8 ? OP.add_i64 : OP.add_i32, r, a, b);
  if (t.isMemory(0)) t.store(0, r);
  t.killFlags();
  t.ir.op(OP.mov, CC_SRC, b);
  const old = t.temp();
  t.ir.op(OP.mov, old, a);
  t.store(1, old);
  if (!t.isMemory(0)) t.storeZ(0, r);
  t.flagsResult(CC_ADD8, size, r, CC_SRC);
}

/** Only ZF changes: to the 0/1 value in a slot. */
export function setZeroFlag(t: Translator, zf: number): void {
  const f = t.temp();
  t.ir.imm(OP.and_i32_imm, f, t.allFlags(), ~0x40);
  const z = t.temp();
  t.ir.imm(OP.shl_i32_imm, z, zf, 6);
  t.ir.op(OP.or_i32, f, f, z);
  t.flagsValue(f);
}

function cmpxchg(t: Translator): void {
  const { ir } = t;
  const size = t.size(0);
  const wide = size === 8;
  const isMem = t.isMemory(0);
  const old = t.temp();
  ir.op(OP.mov, old, t.load(0, RMW));
  const src = t.load(1);
  const diff = t.temp();
  ir.op(wide ? OP.sub_i64 : OP.sub_i32, diff, RAX, old);
  const narrow = size < 4 ? t.zext(diff, size) : diff;
  const equal = t.temp();
  ir.imm(wide ? OP.eq_i64_imm : OP.eq_i32_imm, equal, narrow, 0);
  const value = t.temp();
  ir.op4(OP.select, value, equal, !isMem && size === 4 ? t.zext(src, 4) : src, old);
  if (isMem) t.store(0, value);
  t.killFlags();
  // The accumulator receives the old value; equal already holds it, so only a 32-bit write needs the condition.
  if (size === 4) {
    const loaded = t.zext(old, 4);
    const d = t.gprDst(0);
    ir.op4(OP.select, d, equal, d, loaded);
  } else {
    t.writeReg(0, wide ? 8 : 2, wide || size === 2 ? old : lowByte(t, old));
  }
  // A register destination that does not match keeps its upper half.
  if (!isMem) t.writeReg(t.gpr(0), size === 4 ? 8 : size, value);
  t.flagsResult(CC_SUB8, size, diff, old);
}

/** AX with AL replaced. */
function lowByte(t: Translator, value: number): number {
  const r = t.temp();
  t.ir.op(OP.dep8, r, RAX, value);
  return r;
}

function cmpxchg8b(t: Translator): void {
  if (t.opSize === 8) {
    t.ea(16, RMW);
    const zf = t.callValue(HELPER.cmpxchg16b, t.eaValue());
    return setZeroFlag(t, zf);
  }
  const { ir } = t;
  t.ea(8, RMW);
  const old = t.temp();
  t.ld(OP.ld64, old);
  const equal = t.temp();
  ir.op(OP.eq_i64, equal, pair(t, RDX, RAX), old);
  const value = t.temp();
  ir.op4(OP.select, value, equal, pair(t, RCX, RBX), old);
  t.st(OP.st64, value);
  const high = t.temp();
  ir.imm(OP.shr_i64_imm, high, old, 32);
  const low = t.zext(old, 4);
  const flags = t.allFlags();
  ir.op4(OP.select, t.gprDst(0), equal, RAX, low);
  ir.op4(OP.select, t.gprDst(2), equal, RDX, high);
  const f = t.temp();
  ir.imm(OP.and_i32_imm, f, flags, ~0x40);
  const z = t.temp();
  ir.imm(OP.shl_i32_imm, z, equal, 6);
  ir.op(OP.or_i32, f, f, z);
  t.flagsValue(f);
}

/** high:low as one 64-bit value. */
export function pair(t: Translator, high: number, low: number): number {
  const h = t.temp();
  t.ir.imm(OP.shl_i64_imm, h, high, 32);
  t.ir.op(OP.or_i64, h, h, t.zext(low, 4));
  return h;
}

/** Arithmetic, logic and compare-exchange (SDM Vol. 2). */
export const aluHandlers = {
  add: (t: Translator) => binary(t, ADD, CC_ADD8),
  or: (t: Translator) => binary(t, OR, 0),
  adc: (t: Translator) => withCarry(t, ADD, CC_ADC8),
  sbb: (t: Translator) => sbbSelf(t) || withCarry(t, SUB, CC_SBB8),
  and: (t: Translator) => binary(t, AND, 0),
  sub: (t: Translator) => zeroIdiom(t) || binary(t, SUB, CC_SUB8),
  xor: (t: Translator) => zeroIdiom(t) || binary(t, XOR, 0),
  cmp,
  test,
  neg,
  not,
  xadd,
  cmpxchg,
  cmpxchg8b,
  inc: (t: Translator) => step(t, 1, CC_INC8),
  dec: (t: Translator) => step(t, -1, CC_DEC8),
};
