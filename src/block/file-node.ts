/** Protocol nodes `file` and `host_device`: the bytes of a file of the host. */
import { type BlockNode, type BlockStatus, type Preallocation, SECTOR } from './block-node.ts';
import type { HostFile } from './host.ts';

export interface FileNodeOptions {
  /** `discard=unmap`: discarded ranges are given back to the host. */
  readonly discard: boolean;
}

const ZEROES = new Uint8Array(65536);

export class FileNode implements BlockNode {
  readonly driver: string;
  readonly filename: string;
  readonly isReadOnly: boolean;
  readonly blockSizeBytes = SECTOR;
  readonly host: HostFile;
  #sizeBytes: number;
  #discard: boolean;

  static async create(host: HostFile, options: FileNodeOptions = { discard: false }): Promise<FileNode> {
    return new FileNode(host, await host.sizeBytes(), options);
  }

  private constructor(host: HostFile, sizeBytes: number, options: FileNodeOptions) {
    this.host = host;
    this.driver = host.isDevice ? 'host_device' : 'file';
    this.filename = host.path;
    this.isReadOnly = host.isReadOnly;
    this.#sizeBytes = sizeBytes;
    this.#discard = options.discard;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const count = await this.host.read(offset, into);
    if (count < into.length) into.fill(0, count);
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    // Grown before it is written: what is allocated behind it must not be taken for free space.
    if (offset + from.length > this.#sizeBytes) this.#sizeBytes = offset + from.length;
    await this.host.write(offset, from);
  }

  async writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    const end = offset + sizeBytes;
    if (end > this.#sizeBytes && offset >= this.#sizeBytes) return this.resize(end);
    const inside = Math.min(end, this.#sizeBytes) - offset;
    if (mayUnmap && (await this.host.punchHole(offset, inside))) {
      if (end > this.#sizeBytes) await this.resize(end);
      return;
    }
    if (end <= this.#sizeBytes && (await this.host.zeroRange(offset, sizeBytes))) return;
    for (let at = offset; at < end; at += ZEROES.length)
      await this.write(at, ZEROES.subarray(0, Math.min(ZEROES.length, end - at)));
  }

  async discard(offset: number, sizeBytes: number): Promise<void> {
    if (!this.#discard) return;
    const inside = Math.min(offset + sizeBytes, this.#sizeBytes) - offset;
    if (inside > 0) await this.host.punchHole(offset, inside);
  }

  flush(): Promise<void> {
    return this.host.sync();
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const extent = this.host.extent(offset);
    if (extent === undefined) return { sizeBytes, kind: 'data', hostOffset: offset };
    const length = Math.max(1, Math.min(sizeBytes, extent.end - offset));
    return { sizeBytes: length, kind: extent.isData ? 'data' : 'zero', hostOffset: offset };
  }

  async resize(sizeBytes: number, preallocation: Preallocation = 'off'): Promise<void> {
    const old = this.#sizeBytes;
    if (!this.host.isDevice) await this.host.truncate(sizeBytes);
    this.#sizeBytes = sizeBytes;
    if (sizeBytes <= old || preallocation === 'off' || preallocation === 'metadata') return;
    if (preallocation === 'falloc' && (await this.host.allocate(old, sizeBytes - old))) return;
    for (let at = old; at < sizeBytes; at += ZEROES.length)
      await this.host.write(at, ZEROES.subarray(0, Math.min(ZEROES.length, sizeBytes - at)));
  }

  close(): Promise<void> {
    return this.host.close();
  }

  allocatedBytes(): Promise<number | undefined> {
    return this.host.allocatedBytes();
  }
}
