import type { InsnTable } from './insn-row.ts';

/** MMX and SSE rows of the 0F, 0F 38 and 0F 3A maps. */
export const simd0f = [
] as const satisfies InsnTable;

export const simd0f38 = [
] as const satisfies InsnTable;

export const simd0f3a = [
] as const satisfies InsnTable;
