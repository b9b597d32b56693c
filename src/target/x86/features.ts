/** CPUID features that decide whether an encoding exists. Bit numbers of a feature set (two 32-bit words: index >> 5, index & 31). */
export const X86_FEATURES = [
  'cmov',
  'cx8',
  'cx16',
  'fxsr',
  'mmx',
  'sse',
  'sse2',
  'sse3',
  'ssse3',
  'sse4_1',
  'sse4_2',
  'popcnt',
  'aes',
  'pclmulqdq',
  'lzcnt',
  'bmi1',
  'movbe',
  'rdrand',
  'rdseed',
  'rdtscp',
  'rdpid',
  'fsgsbase',
  'invpcid',
  'smap',
  'clflushopt',
  'clwb',
  'monitor',
  'xsave',
  'syscall',
  'lahf_lm',
  'prefetchw',
  'sse4a',
  '3dnow',
  'adx',
  'sha',
  'bmi2',
  'sep',
  'clflush',
  'x87',
  'avx',
  'avx2',
  'fma',
  'f16c',
  'vaes',
  'vpclmulqdq',
  'gfni',
  'xsaveopt',
  'xsavec',
  'xgetbv1',
  'xsaves',
  'pku',
  'clzero',
  'hypervisor',
] as const;
export type X86Feature = (typeof X86_FEATURES)[number];
export type FeatureSet = ReadonlySet<X86Feature>;

/** Names of the CPU models (cpu-features.ts) that mean something else than the encoding's feature of nearly the same name. */
const FROM_MODEL: Readonly<Record<string, readonly X86Feature[]>> = {
  fpu: ['x87'],
  abm: ['lzcnt', 'popcnt'],
  'sse4.1': ['sse4_1'],
  'sse4.2': ['sse4_2'],
  'lahf-lm': ['lahf_lm'],
  '3dnowprefetch': ['prefetchw'],
  'sha-ni': ['sha'],
};

/** The encodings a CPU model has. */
export function encodingFeatures(model: ReadonlySet<string>): FeatureSet {
  const known: ReadonlySet<string> = new Set(X86_FEATURES);
  const out = new Set<X86Feature>();
  for (const name of model) {
    for (const feature of FROM_MODEL[name] ?? [name]) if (known.has(feature)) out.add(feature as X86Feature);
  }
  return out;
}
