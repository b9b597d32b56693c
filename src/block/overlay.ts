/** `snapshot=on`: writes go to a temporary image over the drive's own and are forgotten. */
import type { BlockNode, BlockStatus } from './block-node.ts';
import { FileNode } from './file-node.ts';
import type { BlockHost } from './host.ts';

/** Granularity of the overlay; the map takes a byte a cluster. */
const CLUSTER = 65536;

export async function openOverlay(host: BlockHost, backing: BlockNode): Promise<BlockNode> {
  return new OverlayNode(await FileNode.create(await host.openTemporary()), backing);
}

/** Clusters lie in the temporary file (sparse) where they lie on the disk; a map in memory says which. */
class OverlayNode implements BlockNode {
  readonly driver = 'overlay';
  readonly isReadOnly = false;
  readonly blockSizeBytes = 512;
  readonly file: BlockNode;
  readonly backing: BlockNode;
  readonly #present: Uint8Array;
  #last: Promise<void> = Promise.resolve();

  constructor(file: BlockNode, backing: BlockNode) {
    this.file = file;
    this.backing = backing;
    this.#present = new Uint8Array(Math.ceil(backing.sizeBytes / CLUSTER));
  }

  get filename(): string {
    return this.backing.filename;
  }

  get sizeBytes(): number {
    return this.backing.sizeBytes;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const { isHere, count } = this.#run(offset + at, into.length - at);
      const part = into.subarray(at, at + count);
      await (isHere ? this.file : this.backing).read(offset + at, part);
      at += count;
    }
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.#claim(offset, from.length);
    await this.file.write(offset, from);
  }

  async writeZeroes(offset: number, sizeBytes: number): Promise<void> {
    await this.#claim(offset, sizeBytes);
    await this.file.writeZeroes(offset, sizeBytes, true);
  }

  async discard(): Promise<void> {}

  // Nothing of it outlives the process.
  async flush(): Promise<void> {}

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const { isHere, count } = this.#run(offset, sizeBytes);
    return { sizeBytes: count, kind: isHere ? 'data' : 'hole' };
  }

  async resize(): Promise<void> {}

  async close(): Promise<void> {
    await this.file.close();
    await this.backing.close();
  }

  allocatedBytes(): Promise<number | undefined> {
    return this.file.allocatedBytes();
  }

  #run(offset: number, sizeBytes: number): { isHere: boolean; count: number } {
    let cluster = Math.floor(offset / CLUSTER);
    const isHere = this.#present[cluster] === 1;
    let end = offset;
    while (end < offset + sizeBytes && (this.#present[cluster] === 1) === isHere) end = ++cluster * CLUSTER;
    return { isHere, count: Math.min(end - offset, sizeBytes) };
  }

  /** Copies what the request leaves of its first and last cluster. One at a time. */
  #claim(offset: number, sizeBytes: number): Promise<void> {
    const first = Math.floor(offset / CLUSTER);
    const last = Math.floor((offset + sizeBytes - 1) / CLUSTER);
    if (this.#present.subarray(first, last + 1).every((byte) => byte === 1)) return this.#last;
    this.#last = this.#last
      .catch(() => {})
      .then(async () => {
        for (const cluster of new Set([first, last])) {
          const start = cluster * CLUSTER;
          const isWhole = offset <= start && offset + sizeBytes >= Math.min(start + CLUSTER, this.sizeBytes);
          if (!isWhole && this.#present[cluster] === 0) await this.#copy(start);
        }
        this.#present.fill(1, first, last + 1);
      });
    return this.#last;
  }

  async #copy(start: number): Promise<void> {
    const bytes = new Uint8Array(Math.min(CLUSTER, this.sizeBytes - start));
    await this.backing.read(start, bytes);
    await this.file.write(start, bytes);
  }
}
