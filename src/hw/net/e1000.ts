/**
 * Intel 82540EM gigabit Ethernet (PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual): receiver, interrupts,
 * registers. Transmitter, EEPROM and PHY are modules of their own.
 *
 *   BAR 0  registers (128 KiB)     BAR 1  the same through an address and a data port
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { MemoryRegion, type MmioDevice, type MmioOptions } from '../../core/memory-region.ts';
import {
  FRAME_CHECKED,
  type FrameMeta,
  MAX_FRAME_BYTES,
  type NetBackend,
  type NetFrontend,
} from '../../core/net-backend.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import {
  bool,
  byteList,
  defineState,
  i32,
  num,
  type Stateful,
  stateful,
  struct,
  u8,
  u32,
  words,
} from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { Eeprom, eepromWords } from './e1000-eeprom.ts';
import { accessPhy, PHY_REGISTERS, resetPhy } from './e1000-phy.ts';
import * as reg from './e1000-regs.ts';
import { E1000Transmitter } from './e1000-tx.ts';
import { microwireState } from './microwire.ts';
import { NicMemory } from './nic-memory.ts';

const VENDOR = 0x8086;
const DEVICE_82540EM = 0x100e;
const REGISTER_WINDOW = 0x20000;
const IO_BYTES = 64;
const DESCRIPTOR_BYTES = 16;
const MIN_FRAME = 60;
const FCS_BYTES = 4;
const MAX_STANDARD_FRAME = 1522;
/** ITR counts this long. */
const ITR_NS = 256;
/** Registers are 32 bits wide; smaller accesses take part of one. */
const E1000_MMIO: MmioOptions = { impl: { min: 4, max: 4 } };
const E1000_IO: MmioOptions = { impl: { min: 4, max: 4 } };

const schema = defineState('e1000', 1, {
  registers: words(reg.REGISTER_BYTES / 4),
  phy: words(PHY_REGISTERS),
  eeprom: struct(microwireState),
  context: words(4),
  txOptions: u8(),
  txVlan: i32(-1),
  txIsSegmented: bool(),
  txPartial: byteList(MAX_FRAME_BYTES),
  ioAddress: u32(),
  /** The pin may not rise before this time (ITR). */
  quietUntilNs: num(),
});

export interface E1000Options {
  readonly memory: AddressSpace;
  readonly timers: TimerService;
  readonly backend: NetBackend;
  readonly mac: Uint8Array;
}

export class E1000 implements Device, NetFrontend {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #r: Uint32Array = this.#s.registers;
  readonly #options: E1000Options;
  readonly #memory: NicMemory;
  readonly #eeprom: Eeprom;
  readonly #tx: E1000Transmitter;
  readonly #quiet: Timer;
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#descriptor.buffer);
  #padded = new Uint8Array(MIN_FRAME);
  #gotFrames = false;

  constructor(options: E1000Options) {
    this.#options = options;
    this.#memory = new NicMemory(options.memory);
    this.pci = new PciFunction({
      vendorId: VENDOR,
      deviceId: DEVICE_82540EM,
      classCode: 0x020000,
      revision: 3,
      interruptPin: 1,
    });
    const device: MmioDevice = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    };
    this.pci.addBar(0, 'memory32', MemoryRegion.mmio('e1000-mmio', REGISTER_WINDOW, device, E1000_MMIO));
    this.pci.addBar(1, 'io', MemoryRegion.mmio('e1000-io', IO_BYTES, this.#ioPorts(), E1000_IO));
    this.#eeprom = new Eeprom(this.#s.eeprom, eepromWords(options.mac, DEVICE_82540EM, VENDOR));
    this.#tx = this.#createTransmitter();
    this.#quiet = options.timers.create(() => this.#updateInterrupt());
    const own = stateful(schema, this.#s, {
      preSave: () => {
        this.#s.txPartial = this.#tx.partial;
      },
      postLoad: () => {
        this.#tx.partial = this.#s.txPartial;
        this.#updateInterrupt();
        options.backend.resume();
      },
    });
    this.vmstate = combineStates('e1000-pci', [
      ['pci', this.pci.vmstate],
      ['e1000', own],
    ]);
    this.#resetCard();
    options.backend.connect(this);
  }

