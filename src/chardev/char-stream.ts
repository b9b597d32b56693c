/** A byte stream of the host (terminal, socket, file, …) on the main thread. Implemented by `host/*`. */

export interface CharStream {
  /** Takes all of `bytes`. False: it would rather not get more before `writable` is called. */
  write(bytes: Uint8Array): boolean;
  /** Whoever gets the input; set once, before anything else. */
  connect(client: CharStreamClient): void;
  /** Stops and starts the input. */
  pauseInput(): void;
  resumeInput(): void;
  /** Releases what the stream holds. Output that was taken is still delivered. */
  dispose(): Promise<void>;
}

export interface CharStreamClient {
  /** Bytes from the host. All of them must be taken; `pauseInput` holds back further ones. */
  input(bytes: Uint8Array): void;
  writable(): void;
  /** A break condition. */
  sendBreak?(): void;
  /** Somebody connected (a socket, a terminal switched to this stream). */
  opened?(): void;
}

/** Swallows output, has no input. */
export class NullStream implements CharStream {
  write(_bytes: Uint8Array): boolean {
    return true;
  }

  connect(_client: CharStreamClient): void {}
  pauseInput(): void {}
  resumeInput(): void {}

  async dispose(): Promise<void> {}
}
