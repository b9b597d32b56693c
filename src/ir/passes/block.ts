import { OP_WORDS } from '../effects.ts';
import { opcodeAt } from '../fields.ts';
import type { HelperInfo } from '../helper-table.ts';

/** Call effects as bits, by helper index. */
export const HELPER_ARGS = 0x3;
/** The helper sees or changes promoted state, or may fault: that state must be exact in memory. */
export const HELPER_SYNC = 0x4;
export const HELPER_PURE = 0x8;

/** Knowledge that passes share, and their working memory: make one per translator. */
export class PassContext {
  readonly words: Int32Array;
  readonly tempBase: number;
  readonly localSlotLimit: number;
  readonly helperBits: Uint8Array;
  /** Word index of each operation of the block, and their number. */
  readonly ops = new Int32Array(8192);
  count = 0;
  readonly dead = new Uint8Array(8192);

  constructor(
    buffer: ArrayBufferLike,
    tempBase: number,
    localSlotLimit: number,
    helpers: readonly HelperInfo[],
  ) {
    this.words = new Int32Array(buffer);
    this.tempBase = tempBase;
    this.localSlotLimit = localSlotLimit;
    this.helperBits = Uint8Array.from(
      helpers,
      (h) => h.args | (h.reads || h.writes || h.faults ? HELPER_SYNC : 0) | (h.pure ? HELPER_PURE : 0),
    );
  }

  /** Lists the operations of the block in bytes [start, end). */
  list(start: number, end: number): void {
    const { words, ops } = this;
    let n = 0;
    for (let p = start >>> 2; p < end >>> 2; p += OP_WORDS[opcodeAt(words, p)]!) ops[n++] = p;
    this.count = n;
  }
}
