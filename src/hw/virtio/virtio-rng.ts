/** virtio entropy device (virtio 1.2, 5.4): fills what the driver offers with random bytes, at a rate the user sets. */
import type { AccessSize } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { defineState, num, stateful } from '../../core/vmstate.ts';
import { allOnes } from '../../util/bits.ts';
import { VIRTIO_ID_RNG, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { segmentViews } from './virtqueue.ts';

const QUEUE_SIZE = 8;
/** Largest piece that a source of entropy is asked for at once. */
const MAX_PIECE = 65536;

const schema = defineState('virtio-rng', 1, { quota: num(Number.POSITIVE_INFINITY), periodEndNs: num() });

export interface RngOptions {
  /** Fills a buffer outside of guest memory with random bytes; at most 64 KiB a call. */
  readonly fill: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly timers: TimerService;
  /** Bytes in each period; Infinity: no limit. */
  readonly maxBytes: number;
  readonly periodMs: number;
}

export class VirtioRng implements VirtioBackend {
  readonly id = VIRTIO_ID_RNG;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE];
  readonly configSize = 0;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: RngOptions;
  readonly #timer: Timer;
  #port!: VirtioPort;

  constructor(options: RngOptions) {
    this.#options = options;
    this.#timer = options.timers.create(() => this.#nextPeriod());
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#arm() });
    this.reset();
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  readConfig(_offset: number, size: AccessSize): number {
    return allOnes(size);
  }

  writeConfig(): void {}

  reset(): void {
    this.#s.quota = this.#options.maxBytes;
    this.#s.periodEndNs = 0;
    this.#timer.cancel();
  }

  queueNotified(_index: number): void {
    const queue = this.#port.queues[0]!;
    let pushed = false;
    while (this.#s.quota > 0) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = Math.min(chain.inBytes, this.#s.quota, MAX_PIECE);
      for (const view of segmentViews(queue.ram, chain.in, 0, bytes)) {
        const random = new Uint8Array(view.length);
        this.#options.fill(random);
        view.set(random);
      }
      this.#s.quota -= bytes;
      queue.push(chain, bytes);
      pushed = true;
    }
    if (pushed) this.#port.notifyQueue(0);
    if (this.#s.quota < this.#options.maxBytes && this.#s.periodEndNs === 0) {
      this.#s.periodEndNs = this.#options.timers.nowNs() + this.#options.periodMs * 1e6;
      this.#arm();
    }
  }

  #nextPeriod(): void {
    this.#s.periodEndNs = 0;
    this.#s.quota = this.#options.maxBytes;
    if (this.#port.isRunning) this.queueNotified(0);
  }

  #arm(): void {
    if (this.#s.periodEndNs > 0) this.#timer.arm(this.#s.periodEndNs);
    else this.#timer.cancel();
  }
}
