// The soft TLB: filling, looking up, flushing. Entry layout in ../tcg/layout.ts.
//
// TLB_CODE always names the entry's page; in its low bits are marks of the runtime's own, and CODE_DENIED
// makes it miss for a fetch. A look-up compares all bits from 11 up, so that -1 (invalid) and CODE_DENIED
// never match.

import {
  FLUSH_LISTS, PAGE_CODE, PAGE_FLAGS, PAGE_LOG, RAM_MAP_ROM, TLB_ADDEND, TLB_AUX, TLB_BASE, TLB_CODE,
  TLB_ENTRIES, TLB_ENTRY_SHIFT, TLB_ENTRY_SIZE, TLB_READ, TLB_SLOW_MMIO, TLB_SLOW_NOTDIRTY, TLB_SLOW_ROM, TLB_SLOW_WATCH,
  TLB_TABLES, TLB_TABLE_SIZE, TLB_WRITE,
} from '../tcg/layout';
import { CPU, hflags, set } from '../x86/state';
import {
  ACCESS_CODE, PROT_CODE, PROT_GLOBAL, PROT_READ, PROT_WRITE, isCanonical, walk, walkError, walkPhys,
  walkProt, walkShift,
} from '../x86/page-walk';
import { raise, raiseGp, raiseSs } from '../x86/raise';
import { CR2, DR7, EXC_HAS_ERROR, HF_LMA } from '../x86/layout';
import { V_PF } from '../x86/bits';
import { pageWatched } from '../x86/debug';
import { notePageFault } from '../x86/log';
import { MEM_STACK } from './mem-info';
import { ramFlags, ramHost, ramMapChanged } from './ram';
import { jcFlushAll, jcFlushNonGlobal, jcFlushPage } from './hooks';

const CODE_GLOBAL: u64 = 0x8;
const CODE_MMIO: u64 = 0x10;
const CODE_DENIED: u64 = 0x800;
const INVALID: u64 = 0xffff_ffff_ffff_ffff;
const PAGE: u64 = 0xffff_ffff_ffff_f000;

// Per MMU index, in FLUSH_LISTS: one byte of LISTED_* bits per entry, a list (u16) of entries filled with
// non-global pages and one of entries filled with global pages. An entry is at most once on each list, so the
// lists cannot overflow.
const LISTED_LOCAL: u8 = 1;
const LISTED_GLOBAL: u8 = 2;
const MARKS: i32 = FLUSH_LISTS;
const LOCALS: i32 = FLUSH_LISTS + 0x1_0000;
const GLOBALS: i32 = FLUSH_LISTS + 0x2_0000;
const LIST_SIZE: i32 = TLB_ENTRIES * 2;
/** Lengths: locals at +0, globals at +16, one u32 per MMU index. */
const COUNTS: i32 = FLUSH_LISTS + 0x3_0000;
/** Bit maps of the 2 MiB and 1 GiB regions (modulo 4096) that have entries from large pages. */
const LARGE_MAP: i32 = FLUSH_LISTS + 0x3_0100;
const HUGE_MAP: i32 = FLUSH_LISTS + 0x3_0400;

// Per MMU index: the entries that others have displaced last, searched before the page tables are walked. Where a kernel's
// randomised layout puts two busy pages at one index, they would displace each other hundreds of thousands of times.
const VICTIMS: i32 = FLUSH_LISTS + 0x3_0600;
const VICTIM_COUNT: i32 = 8;
const VICTIM_SIZE: i32 = VICTIM_COUNT << TLB_ENTRY_SHIFT;
let nextVictim: i32 = 0;
let haveVictims = false;

/** Misses that walked the page tables, for the counter report. */
export let tlbFills: u32 = 0;
export let tlbFlushes: u32 = 0;
export function tlb_fill_count(): i32 { return tlbFills; }
export function tlb_flush_count(): i32 { return tlbFlushes; }

// @ts-ignore: decorator
@inline export function entryOf(va: u64, mmu: i32): i32 {
  return CPU + TLB_BASE + mmu * TLB_TABLE_SIZE + ((<i32>(va >> 12) & (TLB_ENTRIES - 1)) << TLB_ENTRY_SHIFT);
}

/** True when the entry translates va for reading (tagAt TLB_READ), writing or fetching, by either path. */
// @ts-ignore: decorator
@inline export function tagMatches(entry: i32, tagAt: i32, va: u64): bool {
  return (load<u64>(entry + tagAt) & ~0x7ff) == (va & PAGE);
}

