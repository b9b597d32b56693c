// The IEEE binary32 and binary64 formats: unpacking to and packing from the core, and the SSE operations on raw
// bit patterns. NaN rule of SSE (SDM Vol. 1 4.8.3.5, table 4-7): the first operand if it is a NaN, else the
// second, made quiet.

import {
  DE, FINITE, IE, INF, PE, QNAN, SNAN, ZERO,
  aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, daz, denormal, finish, flags,
  rCls, rExp, rSig, rSign,
  add, compare, div, mul, roundIntegral, sqrtA, toSigned, fromSigned, resultFromA,
} from './core';

const TOP: u64 = 0x8000000000000000;
const F64_QUIET: u64 = 0x0008000000000000;
const F64_INF: u64 = 0x7ff0000000000000;
const F64_DEFAULT_NAN: u64 = 0xfff8000000000000;
const F32_QUIET: u32 = 0x00400000;
const F32_INF: u32 = 0x7f800000;
const F32_DEFAULT_NAN: u32 = 0xffc00000;

// --- unpacking ---------------------------------------------------------------------------------------------

/** Loads binary64 bits as operand a. */
export function loadA64(x: u64): void {
  const e = i32(x >> 52) & 0x7ff;
  const f = x & 0x000fffffffffffff;
  aSign = i32(x >> 63);
  if (e == 0x7ff) {
    aCls = f == 0 ? INF : (x & F64_QUIET) != 0 ? QNAN : SNAN;
    aSig = TOP | (f << 11);
    return;
  }
  if (e != 0) {
    aCls = FINITE;
    aExp = e - 1023;
    aSig = TOP | (f << 11);
    return;
  }
  if (f == 0 || daz) {
    aCls = ZERO;
    aSig = 0;
    return;
  }
  denormal = DE;
  const n = i32(clz(f));
  aCls = FINITE;
  aExp = -1022 - (n - 11);
  aSig = f << n;
}

/** Loads binary64 bits as operand b. */
export function loadB64(x: u64): void {
  const c = aCls;
  const s = aSign;
  const e = aExp;
  const m = aSig;
  loadA64(x);
  bCls = aCls;
  bSign = aSign;
  bExp = aExp;
  bSig = aSig;
  aCls = c;
  aSign = s;
  aExp = e;
  aSig = m;
}

/** Loads binary32 bits as operand a. */
export function loadA32(x: u32): void {
  const e = i32(x >> 23) & 0xff;
  const f = x & 0x007fffff;
  aSign = i32(x >> 31);
  if (e == 0xff) {
    aCls = f == 0 ? INF : (x & F32_QUIET) != 0 ? QNAN : SNAN;
    aSig = TOP | (u64(f) << 40);
    return;
  }
  if (e != 0) {
    aCls = FINITE;
    aExp = e - 127;
    aSig = TOP | (u64(f) << 40);
    return;
  }
  if (f == 0 || daz) {
    aCls = ZERO;
    aSig = 0;
    return;
  }
  denormal = DE;
  const n = i32(clz(u64(f)));
  aCls = FINITE;
  aExp = -126 - (n - 40);
  aSig = u64(f) << n;
}

/** Loads binary32 bits as operand b. */
export function loadB32(x: u32): void {
  const c = aCls;
  const s = aSign;
  const e = aExp;
  const m = aSig;
  loadA32(x);
  bCls = aCls;
  bSign = aSign;
  bExp = aExp;
  bSig = aSig;
  aCls = c;
  aSign = s;
  aExp = e;
  aSig = m;
}

// --- packing -----------------------------------------------------------------------------------------------

/** Rounds the core's result to binary64 bits. A NaN result must carry its payload in rSig. */
export function pack64(): u64 {
  finish(53, -1022, 1023);
  const sign = u64(rSign) << 63;
  if (rCls == FINITE) {
    const biased = rSig >> 63 != 0 ? u64(rExp + 1023) << 52 : 0;
    return sign | biased | ((rSig >> 11) & 0x000fffffffffffff);
  }
  if (rCls == ZERO) return sign;
  if (rCls == INF) return sign | F64_INF;
  return sign | F64_INF | F64_QUIET | ((rSig >> 11) & 0x000fffffffffffff);
}

/** Rounds the core's result to binary32 bits. */
export function pack32(): u32 {
  finish(24, -126, 127);
  const sign = u32(rSign) << 31;
  if (rCls == FINITE) {
    const biased = rSig >> 63 != 0 ? u32(rExp + 127) << 23 : 0;
    return sign | biased | (u32(rSig >> 40) & 0x007fffff);
  }
  if (rCls == ZERO) return sign;
  if (rCls == INF) return sign | F32_INF;
  return sign | F32_INF | F32_QUIET | (u32(rSig >> 40) & 0x007fffff);
}

// --- NaNs --------------------------------------------------------------------------------------------------

@inline
export function isNan64(x: u64): bool {
  return x << 1 > F64_INF << 1;
}

@inline
export function isSnan64(x: u64): bool {
  return isNan64(x) && (x & F64_QUIET) == 0;
}

@inline
export function isNan32(x: u32): bool {
  return x << 1 > F32_INF << 1;
}

@inline
export function isSnan32(x: u32): bool {
  return isNan32(x) && (x & F32_QUIET) == 0;
}

function propagate64(a: u64, b: u64): u64 {
  if (isSnan64(a) || isSnan64(b)) flags |= IE;
  return (isNan64(a) ? a : b) | F64_QUIET;
}

