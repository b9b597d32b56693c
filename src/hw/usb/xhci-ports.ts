/** Root hub ports (xHCI 1.1, 4.19 and 5.4.8): a register for each protocol of a socket, those of USB 3 first. */
import { array, defineState, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import * as usb from './usb-codes.ts';
import { isSuperSpeed, type UsbPort } from './usb-port.ts';
import * as xhci from './xhci-codes.ts';

const MAX_PORTS = 30;
/** Port speed numbers of the default mapping (7.2.2.1.1). */
const SPEED_IDS: Readonly<Record<usb.UsbSpeed, number>> = { 0: 2, 1: 1, 2: 3, 3: 4 };
const LINK_POLLING = 7;
/** Powered, nothing there. */
const IDLE = xhci.PORT_POWER | (xhci.LINK_RX_DETECT << xhci.PORT_LINK_SHIFT);

const schema = defineState('xhci-ports', 1, { registers: array(MAX_PORTS, u32(xhci.PORT_POWER)) });

export class XhciPorts {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #sockets: readonly UsbPort[];
  readonly #ports2: number;
  readonly #ports3: number;
  readonly #onChange: (register: number) => void;

  /** `onChange` hears of registers (from 0) with a new change bit. */
  constructor(
    sockets: readonly UsbPort[],
    ports2: number,
    ports3: number,
    onChange: (register: number) => void,
  ) {
    this.#sockets = sockets;
    this.#ports2 = ports2;
    this.#ports3 = ports3;
    this.#onChange = onChange;
    this.vmstate = stateful(schema, this.#s);
  }

  get count(): number {
    return this.#ports2 + this.#ports3;
  }

  /** The socket of a register. */
  socketOf(register: number): UsbPort | undefined {
    if (register < 0 || register >= this.count) return undefined;
    return this.#sockets[register < this.#ports3 ? register : register - this.#ports3];
  }

  #registerOf(port: UsbPort): number {
    if (isSuperSpeed(port.device!)) return port.index;
    return this.#ports3 + port.index;
  }

  reset(): void {
    for (let n = 0; n < this.count; n++) this.#s.registers[n] = IDLE;
    for (const port of this.#sockets) if (port.device !== undefined) this.attached(port);
  }

  attached(port: UsbPort): void {
    const n = this.#registerOf(port);
    const { speed } = port.device!;
    const isSuper = speed === usb.SPEED_SUPER;
    this.#s.registers[n] =
      xhci.PORT_POWER |
      xhci.PORT_CONNECTED |
      (SPEED_IDS[speed] << xhci.PORT_SPEED_SHIFT) |
      (isSuper ? xhci.PORT_ENABLED : 0) |
      ((isSuper ? xhci.LINK_U0 : LINK_POLLING) << xhci.PORT_LINK_SHIFT);
    this.#change(n, xhci.PORT_CONNECT_CHANGE);
  }

  detached(port: UsbPort): void {
    const n = this.#registerOf(port);
    const changes = this.#s.registers[n]! & xhci.PORT_CHANGES;
    this.#s.registers[n] = IDLE | changes;
    this.#change(n, xhci.PORT_CONNECT_CHANGE);
  }

  #change(n: number, bits: number): void {
    const before = this.#s.registers[n]!;
    this.#s.registers[n] = (before | bits) >>> 0;
    // One event for all changes until the driver has cleared them (4.19.2).
    if ((before & xhci.PORT_CHANGES) === 0) this.#onChange(n);
  }

  read(n: number, offset: number): number {
    return offset === 0 && n < this.count ? this.#s.registers[n]! : 0;
  }

  write(n: number, offset: number, value: number): void {
    if (offset !== 0 || n >= this.count) return;
    const s = this.#s;
    const isThree = n < this.#ports3;
    if ((value & xhci.PORT_WARM_RESET) !== 0 && isThree) {
      this.#reset(n, xhci.PORT_WARM_RESET_CHANGE);
      return;
    }
    if ((value & xhci.PORT_RESET) !== 0) {
      this.#reset(n, 0);
      return;
    }
    let port = s.registers[n]!;
    port &= ~(value & xhci.PORT_CHANGES);
    if ((value & xhci.PORT_ENABLED) !== 0) port &= ~xhci.PORT_ENABLED;
    port = (port & ~xhci.PORT_WAKE) | (value & xhci.PORT_WAKE);
    s.registers[n] = port >>> 0;
    if ((value & xhci.PORT_LINK_STROBE) !== 0) this.#setLink(n, (value & xhci.PORT_LINK_MASK) >> 5);
  }

  #setLink(n: number, state: number): void {
    const s = this.#s;
    const before = (s.registers[n]! & xhci.PORT_LINK_MASK) >> xhci.PORT_LINK_SHIFT;
    if (state !== xhci.LINK_U0 && state !== xhci.LINK_U3 && state !== xhci.LINK_RESUME) return;
    if (state === xhci.LINK_U3 && before !== xhci.LINK_U0) return;
    s.registers[n] = ((s.registers[n]! & ~xhci.PORT_LINK_MASK) | (state << xhci.PORT_LINK_SHIFT)) >>> 0;
    if (state === xhci.LINK_U0 && before !== xhci.LINK_U0) this.#change(n, xhci.PORT_LINK_CHANGE);
  }

  #reset(n: number, change: number): void {
    const socket = this.socketOf(n);
    const device = socket?.device;
    if (device === undefined || this.#registerOf(socket!) !== n) return;
    device.busReset();
    const s = this.#s;
    s.registers[n] = ((s.registers[n]! & ~xhci.PORT_LINK_MASK) | xhci.PORT_ENABLED) >>> 0;
    this.#change(n, xhci.PORT_RESET_CHANGE | change);
  }
}
