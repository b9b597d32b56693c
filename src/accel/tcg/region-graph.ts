import { EXIT, type Region, type RegionBlock } from './region.ts';

/** Shape of a region's control flow: order, dominators, loops. Arrays are indexed by block, values too. */
export interface RegionGraph {
  /** Blocks in reverse postorder; the entry first. */
  readonly order: readonly number[];
  /** Position in `order`, -1 if unreachable. */
  readonly rank: Int32Array;
  /** Immediate dominator; the entry's is itself. */
  readonly idom: Int32Array;
  /** Children in the dominator tree, in the order of `rank`. */
  readonly children: readonly (readonly number[])[];
  /** Target of a back-edge. */
  readonly isLoop: Uint8Array;
  /** Two or more forward edges come in. */
  readonly isMerge: Uint8Array;
}

/** Calls `visit` for the blocks that control may go to. */
export function eachSuccessor(block: RegionBlock, visit: (target: number) => void): void {
  if (block.taken !== EXIT) visit(block.taken);
  if (block.other !== EXIT) visit(block.other);
  for (const r of block.returns) visit(r);
}

/**
 * Analyses the control flow. Edges that enter a loop elsewhere than at its head (irreducible flow, rare) are turned into exits
 * of the region, so that what remains can be written with structured control flow.
 */
export function analyseGraph(region: Region): RegionGraph {
  for (;;) {
    const rank = new Int32Array(region.blocks.length).fill(-1);
    const order = reversePostorder(region, rank);
    const idom = dominators(region, order, rank);
    if (!cutIrreducible(region, order, rank, idom)) return shape(region, order, rank, idom);
  }
}

function reversePostorder(region: Region, rank: Int32Array): number[] {
  const order: number[] = [];
  const seen = new Uint8Array(region.blocks.length);
  const stack: number[] = [region.entry];
  const phase: number[] = [0];
  seen[region.entry] = 1;
  while (stack.length > 0) {
    const top = stack.length - 1;
    const block = region.blocks[stack[top]!]!;
    const step = phase[top]!++;
    if (step > 1 + block.returns.length) {
      order.push(stack.pop()!);
      phase.pop();
      continue;
    }
    // the taken branch first: the fall-through path then follows its block in the order
    const next = step === 0 ? block.taken : step === 1 ? block.other : block.returns[step - 2]!;
    if (next === EXIT || seen[next] === 1) continue;
    seen[next] = 1;
    stack.push(next);
    phase.push(0);
  }
  order.reverse();
  for (let i = 0; i < order.length; i++) rank[order[i]!] = i;
  return order;
}

/** Immediate dominators by iteration over reverse postorder (Cooper, Harvey and Kennedy, 2001). */
function dominators(region: Region, order: readonly number[], rank: Int32Array): Int32Array {
  const idom = new Int32Array(region.blocks.length).fill(-1);
  const preds: number[][] = region.blocks.map(() => []);
  for (const b of order) eachSuccessor(region.blocks[b]!, (t) => preds[t]!.push(b));
  idom[region.entry] = region.entry;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < order.length; i++) {
      const b = order[i]!;
      let best = -1;
      for (const p of preds[b]!) {
        if (idom[p] === -1) continue;
        best = best === -1 ? p : intersect(p, best, idom, rank);
      }
      if (idom[b] !== best) {
        idom[b] = best;
        changed = true;
      }
    }
  }
  return idom;
}

function intersect(a: number, b: number, idom: Int32Array, rank: Int32Array): number {
  let x = a;
  let y = b;
  while (x !== y) {
    while (rank[x]! > rank[y]!) x = idom[x]!;
    while (rank[y]! > rank[x]!) y = idom[y]!;
  }
  return x;
}

function dominates(a: number, b: number, idom: Int32Array, rank: Int32Array): boolean {
  let x = b;
  while (rank[x]! > rank[a]!) x = idom[x]!;
  return x === a;
}

/** Cuts edges back to a block that does not dominate their source; true if there were any. */
function cutIrreducible(
  region: Region,
  order: readonly number[],
  rank: Int32Array,
  idom: Int32Array,
): boolean {
  let cut = false;
  const bad = (from: number, to: number): boolean =>
    to !== EXIT && rank[to]! <= rank[from]! && !dominates(to, from, idom, rank);
  for (const b of order) {
    const block = region.blocks[b]!;
    if (bad(b, block.taken)) {
      block.taken = EXIT;
      cut = true;
    }
    if (bad(b, block.other)) {
      block.other = EXIT;
      cut = true;
    }
    const kept = block.returns.filter((r) => !bad(b, r));
    if (kept.length !== block.returns.length) {
      block.returns.splice(0, block.returns.length, ...kept);
      cut = true;
    }
  }
  return cut;
}

function shape(region: Region, order: readonly number[], rank: Int32Array, idom: Int32Array): RegionGraph {
  const count = region.blocks.length;
  const isLoop = new Uint8Array(count);
  const isMerge = new Uint8Array(count);
  const forward = new Uint16Array(count);
  const children: number[][] = region.blocks.map(() => []);
  for (const b of order) {
    if (b !== region.entry) children[idom[b]!]!.push(b);
    eachSuccessor(region.blocks[b]!, (t) => {
      if (rank[t]! <= rank[b]!) isLoop[t] = 1;
      else if (++forward[t]! > 1) isMerge[t] = 1;
    });
  }
  return { order, rank, idom, children, isLoop, isMerge };
}
