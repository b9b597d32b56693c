/** A disk in memory for tests; requests complete when `run` is called, unless `immediate`. */
import {
  BLOCK_EIO,
  BLOCK_EROFS,
  BLOCK_OK,
  type BlockBackend,
  type BlockCompletion,
} from '../../core/block-backend.ts';

export class MemoryDisk implements BlockBackend {
  readonly bytes: Uint8Array;
  readonly isReadOnly: boolean;
  readonly blockSizeBytes = 512;
  readonly log: string[] = [];
  onMediumChanged: (() => void) | undefined;
  readonly #queue: Array<() => void> = [];

  constructor(sizeBytes: number, isReadOnly = false) {
    this.bytes = new Uint8Array(sizeBytes);
    this.isReadOnly = isReadOnly;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  get pending(): number {
    return this.#queue.length;
  }

  /** Completes everything that waits. */
  run(): void {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job();
  }

  read(offset: number, into: readonly Uint8Array[], done: BlockCompletion): void {
    this.#later('read', offset, lengthOf(into), done, () => {
      let at = offset;
      for (const view of into) {
        view.set(this.bytes.subarray(at, at + view.length));
        at += view.length;
      }
    });
  }

  write(offset: number, from: readonly Uint8Array[], done: BlockCompletion): void {
    this.#later('write', offset, lengthOf(from), done, () => {
      let at = offset;
      for (const view of from) {
        this.bytes.set(view, at);
        at += view.length;
      }
    });
  }

  flush(done: BlockCompletion): void {
    this.#later('flush', 0, 0, done, () => {});
  }

  discard(offset: number, sizeBytes: number, done: BlockCompletion): void {
    this.#later('discard', offset, sizeBytes, done, () => {});
  }

  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean, done: BlockCompletion): void {
    const kind = mayUnmap ? 'zero+unmap' : 'zero';
    this.#later(kind, offset, sizeBytes, done, () => this.bytes.fill(0, offset, offset + sizeBytes));
  }

  #later(kind: string, offset: number, size: number, done: BlockCompletion, action: () => void): void {
    this.log.push(size === 0 ? kind : `${kind} ${offset}+${size}`);
    this.#queue.push(() => {
      if (offset + size > this.bytes.length) return done(BLOCK_EIO);
      if (this.isReadOnly && kind !== 'read' && kind !== 'flush') return done(BLOCK_EROFS);
      action();
      done(BLOCK_OK);
    });
  }
}

function lengthOf(views: readonly Uint8Array[]): number {
  return views.reduce((sum, view) => sum + view.length, 0);
}
