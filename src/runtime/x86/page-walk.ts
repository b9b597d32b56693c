// Translation of linear addresses (SDM Vol. 3A chapter 4): none, 32-bit, PAE, 4-level and 5-level paging.

import { CR0_PG, CR0_WP, CR4_LA57, CR4_PAE, CR4_PKE, CR4_PKS, CR4_PSE, CR4_SMEP, EFER_NXE } from './bits';
import {
  A20_MASK, CR3, FEATURES, HF_LMA, MMU_KERNEL_SMAP, MMU_USER, PDPTE, PHYS_ADDR_BITS, PKRS, PKRU,
  X86_FEATURE_LA57,
} from './layout';
import { CPU, cr0, cr4, efer, get, hflags } from './state';
import { noteStore, ramFlags, ramHost } from '../softmmu/ram';

export const ACCESS_READ: i32 = 0;
export const ACCESS_WRITE: i32 = 1;
export const ACCESS_CODE: i32 = 2;

export const PROT_READ: i32 = 1;
export const PROT_WRITE: i32 = 2;
export const PROT_CODE: i32 = 4;
export const PROT_GLOBAL: i32 = 8;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const G: u64 = 0x100;
const XD: u64 = 0x8000_0000_0000_0000;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

// Page-fault error code (SDM Vol. 3A 4.7).
const PF_P: i32 = 1;
const PF_W: i32 = 2;
const PF_U: i32 = 4;
const PF_RSVD: i32 = 8;
const PF_I: i32 = 16;
const PF_PK: i32 = 32;

/**
 * Results of `walk`: physical address of the page's byte, PROT_*, log2 of the mapping's size; on failure the
 * error code.
 */
export let walkPhys: u64 = 0;
export let walkProt: i32 = 0;
export let walkShift: i32 = 12;
export let walkError: i32 = 0;

/** Bits of an entry that must be zero at every level, by mode. */
let reserved: u64 = 0;
/** Where the last entry was read from (0: not RAM or read-only), for setting its accessed bit. */
let entryHost: i32 = 0;

function readEntry(paddr: u64, size: i32): u64 {
  const host = ramHost(paddr & get(A20_MASK));
  entryHost = ramFlags != 0 ? 0 : host;
  if (host == 0) return 0;
  return size == 4 ? <u64>load<u32>(host) : load<u64>(host);
}

/**
 * Sets accessed (and dirty) in a paging-structure entry. The flags are in the low byte of both entry sizes.
 */
function markEntry(host: i32, bits: u64): void {
  if (host == 0) return;
  atomic.or<u32>(host, <u32>bits);
  noteStore(host, 4);
}

function fail(error: i32, mmu: i32, access: i32): bool {
  if (access == ACCESS_WRITE) error |= PF_W;
  if (mmu == MMU_USER) error |= PF_U;
  if (access == ACCESS_CODE) {
    const nxOn = (cr4() & CR4_PAE) != 0 && (efer() & EFER_NXE) != 0;
    if (nxOn || (cr4() & CR4_SMEP) != 0) error |= PF_I;
  }
  walkError = error;
  return false;
}

/**
 * Rights of a mapping for an MMU index. `flags`: US and RW accumulated over the levels; nx: any level forbids
 * execution.
 */
function protection(flags: u64, nx: bool, mmu: i32): i32 {
  const user = (flags & US) != 0;
  const writable = (flags & RW) != 0;
  if (mmu == MMU_USER) {
    if (!user) return 0;
    return PROT_READ | (writable ? PROT_WRITE : 0) | (nx ? 0 : PROT_CODE);
  }
  let prot = nx || (user && (cr4() & CR4_SMEP) != 0) ? 0 : PROT_CODE;
  if (user && mmu == MMU_KERNEL_SMAP) return prot;
  prot |= PROT_READ;
  if (writable || (cr0() & CR0_WP) == 0) prot |= PROT_WRITE;
  return prot;
}

/**
 * Rights that the protection key of a page takes away from data accesses (SDM Vol. 3A 4.6.2): with AD all, with WD writes,
 * those of the supervisor only under CR0.WP.
 */
