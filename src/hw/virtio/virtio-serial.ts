/**
 * virtio console device with ports (virtio 1.2, 5.3): consoles and named serial ports, each on a character back end. Queues 0 and 1
 * belong to port 0, 2 and 3 carry control messages, 2n + 2 and 2n + 3 belong to port n.
 */
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import type { AccessSize } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { array, bool, byteList, defineState, stateful, struct } from '../../core/vmstate.ts';
import { VIRTIO_ID_CONSOLE, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, readSegments, segmentViews, type VirtQueue, writeSegments } from './virtqueue.ts';

const F_MULTIPORT = 2n;
const F_EMERGENCY_WRITE = 4n;

// Control messages, 5.3.6.2
const DEVICE_READY = 0;
const DEVICE_ADD = 1;
const DEVICE_REMOVE = 2;
const PORT_READY = 3;
const CONSOLE_PORT = 4;
const PORT_OPEN = 6;
const PORT_NAME = 7;
const CONTROL_BYTES = 8;
const CONTROL_RX = 2;
const CONTROL_TX = 3;
/** Messages kept for a driver that offers no buffers. */
const MAX_MESSAGES = 256;
const MAX_CONTROL_BYTES = 512;

const QUEUE_SIZE = 128;
const CONFIG_BYTES = 12;
const EMERGENCY_AT = 8;
/** Input that waits for the driver. */
const INPUT_LIMIT = 4096;

export const MAX_SERIAL_PORTS = 31;

const schema = defineState('virtio-serial', 1, {
  ready: bool(),
  ports: array(MAX_SERIAL_PORTS, struct({ guestOpen: bool(), input: byteList(INPUT_LIMIT) })),
});

export interface SerialPortOptions {
  readonly isConsole: boolean;
  readonly name: string;
  readonly chardev: CharBackend | undefined;
}

export interface VirtioSerialOptions {
  readonly maxPorts: number;
  readonly emergencyWrite: boolean;
  readonly timers: TimerService;
  /** The guest opened or closed the port. */
  onPortOpen(port: SerialPort, open: boolean): void;
}

/** One port; becomes part of a controller by `VirtioSerial.attach`. */
export class SerialPort implements CharFrontend {
  onReceivable: (() => void) | undefined;
  readonly options: SerialPortOptions;
  number = -1;
  #controller: VirtioSerial | undefined;

  constructor(options: SerialPortOptions) {
    this.options = options;
    options.chardev?.connect(this);
  }

  join(controller: VirtioSerial | undefined, number: number): void {
    this.#controller = controller;
    this.number = number;
  }

  canReceive(): number {
    return this.#controller?.roomOf(this) ?? 0;
  }

  receive(byte: number): void {
    this.#controller?.input(this, byte);
  }

  onWritable(): void {
    this.#controller?.transmit(this.number);
  }
}

interface Blocked {
  readonly chain: Chain;
  sent: number;
}

export class VirtioSerial implements VirtioBackend {
  readonly id = VIRTIO_ID_CONSOLE;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configSize = CONFIG_BYTES;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: VirtioSerialOptions;
  readonly #ports = new Map<number, SerialPort>();
  readonly #flush: Timer;
  /** Chains whose bytes the host does not take yet, by port. */
  readonly #blocked = new Map<number, Blocked>();
  #messages: Uint8Array[] = [];
  #port!: VirtioPort;

