/**
 * The educational PCI device 1234:11e8 (QEMU docs/specs/edu.rst): inverts, computes factorials, raises interrupts, moves data by DMA.
 *
 *   0x00 identification   0x04 liveness (inverts)   0x08 factorial   0x20 status: 1 busy, 0x80 interrupt at the end
 *   0x24 interrupt status   0x60 raise   0x64 acknowledge   0x80 DMA source   0x88 destination   0x90 count   0x98 command
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioOptions } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { bool, bytes, defineState, num, type Stateful, stateful, u32, u64 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { Msi } from '../pci/msi.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';

const IDENTIFICATION = 0x010000ed;
const STATUS_BUSY = 1;
const STATUS_INTERRUPT = 0x80;
const FACTORIAL_DONE = 1;
const DMA_DONE = 0x100;
const DMA_RUN = 1;
const DMA_TO_RAM = 2;
const DMA_INTERRUPT = 4;
const BUFFER_AT = 0x40000;
const BUFFER_BYTES = 4096;
const BAR_BYTES = 2 ** 20;
const DMA_NS = 100e6;
/** A factorial takes its time, so that a driver sees the device busy. */
const FACTORIAL_NS = 1e6;
/** Below 0x80 registers take 4 bytes; above they may be reached in two halves. */
const EDU_MMIO: MmioOptions = { valid: { min: 4, max: 4 } };

const schema = defineState('edu', 1, {
  liveness: u32(),
  factorial: u32(),
  status: u32(),
  interrupts: u32(),
  source: u64(),
  destination: u64(),
  count: u64(),
  command: u32(),
  buffer: bytes(BUFFER_BYTES),
  factorialEndNs: num(),
  dmaEndNs: num(),
  level: bool(),
});

export interface EduPorts {
  readonly memory: AddressSpace;
  readonly timers: TimerService;
  readonly msi: MsiSink;
  /** Bits of addresses that DMA can reach. */
  readonly dmaMask: bigint;
  guestError(text: string): void;
}

export class Edu implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: EduPorts;
  readonly #msi: Msi;
  readonly #factorial: Timer;
  readonly #dma: Timer;

  constructor(ports: EduPorts) {
    this.#ports = ports;
    this.pci = new PciFunction({
      vendorId: 0x1234,
      deviceId: 0x11e8,
      classCode: 0x00ff00,
      revision: 0x10,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      interruptPin: 1,
    });
    this.#msi = new Msi(this.pci, ports.msi);
    this.#factorial = ports.timers.create(() => this.#finishFactorial());
    this.#dma = ports.timers.create(() => this.#finishDma());
    const device = {
      read: (offset: number, _size: AccessSize): number => this.#read(offset) >>> 0,
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    };
    this.pci.addBar(0, 'memory32', MemoryRegion.mmio('edu', BAR_BYTES, device, EDU_MMIO));
    const own = stateful(schema, this.#s, { postLoad: () => this.#arm() });
    this.vmstate = combineStates('edu-pci', [
      ['pci', this.pci.vmstate],
      ['edu', own],
    ]);
  }

  reset(): void {
    this.pci.reset();
    schema.reset(this.#s);
    this.#arm();
  }

  #arm(): void {
    const { factorialEndNs, dmaEndNs } = this.#s;
    if (factorialEndNs > 0) this.#factorial.arm(factorialEndNs);
    else this.#factorial.cancel();
    if (dmaEndNs > 0) this.#dma.arm(dmaEndNs);
    else this.#dma.cancel();
  }

  #read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case 0x00:
        return IDENTIFICATION;
      case 0x04:
        return s.liveness;
      case 0x08:
        return s.factorial;
      case 0x20:
        return s.status;
      case 0x24:
        return s.interrupts;
      case 0x98:
        return s.command;
      default:
        return this.#dmaRegister(offset) ?? 0xffffffff;
    }
  }

  #dmaRegister(offset: number): number | undefined {
    const { source, destination, count } = this.#s;
    const value = [source, destination, count][(offset - 0x80) >> 3];
    if (offset < 0x80 || value === undefined) return undefined;
    return Number((value >> ((offset & 4) !== 0 ? 32n : 0n)) & 0xffffffffn);
  }

  #write(offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case 0x04:
        s.liveness = ~value >>> 0;
        break;
      case 0x08:
        if ((s.status & STATUS_BUSY) !== 0) break;
        s.factorial = value;
        s.status |= STATUS_BUSY;
        s.factorialEndNs = this.#ports.timers.nowNs() + FACTORIAL_NS;
        this.#arm();
        break;
      case 0x20:
        s.status = (s.status & ~STATUS_INTERRUPT) | (value & STATUS_INTERRUPT);
        break;
      case 0x60:
        this.#raise(value);
        break;
      case 0x64:
        s.interrupts = (s.interrupts & ~value) >>> 0;
        if (s.interrupts === 0) this.pci.setIntx(false);
        break;
      case 0x98:
        this.#startDma(value);
        break;
      default:
        if (offset >= 0x80 && offset < 0x98 && s.dmaEndNs === 0) this.#writeDma(offset, BigInt(value));
    }
  }

  #writeDma(offset: number, value: bigint): void {
    const name = (['source', 'destination', 'count'] as const)[(offset - 0x80) >> 3]!;
    const old = this.#s[name];
    this.#s[name] = (offset & 4) !== 0 ? (old & 0xffffffffn) | (value << 32n) : (old & ~0xffffffffn) | value;
  }

  #raise(bits: number): void {
    this.#s.interrupts = (this.#s.interrupts | bits) >>> 0;
    if (this.#s.interrupts === 0) return;
    if (this.#msi.enabled) this.#msi.notify();
    else this.pci.setIntx(true);
  }

  #finishFactorial(): void {
    const s = this.#s;
    s.factorialEndNs = 0;
    // Modulo 2^32 the product is 0 from 34 on.
    let product = 1;
    for (let n = Math.min(s.factorial, 34); n > 0; n--) product = Math.imul(product, n) >>> 0;
    s.factorial = product;
    s.status &= ~STATUS_BUSY;
    if ((s.status & STATUS_INTERRUPT) !== 0) this.#raise(FACTORIAL_DONE);
  }

  #startDma(command: number): void {
    const s = this.#s;
    if (s.dmaEndNs !== 0 || (command & DMA_RUN) === 0) return;
    s.command = command;
    s.dmaEndNs = this.#ports.timers.nowNs() + DMA_NS;
    this.#arm();
  }

  #finishDma(): void {
    const s = this.#s;
    s.dmaEndNs = 0;
    const toRam = (s.command & DMA_TO_RAM) !== 0;
    const inside = toRam ? s.source : s.destination;
    const outside = (toRam ? s.destination : s.source) & this.#ports.dmaMask;
    const start = Number(inside) - BUFFER_AT;
    const isInside = inside < 2n ** 32n && start >= 0 && start + Number(s.count) <= BUFFER_BYTES;
    if (!isInside) this.#ports.guestError(`edu: DMA outside of the buffer (0x${inside.toString(16)})`);
    else if ((this.pci.command & PCI_COMMAND_MASTER) !== 0 && outside < 2n ** 52n) {
      const view = s.buffer.subarray(start, start + Number(s.count));
      if (toRam) this.#ports.memory.writeBytes(Number(outside), view);
      else this.#ports.memory.readBytes(Number(outside), view);
    }
    s.command &= ~DMA_RUN;
    if ((s.command & DMA_INTERRUPT) !== 0) this.#raise(DMA_DONE);
  }
}
