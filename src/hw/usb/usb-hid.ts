/** Keyboard, mouse and tablet as USB devices (Device Class Definition for Human Interface Devices 1.11). */

import type { Timer, TimerService } from '../../core/timer.ts';
import { bool, defineState, num, type Stateful, stateful, struct, u8 } from '../../core/vmstate.ts';
import type { InputCore, InputSeat } from '../input/input-core.ts';
import { HidKeyboard, keyboardFields } from './hid-keyboard.ts';
import { HidPointer, pointerFields } from './hid-pointer.ts';
import { KEYBOARD_REPORT, MOUSE_REPORT, TABLET_REPORT } from './hid-reports.ts';
import * as usb from './usb-codes.ts';
import { type UsbIdentity, word } from './usb-descriptors.ts';
import { UsbDevice, type UsbRequest, usbFields } from './usb-device.ts';

export type HidKind = 'keyboard' | 'mouse' | 'tablet';

const IN_ENDPOINT = 0x81;

// Requests, 7.2
const GET_REPORT = 0x01;
const GET_IDLE = 0x02;
const GET_PROTOCOL = 0x03;
const SET_REPORT = 0x09;
const SET_IDLE = 0x0a;
const SET_PROTOCOL = 0x0b;
const IDLE_UNIT_NS = 4e6;

const schema = defineState('usb-hid', 1, {
  usb: struct(usbFields),
  /** 0: the boot protocol. */
  protocol: u8(1),
  idle: u8(),
  idleAtNs: num(Number.POSITIVE_INFINITY),
  hasPolled: bool(),
  keyboard: struct(keyboardFields),
  pointer: struct(pointerFields),
});

interface Facts {
  readonly product: string;
  readonly serial: string;
  readonly report: Uint8Array;
  readonly protocol: number;
  readonly bytes: number;
}

const FACTS: Readonly<Record<HidKind, Facts>> = {
  mouse: { product: 'USB Mouse', serial: '89126', report: MOUSE_REPORT, protocol: 2, bytes: 4 },
  tablet: { product: 'USB Tablet', serial: '28754', report: TABLET_REPORT, protocol: 0, bytes: 8 },
  keyboard: { product: 'USB Keyboard', serial: '68284', report: KEYBOARD_REPORT, protocol: 1, bytes: 8 },
};

export interface HidOptions {
  readonly kind: HidKind;
  readonly input: InputCore;
  readonly timers: TimerService;
  /** 1: full speed only; 2: high speed, too. */
  readonly usbVersion: number;
  /** Instead of the usual one. */
  readonly serial?: string | undefined;
}

/** 6.2.1: one report descriptor. */
function hidDescriptor(report: Uint8Array): Uint8Array {
  return Uint8Array.of(9, usb.DT_HID, ...word(0x0111), 0, 1, usb.DT_HID_REPORT, ...word(report.length));
}

function identityOf({ kind, serial }: HidOptions): UsbIdentity {
  const facts = FACTS[kind];
  return {
    vendorId: 0x0627,
    productId: 0x0001,
    release: 0,
    manufacturer: 'Lyrebird',
    product: facts.product,
    serial: serial ?? facts.serial,
    deviceClass: 0,
    attributes: 0x20,
    power: 100,
    interfaces: (speed) => [
      {
        class: 3,
        subclass: facts.protocol === 0 ? 0 : 1,
        protocol: facts.protocol,
        extra: hidDescriptor(facts.report),
        endpoints: [
          {
            address: IN_ENDPOINT,
            type: usb.ENDPOINT_INTERRUPT,
            maxPacket: facts.bytes,
            // Milliseconds, or 2^(n−1) microframes: 8 or 10 ms, a tablet at high speed 4.
            interval: speed === usb.SPEED_HIGH ? (kind === 'tablet' ? 6 : 7) : 10,
          },
        ],
      },
    ],
  };
}

export class UsbHid extends UsbDevice {
  readonly vmstate: Stateful;
  readonly #s;
  readonly #options: HidOptions;
  readonly #keyboard: HidKeyboard | undefined;
  readonly #pointer: HidPointer | undefined;
  readonly #seat: InputSeat;
  readonly #idleTimer: Timer;