function keyDenies(entry: u64, user: bool, mmu: i32): i32 {
  if ((hflags() & HF_LMA) == 0 || (cr4() & (user ? CR4_PKE : CR4_PKS)) == 0) return 0;
  const rights = get(user ? PKRU : PKRS) >> (((entry >> 59) & 15) << 1);
  if ((rights & 1) != 0) return PROT_READ | PROT_WRITE;
  const writesGuarded = mmu == MMU_USER || (cr0() & CR0_WP) != 0;
  return (rights & 2) != 0 && writesGuarded ? PROT_WRITE : 0;
}

/** Checks rights, updates the leaf entry and fills the results. `host`: where the leaf was read. */
function leaf(
  phys: u64, entry: u64, flags: u64, nx: bool, mmu: i32, access: i32, commit: bool, host: i32,
): bool {
  const denied = keyDenies(entry, (flags & US) != 0, mmu);
  let prot = protection(flags, nx, mmu) & ~denied;
  if ((prot & (1 << access)) == 0) return fail((denied & (1 << access)) != 0 ? PF_P | PF_PK : PF_P, mmu, access);
  const wanted = access == ACCESS_WRITE ? A | D : A;
  if (commit && (entry & wanted) != wanted) markEntry(host, wanted);
  // A clean page stays write-protected here, so that its first store sets the dirty flag.
  if ((entry & D) == 0 && access != ACCESS_WRITE) prot &= ~PROT_WRITE;
  if ((entry & G) != 0 && (cr4() & 0x80) != 0) prot |= PROT_GLOBAL;
  walkPhys = phys & get(A20_MASK);
  walkProt = prot;
  return true;
}

/** Bits from MAXPHYADDR to 51. */
// @ts-ignore: decorator
@inline function highReserved(): u64 { return ADDRESS & ~((<u64>1 << get(PHYS_ADDR_BITS)) - 1); }

/**
 * Translates. mmu: MMU_*, access: ACCESS_*. With `commit` accessed and dirty flags are written.
 * The address is canonical (64-bit) or below 4 GiB.
 */
export function walk(va: u64, mmu: i32, access: i32, commit: bool): bool {
  if ((cr0() & CR0_PG) == 0) {
    walkPhys = va & get(A20_MASK);
    walkProt = PROT_READ | PROT_WRITE | PROT_CODE;
    walkShift = 12;
    return true;
  }
  if ((hflags() & HF_LMA) != 0) {
    reserved = highReserved() | (efer() & EFER_NXE ? 0 : XD);
    return walkLong(va, mmu, access, commit);
  }
  if ((cr4() & CR4_PAE) != 0) return walkPae(va, mmu, access, commit);
  return walk32(va, mmu, access, commit);
}

function walkLong(va: u64, mmu: i32, access: i32, commit: bool): bool {
  let shift: u64 = (cr4() & CR4_LA57) != 0 ? 48 : 39;
  return walk64(va, get(CR3) & ADDRESS, shift, US | RW, mmu, access, commit);
}

/** PAE: the four page-directory pointers were loaded with CR3 (SDM Vol. 3A 4.4.1). */
function walkPae(va: u64, mmu: i32, access: i32, commit: bool): bool {
  const pdpte = get(PDPTE + (<i32>(va >> 30) << 3));
  if ((pdpte & P) == 0) return fail(0, mmu, access);
  // SDM Vol. 3A table 4-9: bits 62:MAXPHYADDR of PAE entries are reserved as well
  reserved = (~((<u64>1 << get(PHYS_ADDR_BITS)) - 1) & ~XD) | (efer() & EFER_NXE ? 0 : XD);
  return walk64(va, pdpte & ADDRESS, 21, US | RW, mmu, access, commit);
}

