import { I_GPR } from './image.ts';
import type { OracleCase } from './oracle-case.ts';

// Flags that the manual leaves undefined (SDM Vol. 1 appendix A and the instruction pages): not compared.

const CF = 0x1;
const PF = 0x4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;

/** By mnemonic, where it does not depend on operands. */
export const UNDEFINED_BY_NAME: Readonly<Record<string, number>> = {
  and: AF,
  or: AF,
  xor: AF,
  test: AF,
  andn: AF | PF,
  mul: SF | ZF | AF | PF,
  imul: SF | ZF | AF | PF,
  div: CF | OF | SF | ZF | AF | PF,
  idiv: CF | OF | SF | ZF | AF | PF,
  aaa: OF | SF | ZF | PF,
  aas: OF | SF | ZF | PF,
  aam: OF | AF | CF,
  aad: OF | AF | CF,
  daa: OF,
  das: OF,
  bsf: CF | OF | SF | AF | PF,
  bsr: CF | OF | SF | AF | PF,
  tzcnt: OF | SF | AF | PF,
  lzcnt: OF | SF | AF | PF,
  bextr: SF | AF | PF,
  bzhi: AF | PF,
  blsi: AF | PF,
  blsr: AF | PF,
  blsmsk: AF | PF,
};

const SHIFT = /^(shl|shr|sar|shld|shrd|rol|ror|rcl|rcr)$/;
const BIT = /^bt[src]?$/;

/** The count of a shift or rotate, masked as the processor masks it. */
function shiftCount(c: OracleCase, input: Uint8Array): number {
  const byOne = / \S*,1$|,1$/.test(c.row);
  const raw = byOne ? 1 : c.imm !== undefined ? c.imm & 255 : input[I_GPR + 8]!;
  return raw & (c.size === 8 ? 63 : 31);
}

function shiftFlags(c: OracleCase, input: Uint8Array): number {
  const count = shiftCount(c, input);
  if (count === 0) return 0;
  const width = c.size * 8;
  const beyond = count >= width ? CF : 0;
  const overflow = count === 1 ? 0 : OF;
  if (/^r/.test(c.name)) return overflow;
  if (/^sh[lr]d$/.test(c.name)) return count > width ? CF | OF | SF | ZF | AF | PF : overflow | AF;
  if (c.name === 'sar') return overflow | AF;
  return overflow | AF | (count > width ? beyond : count === width ? 0 : 0);
}

/** RFLAGS bits that are undefined after the case. */
export function undefinedFlags(c: OracleCase, input: Uint8Array): number {
  if (SHIFT.test(c.name)) return shiftFlags(c, input);
  if (BIT.test(c.name)) return OF | SF | AF | PF;
  return UNDEFINED_BY_NAME[c.name] ?? 0;
}

/** True when the destination itself is undefined: a double shift of 16 bits by more than 16. */
export function undefinedResult(c: OracleCase, input: Uint8Array): boolean {
  return /^sh[lr]d$/.test(c.name) && shiftCount(c, input) > c.size * 8;
}
