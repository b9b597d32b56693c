// SSE comparisons (SDM Vol. 1 10.4.1, 11.4.1.3; predicates: Vol. 2 CMPPD table 3-1).

import { compare32, compare64 } from '../softfloat/binary';
import { plain32, plain64 } from './sse-arith';
import { enterSse, report } from './sse-env';
import { VECTOR_HI } from './layout';
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
 * CMPPS (kind 0), CMPPD (1), CMPSS (2), CMPSD (3): d ← mask of a predicate b. The predicate is in bits 6..2 of `how`, the number
 * of 128-bit halves in bits 8..7; d, a and b in `regs`, 16 bits each. Nothing is written if an exception is raised.
 */
export function sse_compare(how: i64, regs: i64): void {
  const kind = i32(how) & 3;
  const p = i32(how >> 2) & 31;
  const halves = i32(how >> 7);
  const d = CPU + (i32(regs) & 0xffff);
  const a = CPU + (i32(regs >> 16) & 0xffff);
  const b = CPU + (i32(regs >> 32) & 0xffff);
  enterSse();
  const low = compareLanes(kind, p, a, b);
  const high = halves == 2 ? compareLanes(kind, p, a + VECTOR_HI, b + VECTOR_HI) : 0;
  if (!report()) return;
  storeMask(kind, d, low);
  if (halves == 2) storeMask(kind, d + VECTOR_HI, high);
}

@inline
function laneCount(kind: i32): i32 {
  return (kind & 2) != 0 ? 1 : (kind & 1) != 0 ? 2 : 4;
}

/** A bit for each lane in which the predicate holds. */
function compareLanes(kind: i32, p: i32, a: i32, b: i32): i32 {
  const signalling = ((SIGNALS >> (p & 15)) & 1) != p >> 4;
  let mask = 0;
  for (let i = 0; i < laneCount(kind); i++) {
    let order: i32;
    if ((kind & 1) != 0) order = compare64(load<u64>(a + (i << 3)), load<u64>(b + (i << 3)), signalling);
    else order = compare32(load<u32>(a + (i << 2)), load<u32>(b + (i << 2)), signalling);
    if (holds(p, order)) mask |= 1 << i;
  }
  return mask;
}

function storeMask(kind: i32, d: i32, mask: i32): void {
  for (let i = 0; i < laneCount(kind); i++) {
    const bit = (mask >> i) & 1;
    if ((kind & 1) != 0) store<i64>(d + (i << 3), -i64(bit));
    else store<i32>(d + (i << 2), -bit);
  }
}
