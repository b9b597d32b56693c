// Control registers, EFER and the TLB instructions (SDM Vol. 3A 2.5, 4.10; Vol. 2B MOV CRn).

import {
  AT_L, CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_FSGSBASE, CR4_LA57, CR4_OSXSAVE, CR4_PAE,
  CR4_PCIDE, CR4_PGE, CR4_PKE, CR4_PKS, CR4_PSE, CR4_SMAP, CR4_SMEP, CR4_UMIP, EFER_FFXSR, EFER_LMA, EFER_LME, EFER_NXE,
  EFER_SCE,
} from './bits';
import { updateHflags } from './hflags';
import {
  CR0, CR2, CR3, CR4, CS, EFER, FEATURES, HF_CS64, PHYS_ADDR_BITS, PKRU, X86_FEATURE_FFXSR, X86_FEATURE_FSGSBASE,
  X86_FEATURE_INVPCID, X86_FEATURE_LA57, X86_FEATURE_LM, X86_FEATURE_NX, X86_FEATURE_PCID,
  X86_FEATURE_PKS, X86_FEATURE_PKU, X86_FEATURE_SMAP,
  X86_FEATURE_SMEP, X86_FEATURE_SYSCALL, X86_FEATURE_UMIP, X86_FEATURE_XSAVE,
} from './layout';
import { noteControl } from './log';
import { isCanonical, isCanonicalBase, loadPdptes } from './page-walk';
import { raiseGp, raiseUd } from './raise';
import { cr0, cr4, efer, get, hflags, segAttr, set } from './state';
import { get_tpr, set_tpr } from '../softmmu/host';
import { tlb_flush, tlb_flush_nonglobal, tlb_flush_page } from '../softmmu/tlb';

// @ts-ignore: decorator
@inline function has(feature: u64): bool { return (get(FEATURES) & feature) != 0; }

export function read_cr(n: i64): i64 {
  switch (<i32>n) {
    case 0: return cr0();
    case 2: return get(CR2);
    case 3: return get(CR3);
    case 4: return cr4();
    case 8: return get_tpr() & 15;
    default:
      raiseUd();
      return 0;
  }
}

export function write_cr(n: i64, value: i64): void {
  switch (<i32>n) {
    case 0: writeCr0(value); break;
    case 2: set(CR2, value); break;
    case 3: writeCr3(value); break;
    case 4: writeCr4(value); break;
    case 8:
      if (<u64>value > 15) raiseGp(0);
      else set_tpr(<i32>value);
      break;
    default: raiseUd();
  }
}

/** True when PAE paging (not long mode) is on under these registers: the PDPTEs count. */
// @ts-ignore: decorator
@inline function usesPdptes(c0: u64, c4: u64, ef: u64): bool {
  return (c0 & CR0_PG) != 0 && (c4 & CR4_PAE) != 0 && (ef & EFER_LMA) == 0;
}

function writeCr0(value: u64): void {
  const old = cr0();
  const pagingUnprotected = (value & (CR0_PG | CR0_PE)) == CR0_PG;
  if (value >> 32 != 0 || pagingUnprotected || (value & (CR0_NW | CR0_CD)) == CR0_NW) {
    raiseGp(0);
    return;
  }
  value = (value & 0xe005_003f) | CR0_ET;
  let newEfer = efer();
  if (((value ^ old) & CR0_PG) != 0) {
    if ((value & CR0_PG) != 0) {
      if ((newEfer & EFER_LME) != 0) {
        if ((cr4() & CR4_PAE) == 0 || (segAttr(CS) & AT_L) != 0) {
          raiseGp(0);
          return;
        }
        newEfer |= EFER_LMA;
      }
    } else {
      if ((hflags() & HF_CS64) != 0 || (cr4() & CR4_PCIDE) != 0) {
        raiseGp(0);
        return;
      }
      newEfer &= ~EFER_LMA;
    }
  }
  const reload = ((value ^ old) & (CR0_PG | CR0_CD | CR0_NW)) != 0;
  if (reload && usesPdptes(value, cr4(), newEfer) && !loadPdptes(get(CR3))) {
    raiseGp(0);
    return;
  }
  set(CR0, value);
  noteControl(0, value);
  set(EFER, newEfer);
  if (((value ^ old) & (CR0_PG | CR0_WP | CR0_PE)) != 0) tlb_flush();
  updateHflags();
}

function writeCr3(value: u64): void {
  const pcid = (cr4() & CR4_PCIDE) != 0;
  // With PCIDs bit 63 asks to keep this PCID's translations: a permission, not used here.
  if (pcid) value &= 0x7fff_ffff_ffff_ffff;
  if ((efer() & EFER_LMA) != 0) {
    if (value >> get(PHYS_ADDR_BITS) != 0) {
      raiseGp(0);
      return;
    }
  } else if (usesPdptes(cr0(), cr4(), efer()) && !loadPdptes(value)) {
    raiseGp(0);
    return;
  }
  set(CR3, value);
  noteControl(3, value);
  tlb_flush_nonglobal();
}

