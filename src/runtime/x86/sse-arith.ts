// SSE floating-point arithmetic (SDM Vol. 1 10.4, 11.4). Operands are offsets in the register file. Each operation
// first tries the host's arithmetic: its result is taken when it is certain to be the guest's and to raise no flag
// that is not set already; otherwise the soft-float computes result and flags.

import { ADD, DIV, MAX, MIN, MUL, SQRT, SUB, arith32, arith64 } from '../softfloat/binary';

import { VECTOR_HI } from './layout';
import { CPU } from './state';

import { enterSse, fast, nearlyFast, report } from './sse-env';

const MIN64: f64 = 2.2250738585072014e-308;
const MIN32: f32 = 1.1754943508222875e-38;

// --- scalar ------------------------------------------------------------------------------------------------

@inline
function normal64(x: f64): bool {
  const a = abs(x);
  return a > MIN64 && a < Infinity;
}

@inline
function normal32(x: f32): bool {
  const a = abs(x);
  return a > MIN32 && a < <f32>Infinity;
}

/** Not denormal, infinite or NaN. */
@inline
export function plain64(x: f64): bool {
  const a = abs(x);
  return (a >= MIN64 && a < Infinity) || a == 0;
}

@inline
export function plain32(x: f32): bool {
  const a = abs(x);
  return (a >= MIN32 && a < <f32>Infinity) || a == 0;
}

/** Significant bits of x below its leading one, at most 52. */
@inline
function width64(x: f64): i32 {
  return 52 - min(i32(ctz(reinterpret<u64>(x))), 52);
}

/** Result of the last accepted fast attempt. */
let fast64: f64 = 0;
let fast32: f32 = 0;

/**
 * Tries a op b on the host. Operands are plain; the result must be normal, or a zero that is exact. Unless PE is set
 * already (`anyRounding`) the result must also be provably exact.
 */
function tryFast64(op: i32, a: f64, b: f64, anyRounding: bool): bool {
  if (!plain64(a) || !plain64(b)) return false;
  let r: f64;
  if (op == ADD || op == SUB) {
    const c = op == ADD ? b : -b;
    r = a + c;
    if (!normal64(r) && r != 0) return false;
    if (!anyRounding) {
      // Knuth's two-sum: the rounding error of a + c, itself exact.
      const v = r - a;
      if ((a - (r - v)) + (c - v) != 0) return false;
    }
  } else if (op == MUL) {
    r = a * b;
    if (!normal64(r) && (r != 0 || (a != 0 && b != 0))) return false;
    if (!anyRounding && width64(a) + width64(b) > 51) return false;
  } else if (op == DIV) {
    if (b == 0) return false;
    r = a / b;
    if (!normal64(r) && (r != 0 || a != 0)) return false;
    if (!anyRounding && (width64(r) + width64(b) > 51 || r * b != a)) return false;
  } else {
    r = sqrt(b);
    if (b < 0) return false;
    if (!anyRounding && (width64(r) > 25 || r * r != b)) return false;
  }
  fast64 = r;
  return true;
}

function tryFast32(op: i32, a: f32, b: f32, anyRounding: bool): bool {
  if (!plain32(a) || !plain32(b)) return false;
  let r: f32;
  // Double precision computes f32 sums of near exponents, products and comparisons of quotients exactly.
  if (op == ADD || op == SUB) {
    const c = op == ADD ? b : -b;
    r = a + c;
    if (!normal32(r) && r != 0) return false;
    if (!anyRounding) {
      const v = r - a;
      if ((a - (r - v)) + (c - v) != 0) return false;
    }
  } else if (op == MUL) {
    r = a * b;
    if (!normal32(r) && (r != 0 || (a != 0 && b != 0))) return false;
    if (!anyRounding && f64(a) * f64(b) != f64(r)) return false;
  } else if (op == DIV) {
    if (b == 0) return false;
    r = a / b;
    if (!normal32(r) && (r != 0 || a != 0)) return false;
    if (!anyRounding && f64(r) * f64(b) != f64(a)) return false;
  } else {
    r = sqrt(b);
    if (b < 0) return false;
    if (!anyRounding && f64(r) * f64(r) != f64(b)) return false;
  }
  fast32 = r;
  return true;
}

function scalar64(op: i32, d: i32, a: i32, b: i32): void {
  const any = fast();
  if ((any || nearlyFast()) && tryFast64(op, load<f64>(CPU + a), load<f64>(CPU + b), any)) {
    store<f64>(CPU + d, fast64);
    return;
  }
  enterSse();
  const r = arith64(op, load<u64>(CPU + a), load<u64>(CPU + b));
  if (report()) store<u64>(CPU + d, r);
}

