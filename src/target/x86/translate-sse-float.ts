import { OP } from '../../ir/ops.ts';
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
  shuffle,
  source,
  unavailable,
  upper,
  widen,
  writeMmx,
} from './vector-operands.ts';

/** d's lanes above the low one come from the first operand. */
function keepUpper(t: Translator, d: number, a: number, size: number): void {
  if (a === d) return;
  if (size === 4) {
    const lane = t.temp();
    t.ir.op(OP.get32u, lane, a + 4);
    t.ir.op(OP.put32, d + 4, lane);
  }
  t.ir.op(OP.mov, d + 8, a + 8);
}

/** Scalar arithmetic that the back ends inline; its slow path is the helper of the same name. `x`: the operation's field. */
function inline(op: number, size: number, x: (t: Translator) => number = () => 0): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    const a = first(t);
    const d = t.xmmReg;
    t.flushFlags();
    t.ir.op4(op, d, a, b, 0, x(t), t.ir.restore);
    keepUpper(t, d, a, size);
  };
}

/** Scalar operations on the last operand alone. */
function inlineUnary(op: number, size: number, x: (t: Translator) => number = () => 0): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, lastSource(t));
    t.flushFlags();
    unary(t, op, s, size, x(t));
  };
}

/** The upper lanes are copied first where the destination is not a source. */
function unary(t: Translator, op: number, s: number, size: number, x: number): void {
  const a = first(t);
  const d = t.xmmReg;
  t.ir.op4(op, d, s, 0, 0, x, t.ir.restore);
  keepUpper(t, d, a, size);
}

/** Packed arithmetic that the back ends inline: one operation for 128 bits, one for 256. */
function inlinePacked(op: number, op256: number, x: (t: Translator) => number = () => 0): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    t.flushFlags();
    t.ir.op4(lanes(t) === 2 ? op256 : op, t.xmmReg, first(t), b, 0, x(t), t.ir.restore);
  };
}

/** The same on one operand. */
function inlinePackedUnary(op: number, op256: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    t.flushFlags();
    t.ir.op4(lanes(t) === 2 ? op256 : op, t.xmmReg, s, 0, 0, 0, t.ir.restore);
  };
}

/** helper(kind, d, s) on whole vectors. */
function kinded(helper: number, kind: (t: Translator) => number): Handler {
  return faulting((t, d, s) => callOffsets(t, helper, kind(t), d, s));
}

/** helper(kind, d, s) on the low lane. */
function kindedScalar(helper: number, kind: (t: Translator) => number): Handler {
  return faultingScalar((t, d, s) => callOffsets(t, helper, kind(t), d, s));
}

/** Conversions of vectors whose elements keep their size. */
function convert(kind: number): Handler {
  const long = kinded(HELPER.sse_convert, () => kind);
  return (t) => {
    if (lanes(t) === 2) return long(t);
    if (t.sseUnavailable()) return;
    convertLane(t, kind, t.xmmReg, source(t, 1));
  };
}

/** One lane of 128 bits, inlined. */
function convertLane(t: Translator, kind: number, d: number, s: number): void {
  t.flushFlags();
  t.ir.op4(OP.vfcvt, d, s, 0, 0, kind, t.ir.restore);
}

/** Kind of `sse_convert` that raises nothing. */
const DQ_TO_PD = 3;

function exactWidening(t: Translator, d: number, x: number, s: number): void {
  convertLane(t, DQ_TO_PD, d, s);
  convertLane(t, DQ_TO_PD, upper(d), upper(x));
}

/** CVTPS2PD, CVTDQ2PD: the upper lane comes from the upper half of a source half as long. */
function widening(kind: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    const d = t.xmmReg;
    if (lanes(t) === 1) return convertLane(t, kind, d, t.isMem ? widen(t, s) : s);
    const x = t.vectorTemp();
    t.ir.op(OP.vzext64, upper(x), s + 8);
    if (kind === DQ_TO_PD) return exactWidening(t, d, x, s);
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
    if (lanes(t, 1) === 1) return convertLane(t, kind, d, s);
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

/** MIN, MAX and SQRT on whole vectors, by opcode 51, 5D and 5F. */
const packedFloat: Handler = (t) => PACKED[t.opcode]![t.opPrefix ? 1 : 0]!(t);

const PACKED: Readonly<Record<number, readonly Handler[]>> = {
  0x51: [
    inlinePackedUnary(OP.vfsqrt_f32, OP.vfsqrt256_f32),
    inlinePackedUnary(OP.vfsqrt_f64, OP.vfsqrt256_f64),
  ],
  0x5d: [inlinePacked(OP.vfmin_f32, OP.vfmin256_f32), inlinePacked(OP.vfmin_f64, OP.vfmin256_f64)],
  0x5f: [inlinePacked(OP.vfmax_f32, OP.vfmax256_f32), inlinePacked(OP.vfmax_f64, OP.vfmax256_f64)],
};
/** Operation of `sse_horizontal`. */
const HORIZONTAL: Readonly<Record<number, number>> = { 0xd0: 0, 0x7c: 1, 0x7d: 2 };
const F64 = 8;

/** COMISS, COMISD, UCOMISS, UCOMISD. */
function comi(t: Translator): void {
  if (t.sseUnavailable()) return;
  const b = source(t, 1);
  t.flushFlags();
  const flags = t.temp();
  const op = t.size(1) === 8 ? OP.fcomi_f64 : OP.fcomi_f32;
  t.ir.op4(op, flags, t.xmmReg, b, 0, t.opcode === 0x2f ? 1 : 0, t.ir.restore);
  t.flagsValue(flags);
}

function fromInt(op: number, size: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const n = lastSource(t);
    const value = t.load(n);
    t.flushFlags();
    unary(t, op, value, size, t.size(n) === 8 ? 2 : 0);
  };
}

