import {
  CALL,
  EFFECTS,
  FAULTS,
  OP_WORDS,
  PURE,
  READS_A,
  READS_B,
  READS_BYTES,
  READS_C,
  READS_D,
  TERMINATOR,
  WRITES_D,
} from '../effects.ts';
import { fieldA, fieldB, fieldC, fieldD, fieldX, opcodeAt } from '../fields.ts';
import { NO_SLOT } from '../ops.ts';
import { HELPER_ARGS, HELPER_PURE, HELPER_SYNC, type PassContext } from './block.ts';

/**
 * Removes pure operations whose result is overwritten before anything can see it. Everything promoted is seen by the block's end,
 * by operations that may fault and by helpers that read state; temporaries die with the block. Returns the new end.
 */
export function removeDeadStores(cx: PassContext, start: number, end: number): number {
  cx.list(start, end);
  return markDead(cx) ? compact(cx, start) : end;
}

/** Walks the block backwards with the sets of live slots (bit n: promoted slot n, temporary n). */
function markDead(cx: PassContext): boolean {
  const { words, ops, dead, localSlotLimit, tempBase } = cx;
  let liveState = -1;
  let liveTemps = 0;
  let found = false;
  for (let i = cx.count - 1; i >= 0; i--) {
    const p = ops[i]!;
    const effects = EFFECTS[opcodeAt(words, p)]!;
    dead[i] = 0;
    const d = fieldD(words, p);
    let reads = effects;
    if ((effects & (WRITES_D | CALL)) !== 0) {
      const helper = (effects & CALL) !== 0 ? cx.helperBits[fieldX(words, p)]! : 0;
      const removable = (effects & PURE) !== 0 || (helper & HELPER_PURE) !== 0;
      if (d < localSlotLimit) {
        const bit = 1 << (d >>> 3);
        if (removable && (liveState & bit) === 0) dead[i] = 1;
        liveState &= ~bit;
      } else if (d >= tempBase && d - tempBase < 512) {
        const bit = 1 << ((d - tempBase) >>> 4);
        if (removable && (liveTemps & bit) === 0) dead[i] = 1;
        liveTemps &= ~bit;
      } else if (removable && d === NO_SLOT) {
        dead[i] = 1;
      }
      if (dead[i] === 1) {
        found = true;
        continue;
      }
      if ((helper & HELPER_SYNC) !== 0) liveState = -1;
      if ((effects & CALL) !== 0) reads = (1 << (helper & HELPER_ARGS)) - 1;
    }
    if ((effects & (FAULTS | TERMINATOR)) !== 0) liveState = -1;
    if ((effects & READS_BYTES) !== 0) {
      liveTemps = -1; // lanes and vectors: which temporary does not matter
      continue;
    }
    for (let bit = READS_A; bit <= READS_D; bit <<= 1) {
      if ((reads & bit) === 0) continue;
      const slot =
        bit === READS_A
          ? fieldA(words, p)
          : bit === READS_B
            ? fieldB(words, p)
            : bit === READS_C
              ? fieldC(words, p)
              : d;
      if (slot < localSlotLimit) liveState |= 1 << (slot >>> 3);
      else if (slot >= tempBase && slot - tempBase < 512) liveTemps |= 1 << ((slot - tempBase) >>> 4);
    }
  }
  return found;
}

/** Moves what is left together; returns the new end in bytes. */
function compact(cx: PassContext, start: number): number {
  const { words, ops, dead } = cx;
  let to = start >>> 2;
  for (let i = 0; i < cx.count; i++) {
    if (dead[i] === 1) continue;
    const from = ops[i]!;
    const size = OP_WORDS[opcodeAt(words, from)]!;
    if (from !== to) words.copyWithin(to, from, from + size);
    to += size;
  }
  return to << 2;
}
