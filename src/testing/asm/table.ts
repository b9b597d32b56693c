// The instruction table: rows in the notation of the SDM, expanded to one variant per operand size.
//
// A row is `mnemonics  operands  encoding`.
//
// Operands: rN rmN mN nN iN (register, register or memory, memory, register in the r/m field, immediate of N bits),
// where N may be v (16/32/64 by operand size), y (32/64) or z (immediates: 16/32, sign-extended for 64); s8 is a
// sign-extended byte, u32 and c32 are constants that fit 32 bits unsigned and signed; relN is a branch target, ptrz a
// far pointer, mfar a far pointer in memory, moffsN an absolute address; x and xmN are XMM, mm and mmm MMX operands;
// st a stack register, sto one written "to st1". Under VEX: y and ymN are YMM operands; vx and vy stand in VEX.vvvv, ix and iy
// in an immediate byte.
//
// Encoding: bytes in hex ("50+r" adds the register), /r and /0…/7 the ModRM byte (/rr repeats the register in both
// fields), ib iw id iq iz immediates, cb cz relative targets, mo an absolute address, sel a far pointer's selector;
// o16 o32 w (operand size), a16 a32 a64 (address size), p66 pF2 pF3 (mandatory prefix), wait (FWAIT),
// vex.L.pp.map.W (the VEX prefix in numbers), is4 (a register in an immediate's upper half),
// x32 x64 (only outside / only in 64-bit code), d64 (64-bit operands by default in 64-bit code).

import { avxRows } from './table-avx.ts';
import { integerRows } from './table-integer.ts';
import { simdRows } from './table-simd.ts';
import { x87Rows } from './table-x87.ts';

export type OperandSize = 0 | 16 | 32 | 64;

/** One encoding of an instruction at one operand size. */
export interface Variant {
  readonly mnemonic: string;
  readonly operands: readonly string[];
  readonly encoding: readonly string[];
  /** The operand size that "v" and "y" stand for, or 0 when the row has neither. */
  readonly size: OperandSize;
  /** Which operands' width follows the operand size. */
  readonly sized: readonly boolean[];
  readonly default64: boolean;
  readonly only64: boolean;
  readonly not64: boolean;
}

const V_KIND = /^(rv|rmv|mv|nv|av|iz|relz|ptrz|mfar|moffsv|s8v)$/;
const Y_KIND = /^(ry|rmy|my|ny|nyx)$/;
const FLAGS = new Set(['x32', 'x64', 'd64']);

function operandAt(kind: string, size: OperandSize): string {
  switch (kind) {
    case 'iz':
      return size === 64 ? 's32' : `i${size}`;
    case 'relz':
      return size === 16 ? 'rel16' : 'rel32';
    case 'ptrz':
      return `ptr${size}`;
    case 'mfar':
      return `mfar${size}`;
    case 's8v':
    case 's8':
      return 's8';
    case 'av':
      return { 16: 'ax', 32: 'eax', 64: 'rax', 0: '' }[size];
    case 'nyx':
      return `n${size}`;
    default:
      return V_KIND.test(kind) || Y_KIND.test(kind) ? kind.slice(0, -1) + size : kind;
  }
}

function encodingAt(token: string, size: OperandSize): string {
  if (token === 'iz') return size === 16 ? 'iw' : 'id';
  if (token === 'cz') return size === 16 ? 'cw' : 'cd';
  return token;
}

/** Operand-size tokens that "v" and "y" imply at `size`; SSE-style rows with a mandatory prefix only know W. */
function sizeTokens(size: OperandSize, yRow: boolean, tokens: readonly string[]): string[] {
  const mandatory = tokens.some((t) => /^p(66|F2|F3)$/.test(t));
  if (size === 64) return tokens.includes('d64') ? [] : ['w'];
  if (size === 0 || (yRow && mandatory)) return [];
  return [`o${size}`];
}

function expand(mnemonic: string, kinds: readonly string[], tokens: readonly string[]): Variant[] {
  const vRow = kinds.some((kind) => V_KIND.test(kind));
  const yRow = !vRow && kinds.some((kind) => Y_KIND.test(kind));
  const sizes: OperandSize[] = vRow ? [16, 32, 64] : yRow ? [32, 64] : [0];
  return sizes.map((size) => ({
    mnemonic,
    operands: kinds.map((kind) => operandAt(kind, size)),
    encoding: [
      ...sizeTokens(size, yRow, tokens),
      ...tokens.filter((t) => !FLAGS.has(t)).map((t) => encodingAt(t, size)),
    ],
    size,
    sized: kinds.map((kind) => V_KIND.test(kind) || Y_KIND.test(kind)),
    default64: tokens.includes('d64'),
    only64: tokens.includes('x64') || tokens.includes('w') || size === 64 || kinds.includes('nyx'),
    not64:
      tokens.includes('x32') ||
      (tokens.includes('d64') && size === 32) ||
      (kinds.includes('ptrz') && size === 64),
  }));
}

function parseRow(row: string): Variant[] {
  const [names = '', kinds = '', ...tokens] = row.split(/\s+/);
  const operands = kinds === '-' ? [] : kinds.split(',');
  return names.split('/').flatMap((name) => expand(name, operands, tokens));
}

let table: Map<string, Variant[]> | undefined;

/** All variants of `mnemonic` in order of preference, or undefined when there is no such instruction. */
export function variantsOf(mnemonic: string): readonly Variant[] | undefined {
  return instructionTable().get(mnemonic);
}

/** The whole table by mnemonic, built on first use. */
export function instructionTable(): ReadonlyMap<string, readonly Variant[]> {
  if (table) return table;
  table = new Map();
  const rows = [integerRows(), x87Rows(), simdRows(), avxRows()].join('\n').split('\n');
  for (const row of rows.map((r) => r.trim()).filter((r) => r !== '')) {
    for (const variant of parseRow(row)) {
      const list = table.get(variant.mnemonic) ?? [];
      list.push(variant);
      table.set(variant.mnemonic, list);
    }
  }
  return table;
}
