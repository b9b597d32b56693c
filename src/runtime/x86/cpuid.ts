// CPUID from the table that the CPU model filled in, and the time-stamp counter.

import { CR4_OSXSAVE, CR4_PKE, CR4_TSD } from './bits';
import { CPUID_COUNT, CPUID_TABLE, RAX, RBX, RCX, RDX, SCRATCH, TSC_OFFSET } from './layout';
import { raiseGp } from './raise';
import { CPU, cpl, cr4, get, get32, set } from './state';
import { xsaveSize } from './xsave';
import { apic_read_msr, read_tsc } from '../softmmu/host';

/** Address of a leaf's row, 0 if there is none. */
function findRow(leaf: u32, subleaf: u32): i32 {
  let row = CPU + CPUID_TABLE;
  for (let i = get32(CPUID_COUNT); i > 0; i--, row += 32) {
    if (load<u32>(row) != leaf) continue;
    const sub = load<u32>(row, 4);
    if (sub == 0xffff_ffff || sub == subleaf) return row;
  }
  return 0;
}

/** Vendor by the first four letters of leaf 0. */
export function vendorIsIntel(): bool {
  const row = findRow(0, 0);
  return row != 0 && load<u32>(row, 12) == 0x756e_6547;
}

const IA32_APIC_BASE: i32 = 0x1b;
const CPUID_APIC: u32 = 0x200;

/** CPUID.1:EDX.APIC follows IA32_APIC_BASE.EN (SDM Vol. 3A 10.4.3); SCRATCH is overwritten. */
function apicDisabled(): bool {
  return apic_read_msr(IA32_APIC_BASE) != 0 && (get(SCRATCH) & 0x800) == 0;
}

export function cpuid(): void {
  const leaf = <u32>get32(RAX);
  const subleaf = <u32>get32(RCX);
  const row = findRow(leaf, subleaf);
  if (row == 0) {
    set(RAX, 0);
    set(RBX, 0);
    set(RCX, leaf == 0xb ? subleaf : 0);
    set(RDX, 0);
    return;
  }
  let ecx = load<u32>(row, 16);
  let ebx = load<u32>(row, 12);
  // bytes for the components enabled at present
  if (leaf == 0xd && subleaf <= 1 && ebx != 0) ebx = <u32>xsaveSize(subleaf == 1);
  // OSXSAVE and OSPKE show CR4.OSXSAVE and CR4.PKE
  if (leaf == 1 && (cr4() & CR4_OSXSAVE) != 0) ecx |= 0x800_0000;
  if (leaf == 7 && subleaf == 0 && (cr4() & CR4_PKE) != 0) ecx |= 0x10;
  let edx = load<u32>(row, 20);
  if ((leaf == 1 || leaf == 0x8000_0001) && apicDisabled()) edx &= ~CPUID_APIC;
  set(RAX, load<u32>(row, 8));
  set(RBX, ebx);
  set(RCX, ecx);
  set(RDX, edx);
}

export function currentTsc(): u64 { return <u64>read_tsc() + get(TSC_OFFSET); }

export function rdtsc(): i64 {
  if ((cr4() & CR4_TSD) != 0 && cpl() != 0) {
    raiseGp(0);
    return 0;
  }
  return currentTsc();
}
