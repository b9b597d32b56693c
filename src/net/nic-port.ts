/** A card as the network thread sees it: the other end of its channel. */
import { type FrameMeta, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame, isAcceptable } from '../core/net-offload.ts';
import { RING_BYTES } from './frame-ring.ts';
import type { NetClient, NetLink } from './net-client.ts';
import {
  type NicChannel,
  WORD_LINK_DOWN,
  WORD_OFFLOADS,
  WORD_RECEIVER_WAITS,
  WORD_SENDER_WAITS,
} from './nic-channel.ts';

/** Most frames taken at once, so that several cards and sockets get their turns. */
const BATCH = 256;

export class NicPort implements NetClient {
  readonly id: string;
  link: NetLink | undefined;
  readonly #channel: NicChannel;
  readonly #wakeMachine: () => void;
  readonly #retry: () => void;
  #news = false;
  #stalled = false;

  /**
   * `wakeMachine` is called by `flush` when there is something new for the machine thread; `retry` asks for a `poll` soon.
   */
  constructor(id: string, channel: NicChannel, wakeMachine: () => void, retry: () => void) {
    this.id = id;
    this.#channel = channel;
    this.#wakeMachine = wakeMachine;
    this.#retry = retry;
  }

  describe(): string {
    return 'nic';
  }

  get offloads(): number {
    return Atomics.load(this.#channel.words, WORD_OFFLOADS);
  }

  get #isLinkUp(): boolean {
    return Atomics.load(this.#channel.words, WORD_LINK_DOWN) === 0;
  }

  /** Moves what the card has sent; true: there is more. */
  poll(): boolean {
    const { sent, received, words } = this.#channel;
    let count = 0;
    while (!this.#stalled && count < BATCH) {
      const frame = sent.next();
      if (frame === undefined) break;
      if (this.#isLinkUp && this.link !== undefined && !this.link.send(this, frame, sent.meta)) {
        this.#stalled = true;
        break;
      }
      sent.advance();
      count++;
    }
    if (count > 0 && Atomics.load(words, WORD_SENDER_WAITS) !== 0 && sent.usedBytes <= RING_BYTES / 2) {
      Atomics.store(words, WORD_SENDER_WAITS, 0);
      this.#news = true;
    }
    if (this.#blocked && received.usedBytes <= RING_BYTES / 2) {
      this.#blocked = false;
      this.link?.writable(this);
    }
    return count === BATCH;
  }

  #blocked = false;

  /** Tells the machine thread, once for all that has happened. */
  flush(): void {
    if (!this.#news) return;
    this.#news = false;
    this.#wakeMachine();
  }

  writable(): void {
    this.#stalled = false;
    this.poll();
  }

  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    const { received } = this.#channel;
    if (!this.#isLinkUp) return true;
    this.#news = true;
    if (isAcceptable(meta, this.offloads)) return received.write(frame, meta) || this.#full();
    // All segments or none: each is at least 48 bytes and repeats its headers.
    const segments = meta.gsoSize > 0 ? Math.ceil(frame.length / Math.max(48, meta.gsoSize)) : 1;
    if (received.usedBytes + 2 * frame.length + segments * 160 > RING_BYTES) return this.#full();
    completeFrame(frame, meta, (complete) => received.write(complete, PLAIN_FRAME));
    return true;
  }

  reserve(length: number): Uint8Array | undefined {
    const room = this.#channel.received.reserve(length);
    if (room === undefined) this.#full();
    return room ?? undefined;
  }

  commit(meta: Readonly<FrameMeta>): void {
    this.#channel.received.commit(meta);
    this.#news = true;
  }

  close(): void {}

  #full(): false {
    this.#blocked = true;
    Atomics.store(this.#channel.words, WORD_RECEIVER_WAITS, 1);
    // The card may just have emptied the ring without seeing the word.
    if (this.#channel.received.usedBytes <= RING_BYTES / 2) this.#retry();
    return false;
  }
}
