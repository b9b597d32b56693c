// Slow paths of guest memory access: misses, page crossings, MMIO, ROM, watched pages.

import {
  TLB_AUX, TLB_READ, TLB_SLOW_MMIO, TLB_SLOW_NOTDIRTY, TLB_SLOW_ROM, TLB_SLOW_WATCH, TLB_WRITE, FAULT_SMC,
} from '../tcg/layout';
import {
  EXC_HAS_ERROR, FAULT, HFLAGS, HF_CS64, HF_LMA, HF_ONE_INSN, MMU_USER_ALIGN, VECTOR_HI,
} from '../x86/layout';
import { ACCESS_READ, ACCESS_WRITE, isCanonical } from '../x86/page-walk';
import { noteDataAccess } from '../x86/debug';
import { V_AC } from '../x86/bits';
import { raise, raiseGp } from '../x86/raise';
import { CPU, hflags } from '../x86/state';
import { code_written } from './host';
import { MEM_ALIGN, MEM_MMU_MASK, MEM_RMW, MEM_SYSTEM, tableOf } from './mem-info';
import { holdsCode, markDirty, mmioLoad, mmioStore, romStore } from './ram';
import { tlbEntry, unprotect } from './tlb';

/** First byte of the page behind va, with the wrap of 32-bit linear addresses. */
function nextPage(va: u64, info: i32): u64 {
  const next = (va & ~0xfff) + 0x1000;
  const wide = (info & MEM_SYSTEM) != 0 ? HF_LMA : HF_CS64;
  return (hflags() & wide) != 0 ? next : next & 0xffff_ffff;
}

// @ts-ignore: decorator
@inline function readAccess(info: i32): i32 { return (info & MEM_RMW) != 0 ? ACCESS_WRITE : ACCESS_READ; }

// @ts-ignore: decorator
@inline function physical(entry: i32, va: u64): u64 {
  return (<u64>load<u32>(entry, TLB_AUX) << 12) | (va & 0xfff);
}

// @ts-ignore: decorator
@inline function hostOf(entry: i32, va: u64): i32 { return load<i32>(entry, TLB_AUX) + (<i32>va & 0xfff); }

/** size 1, 2, 4, 8; within one page. */
function loadWithin(entry: i32, va: u64, size: i32): u64 {
  if ((load<u32>(entry, TLB_READ) & TLB_SLOW_MMIO) != 0) return mmioLoad(physical(entry, va), size);
  const host = hostOf(entry, va);
  switch (size) {
    case 1: return load<u8>(host);
    case 2: return load<u16>(host);
    case 4: return load<u32>(host);
    default: return load<u64>(host);
  }
}

/**
 * Raises #AC for an access that is not aligned to its size under MMU_USER_ALIGN. It comes before a page fault and after #GP and
 * #SS for a non-canonical address.
 */
function misaligned(va: u64, size: u64, info: i32): bool {
  if ((info & MEM_MMU_MASK) != MMU_USER_ALIGN || (va & (size - 1)) == 0) return false;
  if ((hflags() & HF_CS64) != 0 && !isCanonical(va)) return false;
  raise(V_AC, 0, EXC_HAS_ERROR);
  return true;
}

/** A near branch to an address that is not canonical faults at the branch (SDM Vol. 2A JMP). */
function checkTarget(va: u64): u64 {
  if (!isCanonical(va)) raiseGp(0);
  return va;
}

/** info << 8 | size in bytes; size 0: `chkaddr`. Zero-extended; 0 with FAULT set. */
export function ld_slow(va: i64, sizeInfo: i32): i64 {
  const size = sizeInfo & 0xff;
  const info = sizeInfo >> 8;
  if (size == 0) return checkTarget(va);
  if (misaligned(va, size, info)) return 0;
  const mmu = tableOf(info);
  const entry = tlbEntry(va, mmu, readAccess(info), info);
  if (entry == 0) return 0;
  if ((load<u32>(entry, TLB_READ) & TLB_SLOW_WATCH) != 0) noteDataAccess(va, size, false);
  const inFirst = 0x1000 - (<i32>va & 0xfff);
  if (inFirst >= size) return loadWithin(entry, va, size);
  const second = nextPage(va, info);
  const other = tlbEntry(second, mmu, readAccess(info), info);
  if (other == 0) return 0;
  let value: u64 = 0;
  for (let i = size - 1 - inFirst; i >= 0; i--) value = (value << 8) | loadWithin(other, second + i, 1);
  for (let i = inFirst - 1; i >= 0; i--) value = (value << 8) | loadWithin(entry, va + i, 1);
  return value;
}

/**
 * Lets blocks die that a store would change. False: the store must not happen, the instruction is retried
 * alone.
 */
function mayStore(entry: i32, va: u64, size: i32): bool {
  if ((load<u32>(entry, TLB_WRITE) & TLB_SLOW_NOTDIRTY) == 0) return true;
  const host = hostOf(entry, va);
  if (holdsCode(host, size)) {
    code_written(host, size);
    if ((load<i32>(CPU, HFLAGS) & HF_ONE_INSN) == 0) {
      store<u64>(CPU, FAULT_SMC, FAULT);
      return false;
    }
  }
  markDirty(host);
  unprotect(entry);
  return true;
}

/** size 1, 2, 4, 8; within one page; the watch on the page has been dealt with. */
function storeWithin(entry: i32, va: u64, size: i32, value: u64): void {
  const slow = load<u32>(entry, TLB_WRITE) & (TLB_SLOW_MMIO | TLB_SLOW_ROM);
  if (slow != 0) {
    if ((slow & TLB_SLOW_MMIO) != 0) mmioStore(physical(entry, va), size, value);
    else romStore(hostOf(entry, va), size, value);
    return;
  }
  const host = hostOf(entry, va);
  switch (size) {
    case 1: store<u8>(host, <u8>value); break;
    case 2: store<u16>(host, <u16>value); break;
    case 4: store<u32>(host, <u32>value); break;
    default: store<u64>(host, value);
  }
}

