// The format-independent core: operands are unpacked into globals (class, sign, exponent, normalised 64-bit
// significand), an operation leaves an exact or sticky 128-bit result, and `finish` rounds it once for the
// destination's precision and exponent range (IEEE 754-2008 clauses 4, 5 and 7; SDM Vol. 1 4.8 and 4.9).

import { divWide, mulWide, shiftRightJam, wideHi, wideRem } from './wide';

// Exception flags, in the bit order shared by the x87 status word and MXCSR.
export const IE: i32 = 1;
export const DE: i32 = 2;
export const ZE: i32 = 4;
export const OE: i32 = 8;
export const UE: i32 = 16;
export const PE: i32 = 32;

// Rounding control, encoded as in the x87 control word and MXCSR.
export const RC_NEAREST: i32 = 0;
export const RC_DOWN: i32 = 1;
export const RC_UP: i32 = 2;
export const RC_ZERO: i32 = 3;

// Operand classes.
export const ZERO: i32 = 0;
export const FINITE: i32 = 1;
export const INF: i32 = 2;
export const QNAN: i32 = 3;
export const SNAN: i32 = 4;
/** x87 encodings that no current FPU generates (SDM Vol. 1 8.2.2): pseudo-infinity, pseudo-NaN, unnormal. */
export const UNSUPPORTED: i32 = 5;

const TOP: u64 = 0x8000000000000000;

/** Exceptions raised since the caller cleared it. */
export let flags: i32 = 0;
export let rc: i32 = 0;
/** OE and UE bits whose response is the x87's bias-adjusted result instead of infinity or a denormal. */
export let wrap: i32 = 0;
/** Exceptions that are masked; underflow is signalled for an exact tiny result when UE is not among them. */
export let masks: i32 = 63;
export let ftz: bool = false;
export let daz: bool = false;
/** The last `finish` or `roundIntegral` increased the magnitude (x87 C1). */
export let roundedUp: bool = false;

export let aCls: i32 = 0;
export let aSign: i32 = 0;
export let aExp: i32 = 0;
export let aSig: u64 = 0;
export let bCls: i32 = 0;
export let bSign: i32 = 0;
export let bExp: i32 = 0;
export let bSig: u64 = 0;
/** DE when the operands unpacked since it was cleared include a denormal. */
export let denormal: i32 = 0;

/** Result: class, sign, exponent of the leading bit, and significand rSig:rExt (rExt's bit 0 is sticky). */
export let rCls: i32 = 0;
export let rSign: i32 = 0;
export let rExp: i32 = 0;
export let rSig: u64 = 0;
export let rExt: u64 = 0;

@inline
export function setResult(cls: i32, sign: i32): void {
  rCls = cls;
  rSign = sign;
  rExp = 0;
  rSig = 0;
  rExt = 0;
}

@inline
export function setFinite(sign: i32, exp: i32, sig: u64, ext: u64): void {
  rCls = FINITE;
  rSign = sign;
  rExp = exp;
  rSig = sig;
  rExt = ext;
}

@inline
export function resultFromA(): void {
  rCls = aCls;
  rSign = aSign;
  rExp = aExp;
  rSig = aSig;
  rExt = 0;
}

@inline
export function resultFromB(): void {
  rCls = bCls;
  rSign = bSign;
  rExp = bExp;
  rSig = bSig;
  rExt = 0;
}

@inline
export function swapOperands(): void {
  const c = aCls;
  const s = aSign;
  const e = aExp;
  const m = aSig;
  aCls = bCls;
  aSign = bSign;
  aExp = bExp;
  aSig = bSig;
  bCls = c;
  bSign = s;
  bExp = e;
  bSig = m;
}

/** Raises IE and makes the result the default NaN. */
@inline
export function invalid(): void {
  flags |= IE;
  setResult(QNAN, 1);
  rSig = 0xc000000000000000;
}

/** Brings rSig:rExt, not zero, to the form with its top bit set. */
export function normalise(): void {
  if (rSig == 0) {
    rSig = rExt;
    rExt = 0;
    rExp -= 64;
  }
  const n = i32(clz(rSig));
  if (n != 0) {
    rSig = (rSig << n) | (rExt >> (64 - n));
    rExt = rExt << n;
    rExp -= n;
  }
}

