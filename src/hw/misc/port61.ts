/**
 * System control port B, 0x61 (IBM PC AT Technical Reference; 82371AB 4.3): gate and output of counter 2, speaker.
 *
 *     bit 0 gate of counter 2, 1 speaker data, 2–3 NMI enables (kept)   read only: 4 refresh toggle, 5 output of counter 2
 */
import type { Clock } from '../../core/clock.ts';
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { defineState, stateful, u8 } from '../../core/vmstate.ts';
import type { I8254 } from '../timer/i8254.ts';

/** DRAM refresh request every 15.085 µs (18 ticks of the 8254). */
const REFRESH_NS = 15085;

const schema = defineState('port61', 1, { control: u8() });

export class Port61 implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #pit: I8254;
  readonly #clock: Clock;

  constructor(pit: I8254, clock: Clock) {
    this.#pit = pit;
    this.#clock = clock;
    this.vmstate = stateful(schema, this.#s);
  }

  /** Whether the speaker is connected to counter 2. */
  get speakerOn(): boolean {
    return (this.#s.control & 3) === 3;
  }

  reset(): void {
    this.#s.control = 0;
    this.#pit.setGate(2, false);
  }

  read(_offset: number, _size: AccessSize): number {
    const refresh = Math.floor(this.#clock.nowNs() / REFRESH_NS) & 1;
    return this.#s.control | (refresh << 4) | (this.#pit.output(2) ? 0x20 : 0);
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    this.#s.control = value & 0x0f;
    this.#pit.setGate(2, (value & 1) !== 0);
  }
}
