/** Builds each type of `device-types.ts` from its specification. */
import type { AddressSpace } from '../core/address-space.ts';
import type { AudioBackend } from '../core/audio.ts';
import type { CharBackend } from '../core/char-backend.ts';
import type { WallClock } from '../core/clock.ts';
import type { MsiSink } from '../core/cpu-ports.ts';
import type { Drive } from '../core/drive.ts';
import type { IrqLine } from '../core/irq.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import type { NetBackend } from '../core/net-backend.ts';
import type { PowerControl } from '../core/reset.ts';
import type { ShareBackend } from '../core/share-backend.ts';
import type { TimerService } from '../core/timer.ts';
import { formatGuid, parseGuid, VmGenId } from '../hw/acpi/vmgenid.ts';
import { Ahci } from '../hw/ide/ahci.ts';
import { AtapiCdrom } from '../hw/ide/atapi-cdrom.ts';
import type { InputCore } from '../hw/input/input-core.ts';
import { Edu } from '../hw/misc/edu.ts';
import { PciTestDev } from '../hw/misc/pci-testdev.ts';
import { type PanicSink, PVPANIC_MMIO, PvPanic, PvPanicPci } from '../hw/misc/pvpanic.ts';
import { I6300Esb } from '../hw/watchdog/i6300esb.ts';
import { isPowerOfTwo } from '../util/bits.ts';
import { UserError } from '../util/errors.ts';
import { buildAc97, buildHda, buildHdaCodec } from './audio-factories.ts';
import { buildPciBridge, buildRootPort, GENERIC_ROOT_PORT, IOH_ROOT_PORT } from './bridge-factories.ts';
import type { BuiltDevice } from './device-registry.ts';
import type { DeviceSpec, PropertyValue } from './device-spec.ts';
import type { DeviceType } from './device-types.ts';
import {
  buildE1000,
  buildNe2000Isa,
  buildNe2000Pci,
  buildRtl8139,
  buildVirtioNet,
  type MacAddresses,
  virtioNetPairs,
} from './net-factories.ts';
import { buildNamespace, buildNvme } from './nvme-factories.ts';
import { createIdeDrive, type FloppyPart, floppyMedium, ideBusesOf, NO_DEVICE } from './pc-storage.ts';
import { buildScsiCdrom, buildScsiDisk, buildVirtioScsi } from './scsi-factories.ts';
import { USB_FACTORIES } from './usb-factories.ts';
import {
  buildSerialPort,
  buildVirtio9p,
  buildVirtioBalloon,
  buildVirtioBlk,
  buildVirtioInput,
  buildVirtioPci,
  buildVirtioRng,
  buildVirtioSerial,
  requireDrive,
  type VirtioBuilder,
} from './virtio-factories.ts';

/** What the board and the machine offer to devices. */
export interface DeviceContext {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly timers: TimerService;
  readonly power: PowerControl;
  /** Where keys and movements come from. */
  readonly input: InputCore;
  /** The next number for buses of a kind that have no name of their own. */
  busNumber(kind: string): number;
  readonly msi: MsiSink;
  /** A line of its own to an ISA interrupt. */
  isaIrq(n: number): IrqLine;
  readonly wallClock: WallClock;
  readonly ramBytes: number;
  /** A file for firmware; `onWritten`: the guest may write it, and wrote. */
  fwCfgFile(name: string, content: Uint8Array, onWritten?: () => void): void;
  /** A `-chardev` by its id. */
  chardev(id: string): CharBackend | undefined;
  /** A `-fsdev` by its id. */
  share(id: string): ShareBackend | undefined;
  /** An `-audiodev` by its id; without an id the first, or one that is silent. */
  audio(id: string | undefined): AudioBackend | undefined;
  /** The end of a `-netdev` for a card, by its id. */
  netdev(id: string): NetBackend | 'in-use' | undefined;
  /** Of network cards. */
  readonly macs: MacAddresses;
  /** What `-drive` and `-blockdev` named `id` opened. */
  drive(id: string): Drive | undefined;
  /** A drive without medium for a device that was given none. */
  emptyDrive(name: string, media: 'disk' | 'cdrom'): Drive;
  /** The device that used it is gone. */
  driveUnused(drive: Drive): void;
  /** Fills bytes outside of guest memory at random; at most 64 KiB a call. */
  randomBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** The guest's kernel gave up: what the user chose is done. */
  onPanic(): void;
  /** A watchdog ran out: what the user chose is done. */
  onWatchdog(): void;
  /** Tells control-protocol peers of an event. */
  notify(name: string, data: object): void;
  /** A line of the guest-error log. */
  guestError(text: string): void;
}

