import { NO_SLOT, OP } from '../../ir/ops.ts';
import { HELPER } from './helpers.ts';
import type { Handler, Translator } from './translator.ts';
import {
  callOffsets,
  enterMmx,
  faulting,
  faultingScalar,
  first,
  lanes,
  lanewise,
  lastSource,
  mmxSlot,
  registers,
  scalarResult,
  shuffle,
  source,
  unavailable,
  upper,
  writeMmx,
} from './vector-operands.ts';

/** Scalar arithmetic that the back ends inline; its slow path is the helper of the same name. */
function inline(op: number, helper: number, size: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    const a = first(t);
    const d = t.xmmReg;
    t.flushFlags();
    t.ir.op4(op, d, a, b, 0, helper, t.ir.restore);
    if (a === d) return;
    if (size === 4) {
      const lane = t.temp();
      t.ir.op(OP.get32u, lane, a + 4);
      t.ir.op(OP.put32, d + 4, lane);
    }
    t.ir.op(OP.mov, d + 8, a + 8);
  };
}

/** Packed arithmetic that the back ends inline: one operation for 128 bits, one for 256. */
function inlinePacked(op: number, op256: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    t.flushFlags();
    t.ir.op4(lanes(t) === 2 ? op256 : op, t.xmmReg, first(t), b, 0, 0, t.ir.restore);
  };
}

/** Scalar helper(d, s [, c]) */
function scalar(helper: number, c?: number): Handler {
  return faultingScalar((t, d, s) => callOffsets(t, helper, d, s, c));
}

/** helper(kind, d, s) on whole vectors. */
function kinded(helper: number, kind: (t: Translator) => number): Handler {
  return faulting((t, d, s) => callOffsets(t, helper, kind(t), d, s));
}

/** helper(kind, d, s) on the low lane. */
function kindedScalar(helper: number, kind: (t: Translator) => number): Handler {
  return faultingScalar((t, d, s) => callOffsets(t, helper, kind(t), d, s));
}

/** By form: packed with prefix none and 66, scalar with F3 and F2. */
function byForm(
  packed: Handler,
  scalarForm: Handler,
  isScalar = (t: Translator) => t.repPrefix !== 0,
): Handler {
  return (t) => (isScalar(t) ? scalarForm(t) : packed(t));
}

/** Conversions of vectors whose elements keep their size. */
function convert(kind: number): Handler {
  return kinded(HELPER.sse_convert, () => kind);
}

/** CVTPS2PD, CVTDQ2PD: the upper lane comes from the upper half of a source half as long. */
function widening(kind: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    const d = t.xmmReg;
    if (lanes(t) === 1) return callOffsets(t, HELPER.sse_convert, kind, d, s);
    const x = t.vectorTemp();
    t.ir.op(OP.vzext64, upper(x), s + 8);
    t.call(HELPER.sse_collect);
    callOffsets(t, HELPER.sse_convert, kind, x, s);
    callOffsets(t, HELPER.sse_convert, kind, upper(x), upper(x));
    t.call(HELPER.sse_report);
    t.ir.op(OP.vmov, d, x);
    t.ir.op(OP.vmov, upper(d), upper(x));
  };
}

/** CVTPD2PS, CVT(T)PD2DQ: two lanes give the halves of one. */
function narrowing(kind: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    const d = t.xmmReg;
    if (lanes(t, 1) === 1) return callOffsets(t, HELPER.sse_convert, kind, d, s);
    const x = t.vectorTemp();
    t.call(HELPER.sse_collect);
    callOffsets(t, HELPER.sse_convert, kind, x, s);
    callOffsets(t, HELPER.sse_convert, kind, upper(x), upper(s));
    t.call(HELPER.sse_report);
    t.ir.op(OP.mov, x + 8, upper(x));
    t.ir.op(OP.vmov, d, x);
  };
}

/** helper(d, s, imm8) */
function withImm(helper: number): Handler {
  return faulting((t, d, s) => callOffsets(t, helper, d, s, t.immLo & 255));
}

/** MIN, MAX and SQRT on whole vectors; the VEX forms by one call for both lanes. */
function packedFloat(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, lastSource(t));
  const kind = PACKED[t.opcode]! | (t.opPrefix ? F64 : 0);
  if (!t.vex) return callOffsets(t, HELPER.sse_packed, kind, t.xmmReg, s);
  const how = t.constant(kind | (lanes(t) << 4));
  t.call(HELPER.avx_packed, NO_SLOT, how, registers(t, t.xmmReg, first(t), s));
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
    const n = lastSource(t);
    const value = t.load(n);
    const kind = wide | (t.size(n) === 8 ? 2 : 0);
    scalarResult(t, (d) => t.call(HELPER.sse_from_int, NO_SLOT, t.constant(kind), t.constant(d), value));
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
  if (t.isMem) t.call(HELPER.fpu_wait); // a pending x87 exception comes before a fault of the operand
  const s = source(t, 1);
  enterMmx(t);
  const kind = (t.opPrefix ? 11 : 9) + (t.opcode === 0x2c ? 1 : 0);
  callOffsets(t, HELPER.sse_convert, kind, mmxSlot(t.reg), s);
  writeMmx(t, t.reg, mmxSlot(t.reg));
}