  constructor(options: HidOptions) {
    const state = schema.create();
    const high = options.usbVersion >= 2 ? usb.speedBit(usb.SPEED_HIGH) : 0;
    super(identityOf(options), usb.speedBit(usb.SPEED_FULL) | high, state.usb);
    this.#s = state;
    this.#options = options;
    const { kind, input, timers } = options;
    const changed = (): void => this.notify(IN_ENDPOINT);
    if (kind === 'keyboard') this.#keyboard = new HidKeyboard(state.keyboard, changed);
    else this.#pointer = new HidPointer(state.pointer, kind === 'tablet', changed);
    this.#seat = input.join((this.#keyboard ?? this.#pointer)!.handler);
    // A keyboard takes over when it is plugged, a pointer when it is first asked.
    if (kind === 'keyboard') this.#seat.activate();
    this.#idleTimer = timers.create(() => this.notify(IN_ENDPOINT));
    this.vmstate = stateful(schema, state, {
      preSave: () => this.#pointer?.preSave(),
      postLoad: () => {
        this.#pointer?.postLoad();
        if (state.hasPolled) this.#seat.activate();
        this.#idleTimer.arm(state.idleAtNs);
      },
    });
  }

  /** The device is gone for good. */
  dispose(): void {
    this.#seat.leave();
    this.#idleTimer.cancel();
  }

  protected override busResetDone(): void {
    const s = this.#s;
    s.protocol = 1;
    s.hasPolled = false;
    this.#setIdle(0);
    this.#keyboard?.reset();
    this.#pointer?.reset();
  }

  protected override transfer(pid: number, endpoint: number, data: Uint8Array): number {
    if (pid !== usb.PID_IN || endpoint !== 1) return usb.USB_STALL;
    const s = this.#s;
    if (!s.hasPolled) {
      s.hasPolled = true;
      if (this.#pointer !== undefined) this.#seat.activate();
    }
    const isIdleOver = this.#options.timers.nowNs() >= s.idleAtNs;
    if (!isIdleOver && !this.#hasNews) return usb.USB_NAK;
    this.#setIdle(s.idle);
    return put(this.#report(), data);
  }

  get #hasNews(): boolean {
    return this.#keyboard?.hasNews ?? this.#pointer!.hasNews;
  }

  #report(): Uint8Array {
    return this.#keyboard?.report() ?? this.#pointer!.report();
  }

  protected override classDescriptor(type: number): Uint8Array | undefined {
    const { report } = FACTS[this.#options.kind];
    if (type === usb.DT_HID_REPORT) return report;
    return type === usb.DT_HID ? hidDescriptor(report) : undefined;
  }

  protected override request(r: UsbRequest, data: Uint8Array): Uint8Array | undefined {
    const s = this.#s;
    if ((r.type & 0x60) !== usb.TYPE_CLASS) return undefined;
    switch (r.request) {
      case GET_REPORT:
        return this.#report();
      case SET_REPORT:
        if (this.#keyboard !== undefined) this.#keyboard.leds = data[0] ?? 0;
        return new Uint8Array(0);
      case GET_PROTOCOL:
        return Uint8Array.of(s.protocol);
      case SET_PROTOCOL:
        s.protocol = r.value & 1;
        return new Uint8Array(0);
      case GET_IDLE:
        return Uint8Array.of(s.idle);
      case SET_IDLE:
        this.#setIdle(r.value >> 8);
        return new Uint8Array(0);
      default:
        return undefined;
    }
  }

  /** Repeats a report that has not changed every `idle` × 4 ms; 0: never (7.2.4). */
  #setIdle(idle: number): void {
    this.#s.idle = idle;
    this.#s.idleAtNs =
      idle === 0 ? Number.POSITIVE_INFINITY : this.#options.timers.nowNs() + idle * IDLE_UNIT_NS;
    this.#idleTimer.arm(this.#s.idleAtNs);
  }
}

function put(bytes: Uint8Array, into: Uint8Array): number {
  const part = bytes.subarray(0, into.length);
  into.set(part);
  return part.length;
}
