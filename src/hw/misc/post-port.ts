/** Port 0x80: POST codes, and the port whose writes are the PC's classic short delay. Shows the last byte written. */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { defineState, stateful, u8 } from '../../core/vmstate.ts';

const schema = defineState('post-port', 1, { code: u8() });

export class PostPort implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();

  constructor() {
    this.vmstate = stateful(schema, this.#s);
  }

  /** The last POST code, for the monitor. */
  get code(): number {
    return this.#s.code;
  }

  reset(): void {
    this.#s.code = 0;
  }

  read(_offset: number, _size: AccessSize): number {
    return this.#s.code;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    this.#s.code = value & 0xff;
  }
}
