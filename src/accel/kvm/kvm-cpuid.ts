/** The CPUID rows of a vCPU under KVM: a model's, as far as this host supports them, or the host's own. */

import { FEATURE_BITS } from '../../target/x86/cpu-features.ts';
import type { CpuModel } from '../../target/x86/cpu-models.ts';
import {
  type CpuidRow,
  type CpuTopology,
  cpuidRows,
  packageBits,
  topologyRows,
} from '../../target/x86/cpuid.ts';
import type { CpuidEntry } from './ioctls/kvm-device.ts';

export type IrqchipMode = 'on' | 'split' | 'off';

export interface CpuidOptions {
  readonly supported: readonly CpuidEntry[];
  readonly irqchip: IrqchipMode;
  /** KVM_CAP_TSC_DEADLINE_TIMER. */
  readonly tscDeadline: boolean;
  /** The place of the vCPU in the machine. */
  readonly topology: CpuTopology;
  /** The guest is not told that it runs under KVM. */
  readonly hideKvm?: boolean;
}

const ANY_SUBLEAF = 0xffff_ffff;
const KVM_SIGNATURE = 0x4000_0000;
const KVM_FEATURES = 0x4000_0001;
/** KVM_FEATURE_ASYNC_PF, PV_EOI, ASYNC_PF_VMEXIT, PV_SEND_IPI, ASYNC_PF_INT, MSI_EXT_DEST_ID: need a local APIC of the kernel's. */
const NEEDS_KERNEL_APIC = (1 << 4) | (1 << 6) | (1 << 10) | (1 << 11) | (1 << 14) | (1 << 15);

/** Leaf 1. */
const EDX_APIC = 1 << 9;
const EDX_HTT = 1 << 28;
const ECX_X2APIC = 1 << 21;
const ECX_TSC_DEADLINE = 1 << 24;
const ECX_HYPERVISOR = 2 ** 31;
const ECX_OSXSAVE = 1 << 27;

/** Leaves that say what the translator's clock is, or that are this emulator's own: not true under KVM. */
const OWN_LEAVES: ReadonlySet<number> = new Set([0x15, 0x16, 0x4000_0000, 0x4000_0010]);

/** Whether a guest can be offered a feature (names of `-cpu`). */
export function isSupported(feature: string, options: CpuidOptions): boolean {
  switch (feature) {
    case 'hypervisor':
    case 'apic':
      return true;
    case 'x2apic':
      return options.irqchip !== 'off';
    case 'tsc-deadline':
      return options.irqchip !== 'off' && options.tscDeadline;
    default: {
      const at = FEATURE_BITS.get(feature);
      if (at === undefined) return false;
      const { leaf, register, bit } = at;
      return options.supported.some(
        (row) => row.leaf === leaf && row.subleaf === 0 && ((row[register] >>> bit) & 1) !== 0,
      );
    }
  }
}

/** Features of the model that this host cannot give. */
export function missingFeatures(model: CpuModel, options: CpuidOptions): string[] {
  return [...model.features].filter((feature) => !isSupported(feature, options));
}

/** The rows for KVM_SET_CPUID2. */
export function kvmCpuid(model: CpuModel | 'host', options: CpuidOptions): CpuidEntry[] {
  const own = model === 'host' ? hostRows(options) : modelRows(model, options);
  return options.hideKvm === true ? own : [...own, ...kvmRows(options)];
}

function modelRows(model: CpuModel, options: CpuidOptions): CpuidEntry[] {
  const features = new Set([...model.features].filter((feature) => isSupported(feature, options)));
  const rows = cpuidRows({ ...model, features }, options.topology);
  return rows.filter(({ leaf }) => !OWN_LEAVES.has(leaf)).map((row) => withXsave(toEntry(row), options));
}

function toEntry({ leaf, subleaf, eax, ebx, ecx, edx }: CpuidRow): CpuidEntry {
  const hasSubleaf = subleaf !== ANY_SUBLEAF;
  return { leaf, subleaf: hasSubleaf ? subleaf : 0, hasSubleaf, eax, ebx, ecx, edx };
}

