// VFMADD132PS … VFNMSUB231SD (SDM Vol. 1 14.5). As in ./sse-arith.ts the host's arithmetic is tried first, in forms that round once.

import { fma32, fma64 } from '../softfloat/fused';
import { VECTOR_HI } from './layout';
import { enterSse, fast, report } from './sse-env';
import { CPU } from './state';

const F64: i32 = 1;
const SCALAR: i32 = 2;
const NEGATE_PRODUCT: i32 = 4;
const NEGATE_EVEN: i32 = 8;
const NEGATE_ODD: i32 = 16;
const LONG: i32 = 32;

const MIN32_AS_F64: f64 = 1.1754943508222875e-38;

let result: v128 = i64x2.splat(0);

/** Lanes of |x| within the powers of two 2^-400 and 2^400, where no step of `tryF64` overflows or loses bits. */
@inline
function moderate(x: v128): v128 {
  const a = f64x2.abs(x);
  return v128.and(f64x2.gt(a, f64x2.splat(3.872591914849318e-121)), f64x2.lt(a, f64x2.splat(2.5822498780869086e120)));
}

/**
 * a × b + c in binary64, exactly rounded: the product as an unevaluated sum (Dekker 1971), the three terms added with one
 * rounding to odd (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
 * odd"). False where exponents are extreme or the result is not normal.
 */
function tryF64(a: v128, b: v128, c: v128): bool {
  const zero = f64x2.splat(0);
  const cZero = f64x2.eq(c, zero);
  const ok = v128.and(v128.and(moderate(a), moderate(b)), v128.or(moderate(c), cZero));
  if (!i64x2.all_true(ok)) return tryZeroProducts(a, b, c, ok);
  result = fused64(a, b, c);
  return i64x2.all_true(f64x2.gt(f64x2.abs(result), f64x2.splat(1e-300)));
}

/** Lanes with a zero factor give c, if that is moderate. */
function tryZeroProducts(a: v128, b: v128, c: v128, ok: v128): bool {
  const zero = f64x2.splat(0);
  const plainA = v128.or(moderate(a), f64x2.eq(a, zero));
  const plainB = v128.or(moderate(b), f64x2.eq(b, zero));
  const zeroFactor = v128.or(f64x2.eq(a, zero), f64x2.eq(b, zero));
  const trivial = v128.and(v128.and(zeroFactor, v128.and(plainA, plainB)), moderate(c));
  if (!i64x2.all_true(v128.or(ok, trivial))) return false;
  const one = f64x2.splat(1);
  const r = fused64(v128.bitselect(one, a, trivial), v128.bitselect(one, b, trivial), c);
  result = v128.bitselect(c, r, trivial);
  return i64x2.all_true(f64x2.gt(f64x2.abs(result), f64x2.splat(1e-300)));
}

@inline
function fused64(a: v128, b: v128, c: v128): v128 {
  // product: uh + ul
  const split = f64x2.splat(134217729.0);
  const uh = f64x2.mul(a, b);
  const ta = f64x2.mul(split, a);
  const ah = f64x2.sub(ta, f64x2.sub(ta, a));
  const al = f64x2.sub(a, ah);
  const tb = f64x2.mul(split, b);
  const bh = f64x2.sub(tb, f64x2.sub(tb, b));
  const bl = f64x2.sub(b, bh);
  const e1 = f64x2.sub(f64x2.mul(ah, bh), uh);
  const e2 = f64x2.add(e1, f64x2.mul(ah, bl));
  const e3 = f64x2.add(e2, f64x2.mul(al, bh));
  const ul = f64x2.add(e3, f64x2.mul(al, bl));
  // th + tl = c + ul; vh + vl = uh + th
  const th = f64x2.add(c, ul);
  const t1 = f64x2.sub(th, c);
  const tl = f64x2.add(f64x2.sub(c, f64x2.sub(th, t1)), f64x2.sub(ul, t1));
  const vh = f64x2.add(uh, th);
  const v1 = f64x2.sub(vh, uh);
  const vl = f64x2.add(f64x2.sub(uh, f64x2.sub(vh, v1)), f64x2.sub(th, v1));
  // z = tl + vl, rounded to odd
  const s = f64x2.add(tl, vl);
  const s1 = f64x2.sub(s, tl);
  const err = f64x2.add(f64x2.sub(tl, f64x2.sub(s, s1)), f64x2.sub(vl, s1));
  const one = i64x2.splat(1);
  const inexact = f64x2.ne(err, f64x2.splat(0));
  const even = i64x2.eq(v128.and(s, one), i64x2.splat(0));
  // one unit away from zero where the error has the sum's sign, else towards zero
  const towards = i64x2.shr_s(v128.xor(s, err), 63);
  const step = v128.or(towards, one);
  const z = i64x2.add(s, v128.and(step, v128.and(inexact, even)));
  return f64x2.add(vh, z);
}

