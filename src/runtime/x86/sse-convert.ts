// SSE conversions and roundings (SDM Vol. 1 10.4.4, 11.4.1.6, 12.8.4).

import {
  f32ToF64, f32ToInt, f64ToF32, f64ToInt, intToF32, intToF64, roundInt32, roundInt64,
} from '../softfloat/binary';
import { PE, RC_ZERO, rc } from '../softfloat/core';
import { CPU } from './state';
import { allPlain32, plain32, plain64 } from './sse-arith';
import { enterSse, fast, nearlyFast, report } from './sse-env';

/**
 * CVTSI2SS (kind 0), CVTSI2SD (1), with bit 1 from 64-bit integers: low lane of d ← value.
 */
export function sse_from_int(kind: i64, d: i64, value: i64): void {
  const x = (kind & 2) != 0 ? value : i64(i32(value));
  const p = CPU + i32(d);
  if ((kind & 1) != 0 && x >= -0x20000000000000 && x <= 0x20000000000000) {
    store<f64>(p, f64(x));
    return;
  }
  if (kind == 0 && x >= -0x1000000 && x <= 0x1000000) {
    store<f32>(p, f32(x));
    return;
  }
  enterSse();
  if ((kind & 1) != 0) {
    const r = intToF64(x);
    if (report()) store<u64>(p, r);
  } else {
    const r = intToF32(x);
    if (report()) store<u32>(p, r);
  }
}

/**
 * CVTSS2SI (kind 0), CVTSD2SI (1); + 2: 64-bit result; + 4: truncating. 32-bit results are zero-extended.
 */
export function sse_to_int(kind: i64, s: i64): i64 {
  const k = i32(kind);
  const p = CPU + i32(s);
  if ((k & 5) == 5) {
    // Truncation of a double on the host: certain when exact, or when PE is set already.
    const x = load<f64>(p);
    if ((k & 2) != 0 ? abs(x) < 9.2e18 : abs(x) < 2147483648.0) {
      const r = i64(x);
      if (f64(r) == x || fast()) return (k & 2) != 0 ? r : r & 0xffffffff;
    }
  }
  enterSse();
  if ((k & 4) != 0) rc = RC_ZERO;
  const bits = (k & 2) != 0 ? 64 : 32;
  const r = (k & 1) != 0 ? f64ToInt(load<u64>(p), bits) : f32ToInt(load<u32>(p), bits);
  if (!report()) return 0;
  return (k & 2) != 0 ? r : r & 0xffffffff;
}

/** CVTSD2SS: low 32 bits of d ← s. */
export function sse_f64_to_f32(d: i64, s: i64): void {
  const x = load<f64>(CPU + i32(s));
  const r = f32(x);
  const a = abs(r);
  if (x == 0 || (a > 1.1754943508222875e-38 && a < <f32>Infinity && (fast() || f64(r) == x))) {
    store<f32>(CPU + i32(d), r);
    return;
  }
  enterSse();
  const bits = f64ToF32(load<u64>(CPU + i32(s)));
  if (report()) store<u32>(CPU + i32(d), bits);
}

/** CVTSS2SD: low 64 bits of d ← s. */
export function sse_f32_to_f64(d: i64, s: i64): void {
  const x = load<f32>(CPU + i32(s));
  const a = abs(x);
  if (x == 0 || (a >= 1.1754943508222875e-38 && a < <f32>Infinity)) {
    store<f64>(CPU + i32(d), f64(x));
    return;
  }
  enterSse();
  const bits = f32ToF64(load<u32>(CPU + i32(s)));
  if (report()) store<u64>(CPU + i32(d), bits);
}

// Packed conversions: kinds of `sse_convert`.
const PS_TO_PD: i32 = 0;
const PD_TO_PS: i32 = 1;
const DQ_TO_PS: i32 = 2;
const DQ_TO_PD: i32 = 3;
const PS_TO_DQ: i32 = 4;
const TPS_TO_DQ: i32 = 5;
const PD_TO_DQ: i32 = 6;
const TPD_TO_DQ: i32 = 7;
/** MMX forms: two lanes; the destination keeps its upper half (CVTPI2PS) or is a 64-bit register. */
const PI_TO_PS: i32 = 8;
const PS_TO_PI: i32 = 9;
const TPS_TO_PI: i32 = 10;
const PD_TO_PI: i32 = 11;
const TPD_TO_PI: i32 = 12;

function toInt32(p: i32): i32 {
  return i32(f32ToInt(load<u32>(p), 32));
}

function wideToInt32(p: i32): i32 {
  return i32(f64ToInt(load<u64>(p), 32));
}

/** Conversions with PE set already, to nearest or truncating, that can raise nothing else. */
function tryConvert(k: i32, pd: i32, x: v128): bool {
  const a = f32x4.abs(x);
  switch (k) {
    case DQ_TO_PS:
      v128.store(pd, f32x4.convert_i32x4_s(x));
      return true;
    case PS_TO_PD:
      if (!allPlain32(i32x4.shuffle(x, x, 0, 1, 0, 1))) return false;
      v128.store(pd, f64x2.promote_low_f32x4(x));
      return true;
    case PS_TO_DQ:
    case TPS_TO_DQ:
      if (!i32x4.all_true(f32x4.lt(a, f32x4.splat(2147483520.0)))) return false;
      v128.store(pd, i32x4.trunc_sat_f32x4_s(k == PS_TO_DQ ? f32x4.nearest(x) : x));
      return true;
    default:
      return false;
  }
}

