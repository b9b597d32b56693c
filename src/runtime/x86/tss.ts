// Fields of the current task state segment (SDM Vol. 3A 7.2.1, 7.7).

import { AT_UNUSABLE, V_TS } from './bits';
import { HF_LMA, TR } from './layout';
import { ld16, ld8, ld32, ld64, systemInfo } from './memory';
import { raiseSel } from './raise';
import { hflags, segAttr, segBase, segLimit, segSelector } from './state';

/** 32-bit TSS (type 9 or 11), as opposed to the 16-bit one (1 or 3). */
// @ts-ignore: decorator
@inline export function tssIs32(): bool { return (segAttr(TR) & 8) != 0; }

/** Linear address of a field of the current TSS, 0 with #TS raised if it lies beyond the limit. */
function field(offset: u32, size: u32): u64 {
  if (offset + size - 1 > segLimit(TR)) {
    raiseSel(V_TS, segSelector(TR));
    return 0;
  }
  const at = segBase(TR) + offset;
  return (hflags() & HF_LMA) != 0 ? at : at & 0xffff_ffff;
}

export let innerSs: i32 = 0;
export let innerSp: u64 = 0;

/** SS and (E)SP for an inner level into innerSs, innerSp. May fault. */
export function readInnerStack(level: i32): void {
  const wide = tssIs32();
  const size = wide ? 4 : 2;
  const at = field(wide ? 4 + level * 8 : 2 + level * 4, wide ? 6 : 4);
  if (at == 0) return;
  innerSp = wide ? ld32(at, systemInfo()) : ld16(at, systemInfo());
  innerSs = ld16(at + size, systemInfo());
}

/** 64-bit TSS: RSP0..2. */
export function readRsp(level: i32): u64 {
  const at = field(4 + level * 8, 8);
  return at == 0 ? 0 : ld64(at, systemInfo());
}

/** 64-bit TSS: IST1..7. */
export function readIst(n: i32): u64 {
  const at = field(0x1c + n * 8, 8);
  return at == 0 ? 0 : ld64(at, systemInfo());
}

/**
 * The I/O permission bits of 16 ports from `port & ~7` on; all ones where the map does not reach (SDM Vol. 1
 * 19.5.2).
 */
export function ioPermissionBits(port: u32): u32 {
  if ((segAttr(TR) & AT_UNUSABLE) != 0 || !tssIs32() || segLimit(TR) < 0x67) return 0xffff;
  const map = ld16(field(0x66, 2), systemInfo());
  const at = map + (port >> 3);
  if (at + 1 > segLimit(TR)) return 0xffff;
  return ld16(field(at, 2), systemInfo());
}

/** VME: 1 when INT n from virtual-8086 mode goes to the protected-mode handler (SDM Vol. 3B 20.3.3). */
export function interruptRedirection(vector: i32): bool {
  if (!tssIs32() || segLimit(TR) < 0x67) return true;
  const map = ld16(field(0x66, 2), systemInfo());
  const at = map - 32 + (<u32>vector >> 3);
  if (map < 32 || at > segLimit(TR)) return true;
  return ((ld8(field(at, 1), systemInfo()) >> (vector & 7)) & 1) != 0;
}
