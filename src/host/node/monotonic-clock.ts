import { performance } from 'node:perf_hooks';
import type { Clock } from '../../core/clock.ts';

/** A moment of the host's monotonic clock, to be shared by threads so that they agree on the time. */
export function clockEpoch(): bigint {
  return process.hrtime.bigint();
}

/** Nanoseconds since `epoch`. Built on `performance.now`, which is several times cheaper than `hrtime`. */
export function monotonicClock(epoch: bigint): Clock {
  const offsetNs = Number(process.hrtime.bigint() - epoch) - performance.now() * 1e6;
  return { nowNs: () => Math.floor(performance.now() * 1e6 + offsetNs) };
}
