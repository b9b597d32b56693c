import type { HelperInfo } from '../../ir/helper-table.ts';
import { NO_SLOT } from '../../ir/ops.ts';
import { TEMP_BASE, TEMP_LIMIT } from '../../runtime/x86/layout.ts';
import { EXIT, MAX_REGION_OPS, type Region, type RegionBlock } from './region.ts';
import type { RegionGraph } from './region-graph.ts';
import {
  BR,
  BYTES_A,
  BYTES_B,
  BYTES_C,
  BYTES_D,
  CALL,
  FAULTS,
  GOTO,
  MOVI,
  OP_FLAGS,
  PURE,
  READS_A,
  READS_B,
  READS_C,
  READS_D,
  WRITES_D,
} from './region-ops.ts';
import { REGION_MAX_BLOCKS } from './tuning.ts';

/** All promoted slots. */
const ALL = -1;
const CELLS = (TEMP_LIMIT - TEMP_BASE) >> 4;
const MAX_BLOCKS = REGION_MAX_BLOCKS + 1;

/**
 * Dataflow over a region. Promoted slots are bits of 32-bit masks (bit n = slot offset 8 n), so every set operation is one machine
 * instruction. Temporaries never live across blocks; each is a cell of 16 bytes, numbered from 0.
 */
export class RegionFlow {
  /** By operation: result unused and no effect. */
  readonly dead = new Uint8Array(MAX_REGION_OPS);
  /** By operation that writes a temporary: reads before the next write (255 = many). */
  readonly uses = new Uint8Array(MAX_REGION_OPS);
  /** By operation: promoted slots to reload behind a helper that changes them. */
  readonly reload = new Int32Array(MAX_REGION_OPS);
  /** By block: slots that may differ from memory when it is entered. */
  readonly dirtyIn = new Int32Array(MAX_BLOCKS);
  /** Slots that the common fault exit stores. */
  faultMask = 0;
  /** Slots to load when the region is entered. */
  loads = 0;
  /** Slots that need a local. */
  mentioned = 0;
  private readonly words: Int32Array;
  private region!: Region;
  private graph!: RegionGraph;
  private readonly helpers: readonly HelperInfo[];
  private readonly limit: number;
  private readonly dirtyOut = new Int32Array(MAX_BLOCKS);
  private readonly dirtyAt = new Int32Array(MAX_REGION_OPS);
  private readonly liveIn = new Int32Array(MAX_BLOCKS);
  private readonly live1In = new Int32Array(MAX_BLOCKS);
  /** Summaries of blocks, for the pass under way. */
  private readonly gen = new Int32Array(MAX_BLOCKS);
  private readonly kill = new Int32Array(MAX_BLOCKS);
  private readonly cellUses = new Uint8Array(CELLS);
  private readonly cellStamp = new Int32Array(CELLS);
  private readonly memoryStamp = new Int32Array(CELLS);
  private stamp = 0;

  constructor(words: Int32Array, helpers: readonly HelperInfo[], limit: number) {
    this.words = words;
    this.helpers = helpers;
    this.limit = limit;
  }

  analyse(region: Region, graph: RegionGraph): void {
    this.region = region;
    this.graph = graph;
    const blocks = region.blocks.length;
    this.dead.fill(0, 0, region.opCount);
    this.dirtyIn.fill(0, 0, blocks);
    this.liveIn.fill(0, 0, blocks);
    this.live1In.fill(0, 0, blocks);
    this.faultMask = 0;
    this.findDead();
    this.findDirty();
    this.findLive();
  }

  // ---- what an operation touches

  private bit(slot: number): number {
    return slot < this.limit ? 1 << (slot >> 3) : 0;
  }

  helperOf(at: number): HelperInfo {
    return this.helpers[this.words[at + 2]! >>> 16]!;
  }

  /** Promoted slots read as operands. */
  readMask(at: number, flags: number): number {
    const w = this.words;
    let mask = 0;
    let known = flags;
    if ((flags & CALL) !== 0) known = callReads(this.helperOf(at).args);
    if ((known & READS_A) !== 0) mask |= this.bit(w[at + 1]! & 0xffff);
    if ((known & READS_B) !== 0) mask |= this.bit(w[at + 1]! >>> 16);
    if ((known & READS_C) !== 0) mask |= this.bit(w[at + 2]! & 0xffff);
    if ((known & READS_D) !== 0) mask |= this.bit(w[at]! >>> 16);
    return mask;
  }

