// x87 transcendental instructions (SDM Vol. 1 8.3.8–8.3.10). Every result is the mathematical value rounded once
// under the current rounding control; FSIN, FCOS, FSINCOS and FPTAN reduce their argument with the 66-bit π of
// SDM Vol. 1 8.3.8, so large arguments agree with hardware.

import {
  DE, FINITE, IE, INF, PE, QNAN, ZE, ZERO,
  aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, denormal, flags, invalid, mul, rCls, rSign, resultFromA, resultFromB, setFinite,
  setResult,
} from '../softfloat/core';
import { mulWide, divWide, wideHi } from '../softfloat/wide';
import { finish80, loadASlot, loadBSlot, specialBinary, specialUnary, storeSlot } from '../softfloat/extended';
import {
  SW_C2, blocked, complete, enterFpu, isEmpty, popStack, pushStack, setEmpty, setStatusWord, signal, st, stackOverflow,
  stackUnderflow, statusWord, storeIndefinite,
} from './fpu-state';
import { unaryOperand } from './fpu-arith';
import {
  ATANH_COUNT, ATAN_COUNT, ATAN_EIGHTHS, ATAN_TERMS, COS_COUNT, COS_TERMS, EXP_COUNT, EXP_TERMS, LN2_HI, LN2_LO, LOG2E_HI,
  LOG2E_LO, PI_HI, PI_LO, SIN_COUNT, SIN_TERMS,
} from './fpu-constants';
import {
  multiplyFractions, pHi, pLo, series, wAdd, wDiv, wExp, wFraction, wHi, wLo, wMul, wNormalise, wScale, wSet, wSign,
} from './fpu-wide';

const TOP: u64 = 0x8000000000000000;

/** w as the core's result, always inexact. */
@inline
function resultFromWide(): void {
  setFinite(wSign, wExp, wHi, wLo | 1);
}

// --- sine, cosine, tangent ---------------------------------------------------------------------------------

/** Quadrant of the last `reduce`. */
let quadrant: i32 = 0;

/** Operand a modulo π/2 into w, in [-π/4, π/4]; the sign is that of the reduced |a|. */
function reduce(): void {
  quadrant = 0;
  wSet(0, aExp, aSig, 0);
  if (aExp < -1 || (aExp == -1 && aSig <= 0xc90fdaa22168c234)) return;
  // In units of 2^-65 the operand is an integer x, and π/2 is m = 4·mTop + 3.
  const mTop: u64 = 0xc90fdaa22168c234;
  const shift = aExp + 2;
  const xh = shift == 64 ? aSig : aSig >> (64 - shift);
  const xl = shift == 64 ? 0 : aSig << shift;
  let q = divWide(xh >> 2, (xl >> 2) | (xh << 62), mTop);
  // r = x - q·m as a signed 128-bit number; q may be too large by two.
  const low3 = mulWide(q, 3);
  const high3 = wideHi;
  const low = mulWide(q, mTop);
  let ph = (wideHi << 2) | (low >> 62);
  let pl = low << 2;
  pl += low3;
  ph += high3 + u64(pl < low3);
  let rl = xl - pl;
  let rh = i64(xh - ph - u64(xl < pl));
  const ml: u64 = (mTop << 2) | 3;
  const mh: i64 = 3;
  while (rh < 0) {
    const s = rl + ml;
    rh += mh + i64(s < rl);
    rl = s;
    q--;
  }
  // Half of m is 0x1_921F…: subtract once more when above it.
  while (rh > 1 || (rh == 1 && rl > ((ml >> 1) | TOP))) {
    rh = rh - mh - i64(rl < ml);
    rl -= ml;
    q++;
    if (rh < 0) break;
  }
  quadrant = i32(q) & 3;
  if (rh < 0) {
    wSet(1, 62, u64(~rh) + u64(rl == 0), 0 - rl);
  } else wSet(0, 62, u64(rh), rl);
  wNormalise();
}

/** z = w², then the series; leaves it in pHi:pLo. */
function evenSeries(terms: i32, count: i32): void {
  multiplyFractions(wHi, wLo, wHi, wLo);
  const n = -2 * wExp - 2;
  let h = pHi;
  let l = pLo;
  if (n >= 128) {
    h = 0;
    l = 0;
  } else if (n >= 64) {
    l = h >> (n - 64);
    h = 0;
  } else if (n > 0) {
    l = (l >> n) | (h << (64 - n));
    h >>= n;
  }
  series(terms, count, h, l, true);
}

/** w ← sin w. */
function sineOfWide(): void {
  evenSeries(SIN_TERMS, SIN_COUNT);
  wScale();
}

/** w ← cos w. */
function cosineOfWide(): void {
  evenSeries(COS_TERMS, COS_COUNT);
  wSet(0, 0, pHi, pLo);
  wNormalise();
}