function propagate32(a: u32, b: u32): u32 {
  if (isSnan32(a) || isSnan32(b)) flags |= IE;
  return (isNan32(a) ? a : b) | F32_QUIET;
}

// --- arithmetic --------------------------------------------------------------------------------------------

/** Operations of `arith64` and `arith32`. */
export const ADD: i32 = 0;
export const SUB: i32 = 1;
export const MUL: i32 = 2;
export const DIV: i32 = 3;
export const MIN: i32 = 4;
export const MAX: i32 = 5;
export const SQRT: i32 = 6;

function operate(op: i32): void {
  if (op == ADD) return add();
  if (op == SUB) {
    bSign = bSign ^ 1;
    return add();
  }
  if (op == MUL) return mul();
  if (op == DIV) return div();
  sqrtA();
}

/** a op b on binary64 bits. SQRT takes its operand in `b`; exceptions accumulate in `flags`. */
export function arith64(op: i32, a: u64, b: u64): u64 {
  if (op == SQRT) {
    if (isNan64(b)) return propagate64(b, b);
    denormal = 0;
    loadA64(b);
    sqrtA();
    return pack64();
  }
  if (op == MIN || op == MAX) return minMax64(op, a, b);
  if (isNan64(a) || isNan64(b)) return propagate64(a, b);
  denormal = 0;
  loadA64(a);
  loadB64(b);
  operate(op);
  return pack64();
}

/** a op b on binary32 bits. */
export function arith32(op: i32, a: u32, b: u32): u32 {
  if (op == SQRT) {
    if (isNan32(b)) return propagate32(b, b);
    denormal = 0;
    loadA32(b);
    sqrtA();
    return pack32();
  }
  if (op == MIN || op == MAX) return minMax32(op, a, b);
  if (isNan32(a) || isNan32(b)) return propagate32(a, b);
  denormal = 0;
  loadA32(a);
  loadB32(b);
  operate(op);
  return pack32();
}

// SDM Vol. 2, MINSD/MAXSD: any NaN, and two zeros, return the second operand; any NaN raises IE.
function minMax64(op: i32, a: u64, b: u64): u64 {
  if (isNan64(a) || isNan64(b)) {
    flags |= IE;
    return daz && (b & F64_INF) == 0 ? b & TOP : b;
  }
  const order = compare64(a, b, true);
  const pickA = op == MIN ? order < 0 : order == 1;
  const r = pickA ? a : b;
  return daz && (r & F64_INF) == 0 ? r & TOP : r;
}

function minMax32(op: i32, a: u32, b: u32): u32 {
  if (isNan32(a) || isNan32(b)) {
    flags |= IE;
    return daz && (b & F32_INF) == 0 ? b & 0x80000000 : b;
  }
  const order = compare32(a, b, true);
  const pickA = op == MIN ? order < 0 : order == 1;
  const r = pickA ? a : b;
  return daz && (r & F32_INF) == 0 ? r & 0x80000000 : r;
}

/** -1 less, 0 equal, 1 greater, 2 unordered. A quiet NaN raises IE only when `signalling`. */
export function compare64(a: u64, b: u64, signalling: bool): i32 {
  if (isNan64(a) || isNan64(b)) {
    if (signalling || isSnan64(a) || isSnan64(b)) flags |= IE;
    return 2;
  }
  denormal = 0;
  loadA64(a);
  loadB64(b);
  flags |= denormal;
  return compare();
}

export function compare32(a: u32, b: u32, signalling: bool): i32 {
  if (isNan32(a) || isNan32(b)) {
    if (signalling || isSnan32(a) || isSnan32(b)) flags |= IE;
    return 2;
  }
  denormal = 0;
  loadA32(a);
  loadB32(b);
  flags |= denormal;
  return compare();
}

// --- conversions -------------------------------------------------------------------------------------------

export function f32ToF64(x: u32): u64 {
  denormal = 0;
  loadA32(x);
  if (aCls == SNAN) flags |= IE;
  flags |= denormal;
  resultFromA();
  return pack64();
}

export function f64ToF32(x: u64): u32 {
  denormal = 0;
  loadA64(x);
  if (aCls == SNAN) flags |= IE;
  flags |= denormal;
  resultFromA();
  return pack32();
}

// Conversions to integers do not report denormals (SDM Vol. 1 table 11-1, CVTxx2SI: invalid and precision only).
export function f64ToInt(x: u64, bits: i32): i64 {
  loadA64(x);
  return toSigned(bits);
}

export function f32ToInt(x: u32, bits: i32): i64 {
  loadA32(x);
  return toSigned(bits);
}

export function intToF64(x: i64): u64 {
  fromSigned(x);
  return pack64();
}

export function intToF32(x: i64): u32 {
  fromSigned(x);
  return pack32();
}

/** ROUNDSD: to an integral value under the current rounding; inexactness raises PE unless `quiet`. */
export function roundInt64(x: u64, quiet: bool): u64 {
  if (isNan64(x)) return propagate64(x, x);
  loadA64(x);
  if (aCls == INF) return x;
  if (aCls == ZERO) return x & TOP;
  if (roundIntegral() && !quiet) flags |= PE;
  return pack64();
}

export function roundInt32(x: u32, quiet: bool): u32 {
  if (isNan32(x)) return propagate32(x, x);
  loadA32(x);
  if (aCls == INF) return x;
  if (aCls == ZERO) return x & 0x80000000;
  if (roundIntegral() && !quiet) flags |= PE;
  return pack32();
}
