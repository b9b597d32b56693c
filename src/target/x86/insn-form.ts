/** What a row of the opcode tables says about its ModRM byte. */
import type { InsnRow } from './insn-row.ts';
import { K_M, K_VM, OPERANDS, usesModrm } from './operand-codes.ts';

/** A ModRM byte follows the opcode. */
export function rowUsesModrm(row: InsnRow): boolean {
  return (
    row.modrm === true ||
    row.reg !== undefined ||
    row.form !== undefined ||
    (row.operands ?? []).some(usesModrm)
  );
}

/** The only form of ModRM the row stands for, if it is restricted to one. */
export function rowForm(row: InsnRow): 'mem' | 'reg' | undefined {
  if (row.form) return row.form;
  return hasOperand(row, (kind) => kind === K_M || kind === K_VM) ? 'mem' : undefined;
}

/** One of the row's operands is of a kind. */
export function hasOperand(row: InsnRow, is: (kind: number) => boolean): boolean {
  return (row.operands ?? []).some((c) => is(OPERANDS[c][0]));
}