/** Adds |a| and |b|, both finite and not zero; the sign is the caller's. */
function addMagnitudes(): void {
  if (aExp < bExp) swapOperands();
  const d = aExp - bExp;
  let lo: u64 = 0;
  let hi = bSig;
  if (d != 0) {
    if (d < 64) {
      lo = hi << (64 - d);
      hi >>= d;
    } else {
      lo = d == 64 ? hi : shiftRightJam(hi, d - 64);
      hi = 0;
    }
  }
  let sum = aSig + hi;
  rExp = aExp;
  if (sum < hi) {
    lo = (lo >> 1) | (lo & 1) | (sum << 63);
    sum = (sum >> 1) | TOP;
    rExp++;
  }
  rSig = sum;
  rExt = lo;
}

/** |a| - |b|, both finite and not zero. Leaves ZERO when they are equal; flips rSign when |a| < |b|. */
function subMagnitudes(): void {
  if (aExp < bExp || (aExp == bExp && aSig < bSig)) {
    swapOperands();
    rSign ^= 1;
  }
  const d = aExp - bExp;
  let lo: u64 = 0;
  let hi = bSig;
  if (d != 0) {
    if (d < 64) {
      lo = hi << (64 - d);
      hi >>= d;
    } else {
      lo = d == 64 ? hi : shiftRightJam(hi, d - 64);
      hi = 0;
    }
  }
  rExp = aExp;
  rSig = aSig - hi - u64(lo != 0);
  rExt = 0 - lo;
  if ((rSig | rExt) == 0) {
    // IEEE 754-2008 6.3: an exact zero difference is +0, or -0 when rounding down.
    setResult(ZERO, i32(rc == RC_DOWN));
    return;
  }
  if (rSig >> 63 == 0) normalise();
}

/** a + b for operands that are not NaN. `bSign` may have been flipped for a subtraction. */
export function add(): void {
  if (aCls == FINITE && bCls == FINITE) {
    flags |= denormal;
    rCls = FINITE;
    rSign = aSign;
    if (aSign == bSign) addMagnitudes();
    else subMagnitudes();
    return;
  }
  if (aCls == INF) {
    if (bCls == INF && aSign != bSign) return invalid();
    flags |= denormal;
    return setResult(INF, aSign);
  }
  flags |= denormal;
  if (bCls == INF) return setResult(INF, bSign);
  if (aCls == ZERO && bCls == ZERO) {
    return setResult(ZERO, aSign == bSign ? aSign : i32(rc == RC_DOWN));
  }
  if (aCls == ZERO) resultFromB();
  else resultFromA();
}

/** a × b for operands that are not NaN. */
export function mul(): void {
  const sign = aSign ^ bSign;
  if (aCls == FINITE && bCls == FINITE) {
    flags |= denormal;
    let lo = mulWide(aSig, bSig);
    let hi = wideHi;
    let exp = aExp + bExp + 1;
    if (hi >> 63 == 0) {
      hi = (hi << 1) | (lo >> 63);
      lo <<= 1;
      exp--;
    }
    return setFinite(sign, exp, hi, lo);
  }
  if (aCls == INF || bCls == INF) {
    if (aCls == ZERO || bCls == ZERO) return invalid();
    flags |= denormal;
    return setResult(INF, sign);
  }
  flags |= denormal;
  setResult(ZERO, sign);
}

/** a ÷ b for operands that are not NaN. */
export function div(): void {
  const sign = aSign ^ bSign;
  if (aCls == FINITE && bCls == FINITE) {
    flags |= denormal;
    return divFinite(sign);
  }
  if (aCls == INF) {
    if (bCls == INF) return invalid();
    flags |= denormal;
    return setResult(INF, sign);
  }
  if (bCls == ZERO) {
    if (aCls == ZERO) return invalid();
    flags |= ZE;
    return setResult(INF, sign);
  }
  flags |= denormal;
  setResult(ZERO, sign);
}

function divFinite(sign: i32): void {
  let q: u64;
  let exp = aExp - bExp;
  if (aSig < bSig) {
    exp--;
    q = divWide(aSig, 0, bSig);
  } else {
    q = divWide(aSig >> 1, aSig << 63, bSig);
  }
  const r = wideRem;
  let ext: u64 = 0;
  if (r != 0) {
    // Guard bit: is the remainder at least half the divisor? Sticky: is it exactly half?
    const twice = r << 1;
    if (r >> 63 != 0 || twice > bSig) ext = TOP | 1;
    else ext = twice == bSig ? TOP : 1;
  }
  setFinite(sign, exp, q, ext);
}

