import { OP_INFO, type OpInfo } from './ops.ts';

/** What each operation does with its fields: bit masks by opcode, for passes that run on every block. */

/** Integer slots read, as a whole. */
export const READS_A = 0x01;
export const READS_B = 0x02;
export const READS_C = 0x04;
export const READS_D = 0x08;
/** Integer slot d is written, as a whole. */
export const WRITES_D = 0x10;
/** d names bytes that are written (vectors, lanes, `put`); a, b, c that are read as bytes (vectors, lanes, `get`). */
export const WRITES_BYTES = 0x20;
export const READS_BYTES = 0x40;
/** Has no effect but its result. */
export const PURE = 0x80;
/** May leave the block through a fault: promoted state must be exact before it. */
export const FAULTS = 0x100;
export const CALL = 0x200;
export const TERMINATOR = 0x400;

const INTEGER_OPERAND = new Set(['vsplat64', 'vzext64', 'vzext32', 'ffromint']);

function isLane(info: OpInfo): boolean {
  return info.base.startsWith('v') || info.type === 'f32' || info.type === 'f64';
}

function reads(info: OpInfo): number {
  if (info.base.startsWith('get') || (isLane(info) && !INTEGER_OPERAND.has(info.base))) return READS_BYTES;
  return (READS_A | READS_B | READS_C) & ((1 << info.args) - 1);
}

function writes(info: OpInfo): number {
  if (info.base.startsWith('put')) return WRITES_BYTES;
  if (info.resultType === 'none') return 0;
  return info.resultType === 'i32' || info.resultType === 'i64' ? WRITES_D : WRITES_BYTES;
}

function effectsOf(info: OpInfo): number {
  switch (info.effect) {
    case 'control':
      return TERMINATOR | (info.base === 'br' ? READS_A : 0);
    case 'call':
      return CALL;
    case 'memory-read':
      return FAULTS | READS_A | writes(info);
    case 'memory-write':
      return FAULTS | READS_A | (info.base === 'st128' || info.base === 'st256' ? READS_BYTES : READS_D);
    case 'state':
      return reads(info) | writes(info) | (info.format === 'dabc' ? FAULTS : 0);
    default:
      return reads(info) | writes(info) | PURE;
  }
}

export const EFFECTS: Uint16Array = Uint16Array.from(OP_INFO, effectsOf);
/** Size in 32-bit words. */
export const OP_WORDS: Uint8Array = Uint8Array.from(OP_INFO, (info) => info.size >> 2);
