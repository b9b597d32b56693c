/** The transmitter of the 8254x: legacy, context and data descriptors, checksums and TCP segmentation (manual, 3.3 to 3.5). */
import {
  createMeta,
  FRAME_NEEDS_CHECKSUM,
  type FrameMeta,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  MAX_FRAME_BYTES,
  type NetBackend,
} from '../../core/net-backend.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import * as reg from './e1000-regs.ts';
import type { NicMemory } from './nic-memory.ts';

const DESCRIPTOR_BYTES = 16;
const VLAN_BYTES = 4;
/** Descriptors of one visit: a ring of the largest size, once around. */
const MAX_STEPS = 65536;
const MIN_GSO_SIZE = 48;

/** What the card keeps between visits. */
export interface TxState {
  /** Words 0 to 3 of the last context descriptor. */
  context: Uint32Array;
  /** Of the packet that is being put together: POPTS, and VLAN tag or −1. */
  options: number;
  vlan: number;
  isSegmented: boolean;
}

export interface TxPorts {
  readonly registers: Uint32Array;
  readonly memory: NicMemory;
  readonly backend: NetBackend;
  raise(bits: number): void;
  count(register: number, by: number): void;
}

export class E1000Transmitter {
  readonly #s: TxState;
  readonly #ports: TxPorts;
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#descriptor.buffer);
  readonly #frame = new Uint8Array(MAX_FRAME_BYTES + VLAN_BYTES);
  readonly #meta: FrameMeta = createMeta();
  /** Bytes of the packet so far. */
  length = 0;
  /** The packet is too long: it is left out to its end. */
  #isTooLong = false;
  #isBlocked = false;

  constructor(state: TxState, ports: TxPorts) {
    this.#s = state;
    this.#ports = ports;
  }

  reset(): void {
    this.#s.context.fill(0);
    this.#s.options = 0;
    this.#s.vlan = -1;
    this.#s.isSegmented = false;
    this.length = 0;
    this.#isTooLong = false;
    this.#isBlocked = false;
  }

  /** What has been gathered of a packet, for a snapshot. */
  get partial(): Uint8Array {
    return this.#frame.slice(0, this.length);
  }

  set partial(bytes: Uint8Array) {
    this.#frame.set(bytes);
    this.length = bytes.length;
    this.#isBlocked = false;
  }

  writable(): void {
    this.#isBlocked = false;
    this.run();
  }

  /** Takes descriptors from head to tail. */
  run(): void {
    const { registers } = this.#ports;
    const at = (offset: number): number => registers[offset >> 2]!;
    if ((at(reg.TCTL) & reg.TCTL_EN) === 0 || this.#isBlocked) return;
    const size = (at(reg.TDLEN) & 0xfff80) / DESCRIPTOR_BYTES;
    let causes = 0;
    let steps = 0;
    while (at(reg.TDH) !== at(reg.TDT) && steps++ < MAX_STEPS) {
      const head = at(reg.TDH);
      if (head >= size || at(reg.TDT) >= size) break;
      const address = (at(reg.TDBAL) & ~15) + at(reg.TDBAH) * 2 ** 32 + head * DESCRIPTOR_BYTES;
      const base = address < 0 ? address + 2 ** 32 : address;
      this.#ports.memory.read(base, this.#descriptor, 0, DESCRIPTOR_BYTES);
      if (!this.#take()) {
        this.#isBlocked = true;
        break;
      }
      causes |= this.#writeBack(base);
      registers[reg.TDH >> 2] = head + 1 >= size ? 0 : head + 1;
    }
    if (steps > 0 && at(reg.TDH) === at(reg.TDT)) causes |= reg.INT_TXQE;
    if (causes !== 0) this.#ports.raise(causes);
  }

  /** Sets DD if the driver wants to hear of it. */
  #writeBack(address: number): number {
    const lower = this.#view.getUint32(8, true);
    if (((lower >>> 24) & reg.CMD_RS) === 0) return 0;
    const status = Uint8Array.of(this.#descriptor[12]! | reg.RX_DD);
    this.#ports.memory.write(address + 12, status);
    return reg.INT_TXDW;
  }

  /** False: the back end has no room, and the descriptor is to come again. */
  #take(): boolean {
    const view = this.#view;
    const lower = view.getUint32(8, true);
    const command = lower >>> 24;
    const isExtended = (command & reg.CMD_DEXT) !== 0;
    if (isExtended && ((lower >> 20) & 15) === 0) {
      for (let i = 0; i < 4; i++) this.#s.context[i] = view.getUint32(4 * i, true);
      return true;
    }
    const upper = view.getUint32(12, true);
    if (this.length === 0 && !this.#isTooLong) this.#begin(command, upper, isExtended);
    const before = this.length;
    this.#gather(isExtended ? lower & 0xfffff : lower & 0xffff);
    if ((command & reg.CMD_EOP) === 0) return true;
    const isDone = this.#isTooLong || this.length < 14 || this.#send(command, lower, upper, isExtended);
    if (!isDone) {
      this.length = before;
      return false;
    }
    this.length = 0;
    this.#isTooLong = false;
    return true;
  }

  /** Options come with a packet's first descriptor. */
  #begin(command: number, upper: number, isExtended: boolean): void {
    const s = this.#s;
    s.options = isExtended ? (upper >> 8) & 0xff : 0;
    s.isSegmented = isExtended && (command & reg.CMD_TSE) !== 0;
    s.vlan = -1;
    const hasVlan = (this.#ports.registers[reg.CTRL >> 2]! & reg.CTRL_VME) !== 0;
    if (hasVlan && (command & reg.CMD_VLE) !== 0) s.vlan = upper >>> 16;
  }

  #gather(length: number): void {
    if (this.#isTooLong || this.length + length > MAX_FRAME_BYTES) {
      this.#isTooLong = true;
      return;
    }
    const address = this.#view.getUint32(0, true) + this.#view.getUint32(4, true) * 2 ** 32;
    this.#ports.memory.read(address, this.#frame, this.length, length);
    this.length += length;
  }

