// Model-specific registers (SDM Vol. 4 chapter 2).

import { currentTsc, vendorIsIntel } from './cpuid';
import { writeEfer } from './control';
import {
  EFER, FEATURES, FS, GS, KERNEL_GS_BASE, MISC_ENABLE, MSR_CSTAR, MSR_FMASK, MSR_LSTAR, MSR_PAT, MSR_STAR,
  MSR_STORE, PHYS_ADDR_BITS, PKRS, SCRATCH, SEG_BASE, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP, TSC_ADJUST, TSC_AUX, TSC_OFFSET,
  X86_FEATURE_ARCH_CAP, X86_FEATURE_LM, X86_FEATURE_PKS, X86_FEATURE_RDTSCP, X86_FEATURE_SPEC_CTRL, X86_FEATURE_TSC_ADJUST,
  X86_FEATURE_XSAVES,
} from './layout';
import { isCanonicalBase } from './page-walk';
import { raiseGp } from './raise';
import { CPU, get, segAt, set } from './state';
import { tlb_flush } from '../softmmu/tlb';
import { apic_read_msr, apic_write_msr, guest_error, read_tsc } from '../softmmu/host';

const IA32_PLATFORM_ID: i32 = 0x17;
const IA32_TSC: i32 = 0x10;
const IA32_APIC_BASE: i32 = 0x1b;
const IA32_FEATURE_CONTROL: i32 = 0x3a;
const IA32_TSC_ADJUST: i32 = 0x3b;
const IA32_BIOS_UPDT_TRIG: i32 = 0x79;
const IA32_BIOS_SIGN_ID: i32 = 0x8b;
const MSR_PLATFORM_INFO: i32 = 0xce;
const IA32_SPEC_CTRL: i32 = 0x48;
const IA32_PRED_CMD: i32 = 0x49;
const IA32_MTRRCAP: i32 = 0xfe;
const IA32_ARCH_CAPABILITIES: i32 = 0x10a;
const IA32_SYSENTER_CS: i32 = 0x174;
const IA32_SYSENTER_ESP: i32 = 0x175;
const IA32_SYSENTER_EIP: i32 = 0x176;
const IA32_MCG_CAP: i32 = 0x179;
const IA32_MCG_STATUS: i32 = 0x17a;
const IA32_MCG_CTL: i32 = 0x17b;
const IA32_MISC_ENABLE: i32 = 0x1a0;
const IA32_DEBUGCTL: i32 = 0x1d9;
const IA32_PAT: i32 = 0x277;
const IA32_TSC_DEADLINE: i32 = 0x6e0;
const IA32_PKRS: i32 = 0x6e1;
const IA32_XSS: i32 = 0xda0;
const IA32_EFER: i32 = <i32>0xc000_0080;
const IA32_STAR: i32 = <i32>0xc000_0081;
const IA32_LSTAR: i32 = <i32>0xc000_0082;
const IA32_CSTAR: i32 = <i32>0xc000_0083;
const IA32_FMASK: i32 = <i32>0xc000_0084;
const IA32_FS_BASE: i32 = <i32>0xc000_0100;
const IA32_GS_BASE: i32 = <i32>0xc000_0101;
const IA32_KERNEL_GS_BASE: i32 = <i32>0xc000_0102;
const IA32_TSC_AUX: i32 = <i32>0xc000_0103;

/** Machine-check banks offered. */
const MC_BANKS: i32 = 10;
/** Bank count, MCG_CTL present. */
const MCG_CAP_VALUE: u64 = <u64>MC_BANKS | 0x100;
/** 8 variable ranges, fixed ranges, write combining. */
const MTRRCAP_VALUE: u64 = 0x508;
/**
 * Translated code has no guest state that speculation could reach past a fault or a branch predictor shared
 * with other privilege levels: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO,
 * SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO (SDM Vol. 4 table 2-2).
 */
