import { OP } from '../../ir/ops.ts';
import { CC_CO, CC_CO_CARRY, CC_CO_FLAGS, RDX } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import type { Translator } from './translator.ts';

/** The two sources zero-extended to 64 bits, in slots that a write of the destination does not change. */
function sources(t: Translator): readonly [number, number] {
  const copy = (slot: number): number => {
    if (slot >= 0x100) return slot;
    const d = t.temp();
    t.ir.op(OP.mov, d, slot);
    return d;
  };
  const second = copy(t.loadZ(2));
  return [copy(t.loadZ(1)), second];
}

/** Result to operand 0; SF and ZF by it, OF = 0, CF = `carry` (0 if there is none). */
function logicResult(t: Translator, result: number, carry = -1): void {
  t.killFlags();
  t.storeZ(0, result);
  t.flagsLogic(t.size(0), result);
  if (carry >= 0) t.flagsOverride(CC_CO_CARRY, carry);
}

function andn(t: Translator): void {
  const { ir } = t;
  const [a, b] = sources(t);
  const r = t.temp();
  ir.op(OP.not_i64, r, a);
  ir.op(OP.and_i64, r, r, b);
  logicResult(t, r);
}

/** BLSR, BLSMSK, BLSI: `op` of the source and the source minus 1 (BLSI: and its negation). */
function lowestBit(t: Translator, op: number, negated: boolean): void {
  const { ir } = t;
  const size = t.size(0);
  const a = t.loadZ(1);
  const other = t.temp();
  if (negated) ir.op(OP.neg_i64, other, a);
  else ir.imm(OP.add_i64_imm, other, a, -1);
  const carry = t.temp();
  ir.imm(negated ? OP.ne_i64_imm : OP.eq_i64_imm, carry, a, 0);
  const r = t.temp();
  ir.op(op, r, a, other);
  if (size === 4) ir.op(OP.ext32u, r, r);
  logicResult(t, r, carry);
}

/** (1 << n) - 1 for n up to 63, all ones above; n is zero-extended. */
function lowMask(t: Translator, n: number): number {
  const { ir } = t;
  const m = t.temp();
  ir.op(OP.shl_i64, m, t.constant(1), n);
  ir.imm(OP.add_i64_imm, m, m, -1);
  const large = t.temp();
  ir.op(OP.ltu_i64, large, t.constant(63), n);
  ir.op4(OP.select, m, large, t.constant(-1), m);
  return m;
}

function bextr(t: Translator): void {
  const { ir } = t;
  const [value, control] = sources(t);
  const start = t.zext(control, 1);
  const length = t.temp();
  ir.op(OP.ext8hu, length, control);
  const shifted = t.temp();
  ir.op(OP.shr_i64, shifted, value, start);
  const beyond = t.temp();
  ir.op(OP.ltu_i64, beyond, t.constant(63), start);
  ir.op4(OP.select, shifted, beyond, t.constant(0), shifted);
  ir.op(OP.and_i64, shifted, shifted, lowMask(t, length));
  logicResult(t, shifted);
}

function bzhi(t: Translator): void {
  const { ir } = t;
  const [value, control] = sources(t);
  const n = t.zext(control, 1);
  const r = t.temp();
  ir.op(OP.and_i64, r, value, lowMask(t, n));
  const carry = t.temp();
  ir.op(OP.ltu_i64, carry, t.constant(t.size(0) * 8 - 1), n);
  logicResult(t, r, carry);
}

function mulx(t: Translator): void {
  const { ir } = t;
  const size = t.size(0);
  const b = t.loadZ(2);
  const low = t.temp();
  const high = t.temp();
  if (size === 8) {
    ir.op(OP.mul_i64, low, RDX, b);
    ir.op(OP.mulhu_i64, high, RDX, b);
  } else {
    ir.op(OP.mul_i64, low, t.zext(RDX, 4), b);
    ir.imm(OP.shr_i64_imm, high, low, 32);
  }
  // the same register twice: the high half wins (SDM Vol. 2B MULX)
  t.writeReg(t.gpr(1), size, low);
  t.writeReg(t.gpr(0), size, high);
}

function deposit(t: Translator, helper: number): void {
  const [a, mask] = sources(t);
  const r = t.temp();
  t.ir.call(helper, r, a, mask);
  t.storeZ(0, r);
}

function shiftx(t: Translator, op32: number, op64: number): void {
  const size = t.size(0);
  const value = t.load(1);
  const count = t.load(2);
  const r = t.temp();
  t.ir.op(size === 8 ? op64 : op32, r, value, count);
  t.storeZ(0, r);
}

function rorx(t: Translator): void {
  const size = t.size(0);
  const r = t.temp();
  t.ir.imm(size === 8 ? OP.rotr_i64_imm : OP.rotr_i32_imm, r, t.load(1), t.immLo & (size * 8 - 1));
  t.storeZ(0, r);
}

/** Sum of the operands and a carry; returns the carry out (0 or 1). The sum goes to operand 0. */
function addWithCarry(t: Translator, carry: number): number {
  const { ir } = t;
  const wide = t.size(0) === 8;
  const b = t.loadZ(1);
  const a = t.loadZ(0);
  const sum = t.temp();
  const out = t.temp();
  ir.op(OP.add_i64, sum, a, b);
  if (wide) ir.op(OP.ltu_i64, out, sum, a);
  const total = t.temp();
  ir.op(OP.add_i64, total, sum, carry);
  if (wide) {
    const more = t.temp();
    ir.op(OP.ltu_i64, more, total, sum);
    ir.op(OP.or_i32, out, out, more);
  } else {
    ir.imm(OP.shr_i64_imm, out, total, 32);
  }
  t.store(0, total);
  return out;
}

/** A copy zero-extended to 64 bits: flag values are 32 bits wide. */
function bit(t: Translator, slot: number): number {
  const d = t.temp();
  t.ir.imm(OP.and_i32_imm, d, slot, 1);
  return d;
}

function adcx(t: Translator): void {
  const out = addWithCarry(t, bit(t, t.carry()));
  t.flagsSetCarry(out);
}

/** ADOX leaves CF alone: both are kept in the override word. */
function adox(t: Translator): void {
  const { ir } = t;
  const carry = bit(t, t.carry());
  const out = addWithCarry(t, bit(t, t.cond01(0)));
  ir.imm(OP.shl_i32_imm, out, out, 11);
  ir.op(OP.or_i32, CC_CO, out, carry);
  t.flagsOverride(CC_CO_FLAGS, CC_CO);
}

export const bmiHandlers = {
  andn,
  bextr,
  bzhi,
  mulx,
  rorx,
  adcx,
  adox,
  blsr: (t: Translator) => lowestBit(t, OP.and_i64, false),
  blsmsk: (t: Translator) => lowestBit(t, OP.xor_i64, false),
  blsi: (t: Translator) => lowestBit(t, OP.and_i64, true),
  pdep: (t: Translator) => deposit(t, HELPER.pdep),
  pext: (t: Translator) => deposit(t, HELPER.pext),
  shlx: (t: Translator) => shiftx(t, OP.shl_i32, OP.shl_i64),
  shrx: (t: Translator) => shiftx(t, OP.shr_i32, OP.shr_i64),
  sarx: (t: Translator) => shiftx(t, OP.sar_i32, OP.sar_i64),
};
