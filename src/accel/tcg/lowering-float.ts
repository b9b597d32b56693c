import { FP_FAST, VECTOR_HI } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import * as W from './wasm/opcodes.ts';

export const MIN_NORMAL_F32 = 2 ** -126;
export const MIN_NORMAL_F64 = 2 ** -1022;

export function constant(cx: LoweringContext, wide: boolean, value: number): void {
  if (wide) cx.code.f64(value);
  else cx.code.f32(value);
}

/** Calls the helper of the operation's own name with the offsets d, a, b. */
function callSameName(cx: LoweringContext): void {
  cx.slowHelper(cx.info.name, () => {
    cx.slotOffset('d');
    cx.slotOffset('a');
    cx.slotOffset('b');
  });
}

/** Branches to label 0 unless |local| `relation` limit holds (false for NaN). */
function require(cx: LoweringContext, wide: boolean, local: number, relation: number, limit: number): void {
  const { code } = cx;
  code.localGet(local);
  code.op(wide ? W.F64_ABS : W.F32_ABS);
  constant(cx, wide, limit);
  code.op(relation);
  code.op(W.I32_EQZ);
  code.op1(W.BR_IF, 0);
}

/**
 * d = a op b. The host's instruction gives the guest's result and no new exception flag when FP_FAST is set, both operands are
 * normal (no denormal-operand, invalid or divide-by-zero exception) and the result is finite and above the smallest normal
 * number (no overflow; no underflow either, which is detected after rounding). Everything else goes to the soft-float helper.
 */
export function arithmetic(op32: number, op64: number): Lowering {
  return (cx) => {
    const { code } = cx;
    const t = cx.type;
    const wide = t === W.F64;
    const minimum = wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32;
    const a = cx.scratch(t, 0);
    const b = cx.scratch(t, 1);
    const r = cx.scratch(t, 2);
    code.op1(W.BLOCK, W.VOID);
    code.op1(W.BLOCK, W.VOID);
    cx.loadControl(W.I32_LOAD, FP_FAST);
    code.op(W.I32_EQZ);
    code.op1(W.BR_IF, 0);
    cx.a(t);
    code.localSet(a);
    cx.b(t);
    code.localSet(b);
    code.localGet(a);
    code.localGet(b);
    code.op(wide ? op64 : op32);
    code.localSet(r);
    require(cx, wide, r, wide ? W.F64_GT : W.F32_GT, minimum);
    require(cx, wide, r, wide ? W.F64_LT : W.F32_LT, Infinity);
    require(cx, wide, a, wide ? W.F64_GE : W.F32_GE, minimum);
    require(cx, wide, b, wide ? W.F64_GE : W.F32_GE, minimum);
    cx.dest(t);
    code.localGet(r);
    cx.result(t);
    code.op1(W.BR, 1);
    code.op(W.END);
    callSameName(cx);
    code.op(W.END);
  };
}

/** Pushes the smaller of |a| and |b| (locals), lane by lane. */
function smaller(cx: LoweringContext, wide: boolean, a: number, b: number): void {
  const { code } = cx;
  code.localGet(a);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  code.localGet(b);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  code.op(wide ? W.F64X2_PMIN : W.F32X4_PMIN);
}

export function splat(cx: LoweringContext, wide: boolean, value: number): void {
  constant(cx, wide, value);
  cx.code.op(wide ? W.F64X2_SPLAT : W.F32X4_SPLAT);
}

/** Pushes a mask of the lanes in which the host's result is the guest's: the conditions of `arithmetic`. */
function acceptable(cx: LoweringContext, wide: boolean, a: number, b: number, r: number): void {
  const { code } = cx;
  smaller(cx, wide, a, b);
  code.localGet(r);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  code.op(wide ? W.F64X2_PMIN : W.F32X4_PMIN);
  splat(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
  code.op(wide ? W.F64X2_GT : W.F32X4_GT);
  // an infinite or undefined operand gives such a result, or zero
  code.localGet(r);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  splat(cx, wide, Infinity);
  code.op(wide ? W.F64X2_LT : W.F32X4_LT);
  code.op(W.V128_AND);
}

/**
 * Ends the two blocks of a packed operation: where every lane of the mask on the stack is set, the halves in `results` are stored;
 * otherwise `slow` does the whole.
 */
export function storeIfAllTrue(
  cx: LoweringContext,
  wide: boolean,
  results: readonly number[],
  slow: () => void,
): void {
  const { code } = cx;
  code.op(wide ? W.I64X2_ALL_TRUE : W.I32X4_ALL_TRUE);
  code.op(W.I32_EQZ);
  code.op1(W.BR_IF, 0);
  results.forEach((r, half) => {
    cx.stateAddress();
    code.localGet(r);
    cx.storeState(W.V128_STORE, half * VECTOR_HI);
  });
  code.op1(W.BR, 1);
  code.op(W.END);
  slow();
  code.op(W.END);
}

/** d = a op b on all lanes of one or two halves; nothing is written unless all lanes are acceptable. */
export function packedArithmetic(op32: number, op64: number, halves: 1 | 2): Lowering {
  return (cx) => {
    const { code } = cx;
    const wide = cx.type === W.F64;
    const a = cx.scratch(W.V128, 0);
    const b = cx.scratch(W.V128, 1);
    const results = [cx.scratch(W.V128, 2), cx.scratch(W.V128, 3)].slice(0, halves);
    code.op1(W.BLOCK, W.VOID);
    code.op1(W.BLOCK, W.VOID);
    cx.loadControl(W.I32_LOAD, FP_FAST);
    code.op(W.I32_EQZ);
    code.op1(W.BR_IF, 0);
    results.forEach((r, half) => {
      cx.vector('a', half * VECTOR_HI);
      code.localTee(a);
      cx.vector('b', half * VECTOR_HI);
      code.localTee(b);
      code.op(wide ? op64 : op32);
      code.localSet(r);
      acceptable(cx, wide, a, b, r);
      if (half > 0) code.op(W.V128_AND);
    });
    storeIfAllTrue(cx, wide, results, () => callSameName(cx));
  };
}
