/** The local APIC's timer: one-shot, periodic, TSC-deadline (SDM Vol. 3A 10.5.4). */
import type { TscSource, U64Halves } from '../../core/cpu-ports.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { bool, num, u32 } from '../../core/vmstate.ts';
import { LVT_TIMER } from './apic-registers.ts';

export const apicTimerFields = {
  initialCount: u32(),
  divide: u32(),
  /** When counting began. */
  startNs: num(),
  /** False: the count stands at zero, where a one-shot ended or nothing was begun. */
  isCounting: bool(),
  /** IA32_TSC_DEADLINE; zero is disarmed. */
  deadlineLo: u32(),
  deadlineHi: u32(),
};

export interface ApicTimerState {
  initialCount: number;
  divide: number;
  startNs: number;
  isCounting: boolean;
  deadlineLo: number;
  deadlineHi: number;
  lvt: Uint32Array;
}

const MODE_ONE_SHOT = 0;
const MODE_PERIODIC = 1;
const MODE_TSC_DEADLINE = 2;
/** A periodic timer faster than this would leave the machine no time for anything else; its ticks are merged. */
const MIN_PERIOD_NS = 10_000;

function modeOf(lvt: number): number {
  return (lvt >>> 17) & 3;
}

export class ApicTimer {
  readonly #s: ApicTimerState;
  readonly #clock: TimerService;
  readonly #tsc: TscSource | undefined;
  readonly #timer: Timer;
  readonly #fire: () => void;

  /** `fire` signals the LVT's timer entry, which may be masked. */
  constructor(state: ApicTimerState, timers: TimerService, tsc: TscSource | undefined, fire: () => void) {
    this.#s = state;
    this.#clock = timers;
    this.#tsc = tsc;
    this.#fire = fire;
    this.#timer = timers.create(() => this.#expired());
  }

  get #mode(): number {
    return modeOf(this.#s.lvt[LVT_TIMER]!);
  }

  /** Nanoseconds per count: the divisor, at a bus clock of 1 GHz. Figure 10-10. */
  get #tickNs(): number {
    const code = (this.#s.divide & 3) | ((this.#s.divide >> 1) & 4);
    return 1 << ((code + 1) & 7);
  }

  stop(): void {
    this.#timer.cancel();
  }

  currentCount(): number {
    const { initialCount, startNs, isCounting } = this.#s;
    if (initialCount === 0 || !isCounting || this.#mode === MODE_TSC_DEADLINE) return 0;
    const ticks = Math.max(0, Math.floor((this.#clock.nowNs() - startNs) / this.#tickNs));
    if (this.#mode === MODE_PERIODIC) return initialCount - (ticks % initialCount);
    return Math.max(0, initialCount - ticks);
  }

  writeInitialCount(value: number): void {
    if (this.#mode === MODE_TSC_DEADLINE) return;
    this.#s.initialCount = value;
    this.#s.startNs = this.#clock.nowNs();
    this.#s.isCounting = value !== 0;
    this.rearm();
  }

  writeDivide(value: number): void {
    const s = this.#s;
    this.#settle(this.#mode);
    const rest = this.currentCount();
    s.divide = value & 0xb;
    // The count goes on from where it is, at the new speed.
    if (rest > 0) s.startNs = this.#clock.nowNs() - (s.initialCount - rest) * this.#tickNs;
    this.rearm();
  }

  /** Reads as zero in other modes. */
  readDeadline(): U64Halves {
    return { lo: this.#s.deadlineLo, hi: this.#s.deadlineHi };
  }

  writeDeadline(lo: number, hi: number): void {
    if (this.#mode !== MODE_TSC_DEADLINE) return;
    this.#s.deadlineLo = lo;
    this.#s.deadlineHi = hi;
    // A deadline in the past is signalled by the write itself (SDM Vol. 3A 10.5.4.1).
    if ((lo !== 0 || hi !== 0) && this.#tsc !== undefined && this.#ticksToDeadline() <= 0) this.#expired();
    else this.rearm();
  }

  /**
   * The LVT entry was written; `before` is its old value. A switch to or from deadline mode disarms the timer; between one-shot
   * and periodic the count goes on from where it is, and stays at zero if it has got there.
   */
  modeChanged(before: number): void {
    const now = this.#mode;
    const was = modeOf(before);
    if (now === was) return;
    this.#settle(was);
    if (now === MODE_TSC_DEADLINE || was === MODE_TSC_DEADLINE) {
      this.#s.deadlineLo = 0;
      this.#s.deadlineHi = 0;
      this.#s.initialCount = 0;
      this.#s.isCounting = false;
    }
    this.rearm();
  }

  /** Makes the start that of the present period; a one-shot whose time is over ends now, even if its timer is late. */
  #settle(mode: number): void {
    const s = this.#s;
    if (!s.isCounting || mode > MODE_PERIODIC) return;
    const spanNs = s.initialCount * this.#tickNs;
    const periods = Math.floor((this.#clock.nowNs() - s.startNs) / spanNs);
    if (periods <= 0) return;
    if (mode === MODE_PERIODIC) s.startNs += periods * spanNs;
    else {
      s.isCounting = false;
      this.#fire();
    }
  }

  /** Arms the host-side timer for what the registers say. */
  rearm(): void {
    if (this.#mode === MODE_TSC_DEADLINE) this.#armDeadline();
    else this.#armCount();
  }

  #armDeadline(): void {
    const { deadlineLo, deadlineHi } = this.#s;
    const tsc = this.#tsc;
    if (tsc === undefined || (deadlineLo === 0 && deadlineHi === 0)) {
      this.#timer.cancel();
      return;
    }
    this.#timer.arm(Math.max(this.#nextTickNs(), this.#clock.nowNs()));
  }

  #armCount(): void {
    const { initialCount, startNs, isCounting } = this.#s;
    if (initialCount === 0 || !isCounting || this.#mode > MODE_PERIODIC) {
      this.#timer.cancel();
      return;
    }
    const nowNs = this.#clock.nowNs();
    const spanNs = initialCount * this.#tickNs;
    if (this.#mode === MODE_ONE_SHOT) {
      this.#timer.arm(startNs + spanNs);
      return;
    }
    const nextNs = startNs + (Math.floor((nowNs - startNs) / spanNs) + 1) * spanNs;
    this.#timer.arm(Math.max(nextNs, nowNs + Math.min(spanNs, MIN_PERIOD_NS)));
  }

  #expired(): void {
    if (this.#mode === MODE_TSC_DEADLINE) {
      if (this.#tsc !== undefined && this.#ticksToDeadline() > 0) {
        this.#timer.arm(Math.max(this.#nextTickNs(), this.#clock.nowNs() + 1));
        return;
      }
      this.#timer.cancel();
      this.#s.deadlineLo = 0;
      this.#s.deadlineHi = 0;
    } else if (this.#mode === MODE_PERIODIC) this.#armCount();
    else this.#s.isCounting = false;
    this.#fire();
  }

  #ticksToDeadline(): number {
    return this.#s.deadlineHi * 2 ** 32 + this.#s.deadlineLo - this.#tsc!.nowTicks();
  }

  #nextTickNs(): number {
    return this.#clock.nowNs() + Math.ceil((this.#ticksToDeadline() * 1e9) / this.#tsc!.frequencyHz);
  }
}