  get mac(): Uint8Array {
    return macOf(this.#r);
  }

  reset(): void {
    this.pci.reset();
    this.#resetCard();
  }

  #createTransmitter(): E1000Transmitter {
    const s = this.#s;
    const state = {
      context: s.context,
      get options() {
        return s.txOptions;
      },
      set options(value) {
        s.txOptions = value;
      },
      get vlan() {
        return s.txVlan;
      },
      set vlan(value) {
        s.txVlan = value;
      },
      get isSegmented() {
        return s.txIsSegmented;
      },
      set isSegmented(value) {
        s.txIsSegmented = value;
      },
    };
    return new E1000Transmitter(state, {
      registers: this.#r,
      memory: this.#memory,
      backend: this.#options.backend,
      raise: (bits) => this.#raise(bits),
      count: (register, by) => this.#count(register, by),
    });
  }

  /** Power-on, and CTRL.RST: everything but the EEPROM's content. */
  #resetCard(): void {
    const r = this.#r;
    // In place: the parts of the card hold on to their state.
    const { registers: _r, phy, eeprom, context: _c, ...rest } = schema.create();
    r.fill(0);
    this.#s.phy.set(phy);
    Object.assign(this.#s.eeprom, eeprom);
    Object.assign(this.#s, rest);
    r[reg.CTRL >> 2] = 0x0a41; // full duplex, 1000 Mb/s
    r[reg.VET >> 2] = 0x8100;
    r[reg.LEDCTL >> 2] = 0x07061302;
    r[reg.PBA >> 2] = 0x0010_0030;
    r[reg.MANC >> 2] = 0x0002_0000;
    const { mac } = this.#options;
    r[reg.RAL0 >> 2] = (mac[0]! | (mac[1]! << 8) | (mac[2]! << 16) | (mac[3]! << 24)) >>> 0;
    r[(reg.RAL0 >> 2) + 1] = (mac[4]! | (mac[5]! << 8) | 0x8000_0000) >>> 0;
    resetPhy(this.#s.phy);
    this.#tx.reset();
    this.#quiet.cancel();
    this.pci.setIntx(false);
    this.#options.backend.resume();
  }

  // --- registers

  #ioPorts(): MmioDevice {
    const inWindow = (): boolean => this.#s.ioAddress < REGISTER_WINDOW;
    return {
      read: (offset) => {
        if (offset === 0) return this.#s.ioAddress;
        return offset === 4 && inWindow() ? this.#read(this.#s.ioAddress & ~3) : 0;
      },
      write: (offset, _size, value) => {
        if (offset === 0) this.#s.ioAddress = value;
        else if (offset === 4 && inWindow()) this.#write(this.#s.ioAddress & ~3, value);
      },
    };
  }

  #read(offset: number): number {
    if (offset >= reg.REGISTER_BYTES) return 0;
    const r = this.#r;
    const n = offset >> 2;
    if (offset >= reg.STATISTICS && offset < reg.STATISTICS_END) {
      const value = r[n]!;
      r[n] = 0;
      return value;
    }
    switch (offset) {
      case reg.STATUS:
        return (reg.STATUS_DEFAULT | (this.#isLinkUp ? reg.STATUS_LU : 0)) >>> 0;
      case reg.EECD:
        return this.#eeprom.readEecd();
      case reg.EERD:
        return this.#eeprom.readWord(r[n]!);
      case reg.ICR: {
        const causes = r[n]!;
        r[n] = 0;
        this.#updateInterrupt();
        return causes;
      }
      case reg.ICS:
        return r[reg.ICR >> 2]!;
      case reg.IMC:
        return r[reg.IMS >> 2]!;
      default:
        return r[n]!;
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= reg.REGISTER_BYTES) return;
    const r = this.#r;
    const n = offset >> 2;
    switch (offset) {
      case reg.CTRL:
        this.#writeControl(value);
        break;
      case reg.STATUS:
        break;
      case reg.EECD:
        this.#eeprom.writeEecd(value);
        break;
      case reg.MDIC:
        r[n] = accessPhy(this.#s.phy, value, this.#isLinkUp);
        if ((value & reg.MDIC_INTERRUPT) !== 0) this.#raise(reg.INT_MDAC);
        break;
      case reg.ICR:
        r[n]! &= ~value;
        this.#updateInterrupt();
        break;
      case reg.ICS:
        this.#raise(value);
        break;
      case reg.IMS:
        r[n]! |= value;
        this.#updateInterrupt();
        break;
      case reg.IMC:
        r[reg.IMS >> 2]! &= ~value;
        this.#updateInterrupt();
        break;
      case reg.TDT:
      case reg.TCTL:
        r[n] = offset === reg.TDT ? value & 0xffff : value;
        if (this.#isMaster) this.#tx.run();
        break;
      case reg.RDT:
      case reg.RCTL:
        r[n] = offset === reg.RDT ? value & 0xffff : value;
        this.#options.backend.resume();
        break;
      case reg.RDH:
      case reg.TDH:
        r[n] = value & 0xffff;
        break;
      default:
        r[n] = value;
    }
  }

  #writeControl(value: number): void {
    if ((value & reg.CTRL_RST) !== 0) {
      this.#resetCard();
      return;
    }
    if ((value & reg.CTRL_PHY_RST) !== 0) resetPhy(this.#s.phy);
    this.#r[reg.CTRL >> 2] = (value & ~reg.CTRL_PHY_RST) >>> 0;
  }

  get #isLinkUp(): boolean {
    return this.#options.backend.isLinkUp;
  }

  get #isMaster(): boolean {
    return (this.pci.command & PCI_COMMAND_MASTER) !== 0;
  }

  #count(register: number, by: number): void {
    this.#r[register >> 2]! += by;
  }

  // --- interrupts (13.4.17 and on)

  #raise(causes: number): void {
    this.#r[reg.ICR >> 2]! |= causes;
    this.#updateInterrupt();
  }