/** The entry for an access, filled if need be; 0 with FAULT set if it faults. info: MEM_* bits. */
export function tlbEntry(va: u64, mmu: i32, access: i32, info: i32): i32 {
  const entry = entryOf(va, mmu);
  if (tagMatches(entry, access << 3, va) || recall(entry, mmu, access << 3, va)) return entry;
  return tlbFill(va, mmu, access, info);
}

export function tlbFill(va: u64, mmu: i32, access: i32, info: i32): i32 {
  if ((hflags() & HF_LMA) != 0) {
    if (!isCanonical(va)) {
      if ((info & MEM_STACK) != 0) raiseSs(0);
      else raiseGp(0);
      return 0;
    }
  } else va &= 0xffff_ffff;
  if (!walk(va, mmu, access, true)) {
    set(CR2, va);
    notePageFault(va, walkError);
    raise(V_PF, walkError, EXC_HAS_ERROR);
    return 0;
  }
  return enter(va, mmu);
}

/** Like tlbEntry for a fetch, but returns 0 without a fault. */
export function tlbProbeCode(va: u64, mmu: i32): i32 {
  const entry = entryOf(va, mmu);
  if (tagMatches(entry, TLB_CODE, va) || recall(entry, mmu, TLB_CODE, va)) return entry;
  if ((hflags() & HF_LMA) != 0 ? !isCanonical(va) : va > 0xffff_ffff) return 0;
  return walk(va, mmu, ACCESS_CODE, true) ? enter(va, mmu) : 0;
}

/** Brings a displaced translation back to its entry. */
function recall(entry: i32, mmu: i32, tagAt: i32, va: u64): bool {
  if (!haveVictims) return false;
  const end = CPU + VICTIMS + (mmu + 1) * VICTIM_SIZE;
  for (let victim = end - VICTIM_SIZE; victim < end; victim += TLB_ENTRY_SIZE) {
    if (!tagMatches(victim, tagAt, va)) continue;
    for (let at = 0; at < TLB_ENTRY_SIZE; at += 8) {
      const displaced = load<u64>(entry + at);
      store<u64>(entry + at, load<u64>(victim + at));
      store<u64>(victim + at, displaced);
    }
    return true;
  }
  return false;
}

function displace(entry: i32, mmu: i32): void {
  const victim = CPU + VICTIMS + mmu * VICTIM_SIZE + (nextVictim << TLB_ENTRY_SHIFT);
  nextVictim = (nextVictim + 1) & (VICTIM_COUNT - 1);
  haveVictims = true;
  memory.copy(victim, entry, TLB_ENTRY_SIZE);
}

function dropVictims(): void {
  if (!haveVictims) return;
  memory.fill(CPU + VICTIMS, 0xff, TLB_TABLES * VICTIM_SIZE);
  haveVictims = false;
}

/** Writes the result of the last walk into the TLB. */
function enter(va: u64, mmu: i32): i32 {
  tlbFills++;
  const entry = entryOf(va, mmu);
  const page = va & PAGE;
  const displaced = load<u64>(entry, TLB_CODE);
  if (displaced != INVALID && ((displaced ^ page) & PAGE) != 0) displace(entry, mmu);
  const prot = walkProt;
  let readTag = (prot & PROT_READ) != 0 ? page : INVALID;
  let writeTag = (prot & PROT_WRITE) != 0 ? page : INVALID;
  let codeTag = page | (prot & PROT_CODE ? 0 : CODE_DENIED) | (prot & PROT_GLOBAL ? CODE_GLOBAL : 0);
  const host = ramHost(walkPhys & PAGE);
  if (host == 0) {
    readTag |= TLB_SLOW_MMIO;
    writeTag |= TLB_SLOW_MMIO;
    codeTag |= CODE_MMIO;
    store<u32>(entry, <u32>(walkPhys >> 12), TLB_AUX);
  } else {
    if (ramFlags & RAM_MAP_ROM) writeTag |= TLB_SLOW_ROM;
    else if (load<u8>(PAGE_FLAGS + (<u32>host >> 12)) & (PAGE_CODE | PAGE_LOG)) writeTag |= TLB_SLOW_NOTDIRTY;
    store<i32>(entry, host, TLB_AUX);
    store<i32>(entry, host - <i32>page, TLB_ADDEND);
  }
  if ((load<i32>(CPU, DR7) & 0xff) != 0 && pageWatched(page)) {
    readTag |= TLB_SLOW_WATCH;
    writeTag |= TLB_SLOW_WATCH;
  }
  store<u64>(entry, readTag, TLB_READ);
  store<u64>(entry, writeTag, TLB_WRITE);
  store<u64>(entry, codeTag, TLB_CODE);
  list(<i32>(va >> 12) & (TLB_ENTRIES - 1), mmu, (prot & PROT_GLOBAL) != 0);
  if (walkShift != 12) noteLarge(va);
  return entry;
}