const shufps = lanewise((t, d, a, b) =>
  shuffle(t, d, a, b, (i) => {
    const lane = i >> 2;
    return (lane >= 2 ? 16 : 0) + (((t.immLo >> (lane * 2)) & 3) << 2) + (i & 3);
  }),
);

const shufpd = lanewise((t, d, a, b, lane) => {
  const imm = t.immLo >> (lane * 2);
  shuffle(t, d, a, b, (i) => (i & 8 ? 16 + (((imm >> 1) & 1) << 3) : (imm & 1) << 3) + (i & 7));
});

const cmpKind = (t: Translator): number => formOf(t) | ((t.immLo & (t.vex ? 31 : 7)) << 2);
const roundKind = (t: Translator): number => [0, 2, 1, 3][t.opcode & 3]! | ((t.immLo & 255) << 8);

export const simdFloatHandlers = {
  addss: inline(OP.fadd_f32, HELPER.fadd_f32, 4),
  addsd: inline(OP.fadd_f64, HELPER.fadd_f64, 8),
  subss: inline(OP.fsub_f32, HELPER.fsub_f32, 4),
  subsd: inline(OP.fsub_f64, HELPER.fsub_f64, 8),
  mulss: inline(OP.fmul_f32, HELPER.fmul_f32, 4),
  mulsd: inline(OP.fmul_f64, HELPER.fmul_f64, 8),
  divss: inline(OP.fdiv_f32, HELPER.fdiv_f32, 4),
  divsd: inline(OP.fdiv_f64, HELPER.fdiv_f64, 8),
  addps: inlinePacked(OP.vfadd_f32, OP.vfadd256_f32),
  addpd: inlinePacked(OP.vfadd_f64, OP.vfadd256_f64),
  subps: inlinePacked(OP.vfsub_f32, OP.vfsub256_f32),
  subpd: inlinePacked(OP.vfsub_f64, OP.vfsub256_f64),
  mulps: inlinePacked(OP.vfmul_f32, OP.vfmul256_f32),
  mulpd: inlinePacked(OP.vfmul_f64, OP.vfmul256_f64),
  divps: inlinePacked(OP.vfdiv_f32, OP.vfdiv256_f32),
  divpd: inlinePacked(OP.vfdiv_f64, OP.vfdiv256_f64),
  sqrtss: scalar(HELPER.fsqrt_f32),
  sqrtsd: scalar(HELPER.fsqrt_f64),
  minss: scalar(HELPER.fminmax_f32, 0),
  minsd: scalar(HELPER.fminmax_f64, 0),
  maxss: scalar(HELPER.fminmax_f32, 1),
  maxsd: scalar(HELPER.fminmax_f64, 1),
  packedFloat,
  horizontalFloat: kinded(HELPER.sse_horizontal, (t) => HORIZONTAL[t.opcode]! | (t.opPrefix ? F64 : 0)),
  rcpps: kinded(HELPER.sse_approx, () => 0),
  rsqrtps: kinded(HELPER.sse_approx, () => 1),
  rcpss: kindedScalar(HELPER.sse_approx, () => 2),
  rsqrtss: kindedScalar(HELPER.sse_approx, () => 3),
  cmpFloat: byForm(kinded(HELPER.sse_cmp, cmpKind), kindedScalar(HELPER.sse_cmp, cmpKind)),
  comi,
  dpps: withImm(HELPER.sse_dpps),
  dppd: withImm(HELPER.sse_dppd),
  roundFloat: byForm(
    kinded(HELPER.sse_round, roundKind),
    kindedScalar(HELPER.sse_round, roundKind),
    (t) => (t.opcode & 2) !== 0,
  ),
  shufps,
  shufpd,
  cvtsi2ss: fromInt(0),
  cvtsi2sd: fromInt(1),
  cvtToSi: toInt,
  cvtss2sd: scalar(HELPER.sse_f32_to_f64),
  cvtsd2ss: scalar(HELPER.sse_f64_to_f32),
  cvtps2pd: widening(0),
  cvtpd2ps: narrowing(1),
  cvtdq2ps: convert(2),
  cvtdq2pd: widening(3),
  cvtps2dq: convert(4),
  cvttps2dq: convert(5),
  cvtpd2dq: narrowing(6),
  cvttpd2dq: narrowing(7),
  cvtpi2ps: fromMmx(8),
  cvtpi2pd: fromMmx(3),
  cvtToPi: toMmx,
} as const satisfies Record<string, Handler>;
