/** Where mixed sound leaves the machine: a byte stream of the host. What it does not take at once waits here. */
import type { CharFrontend } from '../core/char-backend.ts';

/** Ten seconds and more; a host that is slower than that loses sound. */
const MAX_WAITING_BYTES = 4 * 2 ** 20;

export interface ByteStream {
  /** Takes as many as it can and returns how many; for the rest it calls `onWritable`. */
  writeBytes(bytes: Uint8Array): number;
  connect(frontend: CharFrontend): void;
}

export class StreamSink {
  readonly #stream: ByteStream;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    stream.connect({ canReceive: () => 0, receive: () => {}, onWritable: () => this.#flush() });
  }

  /** Frames of two channels. They leave in the host's byte order: every host of WebAssembly counts from the low end. */
  write(samples: Int16Array, frames: number): void {
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, frames * 4);
    const taken = this.#waitingBytes === 0 ? this.#stream.writeBytes(bytes) : 0;
    if (taken === bytes.length || this.#waitingBytes > MAX_WAITING_BYTES) return;
    this.#waiting.push(bytes.slice(taken));
    this.#waitingBytes += bytes.length - taken;
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const taken = this.#stream.writeBytes(first);
      this.#waitingBytes -= taken;
      if (taken < first.length) {
        this.#waiting[0] = first.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }
}