  /** The slot written, NO_SLOT if none. */
  written(at: number, flags: number): number {
    if ((flags & WRITES_D) === 0) return NO_SLOT;
    if ((flags & CALL) !== 0 && !this.helperOf(at).result) return NO_SLOT;
    return this.words[at]! >>> 16;
  }

  private writeMask(at: number, flags: number): number {
    const slot = this.written(at, flags);
    return slot < this.limit ? 1 << (slot >> 3) : 0;
  }

  /** True if the operation may leave the region or lets others see the promoted slots in memory. */
  private isBarrier(at: number, flags: number): boolean {
    if ((flags & FAULTS) !== 0) return true;
    if ((flags & CALL) === 0) return false;
    const h = this.helperOf(at);
    return h.faults === true || h.reads === true || h.writes === true;
  }

  private isDroppable(at: number, flags: number): boolean {
    if ((flags & PURE) !== 0) return true;
    if ((flags & CALL) !== 0) return this.helperOf(at).pure === true;
    return (flags & (FAULTS | BYTES_D)) === 0 && (flags & BYTES_A) !== 0; // get8u …, vmask…
  }

  /** True when the edge must check that the target's page is still mapped as it was. */
  needsGuard(from: RegionBlock, to: RegionBlock): boolean {
    const entry = this.region.blocks[this.region.entry]!;
    return !knows(from, entry, to.page) || !knows(from, entry, to.page2);
  }

  // ---- temporaries

  /** Finds the cells of a block that helpers or vector operations reach through memory. */
  markMemoryCells(block: RegionBlock): void {
    const stamp = ++this.stamp;
    const { ops, opcodes } = this.region;
    const w = this.words;
    for (let i = block.firstOp; i < block.endOp; i++) {
      const at = ops[i]!;
      const opcode = opcodes[i]!;
      const flags = OP_FLAGS[opcode]!;
      if (opcode === MOVI) {
        // the offset of a temporary, to be passed to a helper
        if (w[at + 3] === 0) this.markCell(w[at + 2]!, stamp);
        if (((w[at]! >>> 16) & 15) !== 0) this.markCell(w[at]! >>> 16, stamp);
        continue;
      }
      const a = w[at + 1]! & 0xffff;
      const b = w[at + 1]! >>> 16;
      const d = w[at]! >>> 16;
      if ((flags & BYTES_A) !== 0 || (a & 15) !== 0) this.markCell(a, stamp);
      if ((flags & BYTES_B) !== 0 || ((flags & READS_B) !== 0 && (b & 15) !== 0)) this.markCell(b, stamp);
      if ((flags & (BYTES_C | READS_C)) !== 0) {
        const c = w[at + 2]! & 0xffff;
        if ((flags & BYTES_C) !== 0 || (c & 15) !== 0) this.markCell(c, stamp);
      }
      if ((flags & BYTES_D) !== 0 || (d & 15) !== 0) this.markCell(d, stamp);
    }
  }

  private markCell(slot: number, stamp: number): void {
    if (slot >= TEMP_BASE && slot < NO_SLOT) this.memoryStamp[(slot - TEMP_BASE) >> 4] = stamp;
  }

  /** Cell number of a temporary that lives in a local (after `markMemoryCells` of its block), -1 for any other slot. */
  cellOf(slot: number): number {
    if (slot < TEMP_BASE || slot >= NO_SLOT) return -1;
    const cell = (slot - TEMP_BASE) >> 4;
    return this.memoryStamp[cell] === this.stamp ? -1 : cell;
  }

  // ---- dead operations

  private edgeLive1(from: RegionBlock, target: number): number {
    if (target === EXIT) return ALL;
    const to = this.region.blocks[target]!;
    return this.graph.isLoop[target] === 1 || this.needsGuard(from, to) ? ALL : this.live1In[target]!;
  }

  private live1Out(block: RegionBlock): number {
    const opcode = this.words[block.terminator]! & 0xffff;
    if (opcode === GOTO) return this.edgeLive1(block, block.taken);
    if (opcode === BR) {
      return (
        this.edgeLive1(block, block.taken) |
        this.edgeLive1(block, block.other) |
        this.bit(this.words[block.terminator + 1]! & 0xffff)
      );
    }
    return ALL;
  }

