/**
 * The PC's way to report x87 errors while CR0.NE is clear: FERR# of the processor latches IRQ 13; a write to port 0xf0 takes the interrupt
 * back and asserts IGNNE# until the error is cleared (82371AB 4.2.7 "Coprocessor error", SDM Vol. 1 appendix D.2.1).
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { bool, defineState, stateful } from '../../core/vmstate.ts';
import { allOnes } from '../../util/bits.ts';

const schema = defineState('fpu-error', 1, { latched: bool() });

export class FpuErrorPort implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #irq: IrqLine;
  readonly #ignoreError: () => void;

  /** `ignoreError` asserts IGNNE# towards the processor that writes. */
  constructor(irq: IrqLine, ignoreError: () => void) {
    this.#irq = irq;
    this.#ignoreError = ignoreError;
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#irq.set(this.#s.latched) });
  }

  /** FERR# was asserted. */
  raise(): void {
    this.#s.latched = true;
    this.#irq.set(true);
  }

  reset(): void {
    schema.reset(this.#s);
    this.#irq.set(false);
  }

  read(_offset: number, size: AccessSize): number {
    return allOnes(size);
  }

  write(): void {
    this.#s.latched = false;
    this.#irq.set(false);
    this.#ignoreError();
  }
}
