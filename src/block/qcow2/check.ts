/** Consistency: every host cluster's count against the references to it, flags, alignment; and repairs. */
import { BlockError, EFBIG } from '../block-node.ts';
import type { CheckResult } from '../driver.ts';
import type { Bitmaps } from './bitmaps.ts';
import {
  HI_COMPRESSED,
  HI_COPIED,
  HI_OFFSET,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DIRTY,
  LO_OFFSET,
  readU64,
} from './format.ts';
import type { Image } from './image.ts';
import { compressedStream, entryOffset } from './l2.ts';
import type { Snapshots } from './snapshots.ts';

/** Host clusters of an image that can be checked. */
const MAX_CLUSTERS = 2 ** 29;
const MAX_MESSAGES = 10_000;

const hex = (value: number): string => value.toString(16);

export async function checkImage(
  image: Image,
  snapshots: Snapshots,
  bitmaps: Bitmaps,
  repair: 'none' | 'leaks' | 'all',
): Promise<CheckResult> {
  await image.flush();
  const checker = new Checker(image, snapshots, bitmaps);
  await checker.collect();
  await checker.compare();
  if (repair === 'none' || image.isReadOnly) return checker.result;
  await checker.repair(repair);
  return checker.result;
}

class Checker {
  readonly result: CheckResult;
  readonly #image: Image;
  readonly #snapshots: Snapshots;
  readonly #bitmaps: Bitmaps;
  readonly #clusterBytes: number;
  /** References found, by cluster. */
  readonly #found: Uint32Array;
  /** Clusters of the file; references behind it are corruptions. */
  readonly #clusters: number;
  /** The same without those to the table and blocks of counts. */
  #withoutCounts = new Uint32Array();
  #needsRebuild = false;
  /** Entries whose "own" flag is wrong: set it if the count is 1. */
  readonly #wrongCounts: Array<{ cluster: number; expected: number; count: number }> = [];

  constructor(image: Image, snapshots: Snapshots, bitmaps: Bitmaps) {
    this.#image = image;
    this.#snapshots = snapshots;
    this.#bitmaps = bitmaps;
    this.#clusterBytes = image.geometry.clusterBytes;
    this.#clusters = Math.ceil(image.file.sizeBytes / this.#clusterBytes);
    if (this.#clusters > MAX_CLUSTERS) throw new BlockError(EFBIG, 'the image is too large to check');
    this.#found = new Uint32Array(this.#clusters);
    this.result = {
      corruptions: 0,
      leaks: 0,
      checkErrors: 0,
      fixedCorruptions: 0,
      fixedLeaks: 0,
      totalClusters: Math.ceil(image.header.sizeBytes / this.#clusterBytes),
      allocatedClusters: 0,
      fragmentedClusters: 0,
      compressedClusters: 0,
      imageEndOffset: 0,
      messages: [],
    };
  }

  #say(text: string): void {
    if (this.result.messages.length < MAX_MESSAGES) this.result.messages.push(text);
  }

  #corruption(text: string): void {
    this.result.corruptions++;
    this.#say(`ERROR ${text}`);
  }

