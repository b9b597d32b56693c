/** A guest address space (physical memory, or the I/O ports): dispatch of accesses to RAM and devices. */

import { allOnes } from '../util/bits.ts';
import { type Disposable, toDisposable } from '../util/disposal.ts';
import { type FlatRange, FlatView, renderFlatView } from './flat-view.ts';
import type { GuestRam } from './guest-ram.ts';
import type { AccessSize, MemoryRegion } from './memory-region.ts';

/** A guest touched an address that nothing answers, or answers in another size. */
export interface UnassignedAccess {
  readonly space: string;
  readonly addr: number;
  readonly size: number;
  /** Undefined for a read. */
  readonly value: number | undefined;
}

export interface AddressSpaceOptions {
  /** Guest-error log; it must not throw. */
  readonly onUnassigned?: (access: UnassignedAccess) => void;
}

/** Spaces up to this size (I/O ports) get a table with an entry per address instead of a search. */
const TABLE_LIMIT = 65536;

export class AddressSpace {
  readonly name: string;
  readonly root: MemoryRegion;
  readonly ram: GuestRam;
  onUnassigned: ((access: UnassignedAccess) => void) | undefined;

  #view: FlatView;
  #stale = false;
  #batchDepth = 0;
  #changedInBatch = false;
  #listeners: ReadonlyArray<() => void> = [];
  /** The range of the last access: most accesses come in runs. */
  #last: FlatRange | undefined;
  /** Range index + 1 per address; 0 is unassigned. */
  readonly #table: Uint16Array | undefined;

