import type { Lowering, LoweringContext } from './lowering-context.ts';
import * as W from './wasm/opcodes.ts';

/** d = op32/op64 (a, b). */
export function binary(op32: number, op64: number): Lowering {
  return (cx) => {
    const t = cx.type;
    cx.dest(t);
    cx.a(t);
    cx.b(t);
    cx.code.op(t === W.I32 ? op32 : op64);
    cx.result(t);
  };
}

/** d = op32/op64 (a). */
export function unary(op32: number, op64: number): Lowering {
  return (cx) => {
    const t = cx.type;
    cx.dest(t);
    cx.a(t);
    cx.code.op(t === W.I32 ? op32 : op64);
    cx.result(t);
  };
}

/** d = 0 or 1. */
export function compare(op32: number, op64: number): Lowering {
  return (cx) => {
    const t = cx.type;
    cx.dest(W.I32);
    cx.a(t);
    cx.b(t);
    cx.code.op(t === W.I32 ? op32 : op64);
    cx.result(W.I32);
  };
}

export const mov: Lowering = (cx) => {
  cx.dest(W.I64);
  cx.a(W.I64);
  cx.result(W.I64);
};

export const movi: Lowering = (cx) => {
  cx.dest(W.I64);
  cx.imm(W.I64);
  cx.result(W.I64);
};

export const select: Lowering = (cx) => {
  cx.dest(W.I64);
  cx.b(W.I64);
  cx.c(W.I64);
  cx.a(W.I32);
  cx.code.op(W.SELECT);
  cx.result(W.I64);
};

function constant(cx: LoweringContext, type: number, value: number): void {
  if (type === W.I32) cx.code.i32(value);
  else cx.code.i64s(value);
}

export const neg: Lowering = (cx) => {
  const t = cx.type;
  cx.dest(t);
  constant(cx, t, 0);
  cx.a(t);
  cx.code.op(t === W.I32 ? W.I32_SUB : W.I64_SUB);
  cx.result(t);
};

export const not: Lowering = (cx) => {
  const t = cx.type;
  cx.dest(t);
  cx.a(t);
  constant(cx, t, -1);
  cx.code.op(t === W.I32 ? W.I32_XOR : W.I64_XOR);
  cx.result(t);
};

export const bswap: Lowering = (cx) => {
  const { code } = cx;
  cx.dest(cx.type);
  if (cx.type === W.I32) {
    const t = cx.scratch(W.I32, 0);
    cx.a(W.I32);
    code.localTee(t);
    code.i32(8);
    code.op(W.I32_ROTL);
    code.i32(0x00ff00ff);
    code.op(W.I32_AND);
    code.localGet(t);
    code.i32(8);
    code.op(W.I32_ROTR);
    code.i32(0xff00ff00);
    code.op(W.I32_AND);
    code.op(W.I32_OR);
    cx.result(W.I32);
    return;
  }
  const t = cx.scratch(W.I64, 0);
  cx.a(W.I64);
  code.localSet(t);
  swapFields(cx, t, 8, 0x00ff00ff);
  code.localSet(t);
  swapFields(cx, t, 16, 0x0000ffff);
  code.i64s(32);
  code.op(W.I64_ROTL);
  cx.result(W.I64);
};

/** Pushes local `t` with neighbouring fields of `bits` bits exchanged; `mask` selects the low ones in each half. */
function swapFields(cx: LoweringContext, t: number, bits: number, mask: number): void {
  const { code } = cx;
  code.localGet(t);
  code.i64s(bits);
  code.op(W.I64_SHR_U);
  code.i64(mask, mask);
  code.op(W.I64_AND);
  code.localGet(t);
  code.i64(mask, mask);
  code.op(W.I64_AND);
  code.i64s(bits);
  code.op(W.I64_SHL);
  code.op(W.I64_OR);
}

/** Pushes the low (or high) 32 bits of an i64 local as i64. */
function half(cx: LoweringContext, local: number, high: boolean): void {
  cx.code.localGet(local);
  if (high) {
    cx.code.i64s(32);
    cx.code.op(W.I64_SHR_U);
  } else {
    cx.code.i64(-1, 0);
    cx.code.op(W.I64_AND);
  }
}

/** Pushes the product of two halves. */
function partialProduct(cx: LoweringContext, a: number, highA: boolean, b: number, highB: boolean): void {
  half(cx, a, highA);
  half(cx, b, highB);
  cx.code.op(W.I64_MUL);
}

