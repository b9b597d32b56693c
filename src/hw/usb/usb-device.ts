/** A device on the Universal Serial Bus: states, control endpoint and standard requests (USB 2.0, 8.5.3, 9.1, 9.4). */
import type { Device } from '../../core/device.ts';
import { below, bool, byteList, bytes, type Stateful, struct, u8, u16, u32 } from '../../core/vmstate.ts';
import * as usb from './usb-codes.ts';
import { descriptor, type UsbIdentity } from './usb-descriptors.ts';
import type { UsbPort } from './usb-port.ts';

/** Stages of a control transfer. */
const IDLE = 0;
const DATA_IN = 1;
const DATA_OUT = 2;
const STATUS_IN = 3;
const FAILED = 4;
/** More than any request of ours carries. */
const MAX_CONTROL = 4096;

const controlFields = {
  stage: below(5),
  setup: bytes(8),
  data: byteList(MAX_CONTROL),
  at: u16(),
};

export const usbFields = {
  address: u8(),
  configuration: u8(),
  remoteWakeup: bool(),
  /** Bit n: endpoint n to the device, bit 16 + n: to the host. */
  halted: u32(),
  control: struct(controlFields),
};

export interface UsbState {
  address: number;
  configuration: number;
  remoteWakeup: boolean;
  halted: number;
  control: { stage: number; setup: Uint8Array; data: Uint8Array; at: number };
}

/** A request of the control endpoint. */
export interface UsbRequest {
  readonly type: number;
  readonly request: number;
  readonly value: number;
  readonly index: number;
  readonly length: number;
}

const NO_DATA = new Uint8Array(0);

export abstract class UsbDevice implements Device {
  readonly identity: UsbIdentity;
  /** `speedBit`s of those it can run at. */
  readonly speeds: number;
  /** Chosen when it is plugged. */
  speed: usb.UsbSpeed = usb.SPEED_FULL;
  port: UsbPort | undefined;
  abstract readonly vmstate: Stateful;
  protected readonly usb: UsbState;

  constructor(identity: UsbIdentity, speeds: number, state: UsbState) {
    this.identity = identity;
    this.speeds = speeds;
    this.usb = state;
  }

  get address(): number {
    return this.usb.address;
  }

  /** Power-on. */
  reset(): void {
    this.busReset();
  }

  /** The port's reset signal (9.1.1.3). */
  busReset(): void {
    const s = this.usb;
    s.address = 0;
    s.configuration = 0;
    s.remoteWakeup = false;
    s.halted = 0;
    s.control.stage = IDLE;
    this.busResetDone();
  }

  /** The device of an address at or behind this one. */
  find(address: number): UsbDevice | undefined {
    return address === this.usb.address ? this : undefined;
  }

  /**
   * One transaction, or several in a row: `data` is what the host sends, or the room for what it receives. Returns the number of bytes
   * moved (fewer than there is room for: a short packet ended it), or `USB_NAK`, `USB_STALL`. A device that answered `USB_NAK` calls
   * `notify` when it is worth another try.
   */
  transact(pid: number, endpoint: number, data: Uint8Array): number {
    if (endpoint === 0) return this.#control(pid, data);
    const bit = 1 << (endpoint + (pid === usb.PID_IN ? 16 : 0));
    if (this.usb.configuration === 0 || pid === usb.PID_SETUP || (this.usb.halted & bit) !== 0)
      return usb.USB_STALL;
    const result = this.transfer(pid, endpoint, data);
    if (result === usb.USB_STALL) this.usb.halted = (this.usb.halted | bit) >>> 0;
    return result;
  }

  /** A transaction of another endpoint than 0, in a configured device. */
  protected abstract transfer(pid: number, endpoint: number, data: Uint8Array): number;

  /** A request that is none of the standard ones: data for the host, or undefined: not understood. */
  protected request(_request: UsbRequest, _data: Uint8Array): Uint8Array | undefined {
    return undefined;
  }

  /** A standard descriptor of the device's class. */
  protected classDescriptor(_type: number, _index: number): Uint8Array | undefined {
    return undefined;
  }

  protected busResetDone(): void {}

  /** The host cleared a halt. */
  protected haltCleared(_endpoint: number): void {}

  /** Tells the controller that the endpoint (bit 7: to the host) has something to say. */
  protected notify(endpoint: number): void {
    this.port?.owner.wakeup(this, endpoint);
  }

  // --- control endpoint (8.5.3)

