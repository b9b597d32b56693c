/** A block back end in memory, for tests: requests complete when `settle` is called, in order. */
import {
  BLOCK_EIO,
  BLOCK_EROFS,
  BLOCK_OK,
  type BlockBackend,
  type BlockCompletion,
} from './block-backend.ts';

export class MemoryBackend implements BlockBackend {
  bytes: Uint8Array;
  isReadOnly = false;
  readonly blockSizeBytes = 512;
  onMediumChanged: (() => void) | undefined;
  readonly log: string[] = [];
  #waiting: Array<() => void> = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** Completes what waits, and what that makes wait. */
  settle(): void {
    for (let i = 0; i < 10000 && this.#waiting.length > 0; i++) this.#waiting.shift()!();
  }

  read(offset: number, into: readonly Uint8Array[], done: BlockCompletion): void {
    this.#later(done, () => {
      let at = offset;
      for (const view of into) {
        if (at + view.length > this.bytes.length) return BLOCK_EIO;
        view.set(this.bytes.subarray(at, at + view.length));
        at += view.length;
      }
      return BLOCK_OK;
    });
  }

  write(offset: number, from: readonly Uint8Array[], done: BlockCompletion): void {
    this.#later(done, () => {
      if (this.isReadOnly) return BLOCK_EROFS;
      let at = offset;
      for (const view of from) {
        if (at + view.length > this.bytes.length) return BLOCK_EIO;
        this.bytes.set(view, at);
        at += view.length;
      }
      return BLOCK_OK;
    });
  }

  flush(done: BlockCompletion): void {
    this.log.push('flush');
    this.#later(done, () => BLOCK_OK);
  }

  discard(offset: number, sizeBytes: number, done: BlockCompletion): void {
    this.log.push(`discard ${offset} ${sizeBytes}`);
    this.#later(done, () => BLOCK_OK);
  }

  writeZeroes(offset: number, sizeBytes: number, _mayUnmap: boolean, done: BlockCompletion): void {
    this.#later(done, () => {
      this.bytes.fill(0, offset, offset + sizeBytes);
      return BLOCK_OK;
    });
  }

  #later(done: BlockCompletion, work: () => number): void {
    this.#waiting.push(() => done(work()));
  }
}
