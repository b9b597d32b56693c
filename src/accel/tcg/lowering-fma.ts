import { FP_FAST, VECTOR_HI } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import { MIN_NORMAL_F32, MIN_NORMAL_F64, splat } from './lowering-float.ts';
import { hasFusedMultiplyAdd } from './wasm/fused.ts';
import * as W from './wasm/opcodes.ts';

// Field x of the fused operations: the kind that avx_fma takes (src/target/x86/helpers-sse.ts).
const NEGATE_PRODUCT = 4;
const NEGATE_EVEN = 8;
const NEGATE_ODD = 16;

const OPERANDS = ['a', 'b', 'c'] as const;

/** avx_fma(slots d, a, b, c, kind) */
function slow(cx: LoweringContext): void {
  const { code } = cx;
  cx.slowHelper('avx_fma', () => {
    cx.slotOffset('d');
    OPERANDS.forEach((field, i) => {
      cx.slotOffset(field);
      code.i64s(16 * (i + 1));
      code.op(W.I64_SHL);
      code.op(W.I64_OR);
    });
    cx.x(W.I64);
  });
}

/** Pushes the sign bits to change in the lanes of c. */
function signs(cx: LoweringContext, wide: boolean): void {
  const even = (cx.knownX & NEGATE_EVEN) !== 0 ? 0x8000_0000 : 0;
  const odd = (cx.knownX & NEGATE_ODD) !== 0 ? 0x8000_0000 : 0;
  if (wide) cx.code.v128(0, even, 0, odd);
  else cx.code.v128(even, odd, even, odd);
}

/** r = ±a × b ± c on vectors in locals. */
function compute(cx: LoweringContext, wide: boolean, [a, b, c]: readonly number[], r: number): void {
  const { code } = cx;
  code.localGet(a!);
  code.localGet(b!);
  code.localGet(c!);
  if ((cx.knownX & (NEGATE_EVEN | NEGATE_ODD)) !== 0) {
    signs(cx, wide);
    code.op(W.V128_XOR);
  }
  if ((cx.knownX & NEGATE_PRODUCT) !== 0) code.op(wide ? W.F64X2_RELAXED_NMADD : W.F32X4_RELAXED_NMADD);
  else code.op(wide ? W.F64X2_RELAXED_MADD : W.F32X4_RELAXED_MADD);
  code.localSet(r);
}

/** Pushes a mask of the lanes whose operands and result are normal: see `arithmetic` in lowering-float.ts. */
function acceptable(cx: LoweringContext, wide: boolean, operands: readonly number[], r: number): void {
  const { code } = cx;
  [r, ...operands].forEach((local, i) => {
    code.localGet(local);
    code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
    if (i > 0) code.op(wide ? W.F64X2_PMIN : W.F32X4_PMIN);
  });
  splat(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
  code.op(wide ? W.F64X2_GT : W.F32X4_GT);
  code.localGet(r);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  splat(cx, wide, Infinity);
  code.op(wide ? W.F64X2_LT : W.F32X4_LT);
  code.op(W.V128_AND);
}

/**
 * Fused multiply-add: the region compiler uses the host's where it rounds once. `halves` is 0 for the low lane alone, which is
 * computed in all lanes of a vector.
 */
export function fused(halves: 0 | 1 | 2): Lowering {
  return (cx) => {
    const { code, type } = cx;
    const wide = type === W.F64;
    code.op1(W.BLOCK, W.VOID);
    if (cx.knownX >= 0 && hasFusedMultiplyAdd()) {
      const operands = OPERANDS.map((_, i) => cx.scratch(W.V128, i));
      const results = [cx.scratch(W.V128, 3), cx.scratch(W.V128, 4)].slice(0, halves || 1);
      code.op1(W.BLOCK, W.VOID);
      cx.loadControl(W.I32_LOAD, FP_FAST);
      code.op(W.I32_EQZ);
      code.op1(W.BR_IF, 0);
      results.forEach((r, half) => {
        OPERANDS.forEach((field, i) => {
          if (halves > 0) cx.vector(field, half * VECTOR_HI);
          else cx[field](type);
          if (halves === 0) code.op(wide ? W.F64X2_SPLAT : W.F32X4_SPLAT);
          code.localSet(operands[i]!);
        });
        compute(cx, wide, operands, r);
        acceptable(cx, wide, operands, r);
        if (half > 0) code.op(W.V128_AND);
      });
      code.op(wide ? W.I64X2_ALL_TRUE : W.I32X4_ALL_TRUE);
      code.op(W.I32_EQZ);
      code.op1(W.BR_IF, 0);
      storeResults(cx, results, halves);
      code.op1(W.BR, 1);
      code.op(W.END);
    }
    slow(cx);
    code.op(W.END);
  };
}

function storeResults(cx: LoweringContext, results: readonly number[], halves: number): void {
  const { code, type } = cx;
  if (halves === 0) {
    cx.dest(type);
    code.localGet(results[0]!);
    code.op(type === W.F64 ? W.F64X2_EXTRACT_LANE : W.F32X4_EXTRACT_LANE);
    code.byte(0);
    cx.result(type);
    return;
  }
  results.forEach((r, half) => {
    cx.stateAddress();
    code.localGet(r);
    cx.storeState(W.V128_STORE, half * VECTOR_HI);
  });
}
