// x87 exponential, logarithms and arctangent (SDM Vol. 1 8.3.8, 8.3.9). Every result is the mathematical value rounded
// once under the current rounding control.

import {
  FINITE, INF, PE, ZE, ZERO, aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, denormal, flags, invalid, mul,
  resultFromA, setFinite, setResult,
} from '../softfloat/core';
import { mulWide, wideHi } from '../softfloat/wide';
import { loadASlot, loadBSlot, specialBinary, specialUnary } from '../softfloat/extended';
import { complete, enterFpu, isEmpty, popStack, setEmpty, st, stackUnderflow, storeIndefinite } from './fpu-state';
import { unaryOperand } from './fpu-arith';
import {
  ATANH_COUNT, ATAN_COUNT, ATAN_EIGHTHS, ATAN_TERMS, EXP_COUNT, EXP_TERMS, LN2_HI, LN2_LO, LOG2E_HI, LOG2E_LO,
  PI_HI, PI_LO,
} from './fpu-constants';
import {
  evenSeries, resultFromWide, pHi, pLo, series, wAdd, wDiv, wExp, wFraction, wHi, wLo, wMul, wNormalise, wScale,
  wSet, wSign,
} from './fpu-wide';

const TOP: u64 = 0x8000000000000000;

// --- 2^x - 1 -----------------------------------------------------------------------------------------------

export function fpu_2xm1(): void {
  if (!unaryOperand()) return;
  if (!specialUnary()) {
    flags |= denormal;
    if (aCls == FINITE) powerMinusOne();
    else if (aCls == INF && aSign != 0) setFinite(1, 0, TOP, 0);
    else resultFromA();
  }
  complete(64, st(0));
}

function powerMinusOne(): void {
  // Outside [-1, 1] the result is undefined (SDM Vol. 2): the operand stays.
  if (aExp >= 0) {
    if (aExp > 0 || aSig != TOP) return resultFromA();
    return setFinite(aSign, aSign != 0 ? -1 : 0, TOP, 0);
  }
  wSet(aSign, aExp, aSig, 0);
  wMul(-1, LN2_HI, LN2_LO);
  wFraction();
  series(EXP_TERMS, EXP_COUNT, pHi, pLo, aSign != 0);
  wScale();
  resultFromWide();
}

// --- logarithms --------------------------------------------------------------------------------------------

/** w ← log2 of w, w > 0, with `exact` set when w is a power of two (w is then that integer, or has wHi = 0 for zero). */
let exact: bool = false;

function log2OfWide(): void {
  let e = wExp;
  exact = false;
  // m in [√½, √2).
  let mExp = 0;
  if (wHi >= 0xb504f333f9de6484) {
    e++;
    mExp = -1;
  }
  const mh = wHi;
  const ml = wLo;
  if (mh == TOP && ml == 0) {
    exact = true;
    return integerToWide(e);
  }
  // m + 1, then (m - 1) / (m + 1).
  wSet(0, mExp, mh, ml);
  wAdd(0, 0, TOP, 0);
  const dExp = wExp;
  const dh = wHi;
  const dl = wLo;
  wSet(0, mExp, mh, ml);
  wAdd(1, 0, TOP, 0);
  wDiv(dExp, dh, dl);
  doubleAtanhLog2();
  if (e == 0) return;
  const tSign = wSign;
  const tExp = wExp;
  const th = wHi;
  const tl = wLo;
  integerToWide(e);
  wAdd(tSign, tExp, th, tl);
}

/** w ← 2·atanh(w) / ln 2 */
function doubleAtanhLog2(): void {
  evenSeries(ATAN_TERMS, ATANH_COUNT, false);
  wScale();
  wMul(1, LOG2E_HI, LOG2E_LO);
}

function integerToWide(x: i32): void {
  const n = x < 0 ? -x : x;
  wSet(i32(x < 0), 63, u64(n), 0);
  if (x != 0) wNormalise();
}

/** Ends FYL2X and FYL2XP1: the result goes to ST(1), and ST(0) is popped. */
function completeAndPop(): void {
  if (complete(64, st(1))) popStack();
}

function twoOperands(): bool {
  if (!enterFpu()) return false;
  if (!isEmpty(0) && !isEmpty(1)) {
    loadBSlot(st(1));
    loadASlot(st(0));
    return true;
  }
  if (stackUnderflow()) {
    storeIndefinite(st(1));
    setEmpty(1, 0);
    popStack();
  }
  return false;
}

/** w · b as the core's result. */
function timesB(): void {
  wSign ^= bSign;
  wMul(bExp, bSig, 0);
  resultFromWide();
}

export function fpu_yl2x(): void {
  if (!twoOperands()) return;
  if (!specialBinary()) logarithm();
  completeAndPop();
}

/** b · log2 a (SDM Vol. 2 table 3-56). */
function logarithm(): void {
  if (aCls == ZERO) {
    if (bCls == ZERO) return invalid();
    if (bCls == FINITE) flags |= ZE;
    return setResult(INF, bSign ^ 1);
  }
  if (aSign != 0) return invalid();
  if (aCls == INF) {
    if (bCls == ZERO) return invalid();
    flags |= denormal;
    return setResult(INF, bSign);
  }
  const one = aExp == 0 && aSig == TOP;
  const below = aExp < 0;
  if (bCls == INF) {
    if (one) return invalid();
    flags |= denormal;
    return setResult(INF, bSign ^ i32(below));
  }
  flags |= denormal;
  if (one || bCls == ZERO) return setResult(ZERO, bSign ^ i32(below));
  wSet(0, aExp, aSig, 0);
  log2OfWide();
  if (!exact) return timesB();
  // Hardware reports every finite logarithm but log2(1) as inexact.
  flags |= PE;
  aCls = FINITE;
  aSign = wSign;
  aExp = wExp;
  aSig = wHi;
  mul();
}

