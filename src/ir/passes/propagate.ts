import { CALL, EFFECTS, READS_A, READS_B, READS_C, READS_D, WRITES_BYTES, WRITES_D } from '../effects.ts';
import { fieldA, fieldB, fieldC, fieldD, fieldX, opcodeAt, word2, word3 } from '../fields.ts';
import { OP, OP_INFO } from '../ops.ts';
import { HELPER_ARGS, HELPER_SYNC, type PassContext, TRACKED, TRACKED_STATE } from './block.ts';

/**
 * Copy propagation: an operand that is known to hold a copy of another slot is read from there, so that the copy may become dead.
 * Copies into promoted slots stay, only their readers change.
 */
export function propagateCopies(cx: PassContext, start: number, end: number): void {
  cx.list(start, end);
  const { words, ops } = cx;
  COPY_OF.fill(-1);
  VERSION.fill(0);
  for (let i = 0; i < cx.count; i++) {
    const p = ops[i]!;
    const opcode = opcodeAt(words, p);
    const effects = EFFECTS[opcode]!;
    const helper = (effects & CALL) !== 0 ? cx.helperBits[fieldX(words, p)]! : 0;
    const reads = (effects & CALL) !== 0 ? (1 << (helper & HELPER_ARGS)) - 1 : effects;
    if ((reads & READS_A) !== 0) setA(words, p, source(cx, fieldA(words, p)));
    if ((reads & READS_B) !== 0) setB(words, p, source(cx, fieldB(words, p)));
    if ((reads & READS_C) !== 0) setC(words, p, source(cx, fieldC(words, p)));
    if ((reads & READS_D) !== 0) setD(words, p, source(cx, fieldD(words, p)));
    if ((helper & HELPER_SYNC) !== 0) for (let n = 0; n < TRACKED_STATE; n++) forget(n);
    if ((effects & (WRITES_D | WRITES_BYTES | CALL)) === 0) continue;
    const n = cx.tracked(fieldD(words, p));
    if (n < 0) continue;
    forget(n);
    if (opcode === OP.mov) rememberCopy(cx, n, fieldA(words, p));
  }
}

/** Slot that tracked slot n is a copy of, -1: none; and that slot's version at the time. */
const COPY_OF = new Int32Array(TRACKED);
const COPY_VERSION = new Int32Array(TRACKED);
/** Counts the changes of each tracked slot. */
const VERSION = new Int32Array(TRACKED);

function rememberCopy(cx: PassContext, n: number, from: number): void {
  const m = cx.tracked(from);
  if (m < 0 || m === n) return;
  COPY_OF[n] = from;
  COPY_VERSION[n] = VERSION[m]!;
}

function source(cx: PassContext, slot: number): number {
  const n = cx.tracked(slot);
  const known = n < 0 ? -1 : COPY_OF[n]!;
  return known >= 0 && VERSION[cx.tracked(known)] === COPY_VERSION[n] ? known : slot;
}

/** Tracked slot n changes: it is no copy any more, and what was a copy of it is none either. */
function forget(n: number): void {
  COPY_OF[n] = -1;
  VERSION[n]!++;
}

function setA(words: Int32Array, p: number, slot: number): void {
  words[p + 1] = (words[p + 1]! & ~0xffff) | slot;
}

function setB(words: Int32Array, p: number, slot: number): void {
  words[p + 1] = (words[p + 1]! & 0xffff) | (slot << 16);
}

function setC(words: Int32Array, p: number, slot: number): void {
  words[p + 2] = (words[p + 2]! & ~0xffff) | slot;
}

function setD(words: Int32Array, p: number, slot: number): void {
  words[p] = (words[p]! & 0xffff) | (slot << 16);
}

// ---- constants

/** Opcode of the `_imm` form, by opcode; 0 if there is none. */
const IMM_FORM: Uint16Array = Uint16Array.from(OP_INFO, (info) => {
  const imm = OP_INFO.find((o) => o.base === info.base && o.type === info.type && o.isImm);
  return imm === undefined || info.isImm ? 0 : imm.opcode;
});
const COMMUTES = new Uint8Array(
  OP_INFO.map((i) => (['add', 'mul', 'and', 'or', 'xor', 'eq', 'ne'].includes(i.base) ? 1 : 0)),
);

const KNOWN = new Uint8Array(TRACKED);
const LOW = new Int32Array(TRACKED);
const HIGH = new Int32Array(TRACKED);
const OUT = new Int32Array(1 << 16);

/**
 * Constant operands become immediates: `op d, a, b` with b (or a, where they commute) set by a `movi` turns into `op_imm`. The
 * block may grow; `limit` is the first byte it must not reach (then nothing is changed). Returns the new end.
 */
export function foldConstants(cx: PassContext, start: number, end: number, limit: number): number {
  cx.list(start, end);
  const { words, ops } = cx;
  KNOWN.fill(0);
  let out = 0;
  let changed = false;
  for (let i = 0; i < cx.count; i++) {
    const p = ops[i]!;
    const opcode = opcodeAt(words, p);
    const size = (i + 1 < cx.count ? ops[i + 1]! : end >>> 2) - p;
    const imm = IMM_FORM[opcode]!;
    const n = imm === 0 ? -1 : constantOperand(cx, p, opcode);
    if (n >= 0) {
      const keep = knownIsA ? fieldB(words, p) : fieldA(words, p);
      OUT[out] = imm | (fieldD(words, p) << 16);
      OUT[out + 1] = keep;
      OUT[out + 2] = LOW[n]!;
      OUT[out + 3] = HIGH[n]!;
      out += 4;
      changed = true;
    } else {
      for (let k = 0; k < size; k++) OUT[out + k] = words[p + k]!;
      out += size;
    }
    track(cx, p, opcode);
  }
  if (!changed || start + (out << 2) > limit) return end;
  words.set(OUT.subarray(0, out), start >>> 2);
  return start + (out << 2);
}

let knownIsA = false;

/** Tracked number of the constant operand that may become an immediate, -1 if none. */
function constantOperand(cx: PassContext, p: number, opcode: number): number {
  const b = cx.tracked(fieldB(cx.words, p));
  knownIsA = false;
  if (b >= 0 && KNOWN[b] === 1) return b;
  if (COMMUTES[opcode] === 0) return -1;
  const a = cx.tracked(fieldA(cx.words, p));
  knownIsA = a >= 0 && KNOWN[a] === 1;
  return knownIsA ? a : -1;
}

/** Updates what is known behind the operation. */
function track(cx: PassContext, p: number, opcode: number): void {
  const { words } = cx;
  const effects = EFFECTS[opcode]!;
  if ((effects & CALL) !== 0 && (cx.helperBits[fieldX(words, p)]! & HELPER_SYNC) !== 0)
    KNOWN.fill(0, 0, TRACKED_STATE);
  if ((effects & (WRITES_D | WRITES_BYTES | CALL)) === 0) return;
  const n = cx.tracked(fieldD(words, p));
  if (n < 0) return;
  KNOWN[n] = opcode === OP.movi ? 1 : 0;
  LOW[n] = word2(words, p);
  HIGH[n] = word3(words, p);
}
