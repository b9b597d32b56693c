/** Movements and buttons of a HID mouse or tablet: a queue of reports. */
import { byteList, u8, u16 } from '../../core/vmstate.ts';
import { INPUT_ABSOLUTE, INPUT_BUTTON, INPUT_RELATIVE, type InputHandler } from '../input/input-core.ts';
import { PointerTotals } from '../input/pointer-totals.ts';

const QUEUE_LIMIT = 16;
/** Saved form of an entry: buttons, wheel, and two numbers of 32 bits. */
const ENTRY_BYTES = 10;

export const pointerFields = {
  buttons: u8(),
  x: u16(),
  y: u16(),
  queue: byteList(QUEUE_LIMIT * ENTRY_BYTES),
};

interface State {
  buttons: number;
  x: number;
  y: number;
  queue: Uint8Array;
}

interface Entry {
  buttons: number;
  /** Distances, or a place. */
  x: number;
  y: number;
  z: number;
}

export class HidPointer {
  readonly handler: InputHandler;
  readonly #s: State;
  readonly #isAbsolute: boolean;
  readonly #totals = new PointerTotals();
  #queue: Entry[] = [];

  constructor(state: State, isAbsolute: boolean, changed: () => void) {
    this.#s = state;
    this.#isAbsolute = isAbsolute;
    this.handler = {
      name: isAbsolute ? 'QEMU HID Tablet' : 'QEMU HID Mouse',
      takes: INPUT_BUTTON | (isAbsolute ? INPUT_ABSOLUTE : INPUT_RELATIVE),
      event: (event) => this.#totals.add(event),
      sync: () => {
        this.#enqueue();
        changed();
      },
    };
  }

  get hasNews(): boolean {
    return this.#queue.length > 0;
  }

  reset(): void {
    this.#queue = [];
    this.#s.buttons = 0;
    this.#s.x = 0;
    this.#s.y = 0;
  }

  preSave(): void {
    const view = new DataView(new ArrayBuffer(this.#queue.length * ENTRY_BYTES));
    this.#queue.forEach(({ buttons, x, y, z }, n) => {
      view.setUint8(n * ENTRY_BYTES, buttons);
      view.setInt8(n * ENTRY_BYTES + 1, clamp(z));
      view.setInt32(n * ENTRY_BYTES + 2, x);
      view.setInt32(n * ENTRY_BYTES + 6, y);
    });
    this.#s.queue = new Uint8Array(view.buffer);
  }

  postLoad(): void {
    const { queue } = this.#s;
    const view = new DataView(queue.buffer, queue.byteOffset, queue.length);
    this.#queue = Array.from({ length: Math.floor(queue.length / ENTRY_BYTES) }, (_, n) => ({
      buttons: view.getUint8(n * ENTRY_BYTES),
      z: view.getInt8(n * ENTRY_BYTES + 1),
      x: view.getInt32(n * ENTRY_BYTES + 2),
      y: view.getInt32(n * ENTRY_BYTES + 6),
    }));
  }

  /** A full queue keeps the sum of what comes: no button and no distance is lost. */
  #enqueue(): void {
    const { dx, dy, dz, x, y, buttons } = this.#totals.take();
    const entry = this.#isAbsolute ? { buttons, x, y, z: dz } : { buttons, x: dx, y: dy, z: dz };
    const last = this.#queue.at(-1);
    if (last === undefined || this.#queue.length < QUEUE_LIMIT) {
      this.#queue.push(entry);
      return;
    }
    last.buttons = entry.buttons;
    last.z += entry.z;
    last.x = this.#isAbsolute ? entry.x : last.x + entry.x;
    last.y = this.#isAbsolute ? entry.y : last.y + entry.y;
  }

  /** The next report; one that moves too far is spread over several. */
  report(): Uint8Array {
    const s = this.#s;
    const entry = this.#queue[0];
    if (entry === undefined) return this.#isAbsolute ? this.#place(0) : Uint8Array.of(s.buttons, 0, 0, 0);
    s.buttons = entry.buttons;
    const z = clamp(entry.z);
    entry.z -= z;
    if (this.#isAbsolute) {
      s.x = entry.x & 0x7fff;
      s.y = entry.y & 0x7fff;
      if (entry.z === 0) this.#queue.shift();
      return this.#place(z);
    }
    const [x, y] = [clamp(entry.x), clamp(entry.y)];
    entry.x -= x;
    entry.y -= y;
    if (entry.x === 0 && entry.y === 0 && entry.z === 0) this.#queue.shift();
    return Uint8Array.of(s.buttons, x & 0xff, y & 0xff, wheel(z));
  }

  #place(z: number): Uint8Array {
    const { buttons, x, y } = this.#s;
    return Uint8Array.of(buttons, x & 0xff, x >> 8, y & 0xff, y >> 8, wheel(z));
  }
}

/** A HID wheel turned away from the user is positive. */
const wheel = (z: number): number => -z & 0xff;

function clamp(value: number): number {
  return Math.max(-127, Math.min(127, value));
}
