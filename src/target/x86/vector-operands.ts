import { NO_SLOT, OP } from '../../ir/ops.ts';
import { FPR, VECTOR_HI, XMM } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { K_H, K_L, K_M, K_N, K_P, K_Q, K_U, K_V, K_W, K_XMM0 } from './operand-codes.ts';
import { loadOp, READ } from './operands.ts';
import type { Handler, Translator } from './translator.ts';

/** State offset of an MMX register. */
export function mmxSlot(n: number): number {
  return FPR + ((n & 7) << 4);
}

/** Whether operand n is an MMX register (or the memory in its place). */
export function isMmx(t: Translator, n = 0): boolean {
  const k = t.operandKind(n);
  return k >= K_P && k <= K_N;
}

/** Ends the instruction with #UD or #NM where MMX or SSE is not available. */
export function unavailable(t: Translator): boolean {
  return !t.vex && (isMmx(t) || isMmx(t, 1)) ? t.mmxUnavailable() : t.sseUnavailable();
}

/** PCMPESTRM … PCMPISTRI take any address (SDM Vol. 2 4.1.1). */
function mayBeMisaligned(t: Translator): boolean {
  return t.map === 3 && (t.opcode & 0xfc) === 0x60;
}

/** State offset of vector operand n: a register, or a temporary loaded from memory (its low `size` bytes). */
export function source(t: Translator, n: number): number {
  const k = t.operandKind(n);
  if (k === K_M || (t.isMem && (k === K_W || k === K_Q))) {
    // A pending x87 exception comes before a fault of the operand; CVTPI2PD from memory does not care (SDM Vol. 2A).
    if (k === K_Q && t.opcode !== 0x2a) t.call(HELPER.fpu_wait);
    return loadVector(t, t.size(n));
  }
  switch (k) {
    case K_V:
      return t.xmmReg;
    case K_W:
    case K_U:
      return t.xmmRm;
    case K_H:
      return t.xmmV;
    case K_L:
      return t.xmmImm;
    case K_P:
      return mmxSlot(t.reg);
    case K_XMM0:
      return XMM;
    default:
      return mmxSlot(t.rm);
  }
}

/** Memory operands of VEX forms need no alignment (SDM Vol. 1 14.9), but for the aligned moves. */
function loadVector(t: Translator, size: number): number {
  const slot = t.vex ? t.vectorTemp() : t.temp();
  t.ea(size, READ);
  if (size === 32) t.ld(OP.ld256, slot);
  else if (size !== 16) t.ld(loadOp(size), slot);
  else if (t.vex || mayBeMisaligned(t)) t.ld(OP.ld128, slot);
  else t.aligned(OP.ld128, slot);
  return slot;
}

// ---- VEX forms: d = a op b, on one or two lanes of 128 bits

/** The upper half of a 256-bit operand. */
export function upper(slot: number): number {
  return slot + VECTOR_HI;
}

/** Number of the last vector operand: 2 where operand 1 is VEX.vvvv. */
export function lastSource(t: Translator): number {
  return t.operandKind(1) === K_H ? 2 : 1;
}

/** First operand of d = a op b: VEX.vvvv, or the destination where the encoding has no third operand. */
export function first(t: Translator): number {
  return t.operandKind(1) === K_H ? t.xmmV : t.xmmReg;
}

/** 128-bit lanes of operand n. */
export function lanes(t: Translator, n = 0): number {
  return t.size(n) === 32 ? 2 : 1;
}

/** Calls `emit` for each lane with the slots of d, a, b. Results may be written at once: nothing faults. */
export function eachLane(
  t: Translator,
  b: number,
  emit: (d: number, a: number, b: number, lane: number) => void,
): void {
  const d = t.xmmReg;
  const a = first(t);
  for (let lane = 0, at = 0; lane < lanes(t); lane++, at += VECTOR_HI) emit(d + at, a + at, b + at, lane);
}

/** d = a op b by code that computes d op= b. */
export function inPlace(
  t: Translator,
  d: number,
  a: number,
  b: number,
  emit: (d: number, b: number) => void,
): void {
  if (d === a) return emit(d, b);
  const x = d === b ? t.vectorTemp() : d;
  t.ir.op(OP.vmov, x, a);
  emit(x, b);
  if (x !== d) t.ir.op(OP.vmov, d, x);
}

/**
 * Floating-point operations by helpers that compute d op= b and may raise exceptions: all lanes are computed before the destination
 * is written, and the lanes of 256 bits report their exceptions together.
 */
export function faulting(emit: (t: Translator, d: number, b: number, lane: number) => void): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    const d = t.xmmReg;
    const a = first(t);
    const count = Math.max(lanes(t), lanes(t, lastSource(t)));
    if (count === 1 && a === d) return emit(t, d, b, 0);
    const x = t.vectorTemp();
    if (count === 2) t.call(HELPER.sse_collect);
    for (let lane = 0, at = 0; lane < count; lane++, at += VECTOR_HI) {
      if (a !== d || t.operandKind(1) === K_H) t.ir.op(OP.vmov, x + at, a + at);
      emit(t, x + at, b + at, lane);
    }
    if (count === 2) t.call(HELPER.sse_report);
    t.ir.op(OP.vmov, d, x);
    if (count === 2) t.ir.op(OP.vmov, upper(d), upper(x));
  };
}

