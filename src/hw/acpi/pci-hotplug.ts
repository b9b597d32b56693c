/**
 * Hot plug of PCI devices through ACPI as QEMU's boards offer it (QEMU docs/specs/acpi_pci_hotplug.rst): the guest reads which slots
 * gained or lose a device, and ejects a slot by writing its bit.
 *
 *   +0  slots with a new device (read clears)   +4  slots whose device shall go (read clears)
 *   +8  write: eject; read: features            +12 slots whose device can go     +16 bus selector
 */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { defineState, stateful, u32 } from '../../core/vmstate.ts';

export const PCI_HOTPLUG_SIZE = 20;
export const PCI_HOTPLUG_MMIO: MmioOptions = { valid: { min: 4, max: 4 } };

const schema = defineState('acpi-pci-hotplug', 1, {
  up: u32(),
  down: u32(),
  pending: u32(),
  selector: u32(),
});

export interface PciHotplugPorts {
  /** Pulses the general-purpose event that the firmware's tables tie to hot plug. */
  raiseEvent(): void;
  /** The guest lets the slots of the mask go; they may hold nothing that was asked to. */
  eject(slot: number): void;
  /** Slots whose devices may go, a bit each. */
  removable(): number;
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
  plugged(slot: number): void {
    this.#s.up = (this.#s.up | (1 << slot)) >>> 0;
    this.#ports.raiseEvent();
  }

  /** Asks the guest to let a slot's device go; false: it has been asked already. */
  requestEject(slot: number): boolean {
    const bit = (1 << slot) >>> 0;
    const before = (this.#s.pending & bit) !== 0;
    this.#s.pending = (this.#s.pending | bit) >>> 0;
    this.#s.down = (this.#s.down | bit) >>> 0;
    this.#ports.raiseEvent();
    return !before;
  }

  /** What was asked to go goes now: nobody is left that could mind. */
  reset(): void {
    const { pending } = this.#s;
    schema.reset(this.#s);
    this.#eject(pending);
  }

  read(offset: number, _size: AccessSize): number {
    switch (offset) {
      case 0: {
        const { up } = this.#s;
        this.#s.up = 0;
        return up;
      }
      case 4: {
        const { down } = this.#s;
        this.#s.down = 0;
        return down;
      }
      case 12:
        return this.#ports.removable() >>> 0;
      case 16:
        return this.#s.selector;
      default:
        return 0;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === 8 && this.#s.selector === 0) this.#eject(value);
    else if (offset === 16) this.#s.selector = value;
  }

  #eject(slots: number): void {
    for (let slot = 0; slot < 32; slot++) {
      if ((slots & (1 << slot)) === 0) continue;
      this.#s.pending = (this.#s.pending & ~(1 << slot)) >>> 0;
      this.#ports.eject(slot);
    }
  }
}
