/**
 * From an opcode to the row of the opcode tables that describes it. A guest uses a few hundred of the ten thousand opcodes that the
 * maps have room for: each is compiled when it is first met.
 */
import { hasOperand, rowForm, rowUsesModrm } from './insn-form.ts';
import type { InsnRow } from './insn-row.ts';
import { K_C, K_D } from './operand-codes.ts';

// ---- opcode flags
export const OF_MODRM = 1;
/** Rows differ by prefix, reg or form: look in the variant table. */
const OF_VARIANTS = 2;
/** ModRM.mod is ignored (MOV CR, DR). */
export const OF_MOD3 = 4;
/** The other flags and the entry are known. */
const OF_COMPILED = 8;

/** The variants differ by ModRM.rm as well. */
const OF_BY_RM = 16;

/** Cells of an opcode: prefix column << 4 | register form << 3 | reg. */
const CELLS = 64;
const PREFIX_COLUMN = { none: 0, '66': 1, f3: 2, f2: 3 } as const;

function covers(row: InsnRow, form: 'mem' | 'reg' | undefined, cell: number): boolean {
  if (row.prefix !== undefined && PREFIX_COLUMN[row.prefix] !== cell >> 4) return false;
  if (form !== undefined && (form === 'reg') !== ((cell & 8) !== 0)) return false;
  return row.reg === undefined || row.reg === (cell & 7);
}

/** Among rows that cover the same encoding the one of the highest rank counts. */
function rank(row: InsnRow): number {
  return (row.rm === undefined ? 0 : 2) + (row.prefix === undefined ? 0 : 1);
}

function ignoresMod(row: InsnRow): boolean {
  return hasOperand(row, (kind) => kind === K_C || kind === K_D);
}

/** The rows of one kind of code, by opcode index and what follows the opcode. */
export class Dispatch {
  readonly #rows: readonly InsnRow[];
  /** Row numbers by opcode index. */
  readonly #rowsAt: readonly (readonly number[] | undefined)[];
  /** The `mode` of rows that do not exist here. */
  readonly #absent: InsnRow['mode'];
  readonly #flags: Uint8Array;
  /** Row number, or with OF_VARIANTS the index in `#variants` of one row number a cell (OF_BY_RM: eight). */
  readonly #entry: Uint32Array;
  #variants = new Uint16Array(4096);
  #variantCount = 0;

  /** `rowsAt[index]`: numbers of the rows at an opcode index, for both kinds of code. */
  constructor(rows: readonly InsnRow[], rowsAt: readonly (readonly number[] | undefined)[], is64: boolean) {
    this.#rows = rows;
    this.#rowsAt = rowsAt;
    this.#absent = is64 ? 'i64' : 'o64';
    this.#flags = new Uint8Array(rowsAt.length);
    this.#entry = new Uint32Array(rowsAt.length);
  }

  /** OF_* of an opcode. Throws if the tables contradict themselves there. */
  opcodeFlags(index: number): number {
    const flags = this.#flags[index]!;
    return flags & OF_COMPILED ? flags : this.#compile(index);
  }

  /** The row of an encoding, 0 if there is none; `prefix` is its mandatory-prefix column (0 none, 1 66, 2 F3, 3 F2). */
  findRow(index: number, prefix: number, isReg: number, reg: number, rm: number): number {
    const flags = this.opcodeFlags(index);
    const entry = this.#entry[index]!;
    if ((flags & OF_VARIANTS) === 0) return entry;
    const cell = (prefix << 4) | (isReg << 3) | (reg & 7);
    return this.#variants[entry + (flags & OF_BY_RM ? (cell << 3) | (rm & 7) : cell)]!;
  }

  #compile(index: number): number {
    const numbers = (this.#rowsAt[index] ?? []).filter((n) => this.#rows[n]!.mode !== this.#absent);
    const rows = numbers.map((n) => this.#rows[n]!);
    const byRm = rows.some((row) => row.rm !== undefined);
    const variants = this.#spread(numbers, byRm);
    const first = variants[0]!;
    const uniform = variants.every((n) => n === first);
    this.#entry[index] = uniform ? first : this.#append(variants);
    const shape = uniform ? 0 : OF_VARIANTS | (byRm ? OF_BY_RM : 0);
    this.#flags[index] = OF_COMPILED | shape | modrmFlags(index, rows);
    return this.#flags[index]!;
  }

  /** Row numbers by cell, or by cell << 3 | rm. */
  #spread(numbers: readonly number[], byRm: boolean): Uint16Array {
    const variants = new Uint16Array(byRm ? CELLS * 8 : CELLS);
    for (const number of numbers) {
      const row = this.#rows[number]!;
      const form = rowForm(row);
      for (let place = 0; place < variants.length; place++) {
        if (byRm && row.rm !== undefined && row.rm !== (place & 7)) continue;
        if (!covers(row, form, byRm ? place >> 3 : place)) continue;
        const taken = variants[place]!;
        const above = taken === 0 ? 1 : rank(row) - rank(this.#rows[taken]!);
        if (above === 0) overlap(row, this.#rows[taken]!);
        if (above > 0) variants[place] = number;
      }
    }
    return variants;
  }

  #append(variants: Uint16Array): number {
    const at = this.#variantCount;
    this.#variantCount += variants.length;
    if (this.#variantCount > this.#variants.length) {
      const larger = new Uint16Array(this.#variantCount * 2);
      larger.set(this.#variants);
      this.#variants = larger;
    }
    this.#variants.set(variants, at);
    return at;
  }
}

function modrmFlags(index: number, rows: readonly InsnRow[]): number {
  const modrm = rows.filter(rowUsesModrm).length;
  if (modrm !== 0 && modrm !== rows.length)
    throw new Error(`opcode ${index.toString(16)}: rows disagree about ModRM`);
  return (modrm ? OF_MODRM : 0) | (rows.some(ignoresMod) ? OF_MOD3 : 0);
}

/** Two rows claim the same encoding: a mistake in the tables. */
function overlap(row: InsnRow, other: InsnRow): never {
  throw new Error(`opcode tables overlap: opcode ${row.op.toString(16)}: ${row.name} and ${other.name}`);
}
