/** Items of `-d`, as bits of `TcgLog.mask`. */
export const LOG_IN_ASM = 0x1;
export const LOG_OP = 0x2;
export const LOG_OP_OPT = 0x4;
export const LOG_OUT_ASM = 0x8;
export const LOG_INT = 0x10;
export const LOG_EXEC = 0x20;
export const LOG_MMU = 0x40;
export const LOG_GUEST_ERRORS = 0x80;
export const LOG_UNIMP = 0x100;
export const LOG_CPU = 0x200;

/** Names as the command line takes them. */
export const LOG_ITEMS: Readonly<Record<string, number>> = {
  in_asm: LOG_IN_ASM,
  op: LOG_OP,
  op_opt: LOG_OP_OPT,
  out_asm: LOG_OUT_ASM,
  int: LOG_INT,
  exec: LOG_EXEC,
  mmu: LOG_MMU,
  guest_errors: LOG_GUEST_ERRORS,
  unimp: LOG_UNIMP,
  cpu: LOG_CPU,
};

/** Where the translator's log goes. `mask` may change while the machine runs (monitor command `log`). */
export interface TcgLog {
  mask: number;
  /** Text of one or more whole lines. */
  write(text: string): void;
}

export const NO_LOG: TcgLog = { mask: 0, write: () => {} };

export function hex64(hi: number, lo: number): string {
  return (hi >>> 0).toString(16).padStart(8, '0') + (lo >>> 0).toString(16).padStart(8, '0');
}