const ARCH_CAPABILITIES_VALUE: u64 = 0x4000_0000_0d10_e17b;

/** Index in MSR_STORE of an MSR that only keeps its value, -1 if it is not one of those. */
function storeIndex(index: i32): i32 {
  if (index >= 0x200 && index <= 0x20f) return index - 0x200;
  if (index >= 0x268 && index <= 0x26f) return 16 + index - 0x268;
  if (index >= 0x280 && index < 0x280 + MC_BANKS) return 80 + index - 0x280;
  if (index >= 0x400 && index < 0x400 + 4 * MC_BANKS) return 40 + index - 0x400;
  switch (index) {
    case 0x250: return 24;
    case 0x258: return 25;
    case 0x259: return 26;
    case 0x2ff: return 27;
    case IA32_MCG_STATUS: return 28;
    case IA32_MCG_CTL: return 29;
    case IA32_DEBUGCTL: return 30;
    case IA32_SPEC_CTRL: return has(X86_FEATURE_SPEC_CTRL) ? 31 : -1;
    default: return amdIndex(index);
  }
}

/** AMD registers that kernels read and write on processors of that vendor (AMD64 APM Vol. 2 appendix A). */
function amdIndex(index: i32): i32 {
  if (vendorIsIntel()) return -1;
  switch (<u32>index) {
    case 0xc001_0010: return 96; // SYSCFG
    case 0xc001_0015: return 97; // HWCR
    case 0xc001_001f: return 98; // NB_CFG
    case 0xc001_0055: return 99; // interrupt pending and CMP-halt
    case 0xc001_1029: return 100; // DE_CFG
    case 0xc001_1020: return 101; // LS_CFG
    case 0xc001_1022: return 102; // DC_CFG
    case 0xc001_1023: return 103; // BU_CFG
    case 0xc001_001a: return 104; // TOP_MEM
    case 0xc001_001d: return 105; // TOP_MEM2
    case 0xc001_0058: return 106; // MMIO configuration base
    case 0xc001_0117: return 107; // VM_HSAVE_PA
    case 0xc001_0114: return 108; // VM_CR
    default: return -1;
  }
}

/** PerfEvtSeln and PerfCtrn exist on every processor of AMD's (APM Vol. 2 13.2.1); nothing is counted here. */
function isAmdCounter(index: i32): bool {
  return (<u32>index & ~7) == 0xc001_0000 && !vendorIsIntel();
}

// @ts-ignore: decorator
@inline function isApicMsr(index: i32): bool {
  return index == IA32_APIC_BASE || index == IA32_TSC_DEADLINE || (index & ~0xff) == 0x800;
}

function unknown(index: i32): u64 {
  guest_error(1, <f64>(<u32>index));
  raiseGp(0);
  return 0;
}

// @ts-ignore: decorator
@inline function has(feature: u64): bool { return (get(FEATURES) & feature) != 0; }

