/** Ports that devices plug into, and the tree of a controller's root ports and hubs. */
import { SPEED_HIGH, SPEED_NAMES, SPEED_SUPER, speedBit, type UsbSpeed } from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';

/** What a port belongs to: a controller or a hub. */
export interface UsbPortOwner {
  attached(port: UsbPort): void;
  /** Called while the device is still in its port. */
  detached(port: UsbPort): void;
  /** A device at or behind one of the ports is worth another try at an endpoint (bit 7: to the host). */
  wakeup(device: UsbDevice, endpoint: number): void;
}

export class UsbPort {
  /** `1`, or `1.2` behind a hub. */
  readonly path: string;
  /** From 0 within its owner. */
  readonly index: number;
  /** `speedBit`s. */
  readonly speeds: number;
  readonly owner: UsbPortOwner;
  device: UsbDevice | undefined;

  constructor(owner: UsbPortOwner, index: number, path: string, speeds: number) {
    this.owner = owner;
    this.index = index;
    this.path = path;
    this.speeds = speeds;
  }
}

/** Depth of hubs that USB 2.0, 4.1.1 allows. */
const MAX_TIERS = 5;

export class UsbBus {
  #ports: UsbPort[] = [];

  /** All ports, root ports first. */
  get ports(): readonly UsbPort[] {
    return this.#ports;
  }

  get devices(): ReadonlyArray<readonly [UsbPort, UsbDevice]> {
    return this.#ports.flatMap((port) =>
      port.device === undefined ? [] : [[port, port.device] as [UsbPort, UsbDevice]],
    );
  }

  addPorts(ports: readonly UsbPort[]): void {
    this.#ports = [...this.#ports, ...ports];
  }

  removePorts(ports: readonly UsbPort[]): void {
    this.#ports = this.#ports.filter((port) => !ports.includes(port));
  }

  get freePorts(): number {
    return this.#ports.filter((port) => port.device === undefined).length;
  }

  /** Plugs a device into the port of a path, or the first that is free; a string says why not. */
  attach(device: UsbDevice, path?: string): string | undefined {
    const free = this.#ports.filter((port) => port.device === undefined);
    const port =
      path === undefined
        ? (free.find((p) => (p.speeds & device.speeds) !== 0) ?? free[0])
        : free.find((p) => p.path === path);
    if (port === undefined)
      return path === undefined ? 'no free usb port' : `usb port ${path} not found (in use?)`;
    if (port.path.split('.').length > MAX_TIERS) return 'too many hubs in a row';
    const common = port.speeds & device.speeds;
    if (common === 0) return `usb port ${port.path} speed mismatch`;
    device.speed = (31 - Math.clz32(common)) as UsbSpeed;
    device.port = port;
    port.device = device;
    device.busReset();
    port.owner.attached(port);
    return undefined;
  }

  detach(device: UsbDevice): void {
    const { port } = device;
    if (port === undefined) return;
    port.owner.detached(port);
    port.device = undefined;
    device.port = undefined;
  }
}

/** Whether only a USB 3 port has this. */
export const isSuperSpeed = (device: UsbDevice): boolean => device.speed === SPEED_SUPER;

export const isHighSpeed = (device: UsbDevice): boolean => device.speed === SPEED_HIGH;

/** The monitor's line of a device. */
export function describeDevice(bus: number, port: UsbPort, device: UsbDevice, id?: string): string {
  const speed = `Speed ${SPEED_NAMES[device.speed]} Mb/s`;
  const tail = id === undefined ? '' : `, ID: ${id}`;
  return `  Device ${bus}.${device.address}, Port ${port.path}, ${speed}, Product ${device.identity.product}${tail}`;
}

/** Root ports that are numbered from 1. */
export function rootPorts(owner: UsbPortOwner, count: number, speeds: readonly UsbSpeed[]): UsbPort[] {
  let mask = 0;
  for (const speed of speeds) mask |= speedBit(speed);
  return Array.from({ length: count }, (_, n) => new UsbPort(owner, n, String(n + 1), mask));
}
