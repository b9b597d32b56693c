import type { OpName } from '../../../ir/ops.ts';

const COMPARISONS = ['eq', 'ne', 'ltu', 'lts', 'leu', 'les'] as const;
const TYPES = ['i32', 'i64'] as const;

/** The sequences that the interpreter fuses, found by counting what guests execute. */
export const FUSED_SEQUENCES: readonly (readonly OpName[])[] = [
  ...COMPARISONS.flatMap((c) =>
    TYPES.flatMap((t): OpName[][] => [
      // a conditional jump, alone and behind the comparison's flags
      [`${c}_${t}_imm`, 'br'],
      [`${c}_${t}`, 'br'],
      ['movi', `sub_${t}_imm`, 'movi', `${c}_${t}_imm`, 'br'],
      ['mov', `sub_${t}`, 'movi', `${c}_${t}`, 'br'],
    ]),
  ),
  ['mov', 'movi', 'br'],
  ['mov', 'movi', 'eq_i64_imm', 'br'],
  ['mov', 'movi', 'goto'],
  ['movi', 'goto'],
  ['mov', 'mov'],
  ['movi', 'mov'],
  ['mov', 'movi'],
  ['st64', 'add_i64_imm'],
  ['ld64', 'add_i64_imm'],
];
