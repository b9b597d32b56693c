/**
 * Realtek RTL8139C+ Fast Ethernet (RTL8139C(L)+ data sheet): the 8139's four transmit slots and receive ring, and the descriptor rings
 * of C+ mode with checksum and large-send offload.
 *
 *   BAR 0  registers (I/O, 256 bytes)     BAR 1  the same in memory
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import {
  type AccessSize,
  MemoryRegion,
  type MmioDevice,
  type MmioOptions,
} from '../../core/memory-region.ts';
import {
  createMeta,
  FRAME_CHECKED,
  FRAME_NEEDS_CHECKSUM,
  type FrameMeta,
  GSO_NONE,
  GSO_TCPV4,
  MAX_FRAME_BYTES,
  type NetBackend,
  type NetFrontend,
  PLAIN_FRAME,
} from '../../core/net-backend.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import {
  bool,
  byteList,
  bytes,
  defineState,
  num,
  type Stateful,
  stateful,
  struct,
  u8,
  u16,
  u32,
} from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { Eeprom93c46, rtl8139Words } from './eeprom-93c46.ts';
import { etherCrc } from './ether-crc.ts';
import { microwireState } from './microwire.ts';
import { NicMemory } from './nic-memory.ts';

const BYTES = 256;

// Registers (chapter 5)
const IDR0 = 0x00;
const MAR0 = 0x08;
const TSD0 = 0x10;
/** C+: count of statistics dumped here. */
const DTCCR = 0x10;
const TSAD0 = 0x20;
const TNPDS = 0x20;
const RBSTART = 0x30;
const CR = 0x37;
const CAPR = 0x38;
const CBR = 0x3a;
const IMR = 0x3c;
const ISR = 0x3e;
const TCR = 0x40;
const RCR = 0x44;
const TCTR = 0x48;
const MPC = 0x4c;
const CR9346 = 0x50;
const CONFIG1 = 0x52;
const TIMER_INT = 0x54;
const MSR = 0x58;
const TSAD = 0x60;
const BMCR = 0x62;
const BMSR = 0x64;
const ANAR = 0x66;
const ANLPAR = 0x68;
const ANER = 0x6a;
const TPPOLL = 0xd9;
const CPCR = 0xe0;
const RDSAR = 0xe4;

const CR_BUFE = 1;
const CR_TE = 4;
const CR_RE = 8;
const CR_RST = 0x10;
const INT_ROK = 1;
const INT_TOK = 4;
const INT_RXOVW = 0x10;
const INT_LINK = 0x20;
const INT_TDU = 0x80;
const INT_TIMEOUT = 0x4000;
const RCR_AAP = 1;
const RCR_APM = 2;
const RCR_AM = 4;
const RCR_AB = 8;
const RCR_WRAP = 0x80;
const TSD_OWN = 0x2000;
const TSD_TOK = 0x8000;
const TSD_SIZE = 0x1fff;
/** Hardware version of the 8139C+. */
const TCR_VERSION = 0x7480_0000;
const TCR_LOOPBACK = 0x6_0000;
const CPCR_TXEN = 1;
const CPCR_RXEN = 2;
const CPCR_RXCHECKSUM = 0x20;
const CPCR_RXVLAN = 0x40;

// C+ descriptors (chapter 6)
const DESCRIPTOR_BYTES = 16;
const OWN = 0x8000_0000;
const END_OF_RING = 0x4000_0000;
const FIRST = 0x2000_0000;
const LAST = 0x1000_0000;
const LARGE_SEND = 0x0800_0000;
const IP_SUM = 0x0004_0000;
const UDP_SUM = 0x0002_0000;
const TCP_SUM = 0x0001_0000;
const TAG_VLAN = 0x2_0000;
const MAX_DESCRIPTORS = 64;
const RX_TCP = 0x0001_0000;
const RX_UDP = 0x0002_0000;