/** Not denormal, infinite or NaN, in binary32. */
@inline
function plain32x4(x: v128): v128 {
  const a = f32x4.abs(x);
  const ok = v128.and(f32x4.ge(a, f32x4.splat(1.1754943508222875e-38)), f32x4.lt(a, f32x4.splat(<f32>Infinity)));
  return v128.or(ok, f32x4.eq(a, f32x4.splat(0)));
}

/** Two lanes in binary64: the product is exact there; false when the sum stands halfway between two binary32 numbers. */
@inline
function sumIsSafe(s: v128): v128 {
  const rest = v128.and(s, i64x2.splat(0x1fffffff));
  const normal = f64x2.gt(f64x2.abs(s), f64x2.splat(MIN32_AS_F64));
  return v128.andnot(normal, i64x2.eq(rest, i64x2.splat(0x10000000)));
}

function tryF32(a: v128, b: v128, c: v128): bool {
  const ok = v128.and(v128.and(plain32x4(a), plain32x4(b)), plain32x4(c));
  const hiA = i32x4.shuffle(a, a, 2, 3, 2, 3);
  const hiB = i32x4.shuffle(b, b, 2, 3, 2, 3);
  const hiC = i32x4.shuffle(c, c, 2, 3, 2, 3);
  const lo = f64x2.add(
    f64x2.mul(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b)),
    f64x2.promote_low_f32x4(c),
  );
  const hi = f64x2.add(
    f64x2.mul(f64x2.promote_low_f32x4(hiA), f64x2.promote_low_f32x4(hiB)),
    f64x2.promote_low_f32x4(hiC),
  );
  const safe = v128.and(sumIsSafe(lo), sumIsSafe(hi));
  const r = i64x2.shuffle(f32x4.demote_f64x2_zero(lo), f32x4.demote_f64x2_zero(hi), 0, 2);
  const finite = f32x4.lt(f32x4.abs(r), f32x4.splat(<f32>Infinity));
  result = r;
  return i64x2.all_true(safe) && i32x4.all_true(v128.and(ok, finite));
}

@inline
function signs(kind: i32, wide: bool): v128 {
  const even: u64 = (kind & NEGATE_EVEN) != 0 ? 1 : 0;
  const odd: u64 = (kind & NEGATE_ODD) != 0 ? 1 : 0;
  if (wide) return i64x2.replace_lane(i64x2.splat(even << 63), 1, odd << 63);
  return i64x2.splat((even << 31) | (odd << 63));
}

function tryLane(kind: i32, a: i32, b: i32, c: i32): bool {
  const wide = (kind & F64) != 0;
  let x = v128.load(CPU + a);
  const y = v128.load(CPU + b);
  const z = v128.xor(v128.load(CPU + c), signs(kind, wide));
  if ((kind & NEGATE_PRODUCT) != 0) x = wide ? f64x2.neg(x) : f32x4.neg(x);
  return wide ? tryF64(x, y, z) : tryF32(x, y, z);
}

