/** Internal snapshots: copies of the L1 table, whose clusters they share by reference counts. */
import { BlockError, EINVAL, ENOENT, ENOSPC } from '../block-node.ts';
import type { SnapshotInfo, SnapshotSupport } from '../driver.ts';
import {
  AT_SIZE,
  AT_SNAPSHOT_COUNT,
  decodeText,
  encodeText,
  HI_COMPRESSED,
  HI_COPIED,
  HI_OFFSET,
  LO_OFFSET,
  MAX_L1_BYTES,
  MAX_SNAPSHOT_TABLE_BYTES,
  MAX_SNAPSHOTS,
  type Qcow2Header,
  readU64,
  writeU64,
} from './format.ts';
import type { Image } from './image.ts';
import { compressedStream, entryOffset } from './l2.ts';

const ENTRY_BYTES = 40;
const EXTRA_BYTES = 24;
const UNKNOWN_ICOUNT = (1n << 64n) - 1n;

interface Snapshot extends SnapshotInfo {
  readonly l1Offset: number;
  readonly l1Size: number;
  readonly unknownExtra: Uint8Array;
}

export class Snapshots implements SnapshotSupport {
  readonly #image: Image;
  #list: readonly Snapshot[] = [];
  #tableBytes = 0;

  constructor(image: Image) {
    this.#image = image;
  }

  async load(): Promise<void> {
    const { snapshotCount, snapshotsOffset } = this.#image.header;
    const list: Snapshot[] = [];
    let at = 0;
    for (let i = 0; i < snapshotCount; i++) {
      const entry = await this.#readEntry(snapshotsOffset + at);
      list.push(entry.snapshot);
      at += entry.bytes;
      if (at > MAX_SNAPSHOT_TABLE_BYTES) throw new BlockError(EINVAL, 'Snapshot table is too large');
    }
    this.#list = list;
    this.#tableBytes = at;
  }

  async #readEntry(offset: number): Promise<{ snapshot: Snapshot; bytes: number }> {
    const head = new Uint8Array(ENTRY_BYTES);
    await this.#image.file.read(offset, head);
    const view = new DataView(head.buffer);
    const idBytes = view.getUint16(12);
    const nameBytes = view.getUint16(14);
    const extraBytes = view.getUint32(36);
    if (extraBytes > 1024) throw new BlockError(EINVAL, 'too much extra metadata in a snapshot table entry');
    const rest = new Uint8Array(extraBytes + idBytes + nameBytes);
    await this.#image.file.read(offset + ENTRY_BYTES, rest);
    const extra = new DataView(rest.buffer, 0, extraBytes);
    const l1Size = view.getUint32(8);
    const l1Offset = readU64(view, 0);
    if (l1Size * 8 > MAX_L1_BYTES) throw new BlockError(EINVAL, 'Snapshot L1 table too large');
    if (l1Offset % this.#image.geometry.clusterBytes !== 0)
      throw new BlockError(EINVAL, 'Snapshot L1 table offset invalid');
    const icount = extraBytes >= 24 ? extra.getBigUint64(16) : UNKNOWN_ICOUNT;
    const snapshot: Snapshot = {
      id: decodeText(rest.subarray(extraBytes, extraBytes + idBytes)),
      name: decodeText(rest.subarray(extraBytes + idBytes)),
      l1Offset,
      l1Size,
      dateSec: view.getUint32(16),
      dateNsec: view.getUint32(20),
      vmClockNs: view.getBigUint64(24),
      vmStateBytes: extraBytes >= 8 ? readU64(extra, 0) : view.getUint32(32),
      diskBytes: extraBytes >= 16 ? readU64(extra, 8) : this.#image.header.sizeBytes,
      icount: icount === UNKNOWN_ICOUNT ? undefined : icount,
      unknownExtra: rest.slice(EXTRA_BYTES, Math.max(EXTRA_BYTES, extraBytes)),
    };
    return { snapshot, bytes: Math.ceil((ENTRY_BYTES + rest.length) / 8) * 8 };
  }

