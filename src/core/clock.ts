/** Sources of time. Devices read them, never the host's own clock. */

/** Nanoseconds since some fixed moment; never falls. Whole numbers, exact for 104 days. */
export interface Clock {
  nowNs(): number;
}

/** Civil time for real-time clocks, in milliseconds since 1970-01-01T00:00:00 (in the zone the guest shall see). */
export interface WallClock {
  nowMs(): number;
  /** Nanoseconds since a time near now; absent: no better than `nowMs` tells. */
  nsSince?(ms: number): number;
}

/** A clock moved by hand: deterministic runs (`-icount`) and tests. */
export class ManualClock implements Clock {
  #nowNs: number;

  constructor(startNs = 0) {
    this.#nowNs = startNs;
  }

  nowNs(): number {
    return this.#nowNs;
  }

  advance(ns: number): void {
    this.#nowNs += ns;
  }

  /** Never backwards. */
  advanceTo(ns: number): void {
    if (ns > this.#nowNs) this.#nowNs = ns;
  }
}

/** The guest's virtual clock: follows `source` while the machine runs and stands while it is paused. */
export class VirtualClock implements Clock {
  readonly #source: Clock;
  /** Virtual time minus source time while running; virtual time itself while stopped. */
  #base = 0;
  #running = false;

  constructor(source: Clock, running = false) {
    this.#source = source;
    if (running) this.start();
  }

  get running(): boolean {
    return this.#running;
  }

  nowNs(): number {
    return this.#running ? this.#base + this.#source.nowNs() : this.#base;
  }

  start(): void {
    if (this.#running) return;
    this.#base -= this.#source.nowNs();
    this.#running = true;
  }

  stop(): void {
    if (!this.#running) return;
    this.#base += this.#source.nowNs();
    this.#running = false;
  }

  /** Sets the time shown (a snapshot was loaded). */
  set(nowNs: number): void {
    this.#base = this.#running ? nowNs - this.#source.nowNs() : nowNs;
  }
}

/** Civil time that starts at `startMs` and then follows a clock: `-rtc base=…,clock=vm`. */
export class OffsetWallClock implements WallClock {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #startNs: number;

  constructor(clock: Clock, startMs: number) {
    this.#clock = clock;
    this.#startMs = startMs;
    this.#startNs = clock.nowNs();
  }

  nowMs(): number {
    return this.#startMs + (this.#clock.nowNs() - this.#startNs) / 1e6;
  }

  nsSince(ms: number): number {
    return (this.#startMs - ms) * 1e6 + (this.#clock.nowNs() - this.#startNs);
  }
}
