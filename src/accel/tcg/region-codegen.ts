import {
  JC_BASE,
  JC_BITS,
  JC_ENTRIES,
  JC_ENTRY_SHIFT,
  SLOT_EXIT_REQUEST,
  SLOT_KEY,
  SLOT_RIP,
  SLOT_SAMPLED_TIER,
  TB_FUNC,
  TB_KEY,
  TB_RIP,
  TIER_REGION,
} from '../../runtime/tcg/layout.ts';
import { assert } from '../../util/errors.ts';
import { EXIT, type Region, type RegionBlock } from './region.ts';
import type { RegionContext } from './region-context.ts';
import type { RegionFlow } from './region-flow.ts';
import { analyseGraph, type RegionGraph } from './region-graph.ts';
import type { RegionImports } from './region-imports.ts';
import { BR, GOTO, GOTO_IND } from './region-ops.ts';
import type { WasmCode } from './wasm/code.ts';
import * as W from './wasm/opcodes.ts';

export interface CodegenOptions {
  readonly words: Int32Array;
  readonly cpuBase: number;
  readonly flow: RegionFlow;
  readonly cx: RegionContext;
  readonly code: WasmCode;
  readonly imports: RegionImports;
  /** Index of the type () -> () in the module. */
  readonly voidType: number;
}

// ---- labels: block * 2 = the `block` that the merge block follows, block * 2 + 1 = the `loop` it heads
const PLAIN = -1;
const FAULT_LABEL = -2;
const INDIRECT_LABEL = -3;

/** Offset of the jump-cache entry of a RIP from cpu_base. */
function jumpCacheOffset(ripLo: number): number {
  return JC_BASE + (((ripLo ^ (ripLo >>> JC_BITS)) & (JC_ENTRIES - 1)) << JC_ENTRY_SHIFT);
}

/** Emits the function body of a region into `options.code` (begun, ended). */
export function generateRegion(region: Region, options: CodegenOptions): void {
  new RegionCodegen(region, options).generate();
}

/**
 * Structured control flow from the dominator tree (N. Ramsey, "Beyond Relooper", ICFP 2022): a block's code is followed by the
 * code of the blocks that it dominates; those with several forward edges into them come behind a `block` that the edges leave.
 */
class RegionCodegen {
  private readonly region: Region;
  private readonly o: CodegenOptions;
  private readonly code: WasmCode;
  private readonly graph: RegionGraph;
  private readonly flow: RegionFlow;
  private readonly cx: RegionContext;
  private readonly labels: number[] = [];

  constructor(region: Region, options: CodegenOptions) {
    this.region = region;
    this.o = options;
    this.code = options.code;
    this.graph = analyseGraph(region);
    this.flow = options.flow;
    this.cx = options.cx;
    this.flow.analyse(region, this.graph);
    this.code.begin(0);
    this.cx.beginRegion(region, options.imports, {
      faultIf: (extra) => this.faultIf(extra),
      returnIf: () => this.returnIf(),
    });
  }

  generate(): void {
    const { code, cx, flow, region } = this;
    this.open(W.BLOCK, FAULT_LABEL);
    this.open(W.BLOCK, INDIRECT_LABEL);
    if (this.graph.isLoop[region.entry] === 0) {
      this.pushExitRequest();
      this.open(W.IF, PLAIN);
      this.leaveOnRequest();
    }
    cx.loadSlots(flow.loads);
    this.tree(region.entry);
    code.op(W.UNREACHABLE);
    this.close();
    this.indirectJump();
    this.close();
    cx.storeSlots(flow.faultMask);
    code.op(W.END);
  }

  // ---- labels

  private open(opcode: number, label: number): void {
    this.code.op1(opcode, W.VOID);
    this.labels.push(label);
  }

  private close(): void {
    this.code.op(W.END);
    this.labels.pop();
  }

  private depthOf(label: number): number {
    const i = this.labels.lastIndexOf(label);
    assert(i >= 0, 'branch to a label that is not open');
    return this.labels.length - 1 - i;
  }

  private faultIf(extra: number): void {
    this.code.op1(W.BR_IF, this.depthOf(FAULT_LABEL) + extra);
  }

  private returnIf(): void {
    this.code.op1(W.IF, W.VOID);
    this.code.op(W.RETURN);
    this.code.op(W.END);
  }

