// Integer SIMD instructions without a one-to-one wasm operation (SDM Vol. 2). Operands are offsets in the register
// file; MMX forms use 16-byte temporaries of which the low half counts.

import { SCRATCH } from './layout';
import { CPU } from './state';

const PMULHW: i32 = 0;
const PMULHUW: i32 = 1;
const PMULHRSW: i32 = 4;
const PSADBW: i32 = 15;

/** High halves of eight 32-bit products in two vectors. */
@inline
function highHalves(lo: v128, hi: v128): v128 {
  return i16x8.shuffle(lo, hi, 1, 3, 5, 7, 9, 11, 13, 15);
}

function mulRoundScale(a: v128, b: v128): v128 {
  const one = i32x4.splat(1);
  const lo = i32x4.shr_s(i32x4.add(i32x4.shr_s(i32x4.extmul_low_i16x8_s(a, b), 14), one), 1);
  const hi = i32x4.shr_s(i32x4.add(i32x4.shr_s(i32x4.extmul_high_i16x8_s(a, b), 14), one), 1);
  return i16x8.shuffle(lo, hi, 0, 2, 4, 6, 8, 10, 12, 14);
}

function sumOfDifferences(a: v128, b: v128): v128 {
  const d = v128.or(i8x16.sub_sat_u(a, b), i8x16.sub_sat_u(b, a));
  const w = i16x8.extadd_pairwise_i8x16_u(d);
  const q = i32x4.extadd_pairwise_i16x8_u(w);
  return i64x2.add(v128.and(q, i64x2.splat(0xffffffff)), i64x2.shr_u(q, 32));
}

function minimumPosition(x: v128): v128 {
  let best: u32 = 0xffff;
  let at: u32 = 0;
  v128.store(CPU + SCRATCH, x);
  for (let i = 7; i >= 0; i--) {
    const v = u32(load<u16>(CPU + SCRATCH + (i << 1)));
    if (v <= best) {
      best = v;
      at = i;
    }
  }
  return i64x2.replace_lane(i64x2.splat(0), 0, u64(best | (at << 16)));
}

/** d ← op(d, s); the default is PHMINPOSUW, 16. */
export function sse_int(op: i64, d: i64, s: i64): void {
  const pd = CPU + i32(d);
  v128.store(pd, compute(i32(op), v128.load(pd), v128.load(CPU + i32(s))));
}

function compute(op: i32, a: v128, b: v128): v128 {
  switch (op) {
    case PMULHW: return highHalves(i32x4.extmul_low_i16x8_s(a, b), i32x4.extmul_high_i16x8_s(a, b));
    case PMULHUW: return highHalves(i32x4.extmul_low_i16x8_u(a, b), i32x4.extmul_high_i16x8_u(a, b));
    case PMULHRSW: return mulRoundScale(a, b);
    case PSADBW: return sumOfDifferences(a, b);
    default: return minimumPosition(b);
  }
}

/**
 * Shifts by a count in the low 64 bits of s: op = 0 left, 1 right logical, 2 right arithmetic; bits 5..4: lane width
 * 16, 32, 64 as 0, 1, 2 (PSLLW … PSRAD).
 */
export function sse_shift(op: i64, d: i64, s: i64): void {
  const pd = CPU + i32(d);
  const w = 16 << (i32(op) >> 4);
  const kind = i32(op) & 3;
  const count = load<u64>(CPU + i32(s));
  let n = count >= u64(w) ? w : i32(count);
  if (n == w) {
    if (kind != 2) {
      v128.store(pd, i64x2.splat(0));
      return;
    }
    n = w - 1;
  }
  const a = v128.load(pd);
  v128.store(pd, shifted(kind, w, a, n));
}

function shifted(kind: i32, w: i32, a: v128, n: i32): v128 {
  if (w == 16) return kind == 0 ? i16x8.shl(a, n) : kind == 1 ? i16x8.shr_u(a, n) : i16x8.shr_s(a, n);
  if (w == 32) return kind == 0 ? i32x4.shl(a, n) : kind == 1 ? i32x4.shr_u(a, n) : i32x4.shr_s(a, n);
  return kind == 0 ? i64x2.shl(a, n) : i64x2.shr_u(a, n);
}

/** MPSADBW (SDM Vol. 2): eight sums of four absolute differences. */
export function sse_mpsadbw(d: i64, s: i64, imm: i64): void {
  const pd = CPU + i32(d);
  const pa = pd + (i32(imm) & 4);
  const pb = CPU + i32(s) + ((i32(imm) & 3) << 2);
  let lo: u64 = 0;
  let hi: u64 = 0;
  for (let i = 0; i < 8; i++) {
    let sum: u64 = 0;
    for (let j = 0; j < 4; j++) {
      const x = i32(load<u8>(pa + i + j)) - i32(load<u8>(pb + j));
      sum += u64(x < 0 ? -x : x);
    }
    if (i < 4) lo |= sum << (i << 4);
    else hi |= sum << ((i - 4) << 4);
  }
  store<u64>(pd, lo);
  store<u64>(pd, hi, 8);
}

/** PCLMULQDQ: carry-less product of the halves chosen by imm bits 0 and 4. */
export function sse_pclmul(d: i64, s: i64, imm: i64): void {
  const pd = CPU + i32(d);
  const a = load<u64>(pd + ((i32(imm) & 1) << 3));
  let b = load<u64>(CPU + i32(s) + ((i32(imm) & 16) >> 1));
  let lo: u64 = 0;
  let hi: u64 = 0;
  while (b != 0) {
    const n = ctz(b);
    lo ^= a << n;
    // Two steps, so that n = 0 shifts everything out.
    hi ^= (a >> 1) >> (63 - n);
    b &= b - 1;
  }
  store<u64>(pd, lo);
  store<u64>(pd, hi, 8);
}
