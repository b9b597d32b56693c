// SSE comparisons (SDM Vol. 1 10.4.1, 11.4.1.3; predicates: Vol. 2 CMPPD table 3-1).

import { compare32, compare64 } from '../softfloat/binary';
import { allPlain32, allPlain64, plain32, plain64 } from './sse-arith';
import { enterSse, report } from './sse-env';
import { CPU } from './state';

/**
 * COMISS, COMISD, UCOMISS, UCOMISD: returns the arithmetic flags (ZF PF CF; the others clear).
 * kind bit 0: double precision; bit 1: signals for quiet NaNs (COMIS*).
 */
export function sse_comi(kind: i64, a: i64, b: i64): i64 {
  const pa = CPU + i32(a);
  const pb = CPU + i32(b);
  if ((kind & 1) != 0) {
    const x = load<f64>(pa);
    const y = load<f64>(pb);
    if (plain64(x) && plain64(y)) return x > y ? 0 : x < y ? 1 : 0x40;
  } else {
    const x = load<f32>(pa);
    const y = load<f32>(pb);
    if (plain32(x) && plain32(y)) return x > y ? 0 : x < y ? 1 : 0x40;
  }
  enterSse();
  const signalling = (kind & 2) != 0;
  const o = (kind & 1) != 0
    ? compare64(load<u64>(pa), load<u64>(pb), signalling) : compare32(load<u32>(pa), load<u32>(pb), signalling);
  report();
  return o == 1 ? 0 : o == -1 ? 1 : o == 0 ? 0x40 : 0x45;
}

/** By predicate 0..15, four bits: less, equal, greater, unordered (SDM Vol. 2 CMPPD table 3-1). */
const HOLDS: u64 = 0xf4650b9a7ced8312;
/** Predicates 0..15 that signal for quiet NaNs; 16..31 are the same predicates with that reversed. */
const SIGNALS: i32 = 0x6666;

@inline
function truth(p: i32): i32 {
  return i32(HOLDS >> ((p & 15) << 2)) & 15;
}

/** Whether predicate p holds for an order (-1, 0, 1, 2 unordered). */
@inline
function holds(p: i32, o: i32): bool {
  return ((truth(p) >> (o + 1)) & 1) != 0;
}

/**
 * CMPPS (kind 0), CMPSS (1), CMPPD (2), CMPSD (3): d ← mask of d predicate s; the predicate is in bits 6..2 of `kind`.
 */
export function sse_cmp(kind: i64, d: i64, s: i64): void {
  const k = i32(kind) & 3;
  const p = i32(kind >> 2) & 31;
  const signalling = ((SIGNALS >> (p & 15)) & 1) != p >> 4;
  const pd = CPU + i32(d);
  const ps = CPU + i32(s);
  if (tryCompare(k, p, pd, ps)) return;
  enterSse();
  if (k < 2) {
    const lanes = k == 1 ? 1 : 4;
    let mask: u64 = 0;
    for (let i = 0; i < lanes; i++) {
      const at = i << 2;
      const o = compare32(load<u32>(pd + at), load<u32>(ps + at), signalling);
      if (holds(p, o)) mask |= 1 << i;
    }
    if (!report()) return;
    for (let i = 0; i < lanes; i++) store<i32>(pd + (i << 2), -i32((mask >> i) & 1));
    return;
  }
  const lanes = k == 3 ? 1 : 2;
  let mask: u64 = 0;
  for (let i = 0; i < lanes; i++) {
    const at = i << 3;
    const o = compare64(load<u64>(pd + at), load<u64>(ps + at), signalling);
    if (holds(p, o)) mask |= 1 << i;
  }
  if (!report()) return;
  for (let i = 0; i < lanes; i++) store<i64>(pd + (i << 3), -i64((mask >> i) & 1));
}

/** Comparisons of plain operands, which raise nothing; scalar forms keep the other lanes. */
function tryCompare(k: i32, p: i32, pd: i32, ps: i32): bool {
  if (k == 1) {
    const a = load<f32>(pd);
    const b = load<f32>(ps);
    if (!plain32(a) || !plain32(b)) return false;
    store<i32>(pd, -i32(holds(p, a < b ? -1 : a > b ? 1 : 0)));
    return true;
  }
  if (k == 3) {
    const a = load<f64>(pd);
    const b = load<f64>(ps);
    if (!plain64(a) || !plain64(b)) return false;
    store<i64>(pd, -i64(holds(p, a < b ? -1 : a > b ? 1 : 0)));
    return true;
  }
  const a = v128.load(pd);
  const b = v128.load(ps);
  if (!(k == 0 ? allPlain32(a) && allPlain32(b) : allPlain64(a) && allPlain64(b))) return false;
  const t = truth(p);
  let r = i64x2.splat(0);
  if ((t & 1) != 0) r = k == 0 ? f32x4.lt(a, b) : f64x2.lt(a, b);
  if ((t & 2) != 0) r = v128.or(r, k == 0 ? f32x4.eq(a, b) : f64x2.eq(a, b));
  if ((t & 4) != 0) r = v128.or(r, k == 0 ? f32x4.gt(a, b) : f64x2.gt(a, b));
  v128.store(pd, r);
  return true;
}
