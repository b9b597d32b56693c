import type { InsnTable } from './insn-row.ts';

/** SHA extensions (SDM Vol. 1 5.8.7). */
export const sha38 = [
  { op: 0xc8, name: 'sha1nexte', operands: ['Vdq', 'Wdq'], prefix: 'none', feature: 'sha' },
  { op: 0xc9, name: 'sha1msg1', operands: ['Vdq', 'Wdq'], prefix: 'none', feature: 'sha' },
  { op: 0xca, name: 'sha1msg2', operands: ['Vdq', 'Wdq'], prefix: 'none', feature: 'sha' },
  { op: 0xcb, name: 'sha256rnds2', operands: ['Vdq', 'Wdq', 'XMM0'], prefix: 'none', feature: 'sha' },
  { op: 0xcc, name: 'sha256msg1', operands: ['Vdq', 'Wdq'], prefix: 'none', feature: 'sha' },
  { op: 0xcd, name: 'sha256msg2', operands: ['Vdq', 'Wdq'], prefix: 'none', feature: 'sha' },
] as const satisfies InsnTable;

export const sha3a = [
  { op: 0xcc, name: 'sha1rnds4', operands: ['Vdq', 'Wdq', 'Ib'], prefix: 'none', feature: 'sha' },
] as const satisfies InsnTable;
