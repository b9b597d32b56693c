/**
 * Motorola MC146818 real-time clock with 128 bytes of CMOS RAM (data sheet MC146818, order DS-9811).
 *
 *     +0 index (write only; bit 7 masks NMI)   +1 data
 *     registers 0–9 time and alarm, A rates and UIP, B control, C flags, D valid
 *
 * Flags are worked out from the time when they are looked at; a timer runs only for interrupts that are enabled.
 */
import type { WallClock } from '../../core/clock.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { below, bytes, defineState, num, stateful } from '../../core/vmstate.ts';
import {
  nextAlarm,
  REG_CENTURY,
  REG_HOURS_ALARM,
  REG_MINUTES_ALARM,
  REG_SECONDS_ALARM,
  REG_YEAR,
  registersToSeconds,
  secondsToRegisters,
} from './rtc-time.ts';

export const RTC_PORTS = 2;
export const RTC_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };

const REG_A = 10;
const REG_B = 11;
const REG_C = 12;
const REG_D = 13;

const A_UIP = 0x80;
const B_SET = 0x80;
const C_PERIODIC = 0x40;
const C_ALARM = 0x20;
const C_UPDATE = 0x10;
const C_IRQF = 0x80;
const D_VALID = 0x80;
const SECOND_NS = 1e9;
/** UIP is set 244 µs before an update (data sheet, figure 15): 8 periods of the 32 768 Hz time base. */
const UIP_NS = Math.floor((8 * SECOND_NS) / 32768);
/** The first update comes half a second after the divider starts. */
const DIVIDER_START_NS = SECOND_NS / 2;

const schema = defineState('mc146818', 2, {
  index: below(128),
  /** Registers and RAM; time bytes are valid only while the clock stands. */
  cmos: bytes(128),
  /** The guest's time was `baseSecond` (since 1970) `baseNs` before the wall clock showed `baseMs`; each of them whole. */
  baseSecond: num(),
  baseMs: num(),
  baseNs: num(),
  /** The guest's time, in whole seconds, when update and alarm flags were last worked out. */
  checkedSecond: num(),
  /** The same for the periodic flag, in periods since `periodOriginNs` of virtual time. */
  checkedPeriod: num(),
  periodOriginNs: num(),
});

