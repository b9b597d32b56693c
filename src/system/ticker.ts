/**
 * The ticker: a thread that interrupts the running vCPU when the next timer is due. The machine thread cannot do so itself
 * while guest code runs.
 *
 * Times are microseconds of the host's monotonic clock modulo 2^32, compared by signed difference. The machine thread
 * publishes the deadline, the ticker publishes when it will look next. Waking a thread costs more than most timers are
 * worth, so while guest code runs the ticker looks every ACTIVE_US by itself and is woken only for a deadline that it
 * would miss by more than SLACK_US; without a deadline (the guest is idle or stopped) it sleeps. Both words are written
 * before the other is read, so that no deadline is missed.
 */

const SEQUENCE = 0;
const DEADLINE = 1;
const WAKE_AT = 2;
const STOP = 3;
/** Ticker threads so far: an older one ends. */
const GENERATION = 4;
const WORDS = 5;

/** "No deadline": further ahead than any sleep; 2^30 µs is 18 minutes. */
const FAR = 2 ** 30;
const ACTIVE_US = 2000;
const SLACK_US = 1000;
/** A deadline that stays in the past is announced again after so many looks. */
const REPEAT_LOOKS = 5;

/** The words both threads share. */
export class TickerChannel {
  readonly words: Int32Array;

  static create(): TickerChannel {
    return new TickerChannel(new Int32Array(new SharedArrayBuffer(4 * WORDS)));
  }

  constructor(words: Int32Array) {
    this.words = words;
  }

  /** The machine thread's side: interrupt me at `deadlineNs` (Infinity: not at all); `nowNs` is the present time. */
  publish(deadlineNs: number, nowNs: number): void {
    const aheadUs = Math.min(Math.ceil((deadlineNs - nowNs) / 1000), FAR);
    const deadline = (Math.floor(nowNs / 1000) + aheadUs + 1) | 0;
    Atomics.store(this.words, DEADLINE, deadline);
    const wakeAt = Atomics.load(this.words, WAKE_AT);
    if (((wakeAt - deadline) | 0) > SLACK_US) this.#wake();
  }

  /** Ends the present ticker thread; another one takes its place. */
  restart(): void {
    Atomics.add(this.words, GENERATION, 1);
    this.#wake();
  }

  /** Ends the ticker thread. */
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.words, SEQUENCE, 1);
    Atomics.notify(this.words, SEQUENCE);
  }
}

/** The ticker thread: returns after `stop`. `nowNs` reads the machine thread's clock; `interrupt` is called at deadlines. */
export function runTicker(words: Int32Array, nowNs: () => number, interrupt: () => void): void {
  const generation = Atomics.load(words, GENERATION);
  let announced = 0;
  let looks = 0;
  for (;;) {
    const sequence = Atomics.load(words, SEQUENCE);
    if (Atomics.load(words, STOP) !== 0 || Atomics.load(words, GENERATION) !== generation) return;
    const deadline = Atomics.load(words, DEADLINE);
    const nowUs = Math.floor(nowNs() / 1000);
    const aheadUs = (deadline - nowUs) | 0;
    if (aheadUs <= 0 && (deadline !== announced || ++looks >= REPEAT_LOOKS)) {
      announced = deadline;
      looks = 0;
      interrupt();
    }
    const sleepUs = aheadUs > FAR / 2 ? aheadUs : aheadUs > 0 ? Math.min(aheadUs, ACTIVE_US) : ACTIVE_US;
    Atomics.store(words, WAKE_AT, (nowUs + sleepUs) | 0);
    if (Atomics.load(words, DEADLINE) !== deadline) continue;
    Atomics.wait(words, SEQUENCE, sequence, sleepUs / 1000);
  }
}
