/** A local APIC's state as text: the monitor's `info lapic`. */
import { BASE_ENABLE, BASE_X2APIC, LVT_NAMES } from './apic-registers.ts';
import { type ApicVectorState, processorPriority } from './apic-vectors.ts';

interface DescribedState extends ApicVectorState {
  readonly id: number;
  readonly baseLo: number;
  readonly lvt: Uint32Array;
  readonly svr: number;
  readonly ldr: number;
  readonly dfr: number;
  readonly esr: number;
  readonly icrLo: number;
  readonly icrHi: number;
  readonly divide: number;
  readonly initialCount: number;
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}

function vectors(map: Uint32Array): string {
  const set = Array.from({ length: 256 }, (_, v) => v).filter((v) => ((map[v >> 5]! >>> (v & 31)) & 1) !== 0);
  return set.length === 0 ? '(none)' : set.join(' ');
}

export function describeApic(s: DescribedState, currentCount: number): string {
  const mode = (s.baseLo & BASE_ENABLE) === 0 ? ' disabled' : (s.baseLo & BASE_X2APIC) !== 0 ? ' x2APIC' : '';
  return [
    `local APIC ${s.id}: base ${hex(s.baseLo)}${mode}`,
    ...Array.from(s.lvt, (value, i) => `${LVT_NAMES[i]!.padEnd(6)} ${hex(value)}`),
    `SPIV   ${hex(s.svr)}  LDR ${hex(s.ldr)}  DFR ${hex(s.dfr)}  ESR ${hex(s.esr)}`,
    `ICR    ${hex(s.icrHi)} ${hex(s.icrLo)}  TPR ${hex(s.tpr)}  PPR ${hex(processorPriority(s))}`,
    `timer  divide ${hex(s.divide)}  initial ${hex(s.initialCount)}  current ${hex(currentCount)}`,
    `ISR    ${vectors(s.isr)}`,
    `IRR    ${vectors(s.irr)}`,
  ].join('\n');
}