const MIN_FRAME = 60;
const FCS_BYTES = 4;
const RX_HEADER = 4;
const RX_ROK = 1;
const RX_BROADCAST = 0x2000;
const RX_PHYSICAL = 0x4000;
const RX_MULTICAST = 0x8000;
/** The timer counts cycles of the 33 MHz PCI clock. */
const TIMER_HZ = 33e6;
const RTL8139_MMIO: MmioOptions = { impl: { min: 1, max: 4 } };

const schema = defineState('rtl8139', 1, {
  r: bytes(BYTES),
  eeprom: struct(microwireState),
  /** Where the card writes next in the receive ring. */
  rxWrite: u32(),
  txSlot: u8(),
  /** C+: next descriptors. */
  rxIndex: u8(),
  txIndex: u8(),
  partial: byteList(MAX_FRAME_BYTES),
  timerBaseNs: num(),
  isTimerArmed: bool(),
  bmcr: u16(0x1100),
});

export interface Rtl8139Options {
  readonly memory: AddressSpace;
  readonly timers: TimerService;
  readonly backend: NetBackend;
  readonly mac: Uint8Array;
}

export class Rtl8139 implements Device, NetFrontend {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #view: DataView;
  readonly #options: Rtl8139Options;
  readonly #memory: NicMemory;
  readonly #eeprom: Eeprom93c46;
  readonly #timer: Timer;
  readonly #frame = new Uint8Array(MAX_FRAME_BYTES);
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  readonly #descriptorView = new DataView(this.#descriptor.buffer);
  readonly #meta: FrameMeta = createMeta();
  #length = 0;
  #isBlocked = false;
  #causes = 0;

