/** The CPUID leaves of a model and what else the runtime must know of it (SDM Vol. 2A CPUID; AMD64 APM Vol. 3 appendix E). */
import {
  CPUID_COUNT,
  CPUID_TABLE,
  CPUID_TABLE_ENTRIES,
  FEATURES,
  PHYS_ADDR_BITS,
  X86_FEATURE_ARCH_CAP,
  X86_FEATURE_FFXSR,
  X86_FEATURE_FSGSBASE,
  X86_FEATURE_INVPCID,
  X86_FEATURE_LA57,
  X86_FEATURE_LM,
  X86_FEATURE_NX,
  X86_FEATURE_PCID,
  X86_FEATURE_PKS,
  X86_FEATURE_PKU,
  X86_FEATURE_RDTSCP,
  X86_FEATURE_SEVERAL_CPUS,
  X86_FEATURE_SMAP,
  X86_FEATURE_SMEP,
  X86_FEATURE_SPEC_CTRL,
  X86_FEATURE_SYSCALL,
  X86_FEATURE_TSC_ADJUST,
  X86_FEATURE_UMIP,
  X86_FEATURE_XSAVE,
  X86_FEATURE_XSAVES,
  XCR0_MASK,
} from '../../runtime/x86/layout.ts';
import { assert } from '../../util/errors.ts';
import { AMD_REPEATED, type CpuidRegister, FEATURE_BITS } from './cpu-features.ts';
import type { CpuModel } from './cpu-models.ts';

