// The mode half of the block key: everything about the processor's state that translation depends on.

import {
  AT_CONFORMING, AT_CODE, AT_DB, AT_L, AT_UNUSABLE, AT_WRITABLE, CR0_AM, CR0_EM, CR0_MP, CR0_PE, CR0_TS, CR4_OSFXSR,
  CR4_OSXSAVE, CR4_PVI, CR4_SMAP, CR4_UMIP, CR4_VME, EFER_LMA, FL_AC, FL_IF, FL_IOPL, FL_RF, FL_TF, FL_VM,
} from './bits';
import {
  CS, CS_BASE32, DR7, DS, ES, EXIT_REQUEST, HFLAGS, HF_AVX, HF_CS32, HF_CS64, HF_CS_FLAT, HF_DR7, HF_EM, HF_FLAT,
  HF_IOPL_SHIFT, HF_LMA, HF_MMU_SHIFT, HF_MP, HF_OSFXSR, HF_OSXSAVE, HF_PE, HF_RF, HF_SHADOW, HF_SS32, HF_TF,
  HF_TS, HF_UMIP, HF_VM, HF_VME, INTERRUPT_HARD, INTERRUPT_INIT, INTERRUPT_NMI, INTERRUPT_PENDING,
  INTERRUPT_SIPI, INTERRUPT_SMI, MMU_KERNEL, MMU_KERNEL_SMAP, MMU_USER, MMU_USER_ALIGN, NMI_BLOCKED, SEG_ATTR, SEG_BASE,
  SEG_LIMIT, SHADOW, SMM, SS, TURN_STEPS, XCR0,
} from './layout';
import { jcFlushAll } from '../softmmu/hooks';
import { REQUEST_YIELD } from '../tcg/layout';
import { CPU, cr0, cr4, efer, eflags, get, segAt, segAttr, segBase, segLimit } from './state';

/** Base 0, limit 4 GiB - 1. */
// @ts-ignore: decorator
@inline function spansAll(s: i32): bool {
  return load<u64>(s, SEG_BASE) == 0 && load<u32>(s, SEG_LIMIT) == 0xffff_ffff;
}

/** A present, writable, expand-up data segment that spans everything. */
function isFlatData(n: i32): bool {
  const s = segAt(n);
  const wrong = AT_UNUSABLE | AT_CODE | AT_CONFORMING;
  return spansAll(s) && (load<i32>(s, SEG_ATTR) & (wrong | AT_WRITABLE)) == AT_WRITABLE;
}

/** Privilege level: that of SS; 3 in virtual-8086 mode, 0 in real mode. */
function currentCpl(): i32 {
  if ((cr0() & CR0_PE) == 0) return 0;
  return (eflags() & FL_VM) != 0 ? 3 : (segAttr(SS) >> 5) & 3;
}

/** Per base (by a hash): the highest limit that blocks have been entered into the jump cache under. */
const LIMITS_COUNT: u32 = 64;
/** Pairs of base and limit. */
const LIMITS: usize = memory.data(64 * 8);

/** The jump cache's key has the base of CS only: with a lower limit than before its blocks may reach too far. */
function noteCodeLimit(base: u32, limit: u32): void {
  const row = LIMITS + <usize>(((base ^ (base >> 6) ^ (base >> 12)) & (LIMITS_COUNT - 1)) << 3);
  const known = load<u32>(row) == base;
  const highest = load<u32>(row, 4);
  if (known && limit == highest) return;
  if (known && limit < highest) jcFlushAll();
  store<u32>(row, base);
  store<u32>(row, limit, 4);
}

