/** Format `qcow2`: requests of a disk over an open image. */
import {
  BlockError,
  type BlockNode,
  type BlockStatus,
  EINVAL,
  EIO,
  ENOTSUP,
  EROFS,
  isZero,
  type Preallocation,
} from '../block-node.ts';
import type { CheckResult, FormatNode } from '../driver.ts';
import type { Codec } from '../host.ts';
import { ReadOnlyFile } from '../read-only-file.ts';
import type { Bitmaps } from './bitmaps.ts';
import { checkImage } from './check.ts';
import { Compressor } from './compressor.ts';
import {
  AT_SIZE,
  AUTOCLEAR_RAW_DATA,
  HI_COMPRESSED,
  HI_COPIED,
  INCOMPATIBLE_CORRUPT,
  LO_ZERO,
  l1EntriesFor,
  SUBCLUSTERS,
  writeU64,
} from './format.ts';
import { DEFAULT_CACHES, Image } from './image.ts';
import { compressedEntryHi, compressedStream, entryOffset, isAllocated, type Mapping, mapRun } from './l2.ts';
import type { Snapshots } from './snapshots.ts';
import type { CachedTable } from './table-cache.ts';

const ALL_UNITS = 0xffffffff;
/** Bytes that one allocating request moves at a time. */
const MAX_STEP = 2 ** 21;

export class Qcow2Node implements FormatNode {
  readonly driver = 'qcow2';
  readonly blockSizeBytes: number;
  readonly backing: BlockNode | undefined;
  readonly image: Image;
  readonly snapshots: Snapshots;
  readonly bitmaps: Bitmaps;
  readonly #compressor: Compressor;
  readonly #codec: Codec;

  constructor(
    image: Image,
    backing: BlockNode | undefined,
    codec: Codec,
    bitmaps: Bitmaps,
    snapshots: Snapshots,
  ) {
    this.image = image;
    this.backing = backing;
    this.#codec = codec;
    this.bitmaps = bitmaps;
    this.blockSizeBytes = image.geometry.unitBytes >= 4096 ? 4096 : 512;
    this.#compressor = new Compressor(codec, image.header.compression, image.geometry.clusterBytes);
    this.snapshots = snapshots;
  }

  get file(): BlockNode {
    return this.image.file;
  }

  get filename(): string {
    return this.image.file.filename;
  }

  get sizeBytes(): number {
    return this.image.header.sizeBytes;
  }

  get isReadOnly(): boolean {
    return this.image.isReadOnly;
  }

  get clusterSizeBytes(): number {
    return this.image.geometry.clusterBytes;
  }

  get backingName(): string | undefined {
    return this.image.header.backingName;
  }

  get backingFormat(): string | undefined {
    return this.image.header.backingFormat;
  }

  // --- reading

  async read(offset: number, into: Uint8Array): Promise<void> {
    const generation = this.image.enter();
    try {
      await this.#readMapped(offset, into);
    } finally {
      this.image.leave(generation);
    }
  }

