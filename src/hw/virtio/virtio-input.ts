/**
 * virtio input devices (virtio 1.2, 5.8): keyboard, mouse and tablet. Queue 0 carries events to the driver, queue 1 its answers (LEDs).
 * Types, codes and values are those of Linux' evdev.
 */
import type { AccessSize } from '../../core/memory-region.ts';
import { bool, byteList, defineState, type Stateful, stateful, u8 } from '../../core/vmstate.ts';
import {
  ABSOLUTE_MAX,
  type Button,
  INPUT_ABSOLUTE,
  INPUT_BUTTON,
  INPUT_KEY,
  INPUT_RELATIVE,
  type InputCore,
  type InputEvent,
  type InputSeat,
} from '../input/input-core.ts';
import { allKeys } from '../input/key-table.ts';
import { VIRTIO_ID_INPUT, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { writeSegments } from './virtqueue.ts';

export type VirtioInputKind = 'keyboard' | 'mouse' | 'tablet';

const EVENT_QUEUE = 0;
const STATUS_QUEUE = 1;
const QUEUE_SIZE = 64;
const EVENT_BYTES = 8;
/** Selector, subselector, size, five reserved bytes and the data. */
const CONFIG_BYTES = 136;
const CONFIG_DATA = 8;
const PENDING_LIMIT = 64;

// Selectors, 5.8.4
const ID_NAME = 0x01;
const ID_SERIAL = 0x02;
const ID_DEVIDS = 0x03;
const PROP_BITS = 0x10;
const EV_BITS = 0x11;
const ABS_INFO = 0x12;

// Event types and codes of evdev
const EV_SYN = 0;
const EV_KEY = 1;
const EV_REL = 2;
const EV_ABS = 3;
const EV_LED = 0x11;
const EV_REP = 0x14;
const REL_WHEEL = 8;
const REL_HWHEEL = 6;
const BUTTON_CODES: Readonly<Partial<Record<Button, number>>> = {
  left: 0x110,
  right: 0x111,
  middle: 0x112,
  side: 0x113,
  extra: 0x114,
};
const WHEELS: Readonly<Partial<Record<Button, readonly [number, number]>>> = {
  'wheel-up': [REL_WHEEL, 1],
  'wheel-down': [REL_WHEEL, -1],
  'wheel-left': [REL_HWHEEL, -1],
  'wheel-right': [REL_HWHEEL, 1],
};
const BUS_VIRTUAL = 6;

interface Facts {
  readonly name: string;
  readonly product: number;
  readonly takes: number;
  readonly bits: Readonly<Record<number, readonly number[]>>;
}

const POINTER_KEYS = Object.values(BUTTON_CODES);
const FACTS: Readonly<Record<VirtioInputKind, Facts>> = {
  keyboard: {
    name: 'Virtio Keyboard',
    product: 1,
    takes: INPUT_KEY,
    bits: { [EV_KEY]: [...allKeys()].map((key) => key.linux), [EV_LED]: [0, 1, 2], [EV_REP]: [] },
  },
  mouse: {
    name: 'Virtio Mouse',
    product: 2,
    takes: INPUT_BUTTON | INPUT_RELATIVE,
    bits: { [EV_KEY]: POINTER_KEYS, [EV_REL]: [0, 1, REL_WHEEL, REL_HWHEEL] },
  },
  tablet: {
    name: 'Virtio Tablet',
    product: 3,
    takes: INPUT_BUTTON | INPUT_ABSOLUTE,
    bits: { [EV_KEY]: POINTER_KEYS, [EV_REL]: [REL_WHEEL, REL_HWHEEL], [EV_ABS]: [0, 1] },
  },
};

const schema = defineState('virtio-input', 1, {
  select: u8(),
  subselect: u8(),
  active: bool(),
  /** Events of 8 bytes that belong together and are not complete. */
  pending: byteList(PENDING_LIMIT * EVENT_BYTES),
});

export interface VirtioInputOptions {
  readonly kind: VirtioInputKind;
  readonly input: InputCore;
  readonly serial: string;
}

export class VirtioInput implements VirtioBackend {
  readonly id = VIRTIO_ID_INPUT;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly configSize = CONFIG_BYTES;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #facts: Facts;
  readonly #serial: string;
  readonly #seat: InputSeat;
  #port!: VirtioPort;

  constructor({ kind, input, serial }: VirtioInputOptions) {
    this.#facts = FACTS[kind];
    this.#serial = serial;
    this.#seat = input.join({
      name: `QEMU ${this.#facts.name}`,
      takes: this.#facts.takes,
      event: (event) => this.#event(event),
      sync: () => this.#sync(),
    });
    this.vmstate = stateful(schema, this.#s, {
      postLoad: () => {
        if (this.#s.active) this.#seat.activate();
      },
    });
  }

  /** The device is gone for good. */
  dispose(): void {
    this.#seat.leave();
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  /** A driver is there: what users do goes to it. */
  start(): void {
    this.#s.active = true;
    this.#seat.activate();
  }

  reset(): void {
    if (this.#s.active) this.#seat.deactivate();
    schema.reset(this.#s);
  }

  // --- configuration (5.8.4)

  readConfig(offset: number, size: AccessSize): number {
    const bytes = new Uint8Array(CONFIG_BYTES);
    const data = this.#selected();
    bytes[0] = this.#s.select;
    bytes[1] = this.#s.subselect;
    bytes[2] = data.length;
    bytes.set(data, CONFIG_DATA);
    let value = 0;
    for (let i = 0; i < size; i++) value |= (bytes[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (offset === 0) this.#s.select = value & 0xff;
    if (offset === 0 && size > 1) this.#s.subselect = (value >> 8) & 0xff;
    else if (offset === 1) this.#s.subselect = value & 0xff;
  }

  #selected(): Uint8Array {
    const { select, subselect } = this.#s;
    const { name, product, bits } = this.#facts;
    if (select === EV_BITS) return bitmap(bits[subselect]);
    if (select === ABS_INFO && bits[EV_ABS]?.includes(subselect) === true) return absoluteRange();
    if (subselect !== 0 || select === PROP_BITS) return new Uint8Array(0);
    if (select === ID_NAME) return ascii(`Lyrebird ${name}`);
    if (select === ID_SERIAL) return ascii(this.#serial);
    if (select === ID_DEVIDS) return Uint8Array.of(BUS_VIRTUAL, 0, 0x27, 0x06, product, 0, 1, 0);
    return new Uint8Array(0);
  }

  // --- queues (5.8.6)

  queueNotified(index: number): void {
    if (index !== STATUS_QUEUE) return;
    const queue = this.#port.queues[STATUS_QUEUE]!;
    let isDone = false;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      queue.push(chain, 0); // lights that nobody sees
      isDone = true;
    }
    if (isDone) this.#port.notifyQueue(STATUS_QUEUE);
  }

  #event(event: InputEvent): void {
    switch (event.type) {
      case 'key':
        this.#add(EV_KEY, event.key.linux, event.down ? 1 : 0);
        break;
      case 'button':
        this.#button(event.button, event.down);
        break;
      case 'relative':
        this.#add(EV_REL, event.axis === 'x' ? 0 : 1, event.value);
        break;
      case 'absolute':
        this.#add(EV_ABS, event.axis === 'x' ? 0 : 1, event.value);
    }
  }

  #button(button: Button, down: boolean): void {
    const wheel = WHEELS[button];
    const code = BUTTON_CODES[button];
    if (wheel !== undefined && down) this.#add(EV_REL, wheel[0], wheel[1]);
    else if (code !== undefined) this.#add(EV_KEY, code, down ? 1 : 0);
  }

  #add(type: number, code: number, value: number): void {
    const { pending } = this.#s;
    if (pending.length >= (PENDING_LIMIT - 1) * EVENT_BYTES) return;
    const bytes = new Uint8Array(pending.length + EVENT_BYTES);
    bytes.set(pending);
    const view = new DataView(bytes.buffer);
    view.setUint16(pending.length, type, true);
    view.setUint16(pending.length + 2, code, true);
    view.setInt32(pending.length + 4, value, true);
    this.#s.pending = bytes;
  }

  /** Events that belong together arrive together, or not at all: a driver that is too slow loses whole groups. */
  #sync(): void {
    this.#add(EV_SYN, 0, 0);
    const { pending } = this.#s;
    this.#s.pending = new Uint8Array(0);
    const port: VirtioPort | undefined = this.#port;
    if (port?.isRunning !== true) return;
    const queue = port.queues[EVENT_QUEUE]!;
    const chains = [];
    for (let at = 0; at < pending.length; at += EVENT_BYTES) {
      const chain = queue.pop();
      if (chain === undefined) break;
      chains.push(chain);
    }
    const isComplete = chains.length * EVENT_BYTES === pending.length;
    chains.forEach((chain, n) => {
      // A group without room is a series of reports of nothing.
      const event = isComplete
        ? pending.subarray(n * EVENT_BYTES, (n + 1) * EVENT_BYTES)
        : new Uint8Array(EVENT_BYTES);
      queue.push(chain, writeSegments(queue.ram, chain.in, event));
    });
    if (chains.length > 0) port.notifyQueue(EVENT_QUEUE);
  }
}

function bitmap(codes: readonly number[] | undefined): Uint8Array {
  if (codes === undefined) return new Uint8Array(0);
  const bytes = new Uint8Array(1 + (Math.max(0, ...codes) >> 3));
  for (const code of codes) bytes[code >> 3]! |= 1 << (code & 7);
  return bytes;
}

/** Smallest and largest value; no fuzz, flat, resolution. */
function absoluteRange(): Uint8Array {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(4, ABSOLUTE_MAX, true);
  return new Uint8Array(view.buffer);
}

const ascii = (text: string): Uint8Array =>
  Uint8Array.from(text.slice(0, 127), (char) => char.charCodeAt(0) & 0x7f);
