/** A PCI bus: finds functions by number, also behind bridges, and takes configuration accesses by mechanism #1 or ECAM. */
import type { AccessSize, MemoryRegion, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { allOnes } from '../../util/bits.ts';
import { assert } from '../../util/errors.ts';
import { PCI_CONFIG_SIZE, type PciFunction, type PciParent } from './pci-device.ts';

const PCI_SECONDARY_BUS = 0x19;
const PCI_SUBORDINATE_BUS = 0x1a;

/** Told the level of an interrupt pin (1…4) of a slot. */
export type IntxRoute = (slot: number, pin: number, level: boolean) => void;

export class PciBus implements PciParent {
  readonly memory: MemoryRegion;
  readonly io: MemoryRegion;
  /** The number by which it is addressed now. */
  busNumber: () => number = () => 0;
  /** Slots that there are: one on a PCI Express link. */
  slotCount = 32;
  readonly #functions = new Map<number, PciFunction>();
  readonly #route: IntxRoute;
  /** Functions of a slot share its pins. */
  readonly #asserted = new Map<number, Set<number>>();

  /** BARs are mapped into `memory` and `io`, containers of the whole spaces that start at address 0. */
  constructor(memory: MemoryRegion, io: MemoryRegion, route: IntxRoute) {
    this.memory = memory;
    this.io = io;
    this.#route = route;
  }

  add(slot: number, functionNumber: number, device: PciFunction): void {
    const devfn = (slot << 3) | functionNumber;
    assert(slot >= 0 && slot < 32 && functionNumber >= 0 && functionNumber < 8, 'bad PCI slot');
    assert(!this.#functions.has(devfn), `PCI function ${slot}.${functionNumber} is taken`);
    this.#functions.set(devfn, device);
    const setIntx = (_slot: number, pin: number, level: boolean): void => this.#setIntx(devfn, pin, level);
    device.attach({ memory: this.memory, io: this.io, setIntx }, slot);
  }

  /** Takes a function away; its interrupt pin falls and its BARs go. */
  remove(slot: number, functionNumber: number): void {
    const devfn = (slot << 3) | functionNumber;
    this.#functions.get(devfn)?.detach();
    this.#functions.delete(devfn);
  }

  setIntx(slot: number, pin: number, level: boolean): void {
    this.#setIntx(slot << 3, pin, level);
  }

  find(slot: number, functionNumber: number): PciFunction | undefined {
    return this.#functions.get((slot << 3) | functionNumber);
  }

  /** Functions with their `slot << 3 | function`, ascending. */
  get functions(): ReadonlyArray<readonly [number, PciFunction]> {
    return [...this.#functions].sort(([a], [b]) => a - b);
  }

  /** The function at a number, on this bus or behind one of its bridges. */
  locate(busNumber: number, devfn: number): PciFunction | undefined {
    if (busNumber === this.busNumber()) return this.#functions.get(devfn);
    for (const device of this.#functions.values()) {
      if (device.secondary === undefined) continue;
      const [secondary, subordinate] = [
        device.config[PCI_SECONDARY_BUS]!,
        device.config[PCI_SUBORDINATE_BUS]!,
      ];
      // A bridge's range lies above the bus that it is on: a guest cannot make a search go round in circles.
      if (secondary <= this.busNumber() || busNumber < secondary || busNumber > subordinate) continue;
      return device.secondary.locate(busNumber, devfn);
    }
    return undefined;
  }

  /** `target` is bus << 8 | slot << 3 | function. What is not there reads as all ones. */
  readConfig(target: number, offset: number, size: AccessSize): number {
    const device = this.locate(target >> 8, target & 0xff);
    if (device === undefined) return allOnes(size);
    return offset + size <= PCI_CONFIG_SIZE ? device.readConfig(offset, size) : allOnes(size);
  }

  writeConfig(target: number, offset: number, size: AccessSize, value: number): void {
    const device = this.locate(target >> 8, target & 0xff);
    if (offset + size <= PCI_CONFIG_SIZE) device?.writeConfig(offset, size, value);
  }

  #setIntx(devfn: number, pin: number, level: boolean): void {
    const slot = devfn >> 3;
    const key = slot * 4 + (pin - 1);
    const asserted = this.#asserted.get(key) ?? new Set<number>();
    this.#asserted.set(key, asserted);
    if (level) asserted.add(devfn);
    else asserted.delete(devfn);
    this.#route(slot, pin, asserted.size > 0);
  }
}

export const ECAM_MMIO: MmioOptions = { impl: { min: 1, max: 4 } };

/** Memory-mapped configuration space: 4 KiB per function, 1 MiB per bus (PCI Express 3.0, 7.2.2). */
export class EcamWindow implements MmioDevice {
  readonly #bus: PciBus;

  constructor(bus: PciBus) {
    this.#bus = bus;
  }

  read(offset: number, size: AccessSize): number {
    return this.#bus.readConfig(Math.floor(offset / 4096), offset & 0xfff, size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#bus.writeConfig(Math.floor(offset / 4096), offset & 0xfff, size, value);
  }
}
