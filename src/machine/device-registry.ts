/**
 * The devices a user plugged into a board: finds their places, builds them and takes them away again. Types and properties are in
 * `device-types.ts`, what builds them in `device-factories.ts`.
 */
import type { Device } from '../core/device.ts';
import type { Drive, RemovableMedium } from '../core/drive.ts';
import type { PciBus } from '../hw/pci/pci-bus.ts';
import { PCI_HEADER_TYPE, type PciFunction } from '../hw/pci/pci-device.ts';
import { UserError } from '../util/errors.ts';
import { createDevice, type DeviceContext } from './device-factories.ts';
import type { DeviceSpec, PropertyValue } from './device-spec.ts';
import { type BusKind, type DeviceType, findDeviceType } from './device-types.ts';
import type { NicInfo } from './net-factories.ts';

/** A bus of a plugged device that others plug into (SCSI, virtio-serial). */
export interface ChildBus {
  readonly name: string;
  readonly kind: BusKind;
  /** Takes what a factory of that bus kind made; `UserError` when there is no place. */
  attach(part: unknown, properties: Readonly<Record<string, PropertyValue>>, what: string): void;
  detach(part: unknown): void;
  /** There is no place left: a device without `bus=` goes elsewhere. */
  isFull?(): boolean;
  /** What must be plugged before (a hub for the last free USB port). */
  prerequisite?(driver: string, properties: Readonly<Record<string, PropertyValue>>): DeviceSpec | undefined;
  /** What hangs on a part and goes with it (behind a hub). */
  below?(part: unknown): readonly unknown[];
  /** Where firmware finds a part below the controller's own place. */
  bootPath?(part: unknown): string;
}

/** What a factory makes. */
export interface BuiltDevice {
  readonly device: Device;
  /** Function 0…7 of a slot on a PCI bus. */
  readonly pci?: PciFunction;
  /** What a child bus takes. */
  readonly part?: unknown;
  readonly bus?: ChildBus;
  /** Several of them (the ports of an AHCI controller). */
  readonly buses?: readonly ChildBus[];
  /** The bus behind a PCI bridge. */
  readonly pciBus?: PciBus;
  /** Undoes what the factory did besides building (ports mapped). */
  dispose?(): void;
  /** Live values of properties for `qom-get`. */
  readonly live?: Readonly<Record<string, () => unknown>>;
  /** Properties that `qom-set` changes. */
  readonly setProperty?: { readonly names: readonly string[]; set(name: string, value: unknown): void };
  /** The drive it serves, if `drive=` does not say. */
  readonly drive?: Drive;
  /** How the host sees the medium in it; absent: a fixed disk. */
  readonly removable?: RemovableMedium;
  /** Network card. */
  readonly nic?: NicInfo;
  /** Memory balloon: how much the guest shall keep, in bytes. */
  setBalloon?(bytes: number): void;
}

export interface PluggedDevice {
  readonly spec: DeviceSpec;
  readonly type: DeviceType;
  /** `/machine/peripheral/ID` or `/machine/peripheral-anon/device[N]`. */
  readonly path: string;
  readonly built: BuiltDevice;
  /** Where it sits: a bus of another device, or undefined. */
  readonly parent: ChildBus | undefined;
  readonly busName: string;
  /** Slot << 3 | function; −1 off PCI. */
  readonly devfn: number;
  /** The bus of that slot. */
  readonly pciBus: PciBus;
  readonly hotplugged: boolean;
}

/** Adds to and removes from what the board resets and saves. */
export interface DeviceRoster {
  add(name: string, device: Device): unknown;
  remove(name: string): unknown;
}

export class DeviceRegistry {
  readonly #context: DeviceContext;
  readonly #pci: PciBus;
  readonly #roster: DeviceRoster;
  readonly #plugged: PluggedDevice[] = [];
  readonly #boardBuses: readonly ChildBus[];
  readonly #rootBus: string;
  readonly #rootTakesHotplug: boolean;
  #anonymous = 0;