/** Recomputes the KEY slot and asks for an exit when an interrupt has become deliverable. */
export function updateHflags(): void {
  const c0 = cr0();
  const c4 = cr4();
  const fl = eflags();
  const level = currentCpl();
  const csAttr = segAttr(CS);
  const lma = (efer() & EFER_LMA) != 0;
  let h = level | (<i32>(fl & FL_IOPL) << (HF_IOPL_SHIFT - 12));
  let csBase: u32 = 0;
  if (lma && (csAttr & AT_L) != 0) {
    h |= HF_LMA | HF_CS64 | HF_CS32 | HF_SS32 | HF_FLAT | HF_CS_FLAT;
  } else {
    if (lma) h |= HF_LMA;
    if (csAttr & AT_DB) h |= HF_CS32;
    if (segAttr(SS) & AT_DB) h |= HF_SS32;
    if (isFlatData(DS) && isFlatData(SS) && isFlatData(ES)) h |= HF_FLAT;
    csBase = <u32>segBase(CS);
    if (csBase == 0 && segLimit(CS) == 0xffff_ffff) h |= HF_CS_FLAT;
    else noteCodeLimit(csBase, segLimit(CS));
  }
  if (c0 & CR0_PE) h |= HF_PE;
  if (fl & FL_VM) h |= HF_VM;
  if (fl & FL_TF) h |= HF_TF;
  if (load<i32>(CPU, SHADOW) != 0) h |= HF_SHADOW;
  if (c0 & CR0_EM) h |= HF_EM;
  if (c0 & CR0_TS) h |= HF_TS;
  if (c0 & CR0_MP) h |= HF_MP;
  if (c4 & CR4_OSFXSR) h |= HF_OSFXSR;
  if (c4 & CR4_OSXSAVE) {
    h |= HF_OSXSAVE;
    if ((get(XCR0) & 6) == 6) h |= HF_AVX;
  }
  if (c4 & CR4_UMIP) h |= HF_UMIP;
  if (c4 & (CR4_VME | CR4_PVI)) h |= HF_VME;
  if ((load<i32>(CPU, DR7) & 0xff) != 0) {
    h |= HF_DR7;
    if (fl & FL_RF) h |= HF_RF;
  }
  const guarded = (c4 & CR4_SMAP) != 0 && (fl & FL_AC) == 0;
  const aligned = (c0 & CR0_AM) != 0 && (fl & FL_AC) != 0;
  const userMmu = aligned ? MMU_USER_ALIGN : MMU_USER;
  const mmu = level == 3 ? userMmu : guarded ? MMU_KERNEL_SMAP : MMU_KERNEL;
  store<i32>(CPU, h | (mmu << HF_MMU_SHIFT), HFLAGS);
  store<u32>(CPU, csBase, CS_BASE32);
  pollInterrupts();
}

/**
 * Where a handler or a critical section ends: lets another vCPU have its turn that waits in a loop, most likely for what was just
 * done.
 */
export function offerTurn(): void {
  const steps = load<i32>(CPU, TURN_STEPS);
  if (steps == 0) return;
  store<i32>(CPU, steps - 1, TURN_STEPS);
  if (steps == 1) atomic.or<i32>(CPU + EXIT_REQUEST, REQUEST_YIELD);
}

/** Asks translated code to look at interrupts if one can be delivered now. */
// @ts-ignore: decorator
@inline export function pollInterrupts(): void {
  if (load<i32>(CPU, INTERRUPT_PENDING) != 0 && interruptWindow() != 0) atomic.or<i32>(CPU + EXIT_REQUEST, 1);
}

/** INTERRUPT_* bits that are pending and deliverable at this instruction boundary (SDM Vol. 3A 6.8, 6.9). */
export function interruptWindow(): i32 {
  const pending = load<i32>(CPU, INTERRUPT_PENDING);
  const shadow = load<i32>(CPU, SHADOW);
  // SDM Vol. 3C 32.3: SMM blocks SMIs and INIT
  let window = load<i32>(CPU, SMM) == 0 ? pending & (INTERRUPT_INIT | INTERRUPT_SIPI) : 0;
  if (shadow != 0) return window;
  if (load<i32>(CPU, SMM) == 0) window |= pending & INTERRUPT_SMI;
  if ((eflags() & FL_IF) != 0) window |= pending & INTERRUPT_HARD;
  if (get(NMI_BLOCKED) == 0) window |= pending & INTERRUPT_NMI;
  return window;
}
