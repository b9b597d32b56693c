/** Format `raw`: a window of the file below, by default all of it. */
import { BlockError, type BlockNode, type BlockStatus, EINVAL, type Preallocation } from './block-node.ts';

export class RawNode implements BlockNode {
  readonly driver: string = 'raw';
  readonly file: BlockNode;
  readonly #offset: number;
  readonly #fixedSize: number | undefined;

  /** `sizeBytes` undefined: to the end of the file, rounded up to whole sectors. */
  constructor(file: BlockNode, offset = 0, sizeBytes?: number) {
    this.file = file;
    this.#offset = offset;
    this.#fixedSize = sizeBytes;
  }

  get filename(): string {
    return this.file.filename;
  }

  get sizeBytes(): number {
    return this.#fixedSize ?? Math.max(0, Math.ceil((this.file.sizeBytes - this.#offset) / 512) * 512);
  }

  get isReadOnly(): boolean {
    return this.file.isReadOnly;
  }

  get blockSizeBytes(): number {
    return this.file.blockSizeBytes;
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.file.read(offset + this.#offset, into);
  }

  write(offset: number, from: Uint8Array): Promise<void> {
    return this.file.write(offset + this.#offset, from);
  }

  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    return this.file.writeZeroes(offset + this.#offset, sizeBytes, mayUnmap);
  }

  discard(offset: number, sizeBytes: number): Promise<void> {
    return this.file.discard(offset + this.#offset, sizeBytes);
  }

  flush(): Promise<void> {
    return this.file.flush();
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return this.file.status(offset + this.#offset, sizeBytes);
  }

  async resize(sizeBytes: number, preallocation?: Preallocation): Promise<void> {
    if (this.#fixedSize !== undefined) throw new BlockError(EINVAL, 'Cannot resize a raw node of fixed size');
    await this.file.resize(sizeBytes + this.#offset, preallocation);
  }

  close(): Promise<void> {
    return this.file.close();
  }

  allocatedBytes(): Promise<number | undefined> {
    return this.file.allocatedBytes();
  }
}