  constructor(name: string, root: MemoryRegion, ram: GuestRam, options: AddressSpaceOptions = {}) {
    this.name = name;
    this.root = root;
    this.ram = ram;
    this.onUnassigned = options.onUnassigned;
    this.#table = root.size <= TABLE_LIMIT ? new Uint16Array(root.size) : undefined;
    this.#view = new FlatView([]);
    this.#stale = true;
    root.addObserver({ onRegionChanged: () => this.#regionChanged() });
  }

  /** The present flat view; a new object after every change. */
  get flatView(): FlatView {
    if (this.#stale) this.#render();
    return this.#view;
  }

  /**
   * Calls `listener` when the flat view is out of date. It is called once per change, or once after a `batch`; the
   * listener reads `flatView` then or later (changes in between may be merged into one call until it does).
   */
  onChanged(listener: () => void): Disposable {
    this.#listeners = [...this.#listeners, listener];
    return toDisposable(() => {
      this.#listeners = this.#listeners.filter((l) => l !== listener);
    });
  }

  /** Makes many changes to the tree look like one. */
  batch(change: () => void): void {
    this.#batchDepth++;
    try {
      change();
    } finally {
      if (--this.#batchDepth === 0 && this.#changedInBatch) {
        this.#changedInBatch = false;
        this.#notify();
      }
    }
  }

  /** The range that holds `addr`, or undefined. */
  find(addr: number): FlatRange | undefined {
    if (this.#stale) this.#render();
    const table = this.#table;
    if (table !== undefined) {
      const index = table[addr];
      return index === undefined || index === 0 ? undefined : this.#view.ranges[index - 1];
    }
    const last = this.#last;
    if (last !== undefined && addr >= last.start && addr < last.end) return last;
    const found = this.#view.find(addr);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** Reads `size` bytes little-endian, unsigned. Unassigned addresses read as all ones. */
  read(addr: number, size: AccessSize): number {
    const range = this.find(addr);
    if (range === undefined) return this.#readNothing(addr, size);
    if (range.ramOffset >= 0) {
      return addr + size <= range.end ? this.#readRam(range, addr, size) : this.#readBytewise(addr, size);
    }
    const region = range.region;
    const offset = range.offset + (addr - range.start);
    if (offset + size > region.size)
      return size === 1 ? this.#readNothing(addr, 1) : this.#readBytewise(addr, size);
    return this.#readDevice(region, addr, offset, size);
  }

  /** Writes `size` bytes little-endian. Writes to unassigned addresses and ROM are ignored. */
  write(addr: number, size: AccessSize, value: number): void {
    const range = this.find(addr);
    if (range === undefined) {
      this.#reportUnassigned(addr, size, value);
      return;
    }
    if (range.ramOffset >= 0) {
      if (addr + size > range.end) this.#writeBytewise(addr, size, value);
      else if (range.readOnly) range.region.device?.write(range.offset + (addr - range.start), size, value);
      else this.#writeRam(range, addr, size, value);
      return;
    }
    const region = range.region;
    const offset = range.offset + (addr - range.start);
    if (offset + size <= region.size) this.#writeDevice(region, addr, offset, size, value);
    else if (size !== 1) this.#writeBytewise(addr, size, value);
  }

  /** A vCPU stored to ROM at `ramOffset` of the RAM buffer: only flash memory minds. */
  writeRom(ramOffset: number, size: AccessSize, value: number): void {
    for (const range of this.flatView.ranges) {
      const at = ramOffset - range.ramOffset;
      if (range.region.device === undefined || range.ramOffset < 0 || !range.readOnly) continue;
      if (at < 0 || at + size > range.end - range.start) continue;
      range.region.device.write(range.offset + at, size, value);
      return;
    }
  }

  /** Eight bytes as two accesses of four, low half first. */
  readU64(addr: number): bigint {
    const low = this.read(addr, 4);
    return (BigInt(this.read(addr + 4, 4)) << 32n) | BigInt(low);
  }

  writeU64(addr: number, value: bigint): void {
    this.write(addr, 4, Number(value & 0xffffffffn));
    this.write(addr + 4, 4, Number((value >> 32n) & 0xffffffffn));
  }

  /** Fills `into` from guest memory: DMA of a device, the monitor, gdb. Devices are read byte by byte. */
  readBytes(addr: number, into: Uint8Array): void {
    let done = 0;
    while (done < into.length) {
      const at = addr + done;
      const range = this.find(at);
      if (range === undefined) {
        const count = this.#skipHole(at, into.length - done, undefined);
        into.fill(0xff, done, done + count);
        done += count;
        continue;
      }
      if (range.ramOffset < 0) {
        const size = widest(at, Math.min(into.length - done, range.end - at));
        const value = this.read(at, size);
        for (let i = 0; i < size; i++) into[done++] = (value >>> (8 * i)) & 0xff;
        continue;
      }
      const count = Math.min(into.length - done, range.end - at);
      const from = range.ramOffset + (at - range.start);
      into.set(this.ram.bytes.subarray(from, from + count), done);
      done += count;
    }
  }

  /** Writes `bytes` to guest memory; ROM keeps its content unless `toRom` (loaders). */
  writeBytes(addr: number, bytes: Uint8Array, toRom = false): void {
    let done = 0;
    while (done < bytes.length) {
      const at = addr + done;
      const range = this.find(at);
      if (range === undefined) {
        done += this.#skipHole(at, bytes.length - done, bytes[done]!);
        continue;
      }
      if (range.ramOffset < 0) {
        const size = widest(at, Math.min(bytes.length - done, range.end - at));
        let value = 0;
        for (let i = 0; i < size; i++) value |= bytes[done++]! << (8 * i);
        this.write(at, size, value >>> 0);
        continue;
      }
      const count = Math.min(bytes.length - done, range.end - at);
      if (!range.readOnly || toRom) {
        const to = range.ramOffset + (at - range.start);
        this.ram.bytes.set(bytes.subarray(done, done + count), to);
        this.ram.notifyWrite(to, count);
      }
      done += count;
    }
  }

  /**
   * Where `size` bytes at `addr` lie in the RAM buffer, for devices that work in place; -1 unless all of it is one piece
   * of RAM. Whoever writes there calls `ram.notifyWrite` afterwards.
   */
  ramOffsetOf(addr: number, size: number): number {
    const range = this.find(addr);
    if (range === undefined || range.ramOffset < 0 || addr + size > range.end) return -1;
    return range.ramOffset + (addr - range.start);
  }

  #readRam(range: FlatRange, addr: number, size: AccessSize): number {
    const at = range.ramOffset + (addr - range.start);
    if (size === 1) return this.ram.bytes[at]!;
    return size === 2 ? this.ram.view.getUint16(at, true) : this.ram.view.getUint32(at, true);
  }

  #writeRam(range: FlatRange, addr: number, size: AccessSize, value: number): void {
    const at = range.ramOffset + (addr - range.start);
    if (size === 1) this.ram.bytes[at] = value;
    else if (size === 2) this.ram.view.setUint16(at, value, true);
    else this.ram.view.setUint32(at, value, true);
    this.ram.notifyWrite(at, size);
  }

  #readDevice(region: MemoryRegion, addr: number, offset: number, size: AccessSize): number {
    if (size < region.valid.min || size > region.valid.max) return this.#readNothing(addr, size);
    if ((offset & (size - 1)) !== 0 && !region.unaligned) return this.#readBytewise(addr, size);
    const impl = region.impl;
    const device = region.device!;
    if (size >= impl.min && size <= impl.max) return device.read(offset, size);
    if (size < impl.min) {
      const aligned = offset - (offset % impl.min);
      return (device.read(aligned, impl.min) >>> ((offset - aligned) << 3)) & allOnes(size);
    }
    let value = 0;
    for (let i = 0; i < size; i += impl.max) value |= device.read(offset + i, impl.max) << (i << 3);
    return value >>> 0;
  }

  #writeDevice(region: MemoryRegion, addr: number, offset: number, size: AccessSize, value: number): void {
    if (size < region.valid.min || size > region.valid.max) {
      this.#reportUnassigned(addr, size, value);
      return;
    }
    if ((offset & (size - 1)) !== 0 && !region.unaligned) {
      this.#writeBytewise(addr, size, value);
      return;
    }
    const impl = region.impl;
    const device = region.device!;
    if (size >= impl.min && size <= impl.max) device.write(offset, size, (value & allOnes(size)) >>> 0);
    else if (size < impl.min) {
      const aligned = offset - (offset % impl.min);
      device.write(aligned, impl.min, ((value & allOnes(size)) << ((offset - aligned) << 3)) >>> 0);
    } else {
      const mask = allOnes(impl.max);
      for (let i = 0; i < size; i += impl.max)
        device.write(offset + i, impl.max, (value >>> (i << 3)) & mask);
    }
  }

  #readBytewise(addr: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.read(addr + i, 1) << (i << 3);
    return value >>> 0;
  }