  list(): readonly SnapshotInfo[] {
    return this.#list;
  }

  /** For `check`. */
  get tables(): ReadonlyArray<{ readonly l1Offset: number; readonly l1Size: number }> {
    return this.#list;
  }

  get tableBytes(): number {
    return this.#tableBytes;
  }

  find(idOrName: string): SnapshotInfo | undefined {
    return this.#find(idOrName);
  }

  #find(idOrName: string): Snapshot | undefined {
    return (
      this.#list.find((snapshot) => snapshot.id === idOrName) ??
      this.#list.find((snapshot) => snapshot.name === idOrName)
    );
  }

  #named(idOrName: string): Snapshot {
    const found = this.#find(idOrName);
    if (found === undefined) throw new BlockError(ENOENT, `snapshot '${idOrName}' does not exist`);
    return found;
  }

  /** Header and L1 table as they were. */
  async view(idOrName: string): Promise<{ header: Qcow2Header; l1: DataView }> {
    const snapshot = this.#named(idOrName);
    const { l1Offset, l1Size, diskBytes } = snapshot;
    const header = { ...this.#image.header, l1Offset, l1Size, sizeBytes: diskBytes };
    return { header, l1: await this.#readL1(snapshot) };
  }

  async create(name: string, dateSec: number, dateNsec: number): Promise<void> {
    if (this.#list.length >= MAX_SNAPSHOTS) throw new BlockError(ENOSPC, 'too many snapshots');
    const image = this.#image;
    await image.flush();
    await image.mutex.run(async () => {
      await image.beforeAllocation();
      const { l1Size } = image.header;
      const { clusterBytes } = image.geometry;
      const clusters = Math.max(1, Math.ceil((l1Size * 8) / clusterBytes));
      await this.#checkCounts();
      const l1Offset = await image.refcounts.allocate(clusters);
      await this.#addReferences(image.l1, 1);
      await image.refcounts.writeDirty();
      await image.file.flush();
      await this.refreshOwnership();
      const bytes = new Uint8Array(clusters * clusterBytes);
      bytes.set(new Uint8Array(image.l1.buffer, image.l1.byteOffset, image.l1.byteLength));
      // Nothing is the snapshot's own.
      const copy = new DataView(bytes.buffer);
      for (let i = 0; i < l1Size; i++) copy.setUint32(i * 8, copy.getUint32(i * 8) & ~HI_COPIED);
      await image.file.write(l1Offset, bytes);
      await image.writeTables();
      const ids = this.#list.map((snapshot) => Number(snapshot.id)).filter(Number.isSafeInteger);
      const snapshot: Snapshot = {
        id: String(Math.max(0, ...ids) + 1),
        name,
        l1Offset,
        l1Size,
        dateSec,
        dateNsec,
        vmClockNs: 0n,
        vmStateBytes: 0,
        diskBytes: image.header.sizeBytes,
        icount: undefined,
        unknownExtra: new Uint8Array(),
      };
      await this.#writeList([...this.#list, snapshot]);
    });
    await image.flush();
  }

  async delete(idOrName: string): Promise<void> {
    const image = this.#image;
    const snapshot = this.#named(idOrName);
    await image.flush();
    await image.mutex.run(async () => {
      const l1 = await this.#readL1(snapshot);
      await this.#writeList(this.#list.filter((other) => other !== snapshot));
      image.packAt = 0;
      await this.#addReferences(l1, -1);
      image.free(
        snapshot.l1Offset,
        Math.max(1, Math.ceil((snapshot.l1Size * 8) / image.geometry.clusterBytes)),
      );
      await image.refcounts.writeDirty();
      await this.refreshOwnership();
      await image.writeTables();
    });
    await image.flush();
  }

  /** The disk becomes what it was. */
  async apply(idOrName: string): Promise<void> {
    const image = this.#image;
    const snapshot = this.#named(idOrName);
    await image.flush();
    await image.mutex.run(async () => {
      await image.beforeAllocation();
      const { clusterBytes } = image.geometry;
      const old = { l1: image.l1, offset: image.header.l1Offset, size: image.header.l1Size };
      const saved = await this.#readL1(snapshot);
      const entries = Math.max(snapshot.l1Size, 1);
      const clusters = Math.ceil((entries * 8) / clusterBytes);
      const offset = await image.refcounts.allocate(clusters);
      await this.#addReferences(saved, 1);
      await image.refcounts.writeDirty();
      const bytes = new Uint8Array(clusters * clusterBytes);
      bytes.set(new Uint8Array(saved.buffer, saved.byteOffset, saved.byteLength));
      await image.file.write(offset, bytes);
      await image.file.flush();
      await image.switchL1(offset, snapshot.l1Size, bytes);
      if (snapshot.diskBytes !== image.header.sizeBytes) await this.#writeSize(snapshot.diskBytes);
      await image.file.flush();
      image.packAt = 0;
      await this.#addReferences(old.l1, -1);
      if (old.size > 0) image.free(old.offset, Math.ceil((old.size * 8) / clusterBytes));
      await image.refcounts.writeDirty();
      image.l2.clear();
      await this.refreshOwnership();
      await image.writeTables();
    });
    await image.flush();
  }

  async #writeSize(sizeBytes: number): Promise<void> {
    const bytes = new Uint8Array(8);
    writeU64(new DataView(bytes.buffer), 0, sizeBytes);
    await this.#image.file.write(AT_SIZE, bytes);
    this.#image.header.sizeBytes = sizeBytes;
  }

  async #readL1({ l1Offset, l1Size }: Snapshot): Promise<DataView> {
    const bytes = new Uint8Array(l1Size * 8);
    await this.#image.file.read(l1Offset, bytes);
    return new DataView(bytes.buffer);
  }

  /** Every count that is about to grow has room. */
  async #checkCounts(): Promise<void> {
    const { refcounts } = this.#image;
    if (refcounts.maxCount > 65535) return;
    await this.#forEachReference(this.#image.l1, async (offset, clusters) => {
      for (let i = 0; i < clusters; i++) {
        const at = offset + i * this.#image.geometry.clusterBytes;
        if ((await refcounts.get(at)) >= refcounts.maxCount)
          throw new BlockError(EINVAL, 'a reference count would exceed its maximum: use wider refcount_bits');
      }
    });
  }

  async #addReferences(l1: DataView, delta: 1 | -1): Promise<void> {
    const { refcounts } = this.#image;
    await this.#forEachReference(l1, (offset, clusters) => refcounts.add(offset, clusters, delta));
  }

  /** L2 tables and what they refer to. */
  async #forEachReference(
    l1: DataView,
    visit: (offset: number, clusters: number) => Promise<void>,
  ): Promise<void> {
    const { geometry } = this.#image;
    const { clusterBytes, clusterBits, entryBytes } = geometry;
    for (let i = 0; i < l1.byteLength / 8; i++) {
      const table =
        (l1.getUint32(i * 8) & HI_OFFSET) * 2 ** 32 + ((l1.getUint32(i * 8 + 4) & LO_OFFSET) >>> 0);
      if (table === 0) continue;
      const { view } = await this.#image.l2.get(table);
      for (let at = 0; at < clusterBytes; at += entryBytes) {
        const hi = view.getUint32(at);
        const lo = view.getUint32(at + 4);
        if ((hi & HI_COMPRESSED) !== 0) {
          const { hostOffset, streamBytes } = compressedStream(hi, lo, clusterBits);
          const first = Math.floor(hostOffset / clusterBytes);
          const last = Math.floor((hostOffset + streamBytes - 1) / clusterBytes);
          await visit(first * clusterBytes, last - first + 1);
        } else if (!geometry.hasDataFile && entryOffset(hi, lo) !== 0) await visit(entryOffset(hi, lo), 1);
      }
      await visit(table, 1);
    }
  }

  /** The "own" flags of the active tables say whether a count is 1. */
  async refreshOwnership(): Promise<void> {
    const image = this.#image;
    const { clusterBytes, entryBytes, hasDataFile } = image.geometry;
    for (let i = 0; i < image.header.l1Size; i++) {
      const offset = image.l2Offset(i);
      if (offset === 0) continue;
      const table = await image.l2.get(offset);
      const isTableOwn = (await image.refcounts.get(offset)) === 1;
      for (let at = 0; at < clusterBytes; at += entryBytes) {
        const hi = table.view.getUint32(at);
        const lo = table.view.getUint32(at + 4);
        if ((hi & HI_COMPRESSED) !== 0 || (entryOffset(hi, lo) === 0 && !hasDataFile)) continue;
        if (hasDataFile) continue;
        const isOwn = (await image.refcounts.get(entryOffset(hi, lo))) === 1;
        const flagged = (isOwn ? hi | HI_COPIED : hi & ~HI_COPIED) >>> 0;
        if (flagged === hi) continue;
        table.view.setUint32(at, flagged);
        image.l2.markDirty(table, at, at + 8);
      }
      if (isTableOwn !== image.isL2Own(i)) image.setL1Ownership(i, isTableOwn);
      if (image.l2.isCrowded) {
        await image.refcounts.writeDirty();
        await image.l2.writeDirty();
      }
    }
  }

  async #writeList(list: readonly Snapshot[]): Promise<void> {
    const image = this.#image;
    const { clusterBytes } = image.geometry;
    const bytes = encodeList(list);
    const old = { offset: image.header.snapshotsOffset, bytes: this.#tableBytes };
    let offset = 0;
    if (bytes.length > 0) {
      offset = await image.refcounts.allocate(Math.ceil(bytes.length / clusterBytes));
      await image.refcounts.writeDirty();
      await image.file.write(offset, bytes);
    }
    await image.file.flush();
    const field = new Uint8Array(12);
    const view = new DataView(field.buffer);
    view.setUint32(0, list.length);
    writeU64(view, 4, offset);
    await image.file.write(AT_SNAPSHOT_COUNT, field);
    await image.file.flush();
    image.header.snapshotCount = list.length;
    image.header.snapshotsOffset = offset;
    this.#list = list;
    this.#tableBytes = bytes.length;
    if (old.bytes > 0) image.free(old.offset, Math.ceil(old.bytes / clusterBytes));
  }
}