/** What a factory works with. */
export interface BuildRequest {
  readonly context: DeviceContext;
  readonly type: DeviceType;
  readonly spec: DeviceSpec;
  /** The id, or a name made up. */
  readonly name: string;
  number(property: string): number;
  flag(property: string): boolean;
  text(property: string): string | undefined;
  error(reason: string): UserError;
}

export type DeviceFactory = (request: BuildRequest) => BuiltDevice;

/** The virtio devices by the stem of their names: what sits behind each transport. */
const VIRTIO: Readonly<Record<string, VirtioBuilder>> = {
  'virtio-blk': { classCode: 0x010000, vectors: (r) => r.number('num-queues') + 1, build: buildVirtioBlk },
  'virtio-serial': {
    classCode: 0x078000,
    vectors: (r) => r.number('max_ports') + 1,
    build: buildVirtioSerial,
  },
  'virtio-balloon': { classCode: 0x00ff00, vectors: () => 2, build: buildVirtioBalloon },
  'virtio-rng': { classCode: 0x00ff00, vectors: () => 2, build: buildVirtioRng },
  'virtio-9p': { classCode: 0x000200, vectors: () => 2, build: buildVirtio9p },
  'virtio-keyboard': { classCode: 0x090000, vectors: () => 2, build: (r) => buildVirtioInput(r, 'keyboard') },
  'virtio-mouse': { classCode: 0x090200, vectors: () => 2, build: (r) => buildVirtioInput(r, 'mouse') },
  'virtio-tablet': { classCode: 0x098000, vectors: () => 2, build: (r) => buildVirtioInput(r, 'tablet') },
  'virtio-scsi': { classCode: 0x010000, vectors: (r) => r.number('num_queues') + 3, build: buildVirtioScsi },
  'virtio-net': {
    classCode: 0x020000,
    vectors: (r) => 2 * virtioNetPairs(r) + 2,
    build: buildVirtioNet,
  },
};

const FACTORIES: Readonly<Record<string, DeviceFactory>> = {
  ...Object.fromEntries(
    Object.entries(VIRTIO).flatMap(([name, builder]) =>
      ['', '-transitional', '-non-transitional'].map((suffix) => [
        `${name}-pci${suffix}`,
        (request: BuildRequest) => buildVirtioPci(request, builder, suffix),
      ]),
    ),
  ),
  virtconsole: buildSerialPort,
  virtserialport: buildSerialPort,
  'ide-hd': (request) => buildIde(request, 'disk'),
  'ide-cd': (request) => buildIde(request, 'cdrom'),
  ...USB_FACTORIES,
  nvme: buildNvme,
  'nvme-ns': buildNamespace,
  'scsi-hd': buildScsiDisk,
  'scsi-cd': buildScsiCdrom,
  AC97: buildAc97,
  floppy: buildFloppy,
  'intel-hda': buildHda,
  'ich9-intel-hda': buildHda,
  'hda-output': buildHdaCodec,
  'hda-duplex': buildHdaCodec,
  'hda-micro': buildHdaCodec,
  'pcie-root-port': (request) => buildRootPort(request, GENERIC_ROOT_PORT),
  ioh3420: (request) => buildRootPort(request, IOH_ROOT_PORT),
  'pci-bridge': buildPciBridge,
  'ich9-ahci': buildAhci,
  edu: buildEdu,
  e1000: buildE1000,
  rtl8139: buildRtl8139,
  ne2k_pci: buildNe2000Pci,
  ne2k_isa: buildNe2000Isa,
  'pci-testdev': buildPciTestDev,
  i6300esb: buildWatchdog,
  pvpanic: buildPanic,
  'pvpanic-pci': ({ context, number }) => {
    const device = new PvPanicPci(number('events'), panicSink(context));
    return { device, pci: device.pci };
  },
  vmgenid: buildGenerationId,
};

/** As CMOS byte 0x39 has them. */
const TRANSLATIONS: Readonly<Record<string, number>> = { none: 0, lba: 1, large: 2, rechs: 3 };

function buildIde(request: BuildRequest, media: 'disk' | 'cdrom'): BuiltDevice {
  const [serial, model] = [request.text('serial'), request.text('model')];
  const [cylinders, heads, sectors] =
    media === 'disk' ? (['cyls', 'heads', 'secs'] as const).map((name) => request.number(name)) : [];
  const hasGeometry = cylinders !== undefined && cylinders > 0 && !!heads && !!sectors;
  const isEmpty = media === 'cdrom' && request.text('drive') === undefined;
  const drive = isEmpty ? request.context.emptyDrive(request.name, media) : requireDrive(request);
  const firmware = request.text('ver');
  const translation = TRANSLATIONS[request.text('bios-chs-trans') ?? 'auto'];
  const device = createIdeDrive({
    drive,
    media,
    serial: serial ?? request.name.slice(0, 20),
    ...(model !== undefined && { model }),
    ...(firmware !== undefined && { firmware }),
    ...(translation !== undefined && { translation }),
    ...(hasGeometry && { geometry: { cylinders, heads, sectors } }),
  });
  return { device, part: device, drive, ...(device instanceof AtapiCdrom && { removable: device.unit }) };
}