  /** `boardBuses`: buses of controllers that the board brings. */
  constructor(
    context: DeviceContext,
    pci: PciBus,
    roster: DeviceRoster,
    boardBuses: readonly ChildBus[] = [],
    rootBus = 'pci.0',
    rootTakesHotplug = true,
  ) {
    this.#rootTakesHotplug = rootTakesHotplug;
    this.#rootBus = rootBus;
    this.#boardBuses = boardBuses;
    this.#context = context;
    this.#pci = pci;
    this.#roster = roster;
  }

  get plugged(): readonly PluggedDevice[] {
    return this.#plugged;
  }

  find(idOrPath: string): PluggedDevice | undefined {
    return this.#plugged.find((p) => p.spec.id === idOrPath || p.path === idOrPath);
  }

  /** Builds the device and puts it in its place; `UserError` says why not. */
  plug(spec: DeviceSpec, hotplugged = false): PluggedDevice {
    const type = findDeviceType(spec.driver)!;
    if (spec.id !== undefined && this.#plugged.some((p) => p.spec.id === spec.id))
      throw this.#error(spec, `Duplicate device ID '${spec.id}'`);
    if (hotplugged && !type.hotpluggable)
      throw this.#error(spec, `Device '${type.name}' does not support hotplugging`);
    const parent = this.#parentBus(spec, type);
    const before = parent?.prerequisite?.(type.name, spec.properties);
    if (before !== undefined) this.plug(before, hotplugged);
    const pciBus = this.#pciBusOf(spec, type);
    const devfn = type.bus === 'PCI' ? this.#choosePlace(spec, pciBus) : -1;
    if (hotplugged && type.bus === 'PCI' && pciBus === this.#pci && !this.#rootTakesHotplug)
      throw this.#error(spec, `Bus '${this.#rootBus}' does not support hotplugging`);
    const driveId = spec.properties['drive'];
    if (driveId !== undefined && this.#context.drive(String(driveId))?.user !== undefined)
      throw this.#error(spec, `Drive '${driveId}' is already in use by another device`);
    const built = createDevice(this.#context, type, spec, spec.id ?? `${type.name}.${this.#anonymous}`);
    if (built.pci !== undefined) {
      if (spec.properties['multifunction'] === true)
        built.pci.set(PCI_HEADER_TYPE, 1, built.pci.config[PCI_HEADER_TYPE]! | 0x80);
      pciBus.add(devfn >> 3, devfn & 7, built.pci);
    }
    try {
      parent?.attach(built.part, spec.properties, spec.what);
    } catch (error) {
      built.dispose?.();
      throw error;
    }
    const path =
      spec.id === undefined
        ? `/machine/peripheral-anon/device[${this.#anonymous++}]`
        : `/machine/peripheral/${spec.id}`;
    const pciName = pciBus === this.#pci ? this.#rootBus : (spec.bus ?? '');
    const busName = parent?.name ?? (type.bus === 'PCI' ? pciName : type.bus === 'ISA' ? 'isa.0' : '');
    const plugged = { spec, type, path, built, parent, busName, devfn, pciBus, hotplugged };
    const drive = this.#driveOf(plugged);
    if (drive !== undefined) drive.user = { path, id: spec.id, removable: built.removable };
    this.#plugged.push(plugged);
    this.#roster.add(path, built.device);
    if (hotplugged) built.device.reset();
    return plugged;
  }

  /** Takes the device away at once, with all that is plugged into it. */
  unplug(plugged: PluggedDevice): void {
    const below = plugged.parent?.below?.(plugged.built.part) ?? [];
    for (const child of [...this.#plugged])
      if (
        this.#plugged.includes(child) &&
        (isBehind(child, plugged) || below.includes(child.built.part ?? null))
      )
        this.unplug(child);
    this.#plugged.splice(this.#plugged.indexOf(plugged), 1);
    plugged.built.device.reset();
    plugged.built.dispose?.();
    const drive = this.#driveOf(plugged);
    if (drive !== undefined) this.#context.driveUnused(drive);
    plugged.parent?.detach(plugged.built.part);
    if (plugged.devfn >= 0) plugged.pciBus.remove(plugged.devfn >> 3, plugged.devfn & 7);
    this.#roster.remove(plugged.path);
  }

  #driveOf({ spec, built }: Pick<PluggedDevice, 'spec' | 'built'>): Drive | undefined {
    const id = spec.properties['drive'];
    return built.drive ?? (id === undefined ? undefined : this.#context.drive(String(id)));
  }

  #parentBus(spec: DeviceSpec, type: DeviceType): ChildBus | undefined {
    const buses = [...this.#boardBuses, ...this.#plugged.flatMap((p) => childBuses(p.built))];
    if (type.bus === 'PCI' && this.#bridgeOf(spec.bus) !== undefined) return undefined;
    if (type.bus === 'PCI' || type.bus === 'ISA' || type.bus === 'System' || type.bus === 'none') {
      const own = {
        PCI: [this.#rootBus, 'pci'],
        ISA: ['isa.0', 'isa'],
        System: ['main-system-bus'],
        none: [],
      }[type.bus];
      if (spec.bus === undefined || (own as readonly string[]).includes(spec.bus)) return undefined;
      throw this.#busError(spec, type, buses);
    }
    if (type.bus === 'virtio-bus')
      throw this.#error(spec, `No 'virtio-bus' bus found for device '${type.name}'`);
    const fits = buses.filter((bus) => bus.kind === type.bus);
    const free = fits.find((b) => b.isFull?.() !== true) ?? fits[0];
    const bus = spec.bus === undefined ? free : fits.find((b) => b.name === spec.bus);
    if (bus !== undefined) return bus;
    if (spec.bus !== undefined) throw this.#busError(spec, type, buses);
    throw this.#error(spec, `No '${type.bus}' bus found for device '${type.name}'`);
  }

  /** The bridge whose bus has a name: its id. */
  #bridgeOf(name: string | undefined): PluggedDevice | undefined {
    return this.#plugged.find(
      (p) => p.built.pciBus !== undefined && p.spec.id !== undefined && p.spec.id === name,
    );
  }

  #pciBusOf(spec: DeviceSpec, type: DeviceType): PciBus {
    return (type.bus === 'PCI' ? this.#bridgeOf(spec.bus)?.built.pciBus : undefined) ?? this.#pci;
  }

  #busError(spec: DeviceSpec, type: DeviceType, buses: readonly ChildBus[]): UserError {
    const known = [...buses.map((bus) => bus.name), this.#rootBus, 'isa.0'];
    return known.includes(spec.bus!)
      ? this.#error(spec, `Device '${type.name}' can't go on ${spec.bus} bus`)
      : this.#error(spec, `Bus '${spec.bus}' not found`);
  }

  /** `addr=`, or the first slot nobody has. */
  #choosePlace(spec: DeviceSpec, bus: PciBus): number {
    const given = spec.properties['addr'];
    const taken = (devfn: number): boolean => bus.find(devfn >> 3, devfn & 7) !== undefined;
    if (given === undefined) {
      for (let slot = 0; slot < bus.slotCount; slot++) if (!taken(slot << 3)) return slot << 3;
      throw this.#error(spec, `PCI: no slot/function available for ${spec.driver}, all in use or reserved`);
    }
    const devfn = Number(given);
    if (devfn >> 3 >= bus.slotCount)
      throw this.#error(
        spec,
        `PCI: slot ${devfn >> 3} is not valid for ${spec.driver}, parent device only allows plugging into slot 0`,
      );
    const at = `slot ${devfn >> 3} function ${devfn & 7}`;
    if (taken(devfn)) throw this.#error(spec, `PCI: ${at} not available for ${spec.driver}, in use`);
    const first = bus.find(devfn >> 3, 0);
    if ((devfn & 7) !== 0 && first !== undefined && (first.readConfig(0x0e, 1) & 0x80) === 0)
      throw this.#error(spec, `PCI: ${at} needs multifunction=on on function 0`);
    return devfn;
  }

  #error(spec: DeviceSpec, reason: string): UserError {
    return new UserError('GenericError', spec.what === 'device_add' ? reason : `${spec.what}: ${reason}`);
  }
}

/** The buses that a device brings for others. */
export function childBuses({ bus, buses = [] }: BuiltDevice): readonly ChildBus[] {
  return bus === undefined ? buses : [bus, ...buses];
}

function isBehind(child: PluggedDevice, owner: PluggedDevice): boolean {
  if (child.devfn >= 0 && child.pciBus === owner.built.pciBus) return true;
  return child.parent !== undefined && childBuses(owner.built).includes(child.parent);
}
