// x87 sine, cosine and tangent (SDM Vol. 1 8.3.8). Every result is the mathematical value rounded once under the
// current rounding control; arguments are reduced with the 66-bit π of the manual, so large ones agree with hardware.

import {
  FINITE, INF, ZERO, aCls, aExp, aSig, aSign, denormal, flags, invalid, resultFromA, setFinite,
} from '../softfloat/core';
import { mulWide, divWide, wideHi } from '../softfloat/wide';
import { specialUnary } from '../softfloat/extended';
import {
  SW_C2, blocked, complete, enterFpu, isEmpty, pushStack, setEmpty, setStatusWord, signal, st, stackOverflow,
  stackUnderflow, statusWord, storeIndefinite,
} from './fpu-state';
import { unaryOperand } from './fpu-arith';
import { COS_COUNT, COS_TERMS, SIN_COUNT, SIN_TERMS } from './fpu-constants';
import {
  evenSeries, resultFromWide, pHi, pLo, wDiv, wExp, wHi, wLo, wNormalise, wScale, wSet, wSign,
} from './fpu-wide';

const TOP: u64 = 0x8000000000000000;

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

/** w ← sin w. */
function sineOfWide(): void {
  evenSeries(SIN_TERMS, SIN_COUNT, true);
  wScale();
}

/** w ← cos w. */
function cosineOfWide(): void {
  evenSeries(COS_TERMS, COS_COUNT, true);
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
  if (!enterFpu()) return 0;
  setStatusWord(statusWord() & ~SW_C2);
  if (!unaryOperand()) return 0;
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
