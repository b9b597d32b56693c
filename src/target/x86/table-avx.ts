import type { InsnTable } from './insn-row.ts';

/** VEX-encoded rows of the 0F map that have no SSE form. */
export const vex0f = [
  { op: 0x77, name: 'vzeroupper', prefix: 'none', l: 0, feature: 'avx' },
  { op: 0x77, name: 'vzeroall', prefix: 'none', l: 1, feature: 'avx' },
] as const satisfies InsnTable;
