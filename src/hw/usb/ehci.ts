/**
 * USB host controller for high speed (Enhanced Host Controller Interface Specification for Universal Serial Bus 1.0).
 *
 *   BAR 0, 4 KiB: 00 capabilities, 20 USBCMD, 24 USBSTS, 28 USBINTR, 2c FRINDEX, 34 PERIODICLISTBASE, 38 ASYNCLISTADDR,
 *   60 CONFIGFLAG, 64 PORTSC of each port
 *
 * Both schedules are worked off every millisecond; isochronous descriptors are passed over, no device here has such endpoints.
 */

import type { Device } from '../../core/device.ts';
import type { DmaSegment } from '../../core/dma.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { array, bool, defineState, num, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { allOnes } from '../../util/bits.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import type { UsbControllerOptions } from './uhci.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import { UsbDma } from './usb-dma.ts';
import { rootPorts, UsbBus, type UsbPort, type UsbPortOwner } from './usb-port.ts';

const BAR_BYTES = 4096;
const OPERATIONAL = 0x20;
const PORT_COUNT = 6;
const FRAME_NS = 1e6;

// Operational registers, 2.3
const USBCMD = 0x00;
const USBSTS = 0x04;
const USBINTR = 0x08;
const FRINDEX = 0x0c;
const SEGMENT = 0x10;
const PERIODIC = 0x14;
const ASYNC = 0x18;
const CONFIGFLAG = 0x40;
const PORTSC = 0x44;

const CMD_RUN = 1;
const CMD_RESET = 2;
const CMD_PERIODIC = 0x10;
const CMD_ASYNC = 0x20;
const CMD_DOORBELL = 0x40;
const CMD_WRITABLE = 0xff0ff3;
const CMD_INITIAL = 0x00080000;

const STS_INTERRUPT = 0x01;
const STS_ERROR = 0x02;
const STS_PORT = 0x04;
const STS_ROLLOVER = 0x08;
const STS_ADVANCE = 0x20;
const STS_INTERRUPTS = 0x3f;
const STS_HALTED = 0x1000;
const STS_PERIODIC = 0x4000;
const STS_ASYNC = 0x8000;

// PORTSC, 2.3.9
const PORT_CONNECTED = 0x001;
const PORT_CONNECT_CHANGE = 0x002;
const PORT_ENABLED = 0x004;
const PORT_ENABLE_CHANGE = 0x008;
const PORT_RESUME = 0x040;
const PORT_SUSPEND = 0x080;
const PORT_RESET = 0x100;
const PORT_POWER = 0x1000;
const PORT_OWNER = 0x2000;
const PORT_WRITABLE = 0x70e0c0;
const PORT_CHANGES = 0x02a;

// Queue heads and transfer descriptors, 3.5 and 3.6
const TERMINATE = 1;
const TYPE_QUEUE = 1;
const QUEUE_CURRENT = 0x0c;
const QUEUE_OVERLAY = 0x10;
const TOKEN = 0x08;
const TOKEN_ACTIVE = 0x80;
const TOKEN_HALTED = 0x40;
const TOKEN_TRANSACTION_ERROR = 0x08;
const TOKEN_IOC = 0x8000;
const TOKEN_TOGGLE = 0x8000_0000;
const PIDS = [usb.PID_OUT, usb.PID_IN, usb.PID_SETUP];
const PAGES = 5;

/** A frame ends after this much work: what hostile lists can make us do. */
const QUEUE_LIMIT = 512;
const TRANSFER_LIMIT = 256;

export interface EhciKind {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
  readonly pin: number;
}

export const EHCI_KINDS: Readonly<Record<string, EhciKind>> = {
  'usb-ehci': { vendorId: 0x8086, deviceId: 0x24cd, revision: 0x10, pin: 4 },
  'ich9-usb-ehci1': { vendorId: 0x8086, deviceId: 0x293a, revision: 0x03, pin: 4 },
  'ich9-usb-ehci2': { vendorId: 0x8086, deviceId: 0x293c, revision: 0x03, pin: 4 },
};

