/**
 * Intel 8254 programmable interval timer (data sheet order 231164): three 16-bit counters at 1.193182 MHz. Counter 0
 * drives IRQ 0, counter 2 the speaker through port 0x61.
 *
 *     +0…2 counters   +3 control word (write only)
 *
 * A new count takes effect at once, also in modes 2 and 3, where the chip would finish the present period.
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import {
  array,
  below,
  bool,
  defineState,
  num,
  type StateOf,
  stateful,
  struct,
  u8,
  u16,
} from '../../core/vmstate.ts';
import { nsToTicks, ticksToNs } from './ticks.ts';

export const PIT_FREQUENCY_HZ = 1193182;
export const I8254_PORTS = 4;
export const I8254_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };

/** Interrupts of counter 0 closer than this are merged, so that they leave the machine time to run. */
const MIN_PERIOD_NS = 10_000;
const RW_LATCH = 0;
const RW_LOW = 1;
const RW_HIGH = 2;
const RW_WORD = 3;

const channelFields = {
  /** Low 3 bits of the mode field, with 6 and 7 shown as 2 and 3. */
  mode: below(6),
  bcd: bool(),
  rw: below(4, RW_WORD),
  /** The count register; 0 stands for 2^16 (10^4 in BCD). */
  count: u16(),
  /** A count was written since the control word: the counter counts. */
  loaded: bool(),
  /** The gate input; counters 0 and 1 have it high always. */
  gate: bool(true),
  /** Modes 1 and 5: the gate has started it. */
  triggered: bool(),
  /** When the count began (moved when the gate held it). */
  startNs: num(),
  /** Ticks done when the gate stopped it (modes 0 and 4); −1 while it runs. */
  heldTicks: num(-1),
  writeHigh: bool(),
  writeLatch: u8(),
  readHigh: bool(),
  /** Bytes of the latched count still to be read. */
  latchedBytes: below(3),
  latch: u16(),
  statusLatched: bool(),
  status: u8(),
};

const schema = defineState('i8254', 1, {
  channels: array(3, struct(channelFields)),
  /** Counter 0 is connected to its interrupt line (an HPET in legacy mode takes it over). */
  irqEnabled: bool(true),
  nextIrqNs: num(Number.POSITIVE_INFINITY),
});
type Channel = StateOf<typeof schema>['channels'][number];