export function st_slow(va: i64, value: i64, sizeInfo: i32): void {
  const size = sizeInfo & 0xff;
  const info = sizeInfo >> 8;
  if (misaligned(va, size, info)) return;
  const mmu = tableOf(info);
  const entry = tlbEntry(va, mmu, ACCESS_WRITE, info);
  if (entry == 0) return;
  if ((load<u32>(entry, TLB_WRITE) & TLB_SLOW_WATCH) != 0) noteDataAccess(va, size, true);
  const inFirst = 0x1000 - (<i32>va & 0xfff);
  if (inFirst >= size) {
    if (mayStore(entry, va, size)) storeWithin(entry, va, size, value);
    return;
  }
  const second = nextPage(va, info);
  const other = tlbEntry(second, mmu, ACCESS_WRITE, info);
  if (other == 0) return;
  if (!mayStore(entry, va, inFirst) || !mayStore(other, second, size - inFirst)) return;
  for (let i = 0; i < inFirst; i++, value >>= 8) storeWithin(entry, va + i, 1, value);
  for (let i = inFirst; i < size; i++, value >>= 8) storeWithin(other, second + (i - inFirst), 1, value);
}

/** Byte i of a vector's image in the register file: the upper half of 256 bits lies VECTOR_HI behind the lower. */
// @ts-ignore: decorator
@inline function vectorByte(i: i32): i32 { return i < 16 ? i : i - 16 + VECTOR_HI; }

/** `size` (16 or 32) bytes from va to the vector at memory address dst. */
function loadVector(va: u64, dst: i32, info: i32, size: i32): void {
  if ((info & MEM_ALIGN) != 0 && (<i32>va & (size - 1)) != 0) return raiseGp(0);
  if (misaligned(va, 16, info)) return;
  const mmu = tableOf(info);
  const entry = tlbEntry(va, mmu, readAccess(info), info);
  if (entry == 0) return;
  if ((load<u32>(entry, TLB_READ) & TLB_SLOW_WATCH) != 0) noteDataAccess(va, size, false);
  const inFirst = 0x1000 - (<i32>va & 0xfff);
  if (inFirst >= size) {
    for (let i = 0; i < size; i += 8) store<u64>(dst + vectorByte(i), loadWithin(entry, va + i, 8));
    return;
  }
  const second = nextPage(va, info);
  const other = tlbEntry(second, mmu, readAccess(info), info);
  if (other == 0) return;
  for (let i = 0; i < inFirst; i++) store<u8>(dst + vectorByte(i), <u8>loadWithin(entry, va + i, 1));
  for (let i = inFirst; i < size; i++) {
    store<u8>(dst + vectorByte(i), <u8>loadWithin(other, second + (i - inFirst), 1));
  }
}

function storeVector(va: u64, src: i32, info: i32, size: i32): void {
  if ((info & MEM_ALIGN) != 0 && (<i32>va & (size - 1)) != 0) return raiseGp(0);
  if (misaligned(va, 16, info)) return;
  const mmu = tableOf(info);
  const entry = tlbEntry(va, mmu, ACCESS_WRITE, info);
  if (entry == 0) return;
  if ((load<u32>(entry, TLB_WRITE) & TLB_SLOW_WATCH) != 0) noteDataAccess(va, size, true);
  const inFirst = 0x1000 - (<i32>va & 0xfff);
  if (inFirst >= size) {
    if (!mayStore(entry, va, size)) return;
    for (let i = 0; i < size; i += 8) storeWithin(entry, va + i, 8, load<u64>(src + vectorByte(i)));
    return;
  }
  const second = nextPage(va, info);
  const other = tlbEntry(second, mmu, ACCESS_WRITE, info);
  if (other == 0) return;
  if (!mayStore(entry, va, inFirst) || !mayStore(other, second, size - inFirst)) return;
  for (let i = 0; i < inFirst; i++) storeWithin(entry, va + i, 1, load<u8>(src + vectorByte(i)));
  for (let i = inFirst; i < size; i++) {
    storeWithin(other, second + (i - inFirst), 1, load<u8>(src + vectorByte(i)));
  }
}

/** 16 bytes from va to the memory address dst. */
export function ld128_slow(va: i64, dst: i32, info: i32): void { loadVector(va, dst, info, 16); }

/** 16 bytes from the memory address src to va. */
export function st128_slow(va: i64, src: i32, info: i32): void { storeVector(va, src, info, 16); }

/** 32 bytes; dst and src are the lower half's address in the register file. */
export function ld256_slow(va: i64, dst: i32, info: i32): void { loadVector(va, dst, info, 32); }
export function st256_slow(va: i64, src: i32, info: i32): void { storeVector(va, src, info, 32); }

/**
 * Memory address of `size` bytes at va for a read-modify-write done by the caller, or 0: FAULT is set, or the
 * bytes are not plain memory within one page (the caller goes byte-wise through ld_slow and st_slow).
 */
export function hostForWrite(va: u64, size: i32, info: i32): i32 {
  if ((info & MEM_MMU_MASK) == MMU_USER_ALIGN) return 0;
  const entry = tlbEntry(va, info & MEM_MMU_MASK, ACCESS_WRITE, info);
  if (entry == 0 || (<i32>va & 0xfff) + size > 0x1000) return 0;
  if ((load<u32>(entry, TLB_WRITE) & (TLB_SLOW_MMIO | TLB_SLOW_ROM | TLB_SLOW_WATCH)) != 0) return 0;
  return mayStore(entry, va, size) ? hostOf(entry, va) : 0;
}
