/**
 * USB host controller of the PIIX3 and its relatives (Universal Host Controller Interface Design Guide 1.1).
 *
 *   I/O BAR 4, 32 bytes: 00 USBCMD, 02 USBSTS, 04 USBINTR, 06 FRNUM, 08 FLBASEADD, 0c SOFMOD, 10 PORTSC1, 12 PORTSC2
 *
 * Every millisecond one entry of the frame list is worked off, so guests find finished transfers at the pace they expect.
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { array, defineState, num, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import { UsbDma } from './usb-dma.ts';
import { rootPorts, UsbBus, type UsbPort, type UsbPortOwner } from './usb-port.ts';

const BAR_BYTES = 32;
const FRAME_NS = 1e6;
const PORTS = 2;

// USBCMD, 2.1.1
const CMD_RUN = 0x01;
const CMD_HCRESET = 0x02;
const CMD_GRESET = 0x04;
const CMD_EGSM = 0x08;
const CMD_FGR = 0x10;
const CMD_WRITABLE = 0xff;

// USBSTS, 2.1.2
const STS_INTERRUPT = 0x01;
const STS_ERROR = 0x02;
const STS_RESUME = 0x04;
const STS_PROCESS_ERROR = 0x10;
const STS_HALTED = 0x20;

// USBINTR, 2.1.3
const INTR_TIMEOUT = 0x01;
const INTR_RESUME = 0x02;
const INTR_COMPLETE = 0x04;
const INTR_SHORT = 0x08;

// PORTSC, 2.1.7
const PORT_CONNECTED = 0x0001;
const PORT_CONNECT_CHANGE = 0x0002;
const PORT_ENABLED = 0x0004;
const PORT_ENABLE_CHANGE = 0x0008;
const PORT_RESUME = 0x0040;
const PORT_ONE = 0x0080;
const PORT_LOW_SPEED = 0x0100;
const PORT_RESET = 0x0200;
const PORT_SUSPEND = 0x1000;
const PORT_WRITABLE = PORT_ENABLED | PORT_RESUME | PORT_RESET | PORT_SUSPEND;

// Link pointers and transfer descriptors, 3
const LINK_TERMINATE = 1;
const LINK_QH = 2;
const LINK_DEPTH = 4;
const TD_ACTIVE = 1 << 23;
const TD_STALLED = 1 << 22;
const TD_BABBLE = 1 << 20;
const TD_NAK = 1 << 19;
const TD_TIMEOUT = 1 << 18;
const TD_IOC = 1 << 24;
const TD_SHORT_DETECT = 1 << 29;
const TD_ERRORS = 3 << 27;

/** A frame ends after this much work: what a hostile list can make us do. The bytes are many times what a real bus carries. */
const FRAME_LIMIT = 1024;
const FRAME_BYTES = 32768;

/** What became of a descriptor. */
const TD_DONE = 0;
const TD_IDLE = 1;
const TD_QUEUE_STOPS = 2;

export interface UhciKind {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
  /** INTA# … INTD# as 1…4. */
  readonly pin: number;
}

export const UHCI_KINDS: Readonly<Record<string, UhciKind>> = {
  'piix3-usb-uhci': { vendorId: 0x8086, deviceId: 0x7020, revision: 0x01, pin: 4 },
  'piix4-usb-uhci': { vendorId: 0x8086, deviceId: 0x7112, revision: 0x01, pin: 4 },
  'ich9-usb-uhci1': { vendorId: 0x8086, deviceId: 0x2934, revision: 0x03, pin: 1 },
  'ich9-usb-uhci2': { vendorId: 0x8086, deviceId: 0x2935, revision: 0x03, pin: 2 },
  'ich9-usb-uhci3': { vendorId: 0x8086, deviceId: 0x2936, revision: 0x03, pin: 3 },
  'ich9-usb-uhci4': { vendorId: 0x8086, deviceId: 0x2937, revision: 0x03, pin: 1 },
  'ich9-usb-uhci5': { vendorId: 0x8086, deviceId: 0x2938, revision: 0x03, pin: 2 },
  'ich9-usb-uhci6': { vendorId: 0x8086, deviceId: 0x2939, revision: 0x03, pin: 3 },
};

const schema = defineState('uhci', 1, {
  command: u16(),
  status: u16(STS_HALTED),
  interrupts: u16(),
  frame: u16(),
  base: u32(),
  sof: u8(64),
  ports: array(PORTS, u16(PORT_ONE)),
  /** Bits of USBSTS that wait for the end of the frame. */
  pending: u16(),
  /** A completion (1) or short packet (2) raised the interrupt. */
  causes: u8(),
  nextNs: num(Number.POSITIVE_INFINITY),
});

