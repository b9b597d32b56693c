/** What the entries of L1 and L2 tables mean. */

import { HI_COMPRESSED, HI_COPIED, HI_OFFSET, LO_OFFSET, LO_ZERO, SUBCLUSTERS } from './format.ts';
import type { CachedTable } from './table-cache.ts';

export type ClusterKind = 'hole' | 'zero' | 'data' | 'compressed';

/** A stretch of the disk that lies in one piece. */
export interface Mapping {
  readonly kind: ClusterKind;
  readonly sizeBytes: number;
  /** In the file of the data: of the first byte for `data`, of the compressed stream for `compressed`. */
  readonly hostOffset: number;
  /** Data that may be overwritten in place. */
  readonly isOwn: boolean;
  /** A zero cluster that has a place in the file. */
  readonly isAllocated: boolean;
  /** Bytes of a compressed stream, at most. */
  readonly streamBytes: number;
}

export interface L2Geometry {
  readonly clusterBits: number;
  readonly clusterBytes: number;
  readonly entryBytes: 8 | 16;
  /** Entries in a table. */
  readonly entries: number;
  readonly isExtended: boolean;
  /** Smallest stretch with a state of its own: a cluster or a 32nd of one. */
  readonly unitBytes: number;
  /** Data lie in a file of their own. */
  readonly hasDataFile: boolean;
  readonly isV3: boolean;
}

export function entryOffset(hi: number, lo: number): number {
  return (hi & HI_OFFSET) * 2 ** 32 + ((lo & LO_OFFSET) >>> 0);
}

/** Host offset and length of a compressed cluster's stream. */
export function compressedStream(
  hi: number,
  lo: number,
  clusterBits: number,
): { hostOffset: number; streamBytes: number } {
  // The boundary between offset and sector count is in the high word for every cluster size.
  const boundary = 62 - (clusterBits - 8) - 32;
  const offset = (hi & ((1 << boundary) - 1)) * 2 ** 32 + lo;
  const sectors = (hi & 0x3fffffff) >>> boundary;
  return { hostOffset: offset, streamBytes: (sectors + 1) * 512 - (offset % 512) };
}

/** High word of a compressed entry; the low word is the offset's. */
export function compressedEntryHi(hostOffset: number, streamBytes: number, clusterBits: number): number {
  const boundary = 62 - (clusterBits - 8) - 32;
  const sectors = Math.floor((hostOffset + streamBytes - 1) / 512) - Math.floor(hostOffset / 512);
  return (HI_COMPRESSED | (sectors << boundary) | Math.floor(hostOffset / 2 ** 32)) >>> 0;
}

/** State of the unit at `unit` (0…31 with subclusters, else 0) of entry `index`. */
export function unitKind(geometry: L2Geometry, table: CachedTable, index: number, unit: number): ClusterKind {
  const at = index * geometry.entryBytes;
  const hi = table.view.getUint32(at);
  const lo = table.view.getUint32(at + 4);
  if ((hi & HI_COMPRESSED) !== 0) return 'compressed';
  if (geometry.isExtended) {
    if ((table.view.getUint32(at + 12) & (1 << unit)) !== 0) return 'data';
    return (table.view.getUint32(at + 8) & (1 << unit)) !== 0 ? 'zero' : 'hole';
  }
  if (geometry.isV3 && (lo & LO_ZERO) !== 0) return 'zero';
  return isAllocated(geometry, hi, lo) ? 'data' : 'hole';
}

/** A standard entry has a host cluster. With an external data file offset 0 is one, if the entry says that it is its own. */
export function isAllocated(geometry: L2Geometry, hi: number, lo: number): boolean {
  return entryOffset(hi, lo) !== 0 || (geometry.hasDataFile && (hi & HI_COPIED) !== 0);
}

/** The longest stretch from byte `within` of entry `first` on, at most `mostBytes`, within this table. */
export function mapRun(
  geometry: L2Geometry,
  table: CachedTable,
  first: number,
  within: number,
  mostBytes: number,
): Mapping {
  const { unitBytes, clusterBytes, entryBytes } = geometry;
  const { view } = table;
  const unitsPerCluster = geometry.isExtended ? SUBCLUSTERS : 1;
  let at = first * entryBytes;
  const hi = view.getUint32(at);
  const lo = view.getUint32(at + 4);
  let unit = geometry.isExtended ? Math.floor(within / unitBytes) : 0;
  const kind = unitKind(geometry, table, first, unit);
  if (kind === 'compressed') {
    const sizeBytes = Math.min(clusterBytes - within, mostBytes);
    const stream = compressedStream(hi, lo, geometry.clusterBits);
    return { kind, sizeBytes, isOwn: false, isAllocated: false, ...stream };
  }
  const isOwn = (hi & HI_COPIED) !== 0;
  const base = entryOffset(hi, lo);
  const allocated = isAllocated(geometry, hi, lo);
  let size = unitBytes - (within % unitBytes);
  let index = first;
  let expected = base + clusterBytes;
  while (size < mostBytes) {
    if (++unit === unitsPerCluster) {
      unit = 0;
      if (++index === geometry.entries) break;
      at = index * entryBytes;
      const nextHi = view.getUint32(at);
      const nextLo = view.getUint32(at + 4);
      if (unitKind(geometry, table, index, 0) !== kind) break;
      if (
        kind === 'data' &&
        (entryOffset(nextHi, nextLo) !== expected || ((nextHi & HI_COPIED) !== 0) !== isOwn)
      )
        break;
      if (kind === 'zero' && isAllocated(geometry, nextHi, nextLo) !== allocated) break;
      expected += clusterBytes;
    } else if (unitKind(geometry, table, index, unit) !== kind) break;
    size += unitBytes;
  }
  return {
    kind,
    sizeBytes: Math.min(size, mostBytes),
    hostOffset: base + within,
    isOwn: kind === 'data' && isOwn,
    isAllocated: allocated,
    streamBytes: 0,
  };
}
