import { OP, OP_INFO, type OpInfo } from '../../ir/ops.ts';

/**
 * What the region compiler knows about each operation, by opcode: which fields name integer slots (that may live in wasm locals)
 * and which name bytes of the register file.
 */

/** Integer slots read. */
export const READS_A = 0x1;
export const READS_B = 0x2;
export const READS_C = 0x4;
export const READS_D = 0x8;
/** Integer slot written, whole. */
export const WRITES_D = 0x10;
/** Fields that name bytes of the register file: vectors, floats, `get` and `put`. */
export const BYTES_A = 0x20;
export const BYTES_B = 0x40;
export const BYTES_C = 0x80;
export const BYTES_D = 0x100;
/** No effect but the result; operands may be evaluated later as long as they have not changed. */
export const PURE = 0x200;
/** May leave through a fault. */
export const FAULTS = 0x400;
export const CALL = 0x800;
export const TERMINATOR = 0x1000;

function isVectorOrFloat(info: OpInfo): boolean {
  return info.base.startsWith('v') || info.type === 'f32' || info.type === 'f64';
}

/** Vector operations whose operand a is an integer slot, and those whose result is one. */
const INTEGER_A: ReadonlySet<string> = new Set(['vsplat64', 'vzext64', 'vzext32', 'ffromint']);
const INTEGER_D: ReadonlySet<string> = new Set(['vmask8', 'vmask32', 'vmask64', 'fcomi', 'ftoint']);

function operandFlags(info: OpInfo): number {
  const bytes = isVectorOrFloat(info);
  let flags = 0;
  if (info.args > 0) flags |= bytes && !INTEGER_A.has(info.base) ? BYTES_A : READS_A;
  if (info.args > 1) flags |= bytes ? BYTES_B : READS_B;
  if (info.args > 2) flags |= bytes ? BYTES_C : READS_C;
  if (info.writesD) flags |= bytes && !INTEGER_D.has(info.base) ? BYTES_D : WRITES_D;
  return flags;
}

function flagsOf(info: OpInfo): number {
  switch (info.effect) {
    case 'control':
      return TERMINATOR | (info.base === 'br' ? READS_A : 0);
    case 'call':
      return CALL | READS_A | READS_B | READS_C | WRITES_D;
    case 'memory-read':
      return FAULTS | READS_A | (info.base === 'ld128' || info.base === 'ld256' ? BYTES_D : WRITES_D);
    case 'memory-write':
      return FAULTS | READS_A | (info.base === 'st128' || info.base === 'st256' ? BYTES_D : READS_D);
    case 'state':
      return info.base.startsWith('put') ? READS_A | BYTES_D : FAULTS | operandFlags(info);
    default:
      break;
  }
  if (info.base.startsWith('get')) return BYTES_A | WRITES_D;
  const flags = operandFlags(info);
  return (flags & (BYTES_A | BYTES_B | BYTES_C | BYTES_D)) === 0 ? flags | PURE : flags;
}

/** Flags above, by opcode. */
export const OP_FLAGS: Uint16Array = Uint16Array.from(OP_INFO, flagsOf);
/** Size in 32-bit words, by opcode. */
export const OP_WORDS: Uint8Array = Uint8Array.from(OP_INFO, (info) => info.size >> 2);
/** Operations that do something but write no field `d`: nothing to drop. */
export const MOVI = OP.movi;
export const GOTO = OP.goto;
export const BR = OP.br;
export const GOTO_IND = OP.goto_ind;
