import type { X86Feature } from './features.ts';
import type { OperandCode } from './operand-codes.ts';

/**
 * One row of an opcode table: one encoding of one instruction (SDM Vol. 2 instruction reference).
 *
 * The opcode map is given by the table the row stands in. Rows of one opcode must not overlap: they differ in mandatory prefix,
 * ModRM.reg, register or memory form, ModRM.rm, or mode.
 */
export interface InsnRow {
  /** Opcode byte within its map. */
  readonly op: number;
  /** Number of consecutive opcodes the row covers (low bits are a register or a condition); default 1. */
  readonly count?: 8 | 16;
  /** Mnemonic: names the handler too, unless `as` does. Alternatives by operand size 16|32|64 are separated by '|'. */
  readonly name: string;
  /** Handler, when several mnemonics share one or one mnemonic needs two. */
  readonly as?: string;
  /** Operands, destination first; at most 4. */
  readonly operands?: readonly OperandCode[];
  /** Mandatory prefix; absent: any (66 then selects the operand size and F2, F3 are ignored or repeat). */
  readonly prefix?: 'none' | '66' | 'f3' | 'f2';
  /** ModRM.reg extension. */
  readonly reg?: number;
  /** ModRM form; absent: both. */
  readonly form?: 'mem' | 'reg';
  /** ModRM.rm in the register form. */
  readonly rm?: number;
  /** Invalid in 64-bit mode (i64) or valid there only (o64). */
  readonly mode?: 'i64' | 'o64';
  /** Operand size in 64-bit mode: default 64 (d64), always 64 (f64). */
  readonly size?: 'd64' | 'f64';
  /** LOCK is allowed when the destination is memory. */
  readonly lock?: true;
  /** Has a ModRM byte although no operand says so. */
  readonly modrm?: true;
  /** VEX.L and VEX.W where the encoding demands a value; absent: ignored, or chooses the operand size. VEX maps only. */
  readonly l?: 0 | 1;
  readonly w?: 0 | 1;
  /** CPUID features without which the row does not exist (#UD, or the row without the prefix). */
  readonly feature?: X86Feature | readonly X86Feature[];
}

/** Opcode maps: one-byte, 0F, 0F 38, 0F 3A; 4 + 1…4 + 3: the last three under a VEX prefix. */
export type OpcodeMap = 0 | 1 | 2 | 3 | 5 | 6 | 7;

export type InsnTable = readonly InsnRow[];

/** Handler names a table needs. */
export type HandlerNames<T extends InsnTable> = T[number] extends infer R
  ? R extends { readonly as: infer A extends string }
    ? A
    : R extends { readonly name: infer N extends string }
      ? N
      : never
  : never;
