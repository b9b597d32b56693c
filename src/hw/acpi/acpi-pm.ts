/**
 * ACPI fixed hardware: PM1a event and control blocks, PM timer, general-purpose events (ACPI 6.4, 4.8; register bits as
 * in the 82371AB, 7.2).
 *
 *     PM block: +0 PM1_STS  +2 PM1_EN  +4 PM1_CNT  +8 PM_TMR (24 bits at 3.579545 MHz)
 *     GPE0 block: +0 status  +n enable, of n = 2 bytes (PIIX4) or 8 (ICH9) with 16 events
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { PowerControl } from '../../core/reset.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { defineState, num, stateful, u16 } from '../../core/vmstate.ts';
import { nsToTicks, ticksToNs } from '../timer/ticks.ts';

export const PM_TIMER_HZ = 3579545;
export const ACPI_PM_SIZE = 64;
export const ACPI_PM_MMIO: MmioOptions = { impl: { min: 1, max: 4 } };
export const GPE0_SIZE = 4;

/** Values of SMI_CMD that switch ACPI mode on and off; FADT's ACPI_ENABLE and ACPI_DISABLE name them. */
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;

const TIMER_STATUS = 1 << 0;
const POWER_BUTTON = 1 << 8;
const WAKE_STATUS = 1 << 15;
const STATUS_BITS = 0x8531;
const ENABLE_BITS = 0x0521;

const SCI_ENABLE = 1 << 0;
const CONTROL_WRITABLE = 0x1c06;
const SLEEP_ENABLE = 1 << 13;
/** Bit 23 of the timer changes every 2^23 ticks and then sets TMR_STS (ACPI 4.8.2.1). */
const TIMER_HALF = 2 ** 23;

/** SLP_TYP of the PIIX4 (7.2.2): 0 soft off, 1 suspend to RAM. QEMU's S4 value is 2. */
const SLEEP_SOFT_OFF = 0;
const SLEEP_SUSPEND = 1;
const SLEEP_S4 = 2;

const schema = defineState('acpi-pm', 1, {
  status: u16(),
  enable: u16(),
  control: u16(),
  /** Halves of the timer's period that have been seen. */
  timerHalves: num(),
  gpeStatus: u16(),
  gpeEnable: u16(),
});

export class AcpiPm implements Device {
  readonly pm: MmioDevice;
  readonly gpe0: MmioDevice;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #sci: IrqLine;
  readonly #power: PowerControl;
  readonly #clock: TimerService;
  readonly #timer: Timer;

  readonly #gpeHalf: number;