function list(index: i32, mmu: i32, global: bool): void {
  const at = CPU + MARKS + mmu * TLB_ENTRIES + index;
  const marks = load<u8>(at);
  const mark = global ? LISTED_GLOBAL : LISTED_LOCAL;
  if ((marks & mark) != 0) return;
  store<u8>(at, marks | mark);
  const count = CPU + COUNTS + (mmu << 2) + (global ? 16 : 0);
  const n = load<i32>(count);
  store<u16>(CPU + (global ? GLOBALS : LOCALS) + mmu * LIST_SIZE + (n << 1), index);
  store<i32>(count, n + 1);
}

// @ts-ignore: decorator
@inline function bitAt(map: i32, n: u32): i32 { return CPU + map + ((n >> 3) & 0x1ff); }

function noteLarge(va: u64): void {
  const n = walkShift == 30 ? <u32>(va >> 30) : <u32>(va >> 21);
  const at = bitAt(walkShift == 30 ? HUGE_MAP : LARGE_MAP, n);
  store<u8>(at, load<u8>(at) | <u8>(<u32>1 << (n & 7)));
  if (walkShift == 22) {
    // a 4 MiB page is two regions of 2 MiB
    const other = bitAt(LARGE_MAP, n ^ 1);
    store<u8>(other, load<u8>(other) | <u8>(<u32>1 << ((n ^ 1) & 7)));
  }
}

// @ts-ignore: decorator
@inline function invalidate(entry: i32): void {
  store<u64>(entry, INVALID, TLB_READ);
  store<u64>(entry, INVALID, TLB_WRITE);
  store<u64>(entry, INVALID, TLB_CODE);
}

/** Empties one list. `keepGlobal`: entries that meanwhile hold a global page stay. */
function flushList(mmu: i32, global: bool, keepGlobal: bool): void {
  const count = CPU + COUNTS + (mmu << 2) + (global ? 16 : 0);
  const items = CPU + (global ? GLOBALS : LOCALS) + mmu * LIST_SIZE;
  const marks = CPU + MARKS + mmu * TLB_ENTRIES;
  const table = CPU + TLB_BASE + mmu * TLB_TABLE_SIZE;
  const keepMask = global ? ~LISTED_GLOBAL : ~LISTED_LOCAL;
  for (let i = load<i32>(count) - 1; i >= 0; i--) {
    const index = <i32>load<u16>(items + (i << 1));
    store<u8>(marks + index, load<u8>(marks + index) & keepMask);
    const entry = table + (index << TLB_ENTRY_SHIFT);
    if (!keepGlobal || (load<u64>(entry, TLB_CODE) & CODE_GLOBAL) == 0) invalidate(entry);
  }
  store<i32>(count, 0);
}

/** Drops every translation. Also to be called after a change of the physical memory map. */
export function tlb_flush(): void {
  tlbFlushes++;
  dropVictims();
  ramMapChanged();
  for (let mmu = 0; mmu < TLB_TABLES; mmu++) {
    flushList(mmu, false, false);
    flushList(mmu, true, false);
  }
  memory.fill(CPU + LARGE_MAP, 0, 0x200);
  memory.fill(CPU + HUGE_MAP, 0, 0x200);
  jcFlushAll();
}

/** Drops every translation but those of global pages (CR3 writes). */
export function tlb_flush_nonglobal(): void {
  tlbFlushes++;
  dropVictims();
  for (let mmu = 0; mmu < TLB_TABLES; mmu++) flushList(mmu, false, true);
  jcFlushNonGlobal();
}

