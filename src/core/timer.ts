/** Timers on a clock. The machine loop sleeps until `nextDeadlineNs` and then calls `runExpired`. */
import type { Clock } from './clock.ts';

/** One timer; armed for one deadline at most. Created by `TimerQueue.create`. */
export interface Timer {
  /** In time of the queue's clock; Infinity while not armed. */
  readonly deadlineNs: number;
  readonly isArmed: boolean;
  /** Arms it, or moves it, to an absolute time. A time in the past fires at the next `runExpired`. */
  arm(deadlineNs: number): void;
  cancel(): void;
}

/** What devices get to see of a queue. */
export interface TimerService extends Clock {
  create(callback: () => void): Timer;
}

export class TimerQueue implements TimerService {
  readonly clock: Clock;
  /**
   * Called when the first deadline moves to an earlier time, so that a sleeping or running machine loop can take it into
   * account. Not called from within `runExpired`.
   */
  onEarlierDeadline: ((deadlineNs: number) => void) | undefined;

  readonly #heap: HeapTimer[] = [];
  #running = false;
  #sequence = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  nowNs(): number {
    return this.clock.nowNs();
  }

  create(callback: () => void): Timer {
    return new HeapTimer(this, callback);
  }

  /** Infinity when no timer is armed. */
  nextDeadlineNs(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0]!.deadlineNs;
  }

  /**
   * Runs all timers whose deadline has come, earliest first, and returns their number. A timer that re-arms itself for
   * the past runs again, up to a bound per call, so that a wild guest cannot hang the loop.
   */
  runExpired(): number {
    if (this.#running) return 0;
    this.#running = true;
    const nowNs = this.clock.nowNs();
    let count = 0;
    try {
      while (this.#heap.length > 0 && this.#heap[0]!.deadlineNs <= nowNs && count < 1000) {
        const timer = this.#heap[0]!;
        this.remove(timer);
        timer.callback();
        count++;
      }
    } finally {
      this.#running = false;
    }
    return count;
  }

  /** @internal */
  insert(timer: HeapTimer): void {
    const firstNs = this.nextDeadlineNs();
    timer.sequence = this.#sequence++;
    timer.index = this.#heap.length;
    this.#heap.push(timer);
    this.#siftUp(timer.index);
    if (timer.deadlineNs < firstNs && !this.#running) this.onEarlierDeadline?.(timer.deadlineNs);
  }

  /** @internal */
  remove(timer: HeapTimer): void {
    const at = timer.index;
    if (at < 0) return;
    const last = this.#heap.pop()!;
    timer.index = -1;
    timer.deadlineNs = Number.POSITIVE_INFINITY;
    if (last === timer) return;
    this.#place(last, at);
    this.#siftUp(at);
    this.#siftDown(last.index);
  }

  #place(timer: HeapTimer, at: number): void {
    this.#heap[at] = timer;
    timer.index = at;
  }

  #siftUp(from: number): void {
    const timer = this.#heap[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, this.#heap[parent]!)) break;
      this.#place(this.#heap[parent]!, at);
      at = parent;
    }
    this.#place(timer, at);
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    const timer = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, timer)) break;
      this.#place(heap[child]!, at);
      at = child;
    }
    this.#place(timer, at);
  }
}

/** Equal deadlines run in the order they were armed, so that runs repeat. */
function isBefore(a: HeapTimer, b: HeapTimer): boolean {
  return a.deadlineNs < b.deadlineNs || (a.deadlineNs === b.deadlineNs && a.sequence < b.sequence);
}

class HeapTimer implements Timer {
  deadlineNs = Number.POSITIVE_INFINITY;
  index = -1;
  sequence = 0;
  readonly callback: () => void;
  readonly #queue: TimerQueue;

  constructor(queue: TimerQueue, callback: () => void) {
    this.#queue = queue;
    this.callback = callback;
  }

  get isArmed(): boolean {
    return this.index >= 0;
  }

  arm(deadlineNs: number): void {
    this.#queue.remove(this);
    if (!(deadlineNs < Number.POSITIVE_INFINITY)) return;
    this.deadlineNs = deadlineNs;
    this.#queue.insert(this);
  }

  cancel(): void {
    this.#queue.remove(this);
  }
}
