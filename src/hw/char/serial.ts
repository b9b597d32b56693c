/**
 * 16550A UART (National PC16550D data sheet, order TL/C/8652). Eight byte-wide ports:
 *
 *     0 RBR/THR (DLAB: DLL)   1 IER (DLAB: DLM)   2 IIR/FCR   3 LCR   4 MCR   5 LSR   6 MSR   7 SCR
 *
 * Bytes take no time on the line: the transmitter is empty again at once unless the backend holds bytes back.
 */
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { bool, byteList, defineState, num, stateful, u8, u16 } from '../../core/vmstate.ts';
import { ByteFifo } from '../../util/fifo.ts';

export const SERIAL_PORTS = 8;
export const SERIAL_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };

const IER_RX = 1;
const IER_TX = 2;
const IER_LINE = 4;
const IER_MODEM = 8;

// IIR, table 4
const IIR_NONE = 0x01;
const IIR_MODEM = 0x00;
const IIR_TX = 0x02;
const IIR_RX = 0x04;
const IIR_LINE = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFO = 0xc0;

const LSR_DATA = 0x01;
const LSR_BREAK = 0x10;
const LSR_TX_EMPTY = 0x60;
const LSR_ERRORS = 0x1e;

const MCR_LOOP = 0x10;
const LCR_DLAB = 0x80;
const FCR_ENABLE = 1;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
const FIFO_SIZE = 16;
/** What a guest sent that does not look at LSR while the backend holds bytes back: kept rather than lost. */
const TX_QUEUE_SIZE = 65536;
/** CTS, DSR and DCD of a terminal that is always there. */
const MODEM_ON = 0xb0;

const schema = defineState('serial', 1, {
  ier: u8(),
  lcr: u8(),
  mcr: u8(0x08),
  lsrErrors: u8(),
  msrDeltas: u8(),
  scr: u8(),
  fcr: u8(),
  divisor: u16(12),
  txInterrupt: bool(),
  timeoutInterrupt: bool(),
  timeoutNs: num(Number.POSITIVE_INFINITY),
  rx: byteList(FIFO_SIZE),
  tx: byteList(TX_QUEUE_SIZE),
});

export class Serial implements MmioDevice, CharFrontend, Device {
  readonly vmstate;
  onReceivable: (() => void) | undefined;

  readonly #s = schema.create();
  readonly #rx = new ByteFifo(FIFO_SIZE);
  readonly #tx = new ByteFifo(TX_QUEUE_SIZE);
  readonly #irq: IrqLine;
  readonly #backend: CharBackend;
  readonly #clock: TimerService;
  readonly #timeout: Timer;

