/** Entry of the ticker thread. Imports next to nothing, so that it starts fast. */
import { workerData } from 'node:worker_threads';
import type { KickWord } from '../../accel/accelerator.ts';
import { kicker } from '../../system/protocol.ts';
import { runTicker } from '../../system/ticker.ts';
import { monotonicClock } from './monotonic-clock.ts';

export interface TickerData {
  readonly words: Int32Array;
  readonly kick: KickWord;
  readonly epoch: bigint;
}

const { words, kick, epoch } = workerData as TickerData;
const clock = monotonicClock(epoch);
runTicker(words, () => clock.nowNs(), kicker(kick));
