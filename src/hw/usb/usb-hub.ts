/** A hub of USB 2.0, chapter 11: ports whose changes an interrupt endpoint tells of. */
import { array, defineState, type Stateful, stateful, struct, u16 } from '../../core/vmstate.ts';
import * as usb from './usb-codes.ts';
import type { UsbIdentity } from './usb-descriptors.ts';
import { UsbDevice, type UsbRequest, usbFields } from './usb-device.ts';
import { type UsbBus, UsbPort } from './usb-port.ts';

export const HUB_PORTS = 8;
const STATUS_ENDPOINT = 0x81;

// Port status, table 11-21, and features, table 11-17
const CONNECTION = 1;
const ENABLE = 2;
const SUSPEND = 4;
const RESET = 0x10;
const POWER = 0x100;
const LOW_SPEED = 0x200;
const C_CONNECTION = 1;
const C_ENABLE = 2;
const C_SUSPEND = 4;
const C_RESET = 0x10;
const PORT_ENABLE = 1;
const PORT_SUSPEND = 2;
const PORT_RESET = 4;
const PORT_POWER = 8;
const C_PORT_CONNECTION = 16;
const C_PORT_ENABLE = 17;
const C_PORT_SUSPEND = 18;
const C_PORT_OVER_CURRENT = 19;
const C_PORT_RESET = 20;

const GET_TT_STATE = 10;

const schema = defineState('usb-hub', 1, {
  usb: struct(usbFields),
  status: array(HUB_PORTS, u16()),
  change: array(HUB_PORTS, u16()),
});

const IDENTITY: UsbIdentity = {
  vendorId: 0x0409,
  productId: 0x55aa,
  release: 0x0101,
  manufacturer: 'Lyrebird',
  product: 'USB Hub',
  serial: '314159',
  deviceClass: 9,
  attributes: 0x60,
  power: 0,
  interfaces: () => [
    {
      class: 9,
      subclass: 0,
      protocol: 0,
      endpoints: [{ address: STATUS_ENDPOINT, type: usb.ENDPOINT_INTERRUPT, maxPacket: 2, interval: 0xff }],
    },
  ],
};

const OK = new Uint8Array(0);

export class UsbHub extends UsbDevice {
  readonly vmstate: Stateful;
  readonly #s;
  #ports: readonly UsbPort[] = [];

  constructor() {
    const state = schema.create();
    super(IDENTITY, usb.speedBit(usb.SPEED_FULL), state.usb);
    this.#s = state;
    this.vmstate = stateful(schema, state);
  }

  get ports(): readonly UsbPort[] {
    return this.#ports;
  }

  /** Brings the hub's ports into the tree; after it has been plugged. */
  join(bus: UsbBus): void {
    const owner = {
      attached: (port: UsbPort) => this.#attached(port),
      detached: (port: UsbPort) => this.#detached(port),
      wakeup: (device: UsbDevice, endpoint: number) => this.port?.owner.wakeup(device, endpoint),
    };
    const speeds = usb.speedBit(usb.SPEED_LOW) | usb.speedBit(usb.SPEED_FULL);
    const path = this.port!.path;
    this.#ports = Array.from(
      { length: HUB_PORTS },
      (_, n) => new UsbPort(owner, n, `${path}.${n + 1}`, speeds),
    );
    bus.addPorts(this.#ports);
  }

