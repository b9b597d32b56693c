import type { BlockNode, BlockStatus } from './block-node.ts';
import { ReadOnlyNode } from './read-only-node.ts';

/** A file as a second user sees it: to read, and closed by the first. */
export class ReadOnlyFile extends ReadOnlyNode implements BlockNode {
  readonly #file: BlockNode;

  constructor(file: BlockNode) {
    super('read-only');
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
  allocatedBytes(): Promise<number | undefined> {
    return this.#file.allocatedBytes();
  }
}
