import type { InsnRow } from '../target/x86/insn-row.ts';

/** Rows whose effect in user mode is not the processor's: an operating system or chance has its hand in it. Name, reason. */
const NOT_COMPARABLE: readonly (readonly [RegExp, string])[] = [
  [/^cpuid$/, 'answers what the model is'],
  [/^(rdtsc|rdtscp|rdpmc)$/, 'reads a clock'],
  [/^(rdrand|rdseed)$/, 'returns random numbers'],
  [/^rdpid$/, 'returns the number of the processor it happens to run on'],
  [/^(syscall|sysenter)$/, 'calls the host system'],
  [/^(sgdt|sidt|sldt|str|smsw)$/, 'the host system sets UMIP and answers in its place'],
];

/** Why a row cannot be compared with the host's processor in user mode, undefined if it can. */
export function notComparable(row: InsnRow): string | undefined {
  return NOT_COMPARABLE.find(([name]) => name.test(row.name))?.[1];
}
