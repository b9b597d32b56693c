/** Device slots and endpoints with their contexts in guest memory (xHCI 1.1, 4.5, 4.6, 6.2). */
import {
  array,
  below,
  bool,
  defineState,
  num,
  type Stateful,
  stateful,
  struct,
  u8,
  u32,
} from '../../core/vmstate.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import type { UsbDma } from './usb-dma.ts';
import * as xhci from './xhci-codes.ts';

export const SLOTS = 32;
export const ENDPOINTS = 32;
const CONTEXT_BYTES = 32;
/** The default control endpoint's index. */
export const CONTROL_DCI = 1;

const schema = defineState('xhci-slots', 1, {
  slots: array(
    SLOTS,
    struct({
      enabled: bool(),
      isAddressed: bool(),
      /** Root port from 1, and ports of hubs behind it. */
      rootPort: u8(),
      route: u32(),
      context: num(),
      endpoints: array(
        ENDPOINTS,
        struct({ state: below(5), type: below(8), dequeue: num(), cycle: below(2) }),
      ),
    }),
  ),
});

export interface Endpoint {
  state: number;
  type: number;
  dequeue: number;
  cycle: number;
}

export interface SlotPorts {
  readonly dma: UsbDma;
  /** The device at a place in the tree. */
  deviceAt(rootPort: number, route: number): UsbDevice | undefined;
  /** Base of the array of device contexts. */
  contextArray(): number;
}

export class XhciSlots {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: SlotPorts;
  readonly #devices: Array<UsbDevice | undefined> = [];

