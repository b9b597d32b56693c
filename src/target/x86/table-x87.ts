import type { InsnTable } from './insn-row.ts';

/** x87: opcodes D8–DF and 9B of the one-byte map. */
export const x87OneByte = [
] as const satisfies InsnTable;