/** Packed conversion d ← s by kind (order above); DQ_TO_PD serves CVTPI2PD too. */
export function sse_convert(kind: i64, d: i64, s: i64): void {
  const k = i32(kind);
  const pd = CPU + i32(d);
  const ps = CPU + i32(s);
  if (fast() && tryConvert(k, pd, v128.load(ps))) return;
  enterSse();
  if (k == TPS_TO_DQ || k == TPD_TO_DQ || k == TPS_TO_PI || k == TPD_TO_PI) rc = RC_ZERO;
  switch (k) {
    case PS_TO_PD: {
      const r0 = f32ToF64(load<u32>(ps));
      const r1 = f32ToF64(load<u32>(ps, 4));
      if (report()) v128.store(pd, i64x2.replace_lane(i64x2.splat(r0), 1, r1));
      return;
    }
    case PD_TO_PS: {
      const r0 = f64ToF32(load<u64>(ps));
      const r1 = f64ToF32(load<u64>(ps, 8));
      if (report()) v128.store(pd, i64x2.replace_lane(i64x2.splat(0), 0, u64(r0) | (u64(r1) << 32)));
      return;
    }
    case DQ_TO_PS: {
      const x = v128.load(ps);
      let r = i32x4.splat(intToF32(i32x4.extract_lane(x, 0)));
      r = i32x4.replace_lane(r, 1, intToF32(i32x4.extract_lane(x, 1)));
      r = i32x4.replace_lane(r, 2, intToF32(i32x4.extract_lane(x, 2)));
      r = i32x4.replace_lane(r, 3, intToF32(i32x4.extract_lane(x, 3)));
      if (report()) v128.store(pd, r);
      return;
    }
    case DQ_TO_PD:
      v128.store(pd, f64x2.convert_low_i32x4_s(v128.load(ps)));
      return;
    case PS_TO_DQ:
    case TPS_TO_DQ: {
      let r = i32x4.splat(toInt32(ps));
      r = i32x4.replace_lane(r, 1, toInt32(ps + 4));
      r = i32x4.replace_lane(r, 2, toInt32(ps + 8));
      r = i32x4.replace_lane(r, 3, toInt32(ps + 12));
      if (report()) v128.store(pd, r);
      return;
    }
    case PI_TO_PS: {
      const r0 = u64(intToF32(load<i32>(ps)));
      const r1 = u64(intToF32(load<i32>(ps, 4)));
      if (report()) store<u64>(pd, r0 | (r1 << 32));
      return;
    }
    case PS_TO_PI:
    case TPS_TO_PI: {
      const r0 = u64(u32(toInt32(ps)));
      const r1 = u64(u32(toInt32(ps + 4)));
      if (report()) store<u64>(pd, r0 | (r1 << 32));
      return;
    }
    default: {
      const r0 = u64(u32(wideToInt32(ps)));
      const r1 = u64(u32(wideToInt32(ps + 8)));
      if (!report()) return;
      store<u64>(pd, r0 | (r1 << 32));
      if (k == PD_TO_DQ || k == TPD_TO_DQ) store<u64>(pd, 0, 8);
    }
  }
}

/**
 * ROUNDPS (kind 0), ROUNDSS (1), ROUNDPD (2), ROUNDSD (3): d ← s rounded; imm8 in bits 15..8 of `kind`
 * (SDM Vol. 2 ROUNDPD figure 4-24).
 */
export function sse_round(kind: i64, d: i64, s: i64): void {
  const k = i32(kind) & 3;
  const imm = i32(kind >> 8);
  const pd = CPU + i32(d);
  const ps = CPU + i32(s);
  if (tryRound(k, imm, pd, ps)) return;
  enterSse();
  if ((imm & 4) == 0) rc = imm & 3;
  const quiet = (imm & 8) != 0;
  if (k < 2) {
    let r = v128.load(pd);
    r = i32x4.replace_lane(r, 0, roundInt32(load<u32>(ps), quiet));
    if (k == 0) {
      r = i32x4.replace_lane(r, 1, roundInt32(load<u32>(ps, 4), quiet));
      r = i32x4.replace_lane(r, 2, roundInt32(load<u32>(ps, 8), quiet));
      r = i32x4.replace_lane(r, 3, roundInt32(load<u32>(ps, 12), quiet));
    }
    if (report()) v128.store(pd, r);
    return;
  }
  let r = v128.load(pd);
  r = i64x2.replace_lane(r, 0, roundInt64(load<u64>(ps), quiet));
  if (k == 2) r = i64x2.replace_lane(r, 1, roundInt64(load<u64>(ps, 8), quiet));
  if (report()) v128.store(pd, r);
}

/** Scalar roundings of plain operands whose inexactness is not to be reported, or has been. */
function tryRound(k: i32, imm: i32, pd: i32, ps: i32): bool {
  if (((imm & 8) == 0 && !fast()) || ((imm & 4) != 0 && !nearlyFast())) return false;
  const mode = (imm & 4) != 0 ? 0 : imm & 3;
  if (k == 3) {
    const x = load<f64>(ps);
    if (!plain64(x)) return false;
    store<f64>(pd, mode == 0 ? nearest(x) : mode == 1 ? floor(x) : mode == 2 ? ceil(x) : trunc(x));
    return true;
  }
  if (k != 1) return false;
  const x = load<f32>(ps);
  if (!plain32(x)) return false;
  store<f32>(pd, mode == 0 ? nearest(x) : mode == 1 ? floor(x) : mode == 2 ? ceil(x) : trunc(x));
  return true;
}
