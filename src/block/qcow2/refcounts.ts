/**
 * Reference counts of host clusters: a table of blocks of counts, and allocation by looking for a count of 0.
 *
 * Counts change in memory; `writeDirty` brings them to the file. New blocks and a larger table are written before anything refers
 * to them, and refer to themselves. What is freed keeps its count until no table on disk refers to it any more.
 */
import { BlockError, type BlockNode, EFBIG, EINVAL, EIO } from '../block-node.ts';
import {
  AT_REFCOUNT_TABLE,
  MAX_REFCOUNT_TABLE_BYTES,
  type Qcow2Header,
  readU64,
  writeU64,
} from './format.ts';
import { TableCache } from './table-cache.ts';

/** Counts of one block as an array; the widths below a byte are packed from the low bits up. */
export function getCount(view: DataView, order: number, index: number): number {
  switch (order) {
    case 3:
      return view.getUint8(index);
    case 4:
      return view.getUint16(index * 2);
    case 5:
      return view.getUint32(index * 4);
    case 6:
      return view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4);
    default: {
      const width = 1 << order;
      const bit = index * width;
      return (view.getUint8(bit >>> 3) >>> (bit & 7)) & ((1 << width) - 1);
    }
  }
}

export function setCount(view: DataView, order: number, index: number, count: number): void {
  switch (order) {
    case 3:
      view.setUint8(index, count);
      break;
    case 4:
      view.setUint16(index * 2, count);
      break;
    case 5:
      view.setUint32(index * 4, count);
      break;
    case 6:
      writeU64(view, index * 8, count);
      break;
    default: {
      const width = 1 << order;
      const bit = index * width;
      const mask = ((1 << width) - 1) << (bit & 7);
      const byte = view.getUint8(bit >>> 3);
      view.setUint8(bit >>> 3, (byte & ~mask) | (count << (bit & 7)));
    }
  }
}

export interface ClusterRun {
  readonly offset: number;
  readonly clusters: number;
}

interface Extension {
  readonly blocks: readonly number[];
  readonly tableClusters: number;
}

/** Host clusters beyond this cannot be named in an L2 entry, or exactly in a double. */
const MAX_HOST_BYTES = 2 ** 53 - 2 ** 21;

export class Refcounts {
  readonly #file: BlockNode;
  readonly #header: Qcow2Header;
  readonly #clusterBytes: number;
  readonly #order: number;
  /** Counts in a block. */
  readonly #perBlock: number;
  readonly #cache: TableCache;
  readonly maxCount: number;
  /** Offsets of the blocks; 0: none, all its clusters are free. */
  #table: number[] = [];
  /** No cluster below it is free. */
  #hint = 0;
  /** Called with the first cluster and the count of what was found free: `BlockError` if that cannot be. */
  onAllocate: (offset: number, clusters: number) => void = () => {};
  /** The table moved or a block was added. */
  onLayoutChange: () => void = () => {};

  constructor(file: BlockNode, header: Qcow2Header, cacheTables: number) {
    this.#file = file;
    this.#header = header;
    this.#clusterBytes = 2 ** header.clusterBits;
    this.#order = header.refcountOrder;
    this.#perBlock = (this.#clusterBytes * 8) / 2 ** this.#order;
    this.#cache = new TableCache(file, this.#clusterBytes, cacheTables);
    this.maxCount = this.#order === 6 ? Number.MAX_SAFE_INTEGER : 2 ** (2 ** this.#order) - 1;
  }

