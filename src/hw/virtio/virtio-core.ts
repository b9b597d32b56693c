/**
 * What every virtio transport shares: status, feature negotiation, queues, reset, interrupts (virtio 1.2, 2.1 to 2.6, 3.1). A
 * transport turns register accesses into calls and `VirtioInterrupts` into its own kind of interrupt.
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { array, defineState, type Stateful, stateful, struct, u8, u64 } from '../../core/vmstate.ts';
import type { VirtioBackend, VirtioPort } from './virtio-device.ts';
import { queueState, VirtQueue } from './virtqueue.ts';

export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_NEEDS_RESET = 0x40;

/** Legacy and ring features (6, Appendix). */
export const F_NOTIFY_ON_EMPTY = 1n << 24n;
export const F_ANY_LAYOUT = 1n << 27n;
export const F_INDIRECT_DESC = 1n << 28n;
export const F_EVENT_IDX = 1n << 29n;
export const F_VERSION_1 = 1n << 32n;
export const F_ACCESS_PLATFORM = 1n << 33n;
export const F_RING_PACKED = 1n << 34n;
/** What a driver sees through legacy registers. */
const LEGACY_MASK = 0xffff_ffffn;

export interface VirtioInterrupts {
  queue(index: number): void;
  config(): void;
}

export interface VirtioOptions {
  readonly indirect: boolean;
  readonly eventIndex: boolean;
  readonly packed: boolean;
  readonly notifyOnEmpty: boolean;
  readonly anyLayout: boolean;
  /** Offers VERSION_1: the transport has registers for it. */
  readonly modern: boolean;
}

export const DEFAULT_VIRTIO_OPTIONS: VirtioOptions = {
  indirect: true,
  eventIndex: true,
  packed: false,
  notifyOnEmpty: true,
  anyLayout: true,
  modern: true,
};

/** Most queues of a device. */
const MAX_QUEUES = 128;
const QUEUE_FIELD = struct(queueState);

function createSchema(queues: number) {
  return defineState('virtio', 1, {
    status: u8(),
    driverFeatures: u64(),
    configGeneration: u8(),
    queues: array(queues, QUEUE_FIELD),
  });
}

export class VirtioCore implements Device, VirtioPort {
  readonly backend: VirtioBackend;
  readonly queues: readonly VirtQueue[];
  readonly offered: bigint;
  readonly vmstate: Stateful;
  readonly #schema: ReturnType<typeof createSchema>;
  readonly #s: ReturnType<ReturnType<typeof createSchema>['create']>;
  readonly #interrupts: VirtioInterrupts;
  readonly #onError: (text: string) => void;
  #held = 0;
  #resetPending = false;
  #onReset: (() => void) | undefined;

