/**
 * Watchdog timer of the Intel 6300ESB ICH (data sheet 300641-004US, chapter 16), PCI device 8086:25ab.
 *
 *   configuration 0x60: bit 2 time base (0: 1 kHz, 1: 1 MHz), bits 1…0 first stage's interrupt (3: none), bit 5 reboots off
 *   configuration 0x68: bit 0 lock, bit 1 enable, bit 2 free run
 *   memory 0x00, 0x04: preload of stage 1, 2   0x08: interrupt status   0x0c: bit 8 reload, bit 9 timed out; unlocked by 0x80, 0x86
 */
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { below, bool, defineState, num, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PciFunction } from '../pci/pci-device.ts';

const CONFIG = 0x60;
const LOCK = 0x68;
const CONFIG_NO_REBOOT = 0x20;
const CONFIG_FAST = 4;
const LOCKED = 1;
const ENABLED = 2;
const FREE_RUN = 4;
const RELOAD = 0x100;
const TIMED_OUT = 0x200;
const PRELOAD_MASK = 0xfffff;
/** The counters' clock is the 33 MHz PCI clock divided by 2^15 or 2^5. */
const PCI_CLOCK_NS = 30;
const BAR_BYTES = 16;

const schema = defineState('i6300esb', 1, {
  enabled: bool(),
  locked: bool(),
  freeRun: bool(),
  reboots: bool(true),
  fast: bool(),
  interruptType: below(4),
  preload1: u32(PRELOAD_MASK),
  preload2: u32(PRELOAD_MASK),
  stage: below(3, 1),
  unlock: below(3),
  timedOut: bool(),
  deadlineNs: num(),
});

export class I6300Esb implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #timers: TimerService;
  readonly #timer: Timer;
  readonly #onExpired: () => void;

  /** `onExpired`: the second stage ran out: the machine is to be reset, or what the user chose. */
  constructor(timers: TimerService, onExpired: () => void) {
    this.#timers = timers;
    this.#onExpired = onExpired;
    this.#timer = timers.create(() => this.#expire());
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x25ab,
      classCode: 0x088000,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
    });
    const { pci } = this;
    pci.allow(CONFIG, 2, CONFIG_NO_REBOOT | CONFIG_FAST | 3);
    pci.allow(LOCK, 1, LOCKED | ENABLED | FREE_RUN);
    pci.onConfigWritten = (offset, size) => this.#configWritten(offset, size);
    pci.onConfigRead = (offset) => this.#refreshConfig(offset);
    const device = {
      read: (offset: number, _size: AccessSize): number =>
        offset === 0x0c && this.#s.timedOut ? TIMED_OUT : 0,
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    };
    pci.addBar(0, 'memory32', MemoryRegion.mmio('i6300esb', BAR_BYTES, device));
    const own = stateful(schema, this.#s, { postLoad: () => this.#arm() });
    this.vmstate = combineStates('i6300esb-pci', [
      ['pci', pci.vmstate],
      ['watchdog', own],
    ]);
  }

  /** The flag of a time-out survives the reset that the time-out made. */
  reset(): void {
    const { timedOut } = this.#s;
    this.pci.reset();
    schema.reset(this.#s);
    this.#s.timedOut = timedOut;
    this.#arm();
  }

  #write(offset: number, value: number): void {
    const s = this.#s;
    if (offset === 0x0c && (value & 0xff) === 0x80) s.unlock = 1;
    else if (offset === 0x0c && (value & 0xff) === 0x86 && s.unlock === 1) s.unlock = 2;
    else if (s.unlock === 2) {
      if (offset === 0) s.preload1 = value & PRELOAD_MASK;
      else if (offset === 4) s.preload2 = value & PRELOAD_MASK;
      else if (offset === 0x0c) {
        if ((value & RELOAD) !== 0) this.#restart(1);
        if ((value & TIMED_OUT) !== 0) s.timedOut = false;
      }
      s.unlock = 0;
    }
  }

  #configWritten(offset: number, size: number): void {
    const s = this.#s;
    const { config } = this.pci;
    if (offset <= CONFIG && offset + size > CONFIG) {
      s.reboots = (config[CONFIG]! & CONFIG_NO_REBOOT) === 0;
      s.fast = (config[CONFIG]! & CONFIG_FAST) !== 0;
      s.interruptType = config[CONFIG]! & 3;
    }
    if (offset > LOCK || offset + size <= LOCK || s.locked) return;
    const value = config[LOCK]!;
    s.locked = (value & LOCKED) !== 0;
    s.freeRun = (value & FREE_RUN) !== 0;
    const before = s.enabled;
    s.enabled = (value & ENABLED) !== 0;
    if (s.enabled && !before) this.#restart(1);
    else if (!s.enabled) this.#stop();
  }

  #refreshConfig(offset: number): void {
    const s = this.#s;
    if (offset > LOCK) return;
    this.pci.config[LOCK] = (s.freeRun ? FREE_RUN : 0) | (s.locked ? LOCKED : 0) | (s.enabled ? ENABLED : 0);
    this.pci.config[CONFIG] =
      (s.reboots ? 0 : CONFIG_NO_REBOOT) | (s.fast ? CONFIG_FAST : 0) | s.interruptType;
  }

  #restart(stage: 1 | 2): void {
    const s = this.#s;
    if (!s.enabled) return;
    s.stage = stage;
    const ticks = (stage === 1 ? s.preload1 : s.preload2) * (s.fast ? 2 ** 5 : 2 ** 15);
    s.deadlineNs = this.#timers.nowNs() + Math.max(1, ticks * PCI_CLOCK_NS);
    this.#arm();
  }

  #stop(): void {
    this.#s.deadlineNs = 0;
    this.#arm();
  }

  #arm(): void {
    if (this.#s.enabled && this.#s.deadlineNs > 0) this.#timer.arm(this.#s.deadlineNs);
    else this.#timer.cancel();
  }

  /** The first stage would interrupt; the second ends the machine's patience. */
  #expire(): void {
    const s = this.#s;
    if (s.stage === 1) {
      this.#restart(2);
      return;
    }
    if (s.reboots) {
      s.timedOut = true;
      this.#stop();
      this.#onExpired();
    }
    if (s.freeRun) this.#restart(1);
  }
}
