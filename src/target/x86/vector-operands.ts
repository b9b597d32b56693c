import { NO_SLOT, OP } from '../../ir/ops.ts';
import { FPR, XMM } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { K_M, K_N, K_P, K_Q, K_U, K_V, K_W, K_XMM0 } from './operand-codes.ts';
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
  return isMmx(t) || isMmx(t, 1) ? t.mmxUnavailable() : t.sseUnavailable();
}

/** PCMPESTRM … PCMPISTRI take any address (SDM Vol. 2 4.1.1). */
function mayBeMisaligned(t: Translator): boolean {
  return t.map === 3 && (t.opcode & 0xfc) === 0x60;
}

/** State offset of vector operand n: a register, or a temporary loaded from memory (its low `size` bytes). */
export function source(t: Translator, n: number): number {
  const k = t.operandKind(n);
  if (k === K_M || (t.isMem && (k === K_W || k === K_Q))) {
    const size = t.size(n);
    const slot = t.temp();
    t.ea(size, READ);
    if (size !== 16) t.ld(loadOp(size), slot);
    else if (mayBeMisaligned(t)) t.ld(OP.ld128, slot);
    else t.aligned(OP.ld128, slot);
    return slot;
  }
  switch (k) {
    case K_V:
      return t.xmmReg;
    case K_W:
    case K_U:
      return t.xmmRm;
    case K_P:
      return mmxSlot(t.reg);
    case K_XMM0:
      return XMM;
    default:
      return mmxSlot(t.rm);
  }
}

/** A 64-bit slot zero-extended to a 128-bit temporary. */
export function widen(t: Translator, slot: number): number {
  const d = t.temp();
  t.ir.op(OP.vzext64, d, slot);
  return d;
}

/** Two 64-bit slots as one 128-bit temporary, `lo` in its low half. */
export function concat(t: Translator, lo: number, hi: number): number {
  const d = t.temp();
  t.ir.op(OP.mov, d, lo);
  t.ir.op(OP.mov, d + 8, hi);
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

/** `emit(d, s)` computes d op= s on 128-bit slots; MMX operands are widened around it. */
export function lanewise(emit: (t: Translator, d: number, s: number) => void): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const s = source(t, 1);
    if (!isMmx(t)) return emit(t, t.xmmReg, s);
    enterMmx(t);
    const x = widen(t, mmxSlot(t.reg));
    emit(t, x, widen(t, s));
    writeMmx(t, t.reg, x);
  };
}

/** As `lanewise` for operations that draw the halves of their result from one operand each. */
export function halves(emit: (t: Translator, d: number, s: number) => void): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const s = source(t, 1);
    if (!isMmx(t)) return emit(t, t.xmmReg, s);
    enterMmx(t);
    const both = concat(t, mmxSlot(t.reg), s);
    emit(t, both, both);
    writeMmx(t, t.reg, both);
  };
}
