/** Keys of a HID keyboard as its reports tell them (HID 1.11, appendix B.1 and C). */
import { byteList, u8 } from '../../core/vmstate.ts';
import { INPUT_KEY, type InputHandler } from '../input/input-core.ts';

const QUEUE_LIMIT = 64;
const KEYS = 6;
const ROLL_OVER = 1;
const FIRST_MODIFIER = 0xe0;
const LAST_MODIFIER = 0xe7;

export const keyboardFields = {
  modifiers: u8(),
  /** Usages of the keys that are down; those beyond six make the report an error. */
  down: byteList(256),
  /** Pairs of usage and 1 (pressed) or 0 (released). */
  queue: byteList(2 * QUEUE_LIMIT),
  leds: u8(),
};

interface State {
  modifiers: number;
  down: Uint8Array;
  queue: Uint8Array;
  leds: number;
}

export class HidKeyboard {
  readonly handler: InputHandler;
  readonly #s: State;

  constructor(state: State, changed: () => void) {
    this.#s = state;
    this.handler = {
      name: 'QEMU HID Keyboard',
      takes: INPUT_KEY,
      event: (event) => {
        if (event.type === 'key' && event.key.usage !== 0) this.#enqueue(event.key.usage, event.down);
      },
      sync: changed,
    };
  }

  get leds(): number {
    return this.#s.leds;
  }

  set leds(value: number) {
    this.#s.leds = value;
  }

  get hasNews(): boolean {
    return this.#s.queue.length >= 2;
  }

  reset(): void {
    this.#s.modifiers = 0;
    this.#s.down = new Uint8Array(0);
    this.#s.queue = new Uint8Array(0);
    this.#s.leds = 0;
  }

  #enqueue(usage: number, down: boolean): void {
    const { queue } = this.#s;
    if (queue.length < 2 * QUEUE_LIMIT) this.#s.queue = Uint8Array.of(...queue, usage, down ? 1 : 0);
  }

  /** Takes one change and says how things stand after it. */
  report(): Uint8Array {
    const s = this.#s;
    if (this.hasNews) {
      this.#apply(s.queue[0]!, s.queue[1] !== 0);
      s.queue = s.queue.slice(2);
    }
    const bytes = new Uint8Array(2 + KEYS);
    bytes[0] = s.modifiers;
    if (s.down.length > KEYS) bytes.fill(ROLL_OVER, 2);
    else bytes.set(s.down, 2);
    return bytes;
  }

  #apply(usage: number, down: boolean): void {
    const s = this.#s;
    if (usage >= FIRST_MODIFIER && usage <= LAST_MODIFIER) {
      const bit = 1 << (usage - FIRST_MODIFIER);
      s.modifiers = down ? s.modifiers | bit : s.modifiers & ~bit;
      return;
    }
    const others = s.down.filter((other) => other !== usage).slice(0, 255);
    s.down = down ? Uint8Array.of(...others, usage) : others;
  }
}
