/**
 * A RIFF/WAVE file of 16-bit samples in two channels (Multimedia Programming Interface and Data Specifications 1.0). Its header is true after
 * every write, so that the file can be played whatever ends the process.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';

const HEADER_BYTES = 44;
const FORMAT_PCM = 1;
const CHANNELS = 2;
const SAMPLE_BYTES = 2;
/** Sizes are 32-bit numbers. */
const MAX_DATA_BYTES = 2 ** 32 - HEADER_BYTES - 1;

export class WavFile implements CharStream {
  readonly #rateHz: number;
  readonly #path: string;
  #fd: number | undefined;
  #dataBytes = 0;

  /** `option` is named in the message when the file cannot be opened. */
  constructor(path: string, rateHz: number, option: string) {
    this.#path = path;
    this.#rateHz = rateHz;
    try {
      this.#fd = openSync(path, 'w');
    } catch (error) {
      throw new UserError('FileOpenFailed', `${option}: cannot write ${path}: ${errorReason(error)}`);
    }
    this.#write(this.#header(), 0);
  }

  write(bytes: Uint8Array): boolean {
    const fits = bytes.subarray(0, MAX_DATA_BYTES - this.#dataBytes);
    this.#write(fits, HEADER_BYTES + this.#dataBytes);
    this.#dataBytes += fits.length;
    this.#write(this.#header(), 0);
    return true;
  }

  connect(_client: CharStreamClient): void {}
  pauseInput(): void {}
  resumeInput(): void {}

  async dispose(): Promise<void> {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(bytes: Uint8Array, position: number): void {
    if (this.#fd === undefined) return;
    try {
      for (let at = 0; at < bytes.length; )
        at += writeSync(this.#fd, bytes, at, bytes.length - at, position + at);
    } catch (error) {
      process.stderr.write(`lyrebird: -audiodev wav: ${this.#path}: ${errorReason(error)}\n`);
      closeSync(this.#fd);
      this.#fd = undefined;
    }
  }

  #header(): Uint8Array {
    const bytes = new Uint8Array(HEADER_BYTES);
    const view = new DataView(bytes.buffer);
    const text = (at: number, name: string): void => bytes.set(Buffer.from(name, 'latin1'), at);
    text(0, 'RIFF');
    view.setUint32(4, HEADER_BYTES - 8 + this.#dataBytes, true);
    text(8, 'WAVEfmt ');
    view.setUint32(16, 16, true);
    view.setUint16(20, FORMAT_PCM, true);
    view.setUint16(22, CHANNELS, true);
    view.setUint32(24, this.#rateHz, true);
    view.setUint32(28, this.#rateHz * CHANNELS * SAMPLE_BYTES, true);
    view.setUint16(32, CHANNELS * SAMPLE_BYTES, true);
    view.setUint16(34, 8 * SAMPLE_BYTES, true);
    text(36, 'data');
    view.setUint32(40, this.#dataBytes, true);
    return bytes;
  }
}
