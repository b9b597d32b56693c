/** Builds USB host controllers and what plugs into them. */
import { ScsiCdrom } from '../hw/scsi/scsi-cdrom.ts';
import { ScsiDisk } from '../hw/scsi/scsi-disk.ts';
import { EHCI_KINDS, Ehci, type EhciKind } from '../hw/usb/ehci.ts';
import { UHCI_KINDS, Uhci, type UhciKind } from '../hw/usb/uhci.ts';
import type { UsbDevice } from '../hw/usb/usb-device.ts';
import { type HidKind, UsbHid } from '../hw/usb/usb-hid.ts';
import { UsbHub } from '../hw/usb/usb-hub.ts';
import type { UsbBus } from '../hw/usb/usb-port.ts';
import { UsbStorage } from '../hw/usb/usb-storage.ts';
import { XHCI_KINDS, Xhci, type XhciKind } from '../hw/usb/xhci.ts';
import { UserError } from '../util/errors.ts';
import type { BuildRequest, DeviceFactory } from './device-factories.ts';
import type { BuiltDevice, ChildBus } from './device-registry.ts';
import { blockSize, requireDrive } from './virtio-factories.ts';

/** A bus that the monitor describes. */
export interface UsbChildBus extends ChildBus {
  readonly usb: UsbBus;
}

export function isUsbBus(bus: ChildBus | undefined): bus is UsbChildBus {
  return bus?.kind === 'usb-bus';
}

export const USB_FACTORIES: Readonly<Record<string, DeviceFactory>> = {
  ...Object.fromEntries(
    Object.entries(UHCI_KINDS).map(([name, kind]) => [
      name,
      (request: BuildRequest) => buildUhci(request, kind),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(EHCI_KINDS).map(([name, kind]) => [
      name,
      (request: BuildRequest) => buildEhci(request, kind),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(XHCI_KINDS).map(([name, kind]) => [
      name,
      (request: BuildRequest) => buildXhci(request, kind),
    ]),
  ),
  'usb-kbd': (request) => buildHid(request, 'keyboard'),
  'usb-mouse': (request) => buildHid(request, 'mouse'),
  'usb-tablet': (request) => buildHid(request, 'tablet'),
  'usb-storage': buildStorage,
  'usb-hub': () => {
    const device = new UsbHub();
    return { device, part: device };
  },
};

function buildUhci(request: BuildRequest, kind: UhciKind): BuiltDevice {
  const { memory, timers } = request.context;
  const device = new Uhci(kind, { memory, timers, multifunction: request.flag('multifunction') });
  return { device, pci: device.pci, bus: usbBus(request, device.bus) };
}

function buildEhci(request: BuildRequest, kind: EhciKind): BuiltDevice {
  const { memory, timers } = request.context;
  const device = new Ehci(kind, { memory, timers, multifunction: request.flag('multifunction') });
  return { device, pci: device.pci, bus: usbBus(request, device.bus) };
}

const MAX_XHCI_PORTS = 15;
const MAX_XHCI_SLOTS = 32;
const MAX_XHCI_INTERRUPTERS = 16;

function buildXhci(request: BuildRequest, kind: XhciKind): BuiltDevice {
  const { memory, timers, msi, guestError } = request.context;
  const [ports2, ports3] = [request.number('p2'), request.number('p3')];
  if (ports2 > MAX_XHCI_PORTS || ports3 > MAX_XHCI_PORTS || ports2 + ports3 === 0)
    throw request.error(`p2 and p3 must be at most ${MAX_XHCI_PORTS}`);
  const device = new Xhci(kind, {
    ...{ memory, timers, msi, guestError, ports2, ports3 },
    multifunction: request.flag('multifunction'),
    slots: Math.max(1, Math.min(MAX_XHCI_SLOTS, request.number('slots'))),
    interrupters: Math.max(1, Math.min(MAX_XHCI_INTERRUPTERS, request.number('intrs'))),
    hasMsix: request.text('msix') !== 'off',
  });
  return { device, pci: device.pci, bus: usbBus(request, device.bus) };
}

export function usbBus(request: BuildRequest, usb: UsbBus): UsbChildBus {
  const number = request.context.busNumber('usb-bus');
  const name = request.spec.id === undefined ? `usb-bus.${number}` : `${request.spec.id}.0`;
  return {
    name,
    kind: 'usb-bus',
    usb,
    // The last free port is for a hub: there is no end of ports behind it.
    prerequisite: (driver, properties) => {
      if (driver === 'usb-hub' || properties['port'] !== undefined || usb.freePorts !== 1) return undefined;
      return { driver: 'usb-hub', id: undefined, bus: name, properties: {}, what: 'usb-hub' };
    },
    attach: (part, properties, what) => {
      const device = part as UsbDevice;
      const { port } = properties;
      const reason = usb.attach(device, port === undefined ? undefined : String(port));
      if (reason !== undefined) throw new UserError('GenericError', `${what}: ${reason} on bus ${name}`);
      if (device instanceof UsbHub) device.join(usb);
    },
    detach: (part) => {
      const device = part as UsbDevice;
      usb.detach(device);
      if (device instanceof UsbHub) usb.removePorts(device.ports);
    },
    below: (part) =>
      part instanceof UsbHub
        ? part.ports.flatMap((port) => (port.device === undefined ? [] : [port.device]))
        : [],
    bootPath: (part) => {
      const path = (part as UsbDevice).port?.path ?? '1';
      return `${path
        .split('.')
        .map((n, i, all) => (i + 1 < all.length ? `hub@${n}` : `storage@${n}`))
        .join('/')}/*@0/*@0,0`;
    },
  };
}

function buildHid(request: BuildRequest, kind: HidKind): BuiltDevice {
  const { input, timers } = request.context;
  const usbVersion = request.number('usb_version');
  if (usbVersion !== 1 && usbVersion !== 2) throw request.error('usb_version must be 1 or 2');
  const device = new UsbHid({ kind, input, timers, usbVersion, serial: request.text('serial') });
  return { device, part: device, dispose: () => device.dispose() };
}

const DISCARD_BYTES = 4096;
const UNSET = 0xffffffff;

/** `usb-storage`: its unit is a disk, or a CD-ROM drive if the drive is one. */
function buildStorage(request: BuildRequest): BuiltDevice {
  const drive = requireDrive(request);
  const serial = request.text('serial') ?? '';
  const names = { vendor: 'LYREBIRD', revision: '1.0', serial, deviceId: '', wwn: 0n };
  const logicalBlock = blockSize(request, 'logical_block_size');
  const granularity = request.number('discard_granularity');
  const isCdrom = drive.media === 'cdrom';
  const unit = isCdrom
    ? new ScsiCdrom(drive.backend, { ...names, product: 'CD-ROM' })
    : new ScsiDisk({
        ...names,
        product: 'HARDDISK',
        backend: drive.backend,
        isRemovable: request.flag('removable'),
        logicalBlock,
        physicalBlock: Math.max(logicalBlock, blockSize(request, 'physical_block_size')),
        discardGranularity: granularity === UNSET ? Math.max(DISCARD_BYTES, logicalBlock) : granularity,
        rotationRate: 0,
        minIoBytes: request.number('min_io_size'),
        optIoBytes: request.number('opt_io_size'),
        writeCache: request.text('write-cache') !== 'off',
      });
  const device = new UsbStorage(unit, serial === '' ? '1-0000:00:01.2-1' : serial);
  return { device, part: device };
}
