import type { HelperInfo } from './helper-table.ts';

/** What the text form of IR needs to know about the target. */
export interface IrNames {
  /** First temporary slot: printed as t0, t1, … */
  readonly tempBase: number;
  /** Name of a state slot; slots without one print as s followed by their hexadecimal offset. */
  readonly slotName?: (offset: number) => string | undefined;
  readonly helpers?: readonly HelperInfo[];
}

/** Flags of the info field of a memory operation, in print order. */
export const MEM_FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [0x4, 'rmw'],
  [0x8, 'stack'],
  [0x10, 'align'],
];

/** `0x…` of a 64-bit value in two halves. */
export function hex64(lo: number, hi: number): string {
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, '0')}`;
}

/** A signed immediate: small ones decimal, others as hexadecimal bits. */
export function immediateText(lo: number, hi: number): string {
  if (hi === lo >> 31 && lo > -0x1_0000 && lo < 0x1_0000) return `${lo}`;
  return hex64(lo, hi);
}