  /** The pin follows causes that are not masked, no more often than ITR allows. */
  #updateInterrupt(): void {
    const r = this.#r;
    const wanted = (r[reg.ICR >> 2]! & r[reg.IMS >> 2]!) !== 0;
    if (!wanted) {
      this.#quiet.cancel();
      this.pci.setIntx(false);
      return;
    }
    const nowNs = this.#options.timers.nowNs();
    if (this.#isAsserted) return;
    if (nowNs < this.#s.quietUntilNs) {
      if (!this.#quiet.isArmed) this.#quiet.arm(this.#s.quietUntilNs);
      return;
    }
    const interval = (r[reg.ITR >> 2]! & 0xffff) * ITR_NS;
    this.#s.quietUntilNs = interval === 0 ? 0 : nowNs + interval;
    this.pci.setIntx(true);
  }

  get #isAsserted(): boolean {
    return (this.pci.readConfig(6, 2) & 8) !== 0;
  }

  // --- reception (3.2)

  writable(): void {
    this.#tx.writable();
  }

  linkChanged(): void {
    this.#raise(reg.INT_LSC);
  }

  receive(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    const rctl = this.#r[reg.RCTL >> 2]!;
    if ((rctl & reg.RCTL_EN) === 0 || !this.#isMaster || frame.length < 14) return true;
    const isLong = frame.length > MAX_STANDARD_FRAME - FCS_BYTES;
    if ((isLong && (rctl & reg.RCTL_LPE) === 0) || !this.#isWanted(frame, rctl)) return true;
    let bytes = frame;
    if (frame.length < MIN_FRAME) {
      this.#padded = new Uint8Array(MIN_FRAME);
      this.#padded.set(frame);
      bytes = this.#padded;
    }
    return this.#store(bytes, rctl, meta);
  }

  received(): void {
    if (!this.#gotFrames) return;
    this.#gotFrames = false;
    const r = this.#r;
    const size = (r[reg.RDLEN >> 2]! & 0xfff80) / DESCRIPTOR_BYTES;
    const free = (r[reg.RDT >> 2]! - r[reg.RDH >> 2]! + size) % Math.max(1, size);
    const threshold = size >> (1 + ((r[reg.RCTL >> 2]! >> 8) & 3));
    this.#raise(reg.INT_RXT0 | (free <= threshold ? reg.INT_RXDMT0 : 0));
  }

  /** Puts a frame into as many buffers as it needs; false: there are not enough. */
  #store(frame: Uint8Array, rctl: number, meta: Readonly<FrameMeta>): boolean {
    const r = this.#r;
    const buffer = bufferBytes(rctl);
    const size = (r[reg.RDLEN >> 2]! & 0xfff80) / DESCRIPTOR_BYTES;
    const head = r[reg.RDH >> 2]!;
    const tail = r[reg.RDT >> 2]!;
    if (size === 0 || head >= size || tail >= size) return true;
    const { vlan, bytes } = this.#stripVlan(frame);
    const total = bytes.length + ((rctl & reg.RCTL_SECRC) !== 0 ? 0 : FCS_BYTES);
    const needed = Math.ceil(total / buffer);
    if ((tail - head + size) % size < needed) return false;
    let at = head;
    for (let done = 0; done < total; done += buffer) {
      const count = Math.min(buffer, total - done);
      this.#fill(at, bytes.subarray(done, done + count), count, done + count >= total, meta, vlan);
      at = at + 1 === size ? 0 : at + 1;
    }
    r[reg.RDH >> 2] = at;
    this.#gotFrames = true;
    this.#countReceived(frame);
    return true;
  }

  #fill(
    index: number,
    bytes: Uint8Array,
    length: number,
    isLast: boolean,
    meta: Readonly<FrameMeta>,
    vlan: number,
  ): void {
    const r = this.#r;
    const low = (r[reg.RDBAL >> 2]! & ~15) >>> 0;
    const base = low + r[reg.RDBAH >> 2]! * 2 ** 32 + index * DESCRIPTOR_BYTES;
    const view = this.#view;
    this.#memory.read(base, this.#descriptor, 0, DESCRIPTOR_BYTES);
    const address = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    if (address !== 0) this.#memory.write(address, bytes);
    // Nobody looked at the sums of a frame that has not been computed here: the driver does.
    const sums = (meta.flags & FRAME_CHECKED) !== 0 ? reg.RX_TCPCS | reg.RX_IPCS : reg.RX_IXSM;
    view.setUint16(8, length, true);
    view.setUint16(10, 0, true);
    this.#descriptor[12] =
      reg.RX_DD | (isLast ? reg.RX_EOP | sums : 0) | (isLast && vlan >= 0 ? reg.RX_VP : 0);
    this.#descriptor[13] = 0;
    view.setUint16(14, Math.max(0, vlan), true);
    this.#memory.write(base, this.#descriptor);
  }

  #stripVlan(frame: Uint8Array): { vlan: number; bytes: Uint8Array } {
    const r = this.#r;
    const type = (frame[12]! << 8) | frame[13]!;
    if ((r[reg.CTRL >> 2]! & reg.CTRL_VME) === 0 || type !== (r[reg.VET >> 2]! & 0xffff))
      return { vlan: -1, bytes: frame };
    const bytes = new Uint8Array(frame.length - 4);
    bytes.set(frame.subarray(0, 12));
    bytes.set(frame.subarray(16), 12);
    return { vlan: (frame[14]! << 8) | frame[15]!, bytes };
  }

