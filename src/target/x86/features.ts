/** CPUID features that decide whether an encoding exists. Bit numbers of a feature set (two 32-bit words: index >> 5, index & 31). */
export const X86_FEATURES = [
  'cmov', 'cx8', 'cx16', 'fxsr', 'mmx', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4_1', 'sse4_2', 'popcnt', 'aes', 'pclmulqdq',
  'lzcnt', 'bmi1', 'movbe', 'rdrand', 'rdseed', 'rdtscp', 'rdpid', 'fsgsbase', 'invpcid', 'smap', 'clflushopt', 'clwb',
  'monitor', 'xsave', 'syscall', 'lahf_lm', 'prefetchw', 'sse4a', '3dnow', 'adx', 'sha', 'bmi2', 'sep', 'clflush', 'x87',
] as const;
export type X86Feature = (typeof X86_FEATURES)[number];
export type FeatureSet = ReadonlySet<X86Feature>;
