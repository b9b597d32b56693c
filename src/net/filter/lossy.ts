/** `filter-lossy`: a bad wire. Frames are lost, come twice or out of order, by a seeded random choice. Ours, not QEMU's. */
import { type FrameMeta, PLAIN_FRAME } from '../../core/net-backend.ts';
import { completeFrame } from '../../core/net-offload.ts';
import type { NetFilter } from '../net-client.ts';

export interface LossyOptions {
  /** Probabilities from 0 to 1. */
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly seed: number;
}

/** A frame that was held back goes after this many others, at the latest. */
const MAX_DELAY = 8;

interface Held {
  readonly frame: Uint8Array;
  readonly toCard: boolean;
  after: number;
}

export class LossyFilter implements NetFilter {
  readonly kind = 'filter-lossy';
  readonly id: string;
  readonly netdev: string;
  readonly #options: LossyOptions;
  #held: Held[] = [];
  #random: number;

  constructor(id: string, netdev: string, options: LossyOptions) {
    this.id = id;
    this.netdev = netdev;
    this.#options = options;
    this.#random = options.seed | 1;
  }

  /** Large frames are cut first: each segment has its own fate. */
  pass(
    frame: Uint8Array,
    meta: Readonly<FrameMeta>,
    toCard: boolean,
    forward: (frame: Uint8Array, meta: Readonly<FrameMeta>) => boolean,
  ): boolean {
    completeFrame(frame, meta, (complete) => {
      this.#treat(complete, toCard, forward);
      return true;
    });
    return false;
  }

  close(): void {
    this.#held = [];
  }

  #treat(
    frame: Uint8Array,
    toCard: boolean,
    forward: (frame: Uint8Array, meta: Readonly<FrameMeta>) => boolean,
  ): void {
    const { drop, duplicate, reorder } = this.#options;
    if (this.#next() < drop) return;
    if (this.#next() < reorder) {
      this.#held.push({ frame: frame.slice(), toCard, after: 1 + Math.floor(this.#next() * MAX_DELAY) });
      return;
    }
    forward(frame, PLAIN_FRAME);
    if (this.#next() < duplicate) forward(frame, PLAIN_FRAME);
    for (const held of this.#held) if (held.toCard === toCard) held.after--;
    const due = this.#held.filter((held) => held.after <= 0);
    if (due.length === 0) return;
    this.#held = this.#held.filter((held) => held.after > 0);
    for (const held of due) forward(held.frame, PLAIN_FRAME);
  }

  /** xorshift32. */
  #next(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return (x >>> 0) / 2 ** 32;
  }
}
