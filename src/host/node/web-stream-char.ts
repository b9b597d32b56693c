/** A character device as a pair of web streams, for programs that embed the machine. */
import { ReadableStream, WritableStream } from 'node:stream/web';
import type { CharStream, CharStreamClient } from '../../chardev/char-stream.ts';

const HIGH_WATER = 1 << 20;

export class WebStreamChar implements CharStream {
  /** What the guest sends. Nothing is lost while nobody reads: the guest's port is then slow. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What the guest receives. Text is sent as UTF-8. */
  readonly writable: WritableStream<Uint8Array | string>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #client: CharStreamClient | undefined;
  #closed = false;
  #resume: (() => void) | undefined;
  #paused: Promise<void> | undefined;

  constructor() {
    const strategy = { highWaterMark: HIGH_WATER, size: (chunk?: Uint8Array) => chunk?.byteLength ?? 0 };
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#client?.writable(),
        cancel: () => {
          this.#controller = undefined;
          this.#client?.writable();
        },
      },
      strategy,
    );
    const encoder = new TextEncoder();
    this.writable = new WritableStream<Uint8Array | string>({
      write: async (chunk) => {
        await this.#paused;
        const bytes = typeof chunk === 'string' ? encoder.encode(chunk) : chunk.slice();
        if (!this.#closed && bytes.length > 0) this.#client?.input(bytes);
      },
    });
  }

  write(bytes: Uint8Array): boolean {
    const controller = this.#controller;
    if (controller === undefined || this.#closed) return true;
    controller.enqueue(bytes);
    return (controller.desiredSize ?? 0) > 0;
  }

  connect(client: CharStreamClient): void {
    this.#client = client;
  }

  pauseInput(): void {
    this.#paused ??= new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resumeInput(): void {
    this.#resume?.();
    this.#paused = undefined;
  }

  async dispose(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.resumeInput();
    this.#controller?.close();
    this.#controller = undefined;
  }
}