  constructor(irq: IrqLine, backend: CharBackend, timers: TimerService) {
    this.#irq = irq;
    this.#backend = backend;
    this.#clock = timers;
    this.#timeout = timers.create(() => {
      this.#s.timeoutNs = Number.POSITIVE_INFINITY;
      this.#s.timeoutInterrupt = !this.#rx.isEmpty;
      this.#update();
    });
    this.vmstate = stateful(schema, this.#s, {
      preSave: () => {
        this.#s.rx = this.#rx.toArray();
        this.#s.tx = this.#tx.toArray();
      },
      postLoad: () => {
        this.#rx.assign(this.#s.rx);
        this.#tx.assign(this.#s.tx);
        this.#timeout.arm(this.#s.timeoutNs);
        this.#update();
      },
    });
    backend.connect(this);
  }

  reset(): void {
    schema.reset(this.#s);
    this.#rx.clear();
    this.#timeout.cancel();
    this.#update();
    this.onReceivable?.();
  }

  // --- host side ---

  canReceive(): number {
    if ((this.#s.mcr & MCR_LOOP) !== 0) return 0;
    return this.#fifoEnabled ? this.#rx.free : this.#rx.isEmpty ? 1 : 0;
  }

  receive(byte: number): void {
    if (this.canReceive() > 0) this.#accept(byte);
  }

  onBreak(): void {
    if (this.canReceive() === 0) return;
    this.#s.lsrErrors |= LSR_BREAK;
    this.#accept(0);
  }

  onWritable(): void {
    this.#drain();
    this.#update();
  }

  // --- guest side ---

  read(offset: number, _size: AccessSize): number {
    const s = this.#s;
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset & 7) {
      case 0:
        return dlab ? s.divisor & 0xff : this.#readData();
      case 1:
        return dlab ? s.divisor >> 8 : s.ier;
      case 2:
        return this.#readIir();
      case 3:
        return s.lcr;
      case 4:
        return s.mcr;
      case 5:
        return this.#readLsr();
      case 6:
        return this.#readMsr();
      default:
        return s.scr;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    const s = this.#s;
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset & 7) {
      case 0:
        if (dlab) s.divisor = (s.divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case 1:
        if (dlab) s.divisor = (s.divisor & 0xff) | (value << 8);
        else this.#writeIer(value & 15);
        break;
      case 2:
        this.#writeFcr(value);
        break;
      case 3:
        s.lcr = value;
        break;
      case 4:
        this.#writeMcr(value & 0x1f);
        break;
      case 7:
        s.scr = value;
        break;
      default: // LSR is for factory tests, MSR is read only
    }
  }

  get #fifoEnabled(): boolean {
    return (this.#s.fcr & FCR_ENABLE) !== 0;
  }

  #readData(): number {
    const byte = this.#rx.shift();
    this.#s.timeoutInterrupt = false;
    if (this.#rx.isEmpty) this.#setTimeout(Number.POSITIVE_INFINITY);
    else this.#restartTimeout();
    this.#update();
    if (byte >= 0) this.onReceivable?.();
    return Math.max(0, byte);
  }

  /** Reading IIR acknowledges the transmitter's interrupt if that is the one shown. */
  #readIir(): number {
    const id = this.#interruptId();
    if (id === IIR_TX) {
      this.#s.txInterrupt = false;
      this.#update();
    }
    return id | (this.#fifoEnabled ? IIR_FIFO : 0);
  }

  #readLsr(): number {
    const s = this.#s;
    const value = s.lsrErrors | (this.#rx.isEmpty ? 0 : LSR_DATA) | (this.#tx.isEmpty ? LSR_TX_EMPTY : 0);
    if (s.lsrErrors !== 0) {
      s.lsrErrors = 0;
      this.#update();
    }
    return value;
  }

  #modemLines(): number {
    const mcr = this.#s.mcr;
    if ((mcr & MCR_LOOP) === 0) return MODEM_ON;
    // Looped back: RTS → CTS, DTR → DSR, OUT1 → RI, OUT2 → DCD (8.6.7).
    return ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) | ((mcr & 8) << 4);
  }

  #readMsr(): number {
    const s = this.#s;
    const value = this.#modemLines() | s.msrDeltas;
    if (s.msrDeltas !== 0) {
      s.msrDeltas = 0;
      this.#update();
    }
    return value;
  }

  #writeMcr(value: number): void {
    const s = this.#s;
    const before = this.#modemLines();
    s.mcr = value;
    const now = this.#modemLines();
    const changed = before ^ now;
    s.msrDeltas |= (changed >> 4) & 0x0b;
    // TERI: the ring indicator's trailing edge.
    if ((before & 0x40) !== 0 && (now & 0x40) === 0) s.msrDeltas |= 4;
    this.#update();
    this.onReceivable?.();
  }

  #writeIer(value: number): void {
    const s = this.#s;
    const turnedOn = value & ~s.ier;
    s.ier = value;
    // Enabling the interrupt while THR is empty raises it (8.6.5; the 8250 driver of Linux tests this).
    if ((turnedOn & IER_TX) !== 0 && this.#tx.isEmpty) s.txInterrupt = true;
    if ((value & IER_TX) === 0) s.txInterrupt = false;
    this.#update();
  }

  #writeFcr(value: number): void {
    const s = this.#s;
    const toggled = ((value ^ s.fcr) & FCR_ENABLE) !== 0;
    s.fcr = (value & FCR_ENABLE) !== 0 ? value & 0xc9 : 0;
    if (toggled || (value & 2) !== 0) {
      this.#rx.clear();
      s.timeoutInterrupt = false;
      this.#setTimeout(Number.POSITIVE_INFINITY);
    }
    // The transmitter's FIFO holds only what the host has not taken yet; clearing it (bit 2) would lose output.
    this.#update();
    this.onReceivable?.();
  }

  #transmit(byte: number): void {
    const s = this.#s;
    if ((s.mcr & MCR_LOOP) !== 0) {
      if (this.#fifoEnabled ? !this.#rx.isFull : this.#rx.isEmpty) this.#accept(byte);
      else s.lsrErrors |= 2; // overrun
    } else {
      this.#tx.push(byte);
      this.#drain();
    }
    s.txInterrupt = this.#tx.isEmpty;
    this.#update();
  }

  #drain(): void {
    if (this.#tx.isEmpty) return;
    while (!this.#tx.isEmpty) {
      if (!this.#backend.write(this.#tx.peek())) return;
      this.#tx.shift();
    }
    this.#s.txInterrupt = true;
  }

  #accept(byte: number): void {
    this.#rx.push(byte);
    this.#restartTimeout();
    this.#update();
  }

  /** 8.4.1: four character times without traffic, below the trigger level, give a time-out interrupt. */
  #restartTimeout(): void {
    if (!this.#fifoEnabled) return;
    const bitNs = (Math.max(1, this.#s.divisor) * 16 * 1e9) / 1843200;
    this.#setTimeout(this.#clock.nowNs() + Math.min(10e6, Math.ceil(40 * bitNs)));
  }

  #setTimeout(deadlineNs: number): void {
    this.#s.timeoutNs = deadlineNs;
    this.#timeout.arm(deadlineNs);
  }

  /** The interrupt of highest priority (table 4). */
  #interruptId(): number {
    const s = this.#s;
    if ((s.ier & IER_LINE) !== 0 && (s.lsrErrors & LSR_ERRORS) !== 0) return IIR_LINE;
    if ((s.ier & IER_RX) !== 0 && this.#rx.length >= this.#triggerLevel()) return IIR_RX;
    if ((s.ier & IER_RX) !== 0 && s.timeoutInterrupt) return IIR_TIMEOUT;
    if ((s.ier & IER_TX) !== 0 && s.txInterrupt) return IIR_TX;
    if ((s.ier & IER_MODEM) !== 0 && s.msrDeltas !== 0) return IIR_MODEM;
    return IIR_NONE;
  }

  #triggerLevel(): number {
    return this.#fifoEnabled ? TRIGGER_LEVELS[this.#s.fcr >> 6]! : 1;
  }

  #update(): void {
    this.#irq.set(this.#interruptId() !== IIR_NONE);
  }
}
