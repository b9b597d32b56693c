// Fused multiply-add: a × b + c rounded once (IEEE 754-2008 5.4.1; SDM Vol. 1 14.5). NaN rule: the first of a, b, c that is
// one, made quiet; 0 × ∞ + QNaN is no invalid operation.

import { isNan32, isNan64, isSnan32, isSnan64, loadA32, loadA64, loadB32, loadB64, pack32, pack64 } from './binary';
import {
  FINITE, IE, INF, RC_DOWN, ZERO, aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, denormal, flags, invalid, normalise,
  rCls, rExp, rExt, rSig, rSign, rc, setFinite, setResult,
} from './core';
import { mulWide, wideHi } from './wide';

const TOP: u64 = 0x8000000000000000;

let cCls: i32 = 0;
let cSign: i32 = 0;
let cExp: i32 = 0;
let cSig: u64 = 0;

/** Moves operand a to c. */
@inline
function keepC(): void {
  cCls = aCls;
  cSign = aSign;
  cExp = aExp;
  cSig = aSig;
}

/** rSig:rExt >>= d, bits that fall out stay visible in the lowest bit. */
function shiftResult(d: i32): void {
  const hi = rSig;
  const lo = rExt;
  if (d == 0) return;
  if (d < 64) {
    rExt = (lo >> d) | (hi << (64 - d)) | u64(lo << (64 - d) != 0);
    rSig = hi >> d;
  } else if (d < 128) {
    const n = d - 64;
    const lost = n == 0 ? lo : (hi << (64 - n)) | lo;
    rExt = (hi >> n) | u64(lost != 0);
    rSig = 0;
  } else {
    rExt = 1;
    rSig = 0;
  }
}

/** Adds c to the product sign, exp, hi:lo; both finite and not zero. At most one of the two has bits below the other's. */
function addC(sign: i32, exp: i32, hi: u64, lo: u64): void {
  const productFirst = exp > cExp || (exp == cExp && hi >= cSig);
  const bigSign = productFirst ? sign : cSign;
  const bigHi = productFirst ? hi : cSig;
  const bigLo = productFirst ? lo : 0;
  setFinite(bigSign, productFirst ? exp : cExp, productFirst ? cSig : hi, productFirst ? 0 : lo);
  shiftResult(productFirst ? exp - cExp : cExp - exp);
  if (sign == cSign) {
    let sumLo = bigLo + rExt;
    const carry = u64(sumLo < bigLo);
    let sumHi = bigHi + rSig;
    let out = u64(sumHi < bigHi);
    sumHi += carry;
    out |= u64(carry != 0 && sumHi == 0);
    if (out != 0) {
      sumLo = (sumLo >> 1) | (sumLo & 1) | (sumHi << 63);
      sumHi = (sumHi >> 1) | TOP;
      rExp++;
    }
    rSig = sumHi;
    rExt = sumLo;
    return;
  }
  const borrow = u64(bigLo < rExt);
  rExt = bigLo - rExt;
  rSig = bigHi - rSig - borrow;
  if ((rSig | rExt) == 0) return setResult(ZERO, i32(rc == RC_DOWN));
  if (rSig >> 63 == 0) normalise();
}

/** The unrounded result of operands that are not NaN. */
function multiplyAdd(): void {
  const sign = aSign ^ bSign;
  if (aCls == INF || bCls == INF) {
    if (aCls == ZERO || bCls == ZERO || (cCls == INF && cSign != sign)) return invalid();
    flags |= denormal;
    return setResult(INF, sign);
  }
  flags |= denormal;
  if (cCls == INF) return setResult(INF, cSign);
  if (aCls == ZERO || bCls == ZERO) {
    if (cCls == ZERO) return setResult(ZERO, sign == cSign ? sign : i32(rc == RC_DOWN));
    return setFinite(cSign, cExp, cSig, 0);
  }
  let lo = mulWide(aSig, bSig);
  let hi = wideHi;
  let exp = aExp + bExp + 1;
  if (hi >> 63 == 0) {
    hi = (hi << 1) | (lo >> 63);
    lo <<= 1;
    exp--;
  }
  if (cCls == ZERO) return setFinite(sign, exp, hi, lo);
  addC(sign, exp, hi, lo);
}

/** a × b + c on binary64 bits, the product and c negated as asked; exceptions accumulate in `flags`. */
export function fma64(a: u64, b: u64, c: u64, negateProduct: i32, negateC: i32): u64 {
  if (isNan64(a) || isNan64(b) || isNan64(c)) {
    if (isSnan64(a) || isSnan64(b) || isSnan64(c)) flags |= IE;
    return (isNan64(a) ? a : isNan64(b) ? b : c) | 0x0008000000000000;
  }
  denormal = 0;
  loadA64(c);
  keepC();
  loadA64(a);
  loadB64(b);
  aSign ^= negateProduct;
  cSign ^= negateC;
  multiplyAdd();
  return pack64();
}

export function fma32(a: u32, b: u32, c: u32, negateProduct: i32, negateC: i32): u32 {
  if (isNan32(a) || isNan32(b) || isNan32(c)) {
    if (isSnan32(a) || isSnan32(b) || isSnan32(c)) flags |= IE;
    return (isNan32(a) ? a : isNan32(b) ? b : c) | 0x00400000;
  }
  denormal = 0;
  loadA32(c);
  keepC();
  loadA32(a);
  loadB32(b);
  aSign ^= negateProduct;
  cSign ^= negateC;
  multiplyAdd();
  return pack32();
}
