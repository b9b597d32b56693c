// Power-on and INIT state (SDM Vol. 3A table 9-1).

import { AT_P, AT_S } from './bits';
import { setFlags } from './flags';
import { updateHflags } from './hflags';
import {
  A20_MASK, CPUID_COUNT, CPUID_TABLE, CPUID_TABLE_ENTRIES, CR0, CR2, CR3, CR4, CS, DR0, DR6, DR7, DR_PENDING,
  EFER, ES, EXC_NESTED, EXIT_REASON, FAULT, FERR, FPR, FPU_CW, FPU_SW, FPU_TAGS, FPU_TOP, FP_FAST, GDT_BASE,
  GDT_LIMIT, GS, HALTED, IDT_BASE, IDT_LIMIT, INTERRUPT_PENDING, KERNEL_GS_BASE, LDTR, MISC_ENABLE, MSR_CSTAR,
  MSR_FMASK, MSR_LSTAR, MSR_PAT, MSR_STAR, MSR_STORE, MXCSR, NMI_BLOCKED, PHYS_ADDR_BITS, PKRS, PKRU, RDX, RESTORE, RIP,
  SCRATCH, SHADOW, SMBASE, SMM, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP, TR, TSC_ADJUST, TSC_AUX, TSC_OFFSET, XCR0, XMM,
  YMM_HI,
} from './layout';
import { CPU, get, set, setReg, setSeg } from './state';
import { read_tsc } from '../softmmu/host';
import { tlbInit, tlb_flush } from '../softmmu/tlb';
import { jcInit } from '../tcg/jump-cache';

/** EAX of CPUID leaf 1: what EDX holds after reset. */
function signature(): u64 {
  for (let i = 0; i < CPUID_TABLE_ENTRIES; i++) {
    const row = CPU + CPUID_TABLE + (i << 5);
    if (i < <i32>get(CPUID_COUNT) && load<u32>(row) == 1) return load<u32>(row, 8);
  }
  return 0x600;
}

/** What INIT and power-on have in common. */
function resetCore(): void {
  for (let n = 0; n < 16; n++) setReg(n, 0);
  set(RDX, signature());
  setFlags(2);
  set(RIP, 0xfff0);
  for (let n = ES; n <= GS; n++) setSeg(n, 0, 0, 0xffff, AT_P | AT_S | 3);
  setSeg(CS, 0xf000, 0xffff_0000, 0xffff, AT_P | AT_S | 0xb);
  setSeg(LDTR, 0, 0, 0xffff, AT_P | 2);
  setSeg(TR, 0, 0, 0xffff, AT_P | 11);
  set(GDT_BASE, 0);
  set(GDT_LIMIT, 0xffff);
  set(IDT_BASE, 0);
  set(IDT_LIMIT, 0xffff);
  set(CR2, 0);
  set(CR3, 0);
  set(CR4, 0);
  set(EFER, 0);
  for (let i = 0; i < 4; i++) set(DR0 + (i << 3), 0);
  set(DR6, 0xffff_0ff0);
  set(DR7, 0x400);
  set(DR_PENDING, 0);
  set(SHADOW, 0);
  set(NMI_BLOCKED, 0);
  set(HALTED, 0);
  set(FAULT, 0);
  set(RESTORE, 0);
  set(EXIT_REASON, 0);
  store<i64>(CPU, -1, EXC_NESTED);
}

/** Power-on reset: everything, CPU model excepted. */
export function cpu_reset(): void {
  resetCore();
  set(CR0, 0x6000_0010);
  set(INTERRUPT_PENDING, 0);
  if (get(PHYS_ADDR_BITS) == 0) set(PHYS_ADDR_BITS, 40);
  store<i64>(CPU, -1, A20_MASK);
  set(SMM, 0);
  set(FERR, 0);
  set(SMBASE, 0x3_0000);
  set(MSR_STAR, 0);
  set(MSR_LSTAR, 0);
  set(MSR_CSTAR, 0);
  set(MSR_FMASK, 0);
  set(KERNEL_GS_BASE, 0);
  set(SYSENTER_CS, 0);
  set(SYSENTER_ESP, 0);
  set(SYSENTER_EIP, 0);
  set(MSR_PAT, 0x0007_0406_0007_0406);
  set(TSC_AUX, 0);
  set(TSC_ADJUST, 0);
  set(TSC_OFFSET, <u64>(-<i64>read_tsc()));
  set(MISC_ENABLE, 1);
  set(XCR0, 1);
  set(PKRU, 0);
  set(PKRS, 0);
  memory.fill(CPU + MSR_STORE, 0, 128 * 8);
  memory.fill(CPU + XMM, 0, YMM_HI + 0x200 - XMM);
  set(MXCSR, 0x1f80);
  set(FP_FAST, 0);
  memory.fill(CPU + FPR, 0, 128);
  set(FPU_CW, 0x40);
  set(FPU_SW, 0);
  set(FPU_TOP, 0);
  set(FPU_TAGS, 0);
  memory.fill(CPU + FPU_TAGS + 8, 0, SCRATCH - FPU_TAGS - 8);
  tlbInit();
  jcInit();
  updateHflags();
}

/** INIT: keeps caches, the x87/SSE state and MSRs; CR0.CD and CR0.NW too. */
export function cpu_init(): void {
  const cached = get(CR0) & 0x6000_0000;
  resetCore();
  set(CR0, cached | 0x10);
  tlb_flush();
  updateHflags();
}
