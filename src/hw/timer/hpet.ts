/**
 * High Precision Event Timer (IA-PC HPET Specification 1.0a) with three timers and a 64-bit counter at 100 MHz.
 *
 *     0x000 capabilities   0x010 configuration   0x020 interrupt status   0x0f0 main counter
 *     0x100 + 0x20 n: timer n configuration, +8 comparator, +0x10 FSB route
 *
 * 64-bit registers are reached as two 32-bit halves.
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { array, defineState, num, type StateOf, stateful, struct, u32, u64 } from '../../core/vmstate.ts';

export const HPET_SIZE = 0x400;
export const HPET_MMIO: MmioOptions = { impl: { min: 4, max: 4 } };
const TIMERS = 3;
/** 10 ns in femtoseconds. */
const PERIOD_FS = 10_000_000;
const TICK_NS = 10;
/** Revision 1, three timers, 64-bit counter, legacy replacement, vendor Intel: the "event timer block id" of ACPI. */
export const HPET_BLOCK_ID = 0x8086a001 | ((TIMERS - 1) << 8);

// General configuration
const ENABLE = 1;
const LEGACY = 2;
// Timer configuration (2.3.8)
const T_LEVEL = 1 << 1;
const T_ENABLE = 1 << 2;
const T_PERIODIC = 1 << 3;
const T_PERIODIC_CAP = 1 << 4;
const T_64BIT_CAP = 1 << 5;
const T_SET_VALUE = 1 << 6;
const T_32BIT = 1 << 8;
const T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_SET_VALUE | T_32BIT | 0x3e00;

const MASK32 = 0xffffffffn;
const MASK64 = 0xffffffffffffffffn;
/** Interrupts of a timer closer than this are merged. */
const MIN_PERIOD_NS = 10_000;

const timerFields = {
  config: u32(T_PERIODIC_CAP | T_64BIT_CAP),
  comparator: u64(MASK64),
  /** Last value written to the comparator: the period in periodic mode. */
  period: u64(),
  /** The counter when the comparator was last looked at: what lies between counts as passed. */
  checked: u64(),
};

const schema = defineState('hpet', 1, {
  config: u32(),
  status: u32(),
  /** The main counter while it stands, or what it was at `startNs`. */
  counter: u64(),
  startNs: num(),
  timers: array(TIMERS, struct(timerFields)),
});
type TimerState = StateOf<typeof schema>['timers'][number];

export interface HpetOptions {
  /** Inputs of the I/O APIC (and of the 8259 pair, for those below 16). */
  readonly gsi: readonly IrqLine[];
  /** Which of them timers may be routed to, a bit each. QEMU's board `pc` allows 2. */
  readonly routeCapabilities?: number;
  /** In legacy replacement mode timers 0 and 1 take the place of the 8254 and of the RTC on these lines. */
  readonly legacyTimerIrq: IrqLine;
  readonly legacyRtcIrq: IrqLine;
  /** The 8254 and the RTC lose (true) or get back their interrupt lines. */
  readonly onLegacyChanged: (isLegacy: boolean) => void;
}