function scalar32(op: i32, d: i32, a: i32, b: i32): void {
  const any = fast();
  if ((any || nearlyFast()) && tryFast32(op, load<f32>(CPU + a), load<f32>(CPU + b), any)) {
    store<f32>(CPU + d, fast32);
    return;
  }
  enterSse();
  const r = arith32(op, load<u32>(CPU + a), load<u32>(CPU + b));
  if (report()) store<u32>(CPU + d, r);
}

// Slow path of the IR operations of the same names: d ← a op b.
export function fadd_f32(d: i64, a: i64, b: i64): void { scalar32(ADD, i32(d), i32(a), i32(b)); }
export function fsub_f32(d: i64, a: i64, b: i64): void { scalar32(SUB, i32(d), i32(a), i32(b)); }
export function fmul_f32(d: i64, a: i64, b: i64): void { scalar32(MUL, i32(d), i32(a), i32(b)); }
export function fdiv_f32(d: i64, a: i64, b: i64): void { scalar32(DIV, i32(d), i32(a), i32(b)); }
export function fadd_f64(d: i64, a: i64, b: i64): void { scalar64(ADD, i32(d), i32(a), i32(b)); }
export function fsub_f64(d: i64, a: i64, b: i64): void { scalar64(SUB, i32(d), i32(a), i32(b)); }
export function fmul_f64(d: i64, a: i64, b: i64): void { scalar64(MUL, i32(d), i32(a), i32(b)); }
export function fdiv_f64(d: i64, a: i64, b: i64): void { scalar64(DIV, i32(d), i32(a), i32(b)); }

// d ← a, if that is less (greater), else b.
export function fmin_f32(d: i64, a: i64, b: i64): void { extreme32(MIN, i32(d), i32(a), i32(b)); }
export function fmax_f32(d: i64, a: i64, b: i64): void { extreme32(MAX, i32(d), i32(a), i32(b)); }
export function fmin_f64(d: i64, a: i64, b: i64): void { extreme64(MIN, i32(d), i32(a), i32(b)); }
export function fmax_f64(d: i64, a: i64, b: i64): void { extreme64(MAX, i32(d), i32(a), i32(b)); }

/** SQRTSS, SQRTSD: low lane of d ← √s. */
export function fsqrt_f32(d: i64, s: i64): void { scalar32(SQRT, i32(d), i32(s), i32(s)); }
export function fsqrt_f64(d: i64, s: i64): void { scalar64(SQRT, i32(d), i32(s), i32(s)); }

/** MINSS, MAXSS: plain operands are the inlined form's business. */
function extreme32(op: i32, d: i32, a: i32, b: i32): void {
  enterSse();
  const r = arith32(op, load<u32>(CPU + a), load<u32>(CPU + b));
  if (report()) store<u32>(CPU + d, r);
}

function extreme64(op: i32, d: i32, a: i32, b: i32): void {
  enterSse();
  const r = arith64(op, load<u64>(CPU + a), load<u64>(CPU + b));
  if (report()) store<u64>(CPU + d, r);
}

// --- packed ------------------------------------------------------------------------------------------------

/** All lanes plain, or zero. */
@inline
export function allPlain64(x: v128): bool {
  const a = f64x2.abs(x);
  const ok = v128.and(f64x2.ge(a, f64x2.splat(MIN64)), f64x2.lt(a, f64x2.splat(Infinity)));
  return i64x2.all_true(v128.or(ok, f64x2.eq(a, f64x2.splat(0))));
}

@inline
export function allPlain32(x: v128): bool {
  const a = f32x4.abs(x);
  const ok = v128.and(f32x4.ge(a, f32x4.splat(MIN32)), f32x4.lt(a, f32x4.splat(<f32>Infinity)));
  return i32x4.all_true(v128.or(ok, f32x4.eq(a, f32x4.splat(0))));
}

@inline
function allNormal64(x: v128): v128 {
  const a = f64x2.abs(x);
  return v128.and(f64x2.gt(a, f64x2.splat(MIN64)), f64x2.lt(a, f64x2.splat(Infinity)));
}

@inline
function allNormal32(x: v128): v128 {
  const a = f32x4.abs(x);
  return v128.and(f32x4.gt(a, f32x4.splat(MIN32)), f32x4.lt(a, f32x4.splat(<f32>Infinity)));
}

let packedResult: v128 = i64x2.splat(0);

