/**
 * The jump cache: a direct-mapped table from (RIP, block key) to translated block, probed inline by translated code. An entry
 * exists only while the block's pages are mapped as they were when it was entered, so every change of a mapping drops
 * entries. Lists of touched entries make a flush cost what was filled.
 */
import {
  FLUSH_LISTS, FLUSH_LISTS_SIZE, JC_BASE, JC_BITS, JC_ENTRIES, JC_ENTRY_SHIFT, JC_FUNC, JC_IR, JC_KEY, JC_RIP, JC_TB,
  TB_FUNC, TB_HOST_PC2, TB_IR, TB_KEY, TB_RIP,
} from './layout';

// @ts-ignore: decorator
@external("env", "cpu_base")
declare const CPU: i32;

/** u32 of an entry, the runtime's own: JC_LISTED_* and JC_GLOBAL. */
const JC_STATE: usize = 28;
/** The entry's index stands in the list of non-global / global entries. */
const JC_LISTED_LOCAL: u32 = 1;
const JC_LISTED_GLOBAL: u32 = 2;
/** The block's pages are global: the entry survives an address-space switch. */
const JC_GLOBAL: u32 = 4;

/** The second half of the flush lists: two lists of u16 indexes, then two page filters of FILTER_BITS bits. */
const LISTS: u32 = <u32>FLUSH_LISTS + (<u32>FLUSH_LISTS_SIZE >> 1);
const LOCAL_LIST: u32 = LISTS;
const GLOBAL_LIST: u32 = LISTS + JC_ENTRIES * 2;
const LOCAL_FILTER: u32 = LISTS + JC_ENTRIES * 4;
const FILTER_BITS: u32 = 0x10000;
const GLOBAL_FILTER: u32 = LOCAL_FILTER + (FILTER_BITS >> 3);
const FLAT_LIMIT_64: u64 = 0x10; // HF_CS64: no wrap of linear addresses at 4 GiB

let localCount: u32 = 0;
let globalCount: u32 = 0;

// @ts-ignore: decorator
@inline
function cpu(): usize {
  return <usize>CPU;
}

// @ts-ignore: decorator
@inline
function entryOf(index: u32): usize {
  return cpu() + JC_BASE + (<usize>index << JC_ENTRY_SHIFT);
}

// @ts-ignore: decorator
@inline
function indexOf(rip: u64): u32 {
  const low = <u32>rip;
  return (low ^ (low >> JC_BITS)) & (JC_ENTRIES - 1);
}

/** Linear address of a block: CS base (high half of the key) plus RIP, 32 bits wide outside 64-bit code. */
// @ts-ignore: decorator
@inline
export function linearOf(rip: u64, key: u64): u64 {
  const linear = rip + (key >> 32);
  return (key & FLAT_LIMIT_64) != 0 ? linear : linear & 0xffffffff;
}

// @ts-ignore: decorator
@inline
function filterBit(linear: u64): u32 {
  const page = linear >> 12;
  return <u32>(page ^ (page >> 16)) & (FILTER_BITS - 1);
}

function markPage(filter: u32, linear: u64): void {
  const bit = filterBit(linear);
  const at = cpu() + filter + (bit >> 3);
  store<u8>(at, <u8>(<u32>load<u8>(at) | (<u32>1 << (bit & 7))));
}

// @ts-ignore: decorator
@inline
function mayHave(filter: u32, linear: u64): bool {
  const bit = filterBit(linear);
  return (<u32>load<u8>(cpu() + filter + (bit >> 3)) & (<u32>1 << (bit & 7))) != 0;
}

// @ts-ignore: decorator
@inline
function clearEntry(entry: usize): void {
  store<i64>(entry, -1, JC_KEY);
  store<u32>(entry, 0, JC_TB);
}

/** Makes every entry empty, at start-up. */
export function jcInit(): void {
  memory.fill(entryOf(0), 0, JC_ENTRIES << JC_ENTRY_SHIFT);
  for (let i: u32 = 0; i < <u32>JC_ENTRIES; i++) clearEntry(entryOf(i));
  memory.fill(cpu() + LOCAL_FILTER, 0, FILTER_BITS >> 2);
  localCount = 0;
  globalCount = 0;
}

