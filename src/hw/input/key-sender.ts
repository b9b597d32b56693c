/** Types keys given by name, as the monitor's `sendkey` does. */
import type { Timer, TimerService } from '../../core/timer.ts';
import { UserError } from '../../util/errors.ts';
import type { InputCore } from './input-core.ts';
import { findKey, findKeyByNumber, type Key } from './key-table.ts';
import { translateSet2 } from './scancodes.ts';

const MS = 1e6;

/** A key by its name, or by its number; `UserError` if there is none. */
export function keyOf(name: string): Key {
  const key = /^(0x[0-9a-f]+|\d{2,})$/i.test(name)
    ? findKeyByNumber(Number(name), translateSet2)
    : findKey(name);
  if (key === undefined) throw new UserError('UnknownKey', `sendkey: unknown key "${name}"`);
  return key;
}

export class KeySender {
  readonly #input: InputCore;
  readonly #timer: Timer;
  readonly #timers: TimerService;
  #held: Key[] = [];
  #queue: Array<{ readonly keys: readonly Key[]; readonly holdMs: number }> = [];

  constructor(input: InputCore, timers: TimerService) {
    this.#input = input;
    this.#timers = timers;
    this.#timer = timers.create(() => this.#onTimer());
  }

  /** Presses `names` together for `holdMs`; combinations wait for each other. `UserError` for a name that is none. */
  press(names: readonly string[], holdMs: number): void {
    this.#queue.push({ keys: names.map(keyOf), holdMs });
    if (!this.#timer.isArmed) this.#next();
  }

  #next(): void {
    const entry = this.#queue.shift();
    if (entry === undefined) return;
    for (const key of entry.keys) this.#input.send([{ type: 'key', key, down: true }]);
    this.#held = [...entry.keys].reverse();
    this.#timer.arm(this.#timers.nowNs() + entry.holdMs * MS);
  }

  #onTimer(): void {
    for (const key of this.#held) this.#input.send([{ type: 'key', key, down: false }]);
    this.#held = [];
    // A pause, so that the same key twice is seen twice.
    if (this.#queue.length > 0) this.#next();
  }
}