/** √a for an operand that is not NaN. */
export function sqrtA(): void {
  if (aCls == ZERO) return setResult(ZERO, aSign);
  if (aSign != 0) return invalid();
  flags |= denormal;
  if (aCls == INF) return setResult(INF, 0);
  // Radicand n = hi:lo in [2^126, 2^128), so that the root has exactly 64 bits.
  let hi = aSig;
  let lo: u64 = 0;
  let exp = aExp;
  if ((exp & 1) == 0) {
    lo = hi << 63;
    hi >>= 1;
  }
  exp >>= 1;
  // 53-bit estimate from the host's square root, one Newton step (|n - s²| < 2^77), a fix-up of a few units.
  let s: u64;
  const estimate = sqrt<f64>(f64(hi)) * 4294967296.0;
  s = estimate >= 18446744073709549568.0 ? u64.MAX_VALUE : u64(estimate);
  if (s < TOP) s = TOP;
  const sLo = mulWide(s, s);
  const sHi = wideHi;
  if (sHi < hi || (sHi == hi && sLo <= lo)) {
    const rLo = lo - sLo;
    const rHi = hi - sHi - u64(lo < sLo);
    const step = divWide(rHi >> 1, (rHi << 63) | (rLo >> 1), s);
    s = s + step < s ? u64.MAX_VALUE : s + step;
  } else {
    const rLo = sLo - lo;
    const rHi = sHi - hi - u64(sLo < lo);
    s -= divWide(rHi >> 1, (rHi << 63) | (rLo >> 1), s) + 1;
  }
  sqrtFix(s, hi, lo, exp);
}

function sqrtFix(start: u64, hi: u64, lo: u64, exp: i32): void {
  let s = start;
  let pLo = mulWide(s, s);
  let pHi = wideHi;
  while (pHi > hi || (pHi == hi && pLo > lo)) {
    s--;
    pLo = mulWide(s, s);
    pHi = wideHi;
  }
  // remainder = n - s² must be ≤ 2s.
  let rLo = lo - pLo;
  let rHi = hi - pHi - u64(lo < pLo);
  while (rHi > s >> 63 || (rHi == s >> 63 && rLo > s << 1)) {
    const d = (s << 1) | 1;
    const borrow = u64(rLo < d);
    rLo -= d;
    rHi -= (s >> 63) + borrow;
    s++;
  }
  let ext: u64 = 0;
  if ((rHi | rLo) != 0) ext = rHi != 0 || rLo > s ? TOP | 1 : 1;
  setFinite(0, exp, s, ext);
}

/**
 * a compared with b, neither NaN: -1, 0 or 1.
 */
export function compare(): i32 {
  if (aCls == ZERO && bCls == ZERO) return 0;
  if (aCls == ZERO) return bSign != 0 ? 1 : -1;
  if (bCls == ZERO) return aSign != 0 ? -1 : 1;
  if (aSign != bSign) return aSign != 0 ? -1 : 1;
  const greater = aSign != 0 ? -1 : 1;
  if (aCls != bCls) return aCls == INF ? greater : -greater;
  if (aCls == INF) return 0;
  if (aExp != bExp) return aExp > bExp ? greater : -greater;
  if (aSig == bSig) return 0;
  return aSig > bSig ? greater : -greater;
}

/** Whether the fraction `ext` (weight below one unit) rounds the magnitude up. */
@inline
function increments(sign: i32, odd: u64, ext: u64): bool {
  if (rc == RC_NEAREST) return ext > TOP || (ext == TOP && odd != 0);
  if (rc == RC_ZERO) return false;
  return ext != 0 && (rc == RC_DOWN) == (sign != 0);
}

/** Rounds rSig:rExt to `p` bits. Returns whether the result is inexact. A carry out raises rExp. */
function roundTo(p: i32): bool {
  const s = 64 - p;
  let ext = rExt;
  let base = rSig;
  let odd = base & 1;
  if (s != 0) {
    ext = (base << p) | (ext >> s) | u64(ext << p != 0);
    base = (base >> s) << s;
    odd = (base >> s) & 1;
  }
  rExt = 0;
  roundedUp = false;
  if (ext == 0) return false;
  if (increments(rSign, odd, ext)) {
    roundedUp = true;
    const unit = u64(1) << s;
    const sum = base + unit;
    if (sum < base) {
      base = TOP;
      rExp++;
    } else base = sum;
  }
  rSig = base;
  return true;
}

/** Whether rounding to `p` bits with an unbounded exponent would carry into the next power of two. */
function wouldCarry(p: i32): bool {
  const s = 64 - p;
  const ones = (u64.MAX_VALUE >> s) << s;
  if ((rSig & ones) != ones) return false;
  const ext = s == 0 ? rExt : (rSig << p) | (rExt >> s) | u64(rExt << p != 0);
  return increments(rSign, 1, ext);
}