export class Mc146818 implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #irq: IrqLine;
  readonly #wall: WallClock;
  readonly #timers: TimerService;
  readonly #timer: Timer;
  /** An HPET in legacy replacement mode owns the line. */
  #irqEnabled = true;

  constructor(irq: IrqLine, wall: WallClock, timers: TimerService) {
    this.#irq = irq;
    this.#wall = wall;
    this.#timers = timers;
    this.#timer = timers.create(() => this.#refresh());
    const cmos = this.#s.cmos;
    cmos[REG_A] = 0x26;
    cmos[REG_B] = 0x02;
    cmos[REG_D] = D_VALID;
    const nowMs = Math.floor(wall.nowMs());
    this.#s.baseMs = nowMs;
    this.#s.baseSecond = Math.floor(nowMs / 1000);
    this.#s.baseNs = (nowMs - this.#s.baseSecond * 1000) * 1e6;
    this.#s.checkedSecond = this.#second();
    this.#s.checkedPeriod = this.#periods();
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#schedule() });
  }

  /** Time and RAM are battery-backed; reset clears the interrupt enables and flags (data sheet, "RESET"). */
  reset(): void {
    const cmos = this.#s.cmos;
    cmos[REG_B]! &= ~0x78;
    cmos[REG_C] = 0;
    this.#s.index = 0;
    this.#schedule();
  }

  /** A CMOS byte as the board sets or reads it (memory sizes, boot order, shutdown status). */
  peek(index: number): number {
    return this.#s.cmos[index & 127]!;
  }

  poke(index: number, value: number): void {
    this.#s.cmos[index & 127] = value;
  }

  setIrqEnabled(enabled: boolean): void {
    this.#irqEnabled = enabled;
    this.#updateLine();
  }

  read(offset: number, _size: AccessSize): number {
    return (offset & 1) === 0 ? 0xff : this.#readRegister(this.#s.index);
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if ((offset & 1) === 0) this.#s.index = value & 0x7f;
    else this.#writeRegister(this.#s.index, value & 0xff);
  }

  /** SET holds the time still for writing; so does a divider in reset. */
  get #stands(): boolean {
    const cmos = this.#s.cmos;
    return (cmos[REG_B]! & B_SET) !== 0 || (cmos[REG_A]! & 0x60) === 0x60;
  }

  #wallNsSince(ms: number): number {
    return Math.floor(this.#wall.nsSince?.(ms) ?? (this.#wall.nowMs() - ms) * 1e6);
  }

  /** The guest's time in nanoseconds since `baseSecond`. */
  #sinceBaseNs(): number {
    return this.#wallNsSince(this.#s.baseMs) + this.#s.baseNs;
  }

  /** The guest's time in whole seconds since 1970. */
  #second(): number {
    return this.#s.baseSecond + Math.floor(this.#sinceBaseNs() / SECOND_NS);
  }

  /** What of the present second has passed. */
  #fractionNs(): number {
    const ns = this.#sinceBaseNs();
    return ns - Math.floor(ns / SECOND_NS) * SECOND_NS;
  }

  #readRegister(index: number): number {
    const cmos = this.#s.cmos;
    switch (index) {
      case REG_A:
        return (cmos[REG_A]! & 0x7f) | (this.#updateInProgress() ? A_UIP : 0);
      case REG_C: {
        this.#collectFlags();
        const flags = this.#flagsWithIrq();
        cmos[REG_C] = 0;
        this.#schedule();
        return flags;
      }
      case REG_SECONDS_ALARM:
      case REG_MINUTES_ALARM:
      case REG_HOURS_ALARM:
        return cmos[index]!;
      default:
        if ((index <= REG_YEAR || index === REG_CENTURY) && !this.#stands) {
          secondsToRegisters(this.#second(), cmos, cmos[REG_B]!);
        }
        return cmos[index]!;
    }
  }

  #writeRegister(index: number, value: number): void {
    const cmos = this.#s.cmos;
    if (index === REG_C || index === REG_D) return;
    this.#collectFlags();
    if (index === REG_A || index === REG_B) this.#writeControl(index, value);
    else if (index <= REG_YEAR || index === REG_CENTURY) this.#writeTime(index, value);
    else cmos[index] = value;
    this.#schedule();
  }

  #writeControl(index: number, value: number): void {
    const cmos = this.#s.cmos;
    const stood = this.#stands;
    const divider = cmos[REG_A]! & 0x60;
    const before = this.#periodNs();
    if (!stood) secondsToRegisters(this.#second(), cmos, cmos[REG_B]!);
    if (index === REG_A) cmos[REG_A] = value & 0x7f;
    // Setting SET clears the update-ended enable (data sheet, "SET").
    else cmos[REG_B] = (value & B_SET) !== 0 ? value & ~0x10 : value;
    if (this.#periodNs() !== before) this.#changePeriod(before);
    if (!stood || this.#stands) return;
    const dividerStarted = divider === 0x60 && index === REG_A;
    this.#setTime(dividerStarted ? DIVIDER_START_NS : this.#fractionNs());
  }

  #writeTime(index: number, value: number): void {
    const cmos = this.#s.cmos;
    const isAlarm = index === REG_SECONDS_ALARM || index === REG_MINUTES_ALARM || index === REG_HOURS_ALARM;
    if (isAlarm || this.#stands) {
      cmos[index] = value;
      return;
    }
    secondsToRegisters(this.#second(), cmos, cmos[REG_B]!);
    cmos[index] = value;
    this.#setTime(this.#fractionNs());
  }

  /** Takes the time from the registers; so much of the second has passed. */
  #setTime(fractionNs: number): void {
    const s = this.#s;
    s.baseSecond = registersToSeconds(s.cmos, s.cmos[REG_B]!);
    s.baseMs = Math.floor(this.#wall.nowMs());
    s.baseNs = fractionNs - this.#wallNsSince(s.baseMs);
    s.checkedSecond = s.baseSecond;
  }

  #updateInProgress(): boolean {
    return !this.#stands && this.#fractionNs() >= SECOND_NS - UIP_NS;
  }

  /** One period of the periodic interrupt; 0 for none (data sheet, table 5, 32.768 kHz column). */
  #periodNs(): number {
    const rate = this.#s.cmos[REG_A]! & 15;
    if (rate === 0) return 0;
    return (2 ** ((rate <= 2 ? rate + 7 : rate) - 1) * SECOND_NS) / 32768;
  }

  #periods(): number {
    const period = this.#periodNs();
    return period === 0 ? 0 : Math.floor((this.#timers.nowNs() - this.#s.periodOriginNs) / period);
  }

  /** A new rate counts on from the last period that the old one completed. */
  #changePeriod(beforeNs: number): void {
    const s = this.#s;
    if (beforeNs === 0) s.periodOriginNs = this.#timers.nowNs();
    else s.periodOriginNs += s.checkedPeriod * beforeNs;
    s.checkedPeriod = this.#periods();
  }

  #flagsWithIrq(): number {
    const cmos = this.#s.cmos;
    const flags = cmos[REG_C]! & 0x70;
    return flags | ((flags & cmos[REG_B]! & 0x70) !== 0 ? C_IRQF : 0);
  }

  /** Sets the flags of everything that happened since the last look. */
  #collectFlags(): void {
    const s = this.#s;
    const periods = this.#periods();
    if (periods !== s.checkedPeriod) {
      if (this.#periodNs() > 0) s.cmos[REG_C]! |= C_PERIODIC;
      s.checkedPeriod = periods;
    }
    const second = this.#second();
    if (second === s.checkedSecond) return;
    if (second > s.checkedSecond && !this.#stands) {
      s.cmos[REG_C]! |= C_UPDATE;
      if (nextAlarm(s.checkedSecond, s.cmos, s.cmos[REG_B]!) <= second) s.cmos[REG_C]! |= C_ALARM;
    }
    s.checkedSecond = second;
  }

  #refresh(): void {
    this.#collectFlags();
    this.#schedule();
  }

  /** Drives the line, and arms the timer for the next enabled flag that is not set yet. */
  #schedule(): void {
    this.#updateLine();
    const wanted = this.#s.cmos[REG_B]! & ~this.#s.cmos[REG_C]! & 0x70;
    const nowNs = this.#timers.nowNs();
    let nextNs = Number.POSITIVE_INFINITY;
    const period = this.#periodNs();
    if ((wanted & C_PERIODIC) !== 0 && period > 0) {
      nextNs = Math.ceil(this.#s.periodOriginNs + (this.#s.checkedPeriod + 1) * period);
    }
    if ((wanted & (C_UPDATE | C_ALARM)) !== 0 && !this.#stands) {
      const second = this.#second();
      const alarm =
        (wanted & C_ALARM) !== 0 ? nextAlarm(second, this.#s.cmos, this.#s.cmos[REG_B]!) : Infinity;
      const target = (wanted & C_UPDATE) !== 0 ? second + 1 : alarm;
      nextNs = Math.min(nextNs, nowNs + (target - second) * SECOND_NS - this.#fractionNs() + 1000);
    }
    if (nextNs === Number.POSITIVE_INFINITY) this.#timer.cancel();
    else this.#timer.arm(Math.max(nextNs, nowNs + 1));
  }

  #updateLine(): void {
    this.#irq.set(this.#irqEnabled && (this.#flagsWithIrq() & C_IRQF) !== 0);
  }
}