export function rdmsr(ecx: i64): i64 {
  const index = <i32>ecx;
  switch (index) {
    case IA32_FS_BASE: return load<u64>(segAt(FS), SEG_BASE);
    case IA32_GS_BASE: return load<u64>(segAt(GS), SEG_BASE);
    case IA32_KERNEL_GS_BASE: return get(KERNEL_GS_BASE);
    case IA32_TSC: return currentTsc();
    case IA32_EFER: return get(EFER);
    case IA32_STAR: return get(MSR_STAR);
    case IA32_LSTAR: return get(MSR_LSTAR);
    case IA32_CSTAR: return get(MSR_CSTAR);
    case IA32_FMASK: return get(MSR_FMASK);
    case IA32_TSC_AUX: return has(X86_FEATURE_RDTSCP) ? get(TSC_AUX) : unknown(index);
    case IA32_SYSENTER_CS: return get(SYSENTER_CS);
    case IA32_SYSENTER_ESP: return get(SYSENTER_ESP);
    case IA32_SYSENTER_EIP: return get(SYSENTER_EIP);
    case IA32_PAT: return get(MSR_PAT);
    case IA32_PKRS: return has(X86_FEATURE_PKS) ? get(PKRS) : unknown(index);
    case IA32_MISC_ENABLE: return get(MISC_ENABLE);
    case IA32_TSC_ADJUST: return has(X86_FEATURE_TSC_ADJUST) ? get(TSC_ADJUST) : unknown(index);
    case IA32_XSS: return has(X86_FEATURE_XSAVES) ? 0 : unknown(index);
    case IA32_MTRRCAP: return MTRRCAP_VALUE;
    case IA32_MCG_CAP: return MCG_CAP_VALUE;
    case IA32_BIOS_SIGN_ID: return vendorIsIntel() ? 0x1_0000_0000 : 0x0100_0065;
    case IA32_ARCH_CAPABILITIES: return has(X86_FEATURE_ARCH_CAP) ? ARCH_CAPABILITIES_VALUE : unknown(index);
  }
  return isApicMsr(index) ? readApic(index) : readOther(index);
}

function readApic(index: i32): u64 {
  return apic_read_msr(index) != 0 ? get(SCRATCH) : unknown(index);
}

function readOther(index: i32): u64 {
  const at = storeIndex(index);
  if (at >= 0) return get(MSR_STORE + (at << 3));
  if (!vendorIsIntel()) return isAmdCounter(index) ? 0 : unknown(index);
  switch (index) {
    case IA32_PLATFORM_ID: return 0;
    // locked, nothing enabled
    case IA32_FEATURE_CONTROL: return 1;
    // ratio 10 of the 100 MHz bus clock: 1 GHz TSC, bits 47..40 the lowest ratio
    case MSR_PLATFORM_INFO: return 0x0a00_0000_0a00;
    default: return unknown(index);
  }
}

export function wrmsr(ecx: i64, value: i64): void {
  const index = <i32>ecx;
  switch (index) {
    case IA32_FS_BASE: writeBase(segAt(FS) + SEG_BASE, value); return;
    case IA32_GS_BASE: writeBase(segAt(GS) + SEG_BASE, value); return;
    case IA32_KERNEL_GS_BASE: writeBase(CPU + KERNEL_GS_BASE, value); return;
    case IA32_LSTAR: writeBase(CPU + MSR_LSTAR, value); return;
    case IA32_CSTAR: writeBase(CPU + MSR_CSTAR, value); return;
    case IA32_SYSENTER_ESP: writeBase(CPU + SYSENTER_ESP, value); return;
    case IA32_SYSENTER_EIP: writeBase(CPU + SYSENTER_EIP, value); return;
    case IA32_EFER: writeEfer(value); return;
    case IA32_STAR: set(MSR_STAR, value); return;
    case IA32_FMASK: set(MSR_FMASK, value & 0xffff_ffff); return;
    case IA32_SYSENTER_CS: set(SYSENTER_CS, value & 0xffff_ffff); return;
    case IA32_TSC: writeTsc(value); return;
    case IA32_MISC_ENABLE: set(MISC_ENABLE, value); return;
    case IA32_PAT: writePat(value); return;
    case IA32_PKRS: writePkrs(value); return;
    case IA32_BIOS_UPDT_TRIG:
    case IA32_BIOS_SIGN_ID: return;
  }
  if (isApicMsr(index)) {
    set(SCRATCH, value);
    if (apic_write_msr(index) == 0) unknown(index);
  } else writeOther(index, value);
}

