/** Random accesses that no device may answer with an exception, a hang or a value wider than the access. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManualClock } from '../core/clock.ts';
import type { AccessSize, MmioDevice } from '../core/memory-region.ts';
import type { TimerQueue } from '../core/timer.ts';
import { randomSource } from '../core/vmstate-roundtrip.cases.ts';

export interface HostileTarget {
  readonly device: MmioDevice;
  /** Size of its region in bytes. */
  readonly size: number;
  readonly minAccess?: AccessSize;
  readonly maxAccess?: AccessSize;
  readonly timers?: TimerQueue;
  readonly clock?: ManualClock;
}

const SIZES: readonly AccessSize[] = [1, 2, 4];

export function testHostileInput(name: string, make: () => HostileTarget, rounds = 20000): void {
  test(`${name}: random accesses neither throw nor hang`, { timeout: 20000 }, () => {
    const next = randomSource(0xbad5eed);
    const { device, size, minAccess = 1, maxAccess = 4, timers, clock } = make();
    const sizes = SIZES.filter((s) => s >= minAccess && s <= maxAccess && s <= size);
    for (let i = 0; i < rounds; i++) {
      const access = sizes[Math.floor(next() * sizes.length)]!;
      const offset = Math.floor(next() * (size - access + 1));
      const span = 2 ** (8 * access);
      if (next() < 0.6) {
        const value = next() < 0.3 ? Math.floor(next() * 16) : Math.floor(next() * span);
        device.write(offset, access, next() < 0.05 ? span - 1 : value);
      } else {
        const value = device.read(offset, access);
        const fits = Number.isInteger(value) && value >= 0 && value < span;
        assert.ok(fits, `read of ${access} at ${offset} gave ${value}`);
      }
      if (clock !== undefined && next() < 0.2) {
        clock.advance(Math.floor(next() ** 8 * 1e11));
        timers?.runExpired();
      }
    }
  });
}