function encodeList(list: readonly Snapshot[]): Uint8Array {
  const entries = list.map((snapshot) => {
    const id = encodeText(snapshot.id);
    const name = encodeText(snapshot.name);
    const extra = EXTRA_BYTES + snapshot.unknownExtra.length;
    const bytes = new Uint8Array(Math.ceil((ENTRY_BYTES + extra + id.length + name.length) / 8) * 8);
    const view = new DataView(bytes.buffer);
    writeU64(view, 0, snapshot.l1Offset);
    view.setUint32(8, snapshot.l1Size);
    view.setUint16(12, id.length);
    view.setUint16(14, name.length);
    view.setUint32(16, snapshot.dateSec);
    view.setUint32(20, snapshot.dateNsec);
    view.setBigUint64(24, snapshot.vmClockNs);
    view.setUint32(32, snapshot.vmStateBytes < 2 ** 32 ? snapshot.vmStateBytes : 0);
    view.setUint32(36, extra);
    writeU64(view, ENTRY_BYTES, snapshot.vmStateBytes);
    writeU64(view, ENTRY_BYTES + 8, snapshot.diskBytes);
    view.setBigUint64(ENTRY_BYTES + 16, snapshot.icount ?? UNKNOWN_ICOUNT);
    bytes.set(snapshot.unknownExtra, ENTRY_BYTES + EXTRA_BYTES);
    bytes.set(id, ENTRY_BYTES + extra);
    bytes.set(name, ENTRY_BYTES + extra + id.length);
    return bytes;
  });
  const total = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    total.set(entry, at);
    at += entry.length;
  }
  return total;
}
