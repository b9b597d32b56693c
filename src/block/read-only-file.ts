import type { BlockNode, BlockStatus } from './block-node.ts';
import { BlockError, EROFS } from './block-node.ts';

/** A file as a second user sees it: to read, and closed by the first. */
export class ReadOnlyFile implements BlockNode {
  readonly isReadOnly = true;
  readonly #file: BlockNode;

  constructor(file: BlockNode) {
    this.#file = file;
  }

  get driver(): string {
    return this.#file.driver;
  }
  get filename(): string {
    return this.#file.filename;
  }
  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }
  get blockSizeBytes(): number {
    return this.#file.blockSizeBytes;
  }
  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#file.read(offset, into);
  }
  status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return this.#file.status(offset, sizeBytes);
  }
  async write(): Promise<void> {
    throw new BlockError(EROFS, 'read-only');
  }
  writeZeroes(): Promise<void> {
    return this.write();
  }
  resize(): Promise<void> {
    return this.write();
  }
  async discard(): Promise<void> {}
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
  allocatedBytes(): Promise<number | undefined> {
    return this.#file.allocatedBytes();
  }
}