  constructor(options: Rtl8139Options) {
    this.#options = options;
    this.#memory = new NicMemory(options.memory);
    this.#view = new DataView(this.#s.r.buffer, this.#s.r.byteOffset, BYTES);
    this.pci = new PciFunction({
      vendorId: 0x10ec,
      deviceId: 0x8139,
      classCode: 0x020000,
      revision: 0x20,
      interruptPin: 1,
    });
    const device: MmioDevice = {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    };
    this.pci.addBar(0, 'io', MemoryRegion.mmio('rtl8139-io', BYTES, device, RTL8139_MMIO));
    this.pci.addBar(1, 'memory32', MemoryRegion.mmio('rtl8139-mmio', BYTES, device, RTL8139_MMIO));
    this.#eeprom = new Eeprom93c46(this.#s.eeprom, rtl8139Words(options.mac));
    this.#timer = options.timers.create(() => this.#raise(INT_TIMEOUT));
    const own = stateful(schema, this.#s, {
      preSave: () => {
        this.#s.partial = this.#frame.slice(0, this.#length);
      },
      postLoad: () => this.#settle(),
    });
    this.vmstate = combineStates('rtl8139-pci', [
      ['pci', this.pci.vmstate],
      ['rtl8139', own],
    ]);
    this.#resetCard();
    this.#s.r.set(options.mac, IDR0);
    options.backend.connect(this);
  }

  get mac(): Uint8Array {
    return this.#s.r.slice(IDR0, IDR0 + 6);
  }

  reset(): void {
    this.pci.reset();
    this.#s.r.fill(0);
    this.#resetCard();
    this.#s.r.set(this.#options.mac, IDR0);
    this.#options.backend.resume();
  }

  /** CR.RST leaves the station address alone (5.2.6). */
  #resetCard(): void {
    const s = this.#s;
    const mac = s.r.slice(IDR0, IDR0 + 6);
    const config = s.r.slice(CR9346 + 1, CR9346 + 3);
    // In place: the parts of the card hold on to their state.
    const { r: _r, eeprom, ...rest } = schema.create();
    s.r.fill(0);
    Object.assign(s.eeprom, eeprom);
    Object.assign(s, rest);
    s.r.set(mac, IDR0);
    s.r.set(config, CR9346 + 1);
    s.r[CR] = CR_BUFE;
    this.#set32(TCR, TCR_VERSION | 0x600);
    for (let n = 0; n < 4; n++) this.#set32(TSD0 + 4 * n, TSD_OWN);
    this.#set16(CAPR, 0xfff0);
    this.#set16(BMCR, 0x1100);
    this.#set16(ANAR, 0x05e1);
    this.#set16(ANLPAR, 0x45e1);
    this.#set16(ANER, 0x0001);
    s.r[CONFIG1] = 0x0c;
    s.timerBaseNs = this.#options.timers.nowNs();
    this.#length = 0;
    this.#isBlocked = false;
    this.#timer.cancel();
    this.pci.setIntx(false);
  }

  #settle(): void {
    const s = this.#s;
    this.#frame.set(s.partial);
    this.#length = s.partial.length;
    this.#isBlocked = false;
    s.txSlot &= 3;
    s.rxIndex &= MAX_DESCRIPTORS - 1;
    s.txIndex &= MAX_DESCRIPTORS - 1;
    s.rxWrite %= this.#ringBytes;
    this.#armTimer();
    this.#updateInterrupt();
    this.#options.backend.resume();
  }

  // --- registers

  #get16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #get32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #set16(at: number, value: number): void {
    this.#view.setUint16(at, value & 0xffff, true);
  }

  #set32(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
  }

  get #isPlus(): boolean {
    return (this.#get16(CPCR) & (CPCR_TXEN | CPCR_RXEN)) !== 0;
  }

  get #isMaster(): boolean {
    return (this.pci.command & PCI_COMMAND_MASTER) !== 0;
  }

  #read(offset: number, size: AccessSize): number {
    this.#refresh(offset & ~3);
    let value = 0;
    for (let i = 0; i < size; i++) value |= (this.#s.r[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  /** Brings registers that are computed up to date before they are read. */
  #refresh(word: number): void {
    const { r } = this.#s;
    const isUp = this.#options.backend.isLinkUp;
    if (word === (CR & ~3)) r[CR] = (r[CR]! & ~CR_BUFE) | (this.#isRingEmpty ? CR_BUFE : 0);
    else if (word === CR9346) r[CR9346] = this.#eeprom.read();
    else if (word === TCTR) this.#set32(TCTR, this.#timerCount());
    else if (word === MSR) r[MSR] = 0x10 | (isUp ? 0 : 4);
    else if (word === (TSAD & ~3)) this.#set16(TSAD, this.#transmitStatus());
    else if (word === BMSR) this.#set16(BMSR, 0x7809 | (isUp ? 0x24 : 0));
  }

  /** OWN, TUN and TOK of the four slots (5.24). */
  #transmitStatus(): number {
    let value = 0;
    for (let n = 0; n < 4; n++) {
      const status = this.#get32(TSD0 + 4 * n);
      if ((status & TSD_OWN) !== 0) value |= 1 << n;
      if ((status & TSD_TOK) !== 0) value |= 0x1000 << n;
    }
    return value;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset >= TSD0 && offset < TSD0 + 16 && !this.#isPlus && size === 4) {
      this.#writeSlot((offset - TSD0) >> 2, value);
      return;
    }
    if (size === 4 && this.#writeWord(offset, value)) return;
    if (
      size > 1 &&
      (offset === IMR || offset === ISR || offset === BMCR || offset === CPCR || offset === CAPR)
    ) {
      this.#writeHalf(offset, value & 0xffff);
      if (size === 4) this.#write(offset + 2, 2, value >>> 16);
      return;
    }
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  /** Registers of 32 bits that do something; false: none of them. */
  #writeWord(offset: number, value: number): boolean {
    switch (offset) {
      case TCR:
        this.#set32(TCR, (value & ~0x7cf0_0000) | TCR_VERSION);
        return true;
      case RCR:
        this.#set32(RCR, value);
        this.#options.backend.resume();
        return true;
      case RBSTART:
        this.#set32(RBSTART, value);
        return true;
      case TCTR:
        this.#s.timerBaseNs = this.#options.timers.nowNs();
        this.#armTimer();
        return true;
      case TIMER_INT:
        this.#set32(TIMER_INT, value);
        this.#armTimer();
        return true;
      case MPC:
        this.#set32(MPC, 0);
        return true;
      default:
        return false;
    }
  }

  #writeHalf(offset: number, value: number): void {
    switch (offset) {
      case ISR:
        this.#set16(ISR, this.#get16(ISR) & ~value);
        this.#updateInterrupt();
        this.#options.backend.resume();
        break;
      case BMCR:
        this.#set16(BMCR, value & ~0x8200);
        break;
      case CPCR:
        this.#set16(CPCR, value);
        this.#options.backend.resume();
        break;
      case CAPR:
        this.#set16(CAPR, value);
        this.#options.backend.resume();
        break;
      default:
        this.#set16(offset, value);
        this.#updateInterrupt();
    }
  }

  #writeByte(offset: number, value: number): void {
    const { r } = this.#s;
    if (offset >= BYTES) return;
    switch (offset) {
      case CR:
        this.#writeCommand(value);
        break;
      case CR9346:
        this.#eeprom.write(value);
        break;
      case TPPOLL:
        if (this.#isMaster) this.#sendPlus();
        break;
      case ISR:
      case ISR + 1:
        this.#writeHalf(ISR, offset === ISR ? value : value << 8);
        break;
      case MSR:
      case BMSR:
      case BMSR + 1:
        break;
      default:
        r[offset] = value;
        if (offset === IMR || offset === IMR + 1) this.#updateInterrupt();
        if (offset === DTCCR && this.#isPlus && (value & 8) !== 0) r[offset] = value & ~8;
        if (offset >= RDSAR && offset < RDSAR + 8) this.#s.rxIndex = 0;
        if (offset >= TNPDS && offset < TNPDS + 8 && this.#isPlus) this.#s.txIndex = 0;
    }
  }

  #writeCommand(value: number): void {
    const { r } = this.#s;
    if ((value & CR_RST) !== 0) {
      this.#resetCard();
      this.#options.backend.resume();
      return;
    }
    const before = r[CR]!;
    r[CR] = (before & CR_BUFE) | (value & (CR_TE | CR_RE));
    if ((value & CR_RE) !== 0 && (before & CR_RE) === 0) {
      this.#s.rxWrite = 0;
      this.#set16(CBR, 0);
      this.#set16(CAPR, 0xfff0);
      this.#s.rxIndex = 0;
    }
    if ((value & CR_TE) !== 0 && (before & CR_TE) === 0) this.#s.txIndex = 0;
    this.#options.backend.resume();
  }

  // --- interrupts and timer

  #raise(causes: number): void {
    this.#set16(ISR, this.#get16(ISR) | causes);
    this.#updateInterrupt();
  }

  #updateInterrupt(): void {
    this.pci.setIntx((this.#get16(ISR) & this.#get16(IMR)) !== 0);
  }

  #timerCount(): number {
    const elapsedNs = Math.max(0, this.#options.timers.nowNs() - this.#s.timerBaseNs);
    return Math.floor((elapsedNs * TIMER_HZ) / 1e9) >>> 0;
  }

  #armTimer(): void {
    const target = this.#get32(TIMER_INT);
    if (target === 0) this.#timer.cancel();
    else this.#timer.arm(this.#s.timerBaseNs + (target * 1e9) / TIMER_HZ);
  }

  // --- transmission

  writable(): void {
    this.#isBlocked = false;
    if (this.#isPlus) this.#sendPlus();
    else this.#sendSlots();
  }

  linkChanged(): void {
    this.#raise(INT_LINK);
  }

  #writeSlot(slot: number, value: number): void {
    this.#set32(TSD0 + 4 * slot, value & ~(TSD_TOK | 0x4000));
    this.#sendSlots();
  }

  /** Slots go in turn, each once the driver has given it away (OWN clear). */
  #sendSlots(): void {
    const s = this.#s;
    if ((s.r[CR]! & CR_TE) === 0 || this.#isBlocked || !this.#isMaster) return;
    let causes = 0;
    for (let n = 0; n < 4; n++) {
      const at = TSD0 + 4 * s.txSlot;
      const status = this.#get32(at);
      if ((status & TSD_OWN) !== 0) break;
      const length = Math.min(status & TSD_SIZE, 1792);
      this.#memory.read(this.#get32(TSAD0 + 4 * s.txSlot), this.#frame, 0, length);
      if (!this.#transmit(this.#frame.subarray(0, length), PLAIN_FRAME)) {
        this.#isBlocked = true;
        break;
      }
      this.#set32(at, status | TSD_OWN | TSD_TOK);
      causes |= INT_TOK;
      s.txSlot = (s.txSlot + 1) & 3;
    }
    if (causes !== 0) this.#raise(causes);
  }

  /** In loopback mode the frame comes back instead of going out. */
  #transmit(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    if (frame.length < 14) return true;
    if ((this.#get32(TCR) & TCR_LOOPBACK) === TCR_LOOPBACK) {
      if (this.receive(frame.slice(), meta)) this.received();
      return true;
    }
    return this.#options.backend.send(frame, meta);
  }

  /** The descriptor ring of C+ mode. */
  #sendPlus(): void {
    const s = this.#s;
    if ((s.r[CR]! & CR_TE) === 0 || (this.#get16(CPCR) & CPCR_TXEN) === 0 || this.#isBlocked) return;
    const view = this.#descriptorView;
    let causes = 0;
    for (let n = 0; n < 2 * MAX_DESCRIPTORS; n++) {
      const at = this.#get32(TNPDS) + this.#get32(TNPDS + 4) * 2 ** 32 + s.txIndex * DESCRIPTOR_BYTES;
      this.#memory.read(at, this.#descriptor, 0, DESCRIPTOR_BYTES);
      const command = view.getUint32(0, true);
      if ((command & OWN) === 0) {
        causes |= INT_TDU;
        break;
      }
      if (!this.#takeDescriptor(command)) {
        this.#isBlocked = true;
        break;
      }
      view.setUint32(0, (command & ~(OWN | 0x00ff_0000)) >>> 0, true);
      this.#memory.write(at, this.#descriptor.subarray(0, 4));
      const isEnd = (command & END_OF_RING) !== 0 || s.txIndex === MAX_DESCRIPTORS - 1;
      s.txIndex = isEnd ? 0 : s.txIndex + 1;
      if ((command & LAST) !== 0) causes |= INT_TOK;
    }
    if (causes !== 0) this.#raise(causes);
  }

  #takeDescriptor(command: number): boolean {
    const view = this.#descriptorView;
    if ((command & FIRST) !== 0) this.#length = 0;
    const before = this.#length;
    const length = Math.min(command & 0xffff, MAX_FRAME_BYTES - this.#length);
    this.#memory.read(
      view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
      this.#frame,
      before,
      length,
    );
    this.#length += length;
    if ((command & LAST) === 0) return true;
    this.#offload(command);
    const vlan = view.getUint32(4, true);
    const frame = (vlan & TAG_VLAN) !== 0 ? this.#tagged(vlan) : this.#frame.subarray(0, this.#length);
    if (!this.#transmit(frame, this.#meta)) {
      this.#length = before;
      return false;
    }
    this.#length = 0;
    return true;
  }

  /** Checksums and large send of IPv4 (6.4): the card finds the headers itself. */
  #offload(command: number): void {
    const meta = this.#meta;
    const frame = this.#frame;
    meta.flags = 0;
    meta.gsoType = GSO_NONE;
    const isIp = frame[12] === 8 && frame[13] === 0 && frame[14]! >> 4 === 4 && this.#length >= 34;
    if (!isIp) return;
    const header = (frame[14]! & 15) * 4;
    const transport = 14 + header;
    if (header < 20 || transport + 8 > this.#length) return;
    const isLarge = (command & LARGE_SEND) !== 0;
    if (isLarge) {
      meta.gsoType = GSO_TCPV4;
      meta.gsoSize = (command >> 16) & 0x7ff;
      meta.headerBytes = transport + (frame[transport + 12]! >> 4) * 4;
      frame[16] = (this.#length - 14) >> 8;
      frame[17] = (this.#length - 14) & 0xff;
    }
    if (isLarge || (command & IP_SUM) !== 0) this.#sumHeader(header);
    const isTcp = frame[23] === 6 && (isLarge || (command & TCP_SUM) !== 0);
    const isUdp = frame[23] === 17 && !isLarge && (command & UDP_SUM) !== 0;
    if (isTcp || isUdp) this.#askTransport(transport, isTcp ? 16 : 6, header);
  }

  #sumHeader(header: number): void {
    const frame = this.#frame;
    frame[24] = 0;
    frame[25] = 0;
    const sum = inetChecksum(frame, 14, header);
    frame[24] = sum >> 8;
    frame[25] = sum & 0xff;
  }

  /** Puts the pseudo header's sum where the rest of the checksum will go. */
  #askTransport(transport: number, offset: number, header: number): void {
    const frame = this.#frame;
    const length = ((frame[16]! << 8) | frame[17]!) - header;
    let sum = frame[23]! + length;
    for (let at = 26; at < 34; at += 2) sum += (frame[at]! << 8) | frame[at + 1]!;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    if (transport + offset + 2 > this.#length) return;
    frame[transport + offset] = sum >> 8;
    frame[transport + offset + 1] = sum & 0xff;
    this.#meta.flags = FRAME_NEEDS_CHECKSUM;
    this.#meta.checksumStart = transport;
    this.#meta.checksumOffset = offset;
  }

  /** The tag's bytes stand swapped in the descriptor. */
  #tagged(word: number): Uint8Array {
    const out = new Uint8Array(this.#length + 4);
    out.set(this.#frame.subarray(0, 12));
    out.set([0x81, 0, word & 0xff, (word >> 8) & 0xff], 12);
    out.set(this.#frame.subarray(12, this.#length), 16);
    if (this.#meta.flags !== 0) this.#meta.checksumStart += 4;
    if (this.#meta.headerBytes > 0) this.#meta.headerBytes += 4;
    return out;
  }

  // --- reception

  receive(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    if ((this.#s.r[CR]! & CR_RE) === 0 || !this.#isMaster || frame.length < 14) return true;
    const kind = this.#match(frame);
    if (kind === 0) return true;
    let bytes = frame;
    if (frame.length < MIN_FRAME) {
      bytes = new Uint8Array(MIN_FRAME);
      bytes.set(frame);
    }
    return (this.#get16(CPCR) & CPCR_RXEN) !== 0
      ? this.#storePlus(bytes, kind, meta)
      : this.#storeRing(bytes, kind);
  }

  received(): void {
    const causes = this.#causes;
    this.#causes = 0;
    if (causes !== 0) this.#raise(causes);
  }

  /** Status bits of an accepted frame by its address; 0: not for us (5.8). */
  #match(frame: Uint8Array): number {
    const rcr = this.#get32(RCR);
    const { r } = this.#s;
    if ((frame[0]! & 1) !== 0) {
      const isBroadcast = frame.subarray(0, 6).every((byte) => byte === 0xff);
      if (isBroadcast) return (rcr & (RCR_AB | RCR_AAP)) !== 0 ? RX_BROADCAST : 0;
      if ((rcr & RCR_AAP) !== 0) return RX_MULTICAST;
      const hash = etherCrc(frame, 6) >>> 26;
      const isListed = (r[MAR0 + (hash >> 3)]! & (1 << (hash & 7))) !== 0;
      return (rcr & RCR_AM) !== 0 && isListed ? RX_MULTICAST : 0;
    }
    const isOurs = frame.subarray(0, 6).every((byte, n) => byte === r[IDR0 + n]);
    if (isOurs && (rcr & (RCR_APM | RCR_AAP)) !== 0) return RX_PHYSICAL;
    return (rcr & RCR_AAP) !== 0 ? RX_ROK : 0;
  }

  get #ringBytes(): number {
    return 8192 << ((this.#get32(RCR) >> 11) & 3);
  }

  /** CAPR runs 16 bytes behind what the driver has read (5.9). */
  get #isRingEmpty(): boolean {
    return (this.#get16(CAPR) + 16) % this.#ringBytes === this.#s.rxWrite % this.#ringBytes;
  }

  #storeRing(frame: Uint8Array, kind: number): boolean {
    const s = this.#s;
    const ring = this.#ringBytes;
    const total = (RX_HEADER + frame.length + FCS_BYTES + 3) & ~3;
    const read = (this.#get16(CAPR) + 16) % ring;
    const free = (read - s.rxWrite + ring - 1) % ring;
    if (total > ring / 2) return true;
    if (free < total && !this.#isRingEmpty) {
      if ((this.#get16(ISR) & INT_RXOVW) === 0) this.#raise(INT_RXOVW);
      return false;
    }
    const packet = new Uint8Array(total);
    const status = RX_ROK | kind;
    packet.set([
      status & 0xff,
      status >> 8,
      (frame.length + FCS_BYTES) & 0xff,
      (frame.length + FCS_BYTES) >> 8,
    ]);
    packet.set(frame, RX_HEADER);
    this.#writeRing(packet, ring);
    s.rxWrite = (s.rxWrite + total) % ring;
    this.#set16(CBR, s.rxWrite);
    this.#causes |= INT_ROK;
    return true;
  }

  /** Without WRAP the packet goes on at the ring's beginning; with it, behind its end. */
  #writeRing(packet: Uint8Array, ring: number): void {
    const base = this.#get32(RBSTART);
    const { rxWrite } = this.#s;
    const first = Math.min(packet.length, ring - rxWrite);
    if (first === packet.length || (this.#get32(RCR) & RCR_WRAP) !== 0) {
      this.#memory.write(base + rxWrite, packet);
      return;
    }
    this.#memory.write(base + rxWrite, packet.subarray(0, first));
    this.#memory.write(base, packet.subarray(first));
  }

  #storePlus(frame: Uint8Array, kind: number, meta: Readonly<FrameMeta>): boolean {
    const s = this.#s;
    const view = this.#descriptorView;
    const at = this.#get32(RDSAR) + this.#get32(RDSAR + 4) * 2 ** 32 + s.rxIndex * DESCRIPTOR_BYTES;
    this.#memory.read(at, this.#descriptor, 0, DESCRIPTOR_BYTES);
    const command = view.getUint32(0, true);
    if ((command & OWN) === 0) {
      if ((this.#get16(ISR) & INT_RXOVW) === 0) this.#raise(INT_RXOVW);
      return false;
    }
    const { bytes: stored, vlan } = this.#untagged(frame);
    const length = stored.length + FCS_BYTES;
    if (length > (command & 0x1fff)) return true;
    this.#memory.write(view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32, stored);
    let status = (command & END_OF_RING) | FIRST | LAST | ((kind << 11) & 0x0700_0000) | length;
    if ((this.#get16(CPCR) & CPCR_RXCHECKSUM) !== 0 && (meta.flags & FRAME_CHECKED) !== 0)
      status |= stored[23] === 6 ? RX_TCP : stored[23] === 17 ? RX_UDP : 0;
    view.setUint32(0, status >>> 0, true);
    view.setUint32(4, vlan, true);
    this.#memory.write(at, this.#descriptor.subarray(0, 8));
    const isEnd = (command & END_OF_RING) !== 0 || s.rxIndex === MAX_DESCRIPTORS - 1;
    s.rxIndex = isEnd ? 0 : s.rxIndex + 1;
    this.#causes |= INT_ROK;
    return true;
  }

  #untagged(frame: Uint8Array): { bytes: Uint8Array; vlan: number } {
    const isTagged = frame[12] === 0x81 && frame[13] === 0 && frame.length > 18;
    if (!isTagged || (this.#get16(CPCR) & CPCR_RXVLAN) === 0) return { bytes: frame, vlan: 0 };
    const out = new Uint8Array(frame.length - 4);
    out.set(frame.subarray(0, 12));
    out.set(frame.subarray(16), 12);
    return { bytes: out, vlan: 0x1_0000 | frame[14]! | (frame[15]! << 8) };
  }
}
