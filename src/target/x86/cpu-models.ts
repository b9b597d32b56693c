/** CPU models of `-cpu`, by the names users know from QEMU. */
import { UserError } from '../../util/errors.ts';
import { FEATURE_BITS, featureName } from './cpu-features.ts';

export interface CpuModel {
  readonly name: string;
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** Highest basic and extended leaf. */
  readonly level: number;
  readonly xlevel: number;
  readonly brand: string;
  readonly physicalBits: number;
  readonly features: ReadonlySet<string>;
}

const PENTIUM_PRO = [
  'fpu',
  'de',
  'pse',
  'tsc',
  'msr',
  'mce',
  'cx8',
  'pge',
  'cmov',
  'pat',
  'fxsr',
  'mmx',
  'sse',
  'sse2',
  'pae',
  'sep',
  'apic',
];
/**
 * What the platform gives every 64-bit model. Timers that need no calibration, and the news that no work-around for speculative
 * execution is needed: kernels then leave out retpolines and page-table isolation. REP MOVSB is as fast as any other copy.
 */
const PLATFORM = [
  'hypervisor',
  'x2apic',
  'tsc-deadline',
  'arat',
  'invtsc',
  'tsc-adjust',
  'spec-ctrl',
  'arch-capabilities',
  'erms',
];
const QEMU64 = [
  ...PENTIUM_PRO,
  'mtrr',
  'clflush',
  'mca',
  'pse36',
  'sse3',
  'cx16',
  'lm',
  'syscall',
  'nx',
  'lahf-lm',
];
const NEHALEM = [...QEMU64, 'vme', 'popcnt', 'sse4.2', 'sse4.1', 'ssse3', 'rdtscp'];
/** Words a model does not get by itself: it would gain nothing and cost speed. */
const NOT_IN_MAX = new Set([
  'pcid',
  'cr8legacy',
  'ss',
  'ht',
  // not complete yet
  'avx',
  'avx2',
  'fma',
  'f16c',
  'vaes',
  'vpclmulqdq',
  'gfni',
]);

const MODELS: Readonly<Record<string, CpuModel>> = {
  qemu64: {
    name: 'qemu64',
    vendor: 'AuthenticAMD',
    family: 15,
    model: 107,
    stepping: 1,
    level: 0xd,
    xlevel: 0x8000_000a,
    brand: 'Lyrebird Virtual CPU',
    physicalBits: 40,
    features: new Set([...QEMU64, ...PLATFORM]),
  },
  qemu32: {
    name: 'qemu32',
    vendor: 'GenuineIntel',
    family: 6,
    model: 6,
    stepping: 3,
    level: 4,
    xlevel: 0x8000_0004,
    brand: 'Lyrebird Virtual CPU',
    physicalBits: 36,
    features: new Set([...PENTIUM_PRO, 'sse3', 'hypervisor']),
  },
  Nehalem: {
    name: 'Nehalem',
    vendor: 'GenuineIntel',
    family: 6,
    model: 26,
    stepping: 3,
    level: 0x16,
    xlevel: 0x8000_0008,
    brand: 'Intel Core i7 9xx (Nehalem Class Core i7)',
    physicalBits: 40,
    features: new Set([...NEHALEM, ...PLATFORM]),
  },
  max: {
    name: 'max',
    vendor: 'AuthenticAMD',
    family: 15,
    model: 107,
    stepping: 1,
    level: 0xd,
    xlevel: 0x8000_000a,
    brand: 'Lyrebird TCG CPU',
    physicalBits: 40,
    features: new Set([...FEATURE_BITS.keys()].filter((name) => !NOT_IN_MAX.has(name))),
  },
};

/** Features that are meaningless without another one: dropped with it. */
const NEEDS: Readonly<Record<string, string>> = {
  sse: 'fxsr',
  sse2: 'sse',
  sse3: 'sse2',
  ssse3: 'sse3',
  'sse4.1': 'ssse3',
  'sse4.2': 'sse4.1',
  aes: 'sse2',
  pclmulqdq: 'sse2',
  gfni: 'sse2',
  xsave: 'fxsr',
  xsaveopt: 'xsave',
  xsavec: 'xsave',
  xgetbv1: 'xsave',
  xsaves: 'xsavec',
  avx: 'xsave',
  avx2: 'avx',
  fma: 'avx',
  f16c: 'avx',
  vaes: 'avx',
  vpclmulqdq: 'avx',
  lm: 'pae',
  syscall: 'lm',
  la57: 'lm',
  nx: 'pae',
  'lahf-lm': 'lm',
  x2apic: 'apic',
  'tsc-deadline': 'apic',
  fsgsbase: 'lm',
  cx16: 'cx8',
  pcid: 'lm',
  pdpe1gb: 'lm',
  rdtscp: 'tsc',
};

/** Names `parseCpu` takes. */
export const CPU_MODEL_NAMES: readonly string[] = Object.keys(MODELS);

/**
 * `model[,+feature][,-feature][,feature=on|off]…` as QEMU's `-cpu` takes it. `long`: the machine has 64-bit mode (false removes it).
 * Throws a UserError (`cpu-model`, `cpu-feature`) for a name that is not known.
 */
export function parseCpu(text: string, long = true): CpuModel {
  const [name = '', ...options] = text.split(',');
  const base = MODELS[name];
  if (!base)
    throw new UserError('cpu-model', `unknown CPU model '${name}' (known: ${CPU_MODEL_NAMES.join(', ')})`);
  const features = new Set(base.features);
  for (const option of options) applyOption(features, option);
  if (!long) features.delete('lm');
  dropOrphans(features);
  return { ...base, features };
}

function applyOption(features: Set<string>, option: string): void {
  const match = /^(?:([+-])([\w.-]+)|([\w.-]+)(?:=(on|off))?)$/.exec(option);
  const feature = match ? featureName(match[2] ?? match[3]!) : undefined;
  if (!match || feature === undefined) throw new UserError('cpu-feature', `unknown CPU feature '${option}'`);
  if (match[1] === '-' || match[4] === 'off') features.delete(feature);
  else features.add(feature);
}

function dropOrphans(features: Set<string>): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const feature of features) {
      const needed = NEEDS[feature];
      if (needed !== undefined && !features.has(needed)) changed = features.delete(feature);
    }
  }
}
