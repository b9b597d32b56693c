/**
 * Regions as numbers, to be handed to the thread that compiles them. The IR itself stays where it is, in shared memory: only the
 * shape of the region and where its blocks' IR lies are written. One region:
 *
 * slot, key low, key high, instructions, number of blocks; then per block: tb, rip low, rip high, IR start, terminator, taken, other,
 * number of its page, number of its second page, number of blocks it may return to, those blocks. IR positions are word indexes, pages are numbered from 0 within the region.
 */
import { UNFUSED } from './interp/fusion.ts';
import { MAX_REGION_OPS, type Region, type RegionBlock } from './region.ts';
import { OP_FLAGS, OP_WORDS, TERMINATOR } from './region-ops.ts';

const HEADER_WORDS = 5;
const BLOCK_WORDS = 10;

/** Words that the region takes. */
export function encodedSize(region: Region): number {
  let words = HEADER_WORDS;
  for (const b of region.blocks) words += BLOCK_WORDS + b.returns.length;
  return words;
}

/** Writes a region to `out` from index `start`, with room for `encodedSize` words; returns the index behind it. */
export function encodeRegion(region: Region, slot: number, out: Int32Array, start: number): number {
  let p = start;
  const pages = new Map<number, number>();
  const numberOf = (page: number): number => {
    const known = pages.get(page);
    if (known !== undefined) return known;
    pages.set(page, pages.size);
    return pages.size - 1;
  };
  out[p++] = slot;
  out[p++] = region.keyLo;
  out[p++] = region.keyHi;
  out[p++] = region.insns;
  out[p++] = region.blocks.length;
  for (const b of region.blocks) {
    out[p++] = b.tb;
    out[p++] = b.ripLo;
    out[p++] = b.ripHi;
    out[p++] = b.irStart;
    out[p++] = b.terminator;
    out[p++] = b.taken;
    out[p++] = b.other;
    out[p++] = numberOf(b.page);
    out[p++] = numberOf(b.page2);
    out[p++] = b.returns.length;
    for (const r of b.returns) out[p++] = r;
  }
  return p;
}

/** Reads regions back; lists their operations from the IR. */
export class RegionDecoder {
  private readonly words: Int32Array;
  private readonly ops = new Int32Array(MAX_REGION_OPS);
  private readonly opcodes = new Uint16Array(MAX_REGION_OPS);
  /** Table slot of the region read last, and position behind it. */
  slot = 0;
  next = 0;

  /** `words`: the memory that holds the IR. */
  constructor(words: Int32Array) {
    this.words = words;
  }

  /** The region at `from[at]`; its lists of operations are valid until the next call. Undefined if its IR has been overwritten. */
  read(from: Int32Array, at: number): Region | undefined {
    const blocks: RegionBlock[] = [];
    const count = from[at + 4]!;
    let opCount = 0;
    let ok = true;
    this.slot = from[at]!;
    let p = at + HEADER_WORDS;
    for (let n = 0; n < count; n++) {
      const firstOp = opCount;
      const terminator = from[p + 4]!;
      opCount = this.list(from[p + 3]!, terminator, opCount);
      if (opCount < 0) {
        ok = false;
        opCount = 0;
      }
      blocks.push({
        tb: from[p]!,
        ripLo: from[p + 1]!,
        ripHi: from[p + 2]!,
        irStart: from[p + 3]!,
        terminator,
        firstOp,
        endOp: opCount,
        taken: from[p + 5]!,
        other: from[p + 6]!,
        page: from[p + 7]!,
        page2: from[p + 8]!,
        returns: Array.from(from.subarray(p + BLOCK_WORDS, p + BLOCK_WORDS + from[p + 9]!)),
      });
      p += BLOCK_WORDS + from[p + 9]!;
    }
    this.next = p;
    if (!ok) return undefined;
    return {
      entry: 0,
      blocks,
      ops: this.ops,
      opcodes: this.opcodes,
      opCount,
      insns: from[at + 3]!,
      keyLo: from[at + 1]!,
      keyHi: from[at + 2]!,
    };
  }

  /** Lists the operations from `at` to the terminator; returns the new count, -1 if they do not lead there. */
  private list(start: number, terminator: number, count: number): number {
    let n = count;
    let at = start;
    while (at < terminator && n < MAX_REGION_OPS) {
      const opcode = UNFUSED[this.words[at]! & 0xffff];
      if (opcode === undefined || (OP_FLAGS[opcode]! & TERMINATOR) !== 0) return -1;
      this.opcodes[n] = opcode;
      this.ops[n++] = at;
      at += OP_WORDS[opcode]!;
    }
    return at === terminator ? n : -1;
  }
}
