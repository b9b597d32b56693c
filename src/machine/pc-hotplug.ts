/** Devices that come and go while the machine runs: which slots can change, and the registers through which the guest hears of it. */
import { PciHotplug } from '../hw/acpi/pci-hotplug.ts';
import type { PciBus } from '../hw/pci/pci-bus.ts';
import { UserError } from '../util/errors.ts';
import type { HotplugBus } from './acpi/platform.ts';
import type { DeviceRegistry, PluggedDevice } from './device-registry.ts';
import type { DeviceSpec } from './device-spec.ts';

const SLOTS = 32;

export interface HotplugPorts {
  /** Pulses the general-purpose event that the tables tie to hot plug. */
  raiseEvent(): void;
  notify(name: string, data: object): void;
}

export class PcHotplug {
  readonly registers: PciHotplug;
  readonly #registry: DeviceRegistry;
  readonly #pci: PciBus;
  readonly #ports: HotplugPorts;

  constructor(registry: DeviceRegistry, pci: PciBus, ports: HotplugPorts) {
    this.#registry = registry;
    this.#pci = pci;
    this.#ports = ports;
    this.registers = new PciHotplug({
      raiseEvent: () => ports.raiseEvent(),
      eject: (slot) => {
        for (const plugged of this.#inSlot(slot)) this.#unplug(plugged);
      },
      removable: () => this.#changeable().reduce((mask, slot) => (mask | (1 << slot)) >>> 0, 0),
    });
  }

  /** What the DSDT describes. */
  get buses(): readonly HotplugBus[] {
    return [{ selector: 0, bridge: undefined, slots: this.#changeable() }];
  }

  #inSlot(slot: number): PluggedDevice[] {
    return this.#registry.plugged.filter((p) => p.devfn >> 3 === slot && p.type.hotpluggable);
  }

  /** Slots that hold nothing, or only what can go. */
  #changeable(): number[] {
    return Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => {
      const going = this.#inSlot(slot).map((p) => p.devfn);
      return this.#pci.functions.every(([devfn]) => devfn >> 3 !== slot || going.includes(devfn));
    });
  }

  /** Plugs a device while the machine runs; `UserError` says why not. */
  plug(spec: DeviceSpec): void {
    const { devfn } = this.#registry.plug(spec, true);
    if (devfn >= 0) this.registers.plugged(devfn >> 3);
  }

  /** Asks the guest to let a PCI device go; others go at once. `UserError` for what cannot go. */
  requestUnplug(idOrPath: string): void {
    const plugged = this.#registry.find(idOrPath);
    if (plugged === undefined) throw new UserError('DeviceNotFound', `Device '${idOrPath}' not found`);
    const { type, devfn } = plugged;
    if (!type.hotpluggable)
      throw new UserError('GenericError', `Device '${type.name}' does not support hot unplugging`);
    if (devfn < 0) this.#unplug(plugged);
    else if (!this.registers.requestEject(devfn >> 3))
      throw new UserError('GenericError', `Device ${idOrPath} is already in the process of unplug`);
  }

  #unplug(plugged: PluggedDevice): void {
    this.#registry.unplug(plugged);
    const { id } = plugged.spec;
    this.#ports.notify('DEVICE_DELETED', { path: plugged.path, ...(id !== undefined && { device: id }) });
  }
}