  #writeBytewise(addr: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.write(addr + i, 1, (value >>> (i << 3)) & 0xff);
  }

  #readNothing(addr: number, size: AccessSize): number {
    this.#reportUnassigned(addr, size, undefined);
    return allOnes(size);
  }

  /** Reports one unassigned access and returns how much of `length` at `addr` lies before the next range. */
  #skipHole(addr: number, length: number, value: number | undefined): number {
    this.#reportUnassigned(addr, 1, value);
    return Math.min(length, this.#view.nextStart(addr) - addr);
  }

  #reportUnassigned(addr: number, size: number, value: number | undefined): void {
    this.onUnassigned?.({ space: this.name, addr, size, value });
  }

  #regionChanged(): void {
    if (this.#batchDepth > 0) {
      this.#stale = true;
      this.#changedInBatch = true;
    } else if (!this.#stale) {
      this.#notify();
    }
  }

  #notify(): void {
    this.#stale = true;
    this.#last = undefined;
    for (const listener of this.#listeners) listener();
  }

  #render(): void {
    this.#view = renderFlatView(this.root);
    this.#stale = false;
    this.#last = undefined;
    const table = this.#table;
    if (table === undefined) return;
    table.fill(0);
    for (const [index, range] of this.#view.ranges.entries()) table.fill(index + 1, range.start, range.end);
  }
}

/** Device registers are copied in the largest aligned pieces, as a processor's own copy would. */
function widest(addr: number, left: number): AccessSize {
  if (left >= 4 && addr % 4 === 0) return 4;
  return left >= 2 && addr % 2 === 0 ? 2 : 1;
}