export interface CpuidRow {
  readonly leaf: number;
  /** 0xffffffff: every subleaf. */
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** Where a vCPU stands: in a package of `cpus` logical processors, `threads` (default 1) to a core. */
export interface CpuTopology {
  readonly apicId: number;
  readonly cpus: number;
  readonly threads?: number;
  /** Processors of the machine, default `cpus`. */
  readonly total?: number;
}

/**
 * The topology of `cpus` processors, filled thread by thread, core by core, package by package. APIC ids have a field of as many
 * bits as each level needs (SDM Vol. 3A 8.9.1).
 */
export function cpuTopologies(cpus: number, cores: number, threads: number): readonly CpuTopology[] {
  return Array.from({ length: cpus }, (_, n) => {
    const thread = n % threads;
    const core = Math.floor(n / threads) % cores;
    const socket = Math.floor(n / (threads * cores));
    const apicId = (((socket << bitsFor(cores)) | core) << bitsFor(threads)) | thread;
    return { apicId, cpus: cores * threads, threads, total: cpus };
  });
}

/** Leaf 0BH: the bits of an APIC id by level. */
export function topologyRows(topology: CpuTopology): CpuidRow[] {
  const { apicId, cpus, threads = 1 } = topology;
  return [
    row(0xb, bitsFor(threads), threads, 0x100, apicId, 0),
    row(0xb, packageBits(topology), cpus, 0x201, apicId, 1),
  ];
}

/** How many bits of an APIC id tell the processors of a package apart. */
export function packageBits({ cpus, threads = 1 }: CpuTopology): number {
  return bitsFor(threads) + bitsFor(cpus / threads);
}

const ANY = 0xffff_ffff;
const HYPERVISOR_SIGNATURE = 'LyreLyreLyre';
/** TSC, local APIC timer and crystal all count nanoseconds. */
const CLOCK_HZ = 1_000_000_000;

/** The features of a register of a leaf as bits. */
function featureWord(model: CpuModel, leaf: number, register: CpuidRegister): number {
  let word = 0;
  for (const name of model.features) {
    const at = FEATURE_BITS.get(name);
    if (at && at.leaf === leaf && at.register === register) word |= 1 << at.bit;
  }
  return word >>> 0;
}

function row(leaf: number, eax = 0, ebx = 0, ecx = 0, edx = 0, subleaf = ANY): CpuidRow {
  return { leaf, subleaf, eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
}

/** Four letters, little-endian. */
function letters(text: string, at: number): number {
  let word = 0;
  for (let i = 3; i >= 0; i--) word = (word << 8) | (text.charCodeAt(at + i) || 0);
  return word >>> 0;
}

/** Leaf 1 EAX: family, model, stepping with their extended parts. */
export function signature(model: CpuModel): number {
  const family = Math.min(model.family, 15);
  const extendedFamily = model.family - family;
  return (
    (extendedFamily << 20) |
    ((model.model >> 4) << 16) |
    (family << 8) |
    ((model.model & 15) << 4) |
    model.stepping
  );
}

/** log2 rounded up. */
function bitsFor(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1);
}

function basicRows(model: CpuModel, topology: CpuTopology): CpuidRow[] {
  const { vendor } = model;
  const several = topology.cpus > 1;
  const misc = (topology.apicId << 24) | ((several ? topology.cpus : 1) << 16) | (8 << 8);
  const edx = featureWord(model, 1, 'edx') | (several ? 1 << 28 : 0);
  return [
    row(0, model.level, letters(vendor, 0), letters(vendor, 8), letters(vendor, 4)),
    row(1, signature(model), misc, featureWord(model, 1, 'ecx'), edx),
    // 2: one descriptor, 0xff = see leaf 4
    row(2, vendor === 'GenuineIntel' ? 0xff01 : 1),
    ...(vendor === 'GenuineIntel' && model.level >= 4 ? cacheRows(topology) : []),
    ...(model.features.has('monitor') ? [row(5, 64, 64, 3)] : []),
    row(6, featureWord(model, 6, 'eax')),
    row(7, 0, featureWord(model, 7, 'ebx'), featureWord(model, 7, 'ecx'), featureWord(model, 7, 'edx'), 0),
    ...(model.features.has('xsave') ? xsaveRows(model) : []),
    ...topologyRows(topology),
    row(0x15, 1, 1, CLOCK_HZ),
    row(0x16, CLOCK_HZ / 1e6, CLOCK_HZ / 1e6, 100),
  ].filter((r) => r.leaf <= model.level);
}

/** State components of a model: x87, SSE, AVX, PKRU (SDM Vol. 1 13.1). */
function stateComponents(model: CpuModel): number {
  if (!model.features.has('xsave')) return 0;
  return (model.features.has('avx') ? 7 : 3) | (model.features.has('pku') ? 0x200 : 0);
}

/** Leaf 0DH. The runtime replaces EBX of subleafs 0 and 1 by the size for the components enabled at the time. */
function xsaveRows(model: CpuModel): CpuidRow[] {
  const components = stateComponents(model);
  const size = components & 0x200 ? 2696 : components & 4 ? 576 + 256 : 576;
  const sub1 = featureWord(model, 0xd, 'eax');
  return [
    row(0xd, components, 576, size, 0, 0),
    row(0xd, sub1, sub1 & 0xa ? 576 : 0, 0, 0, 1),
    ...(components & 4 ? [row(0xd, 256, 576, 0, 0, 2)] : []),
    ...(components & 0x200 ? [row(0xd, 8, 2688, 0, 0, 9)] : []),
  ];
}

/** Leaf 4: 32 KiB L1 data, 32 KiB L1 code, 4 MiB L2, 16 MiB L3 shared by all. */
function cacheRows(topology: CpuTopology): CpuidRow[] {
  const { cpus, threads = 1 } = topology;
  const cores = ((1 << bitsFor(cpus / threads)) - 1) << 26;
  const perCore = ((1 << bitsFor(threads)) - 1) << 14;
  const sharing = ((1 << packageBits(topology)) - 1) << 14;
  const cache = (
    index: number,
    type: number,
    level: number,
    ways: number,
    sets: number,
    shared: number,
  ): CpuidRow =>
    row(4, cores | shared | 0x100 | (level << 5) | type, ((ways - 1) << 22) | 63, sets - 1, 1, index);
  return [
    cache(0, 1, 1, 8, 64, perCore),
    cache(1, 2, 1, 8, 64, perCore),
    cache(2, 3, 2, 16, 4096, perCore),
    cache(3, 3, 3, 16, 16384, sharing),
    row(4, 0, 0, 0, 0, 4),
  ];
}

/** The hypervisor's own leaves: signature; 0x40000010 TSC and bus frequency in kHz. */
function hypervisorRows(model: CpuModel): CpuidRow[] {
  if (!model.features.has('hypervisor')) return [];
  const s = HYPERVISOR_SIGNATURE;
  return [
    row(0x4000_0000, 0x4000_0010, letters(s, 0), letters(s, 4), letters(s, 8)),
    row(0x4000_0010, CLOCK_HZ / 1000, CLOCK_HZ / 1000),
  ];
}

function extendedRows(model: CpuModel, topology: CpuTopology): CpuidRow[] {
  const amd = model.vendor !== 'GenuineIntel';
  const edx =
    featureWord(model, 0x8000_0001, 'edx') | (amd ? featureWord(model, 1, 'edx') & AMD_REPEATED : 0);
  const ecx = featureWord(model, 0x8000_0001, 'ecx') | (amd && topology.cpus > 1 ? 2 : 0);
  const name = model.brand.padEnd(48, '\0');
  const brand = (leaf: number, at: number): CpuidRow =>
    row(leaf, letters(name, at), letters(name, at + 4), letters(name, at + 8), letters(name, at + 12));
  const linearBits = model.features.has('la57') ? 57 : model.features.has('lm') ? 48 : 32;
  const amdCores = (packageBits(topology) << 12) | (topology.cpus - 1);
  return [
    amd
      ? row(
          0x8000_0000,
          model.xlevel,
          letters(model.vendor, 0),
          letters(model.vendor, 8),
          letters(model.vendor, 4),
        )
      : row(0x8000_0000, model.xlevel),
    row(0x8000_0001, amd ? signature(model) : 0, 0, ecx, edx),
    brand(0x8000_0002, 0),
    brand(0x8000_0003, 16),
    brand(0x8000_0004, 32),
    // 64 KiB 2-way L1 caches, 512 KiB 16-way L2, 64-byte lines
    ...(amd ? [row(0x8000_0005, 0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x4002_0140)] : []),
    row(0x8000_0006, 0, amd ? 0x4200_4200 : 0, 0x0200_8140),
    row(0x8000_0007, 0, 0, 0, featureWord(model, 0x8000_0007, 'edx')),
    row(
      0x8000_0008,
      (linearBits << 8) | model.physicalBits,
      featureWord(model, 0x8000_0008, 'ebx'),
      amd ? amdCores : 0,
    ),
  ].filter((r) => r.leaf <= model.xlevel);
}

/** All leaves of a vCPU. */
export function cpuidRows(model: CpuModel, topology: CpuTopology): readonly CpuidRow[] {
  return [...basicRows(model, topology), ...hypervisorRows(model), ...extendedRows(model, topology)];
}

const RUNTIME_FEATURES: readonly (readonly [string, number])[] = [
  ['smap', X86_FEATURE_SMAP],
  ['smep', X86_FEATURE_SMEP],
  ['umip', X86_FEATURE_UMIP],
  ['la57', X86_FEATURE_LA57],
  ['fsgsbase', X86_FEATURE_FSGSBASE],
  ['pcid', X86_FEATURE_PCID],
  ['invpcid', X86_FEATURE_INVPCID],
  ['lm', X86_FEATURE_LM],
  ['syscall', X86_FEATURE_SYSCALL],
  ['nx', X86_FEATURE_NX],
  ['fxsr-opt', X86_FEATURE_FFXSR],
  ['rdtscp', X86_FEATURE_RDTSCP],
  ['arch-capabilities', X86_FEATURE_ARCH_CAP],
  ['spec-ctrl', X86_FEATURE_SPEC_CTRL],
  ['tsc-adjust', X86_FEATURE_TSC_ADJUST],
  ['pku', X86_FEATURE_PKU],
  ['pks', X86_FEATURE_PKS],
  ['xsave', X86_FEATURE_XSAVE],
  ['xsaves', X86_FEATURE_XSAVES],
];

/** Writes CPUID_TABLE, FEATURES and PHYS_ADDR_BITS of the register file at `cpuBase`; a reset keeps them. */
export function installCpu(view: DataView, cpuBase: number, model: CpuModel, topology: CpuTopology): void {
  const rows = cpuidRows(model, topology);
  assert(rows.length <= CPUID_TABLE_ENTRIES, 'too many CPUID leaves');
  rows.forEach((r, i) => {
    const at = cpuBase + CPUID_TABLE + i * 32;
    [r.leaf, r.subleaf, r.eax, r.ebx, r.ecx, r.edx].forEach((word, n) =>
      view.setUint32(at + n * 4, word, true),
    );
  });
  let features = (topology.total ?? topology.cpus) > 1 ? X86_FEATURE_SEVERAL_CPUS : 0;
  for (const [name, bit] of RUNTIME_FEATURES) if (model.features.has(name)) features |= bit;
  view.setUint32(cpuBase + CPUID_COUNT, rows.length, true);
  view.setUint32(cpuBase + FEATURES, features, true);
  view.setUint32(cpuBase + XCR0_MASK, stateComponents(model), true);
  view.setUint32(cpuBase + PHYS_ADDR_BITS, model.physicalBits, true);
}
