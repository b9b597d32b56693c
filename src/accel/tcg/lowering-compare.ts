import { VECTOR_HI } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import { constant, MIN_NORMAL_F32, MIN_NORMAL_F64, splat, storeIfAllTrue } from './lowering-float.ts';
import * as W from './wasm/opcodes.ts';

// Comparisons, minimum and maximum raise nothing, whatever the environment, when no operand is denormal or not a number.

/** Pushes whether the local is zero, normal or infinite. */
function isPlain(cx: LoweringContext, wide: boolean, local: number): void {
  const { code } = cx;
  code.localGet(local);
  code.op(wide ? W.F64_ABS : W.F32_ABS);
  constant(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
  code.op(wide ? W.F64_GE : W.F32_GE);
  code.localGet(local);
  constant(cx, wide, 0);
  code.op(wide ? W.F64_EQ : W.F32_EQ);
  code.op(W.I32_OR);
}

/** Loads operands a and b into locals and branches to label 0 unless both are plain. */
function plainOperands(cx: LoweringContext): [number, number] {
  const { code, type } = cx;
  const wide = type === W.F64;
  const a = cx.scratch(type, 0);
  const b = cx.scratch(type, 1);
  cx.a(type);
  code.localSet(a);
  cx.b(type);
  code.localSet(b);
  isPlain(cx, wide, a);
  isPlain(cx, wide, b);
  code.op(W.I32_AND);
  code.op(W.I32_EQZ);
  code.op1(W.BR_IF, 0);
  return [a, b];
}

/** Low lane: a if a `relation` b, else b. */
export function minimum(relation32: number, relation64: number): Lowering {
  return (cx) => {
    const { code, type } = cx;
    code.op1(W.BLOCK, W.VOID);
    code.op1(W.BLOCK, W.VOID);
    const [a, b] = plainOperands(cx);
    cx.dest(type);
    code.localGet(a);
    code.localGet(b);
    code.localGet(a);
    code.localGet(b);
    code.op(type === W.F64 ? relation64 : relation32);
    code.op(W.SELECT);
    cx.result(type);
    code.op1(W.BR, 1);
    code.op(W.END);
    cx.slowHelper(cx.info.name, () => offsets(cx));
    code.op(W.END);
  };
}

function offsets(cx: LoweringContext): void {
  cx.slotOffset('d');
  cx.slotOffset('a');
  cx.slotOffset('b');
}

/** Replaces the vector in the local by a mask of its plain lanes. */
function plainLanes(cx: LoweringContext, wide: boolean, local: number): void {
  const { code } = cx;
  code.localGet(local);
  code.op(wide ? W.F64X2_ABS : W.F32X4_ABS);
  splat(cx, wide, wide ? MIN_NORMAL_F64 : MIN_NORMAL_F32);
  code.op(wide ? W.F64X2_GE : W.F32X4_GE);
  code.localGet(local);
  code.v128(0, 0, 0, 0);
  code.op(wide ? W.F64X2_EQ : W.F32X4_EQ);
  code.op(W.V128_OR);
}

/**
 * Whole vectors: `compute` pushes the result of the operands in two locals. Nothing is written unless all lanes of all operands
 * are plain.
 */
function packed(
  cx: LoweringContext,
  halves: 1 | 2,
  compute: (a: number, b: number, wide: boolean) => void,
  slow: () => void,
): void {
  const { code } = cx;
  const wide = cx.type === W.F64;
  const a = cx.scratch(W.V128, 0);
  const b = cx.scratch(W.V128, 1);
  const results = [cx.scratch(W.V128, 2), cx.scratch(W.V128, 3)].slice(0, halves);
  code.op1(W.BLOCK, W.VOID);
  code.op1(W.BLOCK, W.VOID);
  results.forEach((r, half) => {
    cx.vector('a', half * VECTOR_HI);
    code.localSet(a);
    cx.vector('b', half * VECTOR_HI);
    code.localSet(b);
    compute(a, b, wide);
    code.localSet(r);
    plainLanes(cx, wide, a);
    plainLanes(cx, wide, b);
    code.op(W.V128_AND);
    if (half > 0) code.op(W.V128_AND);
  });
  storeIfAllTrue(cx, wide, results, slow);
}

/** `op32`, `op64`: wasm's pseudo-minimum (maximum), which is x86's with the operands exchanged. */
export function packedMinimum(op32: number, op64: number, halves: 1 | 2): Lowering {
  return (cx) =>
    packed(
      cx,
      halves,
      (a, b, wide) => {
        cx.code.localGet(b);
        cx.code.localGet(a);
        cx.code.op(wide ? op64 : op32);
      },
      () => cx.slowHelper(cx.info.name, () => offsets(cx)),
    );
}

/** Of the eight predicates on ordered operands (SDM Vol. 2 CMPPD table 3-1): f32, f64, f32x4, f64x2. */
const RELATIONS: readonly (readonly [number, number, number, number] | undefined)[] = [
  [W.F32_EQ, W.F64_EQ, W.F32X4_EQ, W.F64X2_EQ],
  [W.F32_LT, W.F64_LT, W.F32X4_LT, W.F64X2_LT],
  [W.F32_LE, W.F64_LE, W.F32X4_LE, W.F64X2_LE],
  undefined,
  [W.F32_NE, W.F64_NE, W.F32X4_NE, W.F64X2_NE],
  [W.F32_GE, W.F64_GE, W.F32X4_GE, W.F64X2_GE],
  [W.F32_GT, W.F64_GT, W.F32X4_GT, W.F64X2_GT],
  undefined,
];

/** sse_compare(f64 | scalar << 1 | predicate << 2 | halves << 7, slots d, a, b) */
function slowCompare(cx: LoweringContext, kind: number, halves: number): void {
  const { code } = cx;
  cx.slowHelper('sse_compare', () => {
    cx.x(W.I64);
    code.i64s(2);
    code.op(W.I64_SHL);
    code.i64s(kind | (cx.type === W.F64 ? 1 : 0) | (halves << 7));
    code.op(W.I64_OR);
    cx.slotOffset('d');
    for (const [field, shift] of [
      ['a', 16],
      ['b', 32],
    ] as const) {
      cx.slotOffset(field);
      code.i64s(shift);
      code.op(W.I64_SHL);
      code.op(W.I64_OR);
    }
  });
}

const SCALAR = 2;

/** The relation of the operation's predicate; undefined where it is constant or only known at run time. */
const relationOf = (cx: LoweringContext): (typeof RELATIONS)[number] =>
  cx.knownX < 0 ? undefined : RELATIONS[cx.knownX & 7];

export const compareScalar: Lowering = (cx) => {
  const { code } = cx;
  const wide = cx.type === W.F64;
  const relation = relationOf(cx);
  code.op1(W.BLOCK, W.VOID);
  if (relation !== undefined) {
    code.op1(W.BLOCK, W.VOID);
    const [a, b] = plainOperands(cx);
    cx.stateAddress();
    code.i32(0);
    code.localGet(a);
    code.localGet(b);
    code.op(relation[wide ? 1 : 0]);
    code.op(W.I32_SUB);
    if (wide) code.op(W.I64_EXTEND_I32_S);
    cx.storeState(wide ? W.I64_STORE : W.I32_STORE);
    code.op1(W.BR, 1);
    code.op(W.END);
  }
  slowCompare(cx, SCALAR, 1);
  code.op(W.END);
};

export function comparePacked(halves: 1 | 2): Lowering {
  return (cx) => {
    const { code } = cx;
    const relation = relationOf(cx);
    if (relation !== undefined) {
      const compute = (a: number, b: number, wide: boolean): void => {
        code.localGet(a);
        code.localGet(b);
        code.op(relation[wide ? 3 : 2]);
      };
      return packed(cx, halves, compute, () => slowCompare(cx, 0, halves));
    }
    code.op1(W.BLOCK, W.VOID);
    slowCompare(cx, 0, halves);
    code.op(W.END);
  };
}

const CF = 1;
const ZF = 0x40;

/** COMISS … UCOMISD: ZF where equal, CF where less. */
export const compareFlags: Lowering = (cx) => {
  const { code, type } = cx;
  const wide = type === W.F64;
  cx.dest(W.I32);
  code.op1(W.BLOCK, W.I32);
  code.op1(W.BLOCK, W.VOID);
  const [a, b] = plainOperands(cx);
  code.localGet(a);
  code.localGet(b);
  code.op(wide ? W.F64_LT : W.F32_LT);
  code.localGet(a);
  code.localGet(b);
  code.op(wide ? W.F64_EQ : W.F32_EQ);
  code.i32(Math.log2(ZF / CF));
  code.op(W.I32_SHL);
  code.op(W.I32_OR);
  code.op1(W.BR, 1);
  code.op(W.END);
  cx.slowHelper(
    'sse_comi',
    () => {
      cx.x(W.I64);
      code.i64s(1);
      code.op(W.I64_SHL);
      code.i64s(wide ? 1 : 0);
      code.op(W.I64_OR);
      cx.slotOffset('a');
      cx.slotOffset('b');
    },
    true,
  );
  code.op(W.I32_WRAP_I64);
  code.op(W.END);
  cx.result(W.I32);
};
