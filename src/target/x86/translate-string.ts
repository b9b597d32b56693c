import { OP } from '../../ir/ops.ts';
import { DF_STEP, DS, ES, RAX, RDI, RSI } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { sizeLog } from './lazy-flags.ts';
import { loadOp, READ, storeOp, WRITE } from './operands.ts';
import type { Translator } from './translator.ts';

function sourceSegment(t: Translator): number {
  return t.segOverride >= 0 ? t.segOverride : DS;
}

/** Points `ld` and `st` at the element in rSI or rDI. */
function element(t: Translator, register: number, size: number, access: number): void {
  const offset = t.addrSize === 8 ? register : t.zext(register, t.addrSize);
  t.linear(offset, register === RDI ? ES : sourceSegment(t), size, access);
}

/** Distance to the next element: ±size. */
function stringStep(t: Translator, size: number): number {
  if (size === 1) return DF_STEP;
  const r = t.temp();
  t.ir.imm(OP.shl_i64_imm, r, DF_STEP, sizeLog(size));
  return r;
}

function advance(t: Translator, register: number, step: number): void {
  const d = t.gprDst(register >> 3);
  if (t.addrSize === 8) return t.ir.op(OP.add_i64, d, d, step);
  if (t.addrSize === 4) return t.ir.op(OP.add_i32, d, d, step);
  const r = t.temp();
  t.ir.op(OP.add_i32, r, d, step);
  t.ir.op(OP.dep16, d, d, r);
}

/** Argument of the repeated forms, see helpers-integer.ts. */
function stringInfo(t: Translator, size: number): number {
  const repne = t.repPrefix === 0xf2 ? 0x1000 : 0;
  const rep = t.repPrefix !== 0 ? 0x2000 : 0;
  return t.constant(size | (t.addrSize << 4) | (sourceSegment(t) << 8) | repne | rep);
}

/** Repeats in the runtime; the block ends and comes back to the same instruction while it is not complete. */
function repeated(t: Translator, helper: number, size: number): void {
  const done = t.callValue(helper, stringInfo(t, size));
  t.branch(done, true, t.ripLo, t.ripHi);
}

function movs(t: Translator): void {
  const size = t.size(0);
  if (t.repPrefix) return repeated(t, HELPER.rep_movs, size);
  const v = t.temp();
  element(t, RSI, size, READ);
  t.ld(loadOp(size), v);
  element(t, RDI, size, WRITE);
  t.st(storeOp(size), v);
  const step = stringStep(t, size);
  advance(t, RSI, step);
  advance(t, RDI, step);
}

function stos(t: Translator): void {
  const size = t.size(0);
  if (t.repPrefix) return repeated(t, HELPER.rep_stos, size);
  element(t, RDI, size, WRITE);
  t.st(storeOp(size), RAX);
  advance(t, RDI, stringStep(t, size));
}

function lods(t: Translator): void {
  const size = t.size(0);
  if (t.repPrefix) return repeated(t, HELPER.rep_lods, size);
  const v = t.temp();
  element(t, RSI, size, READ);
  t.ld(loadOp(size), v);
  advance(t, RSI, stringStep(t, size));
  t.writeRegZ(0, size, v);
}

function cmps(t: Translator): void {
  const size = t.size(0);
  if (t.repPrefix) return repeated(t, HELPER.rep_cmps, size);
  const a = t.temp();
  const b = t.temp();
  element(t, RSI, size, READ);
  t.ld(loadOp(size), a);
  element(t, RDI, size, READ);
  t.ld(loadOp(size), b);
  const step = stringStep(t, size);
  advance(t, RSI, step);
  advance(t, RDI, step);
  t.flagsCmp(size, a, b);
}

function scas(t: Translator): void {
  const size = t.size(0);
  if (t.repPrefix) return repeated(t, HELPER.rep_scas, size);
  const b = t.temp();
  element(t, RDI, size, READ);
  t.ld(loadOp(size), b);
  advance(t, RDI, stringStep(t, size));
  t.flagsCmp(size, size < 4 ? t.zext(RAX, size) : RAX, b);
}

/** INS and OUTS always go through the runtime: permission checks, device access. */
function portString(t: Translator, helper: number, memoryOperand: number): void {
  const size = t.size(memoryOperand);
  if (t.repPrefix) return repeated(t, helper, size);
  t.call(helper, undefined, stringInfo(t, size));
}

/** String instructions (SDM Vol. 1 7.3.9). */
export const stringHandlers = {
  movs,
  stos,
  lods,
  cmps,
  scas,
  ins: (t: Translator) => portString(t, HELPER.io_ins, 0),
  outs: (t: Translator) => portString(t, HELPER.io_outs, 1),
};