  #send(command: number, lower: number, upper: number, isExtended: boolean): boolean {
    const meta = this.#meta;
    meta.flags = 0;
    meta.gsoType = GSO_NONE;
    if (isExtended) this.#offload();
    else if ((command & reg.CMD_IC) !== 0) this.#ask((upper >> 8) & 0xff, (lower >> 16) & 0xff, 0);
    const { vlan } = this.#s;
    const frame = vlan >= 0 ? this.#tagged(vlan) : this.#frame.subarray(0, this.length);
    if (this.#isLoopback()) return true;
    if (!this.#ports.backend.send(frame, meta)) return false;
    this.#ports.count(reg.GPTC, 1);
    this.#ports.count(reg.TPT, 1);
    this.#ports.count(reg.GOTCL, frame.length);
    this.#ports.count(reg.TOTL, frame.length);
    return true;
  }

  #isLoopback(): boolean {
    return (this.#ports.registers[reg.RCTL >> 2]! & reg.RCTL_LOOPBACK) === reg.RCTL_LOOPBACK;
  }

  /** What the context descriptor says of checksums and segments (3.3.6, 3.5). */
  #offload(): void {
    const { context, options, isSegmented } = this.#s;
    const [ip, transport, lengths, more] = context as unknown as [number, number, number, number];
    const mss = more >>> 16;
    const isTcp = ((lengths >>> 24) & reg.TUCMD_TCP) !== 0;
    if (isSegmented && isTcp && mss >= MIN_GSO_SIZE)
      this.#segment(lengths, mss, (more >> 8) & 0xff, ip & 0xff);
    const [start, offset, end] = [ip & 0xff, (ip >> 8) & 0xff, ip >>> 16];
    if ((options & reg.POPTS_IXSM) !== 0) this.#sumNow(start, offset, end);
    if ((options & reg.POPTS_TXSM) !== 0)
      this.#ask(transport & 0xff, (transport >> 8) & 0xff, transport >>> 16);
  }

  /** The driver leaves the length of the whole packet out: each segment has its own. */
  #segment(lengths: number, mss: number, header: number, ip: number): void {
    const meta = this.#meta;
    const isV4 = ((lengths >>> 24) & reg.TUCMD_IP) !== 0;
    meta.gsoType = isV4 ? GSO_TCPV4 : GSO_TCPV6;
    meta.gsoSize = mss;
    meta.headerBytes = header;
    const at = ip + (isV4 ? 2 : 4);
    if (at + 2 > this.length) return;
    const length = this.length - ip - (isV4 ? 0 : 40);
    this.#frame[at] = length >> 8;
    this.#frame[at + 1] = length & 0xff;
  }

  #sumNow(start: number, offset: number, end: number): void {
    const last = end === 0 ? this.length - 1 : Math.min(end, this.length - 1);
    if (start > last || offset + 2 > this.length) return;
    this.#frame[offset] = 0;
    this.#frame[offset + 1] = 0;
    const sum = inetChecksum(this.#frame, start, last + 1 - start);
    this.#frame[offset] = sum >> 8;
    this.#frame[offset + 1] = sum & 0xff;
  }

  /** A checksum to the packet's end is left to whoever needs it; one that ends earlier is computed here. */
  #ask(start: number, offset: number, end: number): void {
    if (offset < start || offset + 2 > this.length || start >= this.length) return;
    if (end !== 0 && end < this.length - 1) {
      const sum = inetChecksum(this.#frame, start, end + 1 - start);
      this.#frame[offset] = sum >> 8;
      this.#frame[offset + 1] = sum & 0xff;
      return;
    }
    const meta = this.#meta;
    const shift = this.#s.vlan >= 0 ? VLAN_BYTES : 0;
    meta.flags = FRAME_NEEDS_CHECKSUM;
    meta.checksumStart = start + shift;
    meta.checksumOffset = offset - start;
  }

  #tagged(vlan: number): Uint8Array {
    const frame = this.#frame;
    const type = this.#ports.registers[reg.VET >> 2]! & 0xffff;
    const out = new Uint8Array(this.length + VLAN_BYTES);
    out.set(frame.subarray(0, 12));
    out.set([type >> 8, type & 0xff, vlan >> 8, vlan & 0xff], 12);
    out.set(frame.subarray(12, this.length), 16);
    if (this.#meta.headerBytes > 0) this.#meta.headerBytes += VLAN_BYTES;
    return out;
  }
}
