/** A bounded cache of the image's tables (L2 tables, refcount blocks), one cluster each, written back by whoever orders the writes. */
import type { BlockNode } from '../block-node.ts';

export class CachedTable {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  lastUse = 0;
  /** Range that differs from the file; empty when from >= to. */
  dirtyFrom = Number.POSITIVE_INFINITY;
  dirtyTo = 0;

  constructor(offset: number, bytes: Uint8Array) {
    this.offset = offset;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isDirty(): boolean {
    return this.dirtyFrom < this.dirtyTo;
  }

  markDirty(from: number, to: number): void {
    if (from < this.dirtyFrom) this.dirtyFrom = from;
    if (to > this.dirtyTo) this.dirtyTo = to;
  }
}

/** Written in whole blocks of this size. */
const WRITE_UNIT = 512;

export class TableCache {
  readonly #file: BlockNode;
  readonly #tableBytes: number;
  readonly #limit: number;
  readonly #tables = new Map<number, CachedTable>();
  readonly #loading = new Map<number, Promise<CachedTable>>();
  readonly #dirty = new Set<CachedTable>();
  #clock = 0;

  /** `limit`: tables kept; more only while all of them are dirty. */
  constructor(file: BlockNode, tableBytes: number, limit: number) {
    this.#file = file;
    this.#tableBytes = tableBytes;
    this.#limit = Math.max(2, limit);
  }

  get hasDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** So many tables wait to be written that the owner should write them. */
  get isCrowded(): boolean {
    return this.#dirty.size * 2 > this.#limit;
  }

  /** The table if it is there. */
  peek(offset: number): CachedTable | undefined {
    const table = this.#tables.get(offset);
    if (table !== undefined) table.lastUse = ++this.#clock;
    return table;
  }

  async get(offset: number): Promise<CachedTable> {
    const present = this.peek(offset);
    if (present !== undefined) return present;
    let loading = this.#loading.get(offset);
    if (loading === undefined) {
      loading = this.#load(offset).finally(() => this.#loading.delete(offset));
      this.#loading.set(offset, loading);
    }
    return loading;
  }

  async #load(offset: number): Promise<CachedTable> {
    const bytes = new Uint8Array(this.#tableBytes);
    await this.#file.read(offset, bytes);
    // Somebody may have made the table anew meanwhile.
    return this.peek(offset) ?? this.#insert(new CachedTable(offset, bytes));
  }

  /** A table whose whole content is given; dirty. */
  create(offset: number, bytes: Uint8Array = new Uint8Array(this.#tableBytes)): CachedTable {
    this.forget(offset);
    const table = this.#insert(new CachedTable(offset, bytes));
    this.markDirty(table, 0, this.#tableBytes);
    return table;
  }

  markDirty(table: CachedTable, from: number, to: number): void {
    table.markDirty(from, to);
    this.#dirty.add(table);
  }

  /** Its cluster is something else now. */
  forget(offset: number): void {
    const table = this.#tables.get(offset);
    if (table === undefined) return;
    this.#tables.delete(offset);
    this.#dirty.delete(table);
  }

  clear(): void {
    this.#tables.clear();
    this.#dirty.clear();
  }

  async writeDirty(): Promise<void> {
    for (const table of [...this.#dirty].sort((a, b) => a.offset - b.offset)) {
      const from = Math.floor(table.dirtyFrom / WRITE_UNIT) * WRITE_UNIT;
      const to = Math.min(this.#tableBytes, Math.ceil(table.dirtyTo / WRITE_UNIT) * WRITE_UNIT);
      table.dirtyFrom = Number.POSITIVE_INFINITY;
      table.dirtyTo = 0;
      this.#dirty.delete(table);
      try {
        await this.#file.write(table.offset + from, table.bytes.subarray(from, to));
      } catch (error) {
        this.markDirty(table, from, to);
        throw error;
      }
    }
    this.#evict();
  }

  #insert(table: CachedTable): CachedTable {
    table.lastUse = ++this.#clock;
    this.#tables.set(table.offset, table);
    this.#evict();
    return table;
  }

  #evict(): void {
    while (this.#tables.size > this.#limit) {
      let oldest: CachedTable | undefined;
      for (const table of this.#tables.values()) {
        if (table.isDirty || table.lastUse > this.#clock - 2) continue;
        if (oldest === undefined || table.lastUse < oldest.lastUse) oldest = table;
      }
      if (oldest === undefined) return;
      this.#tables.delete(oldest.offset);
    }
  }
}
