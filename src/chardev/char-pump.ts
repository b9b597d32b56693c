/** Moves bytes between a host stream and the channel of a character device, on the main thread. */
import type { CharChannel } from './char-channel.ts';
import type { CharStream, CharStreamClient } from './char-stream.ts';

const CHUNK = 16384;

export class CharPump implements CharStreamClient {
  readonly #channel: CharChannel;
  readonly #stream: CharStream;
  readonly #wake: () => void;
  readonly #onBreak: () => void;
  readonly #chunk = new Uint8Array(CHUNK);
  #streamIsFull = false;
  #inputIsPaused = false;
  /** Input that did not fit into the ring. */
  #pending: Uint8Array | undefined;

  /** `wake` rings the machine thread's doorbell. */
  constructor(channel: CharChannel, stream: CharStream, wake: () => void, onBreak: () => void = () => {}) {
    this.#channel = channel;
    this.#stream = stream;
    this.#wake = wake;
    this.#onBreak = onBreak;
    stream.connect(this);
  }

  /** Called when the machine thread has news. */
  poll(): void {
    this.#drain();
    if (this.#pending !== undefined) this.#feed();
  }

  /** Resolves when everything the guest sent has been handed over, or when the stream takes nothing for `timeoutMs`. */
  finish(sleep: (ms: number) => Promise<void>, timeoutMs: number): Promise<void> {
    const { output } = this.#channel;
    const step = async (left: number, idleMs: number): Promise<void> => {
      this.#drain();
      const rest = output.readable;
      if (rest === 0 || idleMs >= timeoutMs) return;
      await sleep(5);
      await step(rest, rest === left ? idleMs + 5 : 0);
    };
    return step(output.readable, 0);
  }

  input(bytes: Uint8Array): void {
    if (this.#pending !== undefined) {
      const joined = new Uint8Array(this.#pending.length + bytes.length);
      joined.set(this.#pending);
      joined.set(bytes, this.#pending.length);
      this.#pending = joined;
    } else {
      this.#pending = bytes;
    }
    this.#feed();
  }

  writable(): void {
    this.#streamIsFull = false;
    this.#drain();
  }

  sendBreak(): void {
    this.#onBreak();
  }

  #drain(): void {
    const { output } = this.#channel;
    while (!this.#streamIsFull) {
      const count = output.read(this.#chunk);
      if (count === 0) break;
      this.#streamIsFull = !this.#stream.write(this.#chunk.slice(0, count));
    }
    if (output.writable > 0 && this.#channel.takeOutputBlocked()) this.#wake();
  }

  #feed(): void {
    const { input } = this.#channel;
    let rest = this.#pending!;
    rest = rest.subarray(input.write(rest));
    if (rest.length > 0) {
      this.#channel.setInputBlocked();
      rest = rest.subarray(input.write(rest));
    }
    this.#wake();
    this.#pending = rest.length > 0 ? rest : undefined;
    const pause = rest.length > 0;
    if (pause === this.#inputIsPaused) return;
    this.#inputIsPaused = pause;
    if (pause) this.#stream.pauseInput();
    else this.#stream.resumeInput();
  }
}
