import { performance } from 'node:perf_hooks';
import type { Clock } from '../../core/clock.ts';

/** Nanoseconds since `epoch`, a moment of `process.hrtime` that threads share so that they agree on the time. Built on `performance.now`, which is several times cheaper than `hrtime`. */
export function monotonicClock(epoch: bigint): Clock {
  // looked up once: the module may be one that is loaded at its first use (bundle-loader.ts)
  const source = performance;
  const offsetNs = Number(process.hrtime.bigint() - epoch) - source.now() * 1e6;
  return { nowNs: () => Math.floor(source.now() * 1e6 + offsetNs) };
}

/** The same for threads that seldom ask: nothing has to be loaded for it. */
export function plainMonotonicClock(epoch: bigint): Clock {
  return { nowNs: () => Number(process.hrtime.bigint() - epoch) };
}
