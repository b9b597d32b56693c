/** A region: blocks that are compiled together into one function, with their control flow. */

/** Operations in one region at most. */
export const MAX_REGION_OPS = 12_000;
/** Successor: the edge leaves the region. */
export const EXIT = -1;

export interface RegionBlock {
  readonly tb: number;
  readonly ripLo: number;
  readonly ripHi: number;
  /** Word indexes of the IR: first operation, terminator. */
  readonly irStart: number;
  terminator: number;
  /** First and last entry of the block in the region's list of operations; the terminator is not in it. */
  firstOp: number;
  endOp: number;
  /** Block indexes or EXIT. A `goto` uses only `taken`; `goto_ind` and `exit` neither. */
  taken: number;
  other: number;
  /** Blocks behind calls that a `goto_ind` of this block may return to. */
  readonly returns: number[];
  /** Linear page numbers the code lies on, as numbers (exact below 2^53 after dropping the sign extension). */
  readonly page: number;
  readonly page2: number;
}

export interface Region {
  readonly entry: number;
  readonly blocks: RegionBlock[];
  /** Word index of each operation, in block order, and its plain opcode (the word may hold a fused one). */
  readonly ops: Int32Array;
  readonly opcodes: Uint16Array;
  readonly opCount: number;
  readonly insns: number;
  readonly keyLo: number;
  readonly keyHi: number;
}