const schema = defineState('ehci', 1, {
  command: u32(CMD_INITIAL),
  status: u32(STS_HALTED),
  interrupts: u32(),
  frame: u32(),
  segment: u32(),
  periodic: u32(),
  async: u32(),
  configured: bool(),
  ports: array(PORT_COUNT, u32(PORT_POWER | PORT_OWNER)),
  nextNs: num(Number.POSITIVE_INFINITY),
});

export class Ehci implements Device, MmioDevice, UsbPortOwner {
  readonly pci: PciFunction;
  readonly bus = new UsbBus();
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #dma: UsbDma;
  readonly #timers: TimerService;
  readonly #timer: Timer;
  readonly #ports: readonly UsbPort[];
  #queuesLeft = 0;
  #transfersLeft = 0;
  #pending = 0;
  #isBusy = false;

  constructor(kind: EhciKind, { memory, timers, multifunction }: UsbControllerOptions) {
    this.pci = new PciFunction({
      vendorId: kind.vendorId,
      deviceId: kind.deviceId,
      classCode: 0x0c0320,
      revision: kind.revision,
      interruptPin: kind.pin,
      ...(multifunction === true && { multifunction }),
    });
    this.pci.set(0x60, 2, 0x2020); // release 2.0, frame length of 60000 bits
    this.pci.allow(0x61, 1, 0x3f);
    this.pci.addBar(0, 'memory32', MemoryRegion.mmio('ehci', BAR_BYTES, this));
    this.#dma = new UsbDma(memory);
    this.#timers = timers;
    this.#timer = timers.create(() => this.#onFrame());
    this.#ports = rootPorts(this, PORT_COUNT, [usb.SPEED_HIGH]);
    this.bus.addPorts(this.#ports);
    this.vmstate = combineStates('ehci', [
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
    this.#pending = 0;
    for (const { device } of this.#ports) device?.busReset();
    this.#updateInterrupt();
  }

  // --- ports

  attached(port: UsbPort): void {
    const s = this.#s;
    if ((s.ports[port.index]! & PORT_OWNER) !== 0) return;
    s.ports[port.index]! |= PORT_CONNECTED | PORT_CONNECT_CHANGE;
    this.#raise(STS_PORT);
  }

  detached(port: UsbPort): void {
    const s = this.#s;
    if ((s.ports[port.index]! & PORT_OWNER) !== 0) return;
    const was = s.ports[port.index]!;
    const enable = (was & PORT_ENABLED) !== 0 ? PORT_ENABLE_CHANGE : 0;
    s.ports[port.index] =
      (was & ~(PORT_CONNECTED | PORT_ENABLED | PORT_SUSPEND)) | PORT_CONNECT_CHANGE | enable;
    this.#raise(STS_PORT);
  }

  /** Something can go on at once: a disk need not wait for the next millisecond. */
  wakeup(device: UsbDevice): void {
    const s = this.#s;
    if (device.port !== undefined && (s.ports[device.port.index]! & PORT_SUSPEND) !== 0) {
      s.ports[device.port.index]! |= PORT_RESUME;
      this.#raise(STS_PORT);
    } else if (!this.#isBusy && (s.command & (CMD_RUN | CMD_ASYNC)) === (CMD_RUN | CMD_ASYNC))
      this.#timer.arm(this.#timers.nowNs());
  }

  #find(address: number): UsbDevice | undefined {
    for (const port of this.#ports) {
      if ((this.#s.ports[port.index]! & (PORT_ENABLED | PORT_RESET)) !== PORT_ENABLED) continue;
      const found = port.device?.find(address);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  // --- registers (2.2, 2.3)

  read(offset: number, size: AccessSize): number {
    const word = this.#register(offset & ~3) >>> (8 * (offset & 3));
    return (word & allOnes(size)) >>> 0;
  }

  #register(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case 0x00:
        return 0x0100_0000 | OPERATIONAL;
      case 0x04:
        return PORT_COUNT;
      case 0x08: // isochronous data is not read ahead; frame lists have 1024 entries
        return 0x80;
      case OPERATIONAL + USBCMD:
        return s.command;
      case OPERATIONAL + USBSTS:
        return s.status;
      case OPERATIONAL + USBINTR:
        return s.interrupts;
      case OPERATIONAL + FRINDEX:
        return s.frame;
      case OPERATIONAL + SEGMENT:
        return s.segment;
      case OPERATIONAL + PERIODIC:
        return s.periodic;
      case OPERATIONAL + ASYNC:
        return s.async;
      case OPERATIONAL + CONFIGFLAG:
        return s.configured ? 1 : 0;
      default:
        return s.ports[(offset - OPERATIONAL - PORTSC) >> 2] ?? 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || offset < OPERATIONAL) return;
    const s = this.#s;
    switch (offset - OPERATIONAL) {
      case USBCMD:
        this.#writeCommand(value);
        break;
      case USBSTS:
        s.status &= ~(value & STS_INTERRUPTS);
        break;
      case USBINTR:
        s.interrupts = value & STS_INTERRUPTS;
        break;
      case FRINDEX:
        if ((s.status & STS_HALTED) !== 0) s.frame = value & 0x3fff;
        break;
      case SEGMENT: // 32-bit addresses only
        break;
      case PERIODIC:
        s.periodic = (value & ~0xfff) >>> 0;
        break;
      case ASYNC:
        s.async = (value & ~0x1f) >>> 0;
        break;
      case CONFIGFLAG:
        this.#configure((value & 1) !== 0);
        break;
      default:
        this.#writePort((offset - OPERATIONAL - PORTSC) >> 2, value);
    }
    this.#updateInterrupt();
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    if ((value & CMD_RESET) !== 0) {
      this.#controllerReset();
      return;
    }
    const was = s.command;
    s.command = value & CMD_WRITABLE;
    if ((value & CMD_RUN) !== 0) {
      s.status &= ~STS_HALTED;
      if ((was & CMD_RUN) === 0) this.#arm(this.#timers.nowNs() + FRAME_NS);
    } else {
      s.status |= STS_HALTED;
      this.#arm(Number.POSITIVE_INFINITY);
    }
    this.#showSchedules();
  }

  #showSchedules(): void {
    const s = this.#s;
    const running = (s.command & CMD_RUN) !== 0;
    s.status &= ~(STS_PERIODIC | STS_ASYNC);
    if (running && (s.command & CMD_PERIODIC) !== 0) s.status |= STS_PERIODIC;
    if (running && (s.command & CMD_ASYNC) !== 0) s.status |= STS_ASYNC;
  }

  #arm(deadlineNs: number): void {
    this.#s.nextNs = deadlineNs;
    if (deadlineNs === Number.POSITIVE_INFINITY) this.#timer.cancel();
    else this.#timer.arm(deadlineNs);
  }

  /** 4.2: until the flag is set, the ports belong to controllers of slower speeds. */
  #configure(on: boolean): void {
    const s = this.#s;
    if (on === s.configured) return;
    s.configured = on;
    for (const port of this.#ports) {
      s.ports[port.index] = PORT_POWER | (on ? 0 : PORT_OWNER);
      if (on && port.device !== undefined) this.attached(port);
    }
  }

  #writePort(n: number, value: number): void {
    const s = this.#s;
    const was = s.ports[n];
    if (was === undefined) return;
    const device = (was & PORT_OWNER) !== 0 ? undefined : this.#ports[n]!.device;
    let next = was & ~(value & PORT_CHANGES);
    next = (next & ~PORT_WRITABLE) | (value & PORT_WRITABLE);
    if ((value & PORT_ENABLED) === 0) next &= ~PORT_ENABLED; // software only disables
    if ((value & PORT_RESET) !== 0) next = (next | PORT_RESET) & ~(PORT_ENABLED | PORT_SUSPEND);
    else if ((was & PORT_RESET) !== 0) {
      next &= ~PORT_RESET;
      if (device !== undefined) {
        device.busReset();
        next |= PORT_ENABLED;
      }
    }
    if ((was & PORT_RESUME) !== 0 && (value & PORT_RESUME) === 0) next &= ~PORT_SUSPEND;
    s.ports[n] = next >>> 0;
  }

  #raise(bits: number): void {
    this.#s.status |= bits;
    this.#updateInterrupt();
  }

  #updateInterrupt(): void {
    this.pci.setIntx((this.#s.status & this.#s.interrupts & STS_INTERRUPTS) !== 0);
  }

  // --- schedules (4.4 to 4.10)

  #onFrame(): void {
    const s = this.#s;
    if ((s.command & CMD_RUN) === 0) return;
    this.#isBusy = true;
    const now = this.#timers.nowNs();
    const isFrame = now >= s.nextNs;
    if ((this.pci.command & PCI_COMMAND_MASTER) !== 0) {
      this.#queuesLeft = QUEUE_LIMIT;
      this.#transfersLeft = TRANSFER_LIMIT;
      if (isFrame && (s.command & CMD_PERIODIC) !== 0) this.#periodic();
      if ((s.command & CMD_ASYNC) !== 0) this.#async();
    }
    if (isFrame) this.#nextFrame(now);
    this.#isBusy = false;
    this.#timer.arm(s.nextNs);
    if (this.#pending !== 0) {
      const bits = this.#pending;
      this.#pending = 0;
      this.#raise(bits);
    }
  }

  /** Late frames are not made up for: the machine stood still. */
  #nextFrame(now: number): void {
    const s = this.#s;
    const before = s.frame;
    s.frame = (s.frame + 8) & 0x3fff;
    if (((before ^ s.frame) & 0x2000) !== 0) this.#pending |= STS_ROLLOVER;
    if ((s.command & CMD_DOORBELL) !== 0) {
      s.command &= ~CMD_DOORBELL;
      this.#pending |= STS_ADVANCE;
    }
    s.nextNs = s.nextNs + FRAME_NS > now ? s.nextNs + FRAME_NS : now + FRAME_NS;
  }