  async load(): Promise<void> {
    const { refcountTableClusters, refcountTableOffset } = this.#header;
    const bytes = new Uint8Array(refcountTableClusters * this.#clusterBytes);
    await this.#file.read(refcountTableOffset, bytes);
    const view = new DataView(bytes.buffer);
    this.#cache.clear();
    this.#hint = 0;
    this.#table = Array.from({ length: bytes.length / 8 }, (_, i) => {
      // Bits 0 to 8 are reserved.
      const high = view.getUint32(i * 8);
      const low = view.getUint32(i * 8 + 4) & ~511;
      return high * 2 ** 32 + (low >>> 0);
    });
  }

  get table(): readonly number[] {
    return this.#table;
  }

  /** There is a place for the cluster's count. */
  hasBlock(cluster: number): boolean {
    return (this.#table[Math.floor(cluster / this.#perBlock)] ?? 0) !== 0;
  }

  get perBlock(): number {
    return this.#perBlock;
  }

  get hasDirty(): boolean {
    return this.#cache.hasDirty;
  }

  get isCrowded(): boolean {
    return this.#cache.isCrowded;
  }

  writeDirty(): Promise<void> {
    return this.#cache.writeDirty();
  }

  async get(offset: number): Promise<number> {
    const cluster = Math.floor(offset / this.#clusterBytes);
    const block = this.#table[Math.floor(cluster / this.#perBlock)] ?? 0;
    if (block === 0) return 0;
    const { view } = await this.#block(block);
    return getCount(view, this.#order, cluster % this.#perBlock);
  }

  /** `BlockError` when the count would leave its width, or fall below 0. */
  async add(offset: number, clusters: number, delta: number): Promise<void> {
    const first = Math.floor(offset / this.#clusterBytes);
    for (let cluster = first; cluster < first + clusters; cluster++) {
      const block = this.#table[Math.floor(cluster / this.#perBlock)] ?? 0;
      if (block === 0) throw new BlockError(EIO, `cluster ${cluster} has no reference count`);
      const table = this.#cache.peek(block) ?? (await this.#block(block));
      const index = cluster % this.#perBlock;
      const count = getCount(table.view, this.#order, index) + delta;
      if (count < 0)
        throw new BlockError(EIO, `the reference count of cluster ${cluster} would fall below 0`);
      if (count > this.maxCount) throw new BlockError(EINVAL, 'a reference count would exceed its maximum');
      setCount(table.view, this.#order, index, count);
      this.#markDirty(table, index);
      if (count === 0 && cluster < this.#hint) this.#hint = cluster;
    }
  }

  /** Sets a count whatever it was; makes the block if there is none. For repairs. */
  async set(offset: number, count: number): Promise<void> {
    const cluster = Math.floor(offset / this.#clusterBytes);
    if ((this.#table[Math.floor(cluster / this.#perBlock)] ?? 0) === 0) await this.#createBlock(cluster);
    const table = await this.#block(this.#table[Math.floor(cluster / this.#perBlock)]!);
    const index = cluster % this.#perBlock;
    setCount(table.view, this.#order, index, count);
    this.#markDirty(table, index);
    if (count === 0 && cluster < this.#hint) this.#hint = cluster;
  }

  #markDirty(table: Awaited<ReturnType<TableCache['get']>>, index: number): void {
    const at = Math.floor((index * 2 ** this.#order) / 8);
    this.#cache.markDirty(table, at, at + 8);
  }

  #block(offset: number): ReturnType<TableCache['get']> {
    if (offset % this.#clusterBytes !== 0 || offset > MAX_HOST_BYTES)
      throw new BlockError(EIO, `the offset 0x${offset.toString(16)} of a refcount block is not aligned`);
    return this.#cache.get(offset);
  }

  /** Up to `most` clusters in a row, at least one. */
  async allocateRun(most: number): Promise<ClusterRun> {
    let cluster = this.#hint;
    for (;;) {
      const blockIndex = Math.floor(cluster / this.#perBlock);
      const blockOffset = this.#table[blockIndex] ?? 0;
      if (blockOffset === 0) {
        this.#hint = cluster;
        await this.#createBlock(cluster);
        continue;
      }
      const table = this.#cache.peek(blockOffset) ?? (await this.#block(blockOffset));
      const start = blockIndex * this.#perBlock;
      let index = cluster - start;
      while (index < this.#perBlock && getCount(table.view, this.#order, index) !== 0) index++;
      this.#hint = start + index;
      if (index === this.#perBlock) {
        cluster = start + index;
        continue;
      }
      let end = index;
      while (end < this.#perBlock && end - index < most && getCount(table.view, this.#order, end) === 0)
        end++;
      const offset = (start + index) * this.#clusterBytes;
      this.#checkOffset(offset + (end - index) * this.#clusterBytes);
      this.onAllocate(offset, end - index);
      for (let i = index; i < end; i++) setCount(table.view, this.#order, i, 1);
      this.#markDirty(table, index);
      this.#markDirty(table, end - 1);
      this.#hint = start + end;
      return { offset, clusters: end - index };
    }
  }

  /** Exactly `clusters` in a row. */
  async allocate(clusters: number): Promise<number> {
    if (clusters === 1) return (await this.allocateRun(1)).offset;
    for (let first = this.#hint; ; ) {
      const plan = this.#planExtension(first, clusters);
      const total = clusters + plan.tableClusters + plan.blocks.length;
      const used = await this.#lastUsed(first, total);
      if (used !== undefined) {
        first = used + 1;
        continue;
      }
      const offset = first * this.#clusterBytes;
      if (plan.blocks.length > 0) {
        await this.#extend(first, clusters, plan);
        return offset;
      }
      this.#checkOffset(offset + clusters * this.#clusterBytes);
      this.onAllocate(offset, clusters);
      await this.add(offset, clusters, 1);
      return offset;
    }
  }

  /** Adds a reference to the cluster of a byte that is packed behind others, if that is possible. */
  async share(offset: number): Promise<boolean> {
    if ((await this.get(offset)) >= this.maxCount) return false;
    await this.add(offset, 1, 1);
    return true;
  }

  #checkOffset(end: number): void {
    if (end > MAX_HOST_BYTES) throw new BlockError(EFBIG, 'the image file would become too large');
  }

  async #lastUsed(first: number, clusters: number): Promise<number | undefined> {
    for (let cluster = first + clusters - 1; cluster >= first; cluster--)
      if ((await this.get(cluster * this.#clusterBytes)) !== 0) return cluster;
    return undefined;
  }

  /** A block for the range that `cluster` is in, placed at `cluster`, and a larger table if need be. On disk when this returns. */
  async #createBlock(cluster: number): Promise<void> {
    for (let first = cluster; ; ) {
      const plan = this.#planExtension(first, 0);
      const used = await this.#lastUsed(first, plan.tableClusters + plan.blocks.length);
      if (used === undefined) return this.#extend(first, 0, plan);
      first = used + 1;
    }
  }

  /** Blocks (by index) and clusters of a larger table that must follow `payload` clusters at `first` so that all are counted. */
  #planExtension(first: number, payload: number): Extension {
    const perCluster = this.#clusterBytes / 8;
    const firstBlock = Math.floor(first / this.#perBlock);
    let plan: Extension = { blocks: [], tableClusters: 0 };
    for (;;) {
      const total = Math.max(1, payload + plan.tableClusters + plan.blocks.length);
      const lastBlock = Math.floor((first + total - 1) / this.#perBlock);
      const blocks: number[] = [];
      for (let block = firstBlock; block <= lastBlock; block++)
        if ((this.#table[block] ?? 0) === 0) blocks.push(block);
      const entries = Math.max(lastBlock + 1, Math.ceil(this.#table.length * 1.5));
      const tableClusters = lastBlock < this.#table.length ? 0 : Math.ceil(entries / perCluster);
      if (blocks.length === plan.blocks.length && tableClusters === plan.tableClusters) return plan;
      plan = { blocks, tableClusters };
    }
  }

  /** `payload` clusters, then the table, then the blocks; what is new refers to itself and is written before anything names it. */
  async #extend(first: number, payload: number, { blocks, tableClusters }: Extension): Promise<void> {
    const { refcountTableOffset: oldOffset, refcountTableClusters: oldClusters } = this.#header;
    const total = payload + tableClusters + blocks.length;
    if (tableClusters * this.#clusterBytes > MAX_REFCOUNT_TABLE_BYTES)
      throw new BlockError(EFBIG, 'the reference count table would become too large');
    this.#checkOffset((first + total) * this.#clusterBytes);
    this.onAllocate(first * this.#clusterBytes, total);
    const table = [...this.#table];
    while (table.length < (tableClusters * this.#clusterBytes) / 8) table.push(0);
    for (let cluster = first; cluster < first + total; cluster++) {
      if ((this.#table[Math.floor(cluster / this.#perBlock)] ?? 0) !== 0)
        await this.add(cluster * this.#clusterBytes, 1, 1);
    }
    blocks.forEach((block, i) => {
      const offset = (first + payload + tableClusters + i) * this.#clusterBytes;
      const { view } = this.#cache.create(offset);
      const start = block * this.#perBlock;
      for (
        let cluster = Math.max(first, start);
        cluster < Math.min(first + total, start + this.#perBlock);
        cluster++
      )
        setCount(view, this.#order, cluster - start, 1);
      table[block] = offset;
    });
    await this.#cache.writeDirty();
    if (tableClusters > 0) await this.#writeWholeTable((first + payload) * this.#clusterBytes, table);
    await this.#file.flush();
    if (tableClusters > 0) await this.#switchTable((first + payload) * this.#clusterBytes, tableClusters);
    else for (const block of blocks) await this.#writeTableEntry(block, table[block]!);
    this.#table = table;
    this.onLayoutChange();
    if (tableClusters === 0) return;
    // The header no longer names the old one.
    await this.#file.flush();
    await this.add(oldOffset, oldClusters, -1);
  }

  async #writeTableEntry(index: number, offset: number): Promise<void> {
    const bytes = new Uint8Array(8);
    writeU64(new DataView(bytes.buffer), 0, offset);
    await this.#file.write(this.#header.refcountTableOffset + index * 8, bytes);
  }

  async #writeWholeTable(offset: number, table: readonly number[]): Promise<void> {
    const bytes = new Uint8Array(table.length * 8);
    const view = new DataView(bytes.buffer);
    table.forEach((entry, i) => writeU64(view, i * 8, entry));
    await this.#file.write(offset, bytes);
  }

  async #switchTable(offset: number, clusters: number): Promise<void> {
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    writeU64(view, 0, offset);
    view.setUint32(8, clusters);
    await this.#file.write(AT_REFCOUNT_TABLE, bytes);
    this.#header.refcountTableOffset = offset;
    this.#header.refcountTableClusters = clusters;
  }

  /**
   * Builds all of it anew behind `end` from `counts` (by cluster), for images whose blocks or table cannot be trusted. Returns the
   * first cluster behind the new structures.
   */
  async rebuild(counts: (cluster: number) => number, endCluster: number): Promise<number> {
    const perCluster = this.#clusterBytes / 8;
    let blocks = 1;
    let tableClusters = 1;
    for (let changed = true; changed; ) {
      const total = endCluster + blocks + tableClusters;
      const neededBlocks = Math.ceil(total / this.#perBlock);
      const neededClusters = Math.ceil(neededBlocks / perCluster);
      changed = neededBlocks !== blocks || neededClusters !== tableClusters;
      blocks = neededBlocks;
      tableClusters = neededClusters;
    }
    const total = endCluster + blocks + tableClusters;
    const table = new Array<number>(tableClusters * perCluster).fill(0);
    this.#cache.clear();
    for (let i = 0; i < blocks; i++) {
      const bytes = new Uint8Array(this.#clusterBytes);
      const view = new DataView(bytes.buffer);
      const start = i * this.#perBlock;
      for (let cluster = start; cluster < Math.min(total, start + this.#perBlock); cluster++) {
        const count = cluster >= endCluster ? 1 : Math.min(this.maxCount, counts(cluster));
        if (count !== 0) setCount(view, this.#order, cluster - start, count);
      }
      table[i] = (endCluster + i) * this.#clusterBytes;
      await this.#file.write(table[i]!, bytes);
    }
    const offset = (endCluster + blocks) * this.#clusterBytes;
    await this.#writeWholeTable(offset, table);
    await this.#file.flush();
    await this.#switchTable(offset, tableClusters);
    await this.#file.flush();
    await this.load();
    return total;
  }

  /** The table as the image has it, for `check`. */
  static entryOffset(view: DataView, index: number): number {
    return readU64(view, index * 8);
  }
}