export class Hpet implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: HpetOptions;
  readonly #routes: number;
  readonly #clock: TimerService;
  readonly #timers: readonly Timer[];
  /** The low half of `counter`, kept as a number: clock sources read it all the time. */
  #counterBaseLow = 0;

  constructor(options: HpetOptions, timers: TimerService) {
    this.#options = options;
    this.#routes = options.routeCapabilities ?? 1 << 2;
    this.#clock = timers;
    this.#timers = Array.from({ length: TIMERS }, (_, n) => timers.create(() => this.#expired(n)));
    this.vmstate = stateful(schema, this.#s, {
      postLoad: () => {
        this.#counterBaseLow = Number(this.#s.counter & MASK32);
        options.onLegacyChanged((this.#s.config & LEGACY) !== 0);
        this.#rearmAll();
      },
    });
  }

  reset(): void {
    for (let n = 0; n < TIMERS; n++) this.#setLine(n, false);
    schema.reset(this.#s);
    this.#counterBaseLow = 0;
    this.#rearmAll();
    this.#options.onLegacyChanged(false);
  }

  read(offset: number, _size: AccessSize): number {
    const s = this.#s;
    if (offset >= 0x100) return this.#readTimer((offset - 0x100) >> 5, offset & 0x1f);
    switch (offset) {
      case 0x000:
        return HPET_BLOCK_ID >>> 0;
      case 0x004:
        return PERIOD_FS;
      case 0x010:
        return s.config;
      case 0x020:
        return s.status;
      case 0x0f0:
        return this.#counterLow();
      case 0x0f4:
        return Number(this.#counter() >> 32n);
      default:
        return 0;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    const s = this.#s;
    if (offset >= 0x100) this.#writeTimer((offset - 0x100) >> 5, offset & 0x1f, value);
    else if (offset === 0x010) this.#writeConfig(value);
    else if (offset === 0x020) this.#clearStatus(value & s.status);
    else if (offset === 0x0f0 || offset === 0x0f4) this.#writeCounter(offset === 0x0f4, value);
  }

  get #enabled(): boolean {
    return (this.#s.config & ENABLE) !== 0;
  }

  #ticks(): number {
    return this.#enabled ? Math.max(0, Math.floor((this.#clock.nowNs() - this.#s.startNs) / TICK_NS)) : 0;
  }

  #counter(): bigint {
    return (this.#s.counter + BigInt(this.#ticks())) & MASK64;
  }

  #counterLow(): number {
    return (this.#counterBaseLow + (this.#ticks() % 2 ** 32)) % 2 ** 32;
  }

  #writeConfig(value: number): void {
    const s = this.#s;
    const before = s.config;
    const now = this.#counter();
    s.config = value & (ENABLE | LEGACY);
    if (((before ^ s.config) & ENABLE) !== 0) {
      this.#restart(now);
      if (!this.#enabled) for (let n = 0; n < TIMERS; n++) this.#setLine(n, false);
    }
    if (((before ^ s.config) & LEGACY) !== 0) this.#options.onLegacyChanged((s.config & LEGACY) !== 0);
    this.#rearmAll();
  }

  #clearStatus(bits: number): void {
    this.#s.status &= ~bits;
    for (let n = 0; n < TIMERS; n++) if ((bits & (1 << n)) !== 0) this.#setLine(n, false);
  }

  /** The specification allows this only while the counter stands. */
  #writeCounter(isHigh: boolean, value: number): void {
    this.#restart(setHalf(this.#counter(), isHigh, value));
    this.#rearmAll();
  }

  /** Lets the counter go on from `value`. */
  #restart(value: bigint): void {
    const s = this.#s;
    s.counter = value;
    s.startNs = this.#clock.nowNs();
    this.#counterBaseLow = Number(value & MASK32);
    for (const timer of s.timers) timer.checked = value;
  }

  // --- timers ---

  #readTimer(n: number, offset: number): number {
    const timer = this.#s.timers[n];
    if (timer === undefined) return 0;
    switch (offset) {
      case 0x00:
        return timer.config;
      case 0x04:
        return this.#routes;
      case 0x08:
        return Number(timer.comparator & MASK32);
      case 0x0c:
        return Number(timer.comparator >> 32n);
      default:
        return 0; // no FSB delivery
    }
  }

  #writeTimer(n: number, offset: number, value: number): void {
    const timer = this.#s.timers[n];
    if (timer === undefined) return;
    if (offset === 0x00) this.#writeTimerConfig(n, timer, value);
    else if (offset === 0x08 || offset === 0x0c) this.#writeComparator(timer, offset === 0x0c, value);
    else return;
    this.#rearm(n);
  }

  #writeTimerConfig(n: number, timer: TimerState, value: number): void {
    const before = timer.config;
    // A line held high is let go before the route or the kind of trigger changes.
    if (((before ^ value) & (T_LEVEL | T_ENABLE | 0x3e00)) !== 0) this.#setLine(n, false);
    timer.config = (before & ~T_WRITABLE) | (value & T_WRITABLE);
    if ((timer.config & T_32BIT) !== 0) {
      timer.comparator &= MASK32;
      timer.period &= MASK32;
    }
    timer.checked = this.#counter();
    if ((value & T_LEVEL) !== 0 && (this.#s.status & (1 << n)) !== 0) this.#setLine(n, true);
  }

  /** 2.3.9.2: in periodic mode a write sets the period, and the comparator too if VAL_SET was written before it. */
  #writeComparator(timer: TimerState, isHigh: boolean, value: number): void {
    const is32 = (timer.config & T_32BIT) !== 0;
    if (is32 && isHigh) return;
    const isPeriodic = (timer.config & T_PERIODIC) !== 0;
    if (!isPeriodic || (timer.config & T_SET_VALUE) !== 0) {
      timer.comparator = setHalf(timer.comparator, isHigh, value);
    }
    if (isPeriodic) timer.period = setHalf(timer.period, isHigh, value);
    timer.config &= ~T_SET_VALUE;
    if (is32) {
      timer.comparator &= MASK32;
      timer.period &= MASK32;
    }
    timer.checked = this.#counter();
  }

  #rearmAll(): void {
    for (let n = 0; n < TIMERS; n++) this.#rearm(n);
  }

  /** Counts from the last look to the next match; a match that is just now counts as a whole turn of the counter. */
  #ticksToMatch(timer: TimerState): bigint {
    const mask = (timer.config & T_32BIT) !== 0 ? MASK32 : MASK64;
    const distance = (timer.comparator - timer.checked) & mask;
    return distance === 0n ? mask + 1n : distance;
  }

  /** Arms the host-side timer for the next match, but not before `earliestNs`. */
  #rearm(n: number, earliestNs = 0): void {
    const timer = this.#s.timers[n]!;
    if (!this.#enabled || (timer.config & T_ENABLE) === 0) {
      this.#timers[n]!.cancel();
      return;
    }
    const elapsed = Number((timer.checked - this.#s.counter) & MASK64);
    const atTick = elapsed + Number(this.#ticksToMatch(timer));
    this.#timers[n]!.arm(Math.max(earliestNs, this.#s.startNs + atTick * TICK_NS));
  }

  #expired(n: number): void {
    const timer = this.#s.timers[n]!;
    const now = this.#counter();
    const passed = (now - timer.checked) & MASK64;
    if (passed < this.#ticksToMatch(timer)) {
      this.#rearm(n);
      return;
    }
    const mask = (timer.config & T_32BIT) !== 0 ? MASK32 : MASK64;
    if ((timer.config & T_PERIODIC) !== 0 && timer.period !== 0n) {
      // Missed periods are passed over: the next match is the first one after now.
      const since = (now - timer.comparator) & mask;
      const steps = since / timer.period + 1n;
      timer.comparator = (timer.comparator + steps * timer.period) & mask;
    }
    timer.checked = now;
    this.#fire(n);
    const isTooFast = timer.period < BigInt(MIN_PERIOD_NS / TICK_NS);
    this.#rearm(n, isTooFast ? this.#clock.nowNs() + MIN_PERIOD_NS : 0);
  }

  #fire(n: number): void {
    const isLevel = (this.#s.timers[n]!.config & T_LEVEL) !== 0;
    if (isLevel) {
      this.#s.status |= 1 << n;
      this.#setLine(n, true);
    } else this.#line(n)?.pulse();
  }

  #setLine(n: number, level: boolean): void {
    const isLevel = (this.#s.timers[n]!.config & T_LEVEL) !== 0;
    if (isLevel) this.#line(n)?.set(level);
  }

  /** Where a timer's interrupt goes: its legacy line, or the route it was given, if it may have it. */
  #line(n: number): IrqLine | undefined {
    if ((this.#s.config & LEGACY) !== 0 && n < 2) {
      return n === 0 ? this.#options.legacyTimerIrq : this.#options.legacyRtcIrq;
    }
    const route = (this.#s.timers[n]!.config >> 9) & 31;
    return ((this.#routes >>> route) & 1) !== 0 ? this.#options.gsi[route] : undefined;
  }
}

function setHalf(old: bigint, isHigh: boolean, value: number): bigint {
  return isHigh ? (old & MASK32) | (BigInt(value) << 32n) : (old & ~MASK32) | BigInt(value);
}