export function fpu_yl2xp1(): void {
  if (!twoOperands()) return;
  if (!specialBinary()) logarithmPlusOne();
  completeAndPop();
}

/** b · log2(1 + a) (SDM Vol. 2 table 3-57). */
function logarithmPlusOne(): void {
  if (aCls == ZERO) {
    if (bCls == INF) return invalid();
    flags |= denormal;
    return setResult(ZERO, aSign ^ bSign);
  }
  if (aSign != 0 && (aCls == INF || aExp >= 0)) return invalid();
  if (aCls == INF) {
    if (bCls == ZERO) return invalid();
    flags |= denormal;
    return setResult(INF, bSign);
  }
  flags |= denormal;
  if (bCls != FINITE) return setResult(bCls, aSign ^ bSign);
  wSet(aSign, aExp, aSig, 0);
  if (aExp >= -2) {
    wAdd(0, 0, TOP, 0);
    log2OfWide();
    return timesB();
  }
  wAdd(0, 1, TOP, 0);
  const dExp = wExp;
  const dh = wHi;
  const dl = wLo;
  wSet(aSign, aExp, aSig, 0);
  wDiv(dExp, dh, dl);
  doubleAtanhLog2();
  timesB();
}

// --- arctangent --------------------------------------------------------------------------------------------

export function fpu_patan(): void {
  if (!twoOperands()) return;
  if (!specialBinary()) arctangent();
  completeAndPop();
}

/** Multiples of π/4 as the result. */
function quarterTurns(sign: i32, n: i32): void {
  wSet(sign, -1, PI_HI, PI_LO);
  if (n == 3) {
    wMul(1, 0xc000000000000000, 0);
    resultFromWide();
    return;
  }
  wExp = n == 1 ? -1 : n == 2 ? 0 : 1;
  resultFromWide();
}

/** The angle of the point (x = a, y = b) (SDM Vol. 2 table 3-40). */
function arctangent(): void {
  const sign = bSign;
  flags |= denormal;
  if (bCls == ZERO || (aCls == INF && bCls == FINITE)) {
    if (aSign != 0) return quarterTurns(sign, 4);
    return setResult(ZERO, sign);
  }
  if (aCls == INF) return quarterTurns(sign, aSign != 0 ? 3 : 1);
  if (aCls == ZERO || bCls == INF) return quarterTurns(sign, 2);
  const steep = bExp > aExp || (bExp == aExp && bSig > aSig);
  if (steep) arctangentOfRatio(aExp, aSig, bExp, bSig);
  else arctangentOfRatio(bExp, bSig, aExp, aSig);
  // The angle to the nearer axis is in w, from 0 to π/4.
  if (steep) {
    if (aSign == 0) wSign = 1;
    wAdd(0, 0, PI_HI, PI_LO);
  } else if (aSign != 0) {
    wSign = 1;
    wAdd(0, 1, PI_HI, PI_LO);
  }
  wSign = sign;
  resultFromWide();
}

/** w ← atan(n / d), 0 < n ≤ d: around the nearest multiple of 1/8, atan q = atan c + atan((q - c) / (1 + q·c)). */
function arctangentOfRatio(nExp: i32, n: u64, dExp: i32, d: u64): void {
  const gap = dExp - nExp;
  let k = 0;
  if (gap < 6) k = i32(nearest((f64(n) / f64(d)) * f64(8 >> min(gap, 3)) / f64(1 << max(gap - 3, 0))));
  if (k == 0) {
    wSet(0, nExp, n, 0);
    wDiv(dExp, d, 0);
    atanOfWide();
    return;
  }
  // 8d + kn
  wideTimes(n, nExp, k);
  wAdd(0, dExp + 3, d, 0);
  const denExp = wExp;
  const denHi = wHi;
  const denLo = wLo;
  // 8n - kd
  wideTimes(d, dExp, k);
  wSign = 1;
  wAdd(0, nExp + 3, n, 0);
  const table = ATAN_EIGHTHS + k * 16;
  if ((wHi | wLo) == 0) {
    wSet(0, -1, load<u64>(table), load<u64>(table, 8));
    return wNormalise();
  }
  wDiv(denExp, denHi, denLo);
  atanOfWide();
  const tSign = wSign;
  const tExp = wExp;
  const th = wHi;
  const tl = wLo;
  wSet(0, -1, load<u64>(table), load<u64>(table, 8));
  wNormalise();
  wAdd(tSign, tExp, th, tl);
}

/** w ← sig · 2^(exp-63) · k */
function wideTimes(sig: u64, exp: i32, k: i32): void {
  const lo = mulWide(sig, u64(k));
  wSet(0, exp + 64, wideHi, lo);
  wNormalise();
}

/** w ← atan w for |w| ≤ 1/16 */
function atanOfWide(): void {
  evenSeries(ATAN_TERMS, ATAN_COUNT, true);
  wScale();
}
