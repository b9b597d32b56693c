/** Standard input and output as a character stream. A terminal is put into raw mode and restored whatever happens. */
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';
import { FdWriter } from './fd-writer.ts';

const STDOUT = 1;
const CTRL_C = 0x03;
const FLUSH_TIMEOUT_MS = 2000;

export interface StdioOptions {
  /** False: Ctrl-C is for the guest. True: it ends the emulator (`-chardev stdio,signal=on`). */
  readonly signal: boolean;
}

export class StdioStream implements CharStream {
  readonly #input = process.stdin;
  readonly #output = new FdWriter(STDOUT);
  readonly #signal: boolean;
  readonly #restore = (): void => this.#restoreTerminal();
  #raw = false;

  constructor(options: StdioOptions) {
    this.#signal = options.signal;
    if (this.#input.isTTY) {
      this.#input.setRawMode(true);
      this.#raw = true;
      process.once('exit', this.#restore);
    }
  }

  /** A reader that went away (`lyrebird … | head`) is no reason to die: the guest goes on. */
  write(bytes: Uint8Array): boolean {
    return this.#output.write(bytes);
  }

  connect(client: CharStreamClient): void {
    this.#output.onWritable = () => client.writable();
    this.#input.on('data', (data: Buffer) => {
      if (this.#signal && this.#raw && data.includes(CTRL_C)) process.kill(process.pid, 'SIGINT');
      else client.input(data);
    });
    this.#input.on('error', () => {});
  }

  pauseInput(): void {
    this.#input.pause();
  }

  resumeInput(): void {
    this.#input.resume();
  }

  async dispose(): Promise<void> {
    this.#input.removeAllListeners('data');
    this.#input.pause();
    // Lets go of a pipe or terminal, so that the process can end by itself.
    (this.#input as { unref?: () => void }).unref?.();
    this.#restoreTerminal();
    process.removeListener('exit', this.#restore);
    await this.#output.flush(FLUSH_TIMEOUT_MS);
  }

  #restoreTerminal(): void {
    if (!this.#raw) return;
    this.#raw = false;
    try {
      this.#input.setRawMode(false);
    } catch {
      // the terminal is gone
    }
  }
}
