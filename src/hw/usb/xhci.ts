/**
 * USB host controller for all speeds (eXtensible Host Controller Interface for Universal Serial Bus 1.1).
 *
 *   BAR 0: 0000 capabilities, 0040 operational registers, 0440 ports, 1000 runtime registers, 2000 doorbells    BAR 2: MSI-X
 */
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { defineState, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { allOnes } from '../../util/bits.ts';
import { MsiX } from '../pci/msix.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import type { UsbControllerOptions } from './uhci.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import { UsbDma } from './usb-dma.ts';
import { rootPorts, UsbBus, type UsbPort, type UsbPortOwner } from './usb-port.ts';
import * as xhci from './xhci-codes.ts';
import { executeCommand } from './xhci-commands.ts';
import { INTERRUPTER_BYTES, INTERRUPTERS, XhciEvents } from './xhci-events.ts';
import { XhciPorts } from './xhci-ports.ts';
import { take } from './xhci-ring.ts';
import { ENDPOINTS, SLOTS, XhciSlots } from './xhci-slots.ts';
import { type TransferOutcome, transfer } from './xhci-transfer.ts';

const BAR_BYTES = 0x4000;
const CAPABILITY_BYTES = 0x40;
const EXTENDED_CAPABILITIES = 0x20;
const RUNTIME = 0x1000;
const DOORBELLS = 0x2000;
const BAR_MSIX = 2;
const MICROFRAME_NS = 125_000;
/** Work at a time: what a hostile ring can make us do before others have their turn, and when it goes on. */
const COMMAND_LIMIT = 256;
const TRANSFER_LIMIT = 1024;
const TRANSFERS_PER_ENDPOINT = 64;
const PAUSE_NS = 1e6;
const TWO_32 = 2 ** 32;

export interface XhciKind {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
}

export const XHCI_KINDS: Readonly<Record<string, XhciKind>> = {
  'qemu-xhci': { vendorId: 0x1b36, deviceId: 0x000d, revision: 0x01 },
  'nec-usb-xhci': { vendorId: 0x1033, deviceId: 0x0194, revision: 0x03 },
};

export interface XhciOptions extends UsbControllerOptions {
  readonly msi: MsiSink;
  readonly guestError: (text: string) => void;
  /** Ports for USB 2 and for USB 3; those of one number are one socket. */
  readonly ports2: number;
  readonly ports3: number;
  readonly slots: number;
  readonly interrupters: number;
  readonly hasMsix: boolean;
}

const schema = defineState('xhci', 1, {
  command: u32(),
  status: u32(xhci.STS_HALTED),
  notify: u32(),
  commandRingLow: u32(),
  commandRingHigh: u32(),
  commandCycle: u32(1),
  isCommandRingRunning: u32(),
  contextsLow: u32(),
  contextsHigh: u32(),
  config: u32(),
});

export class Xhci implements Device, MmioDevice, UsbPortOwner {
  readonly pci: PciFunction;
  readonly bus = new UsbBus();
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #options: XhciOptions;
  readonly #dma: UsbDma;
  readonly #timers: TimerService;
  readonly #msix: MsiX | undefined;
  readonly #events: XhciEvents;
  readonly #slots: XhciSlots;
  readonly #ports: XhciPorts;
  /** Endpoints to look at (slot × 32 + index). */
  readonly #due = new Set<number>();
  #isBusy = false;
  readonly #later: Timer;

  constructor(kind: XhciKind, options: XhciOptions) {
    this.#options = options;
    const { memory, timers, msi, multifunction, guestError } = options;
    this.pci = new PciFunction({
      vendorId: kind.vendorId,
      deviceId: kind.deviceId,
      classCode: 0x0c0330,
      revision: kind.revision,
      interruptPin: 1,
      ...(multifunction === true && { multifunction }),
    });
    this.pci.set(0x60, 1, 0x30); // release 3.0
    this.pci.set(0x0c, 1, 0x10);
    this.pci.addBar(0, 'memory64', MemoryRegion.mmio('xhci', BAR_BYTES, this));
    this.#dma = new UsbDma(memory);
    this.#timers = timers;
    this.#later = timers.create(() => this.#work());
    if (options.hasMsix) this.#msix = new MsiX(this.pci, BAR_MSIX, options.interrupters, msi, 'xhci-msix');
    this.pci.onConfigWritten = (offset, size) => this.#msix?.configWritten(offset, size);
    this.#events = new XhciEvents({
      dma: this.#dma,
      guestError,
      interrupt: (n) => this.#interrupt(n),
      changed: () => this.#updatePin(),
    });
    this.#slots = new XhciSlots({
      dma: this.#dma,
      deviceAt: (rootPort, route) => this.#deviceAt(rootPort, route),
      contextArray: () => this.#s.contextsHigh * TWO_32 + this.#s.contextsLow,
    });
    const sockets = rootPorts(this, Math.max(options.ports2, options.ports3), [
      ...(options.ports2 > 0 ? ([usb.SPEED_LOW, usb.SPEED_FULL, usb.SPEED_HIGH] as const) : []),
      ...(options.ports3 > 0 ? ([usb.SPEED_SUPER] as const) : []),
    ]);
    this.bus.addPorts(sockets);
    this.#ports = new XhciPorts(sockets, options.ports2, options.ports3, (port) => this.#portChanged(port));
    this.vmstate = this.#createState();
  }

  #createState(): Stateful {
    return combineStates('xhci', [
      ['pci', this.pci.vmstate],
      ['controller', stateful(schema, this.#s)],
      ['events', this.#events.vmstate],
      ['ports', this.#ports.vmstate],
      ...(this.#msix === undefined ? [] : [['msix', this.#msix.vmstate] as const]),
      ['slots', this.#slots.vmstate],
    ]);
  }

  reset(): void {
    this.pci.reset();
    this.#msix?.reset();
    this.#controllerReset();
  }

  #controllerReset(): void {
    schema.reset(this.#s);
    this.#events.reset();
    this.#slots.reset();
    this.#due.clear();
    this.#later.cancel();
    this.#ports.reset();
    this.#updatePin();
  }

  // --- ports

  attached(port: UsbPort): void {
    this.#ports.attached(port);
  }

  detached(port: UsbPort): void {
    if (port.device !== undefined) this.#slots.forget(port.device);
    this.#ports.detached(port);
  }

  wakeup(device: UsbDevice, endpoint: number): void {
    const slot = this.#slots.slotOf(device);
    if (slot > 0) this.#kick(slot, 2 * (endpoint & 15) + ((endpoint & 0x80) !== 0 ? 1 : 0));
  }

  #portChanged(register: number): void {
    this.#s.status |= xhci.STS_PORT_CHANGE;
    if (!this.#isRunning) return;
    this.#events.post(0, ((register + 1) << 24) >>> 0, 0, xhci.CC_SUCCESS << 24, xhci.ER_PORT_CHANGE);
  }

  #deviceAt(rootPort: number, route: number): UsbDevice | undefined {
    const socket = this.#ports.socketOf(rootPort - 1);
    if (socket === undefined) return undefined;
    let path = socket.path;
    for (let left = route; left !== 0; left >>>= 4) path += `.${left & 15}`;
    return this.bus.ports.find((port) => port.path === path)?.device;
  }

  // --- interrupts (4.17)

  get #interruptsEnabled(): boolean {
    return (this.#s.command & xhci.CMD_INTE) !== 0;
  }

  #interrupt(n: number): void {
    this.#s.status |= xhci.STS_EVENT;
    if (this.#msix?.enabled !== true || !this.#interruptsEnabled) return;
    this.#events.messageSent(n);
    this.#msix.notify(n);
  }

  #updatePin(): void {
    this.pci.setIntx(this.#msix?.enabled !== true && this.#interruptsEnabled && this.#events.isPending);
  }

  // --- registers (5)

  read(offset: number, size: AccessSize): number {
    const word = this.#register(offset & ~3) >>> (8 * (offset & 3));
    return (word & allOnes(size)) >>> 0;
  }

  #register(offset: number): number {
    if (offset < CAPABILITY_BYTES) return this.#capability(offset);
    if (offset >= DOORBELLS) return 0;
    if (offset >= RUNTIME) return this.#runtime(offset - RUNTIME);
    const at = offset - CAPABILITY_BYTES;
    if (at >= xhci.PORTS) return this.#ports.read((at - xhci.PORTS) >> 4, (at - xhci.PORTS) & 15);
    return this.#operational(at);
  }

  #capability(offset: number): number {
    const { slots, interrupters } = this.#options;
    const count = this.#ports.count;
    switch (offset) {
      case 0x00: // length, version 1.0
        return 0x0100_0000 | CAPABILITY_BYTES;
      case 0x04:
        return ((count << 24) | (interrupters << 8) | slots) >>> 0;
      case 0x08: // one segment of an event ring
        return 0x0000_000f;
      case 0x10: // 64-bit addresses, contexts of 32 bytes
        return ((EXTENDED_CAPABILITIES / 4) << 16) | 1;
      case 0x14:
        return DOORBELLS;
      case 0x18:
        return RUNTIME;
      default:
        return offset >= EXTENDED_CAPABILITIES ? this.#protocols(offset - EXTENDED_CAPABILITIES) : 0;
    }
  }

  /** Supported protocols (7.2): USB 3 has the first ports, USB 2 the others. */
  #protocols(offset: number): number {
    const { ports2, ports3 } = this.#options;
    const name = 0x20425355; // "USB "
    const three = [0x0300_0002 | (ports2 > 0 ? 0x400 : 0), name, (ports3 << 8) | 1, 0];
    const two = [0x0200_0002, name, (ports2 << 8) | (ports3 + 1), 0];
    const list = [...(ports3 > 0 ? three : []), ...(ports2 > 0 ? two : [])];
    return list[offset >> 2] ?? 0;
  }

  #operational(at: number): number {
    const s = this.#s;
    switch (at) {
      case xhci.USBCMD:
        return s.command;
      case xhci.USBSTS:
        return s.status;
      case xhci.PAGESIZE:
        return 1;
      case xhci.DNCTRL:
        return s.notify;
      case xhci.CRCR:
        return s.isCommandRingRunning !== 0 ? xhci.CRCR_RUNNING : 0;
      case xhci.DCBAAP:
        return s.contextsLow;
      case xhci.DCBAAP + 4:
        return s.contextsHigh;
      case xhci.CONFIG:
        return s.config;
      default:
        return 0;
    }
  }

  #runtime(at: number): number {
    if (at >= 0x20) return this.#events.read((at - 0x20) >> 5, (at - 0x20) & (INTERRUPTER_BYTES - 1));
    return at === 0 ? Math.floor(this.#timers.nowNs() / MICROFRAME_NS) % 0x4000 : 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) {
      this.#options.guestError(`xhci: write of ${size} bytes at 0x${offset.toString(16)}`);
      return;
    }
    if (offset < CAPABILITY_BYTES) return;
    if (offset >= DOORBELLS) this.#doorbell((offset - DOORBELLS) >> 2, value);
    else if (offset >= RUNTIME + 0x20) {
      const at = offset - RUNTIME - 0x20;
      if (at >> 5 < INTERRUPTERS) this.#events.write(at >> 5, at & (INTERRUPTER_BYTES - 1), value);
    } else if (offset >= CAPABILITY_BYTES + xhci.PORTS) {
      const at = offset - CAPABILITY_BYTES - xhci.PORTS;
      this.#ports.write(at >> 4, at & 15, value);
    } else this.#writeOperational(offset - CAPABILITY_BYTES, value);
  }

  #writeOperational(at: number, value: number): void {
    const s = this.#s;
    switch (at) {
      case xhci.USBCMD:
        this.#writeCommand(value);
        break;
      case xhci.USBSTS:
        s.status &= ~(value & xhci.STS_WRITE_CLEARS);
        this.#updatePin();
        break;
      case xhci.DNCTRL:
        s.notify = value & 0xffff;
        break;
      case xhci.CRCR:
        s.commandRingLow = value;
        break;
      case xhci.CRCR + 4:
        s.commandRingHigh = value;
        this.#commandRingWritten();
        break;
      case xhci.DCBAAP:
        s.contextsLow = (value & ~0x3f) >>> 0;
        break;
      case xhci.DCBAAP + 4:
        s.contextsHigh = value;
        break;
      case xhci.CONFIG:
        s.config = value & 0xff;
        break;
      default: // nothing to write
    }
  }

  get #isRunning(): boolean {
    return (this.#s.status & xhci.STS_HALTED) === 0;
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    if ((value & xhci.CMD_RESET) !== 0) {
      this.#controllerReset();
      return;
    }
    // There is no state to save that a reset would not lose; a restore says so.
    if ((value & xhci.CMD_SAVE) !== 0) s.status &= ~xhci.STS_RESTORE_ERROR;
    if ((value & xhci.CMD_RESTORE) !== 0) s.status |= xhci.STS_RESTORE_ERROR;
    s.command = value & xhci.CMD_WRITABLE;
    if ((value & xhci.CMD_RUN) !== 0) s.status &= ~xhci.STS_HALTED;
    else {
      s.status |= xhci.STS_HALTED;
      s.isCommandRingRunning = 0;
    }
    this.#updatePin();
  }

  #commandRingWritten(): void {
    const s = this.#s;
    if (s.isCommandRingRunning !== 0 && (s.commandRingLow & (xhci.CRCR_STOP | xhci.CRCR_ABORT)) !== 0) {
      s.isCommandRingRunning = 0;
      this.#commandDone(0, xhci.CC_COMMAND_RING_STOPPED, 0);
      return;
    }
    s.commandCycle = s.commandRingLow & xhci.CRCR_CYCLE;
    s.commandRingLow = (s.commandRingLow & ~0x3f) >>> 0;
  }

  #doorbell(slot: number, value: number): void {
    if (!this.#isRunning) return;
    if (slot === 0) {
      if ((value & 0xff) !== 0) return;
      this.#s.isCommandRingRunning = 1;
      this.#commands();
      return;
    }
    const dci = value & 0xff;
    const endpoint = dci < ENDPOINTS ? this.#slots.endpoint(slot, dci) : undefined;
    if (endpoint === undefined || slot > SLOTS) {
      this.#options.guestError(`xhci: doorbell ${slot} for endpoint ${dci}`);
      return;
    }
    if (endpoint.state === xhci.EP_STOPPED) this.#slots.setState(slot, dci, xhci.EP_RUNNING);
    this.#kick(slot, dci);
  }

  // --- command ring (4.6)

  #commands(): void {
    if ((this.pci.command & PCI_COMMAND_MASTER) === 0) return;
    const s = this.#s;
    const place = { dequeue: s.commandRingHigh * TWO_32 + s.commandRingLow, cycle: s.commandCycle };
    let left = COMMAND_LIMIT;
    for (; left > 0 && s.isCommandRingRunning !== 0; left--) {
      const trb = take(this.#dma, place);
      if (trb === undefined) break;
      s.commandRingLow = place.dequeue % TWO_32;
      s.commandRingHigh = Math.floor(place.dequeue / TWO_32);
      s.commandCycle = place.cycle;
      const { code, slot } = executeCommand(this.#slots, trb, this.#options.slots);
      this.#commandDone(trb.address, code, slot);
    }
    if (left === 0) this.#later.arm(this.#timers.nowNs() + PAUSE_NS);
  }

  #commandDone(address: number, code: number, slot: number): void {
    const [low, high] = [address % TWO_32, Math.floor(address / TWO_32)];
    this.#events.post(0, low, high, (code << 24) >>> 0, xhci.ER_COMMAND, (slot << 24) >>> 0);
  }

  // --- transfer rings (4.9.2)

  #kick(slot: number, dci: number): void {
    this.#due.add(slot * ENDPOINTS + dci);
    if (!this.#isBusy) this.#transfers();
  }

  /** Goes on where a bound was reached. */
  #work(): void {
    if (!this.#isRunning) return;
    if (this.#s.isCommandRingRunning !== 0) this.#commands();
    if (!this.#isBusy) this.#transfers();
  }

  #transfers(): void {
    if (!this.#isRunning || (this.pci.command & PCI_COMMAND_MASTER) === 0) return;
    this.#isBusy = true;
    let left = TRANSFER_LIMIT;
    for (const key of this.#due) {
      if (left <= 0) break;
      this.#due.delete(key);
      left -= this.#endpoint(Math.floor(key / ENDPOINTS), key % ENDPOINTS);
    }
    this.#isBusy = false;
    if (this.#due.size > 0) this.#later.arm(this.#timers.nowNs() + PAUSE_NS);
  }

  /** Works on one ring; returns how much was done. */
  #endpoint(slot: number, dci: number): number {
    for (let count = 1; count <= TRANSFERS_PER_ENDPOINT; count++) {
      const endpoint = this.#slots.endpoint(slot, dci);
      if (endpoint?.state !== xhci.EP_RUNNING) return count;
      const outcome = this.#transfer(slot, dci);
      if (outcome === 'waits' || outcome === 'empty') return count;
      if (outcome === 'halted') this.#slots.setState(slot, dci, xhci.EP_HALTED);
      if (outcome === 'error') this.#slots.setState(slot, dci, xhci.EP_ERROR);
    }
    this.#due.add(slot * ENDPOINTS + dci);
    return TRANSFERS_PER_ENDPOINT;
  }

  #transfer(slot: number, dci: number): TransferOutcome {
    const endpoint = this.#slots.endpoint(slot, dci)!;
    const device = this.#slots.device(slot);
    return transfer(this.#dma, endpoint, dci, device, (interrupter, { low, high }, code, length, isData) => {
      const more = ((slot << 24) | (dci << 16) | (isData ? xhci.TRB_EVENT_DATA : 0)) >>> 0;
      this.#events.post(interrupter, low, high, ((code << 24) | length) >>> 0, xhci.ER_TRANSFER, more);
    });
  }
}
