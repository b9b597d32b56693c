/**
 * Hot plug of PCI devices through ACPI as QEMU's boards offer it (QEMU docs/specs/acpi_pci_hotplug.rst): the guest reads which slots
 * gained or lose a device, and ejects a slot by writing its bit.
 *
 *   +0  slots with a new device (read clears)   +4  slots whose device shall go (read clears)
 *   +8  write: eject; read: features            +12 slots whose device can go     +16 bus selector
 */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { defineState, stateful, u32, words } from '../../core/vmstate.ts';

export const PCI_HOTPLUG_SIZE = 20;
export const PCI_HOTPLUG_MMIO: MmioOptions = { valid: { min: 4, max: 4 } };

/** Buses that can be told apart. */
export const HOTPLUG_BUSES = 64;

const schema = defineState('acpi-pci-hotplug', 2, {
  up: words(HOTPLUG_BUSES),
  down: words(HOTPLUG_BUSES),
  pending: words(HOTPLUG_BUSES),
  selector: u32(),
});

export interface PciHotplugPorts {
  /** Pulses the general-purpose event that the firmware's tables tie to hot plug. */
  raiseEvent(): void;
  /** The guest lets the slots of the mask go; they may hold nothing that was asked to. */
  eject(bus: number, slot: number): void;
  /** Slots of a bus whose devices may go, a bit each. */
  removable(bus: number): number;
}

export class PciHotplug implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #ports: PciHotplugPorts;

  constructor(ports: PciHotplugPorts) {
    this.#ports = ports;
    this.vmstate = stateful(schema, this.#s);
  }

  /** A device came into a slot. */
  plugged(bus: number, slot: number): void {
    this.#s.up[bus]! |= 1 << slot;
    this.#ports.raiseEvent();
  }

  /** Asks the guest to let a slot's device go; false: it has been asked already. */
  requestEject(bus: number, slot: number): boolean {
    const bit = 1 << slot;
    const before = (this.#s.pending[bus]! & bit) !== 0;
    this.#s.pending[bus]! |= bit;
    this.#s.down[bus]! |= bit;
    this.#ports.raiseEvent();
    return !before;
  }

  /** What was asked to go goes now: nobody is left that could mind. */
  reset(): void {
    const { pending } = this.#s;
    schema.reset(this.#s);
    pending.forEach((slots, bus) => this.#eject(bus, slots));
  }

  read(offset: number, _size: AccessSize): number {
    const { up, down, selector } = this.#s;
    switch (offset) {
      case 0:
        return take(up, selector);
      case 4:
        return take(down, selector);
      case 12:
        return selector < HOTPLUG_BUSES ? this.#ports.removable(selector) >>> 0 : 0;
      case 16:
        return selector;
      default:
        return 0;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === 8 && this.#s.selector < HOTPLUG_BUSES) this.#eject(this.#s.selector, value);
    else if (offset === 16) this.#s.selector = value;
  }

  #eject(bus: number, slots: number): void {
    for (let slot = 0; slot < 32; slot++) {
      if ((slots & (1 << slot)) === 0) continue;
      this.#s.pending[bus]! &= ~(1 << slot);
      this.#ports.eject(bus, slot);
    }
  }
}

/** Reads a mask, and clears it. */
function take(masks: Uint32Array, bus: number): number {
  const mask = masks[bus] ?? 0;
  if (bus < masks.length) masks[bus] = 0;
  return mask;
}
