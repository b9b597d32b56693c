/**
 * One virtqueue in guest memory, split or packed (virtio 1.2, 2.7 and 2.8), with indirect descriptors and the event index. What the
 * driver wrote is checked at every step: a chain is bounded in length, rings lie in RAM, and a queue that breaks a rule is broken
 * until the device is reset.
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { GuestRam } from '../../core/guest-ram.ts';
import { bool, defineState, u16, u64 } from '../../core/vmstate.ts';

/** Largest queue this implementation offers, and most descriptors of one chain. */
export const MAX_QUEUE_SIZE = 1024;
const MAX_CHAIN = 1024;
/** Most bytes that one chain may name. */
const MAX_CHAIN_BYTES = 2 ** 31;

// Descriptor flags, 2.7.5 and 2.8
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const PACKED_AVAIL = 0x80;
const PACKED_USED = 0x8000;
const DESCRIPTOR_BYTES = 16;

// avail->flags and used->flags (2.7.6, 2.7.8); flags of packed event suppression (2.8.14)
const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;
const EVENTS_ENABLE = 0;
const EVENTS_DISABLE = 1;
const EVENTS_DESC = 2;

/** A piece of guest RAM. */
export interface Segment {
  /** Offset in the RAM buffer. */
  readonly offset: number;
  readonly length: number;
}

/** One request: what the driver gives to read, then where it wants to be written to. */
export interface Chain {
  readonly id: number;
  /** Ring entries it takes (packed). */
  readonly entries: number;
  readonly out: readonly Segment[];
  readonly outBytes: number;
  readonly in: readonly Segment[];
  readonly inBytes: number;
}

export const queueState = {
  size: u16(),
  ready: bool(),
  descriptors: u64(),
  driverArea: u64(),
  deviceArea: u64(),
  /** Next entry to look at; packed: with the wrap counter in bit 15. */
  nextAvail: u16(),
  nextUsed: u16(),
  /** Used index when the driver was last interrupted (split). */
  signalled: u16(),
  signalledValid: bool(),
  broken: bool(),
} as const;
const schema = defineState('virtqueue', 1, queueState);
export type QueueState = ReturnType<typeof schema.create>;

/** What negotiation decided. */
export interface RingFeatures {
  readonly packed: boolean;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

export class VirtQueue {
  readonly index: number;
  readonly s: QueueState;
  features: RingFeatures = { packed: false, eventIndex: false, indirect: true };
  readonly #memory: AddressSpace;
  readonly #ram: GuestRam;
  readonly #onBroken: (reason: string) => void;
  /** Where the areas lie in RAM now, and the view of memory this was found in. */
  #view: unknown;
  #desc = -1;
  #driver = -1;
  #device = -1;
  /** Notifications are not wanted now. */
  #quiet = false;
  /** Used entries written since the last `needsInterrupt` (packed). */
  #pushed = 0;

  constructor(index: number, state: QueueState, memory: AddressSpace, onBroken: (reason: string) => void) {
    this.index = index;
    this.s = state;
    this.#memory = memory;
    this.#ram = memory.ram;
    this.#onBroken = onBroken;
  }

  /** Memory of the guest, for views of segments. */
  get ram(): GuestRam {
    return this.#ram;
  }

  reset(size: number): void {
    schema.reset(this.s);
    this.s.size = size;
    this.#view = undefined;
    this.#pushed = 0;
    this.#quiet = false;
  }

  /** The driver made the queue ready: both wrap counters of a packed ring start at 1 (2.8.1). */
  enable(): void {
    const { s } = this;
    s.ready = true;
    s.broken = false;
    s.nextAvail = this.features.packed ? 0x8000 : 0;
    s.nextUsed = s.nextAvail;
    s.signalledValid = false;
    this.#view = undefined;
    if (s.size === 0 || s.size > MAX_QUEUE_SIZE) this.#break(`size ${s.size}`);
    else if (!this.features.packed && (s.size & (s.size - 1)) !== 0)
      this.#break(`size ${s.size} of a split ring`);
  }

