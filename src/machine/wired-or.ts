/** Interrupt inputs that several devices share: one more line per user, high while any of them is. */
import { IrqLine } from '../core/irq.ts';

export class SharedIrqs {
  readonly #high: number[];
  readonly #handler: (n: number, level: boolean) => void;

  /** `handler` gets the level of input `n` of `count`. */
  constructor(count: number, handler: (n: number, level: boolean) => void) {
    this.#high = new Array<number>(count).fill(0);
    this.#handler = handler;
  }

  /** A line of its own to input `n`. */
  line(n: number): IrqLine {
    let level = false;
    return new IrqLine((_, next) => {
      if (next === level) return;
      level = next;
      const before = this.#high[n]!;
      const after = before + (next ? 1 : -1);
      this.#high[n] = after;
      if (before === 0 || after === 0) this.#handler(n, after > 0);
    });
  }
}
