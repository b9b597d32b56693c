/** Output to a file (`-serial file:PATH`); no input. */
import { createWriteStream, openSync, type WriteStream } from 'node:fs';
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';

export class FileStream implements CharStream {
  readonly #stream: WriteStream;
  #client: CharStreamClient | undefined;

  /** `option` is named in the message when the file cannot be opened. */
  constructor(path: string, append: boolean, option: string) {
    let fd: number;
    try {
      fd = openSync(path, append ? 'a' : 'w');
    } catch (error) {
      throw new UserError('FileOpenFailed', `${option}: cannot write ${path}: ${errorReason(error)}`);
    }
    this.#stream = createWriteStream(path, { fd });
    this.#stream.on('drain', () => this.#client?.writable());
    this.#stream.on('error', (error) => {
      process.stderr.write(`lyrebird: ${option}: ${path}: ${errorReason(error)}\n`);
      this.#client?.writable();
    });
  }

  write(bytes: Uint8Array): boolean {
    return this.#stream.destroyed || this.#stream.write(bytes);
  }

  connect(client: CharStreamClient): void {
    this.#client = client;
  }

  pauseInput(): void {}
  resumeInput(): void {}

  dispose(): Promise<void> {
    if (this.#stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.once('close', () => resolve());
      this.#stream.end();
    });
  }
}