/** CR4 bits that the CPU model has. */
export function cr4Allowed(): u64 {
  let mask: u64 = 0x7ff;
  if (has(X86_FEATURE_UMIP)) mask |= CR4_UMIP;
  if (has(X86_FEATURE_LA57)) mask |= CR4_LA57;
  if (has(X86_FEATURE_FSGSBASE)) mask |= CR4_FSGSBASE;
  if (has(X86_FEATURE_PCID)) mask |= CR4_PCIDE;
  if (has(X86_FEATURE_XSAVE)) mask |= CR4_OSXSAVE;
  if (has(X86_FEATURE_SMEP)) mask |= CR4_SMEP;
  if (has(X86_FEATURE_SMAP)) mask |= CR4_SMAP;
  if (has(X86_FEATURE_PKU)) mask |= CR4_PKE;
  if (has(X86_FEATURE_PKS)) mask |= CR4_PKS;
  return mask;
}

function writeCr4(value: u64): void {
  const old = cr4();
  const changed = value ^ old;
  const long = (efer() & EFER_LMA) != 0;
  let bad = (value & ~cr4Allowed()) != 0;
  if (long && ((value & CR4_PAE) == 0 || (changed & CR4_LA57) != 0)) bad = true;
  // SDM Vol. 3A 4.10.1: PCIDE may be set only in IA-32e mode with CR3[11:0] = 0
  if ((changed & value & CR4_PCIDE) != 0 && (!long || (get(CR3) & 0xfff) != 0)) bad = true;
  const reload = (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) != 0;
  if (!bad && reload && usesPdptes(cr0(), value, efer()) && !loadPdptes(get(CR3))) bad = true;
  if (bad) {
    raiseGp(0);
    return;
  }
  set(CR4, value);
  noteControl(4, value);
  const mapping = CR4_PGE | CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_LA57 | CR4_PKE | CR4_PKS;
  if ((changed & mapping) != 0) tlb_flush();
  updateHflags();
}

export function lmsw(value: i64): void {
  writeCr0((cr0() & ~<u64>0xe) | (<u64>value & 0xf));
}

export function clts(): void {
  set(CR0, cr0() & ~CR0_TS);
  updateHflags();
}

/** Bits of IA32_EFER that the CPU model has. */
export function eferAllowed(): u64 {
  let allowed: u64 = EFER_LMA;
  if (has(X86_FEATURE_SYSCALL)) allowed |= EFER_SCE;
  if (has(X86_FEATURE_LM)) allowed |= EFER_LME;
  if (has(X86_FEATURE_NX)) allowed |= EFER_NXE;
  if (has(X86_FEATURE_FFXSR)) allowed |= EFER_FFXSR;
  return allowed;
}

/** WRMSR of IA32_EFER. */
export function writeEfer(value: u64): void {
  const old = efer();
  if ((value & ~eferAllowed()) != 0 || (((value ^ old) & EFER_LME) != 0 && (cr0() & CR0_PG) != 0)) {
    raiseGp(0);
    return;
  }
  set(EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
  if (((value ^ old) & EFER_NXE) != 0) tlb_flush();
  updateHflags();
}

export function invlpg(address: i64): void {
  // In 64-bit code INVLPG of a non-canonical address does nothing (SDM Vol. 2A INVLPG).
  if (isCanonical(address)) tlb_flush_page(address);
}

export function invpcid(type: i64, low: i64, high: i64): void {
  if (!has(X86_FEATURE_INVPCID)) {
    raiseUd();
    return;
  }
  const pcid = (cr4() & CR4_PCIDE) != 0;
  const badPcid = <u64>low > 0xfff || (type <= 1 && !pcid && low != 0);
  if (<u64>type > 3 || badPcid || (type == 0 && !isCanonical(high))) raiseGp(0);
  else if (type == 0) tlb_flush_page(high);
  else if (type == 2) tlb_flush();
  else tlb_flush_nonglobal();
}

export function fsgsbase_check(): void {
  if ((cr4() & CR4_FSGSBASE) == 0) raiseUd();
}

export function wrbase_check(base: i64): void {
  if ((cr4() & CR4_FSGSBASE) == 0) raiseUd();
  else if (!isCanonicalBase(base)) raiseGp(0);
}

export function wbinvd(): void {}

/** RDPKRU (SDM Vol. 2B). */
export function rdpkru(ecx: i64): i64 {
  if ((cr4() & CR4_PKE) == 0) raiseUd();
  else if (ecx != 0) raiseGp(0);
  else return get(PKRU);
  return 0;
}

export function wrpkru(ecx: i64, value: i64): void {
  if ((cr4() & CR4_PKE) == 0) raiseUd();
  else if (ecx != 0 || <u64>value >> 32 != 0) raiseGp(0);
  else writePkru(value);
}

/** The TLB holds rights as they were at the walk. */
export function writePkru(value: u64): void {
  if (get(PKRU) == value) return;
  set(PKRU, value);
  if ((cr4() & CR4_PKE) != 0) tlb_flush();
}

/** LGDT, LIDT in 64-bit mode. */
export function table_base_check(base: i64): void {
  if (!isCanonicalBase(base)) raiseGp(0);
}
