import { FP_FAST } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import * as W from './wasm/opcodes.ts';

const MIN_NORMAL_F32 = 2 ** -126;
const MIN_NORMAL_F64 = 2 ** -1022;

function constant(cx: LoweringContext, wide: boolean, value: number): void {
  if (wide) cx.code.f64(value);
  else cx.code.f32(value);
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
    cx.callSoftFloat();
    code.op(W.END);
  };
}
