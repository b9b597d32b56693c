import type { Bits } from './image.ts';

/** The memory operand of an encoding, so that inputs can place it. Register numbers, -1 = none. */
export interface EffectiveAddress {
  readonly base: number;
  readonly index: number;
  readonly shift: number;
  readonly disp: number;
  /** Address size in bytes: 2, 4 or 8. */
  readonly addressSize: number;
  /** Bytes the operand has. */
  readonly size: number;
  /** 4 or 5: FS or GS override. */
  readonly segment?: number;
  /** The index is a vector register of elements of this many bytes. */
  readonly vsib?: number;
}

/** One encoding to be run with several inputs. Plain data: recorded as it is. */
export interface OracleCase {
  /** Label of the table row: see `rowLabel`. */
  readonly row: string;
  /** Mnemonic. */
  readonly name: string;
  readonly bits: Bits;
  /** Hexadecimal bytes of the instruction. */
  readonly code: string;
  /** Operand size in bytes. */
  readonly size: number;
  readonly ea?: EffectiveAddress;
  /** Registers whose values need care: ModRM.reg and ModRM.rm in the register form, -1 = none. */
  readonly reg?: number;
  readonly rm?: number;
  /** Immediate operand, sign-extended. */
  readonly imm?: number;
  /** REP or REPNE stands before it. */
  readonly rep?: boolean;
}

export function codeBytes(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (b) => Number.parseInt(b, 16));
}

export function hexOf(bytes: ArrayLike<number>): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
