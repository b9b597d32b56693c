// Guest-physical memory as the runtime sees it: RAM and ROM by the map the host side keeps, everything else
// is MMIO.

import {
  CODE_MASK, PAGE_CODE, PAGE_DIRTY, PAGE_FLAGS, PAGE_LOG, RAM_MAP_COUNT, RAM_MAP_FLAGS, RAM_MAP_HOST,
  RAM_MAP_ROWS, RAM_MAP_SIZE, RAM_MAP_START,
} from '../tcg/layout';
import { code_written, mmio_read, mmio_write, rom_write } from './host';

/** RAM_MAP_* flags of the row `ramHost` found last. */
export let ramFlags: i32 = 0;
let cachedStart: u64 = 1;
let cachedSize: u64 = 0;
let cachedHost: i32 = 0;
let cachedFlags: i32 = 0;

/** To be called when the map may have changed. */
export function ramMapChanged(): void {
  cachedStart = 1;
  cachedSize = 0;
}

/** Memory address of a physical address, or 0 where there is neither RAM nor ROM. */
export function ramHost(paddr: u64): i32 {
  if (paddr - cachedStart < cachedSize) {
    ramFlags = cachedFlags;
    return cachedHost + <i32>(paddr - cachedStart);
  }
  return ramSearch(paddr);
}

function ramSearch(paddr: u64): i32 {
  const address = <f64>paddr;
  let row = RAM_MAP_ROWS;
  for (let i = load<i32>(RAM_MAP_COUNT); i > 0; i--, row += 32) {
    const start = load<f64>(row, RAM_MAP_START);
    const size = load<f64>(row, RAM_MAP_SIZE);
    if (address < start || address >= start + size) continue;
    cachedStart = <u64>start;
    cachedSize = <u64>size;
    cachedHost = load<i32>(row, RAM_MAP_HOST);
    cachedFlags = ramFlags = load<i32>(row, RAM_MAP_FLAGS);
    return cachedHost + <i32>(paddr - cachedStart);
  }
  return 0;
}

/** Little-endian MMIO read of 1, 2, 4 or 8 bytes, zero-extended. */
export function mmioLoad(paddr: u64, size: i32): u64 {
  const lo = <u64>(<u32>mmio_read(<f64>paddr, min(size, 4)));
  if (size < 4) return lo & ((<u64>1 << (size << 3)) - 1);
  if (size == 4) return lo;
  return lo | (<u64>(<u32>mmio_read(<f64>(paddr + 4), 4)) << 32);
}

/** A store to ROM changes nothing but the state of flash memory. */
export function romStore(host: i32, size: i32, value: u64): void {
  rom_write(host, min(size, 4), <i32>value);
  if (size == 8) rom_write(host + 4, 4, <i32>(value >> 32));
}

export function mmioStore(paddr: u64, size: i32, value: u64): void {
  mmio_write(<f64>paddr, min(size, 4), <i32>value);
  if (size == 8) mmio_write(<f64>(paddr + 4), 4, <i32>(value >> 32));
}

/** True when any of the bytes may hold translated code. */
export function holdsCode(hostAddress: i32, size: i32): bool {
  const mask = load<u64>(CODE_MASK + ((<u32>hostAddress >> 12) << 3));
  if (mask == 0) return false;
  const first = <u32>(hostAddress & 0xfff) >> 6;
  const last = min<u32>(<u32>((hostAddress & 0xfff) + size - 1) >> 6, 63);
  // bits first..last
  return (mask >> first) << (63 - last + first) != 0;
}

/** PAGE_* bits that keep stores to the page on the slow path. */
// @ts-ignore: decorator
@inline export function storeWatched(hostAddress: i32): bool {
  return (load<u8>(PAGE_FLAGS + (<u32>hostAddress >> 12)) & (PAGE_CODE | PAGE_LOG)) != 0;
}

/** Notes a store for the dirty log. */
// @ts-ignore: decorator
@inline export function markDirty(hostAddress: i32): void {
  const at = PAGE_FLAGS + (<u32>hostAddress >> 12);
  const flags = load<u8>(at);
  if (flags & PAGE_LOG) store<u8>(at, (flags & ~PAGE_LOG) | PAGE_DIRTY);
}

/** Makes a store of the processor's own (accessed/dirty bits) known to dirty log and translator. */
export function noteStore(hostAddress: i32, size: i32): void {
  if (!storeWatched(hostAddress)) return;
  if (holdsCode(hostAddress, size)) code_written(hostAddress, size);
  markDirty(hostAddress);
}