  #periodic(): void {
    const { periodic, frame } = this.#s;
    let link = this.#dma.u32(periodic + 4 * ((frame >> 3) & 0x3ff));
    while ((link & TERMINATE) === 0 && this.#queuesLeft-- > 0) {
      const address = (link & ~0x1f) >>> 0;
      if (((link >> 1) & 3) === TYPE_QUEUE) this.#queue(address);
      link = this.#dma.u32(address);
    }
  }

  /** Around the ring of queue heads until one round brought nothing. */
  #async(): void {
    const s = this.#s;
    const first = s.async;
    let address = first;
    let wasBusy = false;
    while (this.#queuesLeft-- > 0 && this.#transfersLeft > 0) {
      if (this.#queue(address)) wasBusy = true;
      const link = this.#dma.u32(address);
      if ((link & TERMINATE) !== 0) return;
      address = (link & ~0x1f) >>> 0;
      if (address !== first) continue;
      if (!wasBusy) return;
      wasBusy = false;
    }
    s.async = address;
  }

  /** Works on one queue head until it has nothing to do; true: something was done. */
  #queue(queue: number): boolean {
    let isBusy = false;
    while (this.#transfersLeft > 0) {
      let token = this.#dma.u32(queue + QUEUE_OVERLAY + TOKEN);
      if ((token & TOKEN_HALTED) !== 0) return isBusy;
      if ((token & TOKEN_ACTIVE) === 0) {
        if (!this.#advance(queue, token)) return isBusy;
        token = this.#dma.u32(queue + QUEUE_OVERLAY + TOKEN);
      }
      this.#transfersLeft--;
      if (!this.#execute(queue, token)) return isBusy;
      isBusy = true;
    }
    return isBusy;
  }

  /** 4.10.2: brings the next descriptor into the overlay; false: there is none. */
  #advance(queue: number, token: number): boolean {
    const overlay = queue + QUEUE_OVERLAY;
    const isShort = ((token >>> 16) & 0x7fff) !== 0;
    const alternate = this.#dma.u32(overlay + 4);
    const next = isShort && (alternate & TERMINATE) === 0 ? alternate : this.#dma.u32(overlay);
    if ((next & TERMINATE) !== 0) return false;
    const descriptor = (next & ~0x1f) >>> 0;
    let fresh = this.#dma.u32(descriptor + TOKEN);
    if ((fresh & TOKEN_ACTIVE) === 0 || (fresh & TOKEN_HALTED) !== 0) return false;
    // The toggle goes on from the last transfer unless each descriptor brings its own.
    if ((this.#dma.u32(queue + 4) & 0x4000) === 0)
      fresh = ((fresh & ~TOKEN_TOGGLE) | (token & TOKEN_TOGGLE)) >>> 0;
    this.#dma.setU32(queue + QUEUE_CURRENT, descriptor);
    this.#dma.setU32(overlay, this.#dma.u32(descriptor));
    this.#dma.setU32(overlay + 4, this.#dma.u32(descriptor + 4));
    this.#dma.setU32(overlay + TOKEN, fresh);
    for (let i = 0; i < PAGES; i++)
      this.#dma.setU32(overlay + 12 + 4 * i, this.#dma.u32(descriptor + 12 + 4 * i));
    return true;
  }

  #segments(queue: number, token: number, bytes: number): DmaSegment[] {
    const buffers = queue + QUEUE_OVERLAY + 12;
    const segments: DmaSegment[] = [];
    let page = (token >>> 12) & 7;
    let offset = this.#dma.u32(buffers) & 0xfff;
    for (let left = bytes; left > 0 && page < PAGES; page++) {
      const sizeBytes = Math.min(left, 4096 - offset);
      segments.push({ addr: ((this.#dma.u32(buffers + 4 * page) & ~0xfff) >>> 0) + offset, sizeBytes });
      left -= sizeBytes;
      offset = 0;
    }
    return segments;
  }

  /** One descriptor's transfer; false: it has to wait, or the queue has halted. */
  #execute(queue: number, token: number): boolean {
    const pid = PIDS[(token >>> 8) & 3];
    const characteristics = this.#dma.u32(queue + 4);
    const segments = this.#segments(queue, token, (token >>> 16) & 0x7fff);
    const room = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const device = this.#find(characteristics & 0x7f);
    if (pid === undefined || device === undefined) return this.#fail(queue, token, TOKEN_TRANSACTION_ERROR);
    const bytes = pid === usb.PID_IN ? new Uint8Array(room) : this.#dma.read(segments);
    const result = device.transact(pid, (characteristics >>> 8) & 15, bytes);
    if (result === usb.USB_NAK) return false;
    if (result < 0) return this.#fail(queue, token, 0);
    if (pid === usb.PID_IN) this.#dma.write(segments, bytes.subarray(0, result));
    this.#finish(queue, token, result, (characteristics >>> 16) & 0x7ff, pid === usb.PID_IN && result < room);
    return true;
  }

  #finish(queue: number, token: number, bytes: number, packet: number, isShort: boolean): void {
    const packets = Math.max(1, Math.ceil(bytes / Math.max(1, packet)));
    const flip = (packets & 1) !== 0 ? TOKEN_TOGGLE : 0;
    const left = Math.max(0, ((token >>> 16) & 0x7fff) - bytes);
    const page = Math.min(PAGES - 1, ((token >>> 12) & 7) + (bytes >>> 12));
    const kept = token & ~(TOKEN_ACTIVE | (0x7fff << 16) | 0x7000);
    this.#writeBack(queue, ((kept ^ flip) | (left << 16) | (page << 12)) >>> 0);
    if ((token & TOKEN_IOC) !== 0 || isShort) this.#pending |= STS_INTERRUPT;
  }

  #fail(queue: number, token: number, why: number): false {
    const cleared = token & ~(TOKEN_ACTIVE | (why === 0 ? 0 : 0xc00));
    this.#writeBack(queue, (cleared | TOKEN_HALTED | why) >>> 0);
    this.#pending |= STS_ERROR | ((token & TOKEN_IOC) !== 0 ? STS_INTERRUPT : 0);
    return false;
  }

  #writeBack(queue: number, token: number): void {
    this.#dma.setU32(queue + QUEUE_OVERLAY + TOKEN, token);
    this.#dma.setU32(((this.#dma.u32(queue + QUEUE_CURRENT) & ~0x1f) >>> 0) + TOKEN, token);
  }
}