/**
 * Rounds a finite result for a format of precision `p` (24, 53 or 64) and leading-bit exponents `emin`..`emax`,
 * detecting tininess after rounding as x86 does (SDM Vol. 1 4.9.1.5). Results of other classes pass through.
 * Afterwards rSig has its top bit clear exactly when the result is denormal.
 */
export function finish(p: i32, emin: i32, emax: i32): void {
  roundedUp = false;
  if (rCls != FINITE) return;
  if (rExp < emin) return finishTiny(p, emin);
  if (roundTo(p)) flags |= PE;
  if (rExp > emax) overflow(p, emax);
}

function finishTiny(p: i32, emin: i32): void {
  const tiny = rExp < emin - 1 || !wouldCarry(p);
  if (tiny && ftz && (masks & UE) != 0) {
    flags |= UE | PE;
    return setResult(ZERO, rSign);
  }
  if (tiny && (masks & UE) == 0) {
    flags |= UE;
    if ((wrap & UE) != 0) {
      if (roundTo(p)) flags |= PE;
      rExp += 24576;
      return;
    }
  }
  const n = emin - rExp;
  if (n < 64) {
    rExt = (rExt >> n) | (rSig << (64 - n)) | u64(rExt << (64 - n) != 0);
    rSig >>= n;
  } else {
    rExt = n == 64 ? rSig | u64(rExt != 0) : shiftRightJam(rSig, n - 64) | u64(rExt != 0);
    rSig = 0;
  }
  rExp = emin;
  if (roundTo(p)) flags |= tiny ? UE | PE : PE;
  if (rSig == 0) setResult(ZERO, rSign);
}

function overflow(p: i32, emax: i32): void {
  flags |= OE;
  if ((wrap & OE) != 0) {
    rExp -= 24576;
    return;
  }
  flags |= PE;
  const toInf = rc == RC_NEAREST || (rc == RC_UP && rSign == 0) || (rc == RC_DOWN && rSign != 0);
  roundedUp = toInf;
  if (toInf) return setResult(INF, rSign);
  rExp = emax;
  rSig = (u64.MAX_VALUE >> (64 - p)) << (64 - p);
}

/** Rounds `a`, finite, to an integral value in the result (which may be ZERO). Returns whether that was inexact. */
export function roundIntegral(): bool {
  roundedUp = false;
  resultFromA();
  if (aExp >= 63) return false;
  // Integer part in i, fraction left-aligned in ext.
  let i: u64;
  let ext: u64;
  if (aExp < 0) {
    i = 0;
    ext = aExp == -1 ? aSig : shiftRightJam(aSig, -1 - aExp);
  } else {
    i = aSig >> (63 - aExp);
    ext = aSig << (aExp + 1);
  }
  if (ext == 0) return false;
  if (increments(aSign, i & 1, ext)) {
    i++;
    roundedUp = true;
  }
  // i is at most 2^63: the fraction took at least one bit.
  if (i == 0) {
    setResult(ZERO, aSign);
    return true;
  }
  const n = i32(clz(i));
  setFinite(aSign, 63 - n, i << n, 0);
  return true;
}

/**
 * `a` as a signed integer of `bits` bits under the current rounding. Out of range, infinite or NaN: IE and the
 * integer indefinite (SDM Vol. 1 4.8.2: only the top bit set).
 */
export function toSigned(bits: i32): i64 {
  roundedUp = false;
  const indefinite: i64 = i64(-1) << (bits - 1);
  if (aCls == ZERO) return 0;
  if (aCls != FINITE || aExp > 63) {
    flags |= IE;
    return indefinite;
  }
  const inexact = roundIntegral();
  if (rCls == FINITE) {
    const magnitude = rExp > 62 ? TOP : rSig >> (63 - rExp);
    const limit = (u64(1) << (bits - 1)) - u64(rSign == 0);
    if (rExp > 63 || (rExp == 63 && rSig != TOP) || magnitude > limit) {
      roundedUp = false;
      flags |= IE;
      return indefinite;
    }
    if (inexact) flags |= PE;
    return rSign != 0 ? i64(0 - magnitude) : i64(magnitude);
  }
  flags |= PE;
  return 0;
}

/** A signed integer as the unrounded result. */
export function fromSigned(x: i64): void {
  if (x == 0) return setResult(ZERO, 0);
  const sign = i32(x < 0);
  const magnitude = sign != 0 ? 0 - u64(x) : u64(x);
  const n = i32(clz(magnitude));
  setFinite(sign, 63 - n, magnitude << n, 0);
}