function toInt(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const size = t.size(0);
  t.flushFlags();
  const value = t.temp();
  const form = (size === 8 ? 2 : 0) | (t.opcode === 0x2c ? 4 : 0);
  t.ir.op4(t.size(1) === 8 ? OP.ftoint_f64 : OP.ftoint_f32, value, s, 0, 0, form, t.ir.restore);
  t.writeRegZ(t.reg, size, value);
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

const predicate = (t: Translator): number => t.immLo & (t.vex ? 31 : 7);

/** CMPPS, CMPPD, CMPSS, CMPSD by prefix. */
const COMPARE: readonly Handler[] = [
  inlinePacked(OP.vfcmp_f32, OP.vfcmp256_f32, predicate),
  inlinePacked(OP.vfcmp_f64, OP.vfcmp256_f64, predicate),
  inline(OP.fcmp_f32, 4, predicate),
  inline(OP.fcmp_f64, 8, predicate),
];

function cmpFloat(t: Translator): void {
  if (t.repPrefix !== 0) COMPARE[t.repPrefix === 0xf3 ? 2 : 3]!(t);
  else COMPARE[t.opPrefix ? 1 : 0]!(t);
}

const roundMode = (t: Translator): number => t.immLo & 255;

/** ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD by opcode 08 … 0B. */
function roundFloat(t: Translator): void {
  const wide = (t.opcode & 1) !== 0;
  if ((t.opcode & 2) !== 0) return (wide ? ROUND_SD : ROUND_SS)(t);
  if (lanes(t) === 2) return ROUND_LONG(t);
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  t.flushFlags();
  t.ir.op4(wide ? OP.vfround_f64 : OP.vfround_f32, t.xmmReg, s, 0, 0, roundMode(t), t.ir.restore);
}

const roundKind = (t: Translator): number => [0, 2, 1, 3][t.opcode & 3]! | ((t.immLo & 255) << 8);
const ROUND_SS = inlineUnary(OP.fround_f32, 4, roundMode);
const ROUND_SD = inlineUnary(OP.fround_f64, 8, roundMode);
const ROUND_LONG = kinded(HELPER.sse_round, roundKind);

export const simdFloatHandlers = {
  addss: inline(OP.fadd_f32, 4),
  addsd: inline(OP.fadd_f64, 8),
  subss: inline(OP.fsub_f32, 4),
  subsd: inline(OP.fsub_f64, 8),
  mulss: inline(OP.fmul_f32, 4),
  mulsd: inline(OP.fmul_f64, 8),
  divss: inline(OP.fdiv_f32, 4),
  divsd: inline(OP.fdiv_f64, 8),
  addps: inlinePacked(OP.vfadd_f32, OP.vfadd256_f32),
  addpd: inlinePacked(OP.vfadd_f64, OP.vfadd256_f64),
  subps: inlinePacked(OP.vfsub_f32, OP.vfsub256_f32),
  subpd: inlinePacked(OP.vfsub_f64, OP.vfsub256_f64),
  mulps: inlinePacked(OP.vfmul_f32, OP.vfmul256_f32),
  mulpd: inlinePacked(OP.vfmul_f64, OP.vfmul256_f64),
  divps: inlinePacked(OP.vfdiv_f32, OP.vfdiv256_f32),
  divpd: inlinePacked(OP.vfdiv_f64, OP.vfdiv256_f64),
  sqrtss: inlineUnary(OP.fsqrt_f32, 4),
  sqrtsd: inlineUnary(OP.fsqrt_f64, 8),
  minss: inline(OP.fmin_f32, 4),
  minsd: inline(OP.fmin_f64, 8),
  maxss: inline(OP.fmax_f32, 4),
  maxsd: inline(OP.fmax_f64, 8),
  packedFloat,
  horizontalFloat: kinded(HELPER.sse_horizontal, (t) => HORIZONTAL[t.opcode]! | (t.opPrefix ? F64 : 0)),
  rcpps: kinded(HELPER.sse_approx, () => 0),
  rsqrtps: kinded(HELPER.sse_approx, () => 1),
  rcpss: kindedScalar(HELPER.sse_approx, () => 2),
  rsqrtss: kindedScalar(HELPER.sse_approx, () => 3),
  cmpFloat,
  comi,
  dpps: withImm(HELPER.sse_dpps),
  dppd: withImm(HELPER.sse_dppd),
  roundFloat,
  shufps,
  shufpd,
  cvtsi2ss: fromInt(OP.ffromint_f32, 4),
  cvtsi2sd: fromInt(OP.ffromint_f64, 8),
  cvtToSi: toInt,
  cvtss2sd: inlineUnary(OP.fcvt_f64, 8),
  cvtsd2ss: inlineUnary(OP.fcvt_f32, 4),
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
