/** SMI control and status of the ICH9 (order 316972, 13.8.3.8, 13.8.3.9): +0 SMI_EN, +4 SMI_STS (32 bits each). */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { defineState, stateful, u32 } from '../../core/vmstate.ts';

export const SMI_PORTS = 8;
export const SMI_EN_GLOBAL = 1 << 0;
export const SMI_EN_APMC = 1 << 5;
export const SMI_EN_TCO = 1 << 13;

const schema = defineState('ich9-smi', 1, { enable: u32(), status: u32() });

export class Ich9Smi implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #raise: () => void;

  /** `raise` sends a system management interrupt. */
  constructor(raise: () => void) {
    this.#raise = raise;
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    schema.reset(this.#s);
  }

  /** A source with enable bit `source` wants an SMI. */
  request(source: number): void {
    const s = this.#s;
    if ((s.enable & source) === 0 || (s.enable & SMI_EN_GLOBAL) === 0) return;
    s.status = (s.status | source) >>> 0;
    this.#raise();
  }

  read(offset: number, size: AccessSize): number {
    const word = offset < 4 ? this.#s.enable : this.#s.status;
    return (word >>> (8 * (offset & 3))) & (size === 4 ? 0xffffffff : (1 << (8 * size)) - 1);
  }

  write(offset: number, size: AccessSize, value: number): void {
    const shift = 8 * (offset & 3);
    const mask = size === 4 ? 0xffffffff : ((1 << (8 * size)) - 1) << shift;
    const bits = value << shift;
    const s = this.#s;
    if (offset < 4) s.enable = ((s.enable & ~mask) | (bits & mask)) >>> 0;
    else s.status = (s.status & ~bits) >>> 0;
  }
}