export class I8254 implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #clock: TimerService;
  readonly #irq: IrqLine;
  readonly #timer: Timer;

  constructor(irq: IrqLine, timers: TimerService) {
    this.#irq = irq;
    this.#clock = timers;
    this.#timer = timers.create(() => this.#expired());
    this.reset();
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#timer.arm(this.#s.nextIrqNs) });
  }

  reset(): void {
    schema.reset(this.#s);
    this.#s.channels[2]!.gate = false;
    this.#timer.cancel();
    this.#irq.lower();
  }

  /** Connects counter 0 to its line, or (an HPET in legacy replacement mode) disconnects it. */
  setIrqEnabled(enabled: boolean): void {
    if (this.#s.irqEnabled === enabled) return;
    this.#s.irqEnabled = enabled;
    this.#schedule();
  }

  /** The output of a counter. */
  output(index: number): boolean {
    const ch = this.#s.channels[index]!;
    return outputAt(ch, this.#elapsed(ch));
  }

  gate(index: number): boolean {
    return this.#s.channels[index]!.gate;
  }

  /** Drives the gate of a counter (data sheet, "Gate" and figure 21). */
  setGate(index: number, level: boolean): void {
    const ch = this.#s.channels[index]!;
    const rose = level && !ch.gate;
    if (level === ch.gate) return;
    const ticks = this.#elapsed(ch);
    ch.gate = level;
    const nowNs = this.#clock.nowNs();
    switch (ch.mode) {
      case 0:
      case 4:
        if (!level) ch.heldTicks = ticks;
        else if (ch.heldTicks >= 0) {
          ch.startNs = nowNs - ticksToNs(ch.heldTicks, PIT_FREQUENCY_HZ);
          ch.heldTicks = -1;
        }
        break;
      case 2:
      case 3:
        ch.heldTicks = level ? -1 : 0;
        if (rose) ch.startNs = nowNs;
        break;
      default:
        if (rose) {
          ch.startNs = nowNs;
          ch.triggered = true;
        }
    }
  }

  read(offset: number, _size: AccessSize): number {
    const index = offset & 3;
    if (index === 3) return 0xff;
    const ch = this.#s.channels[index]!;
    if (ch.statusLatched) {
      ch.statusLatched = false;
      return ch.status;
    }
    if (ch.latchedBytes > 0) return this.#readLatch(ch);
    const value = this.#currentCount(ch);
    if (ch.rw === RW_LOW) return value & 0xff;
    if (ch.rw === RW_HIGH) return value >> 8;
    ch.readHigh = !ch.readHigh;
    return ch.readHigh ? value & 0xff : value >> 8;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    const index = offset & 3;
    if (index === 3) this.#writeControl(value);
    else this.#writeCount(index, value & 0xff);
  }

  #readLatch(ch: Channel): number {
    const isHigh = ch.rw === RW_HIGH || (ch.rw === RW_WORD && ch.latchedBytes === 1);
    ch.latchedBytes--;
    return isHigh ? ch.latch >> 8 : ch.latch & 0xff;
  }

  #writeControl(value: number): void {
    const select = value >> 6;
    if (select === 3) {
      this.#readBack(value);
      return;
    }
    const ch = this.#s.channels[select]!;
    const rw = (value >> 4) & 3;
    if (rw === RW_LATCH) {
      this.#latchCount(ch);
      return;
    }
    const mode = (value >> 1) & 7;
    ch.mode = mode > 5 ? mode - 4 : mode;
    ch.bcd = (value & 1) !== 0;
    ch.rw = rw;
    ch.loaded = false;
    ch.triggered = false;
    ch.heldTicks = -1;
    ch.writeHigh = false;
    ch.readHigh = false;
    ch.latchedBytes = 0;
    ch.statusLatched = false;
    if (select === 0) this.#schedule();
  }

  /** The read-back command: latches counts and status of several counters. */
  #readBack(value: number): void {
    for (let index = 0; index < 3; index++) {
      if ((value & (2 << index)) === 0) continue;
      const ch = this.#s.channels[index]!;
      if ((value & 0x20) === 0) this.#latchCount(ch);
      if ((value & 0x10) === 0 && !ch.statusLatched) {
        const out = this.output(index) ? 0x80 : 0;
        const nullCount = ch.loaded ? 0 : 0x40;
        ch.status = out | nullCount | (ch.rw << 4) | (ch.mode << 1) | (ch.bcd ? 1 : 0);
        ch.statusLatched = true;
      }
    }
  }

  #latchCount(ch: Channel): void {
    if (ch.latchedBytes > 0) return;
    ch.latch = this.#currentCount(ch);
    ch.latchedBytes = ch.rw === RW_WORD ? 2 : 1;
  }

  #writeCount(index: number, byte: number): void {
    const ch = this.#s.channels[index]!;
    if (ch.rw === RW_LOW) this.#load(index, byte);
    else if (ch.rw === RW_HIGH) this.#load(index, byte << 8);
    else if (ch.writeHigh) {
      ch.writeHigh = false;
      this.#load(index, ch.writeLatch | (byte << 8));
    } else {
      ch.writeHigh = true;
      ch.writeLatch = byte;
      // Mode 0: the first byte stops the count.
      if (ch.mode === 0) {
        ch.loaded = false;
        if (index === 0) this.#schedule();
      }
    }
  }

  #load(index: number, count: number): void {
    const ch = this.#s.channels[index]!;
    ch.count = count;
    // Modes 1 and 5: a running one-shot goes on with the old count; here it takes the new one at the next trigger.
    const waitsForGate = ch.mode === 1 || ch.mode === 5;
    if (!waitsForGate || !ch.loaded) {
      ch.startNs = this.#clock.nowNs();
      ch.heldTicks = ch.gate || waitsForGate ? -1 : 0;
    }
    ch.loaded = true;
    if (index === 0) this.#schedule();
  }

  #elapsed(ch: Channel): number {
    if (ch.heldTicks >= 0) return ch.heldTicks;
    return Math.max(0, nsToTicks(this.#clock.nowNs() - ch.startNs, PIT_FREQUENCY_HZ));
  }

  #currentCount(ch: Channel): number {
    const n = periodOf(ch);
    const ticks = this.#elapsed(ch);
    let value = n;
    if (ch.loaded) {
      if (ch.mode === 2) value = n - (ticks % n);
      else if (ch.mode === 3) value = n - ((2 * ticks) % n);
      else if ((ch.mode !== 1 && ch.mode !== 5) || ch.triggered) value = n - ticks;
    }
    if (!ch.bcd) return value & 0xffff;
    const decimal = ((value % 10000) + 10000) % 10000;
    return Number.parseInt(decimal.toString(), 16);
  }

  // --- interrupts of counter 0 ---

  #schedule(): void {
    const ch = this.#s.channels[0]!;
    this.#irq.set(this.#s.irqEnabled && outputAt(ch, this.#elapsed(ch)));
    this.#arm();
  }

  /** Arms the timer for the next change of the output that the interrupt line needs to see. */
  #arm(): void {
    const ch = this.#s.channels[0]!;
    const ticks = this.#s.irqEnabled ? nextChange(ch, this.#elapsed(ch)) : Number.POSITIVE_INFINITY;
    let nextNs = Number.POSITIVE_INFINITY;
    if (ticks < Number.POSITIVE_INFINITY) {
      nextNs = ch.startNs + ticksToNs(ticks, PIT_FREQUENCY_HZ);
      if (periodOf(ch) < 12) nextNs = Math.max(nextNs, this.#clock.nowNs() + MIN_PERIOD_NS);
    }
    this.#s.nextIrqNs = nextNs;
    this.#timer.arm(nextNs);
  }

  #expired(): void {
    const ch = this.#s.channels[0]!;
    // Modes 2 and 4: low for one tick only; one event makes both edges.
    if (ch.mode === 2 || ch.mode === 4) {
      this.#irq.lower();
      this.#irq.raise();
    } else {
      const level = outputAt(ch, this.#elapsed(ch));
      // A late timer may have slept through the low half of a square wave.
      if (level && ch.mode === 3) this.#irq.lower();
      this.#irq.set(level);
    }
    this.#arm();
  }
}

