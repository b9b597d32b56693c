/**
 * The open image: header, L1 table, caches, and the order in which they reach the file.
 *
 * Order of writes. A table on disk never refers to something whose reference count on disk is 0, or to a table or (after a flush)
 * data that are not there: counts first, then L2 tables, then L1 entries, with a flush of the file between them. Clusters whose
 * last reference goes are freed after the tables without it are on disk. So an interruption at any moment leaks at most.
 */
import { BlockError, type BlockNode, EIO } from '../block-node.ts';
import { Mutex } from '../mutex.ts';
import {
  AT_INCOMPATIBLE,
  AT_L1,
  AT_L1_SIZE,
  COMPATIBLE_LAZY_REFCOUNTS,
  encodeHeader,
  HI_COPIED,
  HI_OFFSET,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
  INCOMPATIBLE_EXTENDED_L2,
  LO_OFFSET,
  l1EntriesFor,
  type Qcow2Header,
  SUBCLUSTERS,
  writeU64,
} from './format.ts';
import type { L2Geometry } from './l2.ts';
import { Refcounts } from './refcounts.ts';
import { type CachedTable, TableCache } from './table-cache.ts';

export interface CacheSizes {
  readonly l2Bytes: number;
  readonly refcountBytes: number;
}

export const DEFAULT_CACHES: CacheSizes = { l2Bytes: 32 * 2 ** 20, refcountBytes: 2 ** 20 };

interface Freed {
  readonly offset: number;
  readonly clusters: number;
}

/** Requests that looked at the tables before a certain moment. */
class Generation {
  underWay = 0;
  isOver = false;
  freed: Freed[] = [];
}

/** So much is freed at most before the tables are written to make it usable. */
const MAX_FREED = 4096;

export class Image {
  readonly file: BlockNode;
  /** Where guest data lie: the same file, or an external one. */
  readonly dataFile: BlockNode;
  header: Qcow2Header;
  readonly geometry: L2Geometry;
  readonly refcounts: Refcounts;
  readonly l2: TableCache;
  /** Held by whatever changes the tables. */
  readonly mutex = new Mutex();
  /** Entries, big-endian. */
  l1: DataView;
  /** Where the next compressed stream may start, in a cluster that is used up to there; 0: nowhere. */
  packAt = 0;
  readonly #dirtyL1 = new Set<number>();
  #freed: Freed[] = [];
  #generation = new Generation();
  readonly #draining: Generation[] = [];
  #metadata: Set<number> | undefined;
  #isDirtyMarked = false;
  /** Data were written that no flush has covered. */
  #hasNewData = false;

