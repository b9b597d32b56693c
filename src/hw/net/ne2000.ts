/**
 * NE2000: a DP8390 (National Semiconductor DP8390D/NS32490D data sheet) with 16 KiB of packet memory, as an ISA card and as the
 * RTL8029AS on PCI.
 *
 *   0x00–0x0f  registers in pages     0x10–0x17  data port of the remote DMA     0x18–0x1f  reset
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import {
  type AccessSize,
  MemoryRegion,
  type MmioDevice,
  type MmioOptions,
} from '../../core/memory-region.ts';
import type { NetBackend, NetFrontend } from '../../core/net-backend.ts';
import { bytes, defineState, type Stateful, stateful, u8, u16 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PciFunction } from '../pci/pci-device.ts';
import { etherCrc } from './ether-crc.ts';

export const NE2000_PORTS = 32;
export const NE2000_MMIO: MmioOptions = { impl: { min: 1, max: 4 } };
const MEMORY_START = 0x4000;
const MEMORY_BYTES = 0x4000;
const PROM_BYTES = 32;
const PAGE = 256;
const PCI_BYTES = 256;

const CR_STOP = 1;
const CR_START = 2;
const CR_TRANSMIT = 4;
const CR_DMA = 0x38;
const CR_NO_DMA = 0x20;
const ISR_PRX = 1;
const ISR_PTX = 2;
const ISR_OVW = 0x10;
const ISR_RDC = 0x40;
const ISR_RST = 0x80;
const RCR_SMALL = 2;
const RCR_BROADCAST = 4;
const RCR_MULTICAST = 8;
const RCR_PROMISCUOUS = 0x10;
const RCR_MONITOR = 0x20;
const TCR_LOOPBACK = 6;
const DCR_WORD = 1;
const RSR_OK = 1;
const RSR_GROUP = 0x20;
const MIN_FRAME = 60;
const HEADER_BYTES = 4;
const FCS_BYTES = 4;

const schema = defineState('ne2000', 1, {
  command: u8(CR_STOP | CR_NO_DMA),
  start: u8(),
  stop: u8(),
  boundary: u8(),
  transmitPage: u8(),
  transmitCount: u16(),
  transmitStatus: u8(),
  interrupts: u8(ISR_RST),
  mask: u8(),
  remoteAddress: u16(),
  remoteCount: u16(),
  receiveConfig: u8(),
  transmitConfig: u8(),
  dataConfig: u8(),
  receiveStatus: u8(),
  current: u8(),
  address: bytes(6),
  multicast: bytes(8),
  memory: bytes(MEMORY_BYTES),
});

export interface Ne2000Options {
  readonly backend: NetBackend;
  readonly mac: Uint8Array;
  readonly irq: IrqLine;
}

/** The card without its bus; `ports` is what the guest reaches. */
export class Ne2000 implements Device, NetFrontend {
  readonly ports: MmioDevice;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #options: Ne2000Options;
  readonly #prom = new Uint8Array(PROM_BYTES);
  #isBlocked = false;