  // ---- the tree

  private tree(b: number): void {
    const merges = this.graph.children[b]!.filter((c) => this.graph.isMerge[c] === 1);
    if (this.graph.isLoop[b] === 1) {
      this.open(W.LOOP, b * 2 + 1);
      this.poll(b);
      this.within(b, merges, merges.length);
      this.close();
    } else {
      this.within(b, merges, merges.length);
    }
  }

  /** Block b inside the `block`s of its first `count` merge children; the child of the highest rank is outermost. */
  private within(b: number, merges: readonly number[], count: number): void {
    if (count === 0) return this.block(b);
    const merge = merges[count - 1]!;
    this.open(W.BLOCK, merge * 2);
    this.within(b, merges, count - 1);
    this.close();
    this.tree(merge);
  }

  private pushExitRequest(): void {
    this.code.i32(this.o.cpuBase + SLOT_EXIT_REQUEST);
    this.code.mem(W.I32_ATOMIC_LOAD, 0, 2);
  }

  /** At the head of a loop: leaves if somebody asked for it. */
  private poll(b: number): void {
    const block = this.region.blocks[b]!;
    this.pushExitRequest();
    this.open(W.IF, PLAIN);
    this.cx.storeSlots(this.flow.dirtyIn[b]!);
    this.cx.storeRip(block.ripLo, block.ripHi);
    this.leaveOnRequest();
  }

  /** Ends the `if` around it. */
  private leaveOnRequest(): void {
    this.code.i32(0);
    this.code.i32(TIER_REGION);
    this.code.mem(W.I32_STORE, this.o.cpuBase + SLOT_SAMPLED_TIER);
    this.code.op(W.RETURN);
    this.close();
  }

  private block(b: number): void {
    const block = this.region.blocks[b]!;
    const { cx } = this;
    cx.beginBlock(block, this.flow.dirtyIn[b]!);
    for (let i = block.firstOp; i < block.endOp; i++) cx.emitOp(i);
    this.terminator(b, block);
  }

  private terminator(b: number, block: RegionBlock): void {
    const w = this.o.words;
    const at = block.terminator;
    switch (w[at]! & 0xffff) {
      case GOTO:
        return this.edge(b, block.taken, this.cx.dirty, w[at + 2]!, w[at + 3]!);
      case BR:
        return this.branch(b, block, at);
      case GOTO_IND:
        for (const r of block.returns) this.returnTo(b, r);
        this.cx.storeSlots(this.cx.dirty);
        this.code.op1(W.BR, this.depthOf(INDIRECT_LABEL));
        return;
      default:
        this.cx.storeSlots(this.cx.dirty);
        this.code.op(W.RETURN);
    }
  }

  /** Goes on at a block behind a call if RIP and KEY name it. */
  private returnTo(b: number, target: number): void {
    const { code, cx, region } = this;
    const to = region.blocks[target]!;
    const { dirty } = cx;
    cx.loadControl(W.I64_LOAD, SLOT_RIP);
    code.i64(to.ripLo, to.ripHi);
    code.op(W.I64_EQ);
    const label = this.plainLabel(b, target);
    if (label !== PLAIN) {
      code.op1(W.BR_IF, this.depthOf(label));
      return;
    }
    this.open(W.IF, PLAIN);
    this.edge(b, target, dirty, to.ripLo, to.ripHi);
    this.close();
    cx.dirty = dirty;
  }

  private branch(b: number, block: RegionBlock, at: number): void {
    const w = this.o.words;
    const { code, cx } = this;
    const { dirty } = cx;
    const taken = (): void => this.edge(b, block.taken, dirty, w[at + 2]!, w[at + 3]!);
    const other = (): void => this.edge(b, block.other, dirty, w[at + 4]!, w[at + 5]!);
    cx.condition(at);
    const takenLabel = this.plainLabel(b, block.taken);
    const otherLabel = this.plainLabel(b, block.other);
    if (takenLabel !== PLAIN) {
      code.op1(W.BR_IF, this.depthOf(takenLabel));
      other();
    } else if (otherLabel !== PLAIN) {
      code.op(W.I32_EQZ);
      code.op1(W.BR_IF, this.depthOf(otherLabel));
      taken();
    } else {
      this.open(W.IF, PLAIN);
      taken();
      code.op(W.ELSE);
      other();
      this.close();
    }
  }