/** Enters a block; `global`: all its pages are global mappings. */
export function jcInsert(tb: usize, global: bool): void {
  const rip = load<u64>(tb, TB_RIP);
  const key = load<u64>(tb, TB_KEY);
  const index = indexOf(rip);
  const entry = entryOf(index);
  let state = load<u32>(entry, JC_STATE) & ~JC_GLOBAL;
  if (global) {
    if ((state & JC_LISTED_GLOBAL) == 0) {
      store<u16>(cpu() + GLOBAL_LIST + (globalCount++ << 1), index);
      state |= JC_LISTED_GLOBAL;
    }
    state |= JC_GLOBAL;
  } else if ((state & JC_LISTED_LOCAL) == 0) {
    store<u16>(cpu() + LOCAL_LIST + (localCount++ << 1), index);
    state |= JC_LISTED_LOCAL;
  }
  const linear = linearOf(rip, key);
  const filter = global ? GLOBAL_FILTER : LOCAL_FILTER;
  markPage(filter, linear);
  if (load<u32>(tb, TB_HOST_PC2) != 0) markPage(filter, linear + 0x1000);
  store<u64>(entry, rip, JC_RIP);
  store<u64>(entry, key, JC_KEY);
  store<u32>(entry, load<u32>(tb, TB_FUNC), JC_FUNC);
  store<u32>(entry, load<u32>(tb, TB_IR), JC_IR);
  store<u32>(entry, <u32>tb, JC_TB);
  store<u32>(entry, state, JC_STATE);
}

/** Drops the block's entry, if it has one. */
export function jc_remove_tb(tb: i32): void {
  const entry = entryOf(indexOf(load<u64>(tb, TB_RIP)));
  if (load<u32>(entry, JC_TB) == <u32>tb) clearEntry(entry);
}

/** Copies the block's table index into its entry, if it has one: after a region was installed or died. */
export function jc_update_func(tb: i32): void {
  const entry = entryOf(indexOf(load<u64>(tb, TB_RIP)));
  if (load<u32>(entry, JC_TB) == <u32>tb) store<u32>(entry, load<u32>(tb, TB_FUNC), JC_FUNC);
}

function flushLocal(): void {
  const list = cpu() + LOCAL_LIST;
  for (let i: u32 = 0; i < localCount; i++) {
    const entry = entryOf(load<u16>(list + (i << 1)));
    const state = load<u32>(entry, JC_STATE);
    if ((state & JC_GLOBAL) == 0) clearEntry(entry);
    store<u32>(entry, state & ~JC_LISTED_LOCAL, JC_STATE);
  }
  if (localCount != 0) memory.fill(cpu() + LOCAL_FILTER, 0, FILTER_BITS >> 3);
  localCount = 0;
}

function flushGlobal(): void {
  const list = cpu() + GLOBAL_LIST;
  for (let i: u32 = 0; i < globalCount; i++) {
    const entry = entryOf(load<u16>(list + (i << 1)));
    const state = load<u32>(entry, JC_STATE);
    if ((state & JC_GLOBAL) != 0) clearEntry(entry);
    store<u32>(entry, state & ~(JC_LISTED_GLOBAL | JC_GLOBAL), JC_STATE);
  }
  if (globalCount != 0) memory.fill(cpu() + GLOBAL_FILTER, 0, FILTER_BITS >> 3);
  globalCount = 0;
}

/** Every mapping may have changed. */
export function jcFlushAll(): void {
  flushLocal();
  flushGlobal();
}

/** Another address space: entries of global pages stay. */
export function jcFlushNonGlobal(): void {
  flushLocal();
}

function flushPageIn(list: usize, count: u32, page: u64): void {
  for (let i: u32 = 0; i < count; i++) {
    const entry = entryOf(load<u16>(list + (i << 1)));
    const tb = load<u32>(entry, JC_TB);
    if (tb == 0) continue;
    const first = linearOf(load<u64>(entry, JC_RIP), load<u64>(entry, JC_KEY)) >> 12;
    if (first == page || (first + 1 == page && load<u32>(tb, TB_HOST_PC2) != 0)) clearEntry(entry);
  }
}

/** One page's mapping changed. Costs two bit tests when no block of that page is in the cache. */
export function jcFlushPage(linear: u64): void {
  if (mayHave(LOCAL_FILTER, linear)) flushPageIn(cpu() + LOCAL_LIST, localCount, linear >> 12);
  if (mayHave(GLOBAL_FILTER, linear)) flushPageIn(cpu() + GLOBAL_LIST, globalCount, linear >> 12);
}

export function jc_flush_all(): void {
  jcFlushAll();
}
