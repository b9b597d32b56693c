/** What formats with a map of blocks have in common: reading by map, allocating at the end of the file. */
import { BlockError, type BlockNode, type BlockStatus, EIO, ENOTSUP, EROFS } from '../block-node.ts';
import type { FormatNode } from '../driver.ts';
import { Mutex } from '../mutex.ts';

/** Where a block lies. */
export interface Place {
  readonly kind: 'data' | 'zero' | 'hole' | 'compressed';
  /** Of the block's first byte, in `file`. */
  readonly hostOffset: number;
}

export const HOLE: Place = { kind: 'hole', hostOffset: 0 };
export const ZERO: Place = { kind: 'zero', hostOffset: 0 };

export abstract class SparseNode implements FormatNode {
  abstract readonly driver: string;
  abstract readonly sizeBytes: number;
  readonly file: BlockNode;
  readonly backing: BlockNode | undefined;
  readonly blockSizeBytes = 512;
  readonly #blockBytes: number;
  readonly #mutex = new Mutex();

  constructor(file: BlockNode, blockBytes: number, backing?: BlockNode) {
    this.file = file;
    this.backing = backing;
    this.#blockBytes = blockBytes;
  }

  get filename(): string {
    return this.file.filename;
  }

  get isReadOnly(): boolean {
    return this.file.isReadOnly;
  }

  get clusterSizeBytes(): number {
    return this.#blockBytes;
  }

  protected abstract place(block: number): Place | Promise<Place>;
  /** Makes room for a block that reads as zeroes; nothing refers to it yet. Returns its offset. */
  protected abstract makeRoom(block: number): Promise<number>;
  /** The map refers to the block from now on. */
  protected abstract commit(block: number, hostOffset: number): Promise<void>;
  /** Whole content of a compressed block. */
  protected decompress(_hostOffset: number): Promise<Uint8Array> {
    throw new BlockError(ENOTSUP, 'compressed blocks are not supported');
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const block = Math.floor((offset + at) / this.#blockBytes);
      const within = offset + at - block * this.#blockBytes;
      const count = Math.min(into.length - at, this.#blockBytes - within);
      await this.#readPlace(await this.place(block), offset + at, within, into.subarray(at, at + count));
      at += count;
    }
  }

  async #readPlace(place: Place, offset: number, within: number, into: Uint8Array): Promise<void> {
    switch (place.kind) {
      case 'data':
        return this.file.read(place.hostOffset + within, into);
      case 'compressed': {
        const bytes = await this.decompress(place.hostOffset);
        if (bytes.length < within + into.length) throw new BlockError(EIO, 'a compressed block is too short');
        into.set(bytes.subarray(within, within + into.length));
        return undefined;
      }
      case 'zero':
        into.fill(0);
        return undefined;
      case 'hole': {
        const { backing } = this;
        const available =
          backing === undefined ? 0 : Math.max(0, Math.min(into.length, backing.sizeBytes - offset));
        into.fill(0, available);
        if (available > 0) await backing!.read(offset, into.subarray(0, available));
      }
    }
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    if (this.isReadOnly) throw new BlockError(EROFS, 'the image is read-only');
    for (let at = 0; at < from.length; ) {
      const block = Math.floor((offset + at) / this.#blockBytes);
      const within = offset + at - block * this.#blockBytes;
      const part = from.subarray(at, at + Math.min(from.length - at, this.#blockBytes - within));
      const place = await this.place(block);
      if (place.kind === 'data') await this.file.write(place.hostOffset + within, part);
      else await this.#mutex.run(() => this.#allocate(block, within, part));
      at += part.length;
    }
  }

  async #allocate(block: number, within: number, part: Uint8Array): Promise<void> {
    const place = await this.place(block);
    if (place.kind === 'data') return this.file.write(place.hostOffset + within, part);
    const start = block * this.#blockBytes;
    const needsOld =
      place.kind === 'compressed' ||
      (place.kind === 'hole' && this.backing !== undefined && start < this.backing.sizeBytes);
    const room = await this.makeRoom(block);
    if (needsOld) {
      const whole = new Uint8Array(Math.min(this.#blockBytes, this.sizeBytes - start));
      await this.#readPlace(place, start, 0, whole);
      whole.set(part, within);
      await this.file.write(room, whole);
    } else await this.file.write(room + within, part);
    return this.commit(block, room);
  }

  async writeZeroes(offset: number, sizeBytes: number): Promise<void> {
    for (let at = offset; at < offset + sizeBytes; ) {
      const block = Math.floor(at / this.#blockBytes);
      const end = Math.min(offset + sizeBytes, (block + 1) * this.#blockBytes);
      const { kind } = await this.place(block);
      if (kind !== 'zero' && !(kind === 'hole' && this.backing === undefined))
        await this.write(at, new Uint8Array(end - at));
      at = end;
    }
  }

  async discard(): Promise<void> {}

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const first = Math.floor(offset / this.#blockBytes);
    const within = offset - first * this.#blockBytes;
    const place = await this.place(first);
    let length = this.#blockBytes - within;
    for (let block = first + 1; length < sizeBytes; block++, length += this.#blockBytes) {
      const next = await this.place(block);
      const follows = next.hostOffset === place.hostOffset + (block - first) * this.#blockBytes;
      if (next.kind !== place.kind || place.kind === 'compressed' || (place.kind === 'data' && !follows))
        break;
    }
    const size = Math.min(length, sizeBytes);
    if (place.kind === 'data')
      return { sizeBytes: size, kind: 'data', hostOffset: place.hostOffset + within };
    if (place.kind === 'compressed') return { sizeBytes: size, kind: 'data', isCompressed: true };
    return { sizeBytes: size, kind: place.kind };
  }

  async flush(): Promise<void> {
    await this.#mutex.run(() => this.file.flush());
  }

  async resize(_sizeBytes: number): Promise<void> {
    throw new BlockError(ENOTSUP, `Image format driver '${this.driver}' does not support resize`);
  }

  async close(): Promise<void> {
    await this.beforeClose();
    await this.file.close();
    await this.backing?.close();
  }

  protected async beforeClose(): Promise<void> {}

  allocatedBytes(): Promise<number | undefined> {
    return this.file.allocatedBytes();
  }
}
