/** System control port A, 0x92 (PS/2): bit 0 fast reset of the processor, bit 1 the A20 gate. */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import type { PowerControl } from '../../core/reset.ts';
import { defineState, stateful, u8 } from '../../core/vmstate.ts';

const A20 = 2;
const schema = defineState('port92', 1, { control: u8(A20) });

export class Port92 implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #a20: IrqLine;
  readonly #power: PowerControl;

  /** `a20` is high while address line 20 is let through. */
  constructor(a20: IrqLine, power: PowerControl) {
    this.#a20 = a20;
    this.#power = power;
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#drive() });
  }

  /** The gate is open after reset: kernels booted without firmware expect what firmware leaves. */
  reset(): void {
    this.#s.control = A20;
    this.#drive();
  }

  /** Another device (the keyboard controller) moved the gate: the bit shows it. */
  setA20(open: boolean): void {
    this.#s.control = open ? this.#s.control | A20 : this.#s.control & ~A20;
  }

  read(_offset: number, _size: AccessSize): number {
    return this.#s.control;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const rose = (value & ~this.#s.control & 1) !== 0;
    this.#s.control = value & 0xff;
    this.#drive();
    if (rose) this.#power.requestReset('guest-reset');
  }

  #drive(): void {
    this.#a20.set((this.#s.control & A20) !== 0);
  }
}