/** Lanes of the host's result that are the guest's: normal, or a zero that can only be exact. */
function tryPacked64(op: i32, a: v128, b: v128): bool {
  if (!allPlain64(a) || !allPlain64(b)) return false;
  const zero = f64x2.splat(0);
  let r: v128;
  let zeroOk: v128;
  switch (op) {
    case ADD: r = f64x2.add(a, b); zeroOk = f64x2.eq(r, zero); break;
    case SUB: r = f64x2.sub(a, b); zeroOk = f64x2.eq(r, zero); break;
    case MUL: r = f64x2.mul(a, b); zeroOk = v128.or(f64x2.eq(a, zero), f64x2.eq(b, zero)); break;
    case DIV: r = f64x2.div(a, b); zeroOk = v128.andnot(f64x2.eq(a, zero), f64x2.eq(b, zero)); break;
    case MIN: packedResult = f64x2.pmin(b, a); return true;
    case MAX: packedResult = f64x2.pmax(b, a); return true;
    default: r = f64x2.sqrt(b); zeroOk = f64x2.eq(r, zero); break;
  }
  packedResult = r;
  return i64x2.all_true(v128.or(allNormal64(r), zeroOk));
}

function tryPacked32(op: i32, a: v128, b: v128): bool {
  if (!allPlain32(a) || !allPlain32(b)) return false;
  const zero = f32x4.splat(0);
  let r: v128;
  let zeroOk: v128;
  switch (op) {
    case ADD: r = f32x4.add(a, b); zeroOk = f32x4.eq(r, zero); break;
    case SUB: r = f32x4.sub(a, b); zeroOk = f32x4.eq(r, zero); break;
    case MUL: r = f32x4.mul(a, b); zeroOk = v128.or(f32x4.eq(a, zero), f32x4.eq(b, zero)); break;
    case DIV: r = f32x4.div(a, b); zeroOk = v128.andnot(f32x4.eq(a, zero), f32x4.eq(b, zero)); break;
    case MIN: packedResult = f32x4.pmin(b, a); return true;
    case MAX: packedResult = f32x4.pmax(b, a); return true;
    default: r = f32x4.sqrt(b); zeroOk = f32x4.eq(r, zero); break;
  }
  packedResult = r;
  return i32x4.all_true(v128.or(allNormal32(r), zeroOk));
}

/** Bit 3 of an operation number: double precision. */
export const PACKED_F64: i32 = 8;

/** Slow path of the IR operations vfadd … vfdiv256: d ← a op b on `count` halves; lanes are written together. */
function packedSlow(op: i32, d: i32, a: i32, b: i32, count: i32): void {
  const wide = (op & PACKED_F64) != 0;
  const o = op & 7;
  if (fast() || o == MIN || o == MAX) {
    if (tryHalf(o, a, b, wide)) {
      const lower = packedResult;
      if (count == 1) {
        v128.store(CPU + d, lower);
        return;
      }
      if (tryHalf(o, a + VECTOR_HI, b + VECTOR_HI, wide)) {
        v128.store(CPU + d, lower);
        v128.store(CPU + d + VECTOR_HI, packedResult);
        return;
      }
    }
  }
  enterSse();
  const lower = softHalf(o, a, b, wide);
  let high = lower;
  if (count == 2) high = softHalf(o, a + VECTOR_HI, b + VECTOR_HI, wide);
  if (!report()) return;
  v128.store(CPU + d, lower);
  if (count == 2) v128.store(CPU + d + VECTOR_HI, high);
}

@inline
function tryHalf(op: i32, a: i32, b: i32, wide: bool): bool {
  const x = v128.load(CPU + a);
  const y = v128.load(CPU + b);
  return wide ? tryPacked64(op, x, y) : tryPacked32(op, x, y);
}

@inline
function softHalf(op: i32, a: i32, b: i32, wide: bool): v128 {
  const x = v128.load(CPU + a);
  const y = v128.load(CPU + b);
  return wide ? soft64(op, x, y) : soft32(op, x, y);
}

