import { FP_FAST } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import { constant, MIN_NORMAL_F32, MIN_NORMAL_F64, splat } from './lowering-float.ts';
import * as W from './wasm/opcodes.ts';

// Square roots, conversions and roundings. FP_FAST means: to nearest, no flag but invalid, denormal, overflow, underflow and
// divide-by-zero would change; the conditions here rule those out. What the region compiler knows of the form (field x) the
// interpreter does not: there the helper does it.

/** Branches to label 0 unless FP_FAST is set. */
function requireFast(cx: LoweringContext): void {
  cx.loadControl(W.I32_LOAD, FP_FAST);
  unless(cx);
}

/** Branches to label 0 unless the i32 on the stack is not zero. */
function unless(cx: LoweringContext): void {
  cx.code.op(W.I32_EQZ);
  cx.code.op1(W.BR_IF, 0);
}

/** Opens the two labels that `otherwise` closes around the slow path. */
function attempt(cx: LoweringContext): void {
  cx.code.op1(W.BLOCK, W.VOID);
  cx.code.op1(W.BLOCK, W.VOID);
}

function otherwise(cx: LoweringContext, helper: string, push: () => void): void {
  const { code } = cx;
  code.op1(W.BR, 1);
  code.op(W.END);
  cx.slowHelper(helper, push);
  code.op(W.END);
}

/** Pushes the offsets d and a. */
function offsets(cx: LoweringContext): void {
  cx.slotOffset('d');
  cx.slotOffset('a');
}