/** What MSRs that only keep their value may be set to. */
function storable(index: i32, value: u64): bool {
  if (index >= 0x400 && index < 0x400 + 4 * MC_BANKS) return machineCheckFits(index & 3, value);
  if (index >= 0x200 && index <= 0x20f) return variableMtrrFits((index & 1) != 0, value);
  switch (index) {
    case IA32_SPEC_CTRL: return value <= 7;
    // the default type, fixed ranges and all ranges enabled
    case 0x2ff: return (value & ~0xcff) == 0 && isMtrrType(value & 0xff);
    // a subset of LBR, BTF, TR, BTS, BTINT, freezing (SDM Vol. 3B 17.4.1)
    case IA32_DEBUGCTL: return (value & ~0xffc3) == 0;
    case IA32_MCG_CTL: return value == 0 || value == ~<u64>0;
    default: return index < 0x250 || index > 0x26f || fixedMtrrFits(value);
  }
}

/** IA32_MCi_CTL takes all zeros or all ones (bit 10 aside, which kernels clear), STATUS only zero (SDM Vol. 3B 15.3.2). */
function machineCheckFits(register: i32, value: u64): bool {
  if (register == 0) return value == 0 || (value | 0x401) == ~<u64>0;
  return register != 1 || value == 0;
}

/** Memory types of MTRRs: UC, WC, WT, WP, WB (SDM Vol. 3A 11.11.2.1). */
function isMtrrType(type: u64): bool { return type <= 6 && type != 2 && type != 3; }

function fixedMtrrFits(value: u64): bool {
  for (let i: u64 = 0; i < 64; i += 8) if (!isMtrrType((value >> i) & 0xff)) return false;
  return true;
}

function variableMtrrFits(isMask: bool, value: u64): bool {
  if (value >> get(PHYS_ADDR_BITS) != 0) return false;
  return isMask ? (value & 0x7ff) == 0 : (value & 0xf00) == 0 && isMtrrType(value & 0xff);
}

function writeOther(index: i32, value: u64): void {
  const at = storeIndex(index);
  if (at >= 0) {
    if (storable(index, value)) set(MSR_STORE + (at << 3), value);
    else raiseGp(0);
    return;
  }
  if (isAmdCounter(index)) return;
  if (index == IA32_XSS && has(X86_FEATURE_XSAVES) && value == 0) return;
  if (index == IA32_PRED_CMD && has(X86_FEATURE_SPEC_CTRL) && value <= 1) return;
  if (index == IA32_TSC_AUX && has(X86_FEATURE_RDTSCP) && value >> 32 == 0) set(TSC_AUX, value);
  else if (index == IA32_TSC_ADJUST && has(X86_FEATURE_TSC_ADJUST)) {
    set(TSC_OFFSET, get(TSC_OFFSET) + value - get(TSC_ADJUST));
    set(TSC_ADJUST, value);
  } else unknown(index);
}

function writeBase(at: i32, value: u64): void {
  if (has(X86_FEATURE_LM) && !isCanonicalBase(value)) raiseGp(0);
  else store<u64>(at, value);
}

/** SDM Vol. 3B 17.17.3: IA32_TSC_ADJUST follows. */
function writeTsc(value: u64): void {
  const offset = value - <u64>read_tsc();
  set(TSC_ADJUST, get(TSC_ADJUST) + offset - get(TSC_OFFSET));
  set(TSC_OFFSET, offset);
}

function writePkrs(value: u64): void {
  if (!has(X86_FEATURE_PKS)) unknown(IA32_PKRS);
  else if (value >> 32 != 0) raiseGp(0);
  else if (value != get(PKRS)) {
    set(PKRS, value);
    tlb_flush();
  }
}

/** Eight memory types, each 0, 1, 4, 5, 6 or 7 (SDM Vol. 3A 11.12.2). */
function writePat(value: u64): void {
  for (let i: u64 = 0; i < 64; i += 8) {
    const type = (value >> i) & 0xff;
    if (type > 7 || type == 2 || type == 3) {
      raiseGp(0);
      return;
    }
  }
  set(MSR_PAT, value);
}

/** No counters are offered. */
export function rdpmc(ecx: i64): i64 {
  raiseGp(0);
  return 0;
}
