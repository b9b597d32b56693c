// Floating point with 128-bit significands for the x87 transcendental functions: errors of a few units in the 128th
// bit, so that one final rounding to 64 bits is off by less than 2^-50 units from correct.

import { setFinite } from '../softfloat/core';

import { divWide, mulHigh, mulWide, wideHi, wideRem } from '../softfloat/wide';

/** The accumulator: value = ±0.(hi:lo) · 2^(exp + 1), with the top bit of `wHi` set unless the value is zero. */
export let wSign: i32 = 0;
export let wExp: i32 = 0;
export let wHi: u64 = 0;
export let wLo: u64 = 0;

@inline
export function wSet(sign: i32, exp: i32, hi: u64, lo: u64): void {
  wSign = sign;
  wExp = exp;
  wHi = hi;
  wLo = lo;
}

export function wNormalise(): void {
  if (wHi == 0) {
    wHi = wLo;
    wLo = 0;
    wExp -= 64;
  }
  const n = i32(clz(wHi));
  if (n == 0 || n == 64) return;
  wHi = (wHi << n) | (wLo >> (64 - n));
  wLo <<= n;
  wExp -= n;
}

/** High 128 bits of a product of two 128-bit fractions, in pHi:pLo. */
export let pHi: u64 = 0;
export let pLo: u64 = 0;

export function multiplyFractions(ah: u64, al: u64, bh: u64, bl: u64): void {
  const x = mulHigh(ah, bl);
  const y = mulHigh(al, bh);
  let lo = mulWide(ah, bh);
  let hi = wideHi;
  lo += x;
  if (lo < x) hi++;
  lo += y;
  if (lo < y) hi++;
  pHi = hi;
  pLo = lo;
}

/** w ← w · (0.(hi:lo) · 2^(exp+1)), sign unchanged. */
export function wMul(exp: i32, hi: u64, lo: u64): void {
  multiplyFractions(wHi, wLo, hi, lo);
  wHi = pHi;
  wLo = pLo;
  wExp += exp + 1;
  wNormalise();
}

/** w ← w ÷ (0.(dh:dl) · 2^(exp+1)), dh normalised; sign unchanged. */
export function wDiv(exp: i32, dh: u64, dl: u64): void {
  let nh = wHi;
  let nl = wLo;
  let low: u64 = 0;
  wExp -= exp;
  if (nh > dh || (nh == dh && nl >= dl)) {
    low = nl << 63;
    nl = (nl >> 1) | (nh << 63);
    nh >>= 1;
  } else wExp--;
  const q1 = quotientDigit(nh, nl, low, dh, dl);
  const q0 = quotientDigit(remHi, remLo, 0, dh, dl);
  wHi = q1;
  wLo = q0;
}

let remHi: u64 = 0;
let remLo: u64 = 0;

/** One base-2^64 digit of (n2:n1:n0) / (dh:dl), n2:n1 < dh:dl (Knuth, TAOCP Vol. 2, 4.3.1 D). */
function quotientDigit(n2: u64, n1: u64, n0: u64, dh: u64, dl: u64): u64 {
  let q: u64;
  let r: u64;
  let big = false;
  if (n2 >= dh) {
    q = u64.MAX_VALUE;
    r = n1 + dh;
    big = r < dh;
  } else {
    q = divWide(n2, n1, dh);
    r = wideRem;
  }
  let pl = mulWide(q, dl);
  let ph = wideHi;
  while (!big && (ph > r || (ph == r && pl > n0))) {
    q--;
    ph -= u64(pl < dl);
    pl -= dl;
    r += dh;
    big = r < dh;
  }
  remLo = n0 - pl;
  remHi = r - ph - u64(n0 < pl);
  return q;
}

/** w ← w + (±0.(hi:lo) · 2^(exp+1)); neither is zero unless the sum cancels exactly. */
export function wAdd(sign: i32, exp: i32, hi: u64, lo: u64): void {
  let ah = wHi;
  let al = wLo;
  let bh = hi;
  let bl = lo;
  let as = wSign;
  let bs = sign;
  let ae = wExp;
  let be = exp;
  if (be > ae || (be == ae && (bh > ah || (bh == ah && bl > al)))) {
    ah = hi; al = lo; as = sign; ae = exp;
    bh = wHi; bl = wLo; bs = wSign; be = wExp;
  }
  const d = ae - be;
  if (d >= 128) {
    bh = 0;
    bl = 0;
  } else if (d >= 64) {
    bl = bh >> (d - 64);
    bh = 0;
  } else if (d > 0) {
    bl = (bl >> d) | (bh << (64 - d));
    bh >>= d;
  }
  if (as == bs) {
    const l = al + bl;
    const c = u64(l < al);
    let h = ah + bh;
    const c1 = h < ah;
    h += c;
    if (c1 || (c != 0 && h == 0)) {
      wSet(as, ae + 1, (h >> 1) | 0x8000000000000000, (l >> 1) | (h << 63));
    } else wSet(as, ae, h, l);
    return;
  }
  wSet(as, ae, ah - bh - u64(al < bl), al - bl);
  wNormalise();
}

/** w as a fraction 0.(pHi:pLo), for wExp < 0. */
export function wFraction(): void {
  const n = -1 - wExp;
  if (n >= 128) {
    pHi = 0;
    pLo = 0;
  } else if (n >= 64) {
    pLo = wHi >> (n - 64);
    pHi = 0;
  } else if (n > 0) {
    pLo = (wLo >> n) | (wHi << (64 - n));
    pHi = wHi >> n;
  } else {
    pHi = wHi;
    pLo = wLo;
  }
}

/**
 * Σ (±1)^k · terms[k] · x^k for the fraction x = 0.(xh:xl); the result is a fraction in pHi:pLo, moved by one unit in
 * the last place towards the neglected terms so that it is never exact.
 */
export function series(terms: i32, count: i32, xh: u64, xl: u64, alternating: bool): void {
  let p = terms + (count - 1) * 16;
  let h = load<u64>(p);
  let l = load<u64>(p, 8);
  while (p != terms) {
    p -= 16;
    multiplyFractions(h, l, xh, xl);
    const th = load<u64>(p);
    const tl = load<u64>(p, 8);
    if (alternating) {
      l = tl - pLo;
      h = th - pHi - u64(tl < pLo);
    } else {
      l = tl + pLo;
      h = th + pHi + u64(l < tl);
    }
  }
  if (alternating) {
    h -= u64(l == 0);
    l--;
  } else {
    l++;
    h += u64(l == 0);
  }
  pHi = h;
  pLo = l;
}

/** w ← w · 2 · 0.(pHi:pLo) */
export function wScale(): void {
  wMul(0, pHi, pLo);
}

/** `series` of w², |w| < 1. */
export function evenSeries(terms: i32, count: i32, alternating: bool): void {
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
  series(terms, count, h, l, alternating);
}

/** w as the core's result, always inexact. */
@inline
export function resultFromWide(): void {
  setFinite(wSign, wExp, wHi, wLo | 1);
}