  /** `gpeBytes`: size of the GPE0 block. */
  constructor(sci: IrqLine, power: PowerControl, timers: TimerService, gpeBytes = GPE0_SIZE) {
    this.#gpeHalf = gpeBytes / 2;
    this.#sci = sci;
    this.#power = power;
    this.#clock = timers;
    this.#timer = timers.create(() => this.#update());
    this.#s.timerHalves = this.#halves();
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#update() });
    this.pm = {
      read: (offset, size) => {
        return offset === 8 && size === 4
          ? this.#timerValue()
          : assemble(offset, size, (at) => this.#readPm(at));
      },
      write: (offset, size, value) => this.#writePm(offset, size, value),
    };
    this.gpe0 = {
      read: (offset, size) => assemble(offset, size, (at) => this.#readGpe(at)),
      write: (offset, size, value) => this.#writeGpe(offset, size, value),
    };
  }

  reset(): void {
    schema.reset(this.#s);
    this.#s.timerHalves = this.#halves();
    this.#update();
  }

  /** SMI_CMD was written: firmware's part of switching ACPI mode. */
  setAcpiMode(enabled: boolean): void {
    this.#s.control = enabled ? this.#s.control | SCI_ENABLE : this.#s.control & ~SCI_ENABLE;
    this.#update();
  }

  /** The SCI leads elsewhere now. */
  driveSci(): void {
    this.#update();
  }

  get acpiMode(): boolean {
    return (this.#s.control & SCI_ENABLE) !== 0;
  }

  /** The user pressed the power button: a guest with ACPI shuts down. */
  pressPowerButton(): void {
    this.#s.status |= POWER_BUTTON;
    this.#update();
  }

  /** The machine comes back from S3. */
  wake(): void {
    this.#s.status |= WAKE_STATUS;
    this.#update();
  }

  /** Raises general-purpose event `n` (0…15): hotplug and the like. */
  raiseGpe(n: number): void {
    this.#s.gpeStatus |= 1 << n;
    this.#update();
  }

  // --- registers ---

  #readPm(at: number): number {
    switch (at) {
      case 0:
        this.#checkTimer();
        return this.#s.status;
      case 2:
        return this.#s.enable;
      case 4:
        return this.#s.control;
      case 8:
        return this.#timerValue() & 0xffff;
      case 10:
        return this.#timerValue() >>> 16;
      default:
        return 0;
    }
  }

  #writePm(offset: number, size: AccessSize, value: number): void {
    const s = this.#s;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const shift = (at & 1) * 8;
      const byte = ((value >>> (8 * i)) & 0xff) << shift;
      const kept = 0xff00 >> shift;
      switch (at & ~1) {
        case 0:
          this.#checkTimer();
          s.status &= ~(byte & STATUS_BITS);
          break;
        case 2:
          s.enable = (s.enable & kept) | (byte & ENABLE_BITS);
          break;
        case 4:
          this.#writeControl(byte, kept);
          break;
        default: // the timer is read only
      }
    }
    this.#update();
  }

  #writeControl(bits: number, kept: number): void {
    const s = this.#s;
    const writable = CONTROL_WRITABLE & ~kept;
    s.control = (s.control & ~writable) | (bits & writable);
    // SCI_EN belongs to firmware; kernels that write it back do not change it.
    if ((bits & SLEEP_ENABLE) !== 0) this.#sleep((s.control >> 10) & 7);
  }

  #sleep(type: number): void {
    if (type === SLEEP_SOFT_OFF || type === SLEEP_S4) this.#power.requestShutdown('guest-shutdown');
    else if (type === SLEEP_SUSPEND) this.#power.requestSuspend();
  }

  #readGpe(at: number): number {
    return at === 0 ? this.#s.gpeStatus : at === this.#gpeHalf ? this.#s.gpeEnable : 0;
  }

  #writeGpe(offset: number, size: AccessSize, value: number): void {
    const s = this.#s;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const shift = (at & 1) * 8;
      const byte = ((value >>> (8 * i)) & 0xff) << shift;
      if ((at & ~1) === 0) s.gpeStatus &= ~byte;
      else if ((at & ~1) === this.#gpeHalf) s.gpeEnable = (s.gpeEnable & (0xff00 >> shift)) | byte;
    }
    this.#update();
  }

  // --- timer and SCI ---

  #timerValue(): number {
    return nsToTicks(this.#clock.nowNs(), PM_TIMER_HZ) % 2 ** 24;
  }

  #halves(): number {
    return Math.floor(nsToTicks(this.#clock.nowNs(), PM_TIMER_HZ) / TIMER_HALF);
  }

  #checkTimer(): void {
    const halves = this.#halves();
    if (halves === this.#s.timerHalves) return;
    this.#s.timerHalves = halves;
    this.#s.status |= TIMER_STATUS;
  }

  #update(): void {
    this.#checkTimer();
    const s = this.#s;
    const active = (s.status & s.enable & ENABLE_BITS) !== 0 || (s.gpeStatus & s.gpeEnable) !== 0;
    this.#sci.set(active && (s.control & SCI_ENABLE) !== 0);
    const waitsForTimer = (s.enable & TIMER_STATUS) !== 0 && (s.status & TIMER_STATUS) === 0;
    if (waitsForTimer) this.#timer.arm(ticksToNs((s.timerHalves + 1) * TIMER_HALF, PM_TIMER_HZ));
    else this.#timer.cancel();
  }
}

/** A value of `size` bytes built from 16-bit registers. */
function assemble(offset: number, size: AccessSize, register: (at: number) => number): number {
  let value = 0;
  for (let i = 0; i < size; i++) {
    const at = offset + i;
    const byte = (register(at & ~1) >>> ((at & 1) * 8)) & 0xff;
    value |= byte << (8 * i);
  }
  return value >>> 0;
}
