/** Participants of a network on the network thread, and the wire between two of them. */
import { type FrameMeta, MAX_FRAME_BYTES, PLAIN_FRAME } from '../core/net-backend.ts';

/** A card, the user-mode stack, a tap, a socket, a port of a hub. Frames and what goes along are valid during a call only. */
export interface NetClient {
  readonly id: string;
  /** As `info network` shows it. */
  describe(): string;
  link: NetLink | undefined;
  /** What it takes besides complete frames: `OFFLOAD_…`. */
  readonly offloads: number;
  /** A frame from the other end. False: no room; `NetLink.writable` will tell. */
  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean;
  /** The other end has room again. */
  writable(): void;
  /** Memory in which the other end may put a frame; absent or undefined: it uses `accept`. */
  reserve?(length: number): Uint8Array | undefined;
  commit?(meta: Readonly<FrameMeta>): void;
  close(): void;
}

/** Looks at frames on their way; `toCard`: from the back end to the card. */
export interface NetFilter {
  readonly id: string;
  readonly kind: string;
  readonly netdev: string;
  /** False: the filter keeps the frame, or has sent others in its place through `forward`. */
  pass(
    frame: Uint8Array,
    meta: Readonly<FrameMeta>,
    toCard: boolean,
    forward: (frame: Uint8Array, meta: Readonly<FrameMeta>) => boolean,
  ): boolean;
  close(): void;
}

export class NetLink {
  /** The card's end. */
  readonly card: NetClient;
  readonly backend: NetClient;
  up = true;
  filters: readonly NetFilter[] = [];
  readonly #scratch = new Uint8Array(MAX_FRAME_BYTES);
  #reserved: Uint8Array | undefined;
  #direct = false;

  constructor(card: NetClient, backend: NetClient) {
    this.card = card;
    this.backend = backend;
    card.link = this;
    backend.link = this;
  }

  /** What the other end takes. */
  offloadsOf(from: NetClient): number {
    return (from === this.card ? this.backend : this.card).offloads;
  }

  /** From one end to the other; false: no room. */
  send(from: NetClient, frame: Uint8Array, meta: Readonly<FrameMeta> = PLAIN_FRAME): boolean {
    if (!this.up) return true;
    return this.#through(0, from !== this.card, frame, meta);
  }

  /** One frame at a time: `commit` follows at once. Undefined: no room. */
  reserve(from: NetClient, length: number): Uint8Array | undefined {
    const to = from === this.card ? this.backend : this.card;
    this.#direct = this.filters.length === 0 && this.up && to.reserve !== undefined;
    this.#reserved = this.#direct ? to.reserve!(length) : this.#scratch.subarray(0, length);
    return this.#reserved;
  }

  /** False: lost for want of room, which can only happen where `reserve` could not know. */
  commit(from: NetClient, meta: Readonly<FrameMeta>): boolean {
    if (!this.#direct) return this.send(from, this.#reserved!, meta);
    (from === this.card ? this.backend : this.card).commit!(meta);
    return true;
  }

  /** `from` has room again. */
  writable(from: NetClient): void {
    (from === this.card ? this.backend : this.card).writable();
  }

  #through(index: number, toCard: boolean, frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    // Frames to the card pass the filters in reverse order.
    const filter = this.filters[toCard ? this.filters.length - 1 - index : index];
    if (filter === undefined) return (toCard ? this.card : this.backend).accept(frame, meta);
    const forward = (other: Uint8Array, otherMeta: Readonly<FrameMeta>): boolean =>
      this.#through(index + 1, toCard, other, otherMeta);
    return filter.pass(frame, meta, toCard, forward) ? forward(frame, meta) : true;
  }
}
