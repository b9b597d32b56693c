import type { FeatureSet } from './features.ts';
import type { InsnRow, InsnTable, OpcodeMap } from './insn-row.ts';
import {
  K_A,
  K_B,
  K_C,
  K_D,
  K_H,
  K_I,
  K_I2,
  K_J,
  K_L,
  K_M,
  K_O,
  K_VM,
  OPERANDS,
  usesModrm,
} from './operand-codes.ts';

// ---- opcode flags
export const OF_MODRM = 1;
/** Rows differ by prefix, reg or form: look in the variant table. */
export const OF_VARIANTS = 2;
/** ModRM.mod is ignored (MOV CR, DR). */
export const OF_MOD3 = 4;

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
const SUBTABLE = 0x8000;
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

export interface Dispatch {
  /** OF_* by map << 8 | opcode. */
  readonly opcodeFlags: Uint8Array;
  /** Row number, or with OF_VARIANTS the index of 64 entries in `variants`: prefix << 4 | register form << 3 | reg. */
  readonly opcodeEntry: Uint32Array;
  /** Row numbers; with SUBTABLE set: index of 8 entries in `byRm`. */
  readonly variants: Uint16Array;
  readonly byRm: Uint16Array;
}

const PREFIX_COLUMN = { none: 0, '66': 1, f3: 2, f2: 3 } as const;