/** Scalar operations by helpers that compute the low lane of d op= b; the rest of the result is that of a. */
export function faultingScalar(emit: (t: Translator, d: number, b: number) => void): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const b = source(t, lastSource(t));
    scalarResult(t, (d) => emit(t, d, b));
  };
}

/** `emit` computes the low lane of its operand; then the rest follows from the first source. */
export function scalarResult(t: Translator, emit: (d: number) => void): void {
  const d = t.xmmReg;
  const a = first(t);
  if (a === d) return emit(d);
  const x = t.vectorTemp();
  t.ir.op(OP.mov, x, a);
  emit(x);
  t.ir.op(OP.mov, d, x);
  t.ir.op(OP.mov, d + 8, a + 8);
}

/** Zeroes what VEX.128 and scalar forms leave of the register at `slot`: bits 255..128. */
export function zeroUpper(t: Translator, slot: number): void {
  t.ir.op128(OP.vconst, upper(slot), 0, 0, 0, 0, 0, 0);
}

/** The handler of a VEX row: that of its SSE form, then the upper half of the destination register is zeroed. */
export function vexForm(handler: Handler): Handler {
  return (t) => {
    handler(t);
    if (t.hasEnded || t.size(0) === 32) return;
    const k = t.operandKind(0);
    if (k === K_V) zeroUpper(t, t.xmmReg);
    else if (k === K_H) zeroUpper(t, t.xmmV);
    else if (k === K_W && !t.isMem) zeroUpper(t, t.xmmRm);
  };
}

/** A 64-bit slot zero-extended to a 128-bit temporary. */
export function widen(t: Translator, slot: number): number {
  const d = t.temp();
  t.ir.op(OP.vzext64, d, slot);
  return d;
}

/** Two 64-bit slots as one 128-bit temporary, `lo` in its low half. */
export function concat(t: Translator, lo: number, hi: number): number {
  const d = widen(t, lo);
  shuffle(t, d, d, widen(t, hi), (i) => (i < 8 ? i : i + 8));
  return d;
}

export function zeroVector(t: Translator): number {
  const d = t.temp();
  t.ir.op128(OP.vconst, d, 0, 0, 0, 0, 0, 0);
  return d;
}

/** A vector whose 32-bit lanes are all `word`. */
export function splatWord(t: Translator, word: number): number {
  const d = t.temp();
  t.ir.op128(OP.vconst, d, 0, 0, word, word, word, word);
  return d;
}

/** Start of an MMX instruction, once its memory operand has been read: #MF, TOP and tags. */
export function enterMmx(t: Translator): void {
  t.call(HELPER.mmx_enter);
}

/** Writes the low 64 bits of `slot` to MMX register n; sign and exponent become all ones (SDM Vol. 1 9.2.1). */
export function writeMmx(t: Translator, n: number, slot: number): void {
  const d = mmxSlot(n);
  if (slot !== d) t.ir.op(OP.mov, d, slot);
  t.ir.op(OP.put16, d + 8, t.constant(0xffff));
}

/** Byte shuffle: result byte i is byte index(i) of a (0..15) and b (16..31). */
export function shuffle(t: Translator, d: number, a: number, b: number, index: (i: number) => number): void {
  const w = [0, 0, 0, 0];
  for (let i = 0; i < 16; i++) w[i >> 2]! |= index(i) << ((i & 3) << 3);
  t.ir.op128(OP.vshuffle, d, a, b, w[0]!, w[1]!, w[2]!, w[3]!);
}

/** Calls a helper with a constant and two state offsets (or three constants). */
export function callOffsets(t: Translator, helper: number, a: number, b: number, c?: number): void {
  t.call(helper, NO_SLOT, t.constant(a), t.constant(b), c === undefined ? NO_SLOT : t.constant(c));
}

/** Slots of up to four operands in one constant. */
export function registers(t: Translator, a: number, b: number, c = 0, d = 0): number {
  return t.constant(a | (b << 16), c | (d << 16));
}

/** `emit(d, a, b)` computes d = a op b on 128-bit slots; MMX operands are widened around it. */
export function lanewise(
  emit: (t: Translator, d: number, a: number, b: number, lane: number) => void,
): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const b = source(t, lastSource(t));
    if (!isMmx(t)) return eachLane(t, b, (d, a, s, lane) => emit(t, d, a, s, lane));
    enterMmx(t);
    const x = widen(t, mmxSlot(t.reg));
    emit(t, x, x, widen(t, b), 0);
    writeMmx(t, t.reg, x);
  };
}

/** As `lanewise` for operations that draw the halves of their result from one operand each. */
export function halves(emit: (t: Translator, d: number, a: number, b: number) => void): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const b = source(t, lastSource(t));
    if (!isMmx(t)) return eachLane(t, b, (d, a, s) => emit(t, d, a, s));
    enterMmx(t);
    const both = concat(t, mmxSlot(t.reg), b);
    emit(t, both, both, both);
    writeMmx(t, t.reg, both);
  };
}