  /** The next chain the driver made available, or undefined. */
  pop(): Chain | undefined {
    if (!this.#locate()) return undefined;
    return this.features.packed ? this.#popPacked() : this.#popSplit();
  }

  /** Returns a chain, with how many bytes were written into it. */
  push(chain: Chain, written: number): void {
    if (!this.#locate()) return;
    this.#notifySegments(chain, written);
    if (this.features.packed) this.#pushPacked(chain, written);
    else this.#pushSplit(chain, written);
  }

  /** Takes the last `pop` back: the chain is the next one again. */
  unpop({ entries }: Chain): void {
    const { s } = this;
    if (!this.features.packed) {
      s.nextAvail = (s.nextAvail - 1) & 0xffff;
      return;
    }
    const at = (s.nextAvail & 0x7fff) - entries;
    const wrap = s.nextAvail & 0x8000;
    s.nextAvail = at >= 0 ? at | wrap : (at + s.size) | (wrap ^ 0x8000);
  }

  /** Returns chains that belong together: the driver sees all of them or none. */
  pushAll(chains: readonly Chain[], written: readonly number[]): void {
    if (chains.length === 1) {
      this.push(chains[0]!, written[0]!);
      return;
    }
    if (!this.#locate()) return;
    for (let i = 0; i < chains.length; i++) this.#notifySegments(chains[i]!, written[i]!);
    if (this.features.packed) this.#pushAllPacked(chains, written);
    else this.#pushAllSplit(chains, written);
  }

  /** Whether the driver wants an interrupt for what was pushed since the last call. */
  needsInterrupt(): boolean {
    if (!this.#locate()) return false;
    return this.features.packed ? this.#packedInterrupt() : this.#splitInterrupt();
  }

  /** Asks the driver to notify, or not to. True: chains may have come before the driver could see it; look again. */
  setNotification(wanted: boolean): boolean {
    this.#quiet = !wanted;
    if (!this.#locate()) return false;
    const { s, features } = this;
    const { view } = this.#ram;
    if (features.packed) {
      const flags = !wanted ? EVENTS_DISABLE : features.eventIndex ? EVENTS_DESC : EVENTS_ENABLE;
      if (wanted && features.eventIndex) view.setUint16(this.#device, s.nextAvail, true);
      view.setUint16(this.#device + 2, flags, true);
      this.#ram.notifyWrite(this.#device, 4);
      return wanted && this.hasAvailable();
    }
    if (features.eventIndex) {
      if (wanted) this.#write16(this.#device + 4 + 8 * s.size, s.nextAvail);
    } else this.#write16(this.#device, wanted ? 0 : NO_NOTIFY);
    return wanted && this.hasAvailable();
  }

  /** Whether `pop` would find something. */
  hasAvailable(): boolean {
    if (!this.#locate()) return false;
    const { s } = this;
    if (!this.features.packed) return this.#ram.view.getUint16(this.#driver + 2, true) !== s.nextAvail;
    const flags = this.#ram.view.getUint16(this.#desc + (s.nextAvail & 0x7fff) * DESCRIPTOR_BYTES + 14, true);
    return isAvailable(flags, (s.nextAvail & 0x8000) !== 0);
  }

  /** Resolves the areas' addresses; false: the queue cannot be used. */
  #locate(): boolean {
    const { s } = this;
    if (!s.ready || s.broken) return false;
    const view = this.#memory.flatView;
    if (view === this.#view) return true;
    const { packed } = this.features;
    this.#desc = this.#area(s.descriptors, DESCRIPTOR_BYTES * s.size);
    this.#driver = this.#area(s.driverArea, packed ? 4 : 6 + 2 * s.size);
    this.#device = this.#area(s.deviceArea, packed ? 4 : 6 + 8 * s.size);
    if (this.#desc < 0 || this.#driver < 0 || this.#device < 0) {
      this.#break('its rings are not in RAM');
      return false;
    }
    this.#view = view;
    return true;
  }

  #area(address: bigint, size: number): number {
    return address > 2n ** 52n ? -1 : this.#memory.ramOffsetOf(Number(address), size);
  }

  /** Says of the memory that was written. */
  #notifySegments(chain: Chain, written: number): void {
    for (let left = written, i = 0; left > 0 && i < chain.in.length; i++) {
      const { offset, length } = chain.in[i]!;
      this.#ram.notifyWrite(offset, Math.min(length, left));
      left -= length;
    }
  }

  #break(reason: string): undefined {
    this.s.broken = true;
    this.#onBroken(`queue ${this.index}: ${reason}`);
    return undefined;
  }

  #write16(offset: number, value: number): void {
    this.#ram.view.setUint16(offset, value, true);
    this.#ram.notifyWrite(offset, 2);
  }

  // --- split ring (2.7)

  #popSplit(): Chain | undefined {
    const { s } = this;
    const { view } = this.#ram;
    const pending = (view.getUint16(this.#driver + 2, true) - s.nextAvail) & 0xffff;
    if (pending === 0) return undefined;
    if (pending > s.size) return this.#break(`${pending} chains in a ring of ${s.size}`);
    const head = view.getUint16(this.#driver + 4 + 2 * (s.nextAvail & (s.size - 1)), true);
    if (head >= s.size) return this.#break(`descriptor ${head} of ${s.size}`);
    s.nextAvail = (s.nextAvail + 1) & 0xffff;
    // The driver rings again for the entry after this one (2.7.10).
    if (this.features.eventIndex && !this.#quiet) this.#write16(this.#device + 4 + 8 * s.size, s.nextAvail);
    const chain = new ChainBuilder(this.#memory);
    let table = this.#desc;
    let count = s.size;
    let at = head;
    let isIndirect = false;
    for (let steps = 0; steps < MAX_CHAIN; steps++) {
      const entry = table + at * DESCRIPTOR_BYTES;
      const flags = view.getUint16(entry + 12, true);
      const length = view.getUint32(entry + 8, true);
      if ((flags & INDIRECT) !== 0) {
        if (isIndirect || !this.features.indirect || (flags & NEXT) !== 0)
          return this.#break('indirect descriptor where none may be');
        table = this.#indirectTable(entry, length);
        if (table < 0) return this.#break('bad table of indirect descriptors');
        count = length / DESCRIPTOR_BYTES;
        at = 0;
        isIndirect = true;
        continue;
      }
      if (!chain.add(view.getBigUint64(entry, true), length, (flags & WRITE) !== 0))
        return this.#break(chain.error);
      if ((flags & NEXT) === 0) return chain.build(head, 1);
      at = view.getUint16(entry + 14, true);
      if (at >= count) return this.#break(`descriptor ${at} of ${count}`);
    }
    return this.#break('endless chain');
  }

  #indirectTable(entry: number, length: number): number {
    if (length === 0 || length % DESCRIPTOR_BYTES !== 0 || length > MAX_CHAIN * DESCRIPTOR_BYTES) return -1;
    return this.#area(this.#ram.view.getBigUint64(entry, true), length);
  }

  #pushSplit(chain: Chain, written: number): void {
    const { s } = this;
    const { view } = this.#ram;
    const entry = this.#device + 4 + 8 * (s.nextUsed & (s.size - 1));
    view.setUint32(entry, chain.id, true);
    view.setUint32(entry + 4, written, true);
    this.#ram.notifyWrite(entry, 8);
    s.nextUsed = (s.nextUsed + 1) & 0xffff;
    this.#write16(this.#device + 2, s.nextUsed);
  }

  #pushAllSplit(chains: readonly Chain[], written: readonly number[]): void {
    const { s } = this;
    const { view } = this.#ram;
    for (let i = 0; i < chains.length; i++) {
      const entry = this.#device + 4 + 8 * ((s.nextUsed + i) & (s.size - 1));
      view.setUint32(entry, chains[i]!.id, true);
      view.setUint32(entry + 4, written[i]!, true);
      this.#ram.notifyWrite(entry, 8);
    }
    s.nextUsed = (s.nextUsed + chains.length) & 0xffff;
    this.#write16(this.#device + 2, s.nextUsed);
  }

  #splitInterrupt(): boolean {
    const { s } = this;
    const { view } = this.#ram;
    if (!this.features.eventIndex) return (view.getUint16(this.#driver, true) & NO_INTERRUPT) === 0;
    const event = view.getUint16(this.#driver + 4 + 2 * s.size, true);
    const before = s.signalled;
    const wasValid = s.signalledValid;
    s.signalled = s.nextUsed;
    s.signalledValid = true;
    return !wasValid || crosses(event, s.nextUsed, before);
  }

  // --- packed ring (2.8)

  #popPacked(): Chain | undefined {
    const { s } = this;
    const { view } = this.#ram;
    let wrap = (s.nextAvail & 0x8000) !== 0;
    let at = s.nextAvail & 0x7fff;
    if (at >= s.size) return this.#break('position beyond the ring');
    if (!isAvailable(view.getUint16(this.#desc + at * DESCRIPTOR_BYTES + 14, true), wrap)) return undefined;
    const chain = new ChainBuilder(this.#memory);
    for (let entries = 1; entries <= s.size; entries++) {
      const entry = this.#desc + at * DESCRIPTOR_BYTES;
      const flags = view.getUint16(entry + 14, true);
      const length = view.getUint32(entry + 8, true);
      if ((flags & INDIRECT) !== 0) {
        if (!this.features.indirect || entries > 1 || (flags & NEXT) !== 0)
          return this.#break('indirect descriptor where none may be');
        const table = this.#indirectTable(entry, length);
        if (table < 0) return this.#break('bad table of indirect descriptors');
        for (let i = 0; i < length; i += DESCRIPTOR_BYTES) {
          const isWrite = (view.getUint16(table + i + 14, true) & WRITE) !== 0;
          if (!chain.add(view.getBigUint64(table + i, true), view.getUint32(table + i + 8, true), isWrite))
            return this.#break(chain.error);
        }
      } else if (!chain.add(view.getBigUint64(entry, true), length, (flags & WRITE) !== 0))
        return this.#break(chain.error);
      if (++at === s.size) {
        at = 0;
        wrap = !wrap;
      }
      if ((flags & NEXT) === 0) {
        s.nextAvail = at | (wrap ? 0x8000 : 0);
        return chain.build(view.getUint16(entry + 12, true), entries);
      }
    }
    return this.#break('endless chain');
  }

  #pushPacked(chain: Chain, written: number): void {
    const { s } = this;
    const { view } = this.#ram;
    const wrap = (s.nextUsed & 0x8000) !== 0;
    const at = s.nextUsed & 0x7fff;
    const entry = this.#desc + at * DESCRIPTOR_BYTES;
    view.setUint32(entry + 8, written, true);
    view.setUint16(entry + 12, chain.id, true);
    // The flags last: they hand the entry over.
    view.setUint16(entry + 14, wrap ? PACKED_AVAIL | PACKED_USED : 0, true);
    this.#ram.notifyWrite(entry, DESCRIPTOR_BYTES);
    this.#advanceUsed(chain.entries);
    this.#pushed += chain.entries;
  }

  /** The first entry's flags last: the driver looks at entries in order. */
  #pushAllPacked(chains: readonly Chain[], written: readonly number[]): void {
    const { s } = this;
    const starts: number[] = [];
    for (const chain of chains) {
      starts.push(s.nextUsed);
      this.#advanceUsed(chain.entries);
    }
    const end = s.nextUsed;
    for (let i = chains.length - 1; i >= 0; i--) {
      s.nextUsed = starts[i]!;
      this.#pushPacked(chains[i]!, written[i]!);
    }
    s.nextUsed = end;
  }

  #advanceUsed(entries: number): void {
    const { s } = this;
    const next = (s.nextUsed & 0x7fff) + entries;
    const wraps = next >= s.size;
    s.nextUsed = (wraps ? next - s.size : next) | (((s.nextUsed & 0x8000) !== 0) !== wraps ? 0x8000 : 0);
  }

  #packedInterrupt(): boolean {
    const { s } = this;
    const { view } = this.#ram;
    const pushed = this.#pushed;
    this.#pushed = 0;
    const flags = view.getUint16(this.#driver + 2, true) & 3;
    if (flags === EVENTS_DISABLE) return false;
    if (flags !== EVENTS_DESC || !this.features.eventIndex) return true;
    const event = view.getUint16(this.#driver, true);
    const used = s.nextUsed & 0x7fff;
    const sameWrap = (event & 0x8000) === (s.nextUsed & 0x8000);
    const position = (event & 0x7fff) - (sameWrap ? 0 : s.size);
    return position < used && position >= used - pushed;
  }
}

function isAvailable(flags: number, wrap: boolean): boolean {
  return ((flags & PACKED_AVAIL) !== 0) === wrap && ((flags & PACKED_USED) !== 0) !== wrap;
}

/** Whether a 16-bit index passed `event` on its way from `before` to `now` (2.7.7.2). */
function crosses(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

/** Collects the pieces of RAM of a chain. */
class ChainBuilder {
  error = '';
  readonly #memory: AddressSpace;
  readonly #out: Segment[] = [];
  readonly #in: Segment[] = [];
  #outBytes = 0;
  #inBytes = 0;

  constructor(memory: AddressSpace) {
    this.#memory = memory;
  }

  /** False: the buffer is not in RAM, or the chain is not one. */
  add(address: bigint, length: number, isWrite: boolean): boolean {
    if (!isWrite && this.#in.length > 0) return this.#fail('a readable buffer follows a writable one');
    if (address > 2n ** 52n) return this.#fail('a buffer is beyond memory');
    if (this.#outBytes + this.#inBytes + length > MAX_CHAIN_BYTES) return this.#fail('the chain is too long');
    const list = isWrite ? this.#in : this.#out;
    if (list.length >= MAX_CHAIN) return this.#fail('the chain has too many descriptors');
    if (isWrite) this.#inBytes += length;
    else this.#outBytes += length;
    return this.#addPieces(list, Number(address), length, isWrite);
  }

  build(id: number, entries: number): Chain {
    return {
      id,
      entries,
      out: this.#out,
      outBytes: this.#outBytes,
      in: this.#in,
      inBytes: this.#inBytes,
    };
  }

  /** RAM that is in one piece for the guest may lie in several ranges. */
  #addPieces(list: Segment[], address: number, length: number, isWrite: boolean): boolean {
    for (let done = 0; done < length; ) {
      const range = this.#memory.find(address + done);
      if (range === undefined || range.ramOffset < 0 || (isWrite && range.readOnly))
        return this.#fail('a buffer is not in RAM');
      const count = Math.min(length - done, range.end - (address + done));
      list.push({ offset: range.ramOffset + (address + done - range.start), length: count });
      done += count;
    }
    return true;
  }

  #fail(reason: string): false {
    this.error = reason;
    return false;
  }
}

/** Views of the guest's RAM for `bytes` from position `skip` of a chain's side. */
export function segmentViews(
  ram: GuestRam,
  segments: readonly Segment[],
  skip = 0,
  bytes = Number.POSITIVE_INFINITY,
): Uint8Array[] {
  const views: Uint8Array[] = [];
  let left = bytes;
  for (const { offset, length } of segments) {
    if (left <= 0) break;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const count = Math.min(length - skip, left);
    views.push(ram.bytes.subarray(offset + skip, offset + skip + count));
    left -= count;
    skip = 0;
  }
  return views;
}

/** Copies out of a chain's side into `into`; returns how many bytes there were. */
export function readSegments(
  ram: GuestRam,
  segments: readonly Segment[],
  into: Uint8Array,
  skip = 0,
): number {
  let at = 0;
  for (const view of segmentViews(ram, segments, skip, into.length)) {
    into.set(view, at);
    at += view.length;
  }
  return at;
}

/** Copies into a chain's side; returns how many bytes fitted. */
export function writeSegments(
  ram: GuestRam,
  segments: readonly Segment[],
  from: Uint8Array,
  skip = 0,
): number {
  let at = 0;
  for (const view of segmentViews(ram, segments, skip, from.length)) {
    view.set(from.subarray(at, at + view.length));
    at += view.length;
  }
  return at;
}