  #refer(offset: number, bytes: number, what: string): void {
    if (bytes <= 0) return;
    const first = Math.floor(offset / this.#clusterBytes);
    const last = Math.floor((offset + bytes - 1) / this.#clusterBytes);
    for (let cluster = first; cluster <= last; cluster++) {
      if (cluster >= this.#clusters) {
        this.#corruption(`${what} at 0x${hex(offset)} is beyond the end of the image file`);
        return;
      }
      this.#found[cluster]!++;
    }
  }

  async collect(): Promise<void> {
    const { header } = this.#image;
    this.#refer(0, this.#clusterBytes, 'header');
    await this.#collectTree(header.l1Offset, header.l1Size, true);
    for (const { l1Offset, l1Size } of this.#snapshots.tables)
      await this.#collectTree(l1Offset, l1Size, false);
    this.#refer(header.snapshotsOffset, this.#snapshots.tableBytes, 'snapshot table');
    await this.#collectBitmaps();
    const others = this.#found.slice();
    this.#refer(
      header.refcountTableOffset,
      header.refcountTableClusters * this.#clusterBytes,
      'refcount table',
    );
    this.#collectBlocks();
    this.#withoutCounts = others;
  }

  #collectBlocks(): void {
    this.#image.refcounts.table.forEach((offset, i) => {
      if (offset === 0) return;
      if (offset % this.#clusterBytes !== 0) {
        this.#corruption(`refcount block ${i} is not cluster aligned; refcount table entry corrupted`);
        this.#needsRebuild = true;
        return;
      }
      const cluster = offset / this.#clusterBytes;
      if (cluster >= this.#clusters) {
        this.#corruption(`refcount block ${i} is outside image`);
        this.#needsRebuild = true;
        return;
      }
      this.#refer(offset, this.#clusterBytes, 'refcount block');
      if (this.#found[cluster] !== 1) {
        this.#corruption(`refcount block ${i} refcount=${this.#found[cluster]}`);
        this.#needsRebuild = true;
      }
    });
  }

  async #collectTree(l1Offset: number, l1Size: number, isActive: boolean): Promise<void> {
    if (l1Size === 0) return;
    const bytes = new Uint8Array(l1Size * 8);
    await this.#image.file.read(l1Offset, bytes);
    const l1 = new DataView(bytes.buffer);
    this.#refer(l1Offset, l1Size * 8, 'L1 table');
    for (let i = 0; i < l1Size; i++) {
      const hi = l1.getUint32(i * 8);
      const offset = (hi & HI_OFFSET) * 2 ** 32 + ((l1.getUint32(i * 8 + 4) & LO_OFFSET) >>> 0);
      if (offset === 0) continue;
      if (offset % this.#clusterBytes !== 0) {
        this.#corruption(`l2_offset=0x${hex(offset)}: Table is not cluster aligned; L1 entry corrupted`);
        continue;
      }
      this.#refer(offset, this.#clusterBytes, 'L2 table');
      if (offset / this.#clusterBytes >= this.#clusters) continue;
      if (isActive) await this.#checkOwn(`L2 cluster: l1_index=${i} l1_entry`, hi, offset);
      await this.#collectTable(offset, isActive);
    }
  }

  async #collectTable(tableOffset: number, isActive: boolean): Promise<void> {
    const { geometry } = this.#image;
    const bytes = new Uint8Array(this.#clusterBytes);
    await this.#image.file.read(tableOffset, bytes);
    const view = new DataView(bytes.buffer);
    let expected = 0;
    for (let at = 0; at < bytes.length; at += geometry.entryBytes) {
      const hi = view.getUint32(at);
      const lo = view.getUint32(at + 4);
      if ((hi & HI_COMPRESSED) !== 0) {
        const { hostOffset, streamBytes } = compressedStream(hi, lo, geometry.clusterBits);
        if ((hi & HI_COPIED) !== 0)
          this.#corruption(
            `coffset=0x${hex(hostOffset)}: copied flag must never be set for compressed clusters`,
          );
        // The sector count is rounded up: the file may end within the last sector.
        const end = Math.min(
          hostOffset + streamBytes,
          Math.max(this.#clusters * this.#clusterBytes, hostOffset + 1),
        );
        this.#refer(hostOffset, end - hostOffset, 'compressed cluster');
        if (isActive) {
          this.result.allocatedClusters++;
          this.result.compressedClusters++;
          this.result.fragmentedClusters++;
        }
        continue;
      }
      const offset = entryOffset(hi, lo);
      if (geometry.isExtended && (view.getUint32(at + 8) & view.getUint32(at + 12)) !== 0)
        this.#corruption(`the subcluster bitmap at 0x${hex(tableOffset + at)} is both allocated and zero`);
      if (offset === 0) continue;
      if (offset % this.#clusterBytes !== 0) {
        this.#corruption(`offset=0x${hex(offset)}: Cluster is not properly aligned; L2 entry corrupted.`);
        continue;
      }
      if (isActive) {
        this.result.allocatedClusters++;
        if (expected !== 0 && offset !== expected) this.result.fragmentedClusters++;
        expected = offset + this.#clusterBytes;
      }
      if (geometry.hasDataFile) continue;
      this.#refer(offset, this.#clusterBytes, 'data cluster');
      if (isActive) await this.#checkOwn('data cluster: l2_entry', hi, offset);
    }
  }

  async #checkOwn(what: string, hi: number, offset: number): Promise<void> {
    if (offset / this.#clusterBytes >= this.#clusters) return;
    const count = await this.#image.refcounts.get(offset).catch(() => -1);
    const isOwn = (hi & HI_COPIED) !== 0;
    if (count >= 0 && (count === 1) !== isOwn)
      this.#corruption(`OFLAG_COPIED ${what}=${hex(offset)} refcount=${count}`);
  }

  async #collectBitmaps(): Promise<void> {
    const { bitmaps } = this.#image.header;
    if (bitmaps === undefined) return;
    this.#refer(bitmaps.directoryOffset, bitmaps.directoryBytes, 'bitmap directory');
    for (const { tableOffset, tableEntries } of this.#bitmaps.list) {
      if (tableEntries * 8 > 32 * 2 ** 20) {
        this.#corruption('a bitmap table is too large');
        continue;
      }
      this.#refer(tableOffset, tableEntries * 8, 'bitmap table');
      const bytes = new Uint8Array(tableEntries * 8);
      await this.#image.file.read(tableOffset, bytes);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < tableEntries; i++) {
        const offset = readU64(view, i * 8) - (view.getUint32(i * 8 + 4) & 511);
        if (offset !== 0) this.#refer(offset, this.#clusterBytes, 'bitmap data');
      }
    }
  }

  /** Counts against references. */
  async compare(): Promise<void> {
    const { refcounts } = this.#image;
    let highest = 0;
    for (let cluster = 0; cluster < this.#clusters; cluster++) {
      let count: number;
      try {
        count = await refcounts.get(cluster * this.#clusterBytes);
      } catch {
        this.result.checkErrors++;
        this.#needsRebuild = true;
        continue;
      }
      const expected = this.#found[cluster]!;
      if (expected > 0 && !refcounts.hasBlock(cluster)) this.#needsRebuild = true;
      if (count > 0 || expected > 0) highest = cluster + 1;
      if (count === expected) continue;
      this.#wrongCounts.push({ cluster, expected, count });
      if (count < expected) this.#corruption(`cluster ${cluster} refcount=${count} reference=${expected}`);
      else {
        this.result.leaks++;
        this.#say(`Leaked cluster ${cluster} refcount=${count} reference=${expected}`);
      }
    }
    this.result.imageEndOffset = highest * this.#clusterBytes;
  }

  async repair(how: 'leaks' | 'all'): Promise<void> {
    const image = this.#image;
    const { result } = this;
    const before = { leaks: result.leaks, corruptions: result.corruptions };
    if (this.#needsRebuild && how === 'all') {
      await image.refcounts.rebuild((cluster) => this.#withoutCounts[cluster] ?? 0, this.#clusters);
    } else {
      for (const { cluster, expected, count } of this.#wrongCounts) {
        if (how === 'leaks' && count < expected) continue;
        await image.refcounts.set(cluster * this.#clusterBytes, expected);
      }
      await image.refcounts.writeDirty();
    }
    await image.file.flush();
    if (how === 'all') {
      await image.mutex.run(() => this.#snapshots.refreshOwnership());
      await image.flush();
    }
    const again = new Checker(image, this.#snapshots, this.#bitmaps);
    await again.collect();
    await again.compare();
    Object.assign(result, { ...again.result, messages: [...result.messages, ...again.result.messages] });
    result.fixedLeaks = Math.max(0, before.leaks - again.result.leaks);
    result.fixedCorruptions = Math.max(0, before.corruptions - again.result.corruptions);
    if (again.result.corruptions === 0 && how === 'all' && image.geometry.isV3) {
      const features = image.header.incompatible & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT);
      if (features !== image.header.incompatible) await image.setIncompatible(features);
      await image.file.flush();
    }
  }
}
