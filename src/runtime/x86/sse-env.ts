// MXCSR: the environment of SSE arithmetic and the report of its exceptions (SDM Vol. 1 10.2.3, 11.5).

import { CR4, FP_FAST, MXCSR } from './layout';
import { CR4_OSXMMEXCPT, V_UD, V_XM } from './bits';
import { raiseGp, raisePlain } from './raise';
import { get, get32, set } from './state';
import { OE, UE, daz, flags, ftz, masks, rc, wrap } from '../softfloat/core';

export const MXCSR_RESERVED: u32 = 0xffff0000;
const MXCSR_DAZ: u32 = 0x40;
const MXCSR_FTZ: u32 = 0x8000;
/** Everything but the flags below PE: round to nearest, all masked, no DAZ or FTZ, PE set. */
const FAST_MASK: u32 = 0xffe0;
const FAST_VALUE: u32 = 0x1fa0;

/** Stores MXCSR and recomputes the condition for inline arithmetic. */
export function setMxcsr(value: u32): void {
  set(MXCSR, value);
  set(FP_FAST, u64((value & FAST_MASK) == FAST_VALUE));
}

/** LDMXCSR: #GP for reserved bits. */
export function sse_ldmxcsr(value: i64): void {
  if ((u32(value) & MXCSR_RESERVED) != 0) return raiseGp(0);
  setMxcsr(u32(value));
}

@inline
export function fast(): bool {
  return get32(FP_FAST) != 0;
}

/** Rounds to nearest, no DAZ or FTZ, all masked; PE may still be clear. */
@inline
export function nearlyFast(): bool {
  return (get32(MXCSR) & 0xffc0) == 0x1f80;
}

let collecting: bool = false;
let collected: i32 = 0;

/** The lanes of a 256-bit operation report together: between the two nothing is raised. */
export function sse_collect(): void {
  collecting = true;
  collected = 0;
}

export function sse_report(): void {
  collecting = false;
  flags = collected;
  masks = i32(get(MXCSR) >> 7) & 63;
  report();
}

/** Sets up the soft-float environment of one SSE instruction. */
export function enterSse(): void {
  const m = u32(get(MXCSR));
  flags = 0;
  masks = i32(m >> 7) & 63;
  rc = i32(m >> 13) & 3;
  daz = (m & MXCSR_DAZ) != 0;
  ftz = (m & MXCSR_FTZ) != 0;
  // An unmasked response discards the result, but PE follows from the bias-adjusted one.
  wrap = ~masks & (OE | UE);
}

/**
 * Records `flags`. Returns false after raising #XM (#UD without CR4.OSXMMEXCPT) for an unmasked one: the destination
 * stays. Post-computation flags are not reported beside an unmasked pre-computation exception.
 */
export function report(): bool {
  if (flags == 0) return true;
  if (collecting) {
    collected |= flags;
    return true;
  }
  let f = flags;
  if ((f & ~masks & 7) != 0) f &= 7;
  const m = u32(get(MXCSR));
  if ((u32(f) & ~m) != 0) setMxcsr(m | u32(f));
  if ((f & ~masks & 63) == 0) return true;
  raisePlain((get(CR4) & CR4_OSXMMEXCPT) != 0 ? V_XM : V_UD);
  return false;
}
