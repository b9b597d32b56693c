/** Devices that come and go while the machine runs: which slots can change, and the registers through which the guest hears of it. */
import { HOTPLUG_BUSES, PciHotplug } from '../hw/acpi/pci-hotplug.ts';
import type { PciBus } from '../hw/pci/pci-bus.ts';
import { UserError } from '../util/errors.ts';
import type { HotplugBus } from './acpi/platform.ts';
import type { DeviceRegistry, PluggedDevice } from './device-registry.ts';
import type { DeviceSpec } from './device-spec.ts';

export interface HotplugPorts {
  /** Pulses the general-purpose event that the tables tie to hot plug. */
  raiseEvent(): void;
  notify(name: string, data: object): void;
  /** Devices come and go on bus 0, too. */
  readonly rootTakesHotplug: boolean;
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
      eject: (selector, slot) => {
        const bus = this.#buses[selector];
        if (bus !== undefined) for (const plugged of this.#inSlot(bus, slot)) this.#unplug(plugged);
      },
      removable: (selector) => {
        const bus = this.#buses[selector];
        return bus === undefined
          ? 0
          : this.#changeable(bus).reduce((mask, slot) => (mask | (1 << slot)) >>> 0, 0);
      },
    });
  }

  /** Bus 0, then those behind bridges on it: their places are their selectors. Bridges stay where they are. */
  get #buses(): readonly PciBus[] {
    return [this.#pci, ...this.#bridges.map(({ built }) => built.pciBus!)].slice(0, HOTPLUG_BUSES);
  }

  get #bridges(): readonly PluggedDevice[] {
    return this.#registry.plugged.filter((p) => p.built.pciBus !== undefined && p.pciBus === this.#pci);
  }

  /** What the DSDT describes. */
  get buses(): readonly HotplugBus[] {
    const bridges = this.#bridges;
    return this.#buses.map((bus, selector) => ({
      selector,
      bridge: selector === 0 ? undefined : bridges[selector - 1]!.devfn,
      slots: selector === 0 && !this.#ports.rootTakesHotplug ? [] : this.#changeable(bus),
    }));
  }

  #inSlot(bus: PciBus, slot: number): PluggedDevice[] {
    return this.#registry.plugged.filter(
      (p) => p.devfn >= 0 && p.pciBus === bus && p.devfn >> 3 === slot && p.type.hotpluggable,
    );
  }

  /** Slots of a bus that hold nothing, or only what can go. */
  #changeable(bus: PciBus): number[] {
    return Array.from({ length: bus.slotCount }, (_, slot) => slot).filter((slot) => {
      const going = this.#inSlot(bus, slot).map((p) => p.devfn);
      return bus.functions.every(([devfn]) => devfn >> 3 !== slot || going.includes(devfn));
    });
  }

  #selectorOf(bus: PciBus): number {
    return this.#buses.indexOf(bus);
  }

  /** Plugs a device while the machine runs; `UserError` says why not. */
  plug(spec: DeviceSpec): void {
    const { devfn, pciBus } = this.#registry.plug(spec, true);
    const selector = this.#selectorOf(pciBus);
    if (devfn >= 0 && selector >= 0) this.registers.plugged(selector, devfn >> 3);
  }

  /** Asks the guest to let a PCI device go; others go at once. `UserError` for what cannot go. */
  requestUnplug(idOrPath: string): void {
    const plugged = this.#registry.find(idOrPath);
    if (plugged === undefined) throw new UserError('DeviceNotFound', `Device '${idOrPath}' not found`);
    const { type, devfn, pciBus } = plugged;
    if (!type.hotpluggable)
      throw new UserError('GenericError', `Device '${type.name}' does not support hot unplugging`);
    if (devfn >= 0 && pciBus === this.#pci && !this.#ports.rootTakesHotplug)
      throw new UserError('GenericError', `Bus 'pcie.0' does not support hotplugging`);
    const selector = this.#selectorOf(pciBus);
    if (devfn < 0 || selector < 0) this.#unplug(plugged);
    else if (!this.registers.requestEject(selector, devfn >> 3))
      throw new UserError('GenericError', `Device ${idOrPath} is already in the process of unplug`);
  }

  #unplug(plugged: PluggedDevice): void {
    this.#registry.unplug(plugged);
    const { id } = plugged.spec;
    this.#ports.notify('DEVICE_DELETED', { path: plugged.path, ...(id !== undefined && { device: id }) });
  }
}