/** Pushes the high half of the unsigned product of locals a and b; uses scratch i64 locals 2 and 3. */
function highProduct(cx: LoweringContext, a: number, b: number): void {
  const { code } = cx;
  const t = cx.scratch(W.I64, 2);
  const u = cx.scratch(W.I64, 3);
  // t = hi(a) * lo(b) + (lo(a) * lo(b) >> 32): cannot overflow
  partialProduct(cx, a, false, b, false);
  code.i64s(32);
  code.op(W.I64_SHR_U);
  partialProduct(cx, a, true, b, false);
  code.op(W.I64_ADD);
  code.localSet(t);
  // u = lo(a) * hi(b) + lo(t)
  partialProduct(cx, a, false, b, true);
  half(cx, t, false);
  code.op(W.I64_ADD);
  code.localSet(u);
  partialProduct(cx, a, true, b, true);
  half(cx, t, true);
  code.op(W.I64_ADD);
  half(cx, u, true);
  code.op(W.I64_ADD);
}

/** Pushes (x >> 63) & y. */
function signCorrection(cx: LoweringContext, x: number, y: number): void {
  cx.code.localGet(x);
  cx.code.i64s(63);
  cx.code.op(W.I64_SHR_S);
  cx.code.localGet(y);
  cx.code.op(W.I64_AND);
}

function operandsToScratch(cx: LoweringContext): readonly [number, number] {
  const a = cx.scratch(W.I64, 0);
  const b = cx.scratch(W.I64, 1);
  cx.a(W.I64);
  cx.code.localSet(a);
  cx.b(W.I64);
  cx.code.localSet(b);
  return [a, b];
}

export const mulhu: Lowering = (cx) => {
  cx.dest(W.I64);
  const [a, b] = operandsToScratch(cx);
  highProduct(cx, a, b);
  cx.result(W.I64);
};

/** The signed high half is the unsigned one less b where a < 0, less a where b < 0. */
export const mulhs: Lowering = (cx) => {
  cx.dest(W.I64);
  const [a, b] = operandsToScratch(cx);
  highProduct(cx, a, b);
  signCorrection(cx, a, b);
  cx.code.op(W.I64_SUB);
  signCorrection(cx, b, a);
  cx.code.op(W.I64_SUB);
  cx.result(W.I64);
};

/** d = a with all bits but the low ones of `mask` cleared. */
export function extendUnsigned(mask: number): Lowering {
  return (cx) => {
    cx.dest(W.I32);
    cx.a(W.I32);
    if (mask !== -1) {
      cx.code.i32(mask);
      cx.code.op(W.I32_AND);
    }
    cx.result(W.I32);
  };
}

export const ext8hu: Lowering = (cx) => {
  cx.dest(W.I32);
  cx.a(W.I32);
  cx.code.i32(8);
  cx.code.op(W.I32_SHR_U);
  cx.code.i32(0xff);
  cx.code.op(W.I32_AND);
  cx.result(W.I32);
};

export const ext32s: Lowering = (cx) => {
  cx.dest(W.I64);
  cx.a(W.I32);
  cx.code.op(W.I64_EXTEND_I32_S);
  cx.result(W.I64);
};

/** d = a with the field (mask << shift) replaced by the low bits of b. */
export function deposit(mask: number, shift: number): Lowering {
  return (cx) => {
    const { code } = cx;
    cx.dest(W.I64);
    cx.a(W.I64);
    code.i64s(~(mask << shift));
    code.op(W.I64_AND);
    cx.b(W.I64);
    code.i64s(mask);
    code.op(W.I64_AND);
    if (shift !== 0) {
      code.i64s(shift);
      code.op(W.I64_SHL);
    }
    code.op(W.I64_OR);
    cx.result(W.I64);
  };
}

export const lea: Lowering = (cx) => {
  const t = cx.type;
  const wide = t === W.I64;
  const { code } = cx;
  cx.dest(t);
  cx.a(t);
  cx.b(t);
  if (cx.knownX !== 0) {
    cx.x(t);
    code.op(wide ? W.I64_SHL : W.I32_SHL);
  }
  code.op(wide ? W.I64_ADD : W.I32_ADD);
  if (!cx.isStatic || cx.word(3) !== 0) {
    cx.imm32(t);
    code.op(wide ? W.I64_ADD : W.I32_ADD);
  }
  cx.result(t);
};

/** d = zero-extended bytes at state offset a. */
export function getState(opcode: number): Lowering {
  return (cx) => {
    cx.dest(W.I32);
    cx.loadState(opcode);
    cx.result(W.I32);
  };
}

/** Bytes at state offset d = a. */
export function putState(opcode: number): Lowering {
  return (cx) => {
    cx.stateAddress();
    cx.a(W.I32);
    cx.storeState(opcode);
  };
}
