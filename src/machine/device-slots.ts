/** Where a board puts its devices: their names for reset and snapshots, their ports and their registers in memory. */
import type { AddressSpace } from '../core/address-space.ts';
import type { Device } from '../core/device.ts';
import { MemoryRegion, type MmioDevice, type MmioOptions } from '../core/memory-region.ts';

export const BYTE_WIDE: MmioOptions = { impl: { min: 1, max: 1 } };

export class DeviceSlots {
  /** Named, in order of reset. */
  readonly devices = new Map<string, Device>();
  readonly #memory: AddressSpace;
  readonly #io: AddressSpace;

  constructor(memory: AddressSpace, io: AddressSpace) {
    this.#memory = memory;
    this.#io = io;
  }

  add<T extends Device>(name: string, device: T): T {
    this.devices.set(name, device);
    return device;
  }

  mapMmio(name: string, address: number, size: number, device: MmioDevice, options: MmioOptions): void {
    this.#memory.root.add(address, MemoryRegion.mmio(name, size, device, options), 1);
  }

  mapPorts(
    name: string,
    port: number,
    count: number,
    device: MmioDevice,
    options: MmioOptions = {},
    priority = 0,
  ): void {
    this.#io.root.add(port, MemoryRegion.mmio(name, count, device, options), priority);
  }
}
