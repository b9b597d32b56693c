import { Dispatch } from './dispatch.ts';
import type { FeatureSet } from './features.ts';
import { hasOperand } from './insn-form.ts';
import type { InsnRow, InsnTable, OpcodeMap } from './insn-row.ts';
import { K_A, K_B, K_H, K_I, K_I2, K_J, K_L, K_O, K_VM, OPERANDS } from './operand-codes.ts';

// ---- row flags
export const RF_LOCK = 1;
export const RF_D64 = 2;
export const RF_F64 = 4;
/** VEX.vvvv names a register; without it vvvv must be 1111b. */
export const RF_VVVV = 8;
/** The index register of the memory operand is a vector register: a SIB byte is required. */
export const RF_VSIB = 16;

// ---- immediates that follow
export const IMM_NONE = 0;
export const IMM_B = 1;
export const IMM_W = 2;
export const IMM_Z = 3;
export const IMM_V = 4;
export const IMM_WB = 5;
export const IMM_FAR = 6;
export const IMM_OFFSET = 7;

/** Row number of the undefined instruction. */
export const ROW_INVALID = 0;
/**
 * Opcode indexes: map << 8 | opcode. Under VEX each map stands four times, so that rows select on W and L:
 * map = 4 + (0F 1, 0F 38 2, 0F 3A 3) + W << 2 + L << 3.
 */
const VEX_MAPS = 4;
const VEX_W = 4;
const VEX_L = 8;
export const OPCODE_INDEXES = (VEX_MAPS + VEX_W + VEX_L + 4) << 8;

/** The map part of the opcode index under VEX. */
export function vexMap(map: number, w: number, l: number): number {
  return VEX_MAPS + map + (w ? VEX_W : 0) + (l ? VEX_L : 0);
}

/**
 * Opcode tables compiled to typed arrays. `rows` are numbered from 1. Two dispatches exist, for 64-bit code and for the rest,
 * because some opcodes mean different things there.
 */
export interface DecodeTable {
  readonly rows: readonly InsnRow[];
  readonly features: FeatureSet;
  /** Opcode map of each row. */
  readonly rowMap: Uint8Array;
  readonly rowFlags: Uint8Array;
  readonly rowImm: Uint8Array;
  /** Four operands per row: kind and width. */
  readonly operandKind: Uint8Array;
  readonly operandWidth: Uint8Array;
  /** [64-bit code ? 1 : 0]. */
  readonly dispatch: readonly [Dispatch, Dispatch];
}

function immediateOf(row: InsnRow): number {
  let imm = IMM_NONE;
  for (const code of row.operands ?? []) {
    const kind: number = OPERANDS[code][0];
    if (kind === K_A) imm = IMM_FAR;
    else if (kind === K_O) imm = IMM_OFFSET;
    else if (kind === K_I2) imm = IMM_WB;
    else if (kind === K_L) imm = IMM_B;
    else if (kind === K_I || kind === K_J) {
      if (code === 'Ib' || code === 'sIb' || code === 'Jb') imm = IMM_B;
      else if (code === 'Iw') imm = IMM_W;
      else imm = code === 'Iv' ? IMM_V : IMM_Z;
    }
  }
  return imm;
}

/** Opcode indexes a row stands at. */
function opcodeIndexes(map: OpcodeMap, row: InsnRow): number[] {
  const maps: number[] = map < VEX_MAPS ? [map] : [];
  for (let wl = 0; map >= VEX_MAPS && wl < 4; wl++) {
    const w = wl & 1;
    const l = wl >> 1;
    if ((row.w ?? w) === w && (row.l ?? l) === l) maps.push(vexMap(map - VEX_MAPS, w, l));
  }
  return maps.flatMap((m) => Array.from({ length: row.count ?? 1 }, (_, i) => (m << 8) | (row.op + i)));
}

function rowFlags(row: InsnRow): number {
  return (
    (row.lock ? RF_LOCK : 0) |
    (row.size === 'd64' ? RF_D64 : 0) |
    (row.size === 'f64' ? RF_F64 : 0) |
    (hasOperand(row, (kind) => kind === K_H || kind === K_B) ? RF_VVVV : 0) |
    (hasOperand(row, (kind) => kind === K_VM) ? RF_VSIB : 0)
  );
}

function exists(row: InsnRow, features: FeatureSet): boolean {
  if (row.feature === undefined) return true;
  return typeof row.feature === 'string'
    ? features.has(row.feature)
    : row.feature.every((f) => features.has(f));
}

/** Compiles the opcode tables for a CPU with the given features. */
export function compileTables(
  tables: readonly (readonly [OpcodeMap, InsnTable])[],
  features: FeatureSet,
): DecodeTable {
  const rows: InsnRow[] = [{ op: 0, name: '(bad)', as: 'ud' }];
  const maps: OpcodeMap[] = [0];
  const rowsAt: (number[] | undefined)[] = new Array(OPCODE_INDEXES).fill(undefined);
  for (const [map, table] of tables) {
    for (const row of table) {
      if (!exists(row, features)) continue;
      for (const index of opcodeIndexes(map, row)) (rowsAt[index] ??= []).push(rows.length);
      rows.push(row);
      maps.push(map);
    }
  }
  const operandKind = new Uint8Array(rows.length * 4);
  const operandWidth = new Uint8Array(rows.length * 4);
  rows.forEach((row, n) =>
    (row.operands ?? []).forEach((code, i) => {
      operandKind[n * 4 + i] = OPERANDS[code][0];
      operandWidth[n * 4 + i] = OPERANDS[code][1];
    }),
  );
  return {
    rows,
    features,
    rowMap: Uint8Array.from(maps),
    operandKind,
    operandWidth,
    rowFlags: Uint8Array.from(rows, rowFlags),
    rowImm: Uint8Array.from(rows, immediateOf),
    dispatch: [new Dispatch(rows, rowsAt, false), new Dispatch(rows, rowsAt, true)],
  };
}