  /** Label that an edge is a mere branch to, or PLAIN. */
  private plainLabel(from: number, target: number): number {
    if (target === EXIT) return PLAIN;
    const { blocks } = this.region;
    if (this.flow.needsGuard(blocks[from]!, blocks[target]!)) return PLAIN;
    if (this.graph.rank[target]! <= this.graph.rank[from]!) return target * 2 + 1;
    return this.graph.isMerge[target] === 1 ? target * 2 : PLAIN;
  }

  private edge(from: number, target: number, dirty: number, ripLo: number, ripHi: number): void {
    if (target === EXIT) return this.leaveTo(dirty, ripLo, ripHi);
    const { blocks } = this.region;
    const to = blocks[target]!;
    if (this.flow.needsGuard(blocks[from]!, to)) this.guard(to, dirty);
    if (this.graph.rank[target]! <= this.graph.rank[from]!) this.code.op1(W.BR, this.depthOf(target * 2 + 1));
    else if (this.graph.isMerge[target] === 1) this.code.op1(W.BR, this.depthOf(target * 2));
    else this.tree(target);
  }

  /** The block is in the jump cache as long as its page is mapped as it was: leaves if it is not. */
  private guard(to: RegionBlock, dirty: number): void {
    const { code } = this;
    code.i32(0);
    code.mem(W.I32_LOAD, this.o.cpuBase + jumpCacheOffset(to.ripLo));
    code.i32(to.tb);
    code.op(W.I32_NE);
    this.open(W.IF, PLAIN);
    this.cx.storeSlots(dirty);
    this.cx.storeRip(to.ripLo, to.ripHi);
    code.op(W.RETURN);
    this.close();
  }

  /** Leaves for a constant RIP under the same key. */
  private leaveTo(dirty: number, ripLo: number, ripHi: number): void {
    const { code, cx, region } = this;
    const tb = cx.scratch(W.I32, 0);
    cx.storeSlots(dirty);
    cx.storeRip(ripLo, ripHi);
    code.i32(0);
    code.mem(W.I32_LOAD, this.o.cpuBase + jumpCacheOffset(ripLo));
    code.localTee(tb);
    code.mem(W.I64_LOAD, TB_RIP);
    code.i64(ripLo, ripHi);
    code.op(W.I64_EQ);
    code.localGet(tb);
    code.mem(W.I64_LOAD, TB_KEY);
    code.i64(region.keyLo, region.keyHi);
    code.op(W.I64_EQ);
    code.op(W.I32_AND);
    code.op1(W.IF, W.VOID);
    code.localGet(tb);
    code.mem(W.I32_LOAD, TB_FUNC);
    this.tailCall();
    code.op(W.END);
    code.op(W.RETURN);
  }

  private tailCall(): void {
    this.code.op1(W.RETURN_CALL_INDIRECT, this.o.voidType);
    this.code.byte(0);
  }

  /** Leaves for the RIP and KEY in memory. */
  private indirectJump(): void {
    const { code, cx } = this;
    const rip = cx.scratch(W.I64, 0);
    const tb = cx.scratch(W.I32, 0);
    cx.loadControl(W.I64_LOAD, SLOT_RIP);
    code.localTee(rip);
    code.op(W.I32_WRAP_I64);
    code.localGet(rip);
    code.op(W.I32_WRAP_I64);
    code.i32(JC_BITS);
    code.op(W.I32_SHR_U);
    code.op(W.I32_XOR);
    code.i32(JC_ENTRIES - 1);
    code.op(W.I32_AND);
    code.i32(JC_ENTRY_SHIFT);
    code.op(W.I32_SHL);
    code.mem(W.I32_LOAD, this.o.cpuBase + JC_BASE);
    code.localTee(tb);
    code.mem(W.I64_LOAD, TB_RIP);
    code.localGet(rip);
    code.op(W.I64_EQ);
    code.localGet(tb);
    code.mem(W.I64_LOAD, TB_KEY);
    cx.loadControl(W.I64_LOAD, SLOT_KEY);
    code.op(W.I64_EQ);
    code.op(W.I32_AND);
    code.op1(W.IF, W.VOID);
    code.localGet(tb);
    code.mem(W.I32_LOAD, TB_FUNC);
    this.tailCall();
    code.op(W.END);
    code.op(W.RETURN);
  }
}
