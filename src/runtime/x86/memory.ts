// Guest memory for helpers: an inline TLB probe, then the slow path. After each access check `faulted()`.

import { TLB_ADDEND, TLB_READ, TLB_WRITE } from '../tcg/layout';
import { entryOf } from '../softmmu/tlb';
import { ld_slow, st_slow } from '../softmmu/slow';
import { MEM_STACK, MEM_SYSTEM } from '../softmmu/mem-info';
import { CR4_SMAP } from './bits';
import { HF_MMU_SHIFT, MMU_KERNEL, MMU_KERNEL_SMAP, MMU_USER } from './layout';
import { cr4, hflags } from './state';

/** Info of the current code's data accesses. */
// @ts-ignore: decorator
@inline export function dataInfo(): i32 { return (hflags() >> HF_MMU_SHIFT) & 3; }
// @ts-ignore: decorator
@inline export function stackInfo(): i32 { return dataInfo() | MEM_STACK; }
/**
 * Info of the processor's own accesses: supervisor rights; SMAP applies whatever AC is (SDM Vol. 3A 4.6.1).
 */
export function systemInfo(): i32 {
  return ((cr4() & CR4_SMAP) != 0 ? MMU_KERNEL_SMAP : MMU_KERNEL) | MEM_SYSTEM;
}
/** Info of stack pushes at privilege level `level`. */
export function stackInfoAt(level: i32): i32 {
  if (level == 3) return MMU_USER | MEM_STACK;
  return ((cr4() & CR4_SMAP) != 0 ? MMU_KERNEL_SMAP : MMU_KERNEL) | MEM_STACK;
}

// @ts-ignore: decorator
@inline function probe(va: u64, last: u64, info: i32, tagAt: i32): i32 {
  const entry = entryOf(va, info & 3);
  return load<u64>(entry + tagAt) == ((va + last) & ~0xfff) ? <i32>va + load<i32>(entry, TLB_ADDEND) : 0;
}

export function ld8(va: u64, info: i32): u32 {
  const host = probe(va, 0, info, TLB_READ);
  return host != 0 ? <u32>load<u8>(host) : <u32>ld_slow(va, 1 | (info << 8));
}
export function ld16(va: u64, info: i32): u32 {
  const host = probe(va, 1, info, TLB_READ);
  return host != 0 ? <u32>load<u16>(host) : <u32>ld_slow(va, 2 | (info << 8));
}
export function ld32(va: u64, info: i32): u32 {
  const host = probe(va, 3, info, TLB_READ);
  return host != 0 ? load<u32>(host) : <u32>ld_slow(va, 4 | (info << 8));
}
export function ld64(va: u64, info: i32): u64 {
  const host = probe(va, 7, info, TLB_READ);
  return host != 0 ? load<u64>(host) : <u64>ld_slow(va, 8 | (info << 8));
}
export function st8(va: u64, value: u32, info: i32): void {
  const host = probe(va, 0, info, TLB_WRITE);
  if (host != 0) store<u8>(host, <u8>value);
  else st_slow(va, value, 1 | (info << 8));
}
export function st16(va: u64, value: u32, info: i32): void {
  const host = probe(va, 1, info, TLB_WRITE);
  if (host != 0) store<u16>(host, <u16>value);
  else st_slow(va, value, 2 | (info << 8));
}
export function st32(va: u64, value: u32, info: i32): void {
  const host = probe(va, 3, info, TLB_WRITE);
  if (host != 0) store<u32>(host, value);
  else st_slow(va, value, 4 | (info << 8));
}
export function st64(va: u64, value: u64, info: i32): void {
  const host = probe(va, 7, info, TLB_WRITE);
  if (host != 0) store<u64>(host, value);
  else st_slow(va, value, 8 | (info << 8));
}

/** size 1, 2, 4, 8 bytes. */
export function ldSized(va: u64, size: i32, info: i32): u64 {
  switch (size) {
    case 1: return ld8(va, info);
    case 2: return ld16(va, info);
    case 4: return ld32(va, info);
    default: return ld64(va, info);
  }
}
export function stSized(va: u64, value: u64, size: i32, info: i32): void {
  switch (size) {
    case 1: st8(va, <u32>value, info); break;
    case 2: st16(va, <u32>value, info); break;
    case 4: st32(va, <u32>value, info); break;
    default: st64(va, value, info);
  }
}
