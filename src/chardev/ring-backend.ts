/** The machine thread's end of a character device: what a serial port writes goes into the ring, and the other way. */
import type { CharBackend, CharFrontend } from '../core/char-backend.ts';
import type { CharChannel } from './char-channel.ts';

export class RingCharBackend implements CharBackend {
  readonly #channel: CharChannel;
  readonly #notify: (urgent: boolean) => void;
  #frontend: CharFrontend | undefined;
  #blocked = false;
  #breaks = 0;

  /** `notify` tells the main thread that there is something for it; urgent: a line is complete or the ring fills up. */
  constructor(channel: CharChannel, notify: (urgent: boolean) => void) {
    this.#channel = channel;
    this.#notify = notify;
  }

  /** The ring was full and the device holds bytes back. */
  get isBlocked(): boolean {
    return this.#blocked;
  }

  connect(frontend: CharFrontend): void {
    this.#frontend = frontend;
    frontend.onReceivable = () => this.#receive();
  }

  write(byte: number): boolean {
    const ring = this.#channel.output;
    if (!ring.writeByte(byte)) {
      this.#channel.setOutputBlocked();
      if (!ring.writeByte(byte)) {
        this.#blocked = true;
        this.#notify(true);
        return false;
      }
    }
    this.#notify(byte === 0x0a);
    return true;
  }

  /** Takes as many of `bytes` as there is room for and returns how many; for the rest it will call `onWritable`. */
  writeBytes(bytes: Uint8Array): number {
    const ring = this.#channel.output;
    let taken = ring.write(bytes);
    if (taken < bytes.length) {
      this.#channel.setOutputBlocked();
      taken += ring.write(bytes.subarray(taken));
    }
    this.#blocked = taken < bytes.length;
    this.#notify(this.#blocked);
    return taken;
  }

  /** The main thread sent a break condition. */
  sendBreak(): void {
    this.#breaks++;
  }

  /** Moves what waits; called by the machine loop after its doorbell rang. */
  poll(): void {
    if (this.#blocked && this.#channel.output.writable > 0) {
      this.#blocked = false;
      this.#frontend?.onWritable();
    }
    for (; this.#breaks > 0; this.#breaks--) this.#frontend?.onBreak?.();
    this.#receive();
  }

  #receive(): void {
    const frontend = this.#frontend;
    const ring = this.#channel.input;
    if (frontend === undefined) return;
    let received = false;
    while (ring.readable > 0 && frontend.canReceive() > 0) {
      frontend.receive(ring.readByte());
      received = true;
    }
    if (received && this.#channel.takeInputBlocked()) this.#notify(true);
  }
}