/** The divisor: what a count of 0 stands for included. */
function periodOf(ch: Channel): number {
  if (!ch.bcd) return ch.count === 0 ? 0x10000 : ch.count;
  const decimal = [12, 8, 4, 0].reduce((sum, shift) => sum * 10 + ((ch.count >> shift) & 15), 0);
  return decimal === 0 ? 10000 : decimal;
}

/** Level of the output after `ticks` ticks (data sheet, figures 15 to 20). */
function outputAt(ch: Channel, ticks: number): boolean {
  if (!ch.loaded) return ch.mode !== 0;
  const n = periodOf(ch);
  switch (ch.mode) {
    case 0:
      return ticks >= n;
    case 1:
      return !ch.triggered || ticks >= n;
    case 2:
      return !ch.gate || ticks % n !== n - 1 || n === 1;
    case 3:
      return !ch.gate || ticks % n < (n + 1) >> 1;
    default:
      return (ch.mode === 5 && !ch.triggered) || ticks !== n;
  }
}

/** Ticks since the start at which the line of counter 0 next has to act; Infinity for never. */
function nextChange(ch: Channel, ticks: number): number {
  if (!ch.loaded || ch.heldTicks >= 0) return Number.POSITIVE_INFINITY;
  const n = periodOf(ch);
  const period = Math.floor(ticks / n);
  switch (ch.mode) {
    case 0:
      return ticks < n ? n : Number.POSITIVE_INFINITY;
    case 2:
      return (period + 1) * n;
    case 3: {
      const half = period * n + ((n + 1) >> 1);
      return ticks < half ? half : (period + 1) * n;
    }
    case 4:
      return ticks <= n ? n + 1 : Number.POSITIVE_INFINITY;
    default: // 1 and 5 wait for a gate that counter 0 does not have
      return Number.POSITIVE_INFINITY;
  }
}