  constructor(
    backend: VirtioBackend,
    memory: AddressSpace,
    options: VirtioOptions,
    interrupts: VirtioInterrupts,
    onError: (text: string) => void,
  ) {
    const { queueSizes } = backend;
    this.backend = backend;
    this.#interrupts = interrupts;
    this.#onError = onError;
    this.#schema = createSchema(Math.min(queueSizes.length, MAX_QUEUES));
    this.#s = this.#schema.create();
    this.queues = this.#s.queues.map(
      (state, index) => new VirtQueue(index, state, memory, (reason) => this.#breakDevice(reason)),
    );
    this.offered =
      backend.features |
      (options.indirect ? F_INDIRECT_DESC : 0n) |
      (options.eventIndex ? F_EVENT_IDX : 0n) |
      (options.packed && options.modern ? F_RING_PACKED : 0n) |
      (options.notifyOnEmpty ? F_NOTIFY_ON_EMPTY : 0n) |
      (options.anyLayout ? F_ANY_LAYOUT : 0n) |
      (options.modern ? F_VERSION_1 : 0n);
    this.#resetQueues();
    backend.connect(this);
    this.vmstate = stateful(this.#schema, this.#s, { postLoad: () => this.#applyFeatures() });
  }

  /** The transport's own registers, reset with the device. */
  set onReset(reset: () => void) {
    this.#onReset = reset;
  }

  // --- what transports call

  get status(): number {
    return this.#s.status;
  }

  /** While requests from before a reset may still touch memory, a modern driver sees the old status (2.4.2). */
  get visibleStatus(): number {
    return this.#resetPending && this.#held > 0 ? STATUS_NEEDS_RESET : this.#s.status;
  }

  get configGeneration(): number {
    return this.#s.configGeneration;
  }

  get negotiated(): bigint {
    return this.#s.driverFeatures & this.offered;
  }

  get driverFeatures(): bigint {
    return this.#s.driverFeatures;
  }

  get isModernDriver(): boolean {
    return (this.negotiated & F_VERSION_1) !== 0n;
  }

  get isRunning(): boolean {
    return (this.#s.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) === STATUS_DRIVER_OK;
  }

  writeStatus(value: number): void {
    const s = this.#s;
    if (value === 0) {
      this.reset();
      return;
    }
    const before = s.status;
    s.status = (value & ~STATUS_NEEDS_RESET) | (before & STATUS_NEEDS_RESET);
    const gained = s.status & ~before;
    if ((gained & STATUS_FEATURES_OK) !== 0 && !this.#areFeaturesGood()) s.status &= ~STATUS_FEATURES_OK;
    if ((gained & (STATUS_FEATURES_OK | STATUS_DRIVER_OK)) !== 0) this.#applyFeatures();
    if ((gained & STATUS_DRIVER_OK) !== 0) {
      this.backend.start?.(this.negotiated);
      for (const { index, s: queue } of this.queues) if (queue.ready) this.notified(index);
    }
  }

  /** Features may change until FEATURES_OK (3.1.1). */
  writeDriverFeatures(value: bigint): void {
    if ((this.#s.status & STATUS_FEATURES_OK) !== 0) return;
    this.#s.driverFeatures = BigInt.asUintN(64, value) & this.offered;
    this.#applyFeatures();
  }

  /** Legacy drivers know 32 bits and no FEATURES_OK. */
  writeLegacyFeatures(value: number): void {
    this.writeDriverFeatures(BigInt(value) & LEGACY_MASK);
  }

  enableQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || queue.s.ready) return;
    this.#applyFeatures();
    queue.enable();
  }

  disableQueue(index: number): void {
    const queue = this.queues[index];
    if (queue !== undefined) queue.s.ready = false;
  }

  maximumSize(index: number): number {
    return this.backend.queueSizes[index] ?? 0;
  }

  /** The driver rang for a queue. */
  notified(index: number): void {
    const queue = this.queues[index];
    if (queue?.s.ready === true && this.isRunning) this.backend.queueNotified(index);
  }

  reset(): void {
    this.#resetPending = true;
    this.backend.reset();
    this.#schema.fields.status.create();
    const s = this.#s;
    s.status = 0;
    s.driverFeatures = 0n;
    s.configGeneration = 0;
    this.#resetQueues();
    this.#applyFeatures();
    this.#onReset?.();
    if (this.#held === 0) this.#resetPending = false;
  }

  // --- VirtioPort

  notifyQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || !this.isRunning) return;
    const emptied = (this.negotiated & F_NOTIFY_ON_EMPTY) !== 0n && !queue.hasAvailable();
    // `needsInterrupt` also counts what has been signalled: it must be asked every time.
    if (
      queue.needsInterrupt() ||
      (emptied && !queue.features.packed && (this.negotiated & F_EVENT_IDX) === 0n)
    )
      this.#interrupts.queue(index);
  }

  notifyConfig(): void {
    if ((this.#s.status & STATUS_DRIVER_OK) === 0) return;
    this.#s.configGeneration = (this.#s.configGeneration + 1) & 0xff;
    this.#interrupts.config();
  }

  hold(): void {
    this.#held++;
  }

  release(): void {
    if (--this.#held === 0) this.#resetPending = false;
  }

  guestError(text: string): void {
    this.#onError(text);
  }

  #resetQueues(): void {
    for (const queue of this.queues) queue.reset(this.backend.queueSizes[queue.index]!);
  }

  /** VERSION_1 must be accepted by drivers of modern registers; packed rings need it (6.1). */
  #areFeaturesGood(): boolean {
    return (this.#s.driverFeatures & ~this.offered) === 0n;
  }

  #applyFeatures(): void {
    const features = this.negotiated;
    const ring = {
      packed: (features & F_RING_PACKED) !== 0n,
      eventIndex: (features & F_EVENT_IDX) !== 0n,
      indirect: (features & F_INDIRECT_DESC) !== 0n,
    };
    for (const queue of this.queues) queue.features = ring;
  }

  #breakDevice(reason: string): void {
    this.#onError(`virtio device ${this.backend.id}: ${reason}`);
    const s = this.#s;
    if ((s.status & STATUS_NEEDS_RESET) !== 0) return;
    const wasRunning = this.isRunning;
    s.status |= STATUS_NEEDS_RESET;
    if (wasRunning && this.isModernDriver) this.#interrupts.config();
  }
}