/** INVLPG: drops the translations of one page, of whatever size it was. */
export function tlb_flush_page(va: i64): void {
  dropVictims();
  const large = <u32>(<u64>va >> 21);
  const huge = <u32>(<u64>va >> 30);
  if ((<u32>load<u8>(bitAt(LARGE_MAP, large)) >> (large & 7)) & 1) flushRegion(va, 22);
  if ((<u32>load<u8>(bitAt(HUGE_MAP, huge)) >> (huge & 7)) & 1) flushRegion(va, 30);
  for (let mmu = 0; mmu < TLB_TABLES; mmu++) {
    const entry = entryOf(va, mmu);
    if (((load<u64>(entry, TLB_CODE) ^ va) & PAGE) == 0) invalidate(entry);
  }
  jcFlushPage(va);
}

/** Drops all entries within the aligned region of `1 << shift` bytes around va. */
function flushRegion(va: u64, shift: u64): void {
  for (let mmu = 0; mmu < TLB_TABLES; mmu++) {
    flushRegionList(va >> shift, shift, mmu, false);
    flushRegionList(va >> shift, shift, mmu, true);
  }
  jcFlushAll();
}

function flushRegionList(region: u64, shift: u64, mmu: i32, global: bool): void {
  const items = CPU + (global ? GLOBALS : LOCALS) + mmu * LIST_SIZE;
  const table = CPU + TLB_BASE + mmu * TLB_TABLE_SIZE;
  for (let i = load<i32>(CPU + COUNTS + (mmu << 2) + (global ? 16 : 0)) - 1; i >= 0; i--) {
    const entry = table + (<i32>load<u16>(items + (i << 1)) << TLB_ENTRY_SHIFT);
    if (load<u64>(entry, TLB_CODE) >> shift == region) invalidate(entry);
  }
}

/** Empties tables and lists without relying on what they hold. */
export function tlbInit(): void {
  // one more for MMU_USER_ALIGN, which is never filled
  memory.fill(CPU + TLB_BASE, 0xff, (TLB_TABLES + 1) * TLB_TABLE_SIZE);
  memory.fill(CPU + FLUSH_LISTS, 0, 0x3_0600);
  haveVictims = true;
  dropVictims();
  ramMapChanged();
  jcFlushAll();
}

/**
 * Stores to the page at this memory address take the slow path from now on (PAGE_CODE or PAGE_LOG was just
 * set for it).
 */
export function tlb_protect(hostPage: i32): void {
  dropVictims();
  for (let mmu = 0; mmu < TLB_TABLES; mmu++) {
    protectList(hostPage, mmu, false);
    protectList(hostPage, mmu, true);
  }
}

function protectList(hostPage: i32, mmu: i32, global: bool): void {
  const items = CPU + (global ? GLOBALS : LOCALS) + mmu * LIST_SIZE;
  const table = CPU + TLB_BASE + mmu * TLB_TABLE_SIZE;
  for (let i = load<i32>(CPU + COUNTS + (mmu << 2) + (global ? 16 : 0)) - 1; i >= 0; i--) {
    const entry = table + (<i32>load<u16>(items + (i << 1)) << TLB_ENTRY_SHIFT);
    if (load<i32>(entry, TLB_AUX) != hostPage) continue;
    const tag = load<u64>(entry, TLB_WRITE);
    if ((tag & (CODE_DENIED | TLB_SLOW_MMIO | TLB_SLOW_ROM)) != 0) continue;
    store<u64>(entry, tag | TLB_SLOW_NOTDIRTY, TLB_WRITE);
  }
}

/** Stores through this entry are fast again once its page is no longer watched. */
export function unprotect(entry: i32): void {
  const tag = load<u64>(entry, TLB_WRITE);
  if (load<u8>(PAGE_FLAGS + (load<u32>(entry, TLB_AUX) >> 12)) & (PAGE_CODE | PAGE_LOG)) return;
  store<u64>(entry, tag & ~TLB_SLOW_NOTDIRTY, TLB_WRITE);
}

/** 1 when the entry of this address, filled for the MMU index, came from a global page. */
export function isGlobal(va: u64, mmu: i32): bool {
  const tag = load<u64>(entryOf(va, mmu), TLB_CODE);
  return ((tag ^ va) & PAGE) == 0 && tag != INVALID && (tag & CODE_GLOBAL) != 0;
}

/** True when the entry is not RAM. */
// @ts-ignore: decorator
@inline export function isMmio(entry: i32): bool { return (load<u64>(entry, TLB_CODE) & CODE_MMIO) != 0; }