  #countReceived(frame: Uint8Array): void {
    this.#count(reg.GPRC, 1);
    this.#count(reg.TPR, 1);
    this.#count(reg.GORCL, frame.length + FCS_BYTES);
    this.#count(reg.TORL, frame.length + FCS_BYTES);
    if ((frame[0]! & 1) !== 0) this.#count(frame[0] === 0xff ? reg.BPRC : reg.MPRC, 1);
  }

  /** The address filters (3.2.1) and the VLAN filter (9.4). */
  #isWanted(frame: Uint8Array, rctl: number): boolean {
    const r = this.#r;
    const type = (frame[12]! << 8) | frame[13]!;
    if ((rctl & reg.RCTL_VFE) !== 0 && type === (r[reg.VET >> 2]! & 0xffff)) {
      const vlan = ((frame[14]! << 8) | frame[15]!) & 0xfff;
      if ((r[(reg.VFTA >> 2) + (vlan >> 5)]! & (1 << (vlan & 31))) === 0) return false;
    }
    const isGroup = (frame[0]! & 1) !== 0;
    if (!isGroup && (rctl & reg.RCTL_UPE) !== 0) return true;
    if (isGroup && (rctl & reg.RCTL_MPE) !== 0) return true;
    if ((rctl & reg.RCTL_BAM) !== 0 && isBroadcast(frame)) return true;
    const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
    const high = frame[4]! | (frame[5]! << 8);
    for (let n = 0; n < 16; n++) {
      const at = (reg.RAL0 >> 2) + 2 * n;
      if (r[at] === low && (r[at + 1]! & 0x8000_ffff) >>> 0 === (0x8000_0000 | high) >>> 0) return true;
    }
    if (!isGroup) return false;
    const shift = [4, 3, 2, 0][(rctl >> 12) & 3]!;
    const hash = (((frame[5]! << 8) | frame[4]!) >> shift) & 0xfff;
    return (r[(reg.MTA >> 2) + (hash >> 5)]! & (1 << (hash & 31))) !== 0;
  }
}

function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) return false;
  return true;
}

/** RCTL.BSIZE and BSEX (13.4.22). */
function bufferBytes(rctl: number): number {
  const size = (rctl >> 16) & 3;
  if ((rctl & reg.RCTL_BSEX) !== 0) return [2048, 16384, 8192, 4096][size]!;
  return [2048, 1024, 512, 256][size]!;
}

function macOf(r: Uint32Array): Uint8Array {
  const low = r[reg.RAL0 >> 2]!;
  const high = r[(reg.RAL0 >> 2) + 1]!;
  return Uint8Array.of(low, low >> 8, low >> 16, low >> 24, high, high >> 8);
}
