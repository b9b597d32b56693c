/**
 * Traditional memory balloon (virtio 1.2, 5.5): the host asks for pages, the driver gives them up and takes them back; statistics of
 * the guest's memory on request. Pages in the balloon keep their place in the host's memory.
 */
import type { AccessSize } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { array, defineState, num, stateful, u32 } from '../../core/vmstate.ts';
import { VIRTIO_ID_BALLOON, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, readSegments } from './virtqueue.ts';

const F_STATS = 2n;
const F_DEFLATE_ON_OOM = 4n;
const QUEUE_SIZE = 128;
const STATS_QUEUE = 2;
const CONFIG_BYTES = 8;
const ACTUAL_AT = 4;
export const BALLOON_PAGE = 4096;
/** A statistic: tag (2 bytes), value (8). */
const STAT_BYTES = 10;
const MAX_STATS = 64;

/** Names of the statistics by tag (5.5.6.3), as the object model shows them. */
const STAT_NAMES = [
  'stat-swap-in',
  'stat-swap-out',
  'stat-major-faults',
  'stat-minor-faults',
  'stat-free-memory',
  'stat-total-memory',
  'stat-available-memory',
  'stat-disk-caches',
  'stat-htlb-pgalloc',
  'stat-htlb-pgfail',
];

const schema = defineState('virtio-balloon', 1, {
  wanted: u32(),
  actual: u32(),
  intervalSeconds: u32(),
  lastUpdateMs: num(),
  stats: array(STAT_NAMES.length, num(-1)),
});

export interface BalloonOptions {
  readonly deflateOnOom: boolean;
  readonly timers: TimerService;
  /** The driver holds this many pages now. */
  onActual(pages: number): void;
  /** Civil time for the statistics. */
  nowMs(): number;
}

export class VirtioBalloon implements VirtioBackend {
  readonly id = VIRTIO_ID_BALLOON;
  readonly features: bigint;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];
  readonly configSize = CONFIG_BYTES;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: BalloonOptions;
  readonly #timer: Timer;
  /** The buffer that the driver lent for statistics. */
  #lent: Chain | undefined;
  #port!: VirtioPort;

  constructor(options: BalloonOptions) {
    this.#options = options;
    this.features = F_STATS | (options.deflateOnOom ? F_DEFLATE_ON_OOM : 0n);
    this.#timer = options.timers.create(() => this.#askForStats());
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#arm() });
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  get actualPages(): number {
    return this.#s.actual;
  }

  /** The guest shall give up `pages`. */
  setTarget(pages: number): void {
    this.#s.wanted = pages;
    this.#port.notifyConfig();
  }

  get intervalSeconds(): number {
    return this.#s.intervalSeconds;
  }

  /** 0: statistics are not asked for. */
  setInterval(seconds: number): void {
    this.#s.intervalSeconds = seconds;
    this.#arm();
  }

  /** What the guest last said of its memory. */
  get statistics(): { readonly stats: Readonly<Record<string, number>>; readonly 'last-update': number } {
    const stats = Object.fromEntries(STAT_NAMES.map((name, i) => [name, this.#s.stats[i]!]));
    return { stats, 'last-update': Math.floor(this.#s.lastUpdateMs / 1000) };
  }

  readConfig(offset: number, size: AccessSize): number {
    const config = new Uint8Array(CONFIG_BYTES);
    const view = new DataView(config.buffer);
    view.setUint32(0, this.#s.wanted, true);
    view.setUint32(ACTUAL_AT, this.#s.actual, true);
    let value = 0;
    for (let i = 0; i < size; i++) value |= config[offset + i]! << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (offset !== ACTUAL_AT || size !== 4 || value === this.#s.actual) return;
    this.#s.actual = value;
    this.#options.onActual(value);
  }

  /** The interval is the user's and stays. */
  reset(): void {
    const { intervalSeconds, wanted } = this.#s;
    schema.reset(this.#s);
    this.#s.intervalSeconds = intervalSeconds;
    this.#s.wanted = wanted;
    this.#lent = undefined;
    this.#arm();
  }

  queueNotified(index: number): void {
    const queue = this.#port.queues[index]!;
    if (index === STATS_QUEUE) {
      this.#takeStats();
      return;
    }
    // The driver tells the pages' numbers; what they hold is of no more interest, and nothing is to be done about it.
    let pushed = false;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      queue.push(chain, 0);
      pushed = true;
    }
    if (pushed) this.#port.notifyQueue(index);
  }

  #takeStats(): void {
    const queue = this.#port.queues[STATS_QUEUE]!;
    const chain = queue.pop();
    if (chain === undefined) return;
    if (this.#lent !== undefined) queue.push(this.#lent, 0);
    this.#lent = chain;
    const bytes = new Uint8Array(Math.min(chain.outBytes, MAX_STATS * STAT_BYTES));
    readSegments(queue.ram, chain.out, bytes);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + STAT_BYTES <= bytes.length; at += STAT_BYTES) {
      const tag = view.getUint16(at, true);
      if (tag < STAT_NAMES.length) this.#s.stats[tag] = Number(view.getBigUint64(at + 2, true));
    }
    this.#s.lastUpdateMs = this.#options.nowMs();
  }

  /** Giving the buffer back is the question. */
  #askForStats(): void {
    this.#arm();
    const chain = this.#lent;
    if (chain === undefined || !this.#port.isRunning) return;
    this.#lent = undefined;
    this.#port.queues[STATS_QUEUE]!.push(chain, 0);
    this.#port.notifyQueue(STATS_QUEUE);
  }

  #arm(): void {
    const { intervalSeconds } = this.#s;
    if (intervalSeconds > 0) this.#timer.arm(this.#options.timers.nowNs() + intervalSeconds * 1e9);
    else this.#timer.cancel();
  }
}
