import type { Lowering } from './lowering-context.ts';
import * as W from './wasm/opcodes.ts';

/** d = op (a, b). */
export function vectorBinary(op: number): Lowering {
  return (cx) => {
    cx.dest(W.V128);
    cx.a(W.V128);
    cx.b(W.V128);
    cx.code.op(op);
    cx.result(W.V128);
  };
}

/** d = op (lanes 0 and 2 of a, and of b), where `op` takes the two low lanes. */
export function evenProducts(op: number): Lowering {
  return (cx) => {
    cx.dest(W.V128);
    for (const operand of ['a', 'b'] as const) {
      cx[operand](W.V128);
      cx.code.v128(0, 0, 0, 0);
      cx.code.op(W.I8X16_SHUFFLE);
      for (const word of [0x03020100, 0x0b0a0908, 0x03020100, 0x0b0a0908]) cx.code.word(word);
    }
    cx.code.op(op);
    cx.result(W.V128);
  };
}

/** d = op (a). */
export function vectorUnary(op: number): Lowering {
  return (cx) => {
    cx.dest(W.V128);
    cx.a(W.V128);
    cx.code.op(op);
    cx.result(W.V128);
  };
}

export const vmov: Lowering = (cx) => {
  cx.dest(W.V128);
  cx.a(W.V128);
  cx.result(W.V128);
};

export const vconst: Lowering = (cx) => {
  cx.dest(W.V128);
  cx.constant128();
  cx.result(W.V128);
};

export const vbitselect: Lowering = (cx) => {
  cx.dest(W.V128);
  cx.a(W.V128);
  cx.b(W.V128);
  cx.c(W.V128);
  cx.code.op(W.V128_BITSELECT);
  cx.result(W.V128);
};

/**
 * wasm's shuffle has a literal pattern. Where it is only known at run time: swizzle gives 0 for indexes above 15, so the result
 * is swizzle(a, pattern) | swizzle(b, pattern - 16).
 */
export const vshuffle: Lowering = (cx) => {
  const { code } = cx;
  cx.dest(W.V128);
  cx.a(W.V128);
  if (cx.isStatic) {
    cx.b(W.V128);
    code.op(W.I8X16_SHUFFLE);
    for (let i = 2; i < 6; i++) code.word(cx.word(i));
  } else {
    cx.constant128();
    code.op(W.I8X16_SWIZZLE);
    cx.b(W.V128);
    cx.constant128();
    code.v128(0x10101010, 0x10101010, 0x10101010, 0x10101010);
    code.op(W.I8X16_SUB);
    code.op(W.I8X16_SWIZZLE);
    code.op(W.V128_OR);
  }
  cx.result(W.V128);
};

/** Lanes of a shifted by the immediate. */
export function vectorShift(op: number): Lowering {
  return (cx) => {
    cx.dest(W.V128);
    cx.a(W.V128);
    cx.imm(W.I32);
    cx.code.op(op);
    cx.result(W.V128);
  };
}

/** d = top bits of the lanes. */
export function vectorMask(op: number): Lowering {
  return (cx) => {
    cx.dest(W.I32);
    cx.a(W.V128);
    cx.code.op(op);
    cx.result(W.I32);
  };
}

export const vsplat64: Lowering = (cx) => {
  cx.dest(W.V128);
  cx.a(W.I64);
  cx.code.op(W.I64X2_SPLAT);
  cx.result(W.V128);
};

/** Low lane from integer slot a, the rest zero. */
export function zeroExtendToVector(type: W.ValueType, replaceLane: number): Lowering {
  return (cx) => {
    cx.dest(W.V128);
    cx.code.v128(0, 0, 0, 0);
    cx.a(type);
    cx.code.op(replaceLane);
    cx.code.byte(0);
    cx.result(W.V128);
  };
}