function rowUsesModrm(row: InsnRow): boolean {
  return (
    row.modrm === true ||
    row.reg !== undefined ||
    row.form !== undefined ||
    (row.operands ?? []).some(usesModrm)
  );
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

function formOf(row: InsnRow): 'mem' | 'reg' | undefined {
  if (row.form) return row.form;
  return hasOperand(row, (kind) => kind === K_M || kind === K_VM) ? 'mem' : undefined;
}

function hasOperand(row: InsnRow, is: (kind: number) => boolean): boolean {
  return (row.operands ?? []).some((c) => is(OPERANDS[c][0]));
}

/** The maps of the opcode index a row stands in. */
function* indexMaps(map: OpcodeMap, row: InsnRow): Generator<number> {
  if (map < VEX_MAPS) {
    yield map;
    return;
  }
  for (const w of [0, 1])
    for (const l of [0, 1]) if ((row.w ?? w) === w && (row.l ?? l) === l) yield vexMap(map - VEX_MAPS, w, l);
}

/** Cells of the variant table a row covers. */
function* cells(row: InsnRow): Generator<number> {
  const form = formOf(row);
  const prefixes = row.prefix ? [PREFIX_COLUMN[row.prefix]] : [0, 1, 2, 3];
  for (const prefix of prefixes) {
    for (const isReg of form === 'mem' ? [0] : form === 'reg' ? [1] : [0, 1]) {
      for (let reg = 0; reg < 8; reg++) {
        if (row.reg === undefined || row.reg === reg) yield (prefix << 4) | (isReg << 3) | reg;
      }
    }
  }
}

interface OpcodeSlot {
  readonly cells: Int32Array;
  /** Row number by cell << 3 | rm, for cells with rm-specific rows. */
  readonly rm: Map<number, number>;
  /** Cells written by a row with a mandatory prefix (those override rows without). */
  readonly specific: Set<number>;
  rows: number[];
}

/** Thrown when two rows claim the same encoding: a mistake in the tables. */
function overlap(map: number, row: InsnRow, other: InsnRow | undefined): never {
  throw new Error(
    `opcode tables overlap: map ${map} opcode ${row.op.toString(16)}: ${row.name} and ${other?.name ?? '?'}`,
  );
}

function fill(slot: OpcodeSlot, map: number, row: InsnRow, number: number, rows: readonly InsnRow[]): void {
  slot.rows.push(number);
  for (const cell of cells(row)) {
    const key = row.rm === undefined ? -1 : (cell << 3) | row.rm;
    const taken = key < 0 ? slot.cells[cell]! : (slot.rm.get(key) ?? 0);
    if (taken && slot.specific.has(key < 0 ? cell : key + 0x1000)) {
      if (row.prefix) overlap(map, row, rows[taken]);
      continue;
    }
    if (taken && !row.prefix) overlap(map, row, rows[taken]);
    if (row.prefix) slot.specific.add(key < 0 ? cell : key + 0x1000);
    if (key < 0) slot.cells[cell] = number;
    else slot.rm.set(key, number);
  }
}

function compileDispatch(entries: readonly Entry[], rows: readonly InsnRow[], is64: boolean): Dispatch {
  const slots = new Map<number, OpcodeSlot>();
  for (const { map, row, number } of entries) {
    if (row.mode === (is64 ? 'i64' : 'o64')) continue;
    for (const indexMap of indexMaps(map, row)) {
      for (let i = 0; i < (row.count ?? 1); i++) {
        const index = (indexMap << 8) | (row.op + i);
        let slot = slots.get(index);
        if (!slot)
          slots.set(
            index,
            (slot = { cells: new Int32Array(64), rm: new Map(), specific: new Set(), rows: [] }),
          );
        fill(slot, map, row, number, rows);
      }
    }
  }
  return pack(slots, rows);
}

function pack(slots: Map<number, OpcodeSlot>, rows: readonly InsnRow[]): Dispatch {
  const opcodeFlags = new Uint8Array(OPCODE_INDEXES);
  const opcodeEntry = new Uint32Array(OPCODE_INDEXES);
  const variants: number[] = [];
  const byRm: number[] = [];
  /** Where cells without rows of their own by rm stand: the lengths and widths of VEX mostly share theirs. */
  const known = new Map<string, number>();
  for (const [index, slot] of slots) {
    const modrm = slot.rows.filter((n) => rowUsesModrm(rows[n]!)).length;
    if (modrm !== 0 && modrm !== slot.rows.length)
      throw new Error(`opcode ${index.toString(16)}: rows disagree about ModRM`);
    const mod3 = slot.rows.some((n) =>
      (rows[n]!.operands ?? []).some((c) => {
        const k: number = OPERANDS[c][0];
        return k === K_C || k === K_D;
      }),
    );
    opcodeFlags[index] = (modrm ? OF_MODRM : 0) | (mod3 ? OF_MOD3 : 0);
    const first = slot.cells[0]!;
    if (slot.rm.size === 0 && slot.cells.every((c) => c === first)) {
      opcodeEntry[index] = first;
      continue;
    }
    opcodeFlags[index]! |= OF_VARIANTS;
    const key = slot.rm.size === 0 ? slot.cells.join() : '';
    const same = known.get(key);
    opcodeEntry[index] = same ?? variants.length;
    if (same !== undefined) continue;
    if (slot.rm.size === 0) {
      known.set(key, variants.length);
      variants.push(...slot.cells);
      continue;
    }
    for (let cell = 0; cell < 64; cell++) {
      const special = [0, 1, 2, 3, 4, 5, 6, 7].map((rm) => slot.rm.get((cell << 3) | rm));
      if (special.every((n) => n === undefined)) {
        variants.push(slot.cells[cell]!);
      } else {
        variants.push(SUBTABLE | byRm.length);
        byRm.push(...special.map((n) => n ?? slot.cells[cell]!));
      }
    }
  }
  return { opcodeFlags, opcodeEntry, variants: Uint16Array.from(variants), byRm: Uint16Array.from(byRm) };
}

/** Looks up the row of an opcode; `prefix` is its mandatory-prefix column (0 none, 1 66, 2 F3, 3 F2). */
export function findRow(
  d: Dispatch,
  index: number,
  prefix: number,
  isReg: number,
  reg: number,
  rm: number,
): number {
  const entry = d.opcodeEntry[index]!;
  if ((d.opcodeFlags[index]! & OF_VARIANTS) === 0) return entry;
  const n = d.variants[entry + ((prefix << 4) | (isReg << 3) | (reg & 7))]!;
  return n & SUBTABLE ? d.byRm[(n & ~SUBTABLE) + (rm & 7)]! : n;
}

interface Entry {
  readonly map: OpcodeMap;
  readonly row: InsnRow;
  readonly number: number;
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
  const entries: Entry[] = [];
  for (const [map, table] of tables) {
    for (const row of table) {
      if (!exists(row, features)) continue;
      entries.push({ map, row, number: rows.length });
      rows.push(row);
    }
  }
  const rowMap = new Uint8Array(rows.length);
  for (const e of entries) rowMap[e.number] = e.map;
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
    rowMap,
    operandKind,
    operandWidth,
    rowFlags: Uint8Array.from(rows, rowFlags),
    rowImm: Uint8Array.from(rows, immediateOf),
    dispatch: [compileDispatch(entries, rows, false), compileDispatch(entries, rows, true)],
  };
}
