// Info bits of a memory access; the low ones as in src/ir/ops.ts (MEM_*).

import { MMU_USER, MMU_USER_ALIGN } from '../x86/layout';

export const MEM_MMU_MASK: i32 = 0x3;
/** Read that is checked as a write. */
export const MEM_RMW: i32 = 0x4;
/** Stack access: a non-canonical address raises #SS. */
export const MEM_STACK: i32 = 0x8;
/** 16-byte accesses: #GP(0) unless aligned. */
export const MEM_ALIGN: i32 = 0x10;
/** The processor's own access to a table: the address does not wrap at 4 GiB in long mode. */
export const MEM_SYSTEM: i32 = 0x20;

/** The soft TLB of an access: the one of MMU_USER_ALIGN is never filled. */
// @ts-ignore: decorator
@inline export function tableOf(info: i32): i32 {
  const mmu = info & MEM_MMU_MASK;
  return mmu == MMU_USER_ALIGN ? MMU_USER : mmu;
}