  override find(address: number): UsbDevice | undefined {
    if (address === this.address) return this;
    for (const port of this.#ports) {
      if ((this.#s.status[port.index]! & ENABLE) === 0) continue;
      const found = port.device?.find(address);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  protected override busResetDone(): void {
    const s = this.#s;
    for (let n = 0; n < HUB_PORTS; n++) {
      const device = this.#ports[n]?.device;
      s.status[n] = POWER | (device === undefined ? 0 : connected(device));
      s.change[n] = device === undefined ? 0 : C_CONNECTION;
    }
  }

  #attached(port: UsbPort): void {
    const s = this.#s;
    s.status[port.index]! |= connected(port.device!);
    s.change[port.index]! |= C_CONNECTION;
    this.notify(STATUS_ENDPOINT);
  }

  #detached(port: UsbPort): void {
    const s = this.#s;
    if ((s.status[port.index]! & ENABLE) !== 0) s.change[port.index]! |= C_ENABLE;
    s.status[port.index]! &= ~(CONNECTION | ENABLE | LOW_SPEED | SUSPEND);
    s.change[port.index]! |= C_CONNECTION;
    this.notify(STATUS_ENDPOINT);
  }

  /** Bit n of the answer: port n has changed (11.12.4). */
  protected override transfer(pid: number, endpoint: number, data: Uint8Array): number {
    if (pid !== usb.PID_IN || endpoint !== 1) return usb.USB_STALL;
    let bits = 0;
    for (let n = 0; n < HUB_PORTS; n++) if (this.#s.change[n] !== 0) bits |= 2 << n;
    if (bits === 0) return usb.USB_NAK;
    const size = Math.min(2, data.length);
    data.set([bits & 0xff, bits >> 8].slice(0, size));
    return size;
  }

  protected override request(r: UsbRequest, _data: Uint8Array): Uint8Array | undefined {
    if ((r.type & 0x60) !== usb.TYPE_CLASS) return undefined;
    const isPort = (r.type & 0x1f) === usb.TO_OTHER;
    switch (r.request) {
      case usb.GET_DESCRIPTOR:
        return r.value >> 8 === usb.DT_HUB || r.value === 0 ? hubDescriptor() : undefined;
      case usb.GET_STATUS:
        return isPort ? this.#portStatus(r.index - 1) : new Uint8Array(4);
      case usb.SET_FEATURE:
        return isPort ? this.#setFeature((r.index & 0xff) - 1, r.value) : hubFeature(r.value);
      case usb.CLEAR_FEATURE:
        return isPort ? this.#clearFeature((r.index & 0xff) - 1, r.value) : hubFeature(r.value);
      default:
        return r.request > usb.CLEAR_FEATURE && r.request <= GET_TT_STATE + 1 ? OK : undefined;
    }
  }

  #portStatus(n: number): Uint8Array | undefined {
    const [status, change] = [this.#s.status[n], this.#s.change[n]];
    if (status === undefined || change === undefined) return undefined;
    return Uint8Array.of(status & 0xff, status >> 8, change & 0xff, change >> 8);
  }

  #setFeature(n: number, feature: number): Uint8Array | undefined {
    const s = this.#s;
    if (s.status[n] === undefined) return undefined;
    const device = this.#ports[n]?.device;
    switch (feature) {
      case PORT_RESET:
        if (device !== undefined) {
          device.busReset();
          s.status[n] |= ENABLE;
          s.status[n] &= ~(SUSPEND | RESET);
          s.change[n]! |= C_RESET;
          this.notify(STATUS_ENDPOINT);
        }
        return OK;
      case PORT_SUSPEND:
        s.status[n] |= SUSPEND;
        return OK;
      case PORT_POWER:
        return OK;
      default:
        return undefined;
    }
  }

  #clearFeature(n: number, feature: number): Uint8Array | undefined {
    const s = this.#s;
    if (s.status[n] === undefined) return undefined;
    const bits: Readonly<Record<number, number>> = {
      [C_PORT_CONNECTION]: C_CONNECTION,
      [C_PORT_ENABLE]: C_ENABLE,
      [C_PORT_SUSPEND]: C_SUSPEND,
      [C_PORT_OVER_CURRENT]: 8,
      [C_PORT_RESET]: C_RESET,
    };
    if (bits[feature] !== undefined) s.change[n]! &= ~bits[feature];
    else if (feature === PORT_ENABLE) s.status[n] &= ~ENABLE;
    else if (feature === PORT_SUSPEND) {
      s.status[n] &= ~SUSPEND;
      s.change[n]! |= C_SUSPEND;
      this.notify(STATUS_ENDPOINT);
    } else if (feature !== PORT_POWER) return undefined;
    return OK;
  }
}

function connected(device: UsbDevice): number {
  return CONNECTION | (device.speed === usb.SPEED_LOW ? LOW_SPEED : 0);
}

/** Local power and over-current changes. */
function hubFeature(feature: number): Uint8Array | undefined {
  return feature === 0 || feature === 1 ? OK : undefined;
}

/** 11.23.2.1: ports powered together, no over-current protection, 2 ms to good power. */
function hubDescriptor(): Uint8Array {
  const bitmap = Math.ceil((HUB_PORTS + 1) / 8);
  const head = [7 + 2 * bitmap, usb.DT_HUB, HUB_PORTS, 0x0a, 0x00, 1, 0];
  return Uint8Array.of(...head, ...new Uint8Array(bitmap), ...new Uint8Array(bitmap).fill(0xff));
}