  async #readMapped(offset: number, into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const mapped = this.#map(offset + at, into.length - at);
      const run = mapped instanceof Promise ? await mapped : mapped;
      const part = into.subarray(at, at + run.sizeBytes);
      await this.#readRun(run, offset + at, part);
      at += run.sizeBytes;
    }
  }

  #readRun(run: Mapping, offset: number, into: Uint8Array): Promise<void> | undefined {
    switch (run.kind) {
      case 'data':
        return this.image.dataFile.read(run.hostOffset, into);
      case 'compressed':
        return this.#readCompressed(run, offset, into);
      case 'hole':
        return this.#readBacking(offset, into);
      case 'zero':
        into.fill(0);
        return undefined;
    }
  }

  #readBacking(offset: number, into: Uint8Array): Promise<void> | undefined {
    const { backing } = this;
    const available =
      backing === undefined ? 0 : Math.max(0, Math.min(into.length, backing.sizeBytes - offset));
    if (available < into.length) into.fill(0, available);
    return available === 0 ? undefined : backing!.read(offset, into.subarray(0, available));
  }

  async #readCompressed(run: Mapping, offset: number, into: Uint8Array): Promise<void> {
    const within = offset % this.image.geometry.clusterBytes;
    const cluster = await this.#compressor.read(this.image.file, run.hostOffset, run.streamBytes);
    into.set(cluster.subarray(within, within + into.length));
  }

  /** Synchronous when the table is in memory. */
  #map(offset: number, mostBytes: number): Mapping | Promise<Mapping> {
    const { image } = this;
    const l1Index = Math.floor(offset / image.tableSpan);
    const within = offset - l1Index * image.tableSpan;
    const most = Math.min(mostBytes, image.tableSpan - within);
    const table = image.table(l1Index);
    if (table === undefined) return hole(most);
    return table instanceof Promise
      ? table.then((loaded) => this.#mapIn(loaded, within, most))
      : this.#mapIn(table, within, most);
  }

  #mapIn(table: CachedTable, within: number, most: number): Mapping {
    const { geometry } = this.image;
    const index = Math.floor(within / geometry.clusterBytes);
    const run = mapRun(geometry, table, index, within % geometry.clusterBytes, most);
    if (
      run.kind === 'data' &&
      (run.hostOffset - (within % geometry.clusterBytes)) % geometry.clusterBytes !== 0
    )
      throw this.image.corrupt(`Cluster allocation offset 0x${run.hostOffset.toString(16)} unaligned`);
    if (run.kind === 'data' && run.hostOffset > Number.MAX_SAFE_INTEGER - MAX_STEP)
      throw new BlockError(EIO, 'a cluster lies beyond the largest file');
    return run;
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const run = await this.#map(offset, sizeBytes);
    if (run.kind === 'data') return { sizeBytes: run.sizeBytes, kind: 'data', hostOffset: run.hostOffset };
    if (run.kind === 'compressed') return { sizeBytes: run.sizeBytes, kind: 'data', isCompressed: true };
    if (run.kind === 'zero') {
      const hostOffset = run.isAllocated ? run.hostOffset : undefined;
      return { sizeBytes: run.sizeBytes, kind: 'zero', isAllocated: run.isAllocated, hostOffset };
    }
    return { sizeBytes: run.sizeBytes, kind: 'hole' };
  }

  // --- writing

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.#assertWritable();
    const { image } = this;
    await this.bitmaps.beforeWrite();
    const generation = image.enter();
    try {
      for (let at = 0; at < from.length; ) {
        const mapped = this.#map(offset + at, from.length - at);
        const run = mapped instanceof Promise ? await mapped : mapped;
        if (run.isOwn) {
          await image.dataFile.write(run.hostOffset, from.subarray(at, at + run.sizeBytes));
          image.dataWritten();
          at += run.sizeBytes;
        } else {
          const most = Math.min(from.length - at, MAX_STEP);
          const start = at;
          at += await image.mutex.run(() =>
            this.#writeStep(offset + start, from.subarray(start, start + most)),
          );
        }
      }
    } finally {
      image.leave(generation);
    }
  }

  #assertWritable(): void {
    if (this.isReadOnly) throw new BlockError(EROFS, 'the image is read-only');
    if ((this.image.header.incompatible & INCOMPATIBLE_CORRUPT) !== 0)
      throw new BlockError(EIO, 'the image is marked as corrupt');
  }

  /** Under the mutex: writes a beginning of `from` and returns its length. */
  async #writeStep(offset: number, from: Uint8Array): Promise<number> {
    const { image } = this;
    const { clusterBytes } = image.geometry;
    await image.balance();
    // Somebody may have allocated it meanwhile.
    const run = await this.#map(offset, from.length);
    if (run.isOwn) {
      await image.dataFile.write(run.hostOffset, from.subarray(0, run.sizeBytes));
      image.dataWritten();
      return run.sizeBytes;
    }
    await image.beforeAllocation();
    const l1Index = Math.floor(offset / image.tableSpan);
    const table = await image.ownTable(l1Index);
    const within = offset - l1Index * image.tableSpan;
    const index = Math.floor(within / clusterBytes);
    const reused = this.#ownPlace(table, index);
    if (reused !== undefined) return this.#fillPlace(table, index, reused, offset, from);
    return this.#allocate(
      table,
      index,
      offset,
      from.subarray(0, Math.min(from.length, image.tableSpan - within)),
    );
  }

  /** Host cluster of an entry that is its own though the disk shows something else in it (zeroes, missing subclusters). */
  #ownPlace(table: CachedTable, index: number): number | undefined {
    const { geometry } = this.image;
    const hi = table.view.getUint32(index * geometry.entryBytes);
    const lo = table.view.getUint32(index * geometry.entryBytes + 4);
    if ((hi & HI_COMPRESSED) !== 0 || (hi & HI_COPIED) === 0 || !isAllocated(geometry, hi, lo))
      return undefined;
    return entryOffset(hi, lo);
  }

  /** Writes into a cluster that has its place already; what the disk showed around the request goes there too. */
  async #fillPlace(
    table: CachedTable,
    index: number,
    place: number,
    offset: number,
    from: Uint8Array,
  ): Promise<number> {
    const { geometry, dataFile } = this.image;
    const { clusterBytes, unitBytes } = geometry;
    const within = offset % clusterBytes;
    const count = Math.min(from.length, clusterBytes - within);
    const firstUnit = Math.floor(within / unitBytes);
    const lastUnit = Math.floor((within + count - 1) / unitBytes);
    const start = firstUnit * unitBytes;
    const bytes = new Uint8Array((lastUnit + 1) * unitBytes - start);
    await this.#readAround(offset - within + start, bytes, within - start, count);
    bytes.set(from.subarray(0, count), within - start);
    await dataFile.write(place + start, bytes);
    this.image.dataWritten();
    this.#setEntry(table, index, place, firstUnit, lastUnit, 'keep');
    return count;
  }

  /** New clusters for as much of `from` as lies in clusters without a place, as far as they come in one piece. */
  async #allocate(table: CachedTable, index: number, offset: number, from: Uint8Array): Promise<number> {
    const { image } = this;
    const { clusterBytes, hasDataFile } = image.geometry;
    const within = offset % clusterBytes;
    const wanted = Math.ceil((within + from.length) / clusterBytes);
    let clusters = 1;
    while (clusters < wanted && this.#isPlaceless(table, index + clusters)) clusters++;
    const run = hasDataFile
      ? { offset: offset - within, clusters }
      : await image.refcounts.allocateRun(clusters);
    const fileEnd = image.dataFile.sizeBytes;
    const count = Math.min(from.length, run.clusters * clusterBytes - within);
    try {
      await this.#writeNew(table, index, run.offset, run.offset >= fileEnd, offset, from.subarray(0, count));
    } catch (error) {
      // Nothing refers to them; counts may be taken back at once.
      if (!hasDataFile) await image.refcounts.add(run.offset, run.clusters, -1).catch(() => {});
      throw error;
    }
    image.dataWritten();
    const last = within + count - 1;
    for (let i = 0; i < run.clusters; i++) {
      const firstByte = i === 0 ? within : 0;
      const lastByte = Math.min(clusterBytes - 1, last - i * clusterBytes);
      this.#replaceEntry(table, index + i, run.offset + i * clusterBytes, firstByte, lastByte);
    }
    return count;
  }

  #isPlaceless(table: CachedTable, index: number): boolean {
    return index < this.image.geometry.entries && this.#ownPlace(table, index) === undefined;
  }

  /** Data and what of the disk's old content must go with them, in one write where that is small. */
  async #writeNew(
    table: CachedTable,
    index: number,
    host: number,
    isFresh: boolean,
    offset: number,
    from: Uint8Array,
  ): Promise<void> {
    const { geometry, dataFile } = this.image;
    const { clusterBytes } = geometry;
    const within = offset % clusterBytes;
    const last = within + from.length - 1;
    const lastIndex = index + Math.floor(last / clusterBytes);
    const headUnit = this.#copyUnit(table, index);
    const tailUnit = this.#copyUnit(table, lastIndex);
    const start = Math.floor(within / headUnit) * headUnit;
    const end = Math.ceil((last + 1) / tailUnit) * tailUnit;
    if (start === within && end === last + 1) return dataFile.write(host + within, from);
    const head = new Uint8Array(within - start);
    const tail = new Uint8Array(end - last - 1);
    await this.#readMapped(offset - head.length, head);
    await this.#readClipped(offset + from.length, tail);
    const needsHead = head.length > 0 && !(isFresh && isZero(head));
    const needsTail = tail.length > 0 && !(isFresh && isZero(tail));
    if (!needsHead && !needsTail) return dataFile.write(host + within, from);
    const bytes = new Uint8Array(end - start);
    bytes.set(head);
    bytes.set(from, head.length);
    bytes.set(tail, head.length + from.length);
    await dataFile.write(host + start, bytes);
  }

  /** What must be copied whole when a cluster gets a new place: it, or a subcluster if nothing else of it holds data. */
  #copyUnit(table: CachedTable, index: number): number {
    const { geometry } = this.image;
    if (!geometry.isExtended) return geometry.clusterBytes;
    const hi = table.view.getUint32(index * 16);
    const holdsData = (hi & HI_COMPRESSED) !== 0 || table.view.getUint32(index * 16 + 12) !== 0;
    return holdsData ? geometry.clusterBytes : geometry.unitBytes;
  }

  /** Reads of the last cluster may go beyond the end of the disk: zeroes. */
  async #readClipped(offset: number, into: Uint8Array): Promise<void> {
    const available = Math.max(0, Math.min(into.length, this.sizeBytes - offset));
    into.fill(0, available);
    await this.#readMapped(offset, into.subarray(0, available));
  }

  /** The disk's content before and behind the part that a request replaces. */
  async #readAround(offset: number, into: Uint8Array, from: number, count: number): Promise<void> {
    if (from > 0) await this.#readMapped(offset, into.subarray(0, from));
    if (from + count < into.length)
      await this.#readClipped(offset + from + count, into.subarray(from + count));
  }

  /** The entry gets a new place; what it had is freed. */
  #replaceEntry(table: CachedTable, index: number, host: number, firstByte: number, lastByte: number): void {
    const { geometry } = this.image;
    const unit = this.#copyUnit(table, index);
    const firstUnit = Math.floor((Math.floor(firstByte / unit) * unit) / geometry.unitBytes);
    const lastUnit = Math.ceil((Math.ceil((lastByte + 1) / unit) * unit) / geometry.unitBytes) - 1;
    this.#freeEntry(table, index);
    this.#setEntry(table, index, host, firstUnit, lastUnit, unit === geometry.clusterBytes ? 'all' : 'keep');
  }

  /** `keep`: other subclusters stay what they are; `all`: the whole cluster is data now. */
  #setEntry(
    table: CachedTable,
    index: number,
    host: number,
    firstUnit: number,
    lastUnit: number,
    others: 'keep' | 'all',
  ): void {
    const { geometry, l2 } = this.image;
    const at = index * geometry.entryBytes;
    writeU64(table.view, at, host);
    table.view.setUint32(at, table.view.getUint32(at) | HI_COPIED);
    if (geometry.isExtended) {
      const width = lastUnit - firstUnit + 1;
      const mask = width === SUBCLUSTERS ? ALL_UNITS : ((2 ** width - 1) << firstUnit) >>> 0;
      const data = others === 'all' ? ALL_UNITS : table.view.getUint32(at + 12) | mask;
      const zero = others === 'all' ? 0 : table.view.getUint32(at + 8) & ~mask;
      table.view.setUint32(at + 8, zero);
      table.view.setUint32(at + 12, data);
    }
    l2.markDirty(table, at, at + geometry.entryBytes);
  }

  /** The host clusters of an entry lose its reference. */
  #freeEntry(table: CachedTable, index: number): void {
    const { image } = this;
    const { geometry } = image;
    const at = index * geometry.entryBytes;
    const hi = table.view.getUint32(at);
    const lo = table.view.getUint32(at + 4);
    if ((hi & HI_COMPRESSED) !== 0) {
      const { hostOffset, streamBytes } = compressedStream(hi, lo, geometry.clusterBits);
      const first = Math.floor(hostOffset / geometry.clusterBytes);
      const last = Math.floor((hostOffset + streamBytes - 1) / geometry.clusterBytes);
      image.free(first * geometry.clusterBytes, last - first + 1);
      this.#compressor.forget(hostOffset);
    } else if (!geometry.hasDataFile && entryOffset(hi, lo) !== 0) image.free(entryOffset(hi, lo), 1);
  }

  // --- zeroes, discard

  async writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    this.#assertWritable();
    await this.#clear(offset, sizeBytes, mayUnmap ? 'unmap' : 'zero');
  }

  async discard(offset: number, sizeBytes: number): Promise<void> {
    this.#assertWritable();
    const { unitBytes } = this.image.geometry;
    const start = Math.ceil(offset / unitBytes) * unitBytes;
    const isToEnd = offset + sizeBytes >= this.sizeBytes;
    const end = isToEnd ? this.sizeBytes : Math.floor((offset + sizeBytes) / unitBytes) * unitBytes;
    if (end > start) await this.#clear(start, end - start, 'discard');
  }

  /** Whole clusters through the tables, edges as data. */
  async #clear(offset: number, sizeBytes: number, how: 'zero' | 'unmap' | 'discard'): Promise<void> {
    const { image } = this;
    const { clusterBytes } = image.geometry;
    await this.bitmaps.beforeWrite();
    const end = offset + sizeBytes;
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / clusterBytes) * clusterBytes;
      const clusterEnd = Math.min(cluster + clusterBytes, this.sizeBytes);
      if (at > cluster || end < clusterEnd) {
        const stop = Math.min(end, clusterEnd);
        if (how !== 'discard') await this.#zeroPart(at, stop - at);
        at = stop;
        continue;
      }
      const stop = end === this.sizeBytes ? end : Math.floor(end / clusterBytes) * clusterBytes;
      at += await image.mutex.run(() => this.#clearStep(at, stop, how));
    }
  }

  async #zeroPart(offset: number, sizeBytes: number): Promise<void> {
    const run = await this.#map(offset, sizeBytes);
    const isZeroAlready =
      run.sizeBytes >= sizeBytes &&
      (run.kind === 'zero' || (run.kind === 'hole' && !this.#showsBacking(offset)));
    if (!isZeroAlready) await this.write(offset, new Uint8Array(sizeBytes));
  }

  get #hasRawData(): boolean {
    return this.image.geometry.hasDataFile && (this.image.header.autoclear & AUTOCLEAR_RAW_DATA) !== 0;
  }

  #showsBacking(offset: number): boolean {
    return this.backing !== undefined && offset < this.backing.sizeBytes;
  }

  /** Under the mutex: as many whole clusters as one table holds. Returns the bytes. */
  async #clearStep(offset: number, end: number, how: 'zero' | 'unmap' | 'discard'): Promise<number> {
    const { image } = this;
    const { clusterBytes, isV3 } = image.geometry;
    await image.balance();
    const l1Index = Math.floor(offset / image.tableSpan);
    const stop = Math.min(end, (l1Index + 1) * image.tableSpan);
    // A raw data file holds the disk by itself.
    if (this.#hasRawData) await image.dataFile.writeZeroes(offset, stop - offset, true);
    if (image.l2Offset(l1Index) === 0 && !this.#showsBacking(offset)) return stop - offset;
    if (!isV3 && this.#showsBacking(offset)) {
      // Version 2 cannot say "zero" over a backing file.
      if (how === 'discard') return stop - offset;
      return this.#writeStep(offset, new Uint8Array(Math.min(stop - offset, clusterBytes)));
    }
    await image.beforeAllocation();
    const table = await image.ownTable(l1Index);
    const first = (offset - l1Index * image.tableSpan) / clusterBytes;
    const count = Math.ceil((stop - offset) / clusterBytes);
    for (let i = first; i < first + count; i++)
      this.#clearEntry(table, i, l1Index * image.tableSpan + i * clusterBytes, how);
    return stop - offset;
  }

  #clearEntry(table: CachedTable, index: number, offset: number, how: 'zero' | 'unmap' | 'discard'): void {
    const { geometry, l2 } = this.image;
    const at = index * geometry.entryBytes;
    const hi = table.view.getUint32(at);
    const lo = table.view.getUint32(at + 4);
    const keepsPlace = how === 'zero' && this.#ownPlace(table, index) !== undefined && geometry.isV3;
    const isEmpty = hi === 0 && lo === 0 && (!geometry.isExtended || table.view.getUint32(at + 8) === 0);
    if (isEmpty && !this.#showsBacking(offset)) return;
    const needsZero = geometry.isV3 && (keepsPlace || this.#showsBacking(offset) || how !== 'discard');
    if (!keepsPlace) this.#freeEntry(table, index);
    table.view.setUint32(at, keepsPlace ? hi : 0);
    table.view.setUint32(at + 4, keepsPlace ? (lo & ~LO_ZERO) >>> 0 : 0);
    if (geometry.isExtended) {
      table.view.setUint32(at + 8, needsZero ? ALL_UNITS : 0);
      table.view.setUint32(at + 12, 0);
    } else if (needsZero) table.view.setUint32(at + 4, table.view.getUint32(at + 4) | LO_ZERO);
    l2.markDirty(table, at, at + geometry.entryBytes);
  }

  // --- compressed clusters

  /** A whole cluster (the disk's last may be shorter), where nothing was written yet. */
  async writeCompressed(offset: number, from: Uint8Array): Promise<void> {
    this.#assertWritable();
    const { image } = this;
    const { clusterBytes, hasDataFile } = image.geometry;
    if (hasDataFile) throw new BlockError(ENOTSUP, 'compressed clusters cannot lie in an external data file');
    if (offset % clusterBytes !== 0 || from.length > clusterBytes)
      throw new BlockError(EINVAL, 'not a whole cluster');
    let cluster = from;
    if (from.length < clusterBytes) {
      cluster = new Uint8Array(clusterBytes);
      cluster.set(from);
    }
    const stream = await this.#compressor.compress(cluster);
    if (stream === undefined) return this.write(offset, from);
    await image.mutex.run(() => this.#placeCompressed(offset, stream));
  }

  async #placeCompressed(offset: number, stream: Uint8Array): Promise<void> {
    const { image } = this;
    const { geometry } = image;
    await image.balance();
    await image.beforeAllocation();
    const l1Index = Math.floor(offset / image.tableSpan);
    const table = await image.ownTable(l1Index);
    const index = (offset - l1Index * image.tableSpan) / geometry.clusterBytes;
    const host = await this.#compressor.place(image, stream.length);
    await image.file.write(host, stream);
    image.dataWritten();
    this.#freeEntry(table, index);
    const at = index * geometry.entryBytes;
    table.view.setUint32(at, compressedEntryHi(host, stream.length, geometry.clusterBits));
    table.view.setUint32(at + 4, host >>> 0);
    if (geometry.isExtended) {
      table.view.setUint32(at + 8, 0);
      table.view.setUint32(at + 12, 0);
    }
    image.l2.markDirty(table, at, at + geometry.entryBytes);
  }

  // --- the rest

  async flush(): Promise<void> {
    await this.image.flush();
  }

  async close(): Promise<void> {
    try {
      if (!this.isReadOnly && (this.image.header.incompatible & INCOMPATIBLE_CORRUPT) === 0)
        await this.image.finish();
    } finally {
      if (this.image.dataFile !== this.image.file) await this.image.dataFile.close();
      await this.image.file.close();
      await this.backing?.close();
    }
  }

  async allocatedBytes(): Promise<number | undefined> {
    return this.image.file.allocatedBytes();
  }

  async resize(sizeBytes: number, preallocation: Preallocation = 'off'): Promise<void> {
    this.#assertWritable();
    const { image } = this;
    if (sizeBytes % 512 !== 0) throw new BlockError(EINVAL, 'The new size must be a multiple of 512');
    if (this.bitmaps.count > 0) throw new BlockError(ENOTSUP, "Can't resize an image which has bitmaps");
    const old = this.sizeBytes;
    if (sizeBytes < old) {
      if (this.snapshots.list().length > 0)
        throw new BlockError(ENOTSUP, "Can't resize an image which has snapshots");
      await this.#dropBehind(sizeBytes);
    }
    await image.flush();
    await image.mutex.run(async () => {
      await image.growL1(l1EntriesFor(sizeBytes, image.header));
      const bytes = new Uint8Array(8);
      writeU64(new DataView(bytes.buffer), 0, sizeBytes);
      await image.file.write(AT_SIZE, bytes);
      image.header.sizeBytes = sizeBytes;
    });
    if (image.geometry.hasDataFile && (this.#hasRawData || sizeBytes < old))
      await image.dataFile.resize(sizeBytes);
    // What the backing file has there does not become visible.
    if (sizeBytes > old && this.#showsBacking(old)) await this.writeZeroes(old, sizeBytes - old, true);
    if (sizeBytes > old && preallocation !== 'off') await this.preallocate(old, sizeBytes, preallocation);
    await image.flush();
  }

  async #dropBehind(sizeBytes: number): Promise<void> {
    const { clusterBytes } = this.image.geometry;
    const firstWhole = Math.ceil(sizeBytes / clusterBytes) * clusterBytes;
    if (firstWhole < this.sizeBytes) await this.#clear(firstWhole, this.sizeBytes - firstWhole, 'discard');
    // The rest of the last cluster must read as zeroes should the disk grow again.
    const rest = Math.min(firstWhole, this.sizeBytes) - sizeBytes;
    if (rest > 0) await this.#zeroPart(sizeBytes, rest);
  }

  /** Clusters for a range, which reads as zeroes. */
  async preallocate(from: number, to: number, how: Preallocation): Promise<void> {
    const { image } = this;
    const { clusterBytes } = image.geometry;
    for (let at = Math.floor(from / clusterBytes) * clusterBytes; at < to; ) {
      const start = at;
      at += await image.mutex.run(async () => {
        await image.balance();
        const run = await this.#map(start, to - start);
        if (run.kind !== 'hole') return run.sizeBytes;
        await image.beforeAllocation();
        const l1Index = Math.floor(start / image.tableSpan);
        const table = await image.ownTable(l1Index);
        const index = (start - l1Index * image.tableSpan) / clusterBytes;
        const wanted = Math.ceil(run.sizeBytes / clusterBytes);
        const got = image.geometry.hasDataFile
          ? { offset: start, clusters: wanted }
          : await image.refcounts.allocateRun(wanted);
        const bytes = got.clusters * clusterBytes;
        if (got.offset + bytes > image.dataFile.sizeBytes)
          await image.dataFile.resize(got.offset + bytes, how === 'metadata' ? 'off' : how);
        for (let i = 0; i < got.clusters; i++)
          this.#setEntry(
            table,
            index + i,
            got.offset + i * clusterBytes,
            0,
            image.geometry.isExtended ? 31 : 0,
            'all',
          );
        return bytes;
      });
    }
  }

  async makeEmpty(): Promise<void> {
    this.#assertWritable();
    const { image } = this;
    const { clusterBytes, entryBytes } = image.geometry;
    for (let l1Index = 0; l1Index < image.header.l1Size; l1Index++) {
      if (image.l2Offset(l1Index) === 0) continue;
      await image.mutex.run(async () => {
        await image.balance();
        const table = await image.ownTable(l1Index);
        for (let i = 0; i < image.geometry.entries; i++) this.#freeEntry(table, i);
        table.bytes.fill(0);
        image.l2.markDirty(table, 0, clusterBytes);
        void entryBytes;
      });
    }
    await image.flush();
  }

  /** Another image over the same files with the snapshot's L1 table. */
  async openSnapshot(idOrName: string): Promise<BlockNode> {
    const { image } = this;
    const { header, l1 } = await this.snapshots.view(idOrName);
    const copy = new Image(
      new ReadOnlyFile(image.file),
      new ReadOnlyFile(image.dataFile),
      header,
      DEFAULT_CACHES,
    );
    await copy.refcounts.load();
    copy.l1 = l1;
    return new Qcow2Node(copy, this.backing, this.#codec, this.bitmaps, this.snapshots);
  }

  async changeBacking(name: string | undefined, format: string | undefined): Promise<void> {
    const { image } = this;
    if (image.isReadOnly) throw new BlockError(EROFS, 'the image is read-only');
    await image.flush();
    const { header } = image;
    image.header = { ...header, backingName: name, backingFormat: name === undefined ? undefined : format };
    Object.assign(header, image.header);
    image.header = header;
    await image.writeHeader();
    await image.file.flush();
  }

  formatInfo(): Readonly<Record<string, unknown>> {
    const { header, geometry, refcounts } = this.image;
    const isV3 = geometry.isV3;
    const bitmaps = this.bitmaps.info();
    void refcounts;
    return {
      compat: isV3 ? '1.1' : '0.10',
      'compression-type': header.compression,
      ...(isV3 && { 'lazy-refcounts': this.image.isLazy }),
      'refcount-bits': 2 ** header.refcountOrder,
      ...(isV3 && { corrupt: (header.incompatible & INCOMPATIBLE_CORRUPT) !== 0 }),
      ...(bitmaps.length > 0 && { bitmaps }),
      ...(isV3 && { 'extended-l2': geometry.isExtended }),
      ...(header.dataFileName !== undefined && {
        'data-file': header.dataFileName,
        'data-file-raw': (header.autoclear & AUTOCLEAR_RAW_DATA) !== 0,
      }),
    };
  }

  async check(repair: 'none' | 'leaks' | 'all'): Promise<CheckResult> {
    return checkImage(this.image, this.snapshots, this.bitmaps, repair);
  }
}

function hole(sizeBytes: number): Mapping {
  return { kind: 'hole', sizeBytes, hostOffset: 0, isOwn: false, isAllocated: false, streamBytes: 0 };
}