  constructor(ports: SlotPorts) {
    this.#ports = ports;
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    schema.reset(this.#s);
    this.#devices.length = 0;
  }

  /** After everything else has been loaded. */
  restore(): void {
    this.#s.slots.forEach((slot, n) => {
      this.#devices[n + 1] = slot.isAddressed ? this.#ports.deviceAt(slot.rootPort, slot.route) : undefined;
    });
  }

  /** By number, from 1; undefined: not enabled. */
  #slot(id: number) {
    const slot = this.#s.slots[id - 1];
    return slot?.enabled === true ? slot : undefined;
  }

  endpoint(id: number, dci: number): Endpoint | undefined {
    const endpoint = this.#slot(id)?.endpoints[dci];
    return dci === 0 || endpoint === undefined || endpoint.state === xhci.EP_DISABLED ? undefined : endpoint;
  }

  device(id: number): UsbDevice | undefined {
    return this.#devices[id];
  }

  slotOf(device: UsbDevice): number {
    return this.#devices.indexOf(device);
  }

  /** The device is no longer there; the slot stays until the driver disables it. */
  forget(device: UsbDevice): void {
    const id = this.slotOf(device);
    if (id > 0) this.#devices[id] = undefined;
  }

  setState(id: number, dci: number, state: number): void {
    const endpoint = this.#s.slots[id - 1]!.endpoints[dci]!;
    endpoint.state = state;
    const at = this.#s.slots[id - 1]!.context + CONTEXT_BYTES * dci;
    const { dma } = this.#ports;
    dma.setU32(at, (dma.u32(at) & ~7) | state);
    dma.setU32(at + 8, ((endpoint.dequeue % 2 ** 32) & ~15) | endpoint.cycle);
    dma.setU32(at + 12, Math.floor(endpoint.dequeue / 2 ** 32));
  }

  // --- commands (4.6); each returns a completion code

  /** The new slot's number; 0: there is none. */
  enable(limit = SLOTS): number {
    const free = this.#s.slots.findIndex((slot) => !slot.enabled);
    if (free < 0 || free >= limit) return 0;
    const slot = this.#s.slots[free]!;
    slot.enabled = true;
    slot.isAddressed = false;
    for (const endpoint of slot.endpoints) endpoint.state = xhci.EP_DISABLED;
    return free + 1;
  }

  disable(id: number): number {
    const slot = this.#slot(id);
    if (slot === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    slot.enabled = false;
    for (const endpoint of slot.endpoints) endpoint.state = xhci.EP_DISABLED;
    this.#devices[id] = undefined;
    return xhci.CC_SUCCESS;
  }

  /** `isBlocked`: the device is not told its address (BSR). */
  address(id: number, input: number, isBlocked: boolean): number {
    const slot = this.#slot(id);
    const { dma } = this.#ports;
    if (slot === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    if (dma.u32(input) !== 0 || dma.u32(input + 4) !== 3) return xhci.CC_TRB_ERROR;
    const at = input + CONTEXT_BYTES;
    slot.route = dma.u32(at) & 0xfffff;
    slot.rootPort = (dma.u32(at + 4) >>> 16) & 0xff;
    slot.context = Math.floor(dma.u64(this.#ports.contextArray() + 8 * id) / 64) * 64;
    const device = this.#ports.deviceAt(slot.rootPort, slot.route);
    if (device === undefined) return xhci.CC_TRANSACTION_ERROR;
    const owner = this.slotOf(device);
    if (owner > 0 && owner !== id) return xhci.CC_CONTEXT_STATE_ERROR;
    this.#devices[id] = device;
    slot.isAddressed = true;
    if (!isBlocked) {
      device.transact(usb.PID_SETUP, 0, Uint8Array.of(0, usb.SET_ADDRESS, id, 0, 0, 0, 0, 0));
      device.transact(usb.PID_IN, 0, new Uint8Array(0));
    }
    this.#copy(at, slot.context);
    dma.setU32(slot.context + 12, isBlocked ? xhci.SLOT_DEFAULT << 27 : (xhci.SLOT_ADDRESSED << 27) | id);
    this.#enableEndpoint(id, CONTROL_DCI, at + CONTEXT_BYTES);
    return xhci.CC_SUCCESS;
  }

  #copy(from: number, to: number): void {
    const { dma } = this.#ports;
    for (let i = 0; i < CONTEXT_BYTES; i += 4) dma.setU32(to + i, dma.u32(from + i));
  }

  #enableEndpoint(id: number, dci: number, from: number): void {
    const { dma } = this.#ports;
    const slot = this.#s.slots[id - 1]!;
    const endpoint = slot.endpoints[dci]!;
    endpoint.type = (dma.u32(from + 4) >>> 3) & 7;
    const dequeue = dma.u64(from + 8);
    endpoint.dequeue = Math.floor(dequeue / 16) * 16;
    endpoint.cycle = dma.u32(from + 8) & 1;
    this.#copy(from, slot.context + CONTEXT_BYTES * dci);
    this.setState(id, dci, xhci.EP_RUNNING);
  }

  #disableEndpoint(id: number, dci: number): void {
    if (this.endpoint(id, dci) !== undefined) this.setState(id, dci, xhci.EP_DISABLED);
  }

  /** `deconfigure`: back to the control endpoint alone. */
  configure(id: number, input: number, deconfigure: boolean): number {
    const slot = this.#slot(id);
    const { dma } = this.#ports;
    if (slot === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    if (!slot.isAddressed) return xhci.CC_CONTEXT_STATE_ERROR;
    const state = (value: number): void => {
      dma.setU32(slot.context + 12, (dma.u32(slot.context + 12) & 0x07ffffff) | (value << 27));
    };
    if (deconfigure) {
      for (let dci = 2; dci < ENDPOINTS; dci++) this.#disableEndpoint(id, dci);
      state(xhci.SLOT_ADDRESSED);
      return xhci.CC_SUCCESS;
    }
    const [drop, add] = [dma.u32(input), dma.u32(input + 4)];
    if ((drop & 3) !== 0 || (add & 3) !== 1) return xhci.CC_TRB_ERROR;
    for (let dci = 2; dci < ENDPOINTS; dci++) {
      if ((drop & (1 << dci)) !== 0) this.#disableEndpoint(id, dci);
      if ((add & (1 << dci)) !== 0) this.#enableEndpoint(id, dci, input + CONTEXT_BYTES * (dci + 1));
    }
    const entries = dma.u32(input + CONTEXT_BYTES) & 0xf8000000;
    dma.setU32(slot.context, (dma.u32(slot.context) & 0x07ffffff) | entries);
    state(xhci.SLOT_CONFIGURED);
    return xhci.CC_SUCCESS;
  }

  /** Latency and interrupter of the slot, packet size of the control endpoint (4.6.7). */
  evaluate(id: number, input: number): number {
    const slot = this.#slot(id);
    const { dma } = this.#ports;
    if (slot === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    const add = dma.u32(input + 4);
    if (dma.u32(input) !== 0 || (add & ~3) !== 0) return xhci.CC_TRB_ERROR;
    if ((add & 1) !== 0) {
      const from = input + CONTEXT_BYTES;
      const latency = dma.u32(from + 4) & 0xffff;
      dma.setU32(slot.context + 4, (dma.u32(slot.context + 4) & 0xffff0000) | latency);
      const target = dma.u32(from + 8) & 0xffc00000;
      dma.setU32(slot.context + 8, (dma.u32(slot.context + 8) & 0x003fffff) | target);
    }
    if ((add & 2) !== 0) {
      const to = slot.context + CONTEXT_BYTES + 4;
      const size = dma.u32(input + 2 * CONTEXT_BYTES + 4) & 0xffff0000;
      dma.setU32(to, (dma.u32(to) & 0xffff) | size);
    }
    return xhci.CC_SUCCESS;
  }

  resetDevice(id: number): number {
    const slot = this.#slot(id);
    const { dma } = this.#ports;
    if (slot === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    for (let dci = 2; dci < ENDPOINTS; dci++) this.#disableEndpoint(id, dci);
    dma.setU32(slot.context + 12, xhci.SLOT_DEFAULT << 27);
    return xhci.CC_SUCCESS;
  }

  resetEndpoint(id: number, dci: number): number {
    if (this.#slot(id) === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    if (this.endpoint(id, dci)?.state !== xhci.EP_HALTED) return xhci.CC_CONTEXT_STATE_ERROR;
    this.setState(id, dci, xhci.EP_STOPPED);
    return xhci.CC_SUCCESS;
  }

  stopEndpoint(id: number, dci: number): number {
    if (this.#slot(id) === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    if (this.endpoint(id, dci)?.state !== xhci.EP_RUNNING) return xhci.CC_CONTEXT_STATE_ERROR;
    this.setState(id, dci, xhci.EP_STOPPED);
    return xhci.CC_SUCCESS;
  }

  setDequeue(id: number, dci: number, pointer: number): number {
    if (this.#slot(id) === undefined) return xhci.CC_SLOT_NOT_ENABLED;
    const endpoint = this.endpoint(id, dci);
    if (endpoint === undefined || (endpoint.state !== xhci.EP_STOPPED && endpoint.state !== xhci.EP_ERROR))
      return xhci.CC_CONTEXT_STATE_ERROR;
    endpoint.dequeue = Math.floor(pointer / 16) * 16;
    endpoint.cycle = pointer % 2;
    this.setState(id, dci, xhci.EP_STOPPED);
    return xhci.CC_SUCCESS;
  }
}