/** Levels of 512 entries of 8 bytes, from the one that maps `1 << shift` bytes per entry down. */
function walk64(va: u64, table: u64, shift: u64, flags: u64, mmu: i32, access: i32, commit: bool): bool {
  let nx = false;
  for (;;) {
    const entry = readEntry(table + (((va >> shift) & 0x1ff) << 3), 8);
    const host = entryHost;
    if ((entry & P) == 0) return fail(0, mmu, access);
    if ((entry & reserved) != 0) return fail(PF_P | PF_RSVD, mmu, access);
    flags &= entry;
    nx = nx || (entry & XD) != 0;
    if (shift == 12 || (entry & PS) != 0) {
      // Bit 7 is PAT in a PTE, PS in a PDE or PDPTE and reserved above.
      const offset = (<u64>1 << shift) - 1;
      if (shift > 30 || (shift > 12 && (entry & offset & ADDRESS & ~0x1000) != 0)) {
        return fail(PF_P | PF_RSVD, mmu, access);
      }
      walkShift = <i32>shift;
      return leaf((entry & ADDRESS & ~offset) | (va & offset), entry, flags, nx, mmu, access, commit, host);
    }
    if (commit && (entry & A) == 0) markEntry(host, A);
    table = entry & ADDRESS;
    shift -= 9;
  }
  return false;
}

function walk32(va: u64, mmu: i32, access: i32, commit: bool): bool {
  const pde = readEntry((get(CR3) & 0xffff_f000) + (((va >> 22) & 0x3ff) << 2), 4);
  const pdeHost = entryHost;
  if ((pde & P) == 0) return fail(0, mmu, access);
  if ((pde & PS) != 0 && (cr4() & CR4_PSE) != 0) {
    // SDM Vol. 3A table 4-4: PSE-36, bits 20:13 are address bits 39:32; bit 21 is reserved
    if ((pde & 0x20_0000) != 0 || ((((pde >> 13) & 0xff) << 32) & highReserved()) != 0) {
      return fail(PF_P | PF_RSVD, mmu, access);
    }
    walkShift = 22;
    const base = (pde & 0xffc0_0000) | (((pde >> 13) & 0xff) << 32);
    return leaf(base | (va & 0x3f_ffff), pde, pde, false, mmu, access, commit, pdeHost);
  }
  const pte = readEntry((pde & 0xffff_f000) + (((va >> 12) & 0x3ff) << 2), 4);
  const pteHost = entryHost;
  if ((pte & P) == 0) return fail(0, mmu, access);
  walkShift = 12;
  const phys = (pte & 0xffff_f000) | (va & 0xfff);
  if (!leaf(phys, pte, pde & pte, false, mmu, access, commit, pteHost)) return false;
  // The page-directory entry is marked only when the access is allowed, as the 80386 does.
  if (commit && (pde & A) == 0) markEntry(pdeHost, A);
  return true;
}

/**
 * Four PAE page-directory pointers from memory at CR3; false if a present one has reserved bits set (#GP).
 */
export function loadPdptes(cr3: u64): bool {
  const base = cr3 & 0xffff_ffe0;
  const mask = ~((<u64>1 << get(PHYS_ADDR_BITS)) - 1) | 0x1e6;
  for (let i = 0; i < 4; i++) {
    const entry = readEntry(base + (i << 3), 8);
    if ((entry & P) != 0 && (entry & mask) != 0) return false;
  }
  for (let i = 0; i < 4; i++) store<u64>(CPU + PDPTE + (i << 3), readEntry(base + (i << 3), 8));
  return true;
}

/** Linear-address width check (SDM Vol. 1 3.3.7.1). */
export function isCanonical(va: u64): bool {
  const shift: i64 = (cr4() & CR4_LA57) != 0 ? 7 : 16;
  return (<u64>(((<i64>va) << shift) >> shift)) == va;
}

/**
 * Bases in MSRs and descriptor tables are checked against the width that the processor supports, whatever the paging mode
 * (SDM Vol. 3A 4.5.2).
 */
export function isCanonicalBase(va: u64): bool {
  const shift: i64 = (get(FEATURES) & X86_FEATURE_LA57) != 0 ? 7 : 16;
  return (<u64>(((<i64>va) << shift) >> shift)) == va;
}
