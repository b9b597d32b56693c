/** CPUID feature flags by name (the names QEMU's `-cpu` takes) and their places in the CPUID leaves (SDM Vol. 2A CPUID). */

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

export interface FeatureBit {
  readonly leaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
}

function bits(
  leaf: number,
  register: CpuidRegister,
  names: Readonly<Record<string, number>>,
): [string, FeatureBit][] {
  return Object.entries(names).map(([name, bit]) => [name, { leaf, register, bit }]);
}

/** Every feature that can be offered: what is not implemented has no row. */
export const FEATURE_BITS: ReadonlyMap<string, FeatureBit> = new Map([
  ...bits(1, 'edx', {
    fpu: 0,
    vme: 1,
    de: 2,
    pse: 3,
    tsc: 4,
    msr: 5,
    pae: 6,
    mce: 7,
    cx8: 8,
    apic: 9,
    sep: 11,
    mtrr: 12,
    pge: 13,
    mca: 14,
    cmov: 15,
    pat: 16,
    pse36: 17,
    clflush: 19,
    mmx: 23,
    fxsr: 24,
    sse: 25,
    sse2: 26,
    ss: 27,
    ht: 28,
  }),
  ...bits(1, 'ecx', {
    sse3: 0,
    pclmulqdq: 1,
    monitor: 3,
    ssse3: 9,
    fma: 12,
    cx16: 13,
    pcid: 17,
    'sse4.1': 19,
    'sse4.2': 20,
    x2apic: 21,
    movbe: 22,
    popcnt: 23,
    'tsc-deadline': 24,
    aes: 25,
    xsave: 26,
    avx: 28,
    f16c: 29,
    rdrand: 30,
    hypervisor: 31,
  }),
  ...bits(6, 'eax', { arat: 2 }),
  ...bits(7, 'ebx', {
    fsgsbase: 0,
    'tsc-adjust': 1,
    bmi1: 3,
    avx2: 5,
    smep: 7,
    bmi2: 8,
    erms: 9,
    invpcid: 10,
    rdseed: 18,
    adx: 19,
    smap: 20,
    clflushopt: 23,
    clwb: 24,
    'sha-ni': 29,
  }),
  ...bits(7, 'ecx', {
    umip: 2,
    pku: 3,
    gfni: 8,
    vaes: 9,
    vpclmulqdq: 10,
    la57: 16,
    rdpid: 22,
    cldemote: 25,
    pks: 31,
  }),
  ...bits(7, 'edx', {
    fsrm: 4,
    'md-clear': 10,
    'spec-ctrl': 26,
    stibp: 27,
    'arch-capabilities': 29,
    ssbd: 31,
  }),
  // subleaf 1
  ...bits(0xd, 'eax', { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3 }),
  ...bits(0x8000_0001, 'edx', { syscall: 11, nx: 20, mmxext: 22, pdpe1gb: 26, rdtscp: 27, lm: 29 }),
  ...bits(0x8000_0001, 'ecx', { 'lahf-lm': 0, cr8legacy: 4, abm: 5, '3dnowprefetch': 8 }),
  ...bits(0x8000_0007, 'edx', { invtsc: 8 }),
  ...bits(0x8000_0008, 'ebx', {
    clzero: 0,
    wbnoinvd: 9,
    ibpb: 12,
    ibrs: 14,
    'amd-stibp': 15,
    'amd-ssbd': 24,
  }),
]);

/** Other spellings of a name. */
const ALIASES: Readonly<Record<string, string>> = {
  'sse4-1': 'sse4.1',
  'sse4-2': 'sse4.2',
  pni: 'sse3',
  cmpxchg16b: 'cx16',
  lzcnt: 'abm',
  clfsh: 'clflush',
  lahf: 'lahf-lm',
  cmp8b: 'cx8',
  cx8b: 'cx8',
  xd: 'nx',
  'constant-tsc': 'invtsc',
  pclmuldq: 'pclmulqdq',
};

/** The canonical name of a feature, undefined if it is not one that can be offered. */
export function featureName(text: string): string | undefined {
  const name = text.replaceAll('_', '-');
  const known = ALIASES[name] ?? name;
  return FEATURE_BITS.has(known) ? known : undefined;
}

/** Features whose bits in leaf 1 EDX AMD processors repeat in leaf 0x80000001 EDX (AMD64 APM Vol. 3 appendix E). */
export const AMD_REPEATED = 0x0183_f3ff;