/** CPUID.1:ECX.OSXSAVE follows CR4; KVM keeps it up to date. */
function withXsave(entry: CpuidEntry, _options: CpuidOptions): CpuidEntry {
  return entry.leaf === 1 ? { ...entry, ecx: (entry.ecx & ~ECX_OSXSAVE) >>> 0 } : entry;
}

/** The host's rows with this vCPU's place in them. */
function hostRows(options: CpuidOptions): CpuidEntry[] {
  const { topology, supported } = options;
  const { apicId, cpus } = topology;
  const bits = packageBits(topology);
  const rows = supported.filter(({ leaf }) => leaf >>> 16 !== 0x4000 && leaf !== 0xb && leaf !== 0x1f);
  const out = rows.map((row): CpuidEntry => {
    switch (row.leaf) {
      case 1:
        return { ...row, ...leaf1(row, options) };
      case 4:
        return { ...row, eax: cacheSharing(row.eax, topology) };
      case 0x8000_0008:
        return { ...row, ecx: (bits << 12) | (cpus - 1) };
      case 0x8000_001e:
        return { ...row, eax: apicId, ebx: extendedCore(topology), ecx: apicId >> bits, edx: 0 };
      default:
        return row;
    }
  });
  const level = out.find(({ leaf }) => leaf === 0)?.eax ?? 0;
  if (level >= 0xb) out.push(...topologyRows(topology).map(toEntry));
  return out;
}

/** Leaf 4 EAX: a package's cores, and that caches but the last are a core's own. */
function cacheSharing(eax: number, topology: CpuTopology): number {
  const bits = packageBits(topology);
  const isShared = ((eax >>> 5) & 7) >= 3;
  const coreBits = bits - threadBits(topology);
  const sharing = isShared ? bits : threadBits(topology);
  return ((((1 << coreBits) - 1) << 26) | (((1 << sharing) - 1) << 14) | (eax & 0x3fff)) >>> 0;
}

function threadBits({ threads = 1 }: CpuTopology): number {
  return threads <= 1 ? 0 : 32 - Math.clz32(threads - 1);
}

/** Leaf 8000001EH EBX: the core within its package, and its threads. */
function extendedCore(topology: CpuTopology): number {
  const core = (topology.apicId & ((1 << packageBits(topology)) - 1)) >> threadBits(topology);
  return core | (((topology.threads ?? 1) - 1) << 8);
}

function leaf1(row: CpuidEntry, options: CpuidOptions): Pick<CpuidEntry, 'ebx' | 'ecx' | 'edx'> {
  const { irqchip, tscDeadline, topology } = options;
  const { apicId, cpus } = topology;
  const inKernel = irqchip !== 'off';
  const cleared = row.ecx & ~(ECX_X2APIC | ECX_TSC_DEADLINE | ECX_OSXSAVE);
  const ecx =
    cleared | (inKernel ? ECX_X2APIC : 0) | (inKernel && tscDeadline ? ECX_TSC_DEADLINE : 0) | ECX_HYPERVISOR;
  const edx = (row.edx & ~EDX_HTT) | EDX_APIC | (cpus > 1 ? EDX_HTT : 0);
  const ebx = (apicId << 24) | (cpus << 16) | (row.ebx & 0xffff);
  return { ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
}

/** What KVM offers guests that know it: signature and paravirtual features. */
function kvmRows({ supported, irqchip }: CpuidOptions): CpuidEntry[] {
  const rows = supported.filter(({ leaf }) => leaf === KVM_SIGNATURE || leaf === KVM_FEATURES);
  return rows.map((row) =>
    row.leaf === KVM_FEATURES && irqchip === 'off'
      ? { ...row, eax: (row.eax & ~NEEDS_KERNEL_APIC) >>> 0 }
      : row,
  );
}
