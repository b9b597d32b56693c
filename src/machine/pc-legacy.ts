/** What every PC has at its fixed ports: timers, real-time clock, keyboard controller, serial ports, DMA and floppy controller. */
import type { CharBackend } from '../core/char-backend.ts';
import type { WallClock } from '../core/clock.ts';
import { IrqLine } from '../core/irq.ts';
import type { PowerControl } from '../core/reset.ts';
import type { TimerService } from '../core/timer.ts';
import { SERIAL_MMIO, SERIAL_PORTS as SERIAL_REGISTERS, Serial } from '../hw/char/serial.ts';
import { I8042 } from '../hw/input/i8042.ts';
import { DebugExit } from '../hw/misc/debug-exit.ts';
import { DEBUGCON_MMIO, DebugCon } from '../hw/misc/debugcon.ts';
import * as testdev from '../hw/misc/pc-testdev.ts';
import { PcTestDev } from '../hw/misc/pc-testdev.ts';
import { Port61 } from '../hw/misc/port61.ts';
import { Port92 } from '../hw/misc/port92.ts';
import { PostPort } from '../hw/misc/post-port.ts';
import { Mc146818, RTC_MMIO, RTC_PORTS } from '../hw/rtc/mc146818.ts';
import { HPET_MMIO, Hpet } from '../hw/timer/hpet.ts';
import { I8254, I8254_MMIO, I8254_PORTS } from '../hw/timer/i8254.ts';
import { BYTE_WIDE, type DeviceSlots } from './device-slots.ts';
import type { PcInterrupts } from './pc-interrupts.ts';
import * as map from './pc-map.ts';

export interface PcLegacyOptions {
  readonly timers: TimerService;
  readonly wallClock: WallClock;
  readonly power: PowerControl;
  /** Address line 20 is let through (true) or held low. */
  readonly setA20: (open: boolean) => void;
  /** COM1…COM4; undefined: no such port. */
  readonly serial: ReadonlyArray<CharBackend | undefined>;
  readonly debugCon:
    | { readonly iobase: number; readonly readback: number; readonly backend: CharBackend }
    | undefined;
  readonly debugExit: { readonly iobase: number; readonly iosize: number } | undefined;
  /** False: the 8254 is not to be seen. */
  readonly pit?: boolean;
  /** `pc-testdev`. */
  readonly testDevice?: boolean;
  readonly hpet: boolean;
}

export class PcLegacy {
  readonly rtc: Mc146818;
  readonly i8042: I8042;
  readonly #options: PcLegacyOptions;
  readonly #irqs: PcInterrupts;
  readonly #slots: DeviceSlots;

  constructor(options: PcLegacyOptions, irqs: PcInterrupts, slots: DeviceSlots) {
    this.#options = options;
    this.#irqs = irqs;
    this.#slots = slots;
    this.rtc = slots.add(
      'mc146818',
      new Mc146818(irqs.isaLine(map.IRQ_RTC), options.wallClock, options.timers),
    );
    slots.mapPorts('rtc', map.PORT_RTC, RTC_PORTS, this.rtc, RTC_MMIO);
    this.#addTimers();
    this.i8042 = this.#addKeyboardController();
    slots.mapPorts('post', map.PORT_POST, 1, slots.add('post', new PostPort()), BYTE_WIDE);
    this.#addCharDevices();
    if (options.testDevice === true) this.#addTestDevice();
    this.#addDebugExit();
  }