/** Types of drive as CMOS byte 0x10 has them. */
const FLOPPY_TYPES: Readonly<Record<string, number>> = { '120': 2, '144': 4, '288': 5, none: 0, auto: 0 };

function buildFloppy(request: BuildRequest): BuiltDevice {
  const hasDrive = request.text('drive') !== undefined;
  const drive = hasDrive ? requireDrive(request) : request.context.emptyDrive(request.name, 'disk');
  const type = FLOPPY_TYPES[request.text('drive-type') ?? 'auto'] ?? 0;
  const part: FloppyPart = { drive, type };
  return { device: NO_DEVICE, part, drive, removable: floppyMedium() };
}

function buildAhci({ context, name }: BuildRequest): BuiltDevice {
  const ahci = new Ahci(context.memory, context.msi);
  return { device: ahci, pci: ahci.pci, buses: ideBusesOf(ahci.ports, name) };
}

function buildEdu({ context, text }: BuildRequest): BuiltDevice {
  const { memory, timers, msi, guestError } = context;
  const device = new Edu({ memory, timers, msi, guestError, dmaMask: BigInt(text('dma_mask')!) });
  return { device, pci: device.pci };
}

function buildPciTestDev({ number }: BuildRequest): BuiltDevice {
  const membar = number('membar');
  if (membar !== 0 && (!isPowerOfTwo(membar) || membar < 16))
    throw new UserError('GenericError', 'pci-testdev: membar must be a power of two');
  const device = new PciTestDev(membar);
  return { device, pci: device.pci };
}

function buildWatchdog({ context }: BuildRequest): BuiltDevice {
  const device = new I6300Esb(context.timers, () => context.onWatchdog());
  return { device, pci: device.pci };
}

function panicSink({ notify, onPanic }: DeviceContext): PanicSink {
  return {
    panicked: () => onPanic(),
    crashLoaded: () => notify('GUEST_CRASHLOADED', { action: 'run' }),
  };
}

function buildPanic({ context, number, error }: BuildRequest): BuiltDevice {
  const port = number('ioport');
  if (port === 0) throw error('a port is needed');
  const device = new PvPanic(number('events'), panicSink(context));
  const region = MemoryRegion.mmio('pvpanic', 1, device, PVPANIC_MMIO);
  context.io.root.add(port, region, 1);
  // Firmware and guests find the port in this file.
  context.fwCfgFile('etc/pvpanic-port', Uint8Array.of(port & 0xff, port >> 8));
  return { device, dispose: () => context.io.root.remove(region) };
}

function buildGenerationId({ context, text, error }: BuildRequest): BuiltDevice {
  const given = text('guid') ?? 'auto';
  const guid = given === 'auto' ? randomGuid(context) : parseGuid(given);
  if (guid === undefined) throw error(`'${given}' is not a GUID`);
  const device = new VmGenId(guid, context.memory);
  context.fwCfgFile('etc/vmgenid_guid', device.page());
  context.fwCfgFile('etc/vmgenid_addr', device.address, () => device.publish());
  return { device, live: { guid: () => device.guidText } };
}

function randomGuid(context: DeviceContext): Uint8Array {
  const bytes = new Uint8Array(16);
  context.randomBytes(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return parseGuid(formatGuid(bytes))!;
}

/** Devices that the board builds by options of its own rather than here. */
const BOARD_DEVICES = new Set(['isa-debug-exit', 'isa-debugcon', 'isa-serial', 'pc-testdev']);

/** Some board can have it. */
export function isBuildable(name: string): boolean {
  return Object.hasOwn(FACTORIES, name) || BOARD_DEVICES.has(name);
}

/** `UserError` for a value that the device cannot work with. */
export function createDevice(
  context: DeviceContext,
  type: DeviceType,
  spec: DeviceSpec,
  name: string,
): BuiltDevice {
  const value = (property: string): PropertyValue | undefined =>
    spec.properties[property] ?? type.properties.find((p) => p.name === property)?.default;
  const factory = Object.hasOwn(FACTORIES, type.name) ? FACTORIES[type.name] : undefined;
  if (factory === undefined)
    throw new UserError('GenericError', `${spec.what}: not available on this machine`);
  return factory({
    context,
    type,
    spec,
    name,
    number: (property) => Number(value(property) ?? 0),
    flag: (property) => value(property) === true || value(property) === 'on',
    text: (property) => {
      const found = value(property);
      return found === undefined ? undefined : String(found);
    },
    error: (reason) => new UserError('GenericError', `${spec.what}: ${reason}`),
  });
}
