import * as W from '../wasm/opcodes.ts';

/** Byte offsets of the fields of an operation in memory. */
export const FIELD_D = 2;
export const FIELD_A = 4;
export const FIELD_B = 6;
/** Second unit: c and x of 'dabc', the immediate of 'dai', disp of 'mem', rip of 'goto'. */
export const FIELD_C = 8;
export const FIELD_IMM = 8;
export const FIELD_X = 10;
/** Restore word of memory operations and calls, `imm` of 'dabc'. */
export const FIELD_RESTORE = 12;
/** Second rip of 'br'. */
export const FIELD_ELSE = 16;

/** Load instruction for a whole operand of a type. */
export function loadOf(type: W.ValueType): number {
  switch (type) {
    case W.I32:
      return W.I32_LOAD;
    case W.I64:
      return W.I64_LOAD;
    case W.F32:
      return W.F32_LOAD;
    case W.F64:
      return W.F64_LOAD;
    default:
      return W.V128_LOAD;
  }
}

/** Store instruction for a whole result of a type (integer results always store 8 bytes). */
export function storeOf(type: W.ValueType): number {
  switch (type) {
    case W.F32:
      return W.F32_STORE;
    case W.F64:
      return W.F64_STORE;
    case W.V128:
      return W.V128_STORE;
    default:
      return W.I64_STORE;
  }
}
