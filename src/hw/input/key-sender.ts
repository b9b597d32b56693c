/** Types keys given by name, as the monitor's `sendkey` does. */
import type { Timer, TimerService } from '../../core/timer.ts';
import { UserError } from '../../util/errors.ts';
import { keyCode } from './key-names.ts';
import type { Ps2Keyboard } from './ps2.ts';

const MS = 1e6;

export class KeySender {
  readonly #keyboard: Ps2Keyboard;
  readonly #timer: Timer;
  readonly #timers: TimerService;
  #held: number[] = [];
  #queue: Array<{ readonly codes: readonly number[]; readonly holdMs: number }> = [];

  constructor(keyboard: Ps2Keyboard, timers: TimerService) {
    this.#keyboard = keyboard;
    this.#timers = timers;
    this.#timer = timers.create(() => this.#onTimer());
  }

  /** Presses `keys` together for `holdMs`; combinations wait for each other. `UserError` for a name that is none. */
  press(keys: readonly string[], holdMs: number): void {
    const codes = keys.map((key) => {
      const code = keyCode(key);
      if (code === undefined) throw new UserError('UnknownKey', `sendkey: unknown key "${key}"`);
      return code;
    });
    this.#queue.push({ codes, holdMs });
    if (!this.#timer.isArmed) this.#next();
  }

  #next(): void {
    const entry = this.#queue.shift();
    if (entry === undefined) return;
    for (const code of entry.codes) this.#keyboard.sendKey(code, true);
    this.#held = [...entry.codes].reverse();
    this.#timer.arm(this.#timers.nowNs() + entry.holdMs * MS);
  }

  #onTimer(): void {
    for (const code of this.#held) this.#keyboard.sendKey(code, false);
    this.#held = [];
    // A pause, so that the same key twice is seen twice.
    if (this.#queue.length > 0) this.#next();
  }
}