  constructor(options: Ne2000Options) {
    this.#options = options;
    // Each byte stands twice: 16-bit accesses read it in their low half. 0x57 says that the card does 16 bits.
    const { mac } = options;
    for (let n = 0; n < 16; n++) this.#prom.fill(n < 6 ? mac[n]! : n >= 14 ? 0x57 : 0, 2 * n, 2 * n + 2);
    this.ports = {
      read: (offset, size) => this.#read(offset & 31, size),
      write: (offset, size, value) => this.#write(offset & 31, size, value),
    };
    this.vmstate = stateful(schema, this.#s, {
      postLoad: () => {
        this.#isBlocked = false;
        this.#updateInterrupt();
        options.backend.resume();
      },
    });
    options.backend.connect(this);
  }

  get mac(): Uint8Array {
    return this.#prom.filter((_, n) => n < 12 && (n & 1) === 0);
  }

  reset(): void {
    const { memory } = this.#s;
    const kept = memory.slice();
    schema.reset(this.#s);
    this.#s.memory.set(kept);
    this.#isBlocked = false;
    this.#updateInterrupt();
    this.#options.backend.resume();
  }

  // --- ports

  #read(port: number, size: AccessSize): number {
    if (port >= 0x18) {
      this.reset();
      return 0;
    }
    if (port >= 0x10) return this.#readData(size);
    let value = 0;
    for (let i = 0; i < size && port + i < 16; i++) value |= this.#readRegister(port + i) << (8 * i);
    return value >>> 0;
  }

  #write(port: number, size: AccessSize, value: number): void {
    if (port >= 0x18) return;
    if (port >= 0x10) {
      this.#writeData(size, value);
      return;
    }
    for (let i = 0; i < size && port + i < 16; i++) this.#writeRegister(port + i, (value >>> (8 * i)) & 0xff);
  }

  #readRegister(n: number): number {
    const s = this.#s;
    if (n === 0) return s.command;
    const page = s.command >> 6;
    if (page === 1) return n < 7 ? s.address[n - 1]! : n === 7 ? s.current : s.multicast[n - 8]!;
    if (page === 0) return this.#readPage0(n);
    if (page === 2) return [0, s.start, s.stop, 0, s.transmitPage][n] ?? 0;
    // Configuration of the RTL8029AS: full duplex, jumpers as PCI has them.
    return n === 3 ? 0 : n === 5 ? 0x40 : n === 6 ? 0x40 : 0;
  }

  #readPage0(n: number): number {
    const s = this.#s;
    switch (n) {
      case 3:
        return s.boundary;
      case 4:
        return s.transmitStatus;
      case 7:
        return s.interrupts;
      case 8:
        return s.remoteAddress & 0xff;
      case 9:
        return s.remoteAddress >> 8;
      case 10:
        return 0x50; // RTL8029 identification
      case 11:
        return 0x43;
      case 12:
        return s.receiveStatus;
      default:
        return 0;
    }
  }

  #writeRegister(n: number, value: number): void {
    const s = this.#s;
    const page = s.command >> 6;
    if (n === 0) this.#writeCommand(value);
    else if (page === 0) this.#writePage0(n, value);
    else if (page === 1) {
      if (n < 7) s.address[n - 1] = value;
      else if (n === 7) {
        s.current = value;
        this.#options.backend.resume();
      } else s.multicast[n - 8] = value;
    }
  }

  #writePage0(n: number, value: number): void {
    const s = this.#s;
    switch (n) {
      case 1:
        s.start = value;
        break;
      case 2:
        s.stop = value;
        break;
      case 3:
        s.boundary = value;
        this.#options.backend.resume();
        break;
      case 4:
        s.transmitPage = value;
        break;
      case 5:
        s.transmitCount = (s.transmitCount & 0xff00) | value;
        break;
      case 6:
        s.transmitCount = (s.transmitCount & 0xff) | (value << 8);
        break;
      case 7:
        s.interrupts &= ~(value & 0x7f);
        this.#updateInterrupt();
        break;
      case 8:
        s.remoteAddress = (s.remoteAddress & 0xff00) | value;
        break;
      case 9:
        s.remoteAddress = (s.remoteAddress & 0xff) | (value << 8);
        break;
      case 10:
        s.remoteCount = (s.remoteCount & 0xff00) | value;
        break;
      case 11:
        s.remoteCount = (s.remoteCount & 0xff) | (value << 8);
        break;
      case 12:
        s.receiveConfig = value;
        break;
      case 13:
        s.transmitConfig = value;
        break;
      case 14:
        s.dataConfig = value;
        break;
      case 15:
        s.mask = value;
        this.#updateInterrupt();
        break;
    }
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    // A transmission under way is not taken back by writing 0 (CR, TXP).
    s.command = value | (s.command & CR_TRANSMIT);
    if ((value & CR_STOP) !== 0) {
      s.command &= ~CR_TRANSMIT;
      s.interrupts |= ISR_RST;
      return;
    }
    s.interrupts &= ~ISR_RST;
    const operation = value & CR_DMA;
    if ((operation === 8 || operation === 0x10) && s.remoteCount === 0) this.#raise(ISR_RDC);
    if ((value & CR_TRANSMIT) !== 0) this.#transmit();
    this.#options.backend.resume();
  }

  // --- remote DMA

  #memoryByte(address: number): number {
    const at = address & 0xffff;
    if (at < PROM_BYTES) return this.#prom[at]!;
    return at >= MEMORY_START && at < MEMORY_START + MEMORY_BYTES ? this.#s.memory[at - MEMORY_START]! : 0xff;
  }

  #readData(size: AccessSize): number {
    if ((this.#s.dataConfig & DCR_WORD) === 0) return this.#readStep(1);
    const low = this.#readStep(2);
    return size === 4 ? (low | (this.#readStep(2) << 16)) >>> 0 : size === 1 ? low & 0xff : low;
  }

  #readStep(width: 1 | 2): number {
    const at = this.#s.remoteAddress;
    const value = this.#memoryByte(at) | (width === 2 ? this.#memoryByte(at + 1) << 8 : 0);
    this.#advance(width);
    return value;
  }

  #writeData(size: AccessSize, value: number): void {
    if (this.#s.remoteCount === 0) return;
    if ((this.#s.dataConfig & DCR_WORD) === 0) this.#writeStep(1, value);
    else {
      this.#writeStep(2, value);
      if (size === 4) this.#writeStep(2, value >>> 16);
    }
  }

  #writeStep(width: 1 | 2, value: number): void {
    const s = this.#s;
    for (let i = 0; i < width; i++) {
      const at = ((s.remoteAddress + i) & 0xffff) - MEMORY_START;
      if (at >= 0 && at < MEMORY_BYTES) s.memory[at] = value >>> (8 * i);
    }
    this.#advance(width);
  }

  /** At the end of the ring remote reads go on at its beginning. */
  #advance(width: number): void {
    const s = this.#s;
    s.remoteAddress = (s.remoteAddress + width) & 0xffff;
    if (s.remoteAddress === s.stop * PAGE) s.remoteAddress = s.start * PAGE;
    if (s.remoteCount <= width) {
      s.remoteCount = 0;
      this.#raise(ISR_RDC);
    } else s.remoteCount -= width;
  }

  // --- transmission

  writable(): void {
    this.#isBlocked = false;
    if ((this.#s.command & CR_TRANSMIT) !== 0) this.#transmit();
  }

  #transmit(): void {
    const s = this.#s;
    if (this.#isBlocked) return;
    const at = s.transmitPage * PAGE - MEMORY_START;
    const isInside = at >= 0 && at + s.transmitCount <= MEMORY_BYTES;
    const isLoop = (s.transmitConfig & TCR_LOOPBACK) !== 0;
    if (isInside && s.transmitCount >= 14 && !isLoop) {
      if (!this.#options.backend.send(s.memory.subarray(at, at + s.transmitCount))) {
        this.#isBlocked = true;
        return;
      }
    }
    s.transmitStatus = 1;
    s.command &= ~CR_TRANSMIT;
    this.#raise(ISR_PTX);
  }

  // --- reception

  receive(frame: Uint8Array): boolean {
    const s = this.#s;
    const isOn = (s.command & (CR_STOP | CR_START)) === CR_START && (s.receiveConfig & RCR_MONITOR) === 0;
    if (!isOn || frame.length < 14 || s.stop <= s.start || !this.#isWanted(frame)) return true;
    const length = Math.max(frame.length, MIN_FRAME);
    const pages = Math.ceil((HEADER_BYTES + length + FCS_BYTES) / PAGE);
    const ring = s.stop - s.start;
    const current = s.current < s.start || s.current >= s.stop ? s.start : s.current;
    const boundary = s.boundary < s.start || s.boundary >= s.stop ? s.start : s.boundary;
    const free = boundary === current ? ring : (boundary - current + ring) % ring;
    if (pages >= ring) return true;
    if (pages >= free) {
      if ((s.interrupts & ISR_OVW) === 0) this.#raise(ISR_OVW);
      return false;
    }
    const next = s.start + ((current - s.start + pages) % ring);
    s.receiveStatus = RSR_OK | ((frame[0]! & 1) !== 0 ? RSR_GROUP : 0);
    const total = length + FCS_BYTES;
    const packet = new Uint8Array(HEADER_BYTES + length);
    packet.set([s.receiveStatus, next, total & 0xff, total >> 8]);
    packet.set(frame, HEADER_BYTES);
    this.#store(packet, current);
    s.current = next;
    this.#received = true;
    return true;
  }

  #received = false;

  received(): void {
    if (!this.#received) return;
    this.#received = false;
    this.#raise(ISR_PRX);
  }

  #store(packet: Uint8Array, page: number): void {
    const { start, stop, memory } = this.#s;
    let at = page * PAGE;
    for (const byte of packet) {
      const offset = at - MEMORY_START;
      if (offset >= 0 && offset < MEMORY_BYTES) memory[offset] = byte;
      if (++at === stop * PAGE) at = start * PAGE;
    }
  }

  #isWanted(frame: Uint8Array): boolean {
    const s = this.#s;
    if (frame.length < MIN_FRAME && (s.receiveConfig & RCR_SMALL) === 0 && frame.length < 14) return false;
    if ((s.receiveConfig & RCR_PROMISCUOUS) !== 0) return true;
    if ((frame[0]! & 1) === 0) return s.address.every((byte, n) => byte === frame[n]);
    if (frame.subarray(0, 6).every((byte) => byte === 0xff)) return (s.receiveConfig & RCR_BROADCAST) !== 0;
    const hash = etherCrc(frame, 6) >>> 26;
    const isListed = (s.multicast[hash >> 3]! & (1 << (hash & 7))) !== 0;
    return (s.receiveConfig & RCR_MULTICAST) !== 0 && isListed;
  }

  #raise(causes: number): void {
    this.#s.interrupts |= causes;
    this.#updateInterrupt();
  }

  #updateInterrupt(): void {
    this.#options.irq.set((this.#s.interrupts & this.#s.mask & 0x7f) !== 0);
  }
}

/** Realtek RTL8029AS: the same ports in an I/O BAR. */
export class Ne2000Pci implements Device {
  readonly pci: PciFunction;
  readonly card: Ne2000;
  readonly vmstate: Stateful;

  constructor(
    options: { readonly backend: NetBackend; readonly mac: Uint8Array },
    createIrq: (set: (level: boolean) => void) => IrqLine,
  ) {
    this.pci = new PciFunction({
      vendorId: 0x10ec,
      deviceId: 0x8029,
      classCode: 0x020000,
      interruptPin: 1,
    });
    this.card = new Ne2000({ ...options, irq: createIrq((level) => this.pci.setIntx(level)) });
    const { ports } = this.card;
    this.pci.addBar(0, 'io', MemoryRegion.mmio('ne2000', PCI_BYTES, ports, NE2000_MMIO));
    this.vmstate = combineStates('ne2k-pci', [
      ['pci', this.pci.vmstate],
      ['ne2000', this.card.vmstate],
    ]);
  }

  reset(): void {
    this.pci.reset();
    this.card.reset();
  }
}
