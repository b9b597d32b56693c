import { readFileSync } from 'node:fs';
import { type FeatureSet, X86_FEATURES, type X86Feature } from '../target/x86/features.ts';

/** Names of /proc/cpuinfo that differ from those of the opcode tables. */
const FROM_CPUINFO: Readonly<Record<string, readonly X86Feature[]>> = {
  fpu: ['x87'],
  pni: ['sse3'],
  abm: ['lzcnt'],
  sha_ni: ['sha'],
  '3dnowprefetch': ['prefetchw'],
};

/** The encodings that the host's processor has, as far as the opcode tables know them. */
export function hostFeatures(): FeatureSet {
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  const known: ReadonlySet<string> = new Set(X86_FEATURES);
  const out = new Set<X86Feature>();
  for (const flag of flags.trim().split(/\s+/)) {
    for (const name of FROM_CPUINFO[flag] ?? [flag]) if (known.has(name)) out.add(name as X86Feature);
  }
  return out;
}

/** The processor's name, for reports. */
export function hostProcessor(): string {
  return /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
}
