import { NO_SLOT, OP } from '../../ir/ops.ts';
import { HELPER } from './helpers.ts';
import type { Handler, Translator } from './translator.ts';
import { callOffsets, enterMmx, mmxSlot, shuffle, source, unavailable, writeMmx } from './vector-operands.ts';

/** Arithmetic that the back ends inline; its slow path is the helper of the same name. */
function inline(op: number, helper: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    t.flushFlags();
    t.ir.op4(op, t.xmmReg, t.xmmReg, s, 0, helper, t.ir.restore);
  };
}

/** helper(d, s [, c]) */
function binary(helper: number, c?: number): Handler {
  return (t) => {
    if (!t.sseUnavailable()) callOffsets(t, helper, t.xmmReg, source(t, 1), c);
  };
}

/** helper(kind, d, s) */
function kinded(helper: number, kind: (t: Translator) => number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    callOffsets(t, helper, kind(t), t.xmmReg, s);
  };
}

function convert(kind: number): Handler {
  return kinded(HELPER.sse_convert, () => kind);
}

/** helper(d, s, imm8) */
function withImm(helper: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    callOffsets(t, helper, t.xmmReg, s, t.immLo & 255);
  };
}

/** Operation of `sse_packed` by opcode 51, 58, 59, 5C..5F. */
const PACKED: Readonly<Record<number, number>> = {
  0x51: 6,
  0x58: 0,
  0x59: 2,
  0x5c: 1,
  0x5d: 4,
  0x5e: 3,
  0x5f: 5,
};
/** Operation of `sse_horizontal`. */
const HORIZONTAL: Readonly<Record<number, number>> = { 0xd0: 0, 0x7c: 1, 0x7d: 2 };
const F64 = 8;

/** 0 = PS, 1 = SS, 2 = PD, 3 = SD by mandatory prefix. */
function formOf(t: Translator): number {
  if (t.repPrefix === 0xf3) return 1;
  if (t.repPrefix === 0xf2) return 3;
  return t.opPrefix ? 2 : 0;
}

/** COMISS, COMISD, UCOMISS, UCOMISD. */
function comi(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const kind = (t.size(1) === 8 ? 1 : 0) | (t.opcode === 0x2f ? 2 : 0);
  t.flagsValue(t.callValue(HELPER.sse_comi, t.constant(kind), t.constant(t.xmmReg), t.constant(s)));
}

function fromInt(wide: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const value = t.load(1);
    t.call(
      HELPER.sse_from_int,
      NO_SLOT,
      t.constant(wide | (t.size(1) === 8 ? 2 : 0)),
      t.constant(t.xmmReg),
      value,
    );
  };
}

function toInt(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const size = t.size(0);
  const kind = (t.size(1) === 8 ? 1 : 0) | (size === 8 ? 2 : 0) | (t.opcode === 0x2c ? 4 : 0);
  t.writeRegZ(t.reg, size, t.callValue(HELPER.sse_to_int, t.constant(kind), t.constant(s)));
}

/** CVTPI2PS (kind 8), CVTPI2PD (3). */
function fromMmx(kind: number): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const s = source(t, 1);
    if (!t.isMem || kind === 8) enterMmx(t);
    callOffsets(t, HELPER.sse_convert, kind, t.xmmReg, s);
  };
}

/** CVTPS2PI, CVTTPS2PI, CVTPD2PI, CVTTPD2PI. */
function toMmx(t: Translator): void {
  if (unavailable(t)) return;
  const s = source(t, 1);
  enterMmx(t);
  const kind = (t.opPrefix ? 11 : 9) + (t.opcode === 0x2c ? 1 : 0);
  callOffsets(t, HELPER.sse_convert, kind, mmxSlot(t.reg), s);
  writeMmx(t, t.reg, mmxSlot(t.reg));
}

function shufps(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  shuffle(t, t.xmmReg, t.xmmReg, s, (i) => {
    const lane = i >> 2;
    return (lane >= 2 ? 16 : 0) + (((t.immLo >> (lane * 2)) & 3) << 2) + (i & 3);
  });
}

function shufpd(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  shuffle(
    t,
    t.xmmReg,
    t.xmmReg,
    s,
    (i) => (i & 8 ? 16 + (((t.immLo >> 1) & 1) << 3) : (t.immLo & 1) << 3) + (i & 7),
  );
}

export const simdFloatHandlers = {
  addss: inline(OP.fadd_f32, HELPER.fadd_f32),
  addsd: inline(OP.fadd_f64, HELPER.fadd_f64),
  subss: inline(OP.fsub_f32, HELPER.fsub_f32),
  subsd: inline(OP.fsub_f64, HELPER.fsub_f64),
  mulss: inline(OP.fmul_f32, HELPER.fmul_f32),
  mulsd: inline(OP.fmul_f64, HELPER.fmul_f64),
  divss: inline(OP.fdiv_f32, HELPER.fdiv_f32),
  divsd: inline(OP.fdiv_f64, HELPER.fdiv_f64),
  sqrtss: binary(HELPER.fsqrt_f32),
  sqrtsd: binary(HELPER.fsqrt_f64),
  minss: binary(HELPER.fminmax_f32, 0),
  minsd: binary(HELPER.fminmax_f64, 0),
  maxss: binary(HELPER.fminmax_f32, 1),
  maxsd: binary(HELPER.fminmax_f64, 1),
  packedFloat: kinded(HELPER.sse_packed, (t) => PACKED[t.opcode]! | (t.opPrefix ? F64 : 0)),
  horizontalFloat: kinded(HELPER.sse_horizontal, (t) => HORIZONTAL[t.opcode]! | (t.opPrefix ? F64 : 0)),
  rcpps: kinded(HELPER.sse_approx, () => 0),
  rsqrtps: kinded(HELPER.sse_approx, () => 1),
  rcpss: kinded(HELPER.sse_approx, () => 2),
  rsqrtss: kinded(HELPER.sse_approx, () => 3),
  cmpFloat: kinded(HELPER.sse_cmp, (t) => formOf(t) | ((t.immLo & 7) << 2)),
  comi,
  dpps: withImm(HELPER.sse_dpps),
  dppd: withImm(HELPER.sse_dppd),
  roundFloat: kinded(HELPER.sse_round, (t) => [0, 2, 1, 3][t.opcode & 3]! | ((t.immLo & 255) << 8)),
  shufps,
  shufpd,
  cvtsi2ss: fromInt(0),
  cvtsi2sd: fromInt(1),
  cvtToSi: toInt,
  cvtss2sd: binary(HELPER.sse_f32_to_f64),
  cvtsd2ss: binary(HELPER.sse_f64_to_f32),
  cvtps2pd: convert(0),
  cvtpd2ps: convert(1),
  cvtdq2ps: convert(2),
  cvtdq2pd: convert(3),
  cvtps2dq: convert(4),
  cvttps2dq: convert(5),
  cvtpd2dq: convert(6),
  cvttpd2dq: convert(7),
  cvtpi2ps: fromMmx(8),
  cvtpi2pd: fromMmx(3),
  cvtToPi: toMmx,
} as const satisfies Record<string, Handler>;
