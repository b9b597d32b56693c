// Where code bytes are: for the translator and for look-ups of translated blocks.

import { TLB_AUX } from '../tcg/layout';
import { CS, CS_BASE32, HF_CS64, HF_MMU_SHIFT } from '../x86/layout';
import { ACCESS_CODE, ACCESS_READ, isCanonical, walk, walkPhys } from '../x86/page-walk';
import { raiseGp } from '../x86/raise';
import { CPU, hflags, segLimit } from '../x86/state';
import { MMU_KERNEL, MMU_USER, HF_LMA } from '../x86/layout';
import { tableOf } from './mem-info';
import { isGlobal, isMmio, tlbEntry, tlbProbeCode } from './tlb';

// @ts-ignore: decorator
@inline function codeMmu(): i32 { return tableOf(hflags() >> HF_MMU_SHIFT); }

/** Memory address of the code at an offset in CS, 0 with FAULT set, or -1 where it is not RAM. */
export function code_host_address(rip: i64): i32 {
  let linear: u64 = rip;
  if ((hflags() & HF_CS64) == 0) {
    if (<u64>rip > <u64>segLimit(CS)) {
      raiseGp(0);
      return 0;
    }
    linear = (linear + load<u32>(CPU, CS_BASE32)) & 0xffff_ffff;
  }
  const entry = tlbEntry(linear, codeMmu(), ACCESS_CODE, 0);
  if (entry == 0) return 0;
  return isMmio(entry) ? -1 : load<i32>(entry, TLB_AUX) + (<i32>linear & 0xfff);
}

/** Bytes from an offset in CS to the segment's end; many where nothing limits. */
export function codeRoom(rip: u64): i32 {
  if ((hflags() & HF_CS64) != 0) return i32.MAX_VALUE;
  const limit = <u64>segLimit(CS);
  return rip > limit ? 0 : <i32>min<u64>(limit - rip + 1, <u64>i32.MAX_VALUE);
}

/** The same for a linear address, without a fault: 0 if it cannot be fetched or is not RAM. */
export function code_host_probe(linear: i64): i32 {
  const entry = tlbProbeCode(linear, codeMmu());
  return entry == 0 || isMmio(entry) ? 0 : load<i32>(entry, TLB_AUX) + (<i32>linear & 0xfff);
}

/** After a successful look-up of this code address: whether its page is global. */
export function codePageGlobal(linear: u64): bool {
  return isGlobal(linear, codeMmu());
}

/** Physical address of a linear address, -1 if it is not mapped. No side effects. */
export function debug_translate(linear: i64): f64 {
  if ((hflags() & HF_LMA) != 0 && !isCanonical(linear)) return -1;
  return walk(linear, MMU_KERNEL, ACCESS_READ, false) ? <f64>walkPhys : -1;
}

/**
 * Physical address of the code at an offset in CS when it is not RAM (after code_host_address returned -1).
 */
export function code_physical(rip: i64): f64 {
  const linear = (hflags() & HF_CS64) != 0 ? <u64>rip : (<u64>rip + load<u32>(CPU, CS_BASE32)) & 0xffff_ffff;
  return walk(linear, codeMmu() == MMU_USER ? MMU_USER : MMU_KERNEL, ACCESS_CODE, false) ? <f64>walkPhys : -1;
}
