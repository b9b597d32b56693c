import { TB_FUNC, TB_HOST_PC2, TB_HOT, TB_IR, TB_KEY, TB_RIP, TB_SIZE } from '../../runtime/tcg/layout.ts';
import { HF_CS64 } from '../../runtime/x86/layout.ts';
import { UNFUSED } from './interp/fusion.ts';
import { EXIT, MAX_REGION_OPS, type Region, type RegionBlock } from './region.ts';
import { BR, CALL, GOTO, GOTO_IND, MOVI, OP_FLAGS, OP_WORDS, TERMINATOR } from './region-ops.ts';
import { TB_MAX_BYTES } from './tb-cache.ts';

export interface FormOptions {
  readonly words: Int32Array;
  /** The valid block at another RIP under the present key and mapping, 0 if there is none. */
  readonly peek: (ripLo: number, ripHi: number) => number;
  readonly maxInsns: number;
  readonly maxBlocks: number;
  /** A block with more executions than this left before it is hot does not join. */
  readonly maxHotLeft: number;
}

/** Calls per region whose returns are predicted. */
const MAX_RETURN_POINTS = 4;

/** Collects the blocks that can be reached by direct jumps and have been executed often enough. */
export class RegionFormer {
  private readonly o: FormOptions;
  private readonly words: Int32Array;
  private blocks: RegionBlock[] = [];
  private readonly indexOf = new Map<number, number>();
  private readonly ops = new Int32Array(MAX_REGION_OPS);
  private readonly opcodes = new Uint16Array(MAX_REGION_OPS);
  private opCount = 0;
  private insns = 0;
  /** Blocks behind calls within the region. */
  private readonly returnPoints: number[] = [];

  constructor(o: FormOptions) {
    this.o = o;
    this.words = o.words;
  }

  /** The region of a block. Its lists of operations are valid until the next call. */
  form(entryTb: number): Region {
    this.blocks = [];
    this.indexOf.clear();
    this.opCount = 0;
    this.insns = 0;
    const keyLo = this.words[(entryTb + TB_KEY) >>> 2]!;
    const keyHi = this.words[((entryTb + TB_KEY) >>> 2) + 1]!;
    this.add(entryTb);
    this.returnPoints.length = 0;
    for (let i = 0; i < this.blocks.length; i++) this.linkSuccessors(this.blocks[i]!);
    for (const block of this.blocks) this.linkReturns(block);
    return {
      entry: 0,
      blocks: this.blocks,
      ops: this.ops,
      opcodes: this.opcodes,
      opCount: this.opCount,
      insns: this.insns,
      keyLo,
      keyHi,
    };
  }

  private linkSuccessors(block: RegionBlock): void {
    const w = this.words;
    const at = block.terminator;
    const opcode = w[at]! & 0xffff;
    if (opcode === GOTO) {
      this.linkGoto(block, w[at + 2]!, w[at + 3]!);
    } else if (opcode === BR) {
      block.taken = this.successor(w[at + 2]!, w[at + 3]!);
      block.other = this.successor(w[at + 4]!, w[at + 5]!);
    }
  }

  private successor(ripLo: number, ripHi: number): number {
    const tb = this.o.peek(ripLo, ripHi);
    if (tb === 0) return EXIT;
    const known = this.indexOf.get(tb);
    if (known !== undefined) return known;
    return this.mayJoin(tb) ? this.add(tb) : EXIT;
  }

  /** A block that pushes the address behind itself and jumps elsewhere is a call: control will come back behind it. */
  private linkGoto(block: RegionBlock, targetLo: number, targetHi: number): void {
    const size = this.words[(block.tb + TB_SIZE) >>> 2]! & 0xffff;
    const sum = (block.ripLo >>> 0) + size;
    const lo = sum | 0;
    const hi = sum > 0xffffffff ? (block.ripHi + 1) | 0 : block.ripHi;
    const isCall = targetLo !== lo && this.mentions(block, lo, hi);
    block.taken = this.successor(targetLo, targetHi);
    if (!isCall || block.taken === EXIT || this.returnPoints.length >= MAX_RETURN_POINTS) return;
    const index = this.successor(lo, hi);
    if (index !== EXIT && !this.returnPoints.includes(index)) this.returnPoints.push(index);
  }

  /** The block loads this constant. */
  private mentions(block: RegionBlock, lo: number, hi: number): boolean {
    const w = this.words;
    for (let i = block.endOp - 1; i >= block.firstOp; i--) {
      const at = this.ops[i]!;
      if (this.opcodes[i] === MOVI && w[at + 2] === lo && w[at + 3] === hi) return true;
    }
    return false;
  }

  /** A `goto_ind` without helper calls (they might change the mode or the mapping) may be the return from one of the calls. */
  private linkReturns(block: RegionBlock): void {
    if (this.returnPoints.length === 0 || UNFUSED[this.words[block.terminator]! & 0xffff] !== GOTO_IND)
      return;
    for (let i = block.firstOp; i < block.endOp; i++) if ((OP_FLAGS[this.opcodes[i]!]! & CALL) !== 0) return;
    block.returns.push(...this.returnPoints);
  }

  private mayJoin(tb: number): boolean {
    const w = this.words;
    if (this.blocks.length >= this.o.maxBlocks || this.opCount > MAX_REGION_OPS - TB_MAX_BYTES / 8)
      return false;
    if (this.insns + (w[(tb + TB_SIZE) >>> 2]! >>> 16) > this.o.maxInsns) return false;
    // what has a region of its own is not copied into this one: docs/adr/0009
    if (w[(tb + TB_FUNC) >>> 2]! !== 0) return false;
    return w[(tb + TB_HOT) >>> 2]! <= this.o.maxHotLeft;
  }

  private pageOf(tb: number): number {
    const w = this.words;
    const rip = (tb + TB_RIP) >>> 2;
    const key = (tb + TB_KEY) >>> 2;
    const lo = (w[rip]! >>> 0) + (w[key + 1]! >>> 0);
    if ((w[key]! & HF_CS64) === 0) return Math.floor((lo % 0x1_0000_0000) / 4096);
    return w[rip + 1]! * 0x10_0000 + Math.floor(lo / 4096);
  }

  /** Appends the block and lists its operations. */
  private add(tb: number): number {
    const w = this.words;
    const index = this.blocks.length;
    const page = this.pageOf(tb);
    const irStart = w[(tb + TB_IR) >>> 2]! >>> 2;
    const firstOp = this.opCount;
    let at = irStart;
    for (;;) {
      const opcode = UNFUSED[w[at]! & 0xffff]!;
      if ((OP_FLAGS[opcode]! & TERMINATOR) !== 0) break;
      this.opcodes[this.opCount] = opcode;
      this.ops[this.opCount++] = at;
      at += OP_WORDS[opcode]!;
    }
    this.blocks.push({
      tb,
      ripLo: w[(tb + TB_RIP) >>> 2]!,
      ripHi: w[((tb + TB_RIP) >>> 2) + 1]!,
      irStart,
      terminator: at,
      firstOp,
      endOp: this.opCount,
      taken: EXIT,
      other: EXIT,
      returns: [],
      page,
      page2: w[(tb + TB_HOST_PC2) >>> 2] === 0 ? page : page + 1,
    });
    this.indexOf.set(tb, index);
    this.insns += w[(tb + TB_SIZE) >>> 2]! >>> 16;
    return index;
  }
}
