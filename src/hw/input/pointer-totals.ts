/** Adds up pointer events until they are reported together. */
import type { Button, InputEvent } from './input-core.ts';

/** Bits as in HID reports and PS/2 packets: left, right, middle, side, extra. */
const BITS: Readonly<Partial<Record<Button, number>>> = { left: 1, right: 2, middle: 4, side: 8, extra: 16 };

export interface PointerReport {
  readonly dx: number;
  readonly dy: number;
  /** Wheel steps towards the user. */
  readonly dz: number;
  readonly x: number;
  readonly y: number;
  readonly buttons: number;
}

export class PointerTotals {
  #dx = 0;
  #dy = 0;
  #dz = 0;
  #x = 0;
  #y = 0;
  #buttons = 0;

  add(event: InputEvent): void {
    if (event.type === 'relative') {
      if (event.axis === 'x') this.#dx += event.value;
      else this.#dy += event.value;
    } else if (event.type === 'absolute') {
      if (event.axis === 'x') this.#x = event.value;
      else this.#y = event.value;
    } else if (event.type === 'button') this.#button(event.button, event.down);
  }

  #button(button: Button, down: boolean): void {
    if (button === 'wheel-up') this.#dz -= down ? 1 : 0;
    else if (button === 'wheel-down') this.#dz += down ? 1 : 0;
    else {
      const bit = BITS[button] ?? 0;
      this.#buttons = down ? this.#buttons | bit : this.#buttons & ~bit;
    }
  }

  /** What came together; movement starts again at 0. */
  take(): PointerReport {
    const report = {
      dx: this.#dx,
      dy: this.#dy,
      dz: this.#dz,
      x: this.#x,
      y: this.#y,
      buttons: this.#buttons,
    };
    this.#dx = 0;
    this.#dy = 0;
    this.#dz = 0;
    return report;
  }
}