export interface UsbControllerOptions {
  readonly memory: AddressSpace;
  readonly timers: TimerService;
  readonly multifunction?: boolean;
}

export class Uhci implements Device, MmioDevice, UsbPortOwner {
  readonly pci: PciFunction;
  readonly bus = new UsbBus();
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #dma: UsbDma;
  readonly #timers: TimerService;
  readonly #timer: Timer;
  readonly #ports: readonly UsbPort[];
  #workLeft = 0;
  #bytesLeft = 0;

  constructor(kind: UhciKind, { memory, timers, multifunction }: UsbControllerOptions) {
    this.pci = new PciFunction({
      vendorId: kind.vendorId,
      deviceId: kind.deviceId,
      classCode: 0x0c0300,
      revision: kind.revision,
      interruptPin: kind.pin,
      ...(multifunction === true && { multifunction }),
    });
    this.pci.set(0x60, 1, 0x10); // release 1.0
    this.pci.addBar(4, 'io', MemoryRegion.mmio('uhci', BAR_BYTES, this));
    this.#dma = new UsbDma(memory);
    this.#timers = timers;
    this.#timer = timers.create(() => this.#onFrame());
    this.#ports = rootPorts(this, PORTS, [usb.SPEED_LOW, usb.SPEED_FULL]);
    this.bus.addPorts(this.#ports);
    this.vmstate = combineStates('uhci', [
      ['pci', this.pci.vmstate],
      ['controller', stateful(schema, this.#s, { postLoad: () => this.#timer.arm(this.#s.nextNs) })],
    ]);
  }

  reset(): void {
    this.pci.reset();
    this.#controllerReset();
  }

  #controllerReset(): void {
    schema.reset(this.#s);
    this.#timer.cancel();
    for (const port of this.#ports) if (port.device !== undefined) this.attached(port);
    this.#updateInterrupt();
  }

  // --- ports

  attached(port: UsbPort): void {
    const s = this.#s;
    const low = port.device!.speed === usb.SPEED_LOW ? PORT_LOW_SPEED : 0;
    s.ports[port.index] = PORT_ONE | PORT_CONNECTED | PORT_CONNECT_CHANGE | low;
    this.#resumeDetected();
  }

  detached(port: UsbPort): void {
    const s = this.#s;
    const was = s.ports[port.index]!;
    const enableChange = (was & PORT_ENABLED) !== 0 ? PORT_ENABLE_CHANGE : was & PORT_ENABLE_CHANGE;
    s.ports[port.index] = PORT_ONE | PORT_CONNECT_CHANGE | enableChange;
    this.#resumeDetected();
  }

  /** Devices are asked again in every frame; only a sleeping bus must be woken. */
  wakeup(device: UsbDevice): void {
    let at = device.port;
    while (at !== undefined && !this.#ports.includes(at)) at = this.#parentOf(at);
    if (at === undefined) return;
    const s = this.#s;
    if ((s.ports[at.index]! & PORT_SUSPEND) !== 0 && (s.ports[at.index]! & PORT_RESUME) === 0) {
      s.ports[at.index]! |= PORT_RESUME;
      this.#resumeDetected();
    }
  }

  #parentOf(port: UsbPort): UsbPort | undefined {
    const path = port.path.slice(0, port.path.lastIndexOf('.'));
    return this.bus.ports.find((other) => other.path === path);
  }

  /** 2.1.2: while the bus sleeps, a change tells of itself. */
  #resumeDetected(): void {
    if ((this.#s.command & CMD_EGSM) === 0) return;
    this.#s.status |= STS_RESUME;
    this.#updateInterrupt();
  }

  // --- registers (2.1)

  read(offset: number, size: AccessSize): number {
    if (size === 4) return (this.#register(offset) | (this.#register(offset + 2) << 16)) >>> 0;
    const value = this.#register(offset & ~1) >> (8 * (offset & 1));
    return size === 1 ? value & 0xff : value;
  }

  #register(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case 0x00:
        return s.command;
      case 0x02:
        return s.status;
      case 0x04:
        return s.interrupts;
      case 0x06:
        return s.frame;
      case 0x08:
        return s.base & 0xffff;
      case 0x0a:
        return s.base >>> 16;
      case 0x0c:
        return s.sof;
      case 0x10:
      case 0x12:
        return s.ports[(offset - 0x10) >> 1]!;
      default: // ports that are not there have bit 7 clear: drivers count by it
        return 0xff7f;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    const s = this.#s;
    if (size === 4) {
      if (offset === 0x08) s.base = (value & ~0xfff) >>> 0;
      else {
        this.#writeRegister(offset, value & 0xffff);
        this.#writeRegister(offset + 2, value >>> 16);
      }
    } else if (size === 2) this.#writeRegister(offset & ~1, value);
    else if (offset === 0x0c) s.sof = value & 0x7f;
    else if (offset >= 0x08 && offset < 0x0c) {
      const shift = 8 * (offset - 8);
      s.base = ((s.base & ~(0xff << shift)) | (value << shift)) & ~0xfff;
      s.base >>>= 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case 0x00:
        this.#writeCommand(value);
        break;
      case 0x02:
        s.status &= ~(value & 0x1f);
        if ((value & STS_INTERRUPT) !== 0) s.causes = 0;
        break;
      case 0x04:
        s.interrupts = value & 0x0f;
        break;
      case 0x06:
        if ((s.status & STS_HALTED) !== 0) s.frame = value & 0x7ff;
        break;
      case 0x08:
        s.base = (((s.base & 0xffff0000) | value) & ~0xfff) >>> 0;
        break;
      case 0x0a:
        s.base = ((s.base & 0xffff) | (value << 16)) >>> 0;
        break;
      case 0x0c:
        s.sof = value & 0x7f;
        break;
      case 0x10:
      case 0x12:
        this.#writePort((offset - 0x10) >> 1, value);
        break;
      default: // nothing there
    }
    this.#updateInterrupt();
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    if ((value & CMD_HCRESET) !== 0) {
      this.#controllerReset();
      return;
    }
    const was = s.command;
    s.command = value & CMD_WRITABLE;
    if ((was & CMD_GRESET) === 0 && (value & CMD_GRESET) !== 0) {
      for (const { device } of this.#ports) device?.busReset();
    }
    if ((value & CMD_RUN) !== 0 && (was & CMD_RUN) === 0) {
      s.status &= ~STS_HALTED;
      this.#arm(this.#timers.nowNs() + FRAME_NS);
    } else if ((value & CMD_RUN) === 0) {
      s.status |= STS_HALTED;
      this.#arm(Number.POSITIVE_INFINITY);
    }
    if ((value & CMD_EGSM) !== 0 && (value & CMD_FGR) === 0) {
      if (this.#ports.some((_, n) => (s.ports[n]! & PORT_RESUME) !== 0)) s.status |= STS_RESUME;
    }
  }

  #arm(deadlineNs: number): void {
    this.#s.nextNs = deadlineNs;
    if (deadlineNs === Number.POSITIVE_INFINITY) this.#timer.cancel();
    else this.#timer.arm(deadlineNs);
  }

  #writePort(n: number, value: number): void {
    const s = this.#s;
    const was = s.ports[n]!;
    const device = this.#ports[n]!.device;
    // Reset is seen by the device when it ends.
    if ((was & PORT_RESET) !== 0 && (value & PORT_RESET) === 0) device?.busReset();
    let next = was & ~(value & (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE));
    next = (next & ~PORT_WRITABLE) | (value & PORT_WRITABLE);
    // Only a port with a device can be enabled, and none is while it is reset.
    if (device === undefined || (value & PORT_RESET) !== 0) next &= ~PORT_ENABLED;
    if ((was & PORT_RESUME) !== 0 && (value & PORT_RESUME) === 0) next &= ~PORT_SUSPEND;
    s.ports[n] = next;
  }

  #updateInterrupt(): void {
    const { status, interrupts, causes } = this.#s;
    const high =
      ((causes & 1) !== 0 && (interrupts & INTR_COMPLETE) !== 0) ||
      ((causes & 2) !== 0 && (interrupts & INTR_SHORT) !== 0) ||
      ((status & STS_ERROR) !== 0 && (interrupts & INTR_TIMEOUT) !== 0) ||
      ((status & STS_RESUME) !== 0 && (interrupts & INTR_RESUME) !== 0) ||
      (status & STS_PROCESS_ERROR) !== 0;
    this.pci.setIntx(high);
  }

  // --- the schedule (1.3, 3.4)

  #onFrame(): void {
    const s = this.#s;
    if ((s.command & CMD_RUN) === 0) return;
    if ((this.pci.command & PCI_COMMAND_MASTER) !== 0) this.#frame();
    s.frame = (s.frame + 1) & 0x7ff;
    if (s.pending !== 0) {
      s.status |= s.pending;
      s.pending = 0;
      this.#updateInterrupt();
    }
    // Late frames are not made up for: the machine stood still.
    const now = this.#timers.nowNs();
    const next = s.nextNs + FRAME_NS;
    this.#arm(next > now ? next : now + FRAME_NS);
  }

  #frame(): void {
    this.#workLeft = FRAME_LIMIT;
    this.#bytesLeft = FRAME_BYTES;
    let link = this.#dma.u32(this.#s.base + 4 * (this.#s.frame & 0x3ff));
    /** Queues seen since a descriptor was last finished: one that comes again has nothing to do now. */
    let seen = new Set<number>();
    while ((link & LINK_TERMINATE) === 0 && this.#workLeft-- > 0 && this.#bytesLeft > 0) {
      const address = (link & ~0x0f) >>> 0;
      if ((link & LINK_QH) === 0) {
        this.#descriptor(address);
        link = this.#dma.u32(address);
        continue;
      }
      if (seen.has(address)) return;
      if (this.#queue(address)) seen = new Set();
      seen.add(address);
      link = this.#dma.u32(address);
    }
  }

  /** Works on a queue until its transfers stop or it says "breadth first"; true: something was finished. */
  #queue(queue: number): boolean {
    let isBusy = false;
    while (this.#workLeft-- > 0 && this.#bytesLeft > 0) {
      const element = this.#dma.u32(queue + 4);
      if ((element & LINK_TERMINATE) !== 0) return isBusy;
      if ((element & LINK_QH) !== 0) return this.#queue((element & ~0x0f) >>> 0) || isBusy;
      const td = (element & ~0x0f) >>> 0;
      if (this.#descriptor(td) !== TD_DONE) return isBusy;
      isBusy = true;
      const next = this.#dma.u32(td);
      this.#dma.setU32(queue + 4, next);
      if ((next & LINK_DEPTH) === 0) return true;
    }
    return isBusy;
  }

  /** One transfer descriptor (3.2). */
  #descriptor(td: number): number {
    const status = this.#dma.u32(td + 4);
    if ((status & TD_ACTIVE) === 0) {
      if ((status & TD_IOC) !== 0) this.#complete(1);
      return TD_IDLE;
    }
    const token = this.#dma.u32(td + 8);
    const pid = token & 0xff;
    if (pid !== usb.PID_IN && pid !== usb.PID_OUT && pid !== usb.PID_SETUP) {
      this.#processError();
      return TD_QUEUE_STOPS;
    }
    const length = ((token >>> 21) + 1) & 0x7ff;
    if (length > 1280) {
      this.#processError();
      return TD_QUEUE_STOPS;
    }
    this.#bytesLeft -= length + 16;
    return this.#transaction(td, status, token, pid, length);
  }

  #processError(): void {
    this.#s.command &= ~CMD_RUN;
    this.#s.pending |= STS_PROCESS_ERROR | STS_HALTED;
  }

  #transaction(td: number, status: number, token: number, pid: number, length: number): number {
    const segments = [{ addr: this.#dma.u32(td + 12), sizeBytes: length }];
    const isIn = pid === usb.PID_IN;
    const data = isIn ? new Uint8Array(length) : this.#dma.read(segments);
    const device = this.#find((token >>> 8) & 0x7f);
    const result = device?.transact(pid, (token >>> 15) & 15, data) ?? usb.USB_NO_DEVICE;
    if (result === usb.USB_NAK) {
      this.#dma.setU32(td + 4, status | TD_NAK);
      return TD_IDLE;
    }
    if (result < 0) return this.#failed(td, status, result);
    if (isIn) this.#dma.write(segments, data.subarray(0, result));
    const actual = (result - 1) & 0x7ff;
    const done = (status & ~(TD_ACTIVE | TD_NAK | TD_ERRORS | 0x7ff)) | (status & TD_ERRORS) | actual;
    this.#dma.setU32(td + 4, done);
    if ((status & TD_IOC) !== 0) this.#complete(1);
    if (isIn && result < length && (status & TD_SHORT_DETECT) !== 0) {
      this.#complete(2);
      return TD_QUEUE_STOPS;
    }
    return TD_DONE;
  }

  #failed(td: number, status: number, result: number): number {
    const why = result === usb.USB_STALL ? TD_STALLED : TD_STALLED | TD_TIMEOUT;
    const counted = result === usb.USB_STALL ? status & TD_ERRORS : 0;
    const kept = status & ~(TD_ACTIVE | TD_NAK | TD_BABBLE | TD_ERRORS | 0x7ff);
    this.#dma.setU32(td + 4, kept | counted | why | 0x7ff);
    this.#s.pending |= STS_ERROR;
    if ((status & TD_IOC) !== 0) this.#complete(1);
    return TD_QUEUE_STOPS;
  }

  #complete(cause: number): void {
    this.#s.causes |= cause;
    this.#s.pending |= STS_INTERRUPT;
  }

  #find(address: number): UsbDevice | undefined {
    for (const port of this.#ports) {
      if ((this.#s.ports[port.index]! & (PORT_ENABLED | PORT_RESET)) !== PORT_ENABLED) continue;
      const found = port.device?.find(address);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