export const squareRoot: Lowering = (cx) => {
  const { code, type } = cx;
  const wide = type === W.F64;
  const a = cx.scratch(type, 0);
  attempt(cx);
  requireFast(cx);
  cx.a(type);
  code.localTee(a);
  constant(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
  code.op(wide ? W.F64_GE : W.F32_GE);
  code.localGet(a);
  constant(cx, wide, Infinity);
  code.op(wide ? W.F64_LT : W.F32_LT);
  code.op(W.I32_AND);
  unless(cx);
  cx.dest(type);
  code.localGet(a);
  code.op(wide ? W.F64_SQRT : W.F32_SQRT);
  cx.result(type);
  otherwise(cx, cx.info.name, () => offsets(cx));
};

/** Square roots of all lanes. */
export function packedSquareRoot(halves: 1 | 2, upper: number): Lowering {
  return (cx) => {
    const { code } = cx;
    const wide = cx.type === W.F64;
    const values = [cx.scratch(W.V128, 0), cx.scratch(W.V128, 1)].slice(0, halves);
    attempt(cx);
    requireFast(cx);
    values.forEach((a, half) => {
      cx.vector('a', half * upper);
      code.localTee(a);
      splat(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
      code.op(wide ? W.F64X2_GE : W.F32X4_GE);
      code.localGet(a);
      splat(cx, wide, Infinity);
      code.op(wide ? W.F64X2_LT : W.F32X4_LT);
      code.op(W.V128_AND);
      if (half > 0) code.op(W.V128_AND);
    });
    code.op(wide ? W.I64X2_ALL_TRUE : W.I32X4_ALL_TRUE);
    unless(cx);
    values.forEach((a, half) => {
      cx.stateAddress();
      code.localGet(a);
      code.op(wide ? W.F64X2_SQRT : W.F32X4_SQRT);
      cx.storeState(W.V128_STORE, half * upper);
    });
    otherwise(cx, cx.info.name, () => {
      offsets(cx);
      cx.slotOffset('a');
    });
  };
}

/** CVTSI2SS, CVTSI2SD. */
export const fromInteger: Lowering = (cx) => {
  const { code, type } = cx;
  const wide = type === W.F64;
  const value = cx.scratch(W.I64, 0);
  const isLong = (cx.knownX & 2) !== 0;
  cx.a(W.I64);
  code.localSet(value);
  code.op1(W.BLOCK, W.VOID);
  if (cx.knownX >= 0) {
    code.op1(W.BLOCK, W.VOID);
    // 32 bits fit into a double exactly
    if (!wide || isLong) requireFast(cx);
    cx.dest(type);
    code.localGet(value);
    if (!isLong) code.op(W.I32_WRAP_I64);
    if (isLong) code.op(wide ? W.F64_CONVERT_I64_S : W.F32_CONVERT_I64_S);
    else code.op(wide ? W.F64_CONVERT_I32_S : W.F32_CONVERT_I32_S);
    cx.result(type);
    code.op1(W.BR, 1);
    code.op(W.END);
  }
  cx.slowHelper('sse_from_int', () => {
    cx.x(W.I64);
    code.i64s(wide ? 1 : 0);
    code.op(W.I64_OR);
    cx.slotOffset('d');
    code.localGet(value);
  });
  code.op(W.END);
};

/** CVTSS2SI … CVTTSD2SI. */
export const toInteger: Lowering = (cx) => {
  const { code, type } = cx;
  const wide = type === W.F64;
  const isLong = (cx.knownX & 2) !== 0;
  const value = cx.scratch(W.F64, 0);
  cx.dest(W.I64);
  code.op1(W.BLOCK, W.I64);
  if (cx.knownX >= 0) {
    code.op1(W.BLOCK, W.VOID);
    requireFast(cx);
    cx.a(type);
    if (!wide) code.op(W.F64_PROMOTE_F32);
    if ((cx.knownX & 4) === 0) code.op(W.F64_NEAREST);
    code.localTee(value);
    code.op(W.F64_ABS);
    code.f64(isLong ? 2 ** 63 : 2 ** 31);
    code.op(W.F64_LT);
    unless(cx);
    code.localGet(value);
    if (isLong) {
      code.op(W.I64_TRUNC_F64_S);
    } else {
      code.op(W.I32_TRUNC_F64_S);
      code.op(W.I64_EXTEND_I32_U);
    }
    code.op1(W.BR, 1);
    code.op(W.END);
  }
  cx.slowHelper(
    'sse_to_int',
    () => {
      cx.x(W.I64);
      code.i64s(wide ? 1 : 0);
      code.op(W.I64_OR);
      cx.slotOffset('a');
    },
    true,
  );
  code.op(W.END);
  cx.result(W.I64);
};

/** CVTSS2SD, whose result has type f64, and CVTSD2SS. */
export const convertFloat: Lowering = (cx) => (cx.type === W.F64 ? promote(cx) : demote(cx));

/** Exact, but for denormals and what is not a number. */
function promote(cx: LoweringContext): void {
  const { code } = cx;
  const r = cx.scratch(W.F64, 0);
  attempt(cx);
  cx.a(W.F32);
  code.op(W.F64_PROMOTE_F32);
  code.localTee(r);
  code.op(W.F64_ABS);
  code.f64(MIN_NORMAL_F32);
  code.op(W.F64_GE);
  code.localGet(r);
  code.f64(0);
  code.op(W.F64_EQ);
  code.op(W.I32_OR);
  unless(cx);
  cx.dest(W.F64);
  code.localGet(r);
  cx.result(W.F64);
  otherwise(cx, 'sse_f32_to_f64', () => offsets(cx));
}

function demote(cx: LoweringContext): void {
  const { code } = cx;
  const r = cx.scratch(W.F32, 0);
  attempt(cx);
  requireFast(cx);
  cx.a(W.F64);
  code.op(W.F32_DEMOTE_F64);
  code.localTee(r);
  code.op(W.F32_ABS);
  code.f32(MIN_NORMAL_F32);
  code.op(W.F32_GT);
  code.localGet(r);
  code.op(W.F32_ABS);
  code.f32(Infinity);
  code.op(W.F32_LT);
  code.op(W.I32_AND);
  unless(cx);
  cx.dest(W.F32);
  code.localGet(r);
  cx.result(W.F32);
  otherwise(cx, 'sse_f64_to_f32', () => offsets(cx));
}

// ---- packed conversions, by kind of `sse_convert`

/** Branches to label 0 unless |lane| `relation` limit for all lanes of the local. */
function requireLanes(
  cx: LoweringContext,
  wide: boolean,
  local: number,
  relation: number,
  limit: number,
): void {
  const { code } = cx;
  code.localGet(local);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  splat(cx, wide, limit);
  code.op(relation);
  code.op(wide ? W.I64X2_ALL_TRUE : W.I32X4_ALL_TRUE);
  unless(cx);
}

/** What each kind does with the source in a local: branches to label 0 or pushes the result. */
const CONVERSIONS: readonly (((cx: LoweringContext, a: number) => void) | undefined)[] = [
  // CVTPS2PD
  (cx, a) => {
    const { code } = cx;
    const r = cx.scratch(W.V128, 1);
    code.localGet(a);
    code.op(W.F64X2_PROMOTE_LOW_F32X4);
    code.localSet(r);
    code.localGet(r);
    code.op(W.F64X2_ABS);
    splat(cx, true, MIN_NORMAL_F32);
    code.op(W.F64X2_GE);
    code.localGet(r);
    code.v128(0, 0, 0, 0);
    code.op(W.F64X2_EQ);
    code.op(W.V128_OR);
    code.op(W.I64X2_ALL_TRUE);
    unless(cx);
    code.localGet(r);
  },
  // CVTPD2PS
  (cx, a) => {
    const { code } = cx;
    requireFast(cx);
    // the limits are those of the result: a rounded one could leave them
    requireLanes(cx, true, a, W.F64X2_GT, MIN_NORMAL_F32);
    requireLanes(cx, true, a, W.F64X2_LT, 3.4028234663852886e38);
    code.localGet(a);
    code.op(W.F32X4_DEMOTE_F64X2_ZERO);
  },
  // CVTDQ2PS
  (cx, a) => {
    requireFast(cx);
    cx.code.localGet(a);
    cx.code.op(W.F32X4_CONVERT_I32X4_S);
  },
  // CVTDQ2PD
  (cx, a) => {
    cx.code.localGet(a);
    cx.code.op(W.F64X2_CONVERT_LOW_I32X4_S);
  },
  // CVTPS2DQ
  (cx, a) => {
    const r = cx.scratch(W.V128, 1);
    requireFast(cx);
    cx.code.localGet(a);
    cx.code.op(W.F32X4_NEAREST);
    cx.code.localSet(r);
    requireLanes(cx, false, r, W.F32X4_LT, 2 ** 31);
    cx.code.localGet(r);
    cx.code.op(W.I32X4_TRUNC_SAT_F32X4_S);
  },
  // CVTTPS2DQ
  (cx, a) => {
    requireFast(cx);
    requireLanes(cx, false, a, W.F32X4_LT, 2 ** 31);
    cx.code.localGet(a);
    cx.code.op(W.I32X4_TRUNC_SAT_F32X4_S);
  },
  // CVTPD2DQ
  (cx, a) => {
    const r = cx.scratch(W.V128, 1);
    requireFast(cx);
    cx.code.localGet(a);
    cx.code.op(W.F64X2_NEAREST);
    cx.code.localSet(r);
    requireLanes(cx, true, r, W.F64X2_LT, 2 ** 31);
    cx.code.localGet(r);
    cx.code.op(W.I32X4_TRUNC_SAT_F64X2_S_ZERO);
  },
  // CVTTPD2DQ
  (cx, a) => {
    requireFast(cx);
    requireLanes(cx, true, a, W.F64X2_LT, 2 ** 31);
    cx.code.localGet(a);
    cx.code.op(W.I32X4_TRUNC_SAT_F64X2_S_ZERO);
  },
];

export const convertPacked: Lowering = (cx) => {
  const { code } = cx;
  const convert = CONVERSIONS[cx.knownX];
  code.op1(W.BLOCK, W.VOID);
  if (convert !== undefined) {
    const a = cx.scratch(W.V128, 0);
    const r = cx.scratch(W.V128, 2);
    code.op1(W.BLOCK, W.VOID);
    cx.vector('a', 0);
    code.localSet(a);
    convert(cx, a);
    code.localSet(r);
    cx.stateAddress();
    code.localGet(r);
    cx.storeState(W.V128_STORE);
    code.op1(W.BR, 1);
    code.op(W.END);
  }
  cx.slowHelper('sse_convert', () => {
    cx.x(W.I64);
    offsets(cx);
  });
  code.op(W.END);
};

// ---- ROUNDSS … ROUNDPD

/** By rounding mode of the immediate: f32, f64, f32x4, f64x2. */
const ROUNDINGS: readonly (readonly [number, number, number, number])[] = [
  [W.F32_NEAREST, W.F64_NEAREST, W.F32X4_NEAREST, W.F64X2_NEAREST],
  [W.F32_FLOOR, W.F64_FLOOR, W.F32X4_FLOOR, W.F64X2_FLOOR],
  [W.F32_CEIL, W.F64_CEIL, W.F32X4_CEIL, W.F64X2_CEIL],
  [W.F32_TRUNC, W.F64_TRUNC, W.F32X4_TRUNC, W.F64X2_TRUNC],
];

/** MXCSR rounds to nearest where FP_FAST is set. */
const roundingOf = (imm: number): (typeof ROUNDINGS)[number] => ROUNDINGS[imm & 4 ? 0 : imm & 3]!;

/** sse_round(scalar | f64 << 1 | imm << 8, d, s) */
function slowRound(cx: LoweringContext, scalar: number): void {
  const { code } = cx;
  cx.slowHelper('sse_round', () => {
    cx.x(W.I64);
    code.i64s(8);
    code.op(W.I64_SHL);
    code.i64s(scalar | (cx.type === W.F64 ? 2 : 0));
    code.op(W.I64_OR);
    offsets(cx);
  });
}

/** Scalar where `halves` is 0. Only numbers: a quiet NaN would do too. */
export function round(isPacked: boolean): Lowering {
  return (cx) => {
    const { code } = cx;
    const wide = cx.type === W.F64;
    code.op1(W.BLOCK, W.VOID);
    if (cx.knownX >= 0) {
      const type = isPacked ? W.V128 : cx.type;
      const op = roundingOf(cx.knownX)[(isPacked ? 2 : 0) + (wide ? 1 : 0)]!;
      const a = cx.scratch(type, 0);
      code.op1(W.BLOCK, W.VOID);
      requireFast(cx);
      if (isPacked) cx.vector('a', 0);
      else cx.a(type);
      code.localTee(a);
      code.localGet(a);
      if (isPacked) {
        code.op(wide ? W.F64X2_EQ : W.F32X4_EQ);
        code.op(wide ? W.I64X2_ALL_TRUE : W.I32X4_ALL_TRUE);
      } else {
        code.op(wide ? W.F64_EQ : W.F32_EQ);
      }
      unless(cx);
      if (isPacked) cx.stateAddress();
      else cx.dest(type);
      code.localGet(a);
      code.op(op);
      if (isPacked) cx.storeState(W.V128_STORE);
      else cx.result(type);
      code.op1(W.BR, 1);
      code.op(W.END);
    }
    slowRound(cx, isPacked ? 0 : 1);
    code.op(W.END);
  };
}
