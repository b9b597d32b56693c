/** The disks, CD-ROM drives and floppies of the board `pc`. */
import type { AddressSpace } from '../core/address-space.ts';
import type { Device } from '../core/device.ts';
import type { Drive, RemovableMedium } from '../core/drive.ts';
import type { IrqLine } from '../core/irq.ts';
import { MemoryRegion, type MmioDevice } from '../core/memory-region.ts';
import { defineState, stateful } from '../core/vmstate.ts';
import { FDC_DIR_PORT, FDC_PORTS, FloppyController } from '../hw/block/fdc.ts';
import { DMA_CONTROLLER_PORTS, DMA_PAGE_PORTS, DMA_SLAVE_PORTS, I8237Pair } from '../hw/dma/i8237.ts';
import { AtaDisk } from '../hw/ide/ata-disk.ts';
import { AtapiCdrom } from '../hw/ide/atapi-cdrom.ts';
import type { Geometry } from '../hw/ide/geometry.ts';
import type { AnyIdeDrive } from '../hw/ide/ide-channel.ts';
import { UserError } from '../util/errors.ts';
import type { ChildBus } from './device-registry.ts';
import type { DeviceSlots } from './device-slots.ts';
import { deviceSpec, type GlobalProperty } from './device-spec.ts';
import type { BootOrder } from './firmware/boot-order.ts';
import * as map from './pc-map.ts';

/** A disk or CD-ROM drive on an IDE channel. */
export interface IdePlace {
  readonly drive: Drive;
  /** Channel 0 or 1; unit 0 master, 1 slave. */
  readonly bus: number;
  readonly unit: number;
  readonly media: 'disk' | 'cdrom';
  readonly serial?: string;
  readonly model?: string;
  /** How firmware translates, as CMOS byte 0x39 has it; undefined: by size and partition table. */
  readonly translation?: number;
  /** Firmware revision that IDENTIFY shows. */
  readonly firmware?: string;
  /** Undefined: as a partition table says, or the usual. */
  readonly geometry?: Geometry;
  /** Position in the order in which firmware tries devices. */
  readonly bootIndex?: number;
}

/** One bus of an IDE or AHCI controller: a channel with two units, a port with one. */
export interface IdeBus {
  readonly drives: ReadonlyArray<AnyIdeDrive | undefined>;
  attach(unit: number, drive: AnyIdeDrive): void;
}

/** The controller that the board brings for `-hda`, `-cdrom` and the like. */
export interface BoardIde {
  readonly buses: readonly IdeBus[];
  /** Open Firmware path of a drive, as firmware names it. */
  bootPath(bus: number, unit: number): string;
}

/** A drive on the floppy controller. */
export interface FloppyPart {
  readonly drive: Drive;
  /** As CMOS byte 0x10 has it; 0: by the disk that is in it. */
  readonly type: number;
}

/** State and reset of a floppy drive are the controller's. */
export const NO_DEVICE: Device = { reset: () => {}, vmstate: stateful(defineState('floppy', 1, {}), {}) };

/** A disk goes in and out of a floppy drive without a tray. */
export function floppyMedium(): RemovableMedium {
  return {
    hasTray: false,
    isTrayOpen: false,
    isLocked: false,
    setTrayOpen: () => {},
    requestEject: () => {},
  };
}

export interface StorageParts {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly irq: (n: number) => IrqLine;
  readonly slots: DeviceSlots;
  readonly bootOrder: BootOrder;
  readonly ide: BoardIde;
  /** A floppy controller is there without drives, too. */
  readonly hasFloppy: boolean;
  /** `-global` for the drives that the board makes itself. */
  readonly globals: readonly GlobalProperty[];
}

export class PcStorage {
  readonly dma: I8237Pair;
  /** Undefined: there is no controller. */
  readonly floppy: FloppyController | undefined;
  /** Drives A: and B: that are there. */
  readonly floppies: number[] = [];
  readonly #parts: StorageParts;
  readonly #disks: Array<{ readonly index: number; readonly disk: AtaDisk }> = [];

