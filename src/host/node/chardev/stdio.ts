/** Standard input and output as a character stream. A terminal is put into raw mode and restored whatever happens. */
import type { ReadStream } from 'node:tty';
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';

export interface StdioOptions {
  /** False: Ctrl-C is for the guest. True: it ends the emulator (`-chardev stdio,signal=on`). */
  readonly signal: boolean;
}

export class StdioStream implements CharStream {
  readonly #input: ReadStream | NodeJS.ReadStream = process.stdin;
  readonly #output = process.stdout;
  readonly #restore = (): void => this.#restoreTerminal();
  #client: CharStreamClient | undefined;
  #raw = false;
  #ended = false;

  constructor(options: StdioOptions) {
    if (this.#input.isTTY && !options.signal) {
      this.#input.setRawMode(true);
      this.#raw = true;
      process.once('exit', this.#restore);
    }
    this.#output.on('drain', () => this.#client?.writable());
    // A reader that went away (`lyrebird … | head`) is no reason to die: the guest goes on.
    this.#output.on('error', () => {
      this.#ended = true;
      this.#client?.writable();
    });
  }

  write(bytes: Uint8Array): boolean {
    if (this.#ended) return true;
    return this.#output.write(bytes);
  }

  connect(client: CharStreamClient): void {
    this.#client = client;
    this.#input.on('data', (data: Buffer) => client.input(data));
    this.#input.on('error', () => {});
  }

  pauseInput(): void {
    this.#input.pause();
  }

  resumeInput(): void {
    this.#input.resume();
  }

  async dispose(): Promise<void> {
    this.#input.pause();
    this.#input.removeAllListeners('data');
    this.#restoreTerminal();
    process.removeListener('exit', this.#restore);
    // Lets go of a pipe or terminal, so that the process can end by itself.
    (this.#input as ReadStream).unref?.();
    if (!this.#ended && this.#output.writableLength > 0) {
      await new Promise<void>((resolve) => this.#output.write('', () => resolve()));
    }
  }

  #restoreTerminal(): void {
    if (!this.#raw) return;
    this.#raw = false;
    try {
      this.#input.setRawMode?.(false);
    } catch {
      // the terminal is gone
    }
  }
}
