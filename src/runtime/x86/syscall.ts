// SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS (SDM Vol. 2B, AMD64 APM Vol. 3).

import { AT_DB, AT_G, AT_L, AT_P, AT_S, CR0_PE, EFER_SCE, FL_IF, FL_RF, FL_TF, FL_VM } from './bits';
import { vendorIsIntel } from './cpuid';
import { raiseStep } from './debug';
import { rflags, setFlags } from './flags';
import { updateHflags } from './hflags';
import {
  CS, EFLAGS, GS, HF_CS64, HF_LMA, HF_PE, KERNEL_GS_BASE, MSR_CSTAR, MSR_FMASK, MSR_LSTAR, MSR_STAR, RCX, RDX,
  RIP, RSP, SEG_BASE, SS, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP,
} from './layout';
import { isCanonical } from './page-walk';
import { raiseGp, raiseUd } from './raise';
import { CPU, cpl, cr0, efer, eflags, get, hflags, reg, segAt, set, setReg, setSeg } from './state';

const R11: i32 = 11;
/** Bits of R11 that SYSRET loads (SDM Vol. 2B SYSRET). */
const SYSRET_FLAGS: u64 = 0x3c_7fd7;

/** Flat code at a level, accessed. */
function flatCode(selector: i32, level: i32, long: bool): void {
  const attr = AT_P | AT_S | 0xb | AT_G | (level << 5) | (long ? AT_L : AT_DB);
  setSeg(CS, selector, 0, 0xffff_ffff, attr);
}
function flatStack(selector: i32, level: i32): void {
  setSeg(SS, selector, 0, 0xffff_ffff, AT_P | AT_S | 3 | AT_G | AT_DB | (level << 5));
}

/** SYSCALL and SYSRET trap if TF is set behind them, whatever it was before. */
function trapIfStepping(): void {
  if ((eflags() & FL_TF) != 0) raiseStep();
}

export function syscall(next: i64): void {
  const h = hflags();
  if ((efer() & EFER_SCE) == 0 || (h & HF_PE) == 0 || ((h & HF_CS64) == 0 && vendorIsIntel())) {
    raiseUd();
    return;
  }
  const star = get(MSR_STAR);
  const selector = <i32>(star >> 32) & 0xfffc;
  set(RCX, next);
  if ((h & HF_LMA) != 0) {
    const flags = rflags() & ~FL_RF;
    setReg(R11, flags);
    setFlags(flags & ~get(MSR_FMASK));
    set(RIP, (h & HF_CS64) != 0 ? get(MSR_LSTAR) : get(MSR_CSTAR));
    flatCode(selector, 0, true);
  } else {
    set(EFLAGS, eflags() & ~(FL_VM | FL_IF | FL_RF));
    set(RIP, star & 0xffff_ffff);
    flatCode(selector, 0, false);
  }
  flatStack(selector + 8, 0);
  updateHflags();
  trapIfStepping();
}

export function sysret(opsize: i64): void {
  const h = hflags();
  if ((efer() & EFER_SCE) == 0 || (h & HF_PE) == 0 || ((h & HF_CS64) == 0 && vendorIsIntel())) {
    raiseUd();
    return;
  }
  const target = get(RCX);
  if (cpl() != 0 || (opsize == 8 && !isCanonical(target))) {
    raiseGp(0);
    return;
  }
  const base = <i32>(get(MSR_STAR) >> 48);
  if (opsize == 8) {
    flatCode((base + 16) | 3, 3, true);
    set(RIP, target);
  } else {
    flatCode(base | 3, 3, false);
    set(RIP, target & 0xffff_ffff);
  }
  flatStack((base + 8) | 3, 3);
  if ((h & HF_LMA) != 0) setFlags(reg(R11) & SYSRET_FLAGS);
  else set(EFLAGS, eflags() | FL_IF);
  updateHflags();
  trapIfStepping();
}

export function sysenter(): void {
  const long = (hflags() & HF_LMA) != 0;
  // AMD64 APM Vol. 3: not in long mode
  if (long && !vendorIsIntel()) {
    raiseUd();
    return;
  }
  const selector = <i32>get(SYSENTER_CS) & 0xfffc;
  if ((cr0() & CR0_PE) == 0 || selector == 0) {
    raiseGp(0);
    return;
  }
  set(EFLAGS, eflags() & ~(FL_VM | FL_IF | FL_RF));
  flatCode(selector, 0, long);
  flatStack(selector + 8, 0);
  set(RSP, long ? get(SYSENTER_ESP) : get(SYSENTER_ESP) & 0xffff_ffff);
  set(RIP, long ? get(SYSENTER_EIP) : get(SYSENTER_EIP) & 0xffff_ffff);
  updateHflags();
}

export function sysexit(opsize: i64): void {
  if ((hflags() & HF_LMA) != 0 && !vendorIsIntel()) {
    raiseUd();
    return;
  }
  const selector = <i32>get(SYSENTER_CS) & 0xfffc;
  const wide = opsize == 8;
  if (selector == 0 || cpl() != 0 || (wide && (!isCanonical(get(RCX)) || !isCanonical(get(RDX))))) {
    raiseGp(0);
    return;
  }
  flatCode((selector + (wide ? 32 : 16)) | 3, 3, wide);
  flatStack((selector + (wide ? 40 : 24)) | 3, 3);
  set(RSP, wide ? get(RCX) : get(RCX) & 0xffff_ffff);
  set(RIP, wide ? get(RDX) : get(RDX) & 0xffff_ffff);
  updateHflags();
}

export function swapgs(): void {
  const at = segAt(GS);
  const base = load<u64>(at, SEG_BASE);
  store<u64>(at, get(KERNEL_GS_BASE), SEG_BASE);
  store<u64>(CPU, base, KERNEL_GS_BASE);
}
