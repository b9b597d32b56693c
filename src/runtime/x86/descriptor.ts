// Segment descriptors in memory (SDM Vol. 3A 3.4.5, 3.5). One descriptor at a time: the last one read is in
// descLo and descHi.

import { AT_ACCESSED, AT_CODE, AT_CONFORMING, AT_S, AT_UNUSABLE, AT_WRITABLE } from './bits';
import { GDT_BASE, GDT_LIMIT, HF_LMA, LDTR } from './layout';
import { ld64, st8, systemInfo } from './memory';
import { raiseSel } from './raise';
import { faulted, get, hflags, segAttr, segBase, segLimit, setSeg } from './state';

export let descLo: u32 = 0;
export let descHi: u32 = 0;
/** Upper half of a 16-byte system descriptor (long mode). */
export let descUpper: u32 = 0;

/** Linear address of the descriptor located last. */
let address: u64 = 0;

/** False if the descriptor lies outside its table. */
function locate(selector: i32, size: i32): bool {
  let limit: u32;
  if ((selector & 4) != 0) {
    if ((segAttr(LDTR) & AT_UNUSABLE) != 0) return false;
    address = segBase(LDTR);
    limit = segLimit(LDTR);
  } else {
    address = get(GDT_BASE);
    limit = <u32>get(GDT_LIMIT);
  }
  const offset = <u32>(selector & 0xfff8);
  if (offset + size - 1 > limit) return false;
  address += offset;
  if ((hflags() & HF_LMA) == 0) address &= 0xffff_ffff;
  return true;
}

/**
 * Reads a descriptor. Outside the table: raises `vector` with the selector (none if negative) and returns
 * false.
 */
export function readDescriptor(selector: i32, vector: i32): bool {
  if (!locate(selector, 8)) {
    if (vector >= 0) raiseSel(vector, selector);
    return false;
  }
  const d = ld64(address, systemInfo());
  descLo = <u32>d;
  descHi = <u32>(d >> 32);
  descUpper = 0;
  return !faulted();
}

/** Reads a system descriptor: 16 bytes in long mode. Bits 12..8 of its last doubleword must be zero. */
export function readSystemDescriptor(selector: i32, vector: i32): bool {
  descUpper = 0;
  if ((hflags() & HF_LMA) == 0) return readDescriptor(selector, vector);
  if (!locate(selector, 16)) {
    if (vector >= 0) raiseSel(vector, selector);
    return false;
  }
  const d = ld64(address, systemInfo());
  const upper = ld64(address + 8, systemInfo());
  if (faulted()) return false;
  descLo = <u32>d;
  descHi = <u32>(d >> 32);
  descUpper = <u32>upper;
  if ((<u32>(upper >> 32) & 0x1f00) == 0) return true;
  if (vector >= 0) raiseSel(vector, selector);
  return false;
}

/** Goes back to a descriptor read earlier. */
export function setDescriptor(lo: u32, hi: u32): void {
  descLo = lo;
  descHi = hi;
  descUpper = 0;
}

/** Attributes as SEG_ATTR keeps them. */
// @ts-ignore: decorator
@inline export function descAttr(): i32 { return <i32>(descHi >> 8) & 0xf0ff; }
// @ts-ignore: decorator
@inline export function descDpl(): i32 { return <i32>(descHi >> 13) & 3; }
// @ts-ignore: decorator
@inline export function descPresent(): bool { return (descHi & 0x8000) != 0; }
export function descBase(): u64 {
  return <u64>((descLo >> 16) | ((descHi & 0xff) << 16) | (descHi & 0xff00_0000)) | (<u64>descUpper << 32);
}
export function descLimit(): u32 {
  const limit = (descLo & 0xffff) | (descHi & 0xf_0000);
  return (descHi & 0x80_0000) != 0 ? (limit << 12) | 0xfff : limit;
}

// @ts-ignore: decorator
@inline export function isCode(attr: i32): bool { return (attr & (AT_S | AT_CODE)) == (AT_S | AT_CODE); }
// @ts-ignore: decorator
@inline export function isConformingCode(attr: i32): bool {
  const bits = AT_S | AT_CODE | AT_CONFORMING;
  return (attr & bits) == bits;
}
// @ts-ignore: decorator
@inline export function isWritableData(attr: i32): bool {
  return (attr & (AT_S | AT_CODE | AT_WRITABLE)) == (AT_S | AT_WRITABLE);
}
/** Data, or code that may be read. */
// @ts-ignore: decorator
@inline export function isReadable(attr: i32): bool {
  return (attr & AT_S) != 0 && (attr & (AT_CODE | AT_WRITABLE)) != AT_CODE;
}

/** Sets the accessed bit of the descriptor just read, in memory and in descHi. */
export function markAccessed(selector: i32): void {
  if ((descHi & (AT_ACCESSED << 8)) != 0) return;
  descHi |= AT_ACCESSED << 8;
  if (locate(selector, 8)) st8(address + 5, descHi >> 8, systemInfo());
}

/** Replaces bits 15..8 of the second doubleword of a descriptor in the GDT (TSS busy bit). */
export function writeTypeByte(selector: i32, value: u32): void {
  if (locate(selector, 8)) st8(address + 5, value, systemInfo());
}

/** Loads a segment register's cache from the descriptor just read. */
export function setSegFromDescriptor(n: i32, selector: i32): void {
  setSeg(n, selector, <u64>(<u32>descBase()), descLimit(), descAttr());
}

/** Not meant to be dereferenced. `dpl`: kept because SS carries the privilege level. */
export function setSegNull(n: i32, selector: i32, dpl: i32): void {
  setSeg(n, selector, 0, 0, AT_UNUSABLE | (dpl << 5));
}