  #addTimers(): void {
    const { timers, pit: hasPit = true, hpet } = this.#options;
    const irq = hasPit ? this.#irqs.isaLine(map.IRQ_PIT) : new IrqLine(() => {});
    const pit = this.#slots.add('i8254', new I8254(irq, timers));
    if (hasPit) this.#slots.mapPorts('pit', map.PORT_PIT, I8254_PORTS, pit, I8254_MMIO);
    const port61 = this.#slots.add('port61', new Port61(pit, timers));
    this.#slots.mapPorts('port61', map.PORT_SYSTEM_CONTROL_B, 1, port61, BYTE_WIDE);
    if (hpet) this.#addHpet(pit);
  }

  #addHpet(pit: I8254): void {
    const irqs = this.#irqs;
    const hpet = new Hpet(
      {
        gsi: Array.from({ length: map.IO_APIC_INPUTS }, (_, n) => irqs.gsiLine(n)),
        legacyTimerIrq: irqs.isaLine(map.IRQ_PIT),
        legacyRtcIrq: irqs.isaLine(map.IRQ_RTC),
        onLegacyChanged: (isLegacy) => {
          pit.setIrqEnabled(!isLegacy);
          irqs.accelerated?.setPitIrqEnabled?.(!isLegacy);
          this.rtc.setIrqEnabled(!isLegacy);
        },
      },
      this.#options.timers,
    );
    this.#slots.mapMmio('hpet', map.HPET_BASE, map.HPET_SIZE, this.#slots.add('hpet', hpet), HPET_MMIO);
  }

  #addKeyboardController(): I8042 {
    const { setA20, power } = this.#options;
    const slots = this.#slots;
    const port92: Port92 = new Port92(new IrqLine((_, level) => setA20(level)), power);
    const a20 = new IrqLine((_, level) => {
      port92.setA20(level);
      setA20(level);
    });
    const irqs = this.#irqs;
    const i8042 = slots.add(
      'i8042',
      new I8042(irqs.isaLine(map.IRQ_KEYBOARD), irqs.isaLine(map.IRQ_MOUSE), a20, power),
    );
    slots.mapPorts('i8042-data', map.PORT_I8042_DATA, 1, i8042.data, BYTE_WIDE);
    slots.mapPorts('i8042-command', map.PORT_I8042_COMMAND, 1, i8042.command, BYTE_WIDE);
    slots.mapPorts('port92', map.PORT_SYSTEM_CONTROL_A, 1, slots.add('port92', port92), BYTE_WIDE);
    return i8042;
  }

  #addCharDevices(): void {
    const { serial, debugCon, timers } = this.#options;
    const slots = this.#slots;
    map.SERIAL_PORTS.forEach(({ port, irq }, n) => {
      const backend = serial[n];
      if (backend === undefined) return;
      const uart = slots.add(`serial${n}`, new Serial(this.#irqs.isaLine(irq), backend, timers));
      slots.mapPorts(`serial${n}`, port, SERIAL_REGISTERS, uart, SERIAL_MMIO);
    });
    if (debugCon === undefined) return;
    const device = slots.add('isa-debugcon', new DebugCon(debugCon.backend, debugCon.readback));
    slots.mapPorts('isa-debugcon', debugCon.iobase, 1, device, DEBUGCON_MMIO, 1);
  }

  #addTestDevice(): void {
    const slots = this.#slots;
    const lines = Array.from({ length: map.IO_APIC_INPUTS }, (_, n) => this.#irqs.gsiLine(n));
    const device = slots.add('pc-testdev', new PcTestDev(lines));
    slots.mapPorts('pc-testdev-irq', testdev.TESTDEV_IRQ_PORT, lines.length, device.irqPorts, BYTE_WIDE, 1);
    slots.mapPorts('pc-testdev-data', testdev.TESTDEV_DATA_PORT, 4, device.data, {}, 1);
    slots.mapPorts('pc-testdev-flush', testdev.TESTDEV_FLUSH_PORT, 4, device.flush, {}, 1);
    slots.mapPorts('pc-testdev-bytes', testdev.TESTDEV_BYTES_PORT, 4, device.data, BYTE_WIDE, 1);
    const [address, size] = [testdev.TESTDEV_MEMORY, testdev.TESTDEV_MEMORY_SIZE];
    slots.mapMmio('pc-testdev-memory', address, size, device.memory, {});
  }

  #addDebugExit(): void {
    const { debugExit, power } = this.#options;
    if (debugExit === undefined) return;
    const { iobase, iosize } = debugExit;
    const device = this.#slots.add('isa-debug-exit', new DebugExit(power));
    this.#slots.mapPorts('isa-debug-exit', iobase, iosize, device, {}, 1);
  }
}
