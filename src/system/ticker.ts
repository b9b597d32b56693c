/**
 * The ticker: a thread that sleeps until the next timer deadline and then interrupts the running vCPU. The machine thread
 * cannot do so itself while guest code runs.
 *
 * Times are microseconds of the host's monotonic clock modulo 2^32, compared by signed difference. The machine thread
 * publishes the deadline, the ticker publishes when it will look next; the ticker is woken only when the deadline is
 * earlier than that. Both words are written before the other is read, so that no deadline is missed.
 */

const SEQUENCE = 0;
const DEADLINE = 1;
const WAKE_AT = 2;
const STOP = 3;
const WORDS = 4;

/** "No deadline": further ahead than any sleep; 2^30 µs is 18 minutes. */
const FAR = 2 ** 30;

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
    if (((wakeAt - deadline) | 0) > 0) this.#wake();
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
  for (;;) {
    const sequence = Atomics.load(words, SEQUENCE);
    if (Atomics.load(words, STOP) !== 0) return;
    const deadline = Atomics.load(words, DEADLINE);
    Atomics.store(words, WAKE_AT, deadline);
    if (Atomics.load(words, DEADLINE) !== deadline) continue;
    const nowUs = nowNs() / 1000;
    let sleepUs = (deadline - Math.floor(nowUs)) | 0;
    if (sleepUs <= 0) {
      interrupt();
      Atomics.store(words, WAKE_AT, (Math.floor(nowUs) + FAR) | 0);
      if (Atomics.load(words, DEADLINE) !== deadline) continue;
      sleepUs = FAR;
    }
    Atomics.wait(words, SEQUENCE, sequence, sleepUs / 1000);
  }
}