  constructor(file: BlockNode, dataFile: BlockNode, header: Qcow2Header, caches: CacheSizes) {
    this.file = file;
    this.dataFile = dataFile;
    this.header = header;
    const clusterBytes = 2 ** header.clusterBits;
    const isExtended = (header.incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0;
    this.geometry = {
      clusterBits: header.clusterBits,
      clusterBytes,
      entryBytes: isExtended ? 16 : 8,
      entries: clusterBytes / (isExtended ? 16 : 8),
      isExtended,
      unitBytes: isExtended ? clusterBytes / SUBCLUSTERS : clusterBytes,
      hasDataFile: (header.incompatible & INCOMPATIBLE_DATA_FILE) !== 0,
      isV3: header.version === 3,
    };
    const needed = l1EntriesFor(header.sizeBytes, header);
    const tables = Math.max(4, Math.min(needed + 1, Math.floor(caches.l2Bytes / clusterBytes)));
    this.l2 = new TableCache(file, clusterBytes, tables);
    this.refcounts = new Refcounts(
      file,
      header,
      Math.max(4, Math.floor(caches.refcountBytes / clusterBytes)),
    );
    this.refcounts.onAllocate = (offset, clusters) => this.#checkFree(offset, clusters);
    this.refcounts.onLayoutChange = () => {
      this.#metadata = undefined;
    };
    this.l1 = new DataView(new ArrayBuffer(0));
  }

  async load(): Promise<void> {
    const bytes = new Uint8Array(this.header.l1Size * 8);
    await this.file.read(this.header.l1Offset, bytes);
    this.l1 = new DataView(bytes.buffer);
    await this.refcounts.load();
  }

  get isReadOnly(): boolean {
    return this.file.isReadOnly;
  }

  get isLazy(): boolean {
    return (this.header.compatible & COMPATIBLE_LAZY_REFCOUNTS) !== 0;
  }

  /** Bytes of disk that one L2 table maps. */
  get tableSpan(): number {
    return this.geometry.entries * this.geometry.clusterBytes;
  }

  // --- L1

  /** Offset of the L2 table, 0 if there is none. */
  l2Offset(l1Index: number): number {
    if (l1Index >= this.header.l1Size) return 0;
    const hi = this.l1.getUint32(l1Index * 8);
    const lo = this.l1.getUint32(l1Index * 8 + 4);
    const offset = (hi & HI_OFFSET) * 2 ** 32 + ((lo & LO_OFFSET) >>> 0);
    if (offset % this.geometry.clusterBytes !== 0)
      throw this.corrupt(
        `L2 table offset 0x${offset.toString(16)} unaligned (L1 index: 0x${l1Index.toString(16)})`,
      );
    return offset;
  }

  isL2Own(l1Index: number): boolean {
    return (this.l1.getUint32(l1Index * 8) & HI_COPIED) !== 0;
  }

  setL1(l1Index: number, offset: number): void {
    writeU64(this.l1, l1Index * 8, offset);
    if (offset !== 0) this.l1.setUint32(l1Index * 8, this.l1.getUint32(l1Index * 8) | HI_COPIED);
    this.#dirtyL1.add(l1Index);
  }

  setL1Ownership(l1Index: number, isOwn: boolean): void {
    const hi = this.l1.getUint32(l1Index * 8);
    this.l1.setUint32(l1Index * 8, isOwn ? hi | HI_COPIED : hi & ~HI_COPIED);
    this.#dirtyL1.add(l1Index);
  }

  table(l1Index: number): Promise<CachedTable> | CachedTable | undefined {
    const offset = this.l2Offset(l1Index);
    if (offset === 0) return undefined;
    return this.l2.peek(offset) ?? this.l2.get(offset);
  }

  /** The table as one that only the active disk refers to; made or copied if need be. Under the mutex. */
  async ownTable(l1Index: number): Promise<CachedTable> {
    const offset = this.l2Offset(l1Index);
    if (offset !== 0 && this.isL2Own(l1Index)) return this.l2.peek(offset) ?? this.l2.get(offset);
    const old = offset === 0 ? undefined : Uint8Array.from((await this.l2.get(offset)).bytes);
    const made = await this.refcounts.allocate(1);
    this.#metadata?.add(made);
    const table = this.l2.create(made, old);
    this.setL1(l1Index, made);
    if (offset !== 0) this.free(offset, 1);
    return table;
  }

  // --- reads and writes in place against changes of the tables

  /** Call before looking at the tables for a request of data, `leave` when the data have been transferred. */
  enter(): Generation {
    this.#generation.underWay++;
    return this.#generation;
  }

  leave(generation: Generation): void {
    generation.underWay--;
    if (generation.isOver && generation.underWay === 0) this.#retire();
  }

  dataWritten(): void {
    this.#hasNewData = true;
  }

  // --- freeing

  /** The tables no longer refer to these clusters: they are freed once that is so on disk, and nobody uses them. */
  free(offset: number, clusters: number): void {
    this.#freed.push({ offset, clusters });
    const bytes = clusters * this.geometry.clusterBytes;
    if (this.packAt >= offset && this.packAt < offset + bytes) this.packAt = 0;
    for (let i = 0; i < clusters; i++) this.#metadata?.delete(offset + i * this.geometry.clusterBytes);
  }

  // --- order

  /** Under the mutex: brings the tables to the file if they take too much room in memory. */
  async balance(): Promise<void> {
    if (this.l2.isCrowded || this.refcounts.isCrowded || this.#freed.length > MAX_FREED)
      await this.writeTables();
  }

  /** Under the mutex: all tables, in order. Stable after a flush of the file. */
  async writeTables(): Promise<void> {
    await this.refcounts.writeDirty();
    const hasL2 = this.l2.hasDirty;
    const hasL1 = this.#dirtyL1.size > 0;
    if (hasL2 || hasL1) await this.#barrier();
    if (hasL2) await this.l2.writeDirty();
    if (hasL1) {
      if (hasL2) await this.file.flush();
      await this.#writeL1();
    }
    await this.#applyFrees();
  }

  async #barrier(): Promise<void> {
    if (this.dataFile !== this.file && this.#hasNewData) await this.dataFile.flush();
    await this.file.flush();
  }

  async #writeL1(): Promise<void> {
    // In runs of 512 bytes: a sector is written whole or not at all.
    const sectors = [...new Set([...this.#dirtyL1].map((index) => Math.floor(index / 64)))];
    const bytes = new Uint8Array(this.l1.buffer, this.l1.byteOffset, this.l1.byteLength);
    for (const sector of sectors) {
      const part = bytes.subarray(sector * 512, Math.min(bytes.length, (sector + 1) * 512));
      await this.file.write(this.header.l1Offset + sector * 512, part);
    }
    this.#dirtyL1.clear();
  }

  async #applyFrees(): Promise<void> {
    if (this.#freed.length === 0) return;
    await this.file.flush();
    const over = this.#generation;
    over.freed = this.#freed;
    over.isOver = true;
    this.#freed = [];
    this.#generation = new Generation();
    this.#draining.push(over);
    await this.#releaseDrained();
  }

  #retire(): void {
    if (this.#draining[0]?.underWay !== 0) return;
    void this.mutex.run(() => this.#releaseDrained()).catch(() => {});
  }

  /** In order: a cluster is free when no request that may know it is under way. */
  async #releaseDrained(): Promise<void> {
    while (this.#draining[0]?.underWay === 0) {
      const { freed } = this.#draining.shift()!;
      for (const { offset, clusters } of freed) await this.#release(offset, clusters);
    }
  }

  async #release(offset: number, clusters: number): Promise<void> {
    await this.refcounts.add(offset, clusters, -1);
    const bytes = clusters * this.geometry.clusterBytes;
    for (let i = 0; i < clusters; i++) {
      const at = offset + i * this.geometry.clusterBytes;
      if ((await this.refcounts.get(at)) === 0) this.l2.forget(at);
    }
    if ((await this.refcounts.get(offset)) === 0) await this.file.discard(offset, bytes);
  }

  /** Everything on stable storage. */
  async flush(): Promise<void> {
    if (this.isReadOnly) return;
    await this.mutex.run(() => this.writeTables());
    await this.#barrier();
    this.#hasNewData = false;
  }

  /** Also what was freed; afterwards the file is complete and, where it was marked dirty, clean. */
  async finish(): Promise<void> {
    if (this.isReadOnly) return;
    await this.flush();
    await this.mutex.run(() => this.refcounts.writeDirty());
    if (this.#isDirtyMarked) {
      await this.file.flush();
      await this.setIncompatible(this.header.incompatible & ~INCOMPATIBLE_DIRTY);
      this.#isDirtyMarked = false;
    }
    await this.file.flush();
  }

  /** With lazy counts the image says that they may be wrong before the first of them changes. */
  async beforeAllocation(): Promise<void> {
    if (!this.isLazy || this.#isDirtyMarked || !this.geometry.isV3) return;
    this.#isDirtyMarked = true;
    await this.setIncompatible(this.header.incompatible | INCOMPATIBLE_DIRTY);
    await this.file.flush();
  }

  // --- header

  async setIncompatible(features: number): Promise<void> {
    this.header.incompatible = features;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(4, features);
    await this.file.write(AT_INCOMPATIBLE, bytes);
  }

  /** Writes the whole first cluster. */
  async writeHeader(): Promise<void> {
    const bytes = encodeHeader(this.header);
    if (this.geometry.isV3) this.header.headerBytes = Math.max(this.header.headerBytes, 112);
    await this.file.write(0, bytes);
  }

  /** L1 table of at least `entries`; on disk when this returns. Under the mutex, with the tables written. */
  async growL1(entries: number): Promise<void> {
    if (entries <= this.header.l1Size) return;
    await this.beforeAllocation();
    const { clusterBytes } = this.geometry;
    const clusters = Math.ceil((entries * 8) / clusterBytes);
    const offset = await this.refcounts.allocate(clusters);
    const bytes = new Uint8Array(clusters * clusterBytes);
    bytes.set(new Uint8Array(this.l1.buffer, this.l1.byteOffset, this.l1.byteLength));
    await this.refcounts.writeDirty();
    await this.file.write(offset, bytes);
    await this.file.flush();
    const old = { offset: this.header.l1Offset, bytes: this.header.l1Size * 8 };
    await this.switchL1(offset, entries, bytes);
    if (old.bytes > 0) this.free(old.offset, Math.ceil(old.bytes / clusterBytes));
  }

  /** The header names another L1 table. */
  async switchL1(offset: number, entries: number, bytes: Uint8Array): Promise<void> {
    const field = new Uint8Array(12);
    const view = new DataView(field.buffer);
    view.setUint32(0, entries);
    writeU64(view, AT_L1 - AT_L1_SIZE, offset);
    await this.file.write(AT_L1_SIZE, field);
    await this.file.flush();
    this.header.l1Offset = offset;
    this.header.l1Size = entries;
    this.l1 = new DataView(bytes.buffer, bytes.byteOffset, entries * 8);
    this.#dirtyL1.clear();
    this.#metadata = undefined;
  }

  /** Marks the image and gives the error to fail with. */
  corrupt(what: string): BlockError {
    if (!this.isReadOnly && this.geometry.isV3 && (this.header.incompatible & INCOMPATIBLE_CORRUPT) === 0)
      void this.setIncompatible(this.header.incompatible | INCOMPATIBLE_CORRUPT).catch(() => {});
    return new BlockError(EIO, `Image is corrupt: ${what}`);
  }

  /** A count of 0 must not be believed of clusters that tables lie in. */
  #checkFree(offset: number, clusters: number): void {
    const { clusterBytes } = this.geometry;
    this.#metadata ??= this.#collectMetadata();
    for (let i = 0; i < clusters; i++) {
      const at = offset + i * clusterBytes;
      if (this.#metadata.has(at))
        throw this.corrupt(`the metadata at 0x${at.toString(16)} have a reference count of 0`);
    }
  }

  #collectMetadata(): Set<number> {
    const { clusterBytes } = this.geometry;
    const set = new Set<number>([0]);
    const addRange = (offset: number, bytes: number): void => {
      for (let at = offset; at < offset + bytes; at += clusterBytes) set.add(at);
    };
    addRange(this.header.l1Offset, this.header.l1Size * 8);
    addRange(this.header.refcountTableOffset, this.header.refcountTableClusters * clusterBytes);
    for (const block of this.refcounts.table) if (block !== 0) set.add(block);
    for (let i = 0; i < this.header.l1Size; i++) {
      const offset = this.l2Offset(i);
      if (offset !== 0) set.add(offset);
    }
    return set;
  }
}
