// The x87 register stack and its status, control and tag words as they lie in the register file, and the rules by
// which every x87 instruction reports exceptions (SDM Vol. 1 8.1 and 8.4–8.7).

import {
  CC_OP, CR0, EXIT_REASON, FAULT, FERR, FERR_ASSERTED, FERR_IGNORED, FPR, FPU_CW, FPU_SW, FPU_TAGS, FPU_TOP, HALTED, RESTORE, SHADOW,
} from './layout';
import { updateHflags } from './hflags';
import { EXIT_HALT, FAULT_HOST } from '../tcg/layout';
import { fpu_error } from '../softmmu/host';
import { CR0_NE, V_MF } from './bits';
import { raisePlain } from './raise';
import { CPU } from './state';
import {
  IE, OE, PE, UE, daz, denormal, flags, ftz, masks, rc, roundedUp, wrap,
} from '../softfloat/core';
import { finish80, storeSlot } from '../softfloat/extended';

// Status word bits (SDM Vol. 1 figure 8-4).
export const SW_SF: i32 = 0x40;
export const SW_ES: i32 = 0x80;
export const SW_C0: i32 = 0x100;
export const SW_C1: i32 = 0x200;
export const SW_C2: i32 = 0x400;
export const SW_C3: i32 = 0x4000;
export const SW_BUSY: i32 = 0x8000;

/** The default NaN, "real indefinite". */
export const INDEFINITE_SIG: u64 = 0xc000000000000000;
export const INDEFINITE_SE: u16 = 0xffff;

@inline
export function controlWord(): i32 {
  return load<i32>(CPU + FPU_CW);
}

@inline
export function statusWord(): i32 {
  return load<i32>(CPU + FPU_SW);
}

@inline
export function setStatusWord(sw: i32): void {
  store<u64>(CPU + FPU_SW, u64(sw));
}

@inline
export function top(): i32 {
  return load<i32>(CPU + FPU_TOP);
}

@inline
export function setTop(t: i32): void {
  store<u64>(CPU + FPU_TOP, u64(t & 7));
}

/** Address of ST(i). */
@inline
export function st(i: i32): i32 {
  return CPU + FPR + (((top() + i) & 7) << 4);
}

@inline
export function isEmpty(i: i32): bool {
  return load<u8>(CPU + FPU_TAGS + ((top() + i) & 7)) != 0;
}

@inline
export function setEmpty(i: i32, empty: u8): void {
  store<u8>(CPU + FPU_TAGS + ((top() + i) & 7), empty);
}

export function popStack(): void {
  setEmpty(0, 1);
  setTop(top() + 1);
}

/** Makes room for a new ST(0) and marks it valid. */
@inline
export function pushStack(): void {
  setTop(top() - 1);
  setEmpty(0, 0);
}

@inline
export function copySlot(to: i32, from: i32): void {
  v128.store(to, v128.load(from));
}

@inline
export function storeIndefinite(p: i32): void {
  store<u64>(p, INDEFINITE_SIG);
  store<u16>(p, INDEFINITE_SE, 8);
}

/**
 * #MF, or with CR0.NE clear FERR#: unless IGNNE# is asserted the processor stops before the instruction until an interrupt comes
 * (SDM Vol. 1 D.2.1.2). False: goes on.
 */
function stopForError(): bool {
  if ((load<u64>(CPU + CR0) & CR0_NE) != 0) {
    raisePlain(V_MF);
    return true;
  }
  if ((load<i32>(CPU + FERR) & FERR_IGNORED) != 0) return false;
  store<u64>(CPU + FERR, FERR_ASSERTED);
  const op = load<u32>(CPU + RESTORE) >> 16;
  if (op != 0) store<u64>(CPU + CC_OP, op);
  store<u64>(CPU + RESTORE, 0);
  store<u64>(CPU + SHADOW, 0);
  store<u64>(CPU + HALTED, 1);
  store<u64>(CPU + EXIT_REASON, EXIT_HALT);
  store<u64>(CPU + FAULT, FAULT_HOST);
  fpu_error();
  updateHflags();
  return true;
}

/** ES is about to be set: while it was clear FERR# and IGNNE# were not asserted. */
export function newError(): void {
  if ((statusWord() & SW_ES) == 0) store<u64>(CPU + FERR, 0);
}

/**
 * Starts a waiting x87 instruction: delivers a pending unmasked exception (false: #MF was raised), otherwise sets up
 * the soft-float environment from the control word.
 */
export function enterFpu(): bool {
  if ((statusWord() & SW_ES) != 0 && stopForError()) return false;
  const cw = controlWord();
  flags = 0;
  denormal = 0;
  masks = cw & 63;
  rc = (cw >> 10) & 3;
  wrap = ~cw & (OE | UE);
  ftz = false;
  daz = false;
  roundedUp = false;
  return true;
}

/** Significand bits selected by precision control. */
@inline
export function precision(): i32 {
  const pc = (controlWord() >> 8) & 3;
  return pc == 0 ? 24 : pc == 2 ? 53 : 64;
}

/** Records exceptions (and SF, C1) in the status word; ES and B follow when one of them is unmasked. */
export function signal(exceptions: i32, extra: i32): void {
  let sw = (statusWord() & ~SW_C1) | exceptions | extra;
  if ((exceptions & ~masks & 63) != 0) {
    newError();
    sw |= SW_ES | SW_BUSY;
  }
  setStatusWord(sw);
}

/** Unmasked exceptions of `flags` that are detected before the operation: the operands and the stack stay as they are. */
@inline
export function blocked(): bool {
  return (flags & ~masks & 7) != 0;
}

/** Records `flags`; C1 tells that an inexact result was rounded up. */
@inline
export function signalResult(): void {
  signal(flags, (flags & PE) != 0 && roundedUp ? SW_C1 : 0);
}

/** Stack underflow (SDM Vol. 1 8.5.1.1). Returns true when masked: the caller supplies the indefinite. */
export function stackUnderflow(): bool {
  signal(IE, SW_SF);
  return (masks & IE) != 0;
}

/** Stack overflow: C1 set. */
export function stackOverflow(): bool {
  signal(IE, SW_SF | SW_C1);
  return (masks & IE) != 0;
}

/**
 * Ends an arithmetic instruction: rounds the core's result to `p` bits, reports, and stores it at `to`.
 * Returns false when an unmasked invalid, denormal or zero-divide exception suppressed it.
 */
export function complete(p: i32, to: i32): bool {
  if (blocked()) {
    signal(flags, 0);
    return false;
  }
  finish80(p);
  storeSlot(to);
  signalResult();
  return true;
}
