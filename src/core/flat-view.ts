/** What a tree of regions looks like from outside: sorted ranges that do not overlap. */
import type { MemoryRegion } from './memory-region.ts';

/** One range of a flat view: guest addresses [start, end) show `region` from `offset` on. */
export interface FlatRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** A ram, rom or mmio region. */
  readonly region: MemoryRegion;
  /** Offset of `start` within `region`. */
  readonly offset: number;
  /** RAM and ROM: offset of `start` in the RAM buffer; -1 for MMIO. */
  readonly ramOffset: number;
  readonly readOnly: boolean;
}

export class FlatView {
  readonly ranges: readonly FlatRange[];
  readonly #starts: Float64Array;

  constructor(ranges: readonly FlatRange[]) {
    this.ranges = ranges;
    this.#starts = Float64Array.from(ranges, (range) => range.start);
  }

  /** Number of ranges that start at or below `addr`. */
  #countUpTo(addr: number): number {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= addr) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the range that holds `addr`, or -1. */
  indexOf(addr: number): number {
    const index = this.#countUpTo(addr) - 1;
    return index >= 0 && addr < this.ranges[index]!.end ? index : -1;
  }

  find(addr: number): FlatRange | undefined {
    const index = this.indexOf(addr);
    return index < 0 ? undefined : this.ranges[index];
  }

  /** Start of the first range above `addr`, or Infinity. */
  nextStart(addr: number): number {
    return this.#starts[this.#countUpTo(addr)] ?? Number.POSITIVE_INFINITY;
  }

  /** One line per range, as the monitor's `info mtree -f` shows. */
  toString(): string {
    const hex = (n: number): string => n.toString(16).padStart(16, '0');
    return this.ranges
      .map((r) => `${hex(r.start)}-${hex(r.end - 1)} ${r.readOnly ? 'rom' : r.region.kind}: ${r.region.name}`)
      .join('\n');
  }
}

/** Flattens the tree under `root`. */
export function renderFlatView(root: MemoryRegion): FlatView {
  const ranges: FlatRange[] = [];
  render(ranges, root, 0, 0, root.size, false);
  return new FlatView(mergeNeighbours(ranges));
}

/**
 * Renders `region`, whose offset 0 is at `base`, clipped to [low, high). Children go first, by falling priority: what is
 * already there has precedence, so every later one only fills gaps.
 */
function render(
  out: FlatRange[],
  region: MemoryRegion,
  base: number,
  low: number,
  high: number,
  readOnly: boolean,
): void {
  if (!region.enabled) return;
  const from = Math.max(low, base);
  const to = Math.min(high, base + region.size);
  if (from >= to) return;
  const isReadOnly = readOnly || region.readOnly;
  if (region.aliasTarget !== undefined) {
    render(out, region.aliasTarget, base - region.aliasOffset, from, to, isReadOnly);
    return;
  }
  for (const child of region.children) render(out, child.region, base + child.offset, from, to, isReadOnly);
  if (region.kind !== 'container') fillGaps(out, region, base, from, to, isReadOnly);
}

function fillGaps(
  out: FlatRange[],
  region: MemoryRegion,
  base: number,
  from: number,
  to: number,
  readOnly: boolean,
): void {
  let at = from;
  let index = out.findIndex((range) => range.end > from);
  if (index < 0) index = out.length;
  while (at < to) {
    const next = out[index];
    const gapEnd = next === undefined ? to : Math.min(to, next.start);
    if (at < gapEnd) {
      const offset = at - base;
      const ramOffset = region.ramOffset < 0 ? -1 : region.ramOffset + offset;
      out.splice(index, 0, { start: at, end: gapEnd, region, offset, ramOffset, readOnly });
      index++;
    }
    if (next === undefined) break;
    at = Math.max(at, next.end);
    index++;
  }
}

function mergeNeighbours(ranges: readonly FlatRange[]): FlatRange[] {
  const merged: FlatRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    const continues =
      last !== undefined &&
      last.end === range.start &&
      last.region === range.region &&
      last.readOnly === range.readOnly &&
      last.offset + (last.end - last.start) === range.offset;
    if (continues) merged[merged.length - 1] = { ...last, end: range.end };
    else merged.push(range);
  }
  return merged;
}
