/**
 * PCI-to-PCI bridge (PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3): a function with a type-1 header, the bus behind it, and
 * the windows through which the bus is seen.
 */
import { MemoryRegion } from '../../core/memory-region.ts';
import { PciBus } from './pci-bus.ts';
import {
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PciFunction,
  type PciIdentity,
  type PciParent,
} from './pci-device.ts';

const PRIMARY_BUS = 0x18;
const IO_BASE = 0x1c;
const IO_LIMIT = 0x1d;
const SECONDARY_STATUS = 0x1e;
const MEMORY_BASE = 0x20;
const MEMORY_LIMIT = 0x22;
const PREFETCH_BASE = 0x24;
const PREFETCH_LIMIT = 0x26;
const PREFETCH_BASE_UPPER = 0x28;
const PREFETCH_LIMIT_UPPER = 0x2c;
const BRIDGE_CONTROL = 0x3e;
/** Parity, SERR, ISA, VGA, VGA 16-bit, reset. */
const CONTROL_WRITABLE = 0x005f;
const CONTROL_RESET = 0x40;
const PREFETCH_64 = 0x0001;

const MEMORY_BYTES = 2 ** 40;
const IO_BYTES = 0x1_0000;

interface Window {
  readonly base: number;
  readonly size: number;
  readonly isIo: boolean;
}

export class PciBridge {
  readonly pci: PciFunction;
  /** The bus behind the bridge. */
  readonly bus: PciBus;
  readonly #memory: MemoryRegion;
  readonly #io: MemoryRegion;
  /** By the bridge's own pin, 1…4: slots and pins behind it that hold it. */
  readonly #asserted = [0, 1, 2, 3, 4].map(() => new Set<number>());
  #parent: PciParent | undefined;
  #slot = 0;
  #shown: ReadonlyArray<readonly [MemoryRegion, MemoryRegion]> = [];
  #key = '';

  constructor(identity: PciIdentity, name: string) {
    this.pci = new PciFunction({ ...identity, isBridge: true });
    this.#memory = MemoryRegion.container(`${name}-memory`, MEMORY_BYTES);
    this.#io = MemoryRegion.container(`${name}-io`, IO_BYTES);
    this.bus = new PciBus(this.#memory, this.#io, (slot, pin, level) => this.#route(slot, pin, level));
    this.bus.busNumber = () => this.pci.config[PRIMARY_BUS + 1]!;
    this.pci.secondary = this.bus;
    this.#describe();
    this.pci.onAttached = (parent, slot) => {
      this.#parent = parent;
      this.#slot = slot;
      this.#update();
    };
    this.pci.onConfigWritten = (offset, size) => this.#written(offset, size);
    this.pci.onReset = () => this.#update();
  }

  #describe(): void {
    const { pci } = this;
    pci.allow(PRIMARY_BUS, 4, 0xffffffff);
    pci.set(IO_BASE, 1, 0);
    pci.allow(IO_BASE, 1, 0xf0);
    pci.allow(IO_LIMIT, 1, 0xf0);
    pci.writeOneToClear[SECONDARY_STATUS + 1] = 0xf9;
    for (const at of [MEMORY_BASE, MEMORY_LIMIT, PREFETCH_BASE, PREFETCH_LIMIT]) pci.allow(at, 2, 0xfff0);
    for (const at of [PREFETCH_BASE, PREFETCH_LIMIT]) pci.set(at, 2, PREFETCH_64);
    for (const at of [PREFETCH_BASE_UPPER, PREFETCH_LIMIT_UPPER]) pci.allow(at, 4, 0xffffffff);
    pci.allow(BRIDGE_CONTROL, 2, CONTROL_WRITABLE);
  }

  #written(offset: number, size: number): void {
    const touches = (at: number, length: number): boolean => offset < at + length && offset + size > at;
    if (touches(BRIDGE_CONTROL, 2) && (this.pci.config[BRIDGE_CONTROL]! & CONTROL_RESET) !== 0)
      for (const [, device] of this.bus.functions) device.reset();
    if (touches(IO_BASE, 0x34 - IO_BASE) || touches(PCI_COMMAND, 2) || size > 4) this.#update();
  }

  /** Pins of slot n behind the bridge lead to its own, turned by n (9.1). */
  #route(slot: number, pin: number, level: boolean): void {
    const own = ((pin - 1 + slot) & 3) + 1;
    const holders = this.#asserted[own]!;
    if (level) holders.add(slot * 4 + pin);
    else holders.delete(slot * 4 + pin);
    this.#parent?.setIntx(this.#slot, own, holders.size > 0);
  }

  // --- windows

  #windows(): Window[] {
    const { pci } = this;
    const read = (at: number): number => pci.readConfig(at, 2) & 0xfff0;
    const windows: Window[] = [];
    const add = (isIo: boolean, base: number, last: number): void => {
      const limit = isIo ? IO_BYTES : MEMORY_BYTES;
      if (base <= last && last < limit) windows.push({ base, size: last - base + 1, isIo });
    };
    if ((pci.command & PCI_COMMAND_IO) !== 0)
      add(true, (pci.config[IO_BASE]! & 0xf0) << 8, ((pci.config[IO_LIMIT]! & 0xf0) << 8) | 0xfff);
    if ((pci.command & PCI_COMMAND_MEMORY) === 0) return windows;
    add(false, read(MEMORY_BASE) * 0x1_0000, read(MEMORY_LIMIT) * 0x1_0000 + 0xf_ffff);
    const upper = (at: number): number => pci.readConfig(at, 4) * 2 ** 32;
    const base = upper(PREFETCH_BASE_UPPER) + read(PREFETCH_BASE) * 0x1_0000;
    add(false, base, upper(PREFETCH_LIMIT_UPPER) + read(PREFETCH_LIMIT) * 0x1_0000 + 0xf_ffff);
    return windows;
  }

  #update(): void {
    const parent = this.#parent;
    if (parent === undefined) return;
    const windows = this.#windows();
    const key = windows.map(({ base, size, isIo }) => `${base}+${size}${isIo}`).join();
    if (key === this.#key) return;
    this.#key = key;
    for (const [container, alias] of this.#shown) {
      container.remove(alias);
      alias.release();
    }
    this.#shown = windows.map(({ base, size, isIo }) => {
      const container = isIo ? parent.io : parent.memory;
      const from = isIo ? this.#io : this.#memory;
      const alias = MemoryRegion.alias(`${from.name}-window`, from, base, size);
      container.add(base, alias, 1);
      return [container, alias] as const;
    });
  }
}