  constructor(options: VirtioSerialOptions) {
    this.#options = options;
    this.features = F_MULTIPORT | (options.emergencyWrite ? F_EMERGENCY_WRITE : 0n);
    this.queueSizes = new Array<number>(2 * options.maxPorts + 2).fill(QUEUE_SIZE);
    this.#flush = options.timers.create(() => this.#deliverAll());
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#scheduleFlush() });
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  /** Gives a port its number; false: taken, or there are too many. Port 0 is for consoles. */
  attach(port: SerialPort, wanted: number | undefined): boolean {
    let number = wanted ?? (port.options.isConsole ? 0 : 1);
    if (wanted === undefined) while (this.#ports.has(number)) number++;
    if (number >= this.#options.maxPorts || this.#ports.has(number)) return false;
    this.#ports.set(number, port);
    port.join(this, number);
    if (this.#s.ready) this.#control(number, DEVICE_ADD, 1);
    return true;
  }

  detach(port: SerialPort): void {
    this.#ports.delete(port.number);
    this.#blocked.delete(port.number);
    if (this.#s.ready) this.#control(port.number, DEVICE_REMOVE, 1);
    port.join(undefined, -1);
  }

  readConfig(offset: number, size: AccessSize): number {
    const config = new Uint8Array(CONFIG_BYTES);
    new DataView(config.buffer).setUint32(4, this.#options.maxPorts, true);
    let value = 0;
    for (let i = 0; i < size; i++) value |= config[offset + i]! << (8 * i);
    return value >>> 0;
  }

  /** A kernel without a driver yet may write single bytes to the first console (5.3.4). */
  writeConfig(offset: number, _size: AccessSize, value: number): void {
    if (offset === EMERGENCY_AT) this.#ports.get(0)?.options.chardev?.write(value & 0xff);
  }

  reset(): void {
    const open = [...this.#ports.values()].filter(({ number }) => this.#s.ports[number]!.guestOpen);
    schema.reset(this.#s);
    for (const port of open) this.#options.onPortOpen(port, false);
    this.#blocked.clear();
    this.#messages = [];
    this.#flush.cancel();
  }

  queueNotified(index: number): void {
    if (index === CONTROL_RX) this.#sendMessages();
    else if (index === CONTROL_TX) this.#readControl();
    else if ((index & 1) === 1) this.transmit(index === 1 ? 0 : (index - 3) >> 1);
    else this.#deliver(index === 0 ? 0 : (index - 2) >> 1);
  }

  // --- host to guest

  roomOf(port: SerialPort): number {
    const { input, guestOpen } = this.#s.ports[port.number]!;
    const isOpen = guestOpen || (port.number === 0 && !this.#isMultiport);
    return isOpen && this.#port.isRunning ? INPUT_LIMIT - input.length : 0;
  }

  input(port: SerialPort, byte: number): void {
    const state = this.#s.ports[port.number]!;
    const longer = new Uint8Array(state.input.length + 1);
    longer.set(state.input);
    longer[state.input.length] = byte;
    state.input = longer;
    this.#scheduleFlush();
  }

  /** Bytes come one by one; they go to the driver together. */
  #scheduleFlush(): void {
    if (!this.#flush.isArmed) this.#flush.arm(this.#options.timers.nowNs());
  }

  #deliverAll(): void {
    for (const number of this.#ports.keys()) this.#deliver(number);
  }

  #deliver(number: number): void {
    const state = this.#s.ports[number];
    const index = number === 0 ? 0 : 2 * number + 2;
    const queue = this.#port.queues[index];
    if (state === undefined || queue === undefined || !this.#port.isRunning) return;
    let given = 0;
    while (given < state.input.length) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const written = writeSegments(queue.ram, chain.in, state.input.subarray(given));
      queue.push(chain, written);
      given += written;
      if (written === 0) break;
    }
    if (given > 0) {
      state.input = state.input.slice(given);
      this.#port.notifyQueue(index);
    }
    this.#ports.get(number)?.onReceivable?.();
  }

  // --- guest to host

  /** Passes on what the driver wrote to port `number`, as far as the host takes it. */
  transmit(number: number): void {
    const index = number === 0 ? 1 : 2 * number + 3;
    const queue = this.#port.queues[index];
    if (queue === undefined || !this.#port.isRunning) return;
    const chardev = this.#ports.get(number)?.options.chardev;
    for (;;) {
      const chain = this.#blocked.get(number)?.chain ?? queue.pop();
      if (chain === undefined) break;
      if (!this.#write(queue, chain, number, chardev)) break;
      this.#blocked.delete(number);
      queue.push(chain, 0);
      this.#port.notifyQueue(index);
    }
  }

  #write(queue: VirtQueue, chain: Chain, number: number, chardev: CharBackend | undefined): boolean {
    if (chardev === undefined) return true;
    let sent = this.#blocked.get(number)?.sent ?? 0;
    for (const view of segmentViews(queue.ram, chain.out, sent)) {
      for (const byte of view) {
        if (!chardev.write(byte)) {
          this.#blocked.set(number, { chain, sent });
          return false;
        }
        sent++;
      }
    }
    return true;
  }

  // --- control

  get #isMultiport(): boolean {
    return (this.#port.negotiated & F_MULTIPORT) !== 0n;
  }

  #readControl(): void {
    const queue = this.#port.queues[CONTROL_TX]!;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = new Uint8Array(Math.min(chain.outBytes, MAX_CONTROL_BYTES));
      readSegments(queue.ram, chain.out, bytes);
      if (bytes.length >= CONTROL_BYTES) this.#onControl(new DataView(bytes.buffer));
      queue.push(chain, 0);
      this.#port.notifyQueue(CONTROL_TX);
    }
  }

  #onControl(message: DataView): void {
    const number = message.getUint32(0, true);
    const event = message.getUint16(4, true);
    const value = message.getUint16(6, true);
    if (event === DEVICE_READY) {
      this.#s.ready = value === 1;
      if (value === 1) for (const n of this.#ports.keys()) this.#control(n, DEVICE_ADD, 1);
      return;
    }
    const port = this.#ports.get(number);
    if (port === undefined) {
      this.#port.guestError(`virtio-serial: control message ${event} for port ${number}`);
      return;
    }
    if (event === PORT_READY && value === 1) this.#introduce(port);
    else if (event === PORT_OPEN) this.#opened(port, value !== 0);
  }

  #introduce(port: SerialPort): void {
    const { isConsole, name } = port.options;
    if (isConsole) this.#control(port.number, CONSOLE_PORT, 1);
    if (name !== '') this.#control(port.number, PORT_NAME, 1, name);
    this.#control(port.number, PORT_OPEN, 1);
  }

  #opened(port: SerialPort, open: boolean): void {
    const state = this.#s.ports[port.number]!;
    if (state.guestOpen === open) return;
    state.guestOpen = open;
    this.#options.onPortOpen(port, open);
    if (open) port.onReceivable?.();
  }

  #control(number: number, event: number, value: number, text = ''): void {
    const message = new Uint8Array(CONTROL_BYTES + text.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, number, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    for (let i = 0; i < text.length; i++) message[CONTROL_BYTES + i] = text.charCodeAt(i);
    if (this.#messages.length < MAX_MESSAGES) this.#messages.push(message);
    this.#sendMessages();
  }

  #sendMessages(): void {
    const queue = this.#port.queues[CONTROL_RX];
    if (queue === undefined) return;
    while (this.#messages.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) return;
      queue.push(chain, writeSegments(queue.ram, chain.in, this.#messages.shift()!));
      this.#port.notifyQueue(CONTROL_RX);
    }
  }
}
