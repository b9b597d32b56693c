/**
 * The jump cache: a direct-mapped table from (RIP, block key) to translated block, probed inline by translated code. An entry
 * exists only while the block's pages are mapped as they were when it was entered, so every change of a mapping drops
 * entries. Lists of touched entries make a flush cost what was filled.
 */
import {
  FLUSH_LISTS, FLUSH_LISTS_SIZE, JC_BASE, JC_BITS, JC_ENTRIES, JC_ENTRY_SHIFT, JC_STATE, TB_HOST_PC2, TB_KEY, TB_NONE,
  TB_NO_KEY, TB_RIP,
} from './layout';

// @ts-ignore: decorator
@external("env", "cpu_base")
declare const CPU: i32;

// State of an entry.
/** The entry's index stands in the list of non-global / global entries. */
const JC_LISTED_LOCAL: u8 = 1;
const JC_LISTED_GLOBAL: u8 = 2;
/** The block's pages are global: the entry survives an address-space switch. */
const JC_GLOBAL: u8 = 4;

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
function stateOf(index: u32): usize {
  return cpu() + JC_STATE + index;
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

/** Makes every entry empty, at start-up. */
export function jcInit(): void {
  store<i64>(TB_NONE, TB_NO_KEY, TB_KEY);
  memory.fill(entryOf(0), <u8>TB_NONE, JC_ENTRIES << JC_ENTRY_SHIFT);
  memory.fill(stateOf(0), 0, JC_ENTRIES);
  memory.fill(cpu() + LOCAL_FILTER, 0, FILTER_BITS >> 2);
  localCount = 0;
  globalCount = 0;
}

/** Enters a block; `global`: all its pages are global mappings. */
export function jcInsert(tb: usize, global: bool): void {
  const rip = load<u64>(tb, TB_RIP);
  const key = load<u64>(tb, TB_KEY);
  const index = indexOf(rip);
  let state = load<u8>(stateOf(index)) & ~JC_GLOBAL;
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
  store<u32>(entryOf(index), <u32>tb);
  store<u8>(stateOf(index), state);
}

/** Drops the block's entry, if it has one. */
export function jc_remove_tb(tb: i32): void {
  const entry = entryOf(indexOf(load<u64>(tb, TB_RIP)));
  if (load<u32>(entry) == <u32>tb) store<u32>(entry, TB_NONE);
}

function flushLocal(): void {
  const list = cpu() + LOCAL_LIST;
  for (let i: u32 = 0; i < localCount; i++) {
    const index = load<u16>(list + (i << 1));
    const state = load<u8>(stateOf(index));
    if ((state & JC_GLOBAL) == 0) store<u32>(entryOf(index), TB_NONE);
    store<u8>(stateOf(index), state & ~JC_LISTED_LOCAL);
  }
  if (localCount != 0) memory.fill(cpu() + LOCAL_FILTER, 0, FILTER_BITS >> 3);
  localCount = 0;
}

function flushGlobal(): void {
  const list = cpu() + GLOBAL_LIST;
  for (let i: u32 = 0; i < globalCount; i++) {
    const index = load<u16>(list + (i << 1));
    const state = load<u8>(stateOf(index));
    if ((state & JC_GLOBAL) != 0) store<u32>(entryOf(index), TB_NONE);
    store<u8>(stateOf(index), state & ~(JC_LISTED_GLOBAL | JC_GLOBAL));
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
    const tb = load<u32>(entry);
    if (tb == TB_NONE) continue;
    const first = linearOf(load<u64>(tb, TB_RIP), load<u64>(tb, TB_KEY)) >> 12;
    if (first == page || (first + 1 == page && load<u32>(tb, TB_HOST_PC2) != 0)) store<u32>(entry, TB_NONE);
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
