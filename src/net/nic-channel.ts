/**
 * Shared memory between one card (machine thread) and the network thread: a ring of frames each way and a few words. Neither end ever
 * waits for the other: a full ring makes the card hold back what it sends, and the back end what it receives.
 */
import { type FrameMeta, type NetBackend, type NetFrontend, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame, isAcceptable } from '../core/net-offload.ts';
import { FrameRing } from './frame-ring.ts';

const WORDS_BYTES = 64;
/** The card found the ring full and wants to hear of room. */
export const WORD_SENDER_WAITS = 0;
/** The back end found its ring full. */
export const WORD_RECEIVER_WAITS = 1;
/** `OFFLOAD_…` of the card. */
export const WORD_OFFLOADS = 2;
export const WORD_LINK_DOWN = 3;

/** Both ends of a channel see these. */
export class NicChannel {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  /** Card to back end. */
  readonly sent: FrameRing;
  /** Back end to card. */
  readonly received: FrameRing;

  static create(): NicChannel {
    return new NicChannel(new SharedArrayBuffer(WORDS_BYTES + 2 * FrameRing.byteLength));
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, WORDS_BYTES / 4);
    this.sent = new FrameRing(buffer, WORDS_BYTES);
    this.received = new FrameRing(buffer, WORDS_BYTES + FrameRing.byteLength);
  }
}

/** Wakes the network thread, at most once until it has looked. */
export class NetDoorbell {
  static readonly byteLength = 8;
  readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer, 0, 2);
  }

  ring(): void {
    Atomics.add(this.words, 0, 1);
    if (Atomics.exchange(this.words, 1, 0) === 1) Atomics.notify(this.words, 0);
  }

  /** The thread is about to sleep; the count to pass to `waitAsync`. Look for work afterwards once more. */
  announceSleep(): number {
    Atomics.store(this.words, 1, 1);
    return Atomics.load(this.words, 0);
  }

  awake(): void {
    Atomics.store(this.words, 1, 0);
  }
}

/** The card's end, on the machine thread. */
export class ChannelNetBackend implements NetBackend {
  readonly id: string;
  readonly #channel: NicChannel;
  readonly #doorbell: NetDoorbell;
  #frontend: NetFrontend | undefined;
  #offloads = 0;
  #stalled = false;
  #sendBlocked = false;

  constructor(id: string, channel: NicChannel, doorbell: NetDoorbell) {
    this.id = id;
    this.#channel = channel;
    this.#doorbell = doorbell;
  }

  /** A card is plugged in. */
  get isConnected(): boolean {
    return this.#frontend !== undefined;
  }

  get isLinkUp(): boolean {
    return Atomics.load(this.#channel.words, WORD_LINK_DOWN) === 0;
  }

  /** `set_link`. */
  setLink(up: boolean): void {
    if (up === this.isLinkUp) return;
    Atomics.store(this.#channel.words, WORD_LINK_DOWN, up ? 0 : 1);
    this.#frontend?.linkChanged?.(up);
    this.#doorbell.ring();
  }

  connect(frontend: NetFrontend): void {
    this.#frontend = frontend;
  }

  setOffloads(offloads: number): void {
    this.#offloads = offloads;
    Atomics.store(this.#channel.words, WORD_OFFLOADS, offloads);
  }

  send(frame: Uint8Array, meta: Readonly<FrameMeta> = PLAIN_FRAME): boolean {
    const room = this.reserve(frame.length);
    if (room === undefined) return false;
    room.set(frame);
    this.commit(meta);
    return true;
  }

  reserve(length: number): Uint8Array | undefined {
    const { sent, words } = this.#channel;
    const room = sent.reserve(length);
    if (room !== undefined) return room;
    Atomics.store(words, WORD_SENDER_WAITS, 1);
    // The other end may just have made room without seeing the word.
    const again = sent.reserve(length);
    this.#sendBlocked = again === undefined;
    if (again === undefined) this.#doorbell.ring();
    return again;
  }

  commit(meta: Readonly<FrameMeta>): void {
    this.#channel.sent.commit(meta);
    this.#doorbell.ring();
  }

  resume(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.poll();
  }

  /** Hands over what has arrived; called by the machine loop while the guest runs. */
  poll(): void {
    const frontend = this.#frontend;
    if (frontend === undefined) return;
    if (this.#sendBlocked && Atomics.load(this.#channel.words, WORD_SENDER_WAITS) === 0) {
      this.#sendBlocked = false;
      frontend.writable();
    }
    if (this.#stalled) return;
    const { received, words } = this.#channel;
    let any = false;
    for (;;) {
      const frame = received.next();
      if (frame === undefined) break;
      if (!this.#deliver(frontend, frame)) {
        this.#stalled = true;
        break;
      }
      received.advance();
      any = true;
    }
    if (!any) return;
    frontend.received?.();
    if (Atomics.load(words, WORD_RECEIVER_WAITS) !== 0) {
      Atomics.store(words, WORD_RECEIVER_WAITS, 0);
      this.#doorbell.ring();
    }
  }

  /** A frame that was made for other offloads (the driver has just changed its mind) is completed here; a part of it may be lost. */
  #deliver(frontend: NetFrontend, frame: Uint8Array): boolean {
    const { meta } = this.#channel.received;
    if (isAcceptable(meta, this.#offloads)) return frontend.receive(frame, meta);
    completeFrame(frame, meta, (complete) => frontend.receive(complete, PLAIN_FRAME));
    return true;
  }
}
