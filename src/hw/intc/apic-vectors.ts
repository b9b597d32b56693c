/** The interrupt request, in-service and trigger mode registers of a local APIC (SDM Vol. 3A 10.8.3, 10.8.4). */
import { words } from '../../core/vmstate.ts';

export const apicVectorFields = { isr: words(8), tmr: words(8), irr: words(8) };

export interface ApicVectorState {
  readonly isr: Uint32Array;
  readonly tmr: Uint32Array;
  readonly irr: Uint32Array;
  tpr: number;
}

/** The highest bit set in a map of 256 vectors, or -1. */
export function highestVector(map: Uint32Array): number {
  for (let i = 7; i >= 0; i--) {
    const word = map[i]!;
    if (word !== 0) return i * 32 + 31 - Math.clz32(word);
  }
  return -1;
}

export function requestVector(s: ApicVectorState, vector: number, isLevel: boolean): void {
  const bit = 1 << (vector & 31);
  s.irr[vector >> 5]! |= bit;
  if (isLevel) s.tmr[vector >> 5]! |= bit;
  else s.tmr[vector >> 5]! &= ~bit;
}

/** PPR: the higher class of TPR and of the highest vector in service (10.8.3.1). */
export function processorPriority(s: ApicVectorState): number {
  const serving = highestVector(s.isr);
  return serving >> 4 > s.tpr >> 4 ? serving & 0xf0 : s.tpr;
}

/** The highest request above the processor priority, or -1. */
export function deliverableVector(s: ApicVectorState): number {
  const vector = highestVector(s.irr);
  return vector >= 0 && vector >> 4 > processorPriority(s) >> 4 ? vector : -1;
}

/** Moves a request into service. */
export function acceptVector(s: ApicVectorState, vector: number): void {
  const bit = 1 << (vector & 31);
  s.irr[vector >> 5]! &= ~bit;
  s.isr[vector >> 5]! |= bit;
}

/** Ends the highest vector in service and returns it if it was level-triggered, else -1. */
export function endVector(s: ApicVectorState): number {
  const vector = highestVector(s.isr);
  if (vector < 0) return -1;
  const bit = 1 << (vector & 31);
  s.isr[vector >> 5]! &= ~bit;
  return (s.tmr[vector >> 5]! & bit) !== 0 ? vector : -1;
}
