import { OP } from '../../ir/ops.ts';
import { CC_MUL8, CC_SRC, RAX, RDX, SCRATCH } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { pair } from './translate-alu.ts';
import type { Translator } from './translator.ts';

/** rDX:rAX = rAX * operand; CF = OF = the high half is significant. */
function mul(t: Translator): void {
  const { ir } = t;
  const size = t.size(0);
  if (size === 8) return wideMul(t, OP.mulhu_i64);
  const r = t.temp();
  ir.op(OP.mul_i64, r, t.loadZ(0), t.zext(RAX, size));
  t.killFlags();
  ir.imm(OP.shr_i64_imm, CC_SRC, r, size * 8);
  storeProduct(t, r, size);
}

function imul(t: Translator): void {
  const { ir } = t;
  const size = t.size(0);
  if (size === 8) return wideMul(t, OP.mulhs_i64);
  const r = t.temp();
  ir.op(OP.mul_i64, r, t.loadS(0), t.sext(RAX, size));
  t.killFlags();
  ir.op(OP.xor_i64, CC_SRC, r, t.sext(r, size));
  storeProduct(t, r, size);
}

/** Product of 8 bits to AX, of 16 to DX:AX, of 32 to EDX:EAX. */
function storeProduct(t: Translator, r: number, size: number): void {
  const { ir } = t;
  if (size === 1) {
    t.writeReg(0, 2, r);
  } else {
    const high = t.temp();
    ir.imm(size === 4 ? OP.shr_i64_imm : OP.shr_i32_imm, high, r, size * 8);
    t.writeReg(0, size, r);
    t.writeRegZ(2, size, high);
  }
  t.flagsResult(CC_MUL8, size, r, CC_SRC);
}

function wideMul(t: Translator, highOp: number): void {
  const { ir } = t;
  const b = t.load(0);
  const high = t.temp();
  ir.op(highOp, high, RAX, b);
  t.killFlags();
  const a = t.gprDst(0);
  ir.op(OP.mul_i64, a, RAX, b);
  ir.op(OP.mov, t.gprDst(2), high);
  if (highOp === OP.mulhs_i64) {
    ir.imm(OP.sar_i64_imm, CC_SRC, RAX, 63);
    ir.op(OP.xor_i64, CC_SRC, CC_SRC, high);
  } else {
    ir.op(OP.mov, CC_SRC, high);
  }
  t.flagsResult(CC_MUL8, 8, RAX, CC_SRC);
}

/** IMUL with two or three operands: the truncated product; CF = OF = truncation lost something. */
function imul2(t: Translator): void {
  const { ir } = t;
  const size = t.size(0);
  const immediate = t.operandKind(2) !== 0;
  const first = t.loadS(1);
  const second = immediate ? -1 : t.loadS(0);
  t.killFlags();
  if (size === 8) {
    const b = immediate ? t.constant(t.immLo, t.immHi) : second;
    const high = t.temp();
    ir.op(OP.mulhs_i64, high, first, b);
    const d = t.gprDst(t.reg);
    ir.op(OP.mul_i64, d, first, b);
    ir.imm(OP.sar_i64_imm, CC_SRC, d, 63);
    ir.op(OP.xor_i64, CC_SRC, CC_SRC, high);
    return t.flagsResult(CC_MUL8, 8, d, CC_SRC);
  }
  const r = t.temp();
  if (immediate) ir.imm(OP.mul_i64_imm, r, first, t.immLo);
  else ir.op(OP.mul_i64, r, first, second);
  ir.op(OP.xor_i64, CC_SRC, r, t.sext(r, size));
  t.store(0, r);
  t.flagsResult(CC_MUL8, size, r, CC_SRC);
}

const DIV = [HELPER.div8, HELPER.div16, HELPER.div32, HELPER.div64];
const IDIV = [HELPER.idiv8, HELPER.idiv16, HELPER.idiv32, HELPER.idiv64];

function divide(t: Translator, helpers: readonly number[]): void {
  const { ir } = t;
  const size = t.size(0);
  const divisor = t.loadZ(0);
  if (size === 8) {
    const q = t.callValue(helpers[3]!, RAX, RDX, divisor);
    ir.op(OP.mov, t.gprDst(0), q);
    ir.op(OP.mov, t.gprDst(2), SCRATCH);
  } else if (size === 4) {
    const r = t.callValue(helpers[2]!, pair(t, RDX, RAX), divisor);
    ir.op(OP.ext32u, t.gprDst(0), r);
    ir.imm(OP.shr_i64_imm, t.gprDst(2), r, 32);
  } else if (size === 2) {
    const dividend = t.temp();
    ir.imm(OP.shl_i32_imm, dividend, RDX, 16);
    ir.op(OP.or_i32, dividend, dividend, t.zext(RAX, 2));
    const r = t.callValue(helpers[1]!, dividend, divisor);
    t.writeReg(0, 2, r);
    const high = t.temp();
    ir.imm(OP.shr_i32_imm, high, r, 16);
    t.writeReg(2, 2, high);
  } else {
    t.writeReg(0, 2, t.callValue(helpers[0]!, t.zext(RAX, 2), divisor));
  }
}

/** Multiplication and division (SDM Vol. 2). The flags after a division are undefined; they stay. */
export const mulDivHandlers = {
  mul,
  imul,
  imul2,
  div: (t: Translator) => divide(t, DIV),
  idiv: (t: Translator) => divide(t, IDIV),
};
