import { BlockError, EROFS } from './block-node.ts';

/** What every node does that is only read. */
export abstract class ReadOnlyNode {
  readonly isReadOnly = true;
  readonly #reason: string;

  /** `reason`: what a write is told. */
  constructor(reason: string) {
    this.#reason = reason;
  }

  async write(): Promise<void> {
    throw new BlockError(EROFS, this.#reason);
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
}
