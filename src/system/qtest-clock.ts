/** The virtual clock under `-accel qtest`: it stands until a test moves it. */
import { ManualClock } from '../core/clock.ts';
import type { TimerQueue } from '../core/timer.ts';

export class QtestClock extends ManualClock {
  /** The test alone moves time, whether or not the machine is paused. */
  start(): void {}
  stop(): void {}
}

/** Moves time to `targetNs`, from deadline to deadline, and runs each timer at its own. */
export function stepClock(clock: QtestClock, timers: TimerQueue, targetNs: number): void {
  for (;;) {
    const deadline = timers.nextDeadlineNs();
    if (deadline > targetNs) break;
    clock.advanceTo(deadline);
    if (timers.runExpired() === 0) break;
  }
  clock.advanceTo(targetNs);
  timers.runExpired();
}