  #control(pid: number, data: Uint8Array): number {
    const c = this.usb.control;
    if (pid === usb.PID_SETUP) return this.#setup(data);
    if (c.stage === FAILED) return usb.USB_STALL;
    if (pid === usb.PID_OUT) {
      if (c.stage === DATA_OUT) return this.#dataOut(data);
      // A host may end a data stage early by going on to the status stage.
      if (c.stage !== DATA_IN) return usb.USB_STALL;
      c.stage = IDLE;
      return 0;
    }
    if (c.stage === DATA_IN) return this.#dataIn(data);
    if (c.stage !== STATUS_IN && c.stage !== DATA_OUT) return usb.USB_STALL;
    return this.#statusIn();
  }

  #setup(packet: Uint8Array): number {
    const c = this.usb.control;
    c.stage = FAILED;
    if (packet.length !== 8) return 8;
    c.setup.set(packet);
    c.at = 0;
    c.data = NO_DATA;
    const request = this.#pending();
    if (request.length === 0) c.stage = STATUS_IN;
    else if ((request.type & usb.REQUEST_IN) !== 0) {
      const reply = this.#execute(request, NO_DATA);
      if (reply === undefined) return 8;
      c.data = reply.slice(0, Math.min(request.length, MAX_CONTROL));
      c.stage = DATA_IN;
    } else if (request.length <= MAX_CONTROL) {
      c.data = new Uint8Array(request.length);
      c.stage = DATA_OUT;
    }
    return 8;
  }

  #pending(): UsbRequest {
    const { setup } = this.usb.control;
    const view = new DataView(setup.buffer, setup.byteOffset, 8);
    const at = (offset: number): number => view.getUint16(offset, true);
    return { type: setup[0]!, request: setup[1]!, value: at(2), index: at(4), length: at(6) };
  }

  #dataIn(into: Uint8Array): number {
    const c = this.usb.control;
    const part = c.data.subarray(c.at, c.at + into.length);
    into.set(part);
    c.at += part.length;
    return part.length;
  }

  #dataOut(from: Uint8Array): number {
    const c = this.usb.control;
    const part = from.subarray(0, Math.max(0, c.data.length - c.at));
    c.data.set(part, c.at);
    c.at += part.length;
    return from.length;
  }

  #statusIn(): number {
    const c = this.usb.control;
    const request = this.#pending();
    c.stage = IDLE;
    if (this.#execute(request, c.data.subarray(0, c.at)) !== undefined) return 0;
    c.stage = FAILED;
    return usb.USB_STALL;
  }

  // --- requests (9.4)

  #execute(request: UsbRequest, data: Uint8Array): Uint8Array | undefined {
    const kind = request.type & 0x60;
    if (kind !== 0) return this.request(request, data);
    const own = this.#standard(request);
    return own ?? this.request(request, data);
  }

  #standard(r: UsbRequest): Uint8Array | undefined {
    const s = this.usb;
    const recipient = r.type & 0x1f;
    switch (r.request) {
      case usb.GET_STATUS:
        return this.#status(recipient, r.index);
      case usb.CLEAR_FEATURE:
      case usb.SET_FEATURE:
        return this.#feature(recipient, r, r.request === usb.SET_FEATURE);
      case usb.SET_ADDRESS:
        if (r.value > 127) return undefined;
        s.address = r.value;
        return NO_DATA;
      case usb.GET_DESCRIPTOR:
        return this.#descriptor(recipient, r.value >> 8, r.value & 0xff);
      case usb.GET_CONFIGURATION:
        return Uint8Array.of(s.configuration);
      case usb.SET_CONFIGURATION:
        if (recipient !== 0 || r.value > 1) return undefined;
        s.configuration = r.value;
        s.halted = 0;
        return NO_DATA;
      case usb.GET_INTERFACE:
        return this.#hasInterface(r.index) ? Uint8Array.of(0) : undefined;
      case usb.SET_INTERFACE:
        return r.value === 0 && this.#hasInterface(r.index) ? NO_DATA : undefined;
      case usb.SET_SEL:
      case usb.SET_ISOCH_DELAY:
        return NO_DATA;
      default:
        return undefined;
    }
  }

  #hasInterface(index: number): boolean {
    return this.usb.configuration !== 0 && index < this.identity.interfaces(this.speed).length;
  }

  #descriptor(recipient: number, type: number, index: number): Uint8Array | undefined {
    const own = recipient === 0 ? descriptor(this.identity, this.speed, type, index, this.speeds) : undefined;
    return own ?? this.classDescriptor(type, index);
  }

  #status(recipient: number, index: number): Uint8Array | undefined {
    const s = this.usb;
    if (recipient === 0) {
      const self = (this.identity.attributes & 0x40) !== 0 ? 1 : 0;
      return Uint8Array.of(self | (s.remoteWakeup ? 2 : 0), 0);
    }
    if (recipient === usb.TO_INTERFACE) return this.#hasInterface(index) ? Uint8Array.of(0, 0) : undefined;
    if (recipient !== usb.TO_ENDPOINT) return undefined;
    return Uint8Array.of((s.halted & haltBit(index)) !== 0 ? 1 : 0, 0);
  }

  #feature(recipient: number, { value, index }: UsbRequest, set: boolean): Uint8Array | undefined {
    const s = this.usb;
    if (recipient === 0 && value === usb.REMOTE_WAKEUP) {
      s.remoteWakeup = set;
      return NO_DATA;
    }
    // U1, U2, latency messages of USB 3 mean nothing here.
    if (recipient === 0 && value >= 48 && value <= 50) return NO_DATA;
    if (recipient === usb.TO_INTERFACE && this.speed === usb.SPEED_SUPER) return NO_DATA;
    if (recipient !== usb.TO_ENDPOINT || value !== usb.ENDPOINT_HALT) return undefined;
    if ((index & 0x0f) === 0) return NO_DATA;
    const bit = haltBit(index);
    s.halted = (set ? s.halted | bit : s.halted & ~bit) >>> 0;
    if (!set) this.haltCleared(index & 0x8f);
    return NO_DATA;
  }
}

function haltBit(endpoint: number): number {
  return 1 << ((endpoint & 0x0f) + ((endpoint & 0x80) !== 0 ? 16 : 0));
}
