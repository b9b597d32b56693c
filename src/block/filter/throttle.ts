/** Limits on bytes and requests a second: leaky buckets that drives of a group share. */
import type { BlockNode, BlockStatus, Preallocation } from '../block-node.ts';
import type { BlockHost } from '../host.ts';

const KINDS = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type LimitKind = (typeof KINDS)[number];

export interface Limit {
  /** A second; 0: none. */
  readonly average: number;
  /** In a burst; 0: a tenth of a second's worth. */
  readonly burst: number;
  /** Seconds that a burst may last. */
  readonly burstSeconds: number;
}

export interface ThrottleLimits {
  readonly limits: Readonly<Partial<Record<LimitKind, Limit>>>;
  /** Requests of more bytes than this count as several; 0: each is one. */
  readonly iopsSize: number;
}

export const LIMIT_KINDS: readonly LimitKind[] = KINDS;

/** Fills with what passes, leaks at the average rate. */
class Bucket {
  readonly #limit: Limit;
  #level = 0;
  #atMs: number;

  constructor(limit: Limit, nowMs: number) {
    this.#limit = limit;
    this.#atMs = nowMs;
  }

  #leak(nowMs: number): void {
    this.#level = Math.max(0, this.#level - ((nowMs - this.#atMs) / 1000) * this.#limit.average);
    this.#atMs = nowMs;
  }

  /** Milliseconds until another request may pass. */
  waitMs(nowMs: number): number {
    this.#leak(nowMs);
    const { average, burst, burstSeconds } = this.#limit;
    const room = burst > 0 ? burst * burstSeconds : average / 10;
    const excess = this.#level - room;
    return excess <= 0 ? 0 : (excess / average) * 1000;
  }

  add(amount: number): void {
    this.#level += amount;
  }
}

export class ThrottleGroup {
  readonly #host: BlockHost;
  readonly #limits: ThrottleLimits;
  readonly #buckets = new Map<LimitKind, Bucket>();
  #last: Promise<void> = Promise.resolve();

  constructor(host: BlockHost, limits: ThrottleLimits) {
    this.#host = host;
    this.#limits = limits;
    for (const [kind, limit] of Object.entries(limits.limits))
      if (limit.average > 0) this.#buckets.set(kind as LimitKind, new Bucket(limit, host.nowMs()));
  }

  /** Resolves when the request may pass. In order of arrival. */
  pass(isWrite: boolean, sizeBytes: number): Promise<void> {
    if (this.#buckets.size === 0) return Promise.resolve();
    this.#last = this.#last.then(() => this.#wait(isWrite, sizeBytes));
    return this.#last;
  }

  async #wait(isWrite: boolean, sizeBytes: number): Promise<void> {
    const direction = isWrite ? 'write' : 'read';
    const used = [...this.#buckets].filter(([kind]) => kind.endsWith('total') || kind.endsWith(direction));
    for (;;) {
      const now = this.#host.nowMs();
      const waitMs = Math.max(0, ...used.map(([, bucket]) => bucket.waitMs(now)));
      if (waitMs <= 0) break;
      await this.#host.sleep(Math.max(1, waitMs));
    }
    const { iopsSize } = this.#limits;
    const units = iopsSize > 0 ? Math.max(1, Math.ceil(sizeBytes / iopsSize)) : 1;
    for (const [kind, bucket] of used) bucket.add(kind.startsWith('bps') ? sizeBytes : units);
  }
}

export class ThrottleGroups {
  readonly #host: BlockHost;
  readonly #groups = new Map<string, ThrottleGroup>();

  constructor(host: BlockHost) {
    this.#host = host;
  }

  /** The group of a name; the first to name it sets its limits. */
  group(name: string, limits: ThrottleLimits): ThrottleGroup {
    let group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, (group = new ThrottleGroup(this.#host, limits)));
    return group;
  }
}

export class ThrottleNode implements BlockNode {
  readonly driver = 'throttle';
  readonly file: BlockNode;
  readonly #group: ThrottleGroup;

  constructor(file: BlockNode, group: ThrottleGroup) {
    this.file = file;
    this.#group = group;
  }

  get filename(): string {
    return this.file.filename;
  }
  get sizeBytes(): number {
    return this.file.sizeBytes;
  }
  get isReadOnly(): boolean {
    return this.file.isReadOnly;
  }
  get blockSizeBytes(): number {
    return this.file.blockSizeBytes;
  }
  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.#group.pass(false, into.length);
    await this.file.read(offset, into);
  }
  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.#group.pass(true, from.length);
    await this.file.write(offset, from);
  }
  async writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    await this.#group.pass(true, sizeBytes);
    await this.file.writeZeroes(offset, sizeBytes, mayUnmap);
  }
  async discard(offset: number, sizeBytes: number): Promise<void> {
    await this.#group.pass(true, sizeBytes);
    await this.file.discard(offset, sizeBytes);
  }
  flush(): Promise<void> {
    return this.file.flush();
  }
  status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return this.file.status(offset, sizeBytes);
  }
  resize(sizeBytes: number, preallocation?: Preallocation): Promise<void> {
    return this.file.resize(sizeBytes, preallocation);
  }
  close(): Promise<void> {
    return this.file.close();
  }
  allocatedBytes(): Promise<number | undefined> {
    return this.file.allocatedBytes();
  }
}
