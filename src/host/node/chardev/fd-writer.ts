/** Writes to a descriptor without ever blocking the event loop: Node's own `process.stdout` is synchronous for pipes. */
import { write } from 'node:fs';

const HIGH_WATER = 65536;
const RETRY_MS = 2;

export class FdWriter {
  /** Called when output is taken again after `write` returned false, and when the descriptor fails. */
  onWritable: (() => void) | undefined;
  readonly #fd: number;
  #queue: Uint8Array[] = [];
  #queued = 0;
  /** Entries of the queue that make up the chunk being written. */
  #inFlight = 0;
  #busy = false;
  #failed = false;
  #idle: Array<() => void> = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Takes all of `bytes`; false when it would rather not get more now. After an error everything is dropped. */
  write(bytes: Uint8Array): boolean {
    if (this.#failed || bytes.length === 0) return true;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#next();
    return this.#queued < HIGH_WATER;
  }

  /** Resolves when everything has been written, or after `timeoutMs` without progress. */
  flush(timeoutMs: number): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #next(): void {
    if (this.#busy || this.#queue.length === 0) return;
    this.#busy = true;
    this.#inFlight = this.#queue.length;
    const chunk = this.#queue.length === 1 ? this.#queue[0]! : Buffer.concat(this.#queue);
    write(this.#fd, chunk, 0, chunk.length, null, (error, count) => {
      this.#busy = false;
      if (error === null) this.#written(chunk, count);
      else if (error.code === 'EAGAIN') {
        this.#queue = [chunk, ...this.#queue.slice(this.#inFlight)];
        setTimeout(() => this.#next(), RETRY_MS);
        return;
      } else this.#fail();
      this.#next();
    });
  }

  #written(chunk: Uint8Array, count: number): void {
    const wasFull = this.#queued >= HIGH_WATER;
    const rest = chunk.subarray(count);
    const behind = this.#queue.slice(this.#inFlight);
    this.#queue = rest.length > 0 ? [rest, ...behind] : behind;
    this.#queued -= count;
    if (wasFull && this.#queued < HIGH_WATER) this.onWritable?.();
    if (this.#queue.length === 0) this.#settle();
  }

  #fail(): void {
    this.#failed = true;
    this.#queue = [];
    this.#queued = 0;
    this.onWritable?.();
    this.#settle();
  }

  #settle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