  private findDead(): void {
    const { order } = this.graph;
    const { blocks } = this.region;
    const { gen: use, kill: def } = this;
    for (const b of order) this.summary1(blocks[b]!, b, use, def);
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = order.length - 1; i >= 0; i--) {
        const b = order[i]!;
        const live = use[b]! | (this.live1Out(blocks[b]!) & ~def[b]!);
        if (live !== this.live1In[b]) {
          this.live1In[b] = live;
          changed = true;
        }
      }
    }
    for (const b of order) this.markDead(blocks[b]!);
  }

  private summary1(block: RegionBlock, b: number, use: Int32Array, def: Int32Array): void {
    let u = 0;
    let d = 0;
    for (let i = block.firstOp; i < block.endOp; i++) {
      const at = this.region.ops[i]!;
      const flags = OP_FLAGS[this.region.opcodes[i]!]!;
      u |= this.readMask(at, flags) & ~d;
      if (this.isBarrier(at, flags)) {
        u |= ~d;
        d = ALL;
        break;
      }
      d |= this.writeMask(at, flags);
    }
    use[b] = u;
    def[b] = d;
  }

  private useCell(slot: number): void {
    const cell = this.cellOf(slot);
    if (cell < 0) return;
    if (this.cellStamp[cell] !== this.stamp) {
      this.cellStamp[cell] = this.stamp;
      this.cellUses[cell] = 0;
    }
    if (this.cellUses[cell]! < 255) this.cellUses[cell]!++;
  }

  private useOperands(at: number, flags: number): void {
    const w = this.words;
    if ((flags & READS_A) !== 0) this.useCell(w[at + 1]! & 0xffff);
    if ((flags & READS_B) !== 0) this.useCell(w[at + 1]! >>> 16);
    if ((flags & READS_C) !== 0) this.useCell(w[at + 2]! & 0xffff);
    if ((flags & READS_D) !== 0) this.useCell(w[at]! >>> 16);
  }

  private markDead(block: RegionBlock): void {
    const w = this.words;
    this.markMemoryCells(block);
    let live = this.live1Out(block);
    if ((w[block.terminator]! & 0xffff) === BR) this.useCell(w[block.terminator + 1]! & 0xffff);
    for (let i = block.endOp - 1; i >= block.firstOp; i--) {
      const at = this.region.ops[i]!;
      const flags = OP_FLAGS[this.region.opcodes[i]!]!;
      const isCall = (flags & CALL) !== 0;
      const slot = this.written(at, flags);
      const droppable = this.isDroppable(at, flags);
      if (slot < this.limit) {
        const bit = 1 << (slot >> 3);
        if ((live & bit) === 0 && droppable) {
          this.dead[i] = 1;
          continue;
        }
        live &= ~bit;
      } else if (slot !== NO_SLOT) {
        const cell = this.cellOf(slot);
        if (cell >= 0) {
          const uses = this.cellStamp[cell] === this.stamp ? this.cellUses[cell]! : 0;
          if (uses === 0 && droppable) {
            this.dead[i] = 1;
            continue;
          }
          this.uses[i] = uses;
          if (this.cellStamp[cell] === this.stamp) this.cellUses[cell] = 0;
        }
      } else if (droppable && isCall) {
        this.dead[i] = 1;
        continue;
      }
      if (this.isBarrier(at, flags)) live = ALL;
      live |= this.readMask(at, flags);
      this.useOperands(at, isCall ? callReads(this.helperOf(at).args) : flags);
    }
  }

  // ---- dirty slots

  private findDirty(): void {
    const { order } = this.graph;
    const { blocks } = this.region;
    const { gen, kill: keeps } = this;
    for (const b of order) this.summaryDirty(blocks[b]!, b);
    for (let changed = true; changed; ) {
      changed = false;
      for (const b of order) {
        const out = gen[b]! | (this.dirtyIn[b]! & keeps[b]!);
        this.dirtyOut[b] = out;
        const block = blocks[b]!;
        if (this.addDirty(block.taken, out)) changed = true;
        if (this.addDirty(block.other, out)) changed = true;
        for (const r of block.returns) if (this.addDirty(r, out)) changed = true;
      }
    }
    this.mentioned = 0;
    for (const b of order) this.collectFaultMask(blocks[b]!, this.dirtyIn[b]!);
  }

  private summaryDirty(block: RegionBlock, b: number): void {
    let dirty = 0;
    let keep = ALL;
    for (let i = block.firstOp; i < block.endOp; i++) {
      if (this.dead[i] === 1) continue;
      const at = this.region.ops[i]!;
      const flags = OP_FLAGS[this.region.opcodes[i]!]!;
      if (this.syncs(at, flags)) {
        dirty = 0;
        keep = 0;
      }
      dirty |= this.writeMask(at, flags);
    }
    this.gen[b] = dirty;
    this.kill[b] = keep;
  }

  private addDirty(target: number, mask: number): boolean {
    if (target === EXIT || (this.dirtyIn[target]! | mask) === this.dirtyIn[target]) return false;
    this.dirtyIn[target]! |= mask;
    return true;
  }

  private collectFaultMask(block: RegionBlock, dirtyIn: number): void {
    let dirty = dirtyIn;
    let mentioned = 0;
    for (let i = block.firstOp; i < block.endOp; i++) {
      if (this.dead[i] === 1) continue;
      const at = this.region.ops[i]!;
      const flags = OP_FLAGS[this.region.opcodes[i]!]!;
      this.dirtyAt[i] = dirty;
      if (this.syncs(at, flags)) dirty = 0;
      else if (this.isBarrier(at, flags)) this.faultMask |= dirty;
      const written = this.writeMask(at, flags);
      dirty |= written;
      mentioned |= written | this.readMask(at, flags);
    }
    this.mentioned |= mentioned;
  }

  /** The operation is a helper call before which all dirty slots go to memory. */
  syncs(at: number, flags: number): boolean {
    if ((flags & CALL) === 0) return false;
    const h = this.helperOf(at);
    return h.reads === true || h.writes === true;
  }

  // ---- slots whose value in a local is needed

  private edgeLive(from: number, target: number): number {
    const { blocks } = this.region;
    if (target === EXIT) return this.dirtyOut[from]!;
    const guard = this.needsGuard(blocks[from]!, blocks[target]!) ? this.dirtyOut[from]! : 0;
    return this.liveIn[target]! | guard;
  }

  private liveOut(b: number): number {
    const block = this.region.blocks[b]!;
    const opcode = this.words[block.terminator]! & 0xffff;
    if (opcode === GOTO) return this.edgeLive(b, block.taken);
    if (opcode !== BR) {
      let live = this.dirtyOut[b]!;
      for (const r of block.returns) live |= this.liveIn[r]!;
      return live;
    }
    return (
      this.edgeLive(b, block.taken) |
      this.edgeLive(b, block.other) |
      this.bit(this.words[block.terminator + 1]! & 0xffff)
    );
  }

  private findLive(): void {
    const { order, isLoop } = this.graph;
    const { blocks, entry } = this.region;
    let mentioned = this.mentioned | this.faultMask;
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = order.length - 1; i >= 0; i--) {
        const b = order[i]!;
        let live = this.liveThrough(blocks[b]!, this.liveOut(b));
        if (isLoop[b] === 1) live |= this.dirtyIn[b]!;
        if (live !== this.liveIn[b]) {
          this.liveIn[b] = live;
          changed = true;
        }
      }
    }
    for (const b of order)
      mentioned |= this.dirtyOut[b]! | this.liveIn[b]! | this.dirtyIn[b]! | this.liveOut(b);
    this.mentioned = mentioned;
    this.loads = this.liveIn[entry]!;
  }

  private liveThrough(block: RegionBlock, out: number): number {
    let live = out;
    for (let i = block.endOp - 1; i >= block.firstOp; i--) {
      if (this.dead[i] === 1) continue;
      const at = this.region.ops[i]!;
      const flags = OP_FLAGS[this.region.opcodes[i]!]!;
      live &= ~this.writeMask(at, flags);
      if (this.syncs(at, flags)) {
        if (this.helperOf(at).writes === true) {
          this.reload[i] = live;
          live = 0;
        }
        live |= this.dirtyAt[i]!;
      } else if (this.isBarrier(at, flags)) {
        live |= this.faultMask;
      }
      live |= this.readMask(at, flags);
    }
    return live;
  }
}

function callReads(args: number): number {
  return args === 0 ? 0 : args === 1 ? READS_A : args === 2 ? READS_A | READS_B : READS_A | READS_B | READS_C;
}

function knows(from: RegionBlock, entry: RegionBlock, page: number): boolean {
  return page === from.page || page === from.page2 || page === entry.page || page === entry.page2;
}