export function vfadd_f32(d: i64, a: i64, b: i64): void { packedSlow(ADD, i32(d), i32(a), i32(b), 1); }
export function vfadd_f64(d: i64, a: i64, b: i64): void { packedSlow(ADD | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfsub_f32(d: i64, a: i64, b: i64): void { packedSlow(SUB, i32(d), i32(a), i32(b), 1); }
export function vfsub_f64(d: i64, a: i64, b: i64): void { packedSlow(SUB | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfmul_f32(d: i64, a: i64, b: i64): void { packedSlow(MUL, i32(d), i32(a), i32(b), 1); }
export function vfmul_f64(d: i64, a: i64, b: i64): void { packedSlow(MUL | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfdiv_f32(d: i64, a: i64, b: i64): void { packedSlow(DIV, i32(d), i32(a), i32(b), 1); }
export function vfdiv_f64(d: i64, a: i64, b: i64): void { packedSlow(DIV | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfadd256_f32(d: i64, a: i64, b: i64): void { packedSlow(ADD, i32(d), i32(a), i32(b), 2); }
export function vfadd256_f64(d: i64, a: i64, b: i64): void { packedSlow(ADD | PACKED_F64, i32(d), i32(a), i32(b), 2); }
export function vfsub256_f32(d: i64, a: i64, b: i64): void { packedSlow(SUB, i32(d), i32(a), i32(b), 2); }
export function vfsub256_f64(d: i64, a: i64, b: i64): void { packedSlow(SUB | PACKED_F64, i32(d), i32(a), i32(b), 2); }
export function vfmul256_f32(d: i64, a: i64, b: i64): void { packedSlow(MUL, i32(d), i32(a), i32(b), 2); }
export function vfmul256_f64(d: i64, a: i64, b: i64): void { packedSlow(MUL | PACKED_F64, i32(d), i32(a), i32(b), 2); }
export function vfdiv256_f32(d: i64, a: i64, b: i64): void { packedSlow(DIV, i32(d), i32(a), i32(b), 2); }
export function vfdiv256_f64(d: i64, a: i64, b: i64): void { packedSlow(DIV | PACKED_F64, i32(d), i32(a), i32(b), 2); }

export function vfsqrt_f32(d: i64, a: i64, b: i64): void { packedSlow(SQRT, i32(d), i32(a), i32(b), 1); }
export function vfsqrt_f64(d: i64, a: i64, b: i64): void { packedSlow(SQRT | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfsqrt256_f32(d: i64, a: i64, b: i64): void { packedSlow(SQRT, i32(d), i32(a), i32(b), 2); }
export function vfsqrt256_f64(d: i64, a: i64, b: i64): void { packedSlow(SQRT | PACKED_F64, i32(d), i32(a), i32(b), 2); }
export function vfmin_f32(d: i64, a: i64, b: i64): void { packedSlow(MIN, i32(d), i32(a), i32(b), 1); }
export function vfmin_f64(d: i64, a: i64, b: i64): void { packedSlow(MIN | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfmin256_f32(d: i64, a: i64, b: i64): void { packedSlow(MIN, i32(d), i32(a), i32(b), 2); }
export function vfmin256_f64(d: i64, a: i64, b: i64): void { packedSlow(MIN | PACKED_F64, i32(d), i32(a), i32(b), 2); }
export function vfmax_f32(d: i64, a: i64, b: i64): void { packedSlow(MAX, i32(d), i32(a), i32(b), 1); }
export function vfmax_f64(d: i64, a: i64, b: i64): void { packedSlow(MAX | PACKED_F64, i32(d), i32(a), i32(b), 1); }
export function vfmax256_f32(d: i64, a: i64, b: i64): void { packedSlow(MAX, i32(d), i32(a), i32(b), 2); }
export function vfmax256_f64(d: i64, a: i64, b: i64): void { packedSlow(MAX | PACKED_F64, i32(d), i32(a), i32(b), 2); }

function soft64(op: i32, a: v128, b: v128): v128 {
  const r0 = arith64(op, i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0));
  const r1 = arith64(op, i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1));
  return i64x2.replace_lane(i64x2.splat(r0), 1, r1);
}

function soft32(op: i32, a: v128, b: v128): v128 {
  let r = i32x4.splat(arith32(op, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0)));
  r = i32x4.replace_lane(r, 1, arith32(op, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1)));
  r = i32x4.replace_lane(r, 2, arith32(op, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2)));
  return i32x4.replace_lane(r, 3, arith32(op, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3)));
}

// --- horizontal --------------------------------------------------------------------------------------------

const ADDSUB: i32 = 0;
const HADD: i32 = 1;
const HSUB: i32 = 2;

/** ADDSUBPS/PD (0), HADDPS/PD (1), HSUBPS/PD (2), + PACKED_F64 (SDM Vol. 2). */
export function sse_horizontal(op: i64, d: i64, s: i64): void {
  const pd = CPU + i32(d);
  const a = v128.load(pd);
  const b = v128.load(CPU + i32(s));
  enterSse();
  const o = i32(op) & 7;
  const r = (op & PACKED_F64) != 0 ? horizontal64(o, a, b) : horizontal32(o, a, b);
  if (report()) v128.store(pd, r);
}

function horizontal64(op: i32, a: v128, b: v128): v128 {
  if (op == ADDSUB) {
    const r0 = arith64(SUB, i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0));
    return i64x2.replace_lane(i64x2.splat(r0), 1, arith64(ADD, i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1)));
  }
  const x = i64x2.shuffle(a, b, 0, 2);
  const y = i64x2.shuffle(a, b, 1, 3);
  return soft64(op == HADD ? ADD : SUB, x, y);
}

function horizontal32(op: i32, a: v128, b: v128): v128 {
  if (op == ADDSUB) {
    let r = i32x4.splat(arith32(SUB, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0)));
    r = i32x4.replace_lane(r, 1, arith32(ADD, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1)));
    r = i32x4.replace_lane(r, 2, arith32(SUB, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2)));
    return i32x4.replace_lane(r, 3, arith32(ADD, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3)));
  }
  const x = i32x4.shuffle(a, b, 0, 2, 4, 6);
  const y = i32x4.shuffle(a, b, 1, 3, 5, 7);
  return soft32(op == HADD ? ADD : SUB, x, y);
}

