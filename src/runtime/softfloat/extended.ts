// The x87 double extended-precision format: a 16-byte slot holds the 64-bit significand with its explicit integer
// bit at +0 and sign/exponent at +8 (SDM Vol. 1 4.2.2 and 8.2). NaN rule of the x87 (table 4-7): a quiet NaN beats
// a signalling one, otherwise the larger significand wins.

import {
  DE, FINITE, IE, INF, PE, QNAN, SNAN, UNSUPPORTED, ZERO,
  aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, denormal, finish, flags,
  rCls, rExp, rSig, rSign, roundedUp, invalid, setFinite, setResult,
} from './core';
import { divWide, wideRem } from './wide';

const TOP: u64 = 0x8000000000000000;
const QUIET: u64 = 0x4000000000000000;

export const BIAS: i32 = 16383;
const EMIN: i32 = -16382;
const EMAX: i32 = 16383;

/** Class of an encoding; unpacks it as operand a. */
export function loadA80(m: u64, se: i32): void {
  const e = se & 0x7fff;
  aSign = (se >> 15) & 1;
  aSig = m;
  if (e == 0x7fff) {
    if (m >> 63 == 0) aCls = UNSUPPORTED;
    else aCls = m == TOP ? INF : (m & QUIET) != 0 ? QNAN : SNAN;
    return;
  }
  if (e != 0) {
    aCls = m >> 63 != 0 ? FINITE : UNSUPPORTED;
    aExp = e - BIAS;
    return;
  }
  if (m == 0) {
    aCls = ZERO;
    return;
  }
  denormal = DE;
  const n = i32(clz(m));
  aCls = FINITE;
  aExp = EMIN - n;
  aSig = m << n;
}

export function moveAToB(): void {
  bCls = aCls;
  bSign = aSign;
  bExp = aExp;
  bSig = aSig;
}

/** Unpacks the slot at `p` as operand a. */
@inline
export function loadASlot(p: i32): void {
  loadA80(load<u64>(p), load<u16>(p, 8));
}

/** Unpacks the slot at `p` as operand b; operand a is lost. */
@inline
export function loadBSlot(p: i32): void {
  loadA80(load<u64>(p), load<u16>(p, 8));
  moveAToB();
}

/** Sign and exponent word of the core's finished result; its significand is rSig. */
export function packSignExp(): i32 {
  const sign = rSign << 15;
  if (rCls == FINITE) {
    // Out of range even after the bias adjustment of an unmasked response (FSCALE only).
    if (rExp > EMAX) {
      flags |= PE;
      roundedUp = true;
      setResult(INF, rSign);
      rSig = TOP;
      return sign | 0x7fff;
    }
    if (rExp < EMIN) {
      flags |= PE;
      roundedUp = false;
      setResult(ZERO, rSign);
      return sign;
    }
    return rSig >> 63 != 0 ? sign | (rExp + BIAS) : sign;
  }
  if (rCls == ZERO) {
    rSig = 0;
    return sign;
  }
  if (rCls == INF) {
    rSig = TOP;
    return sign | 0x7fff;
  }
  rSig |= TOP | QUIET;
  return sign | 0x7fff;
}

/** Stores the finished result to the slot at `p`. */
@inline
export function storeSlot(p: i32): void {
  const se = packSignExp();
  store<u64>(p, rSig);
  store<u16>(p, u16(se), 8);
}

/** Rounds the result to the extended exponent range with a precision of `p` bits. */
@inline
export function finish80(p: i32): void {
  finish(p, EMIN, EMAX);
}

@inline
function isNan(cls: i32): bool {
  return cls == QNAN || cls == SNAN;
}

/**
 * Handles the operands arithmetic cannot: returns true when a NaN or an unsupported encoding decided the result.
 */
export function specialBinary(): bool {
  if (aCls < QNAN && bCls < QNAN) return false;
  if (aCls == UNSUPPORTED || bCls == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (aCls == SNAN || bCls == SNAN) flags |= IE;
  let useA: bool;
  if (!isNan(bCls)) useA = true;
  else if (!isNan(aCls)) useA = false;
  else if (aCls != bCls) useA = aCls == QNAN;
  else if (aSig != bSig) useA = aSig > bSig;
  else useA = aSign <= bSign;
  if (useA) {
    setResult(QNAN, aSign);
    rSig = aSig | QUIET;
  } else {
    setResult(QNAN, bSign);
    rSig = bSig | QUIET;
  }
  return true;
}

/** The same for an operation on operand a alone. */
export function specialUnary(): bool {
  if (aCls < QNAN) return false;
  if (aCls == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (aCls == SNAN) flags |= IE;
  setResult(QNAN, aSign);
  rSig = aSig | QUIET;
  return true;
}

/** Low bits of the quotient of the last `remainder`, and whether it was only partial (C2). */
export let quotient: u64 = 0;
export let partial: bool = false;

/**
 * FPREM (`nearest` false) and FPREM1: remainder of a ÷ b, neither NaN. Reduces the exponent difference by at most
 * 63 per execution (SDM Vol. 2, FPREM).
 */
export function remainder(nearest: bool): void {
  quotient = 0;
  partial = false;
  if (aCls == INF || bCls == ZERO) return invalid();
  flags |= denormal;
  if (aCls == ZERO) return setResult(ZERO, aSign);
  if (bCls == INF) return setFinite(aSign, aExp, aSig, 0);
  const d = aExp - bExp;
  if (d < -1 || (d < 0 && !nearest)) return setFinite(aSign, aExp, aSig, 0);
  if (d >= 64) {
    const n = 32 + (d & 31);
    partialRemainder(n, d);
    return;
  }
  let q: u64 = 0;
  let r: u64 = 0;
  if (d == -1) {
    // |a| < |b| < 4|a|: only rounding can make the quotient 1.
    roundRemainder(0, aSig, aExp);
    return;
  }
  if (d == 0) {
    q = u64(aSig >= bSig);
    r = q != 0 ? aSig - bSig : aSig;
  } else {
    q = divWide(aSig >> (64 - d), aSig << d, bSig);
    r = wideRem;
  }
  if (nearest) return roundRemainder(q, r, bExp);
  quotient = q;
  remainderResult(aSign, r, bExp);
}

function remainderResult(sign: i32, r: u64, exp: i32): void {
  if (r == 0) return setResult(ZERO, sign);
  const n = i32(clz(r));
  setFinite(sign, exp - n, r << n, 0);
}

/** Chooses between r and r - b; r's unit is that of a number with exponent `exp`, bExp or bExp - 1. */
function roundRemainder(q: u64, r: u64, exp: i32): void {
  let up: bool;
  let other: u64;
  if (exp == bExp) {
    other = bSig - r;
    up = r > other || (r == other && (q & 1) != 0);
  } else {
    // r counts halves of b's unit: b is 2·bSig of them, a - b never needs the lost bit when r > b / 2.
    up = r > bSig;
    other = (bSig - r) + bSig;
  }
  if (!up) {
    quotient = q;
    return remainderResult(aSign, r, exp);
  }
  quotient = q + 1;
  remainderResult(aSign ^ 1, other, exp);
}

function partialRemainder(n: i32, d: i32): void {
  partial = true;
  divWide(aSig >> (64 - n), aSig << n, bSig);
  remainderResult(aSign, wideRem, bExp + d - n);
}
