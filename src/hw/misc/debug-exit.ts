/** isa-debug-exit: a guest ends the run with exit status (value << 1) | 1, so that 0 stays what a power-off gives. */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import type { PowerControl } from '../../core/reset.ts';
import { defineState, stateful } from '../../core/vmstate.ts';

const schema = defineState('isa-debug-exit', 1, {});

export class DebugExit implements MmioDevice, Device {
  readonly vmstate = stateful(schema, schema.create());
  readonly #power: PowerControl;

  constructor(power: PowerControl) {
    this.#power = power;
  }

  reset(): void {}

  read(_offset: number, _size: AccessSize): number {
    return 0;
  }

  /** A host sees the low 8 bits of the status. */
  write(_offset: number, _size: AccessSize, value: number): void {
    this.#power.requestExit(((value << 1) | 1) >>> 0);
  }
}
