import type { BlockNode, BlockStatus } from '../../block/block-node.ts';
import { BlockError, EROFS } from '../../block/block-node.ts';
import { chainStatus } from '../../block/chain.ts';

/** Several disks one behind the other, to read. */
export class ConcatNode implements BlockNode {
  readonly driver = 'concat';
  readonly filename = 'concat';
  readonly isReadOnly = true;
  readonly blockSizeBytes = 512;
  readonly sizeBytes: number;
  readonly #parts: ReadonlyArray<{ readonly node: BlockNode; readonly start: number }>;

  constructor(nodes: readonly BlockNode[]) {
    let start = 0;
    this.#parts = nodes.map((node) => {
      const part = { node, start };
      start += node.sizeBytes;
      return part;
    });
    this.sizeBytes = start;
  }

  #find(offset: number): { node: BlockNode; at: number } {
    const { node, start } = [...this.#parts].reverse().find((part) => part.start <= offset)!;
    return { node, at: offset - start };
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const { node, at } = this.#find(offset + done);
      const count = Math.min(into.length - done, node.sizeBytes - at);
      await node.read(at, into.subarray(done, done + count));
      done += count;
    }
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const { node, at } = this.#find(offset);
    const { sizeBytes: length, kind } = await chainStatus(node, at, Math.min(sizeBytes, node.sizeBytes - at));
    return { sizeBytes: length, kind };
  }

  async write(): Promise<void> {
    throw new BlockError(EROFS, 'read-only');
  }

  writeZeroes(): Promise<void> {
    return this.write();
  }

  async discard(): Promise<void> {}
  async flush(): Promise<void> {}

  resize(): Promise<void> {
    return this.write();
  }

  /** Its parts are closed by whoever opened them. */
  async close(): Promise<void> {}

  async allocatedBytes(): Promise<undefined> {
    return undefined;
  }
}