  constructor(drives: readonly Drive[], parts: StorageParts) {
    this.#parts = parts;
    this.dma = parts.slots.add('i8237', new I8237Pair(parts.memory));
    const hasFloppy = parts.hasFloppy || drives.some((drive) => drive.interface === 'floppy');
    if (hasFloppy) {
      const floppy = new FloppyController(parts.irq(map.IRQ_FLOPPY), this.dma.channel(map.DMA_FLOPPY));
      this.floppy = parts.slots.add('isa-fdc', floppy);
    }
    this.#mapPorts(parts.io.root);
    for (const drive of drives) {
      if (drive.interface === 'ide') this.addIde({ drive, ...placeOf(drive) });
      else if (drive.interface === 'floppy') this.addFloppy(drive.unit, drive);
    }
  }

  /** `UserError` if there is no such place, or it is taken. */
  addIde(drive: IdePlace): void {
    const { bus, unit } = drive;
    const what = `-drive if=ide,bus=${bus},unit=${unit}`;
    const type = drive.media === 'cdrom' ? 'ide-cd' : 'ide-hd';
    const { serial, model, ver } = deviceSpec({ driver: type }, what, this.#parts.globals).properties;
    const device = createIdeDrive({
      ...(model !== undefined && { model: String(model) }),
      ...(ver !== undefined && { firmware: String(ver) }),
      ...drive,
      serial: drive.serial ?? String(serial ?? `LB${String(this.#index(bus, unit) + 1).padStart(5, '0')}`),
    });
    this.#connect(device, bus, unit, drive.bootIndex, what);
    const name = `ide${bus}.${unit}`;
    this.#parts.slots.add(name, device);
    const removable = device instanceof AtapiCdrom ? device.unit : undefined;
    drive.drive.user = { path: `/machine/unattached/${name}`, id: undefined, removable };
  }

  /** The channels as devices of the user's (`-device ide-hd`) find them. */
  get buses(): readonly ChildBus[] {
    return ideBusesOf(this.#parts.ide.buses, 'ide', (device, bus, unit, bootIndex, what) =>
      this.#connect(device, bus, unit, bootIndex, what),
    );
  }

  #connect(
    device: AnyIdeDrive,
    bus: number,
    unit: number,
    bootIndex: number | undefined,
    what: string,
  ): void {
    const { buses, bootPath } = this.#parts.ide;
    const channel = buses[bus];
    if (channel === undefined || unit >= channel.drives.length || unit < 0)
      throw new UserError('BadDrive', `${what}: the board has no such place (${describe(buses)})`);
    if (channel.drives[unit] !== undefined) throw new UserError('BadDrive', `${what}: the place is taken`);
    channel.attach(unit, device);
    if (bootIndex !== undefined && bootIndex >= 0) {
      this.#parts.bootOrder.add(bootPath(bus, unit), bootIndex);
    }
    if (!(device instanceof AtaDisk)) return;
    this.#disks.push({ index: this.#index(bus, unit), disk: device });
    device.guessGeometry(() => {});
  }

  /** The number of a place among all of the controller. */
  #index(bus: number, unit: number): number {
    return bus * (this.#parts.ide.buses[0]?.drives.length ?? 1) + unit;
  }

  /** `UserError` if the place is taken or there is none. */
  addFloppy(unit: number, drive: Drive, bootIndex?: number): void {
    this.#connectFloppy(unit, drive, 0, bootIndex, `-drive if=floppy,unit=${unit}`);
    drive.user = { path: `/machine/unattached/floppy${unit}`, id: undefined, removable: floppyMedium() };
  }