function softLane(kind: i32, a: i32, b: i32, c: i32): v128 {
  const product = (kind >> 2) & 1;
  const even = (kind >> 3) & 1;
  const odd = (kind >> 4) & 1;
  const pa = CPU + a;
  const pb = CPU + b;
  const pc = CPU + c;
  if ((kind & F64) != 0) {
    const r0 = fma64(load<u64>(pa), load<u64>(pb), load<u64>(pc), product, even);
    const r1 = fma64(load<u64>(pa, 8), load<u64>(pb, 8), load<u64>(pc, 8), product, odd);
    return i64x2.replace_lane(i64x2.splat(r0), 1, r1);
  }
  let r = i32x4.splat(fma32(load<u32>(pa), load<u32>(pb), load<u32>(pc), product, even));
  r = i32x4.replace_lane(r, 1, fma32(load<u32>(pa, 4), load<u32>(pb, 4), load<u32>(pc, 4), product, odd));
  r = i32x4.replace_lane(r, 2, fma32(load<u32>(pa, 8), load<u32>(pb, 8), load<u32>(pc, 8), product, even));
  return i32x4.replace_lane(r, 3, fma32(load<u32>(pa, 12), load<u32>(pb, 12), load<u32>(pc, 12), product, odd));
}

function scalar(kind: i32, d: i32, a: i32, b: i32, c: i32): void {
  const product = (kind >> 2) & 1;
  const sum = (kind >> 3) & 1;
  const wide = (kind & F64) != 0;
  if (fast() && tryScalar(kind, a, b, c)) {
    if (wide) store<u64>(CPU + d, i64x2.extract_lane(result, 0));
    else store<u32>(CPU + d, i32x4.extract_lane(result, 0));
    return;
  }
  enterSse();
  if (wide) {
    const r = fma64(load<u64>(CPU + a), load<u64>(CPU + b), load<u64>(CPU + c), product, sum);
    if (report()) store<u64>(CPU + d, r);
  } else {
    const r = fma32(load<u32>(CPU + a), load<u32>(CPU + b), load<u32>(CPU + c), product, sum);
    if (report()) store<u32>(CPU + d, r);
  }
}

function tryScalar(kind: i32, a: i32, b: i32, c: i32): bool {
  if ((kind & F64) != 0) {
    let x = f64x2.splat(load<f64>(CPU + a));
    if ((kind & NEGATE_PRODUCT) != 0) x = f64x2.neg(x);
    const z = v128.xor(i64x2.splat(load<u64>(CPU + c)), signs(kind, true));
    return tryF64(x, f64x2.splat(load<f64>(CPU + b)), z);
  }
  let x = load<f32>(CPU + a);
  if ((kind & NEGATE_PRODUCT) != 0) x = -x;
  const z = v128.xor(i32x4.splat(load<i32>(CPU + c)), signs(kind, false));
  return tryF32(f32x4.splat(x), f32x4.splat(load<f32>(CPU + b)), z);
}

/** See avx_fma in src/target/x86/helpers-sse.ts. */
export function avx_fma(regs: i64, how: i64): void {
  const kind = i32(how);
  const d = i32(regs) & 0xffff;
  const a = i32(regs >> 16) & 0xffff;
  const b = i32(regs >> 32) & 0xffff;
  const c = i32(regs >> 48) & 0xffff;
  if ((kind & SCALAR) != 0) return scalar(kind, d, a, b, c);
  const long = (kind & LONG) != 0;
  if (fast() && tryLane(kind, a, b, c)) {
    const low = result;
    if (!long) {
      v128.store(CPU + d, low);
      return;
    }
    if (tryLane(kind, a + VECTOR_HI, b + VECTOR_HI, c + VECTOR_HI)) {
      v128.store(CPU + d, low);
      v128.store(CPU + d + VECTOR_HI, result);
      return;
    }
  }
  enterSse();
  const low = softLane(kind, a, b, c);
  let high = low;
  if (long) high = softLane(kind, a + VECTOR_HI, b + VECTOR_HI, c + VECTOR_HI);
  if (!report()) return;
  v128.store(CPU + d, low);
  if (long) v128.store(CPU + d + VECTOR_HI, high);
}
