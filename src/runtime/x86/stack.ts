// A cursor on a stack: several pushes or pops are tried first, RSP is written when all went well.

import { AT_CODE, AT_CONFORMING, AT_DB } from './bits';
import { HF_CS64, RSP, SS } from './layout';
import { ld16, ld32, ld64, st16, st32, st64, stackInfo } from './memory';
import { raiseSs } from './raise';
import { MEM_RMW } from '../softmmu/mem-info';
import { ld_slow } from '../softmmu/slow';
import { faulted, get, hflags, segAttr, segBase, segLimit, set } from './state';

/** Offset of the top of the stack. */
export let sp: u64 = 0;
/** Bits of the stack pointer in use. */
export let spMask: u64 = 0;
let base: u64 = 0;
let info: i32 = 0;
let limit: u32 = 0;
let attr: i32 = 0;
/** Selector that a limit violation reports. */
let selector: i32 = 0;

const WIDE: u64 = 0xffff_ffff_ffff_ffff;

/** Starts at the current SS:RSP. */
export function useCurrentStack(): void {
  if ((hflags() & HF_CS64) != 0) {
    useFlatStack(get(RSP), stackInfo());
    return;
  }
  useSegment(segBase(SS), segLimit(SS), segAttr(SS), get(RSP), stackInfo(), 0);
}

/** Starts at a 64-bit linear address. */
export function useFlatStack(at: u64, memInfo: i32): void {
  spMask = WIDE;
  base = 0;
  sp = at;
  info = memInfo;
}

/** Starts at an offset in a segment. */
export function useSegment(
  segmentBase: u64, segmentLimit: u32, attributes: i32, at: u64, memInfo: i32, faultSelector: i32,
): void {
  spMask = (attributes & AT_DB) != 0 ? 0xffff_ffff : 0xffff;
  base = segmentBase;
  limit = segmentLimit;
  attr = attributes;
  sp = at & spMask;
  info = memInfo;
  selector = faultSelector;
}

/** Limit check for `size` bytes at an offset in a data segment (SDM Vol. 3A 5.3). */
export function withinLimit(offset: u64, size: u64, segmentLimit: u32, attributes: i32): bool {
  const last = offset + size - 1;
  if ((attributes & (AT_CODE | AT_CONFORMING)) == AT_CONFORMING) {
    return offset > <u64>segmentLimit && last <= ((attributes & AT_DB) != 0 ? 0xffff_ffff : 0xffff);
  }
  return last <= <u64>segmentLimit;
}

/** Linear address of `size` bytes at an offset; checks the limit. */
// @ts-ignore: decorator
@inline function linear(offset: u64, size: i32): u64 {
  if (spMask == WIDE) return offset;
  if (!withinLimit(offset, size, limit, attr)) raiseSs(selector);
  return (base + offset) & 0xffff_ffff;
}

export function push16(value: u32): void {
  sp = (sp - 2) & spMask;
  st16(linear(sp, 2), value, info);
}
export function push32(value: u32): void {
  sp = (sp - 4) & spMask;
  st32(linear(sp, 4), value, info);
}
export function push64(value: u64): void {
  sp = sp - 8;
  st64(linear(sp, 8), value, info);
}
/** size 2, 4 or 8 bytes. Nothing happens after a fault: the first one counts. */
export function push(value: u64, size: i32): void {
  if (faulted()) return;
  if (size == 8) push64(value);
  else if (size == 4) push32(<u32>value);
  else push16(<u32>value);
}

export function pop(size: i32): u64 {
  const at = linear(sp, size);
  let value: u64 = 0;
  if (size == 8) value = ld64(at, info);
  else if (size == 4) value = ld32(at, info);
  else value = ld16(at, info);
  sp = (sp + size) & spMask;
  return value;
}

/** Value `size * index` bytes above the top, without popping. */
export function peek(index: i32, size: i32): u64 {
  const at = linear((sp + index * size) & spMask, size);
  if (size == 8) return ld64(at, info);
  return size == 4 ? <u64>ld32(at, info) : <u64>ld16(at, info);
}

/** Drops bytes. */
export function release(bytes: u64): void { sp = (sp + bytes) & spMask; }

/** Faults where a write of `size` bytes at the top would (ENTER), without writing. */
export function checkTop(size: i32): void {
  ld_slow(linear(sp, size), size | ((info | MEM_RMW) << 8));
}

/** RSP = sp, in the width of the stack in use. */
export function commitSp(): void {
  if (spMask == 0xffff) set(RSP, (get(RSP) & ~0xffff) | sp);
  else set(RSP, sp);
}