  #connectFloppy(
    unit: number,
    drive: Drive,
    type: number,
    bootIndex: number | undefined,
    what: string,
  ): void {
    if (unit > 1 || this.floppy === undefined)
      throw new UserError('BadDrive', `${what}: the controller has two drives`);
    if (this.floppies.includes(unit)) throw new UserError('BadDrive', `${what}: the place is taken`);
    this.floppies.push(unit);
    this.floppy.attach(unit, drive.backend, type);
    if (bootIndex !== undefined && bootIndex >= 0) {
      this.#parts.bootOrder.add(`/pci@i0cf8/isa@1/fdc@03f0/floppy@${unit}`, bootIndex);
    }
  }

  #mapPorts(io: MemoryRegion): void {
    const bytes = { impl: { min: 1, max: 1 } } as const;
    const add = (name: string, port: number, count: number, device: MmioDevice, priority = 0): void =>
      io.add(port, MemoryRegion.mmio(name, count, device, bytes), priority);
    add('dma-first', map.PORT_DMA_FIRST, DMA_CONTROLLER_PORTS, this.dma.first);
    add('dma-second', map.PORT_DMA_SECOND, DMA_SLAVE_PORTS, this.dma.second);
    // Port 0x80, in between, is the one of POST codes.
    add('dma-pages', map.PORT_DMA_PAGES, DMA_PAGE_PORTS, this.dma.pages, -1);
    if (this.floppy === undefined) return;
    add('fdc', map.PORT_FLOPPY, FDC_PORTS, this.floppy);
    add('fdc-dir', map.PORT_FLOPPY + FDC_DIR_PORT, 1, this.floppy.directionPort);
  }

  /** What CMOS RAM says about disks (RBIL, CMOS map 0x10, 0x12, 0x14, 0x19…0x23, 0x39). */
  fillCmos(poke: (index: number, value: number) => void): void {
    let types = 0;
    let translations = 0;
    for (const { index, disk } of this.#disks) {
      if (index < 4) translations |= disk.translation << (2 * index);
      if (index > 1) continue;
      types |= 0xf0 >> (4 * index);
      const { cylinders, heads, sectors } = disk.geometry;
      poke(0x19 + index, 47);
      const entry = [cylinders & 0xff, cylinders >> 8, heads, 0xff, 0xff, heads > 8 ? 0xc8 : 0xc0];
      [...entry, cylinders & 0xff, cylinders >> 8, sectors].forEach((byte, i) => {
        poke(0x1b + 9 * index + i, byte);
      });
    }
    const { floppy } = this;
    poke(0x10, floppy === undefined ? 0 : (floppy.driveType(0) << 4) | floppy.driveType(1));
    const count = this.floppies.length;
    poke(0x14, 0x06 | (count > 0 ? 0x01 | ((count - 1) << 6) : 0)); // coprocessor, PS/2 mouse, floppies
    poke(0x12, types);
    poke(0x39, translations);
  }
}

function describe(buses: readonly IdeBus[]): string {
  return `${buses.length} buses with ${buses[0]?.drives.length ?? 0} units each`;
}

function placeOf({ bus, unit, media }: Drive): Omit<IdePlace, 'drive'> {
  return { bus, unit, media };
}

/** The device for a drive, not yet connected. */
export function createIdeDrive(
  drive: Omit<IdePlace, 'bus' | 'unit' | 'serial'> & { readonly serial: string },
): AnyIdeDrive {
  const { serial } = drive;
  if (drive.media === 'cdrom') return new AtapiCdrom(drive.drive.backend, { serial });
  return new AtaDisk(drive.drive.backend, {
    serial,
    ...(drive.model !== undefined && { model: drive.model }),
    ...(drive.firmware !== undefined && { firmware: drive.firmware }),
    ...(drive.geometry !== undefined && { geometry: drive.geometry }),
    ...(drive.translation !== undefined && { translation: drive.translation }),
  });
}

type Connect = (device: AnyIdeDrive, bus: number, unit: number, bootIndex: number, what: string) => void;

/** Buses `name.0`, `name.1`, … as devices of the user's find them. Without `connect` firmware is told of no drive. */
export function ideBusesOf(buses: readonly IdeBus[], name: string, connect?: Connect): readonly ChildBus[] {
  return buses.map((channel, bus) => ({
    name: `${name}.${bus}`,
    kind: 'IDE',
    isFull: () => !channel.drives.includes(undefined),
    attach: (part, properties, what) => {
      const given = Number(properties['unit'] ?? 0xffffffff);
      const unit = given >= channel.drives.length ? channel.drives.indexOf(undefined) : given;
      const device = part as AnyIdeDrive;
      if (connect !== undefined) connect(device, bus, unit, Number(properties['bootindex'] ?? -1), what);
      else if (channel.drives[unit] !== undefined || unit < 0)
        throw new UserError('BadDrive', `${what}: the place is taken`);
      else channel.attach(unit, device);
    },
    detach: () => {},
  }));
}