/** sin (which = 0) or cos (1) of operand a, whose reduction is in w. */
function sineOrCosine(which: i32): void {
  const q = (quadrant + which) & 3;
  if ((q & 1) != 0) cosineOfWide();
  else sineOfWide();
  if (q >= 2) wSign ^= 1;
  if (which == 0) wSign ^= aSign;
}

/**
 * Operand checks of FSIN, FCOS, FPTAN, FSINCOS. Returns 0 when done (result set or instruction finished), 1 to
 * compute, 2 when the result is already in the core.
 */
function trigOperand(): i32 {
  if (!unaryOperand()) return 0;
  setStatusWord(statusWord() & ~SW_C2);
  if (specialUnary()) return 2;
  if (aCls == INF) {
    invalid();
    return 2;
  }
  if (aCls == FINITE && aExp >= 63) {
    signal(0, SW_C2);
    return 0;
  }
  flags |= denormal;
  return 1;
}

export function fpu_sin(): void {
  const k = trigOperand();
  if (k == 0) return;
  if (k == 1) {
    if (aCls == ZERO) resultFromA();
    else {
      reduce();
      sineOrCosine(0);
      resultFromWide();
    }
  }
  complete(64, st(0));
}

export function fpu_cos(): void {
  const k = trigOperand();
  if (k == 0) return;
  if (k == 1) {
    if (aCls == ZERO) setFinite(0, 0, TOP, 0);
    else {
      reduce();
      sineOrCosine(1);
      resultFromWide();
    }
  }
  complete(64, st(0));
}

/** FSINCOS and FPTAN need room for a push; with none, both results are the indefinite. */
function pushOverflows(): bool {
  if (!enterFpu()) return true;
  if (isEmpty(-1) || isEmpty(0)) return false;
  setStatusWord(statusWord() & ~SW_C2);
  if (stackOverflow()) {
    storeIndefinite(st(0));
    pushStack();
    storeIndefinite(st(0));
  }
  return true;
}

/** The stack is empty: underflow, with both results indefinite. */
function pushUnderflows(): bool {
  if (!enterFpu()) return true;
  if (!isEmpty(0)) return false;
  setStatusWord(statusWord() & ~SW_C2);
  if (stackUnderflow()) {
    storeIndefinite(st(0));
    setEmpty(0, 0);
    pushStack();
    storeIndefinite(st(0));
  }
  return true;
}

export function fpu_sincos(): void {
  if (pushOverflows() || pushUnderflows()) return;
  const k = trigOperand();
  if (k == 0) return;
  if (k == 2) {
    if (!complete(64, st(0))) return;
    v128.store(st(-1), v128.load(st(0)));
    return pushStack();
  }
  const sine = st(0);
  if (aCls == ZERO) {
    if (blocked()) return signal(flags, 0);
    return pushOne();
  }
  reduce();
  const exp = wExp;
  const hi = wHi;
  const lo = wLo;
  const sign = wSign;
  const f = flags;
  sineOrCosine(1);
  resultFromWide();
  if (!complete(64, st(-1))) return;
  flags = f;
  wSet(sign, exp, hi, lo);
  sineOrCosine(0);
  resultFromWide();
  complete(64, sine);
  pushStack();
}

function pushOne(): void {
  pushStack();
  store<u64>(st(0), TOP);
  store<u16>(st(0), 0x3fff, 8);
}

export function fpu_ptan(): void {
  if (pushOverflows() || pushUnderflows()) return;
  const k = trigOperand();
  if (k == 0) return;
  if (k == 2) {
    if (!complete(64, st(0))) return;
    v128.store(st(-1), v128.load(st(0)));
    return pushStack();
  }
  if (aCls == ZERO) resultFromA();
  else {
    reduce();
    const exp = wExp;
    const hi = wHi;
    const lo = wLo;
    const sign = wSign;
    sineOrCosine(1);
    const cSign = wSign;
    const cExp = wExp;
    const cHi = wHi;
    const cLo = wLo;
    wSet(sign, exp, hi, lo);
    sineOrCosine(0);
    wSign ^= cSign;
    wDiv(cExp, cHi, cLo);
    resultFromWide();
  }
  if (!complete(64, st(0))) return;
  pushOne();
}

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
  multiplyFractions(wHi, wLo, wHi, wLo);
  const n = -2 * wExp - 2;
  let h = pHi;
  let l = pLo;
  if (n >= 128) {
    h = 0;
    l = 0;
  } else if (n >= 64) {
    l = h >> (n - 64);
    h = 0;
  } else if (n > 0) {
    l = (l >> n) | (h << (64 - n));
    h >>= n;
  }
  series(ATAN_TERMS, ATANH_COUNT, h, l, false);
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
  evenSeries(ATAN_TERMS, ATAN_COUNT);
  wScale();
}