/**
 * DPPS: dot product of the lanes named by imm bits 7..4 into those named by bits 3..0 (SDM Vol. 2). An unmasked exception
 * of the products or of a level of sums stops there.
 */
export function sse_dpps(d: i64, s: i64, imm: i64): void {
  const pd = CPU + i32(d);
  const m = i32(imm);
  const a = v128.load(pd);
  const b = v128.load(CPU + i32(s));
  enterSse();
  const p0 = (m & 0x10) != 0 ? arith32(MUL, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0)) : 0;
  const p1 = (m & 0x20) != 0 ? arith32(MUL, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1)) : 0;
  const p2 = (m & 0x40) != 0 ? arith32(MUL, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2)) : 0;
  const p3 = (m & 0x80) != 0 ? arith32(MUL, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3)) : 0;
  if (!report()) return;
  const low = arith32(ADD, p0, p1);
  const high = arith32(ADD, p2, p3);
  if (!report()) return;
  const r = i32(arith32(ADD, low, high));
  if (!report()) return;
  store<i32>(pd, (m & 1) != 0 ? r : 0);
  store<i32>(pd, (m & 2) != 0 ? r : 0, 4);
  store<i32>(pd, (m & 4) != 0 ? r : 0, 8);
  store<i32>(pd, (m & 8) != 0 ? r : 0, 12);
}

export function sse_dppd(d: i64, s: i64, imm: i64): void {
  const pd = CPU + i32(d);
  const m = i32(imm);
  const a = v128.load(pd);
  const b = v128.load(CPU + i32(s));
  enterSse();
  const p0 = (m & 0x10) != 0 ? arith64(MUL, i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0)) : 0;
  const p1 = (m & 0x20) != 0 ? arith64(MUL, i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1)) : 0;
  if (!report()) return;
  const r = arith64(ADD, p0, p1);
  if (!report()) return;
  store<u64>(pd, (m & 1) != 0 ? r : 0);
  store<u64>(pd, (m & 2) != 0 ? r : 0, 8);
}

// --- approximations ----------------------------------------------------------------------------------------

/**
 * RCPPS (kind 0) and RSQRTPS (1); RCPSS, RSQRTSS with bit 1. The architecture asks for a relative error below
 * 1.5 · 2^-12 (SDM Vol. 2); the result here is the single-precision quotient, without flags, denormals as zero.
 */
export function sse_approx(kind: i64, d: i64, s: i64): void {
  const pd = CPU + i32(d);
  const ps = CPU + i32(s);
  const lanes = (kind & 2) != 0 ? 1 : 4;
  for (let i = 0; i < lanes; i++) {
    const x = load<u32>(ps + (i << 2));
    store<u32>(pd + (i << 2), (kind & 1) != 0 ? reciprocalRoot(x) : reciprocal(x));
  }
}

function reciprocal(bits: u32): u32 {
  const sign = bits & 0x80000000;
  const e = bits & 0x7f800000;
  if (e == 0) return sign | 0x7f800000;
  if (bits << 1 > 0xff000000) return bits | 0x00400000;
  const r = reinterpret<u32>(<f32>1.0 / reinterpret<f32>(bits));
  return (r & 0x7f800000) == 0 ? sign : r;
}

function reciprocalRoot(bits: u32): u32 {
  if ((bits & 0x7f800000) == 0) return (bits & 0x80000000) | 0x7f800000;
  if (bits << 1 > 0xff000000) return bits | 0x00400000;
  if (bits >> 31 != 0) return 0xffc00000;
  return reinterpret<u32>(<f32>(1.0 / sqrt<f64>(f64(reinterpret<f32>(bits)))));
}
