/**
 * virtio network device (virtio 1.2, 5.1) on a `NetBackend`: frames go straight between the guest's buffers and the back end's memory,
 * with checksums and segmentation left to whoever needs them done.
 */
import type { AccessSize } from '../../core/memory-region.ts';
import {
  createMeta,
  type FrameMeta,
  MAX_FRAME_BYTES,
  type NetBackend,
  type NetFrontend,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TCPV4,
  OFFLOAD_TCPV6,
} from '../../core/net-backend.ts';
import { bool, bytes, defineState, stateful, u16, u64 } from '../../core/vmstate.ts';
import { F_VERSION_1 } from './virtio-core.ts';
import { VIRTIO_ID_NET, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, readSegments, type VirtQueue, writeSegments } from './virtqueue.ts';

// Feature bits, 5.1.3
const F_CSUM = 1n << 0n;
const F_GUEST_CSUM = 1n << 1n;
const F_CTRL_GUEST_OFFLOADS = 1n << 2n;
const F_MTU = 1n << 3n;
const F_MAC = 1n << 5n;
const F_GUEST_TSO4 = 1n << 7n;
const F_GUEST_TSO6 = 1n << 8n;
const F_GUEST_ECN = 1n << 9n;
const F_GUEST_UFO = 1n << 10n;
const F_HOST_TSO4 = 1n << 11n;
const F_HOST_TSO6 = 1n << 12n;
const F_HOST_ECN = 1n << 13n;
const F_HOST_UFO = 1n << 14n;
const F_MRG_RXBUF = 1n << 15n;
const F_STATUS = 1n << 16n;
const F_CTRL_VQ = 1n << 17n;
const F_CTRL_RX = 1n << 18n;
const F_CTRL_VLAN = 1n << 19n;
const F_CTRL_RX_EXTRA = 1n << 20n;
const F_GUEST_ANNOUNCE = 1n << 21n;
const F_MQ = 1n << 22n;
const F_CTRL_MAC_ADDR = 1n << 23n;

/** Bits of features by the name of the property that offers them. */
export const VIRTIO_NET_FEATURES = {
  csum: F_CSUM,
  guest_csum: F_GUEST_CSUM,
  guest_tso4: F_GUEST_TSO4,
  guest_tso6: F_GUEST_TSO6,
  guest_ecn: F_GUEST_ECN,
  guest_ufo: F_GUEST_UFO,
  guest_announce: F_GUEST_ANNOUNCE,
  host_tso4: F_HOST_TSO4,
  host_tso6: F_HOST_TSO6,
  host_ecn: F_HOST_ECN,
  host_ufo: F_HOST_UFO,
  mrg_rxbuf: F_MRG_RXBUF,
  status: F_STATUS,
  ctrl_vq: F_CTRL_VQ,
  ctrl_rx: F_CTRL_RX,
  ctrl_vlan: F_CTRL_VLAN,
  ctrl_rx_extra: F_CTRL_RX_EXTRA,
  ctrl_mac_addr: F_CTRL_MAC_ADDR,
  ctrl_guest_offloads: F_CTRL_GUEST_OFFLOADS,
  mq: F_MQ,
} as const satisfies Readonly<Record<string, bigint>>;

const STATUS_LINK_UP = 1;
const STATUS_ANNOUNCE = 2;

// Control commands, 5.1.6.5
const CLASS_RX = 0;
const CLASS_MAC = 1;
const CLASS_VLAN = 2;
const CLASS_ANNOUNCE = 3;
const CLASS_MQ = 4;
const CLASS_OFFLOADS = 5;
const ACK_OK = 0;
const ACK_ERROR = 1;
const MAX_CONTROL_BYTES = 4096;

const HEADER_BYTES = 12;
const LEGACY_HEADER_BYTES = 10;
const CONTROL_QUEUE_SIZE = 64;
const CONFIG_BYTES = 12;
const MAX_MACS = 64;
const VLAN_BYTES = 4096 / 8;
/** Flows that remember which pair of queues they use. */
const STEERING_ENTRIES = 256;
const BATCH = 256;

// Receive modes, 5.1.6.5.1
const MODE_PROMISCUOUS = 1;
const MODE_ALL_MULTICAST = 2;
const MODE_ALL_UNICAST = 4;
const MODE_NO_MULTICAST = 8;
const MODE_NO_UNICAST = 16;
const MODE_NO_BROADCAST = 32;

const schema = defineState('virtio-net', 1, {
  mac: bytes(6),
  mode: u16(MODE_PROMISCUOUS),
  /** Unicast addresses first. */
  macs: bytes(MAX_MACS * 6),
  unicasts: u16(),
  multicasts: u16(),
  unicastOverflow: bool(),
  multicastOverflow: bool(),
  vlans: bytes(VLAN_BYTES),
  pairs: u16(1),
  announce: bool(),
  /** Negotiated, or set by the control queue. */
  guestOffloads: u64(),
});

export interface VirtioNetOptions {
  readonly backend: NetBackend;
  readonly mac: Uint8Array;
  /** Of `VIRTIO_NET_FEATURES`. */
  readonly features: bigint;
  readonly queuePairs: number;
  readonly rxQueueSize: number;
  readonly txQueueSize: number;
  /** Told to the guest if not 0. */
  readonly mtu: number;
}

export class VirtioNet implements VirtioBackend, NetFrontend {
  readonly id = VIRTIO_ID_NET;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configSize = CONFIG_BYTES;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: VirtioNetOptions;
  readonly #backend: NetBackend;
  readonly #meta: FrameMeta = createMeta();
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #steering = new Uint8Array(STEERING_ENTRIES);
  /** Receive queues with entries that the driver has not been told of. */
  readonly #unsignalled = new Set<number>();
  /** Transmit queues that wait for room. */
  readonly #blocked = new Set<number>();
  readonly #chains: Chain[] = [];
  readonly #written: number[] = [];
  #port!: VirtioPort;

  constructor(options: VirtioNetOptions) {
    const { backend, queuePairs, rxQueueSize, txQueueSize, features } = options;
    this.#options = options;
    this.#backend = backend;
    this.features = (features & ~(queuePairs > 1 ? 0n : F_MQ)) | F_MAC | (options.mtu > 0 ? F_MTU : 0n);
    const pairs = Array.from({ length: queuePairs }, () => [rxQueueSize, txQueueSize]);
    this.queueSizes = [...pairs.flat(), CONTROL_QUEUE_SIZE];
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#settle() });
    this.#resetState();
    backend.connect(this);
  }

  get mac(): Uint8Array {
    return this.#s.mac;
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  start(features: bigint): void {
    this.#s.guestOffloads = features & GUEST_OFFLOADS;
    this.#applyOffloads();
    this.#backend.resume();
  }

  reset(): void {
    this.#resetState();
    this.#unsignalled.clear();
    this.#blocked.clear();
    this.#backend.setOffloads(0);
    this.#backend.resume();
  }

  #resetState(): void {
    schema.reset(this.#s);
    this.#s.mac.set(this.#options.mac);
    this.#s.mode = MODE_PROMISCUOUS;
    this.#steering.fill(0);
  }

  // --- configuration (5.1.4)

  readConfig(offset: number, size: AccessSize): number {
    const { queuePairs, mtu } = this.#options;
    const config = new Uint8Array(CONFIG_BYTES + 4);
    config.set(this.#s.mac);
    const view = new DataView(config.buffer);
    const announce = this.#s.announce ? STATUS_ANNOUNCE : 0;
    view.setUint16(6, (this.#backend.isLinkUp ? STATUS_LINK_UP : 0) | announce, true);
    view.setUint16(8, queuePairs, true);
    view.setUint16(10, mtu, true);
    let value = 0;
    for (let i = 0; i < size; i++) value |= (config[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  /** Old drivers write the address here (5.1.4). */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    if ((this.#port.negotiated & (F_CTRL_MAC_ADDR | F_VERSION_1)) !== 0n) return;
    for (let i = 0; i < size && offset + i < 6; i++) this.#s.mac[offset + i] = value >>> (8 * i);
  }

  linkChanged(): void {
    this.#port.notifyConfig();
  }

  queueNotified(index: number): void {
    if (index === this.#controlQueue) this.#serveControl(this.#port.queues[index]!);
    else if ((index & 1) === 1) this.#transmit(index);
    else this.#backend.resume();
  }

  /** Without MQ there is one pair, and the control queue follows it (5.1.2). */
  get #controlQueue(): number {
    return (this.#port.negotiated & F_MQ) !== 0n ? 2 * this.#options.queuePairs : 2;
  }

  get #headerBytes(): number {
    return (this.#port.negotiated & (F_MRG_RXBUF | F_VERSION_1)) !== 0n ? HEADER_BYTES : LEGACY_HEADER_BYTES;
  }

  // --- transmission (5.1.6.2)

  writable(): void {
    for (const index of [...this.#blocked]) {
      this.#blocked.delete(index);
      this.#transmit(index);
    }
  }

  #transmit(index: number): void {
    const queue = this.#port.queues[index]!;
    if (this.#blocked.has(index) || !this.#port.isRunning) return;
    let sent = 0;
    do {
      queue.setNotification(false);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        if (!this.#send(queue, chain, index >> 1)) {
          queue.unpop(chain);
          this.#blocked.add(index);
          break;
        }
        queue.push(chain, 0);
        if (++sent % BATCH === 0) this.#port.notifyQueue(index);
      }
    } while (!this.#blocked.has(index) && queue.setNotification(true));
    if (sent > 0) this.#port.notifyQueue(index);
  }

  /** False: the back end has no room. A chain that is no frame is dropped. */
  #send(queue: VirtQueue, chain: Chain, pair: number): boolean {
    const headerBytes = this.#headerBytes;
    const length = chain.outBytes - headerBytes;
    if (length < 14 || length > MAX_FRAME_BYTES) {
      this.#port.guestError(`virtio-net: a frame of ${length} bytes`);
      return true;
    }
    const room = this.#backend.reserve(length);
    if (room === undefined) return false;
    readSegments(queue.ram, chain.out, this.#header.subarray(0, headerBytes));
    readSegments(queue.ram, chain.out, room, headerBytes);
    this.#readHeader();
    if (this.#s.pairs > 1) this.#steering[flowHash(room)] = pair;
    this.#backend.commit(this.#meta);
    return true;
  }

  #readHeader(): void {
    const view = this.#headerView;
    const meta = this.#meta;
    meta.flags = view.getUint8(0) & 1;
    meta.gsoType = view.getUint8(1);
    meta.headerBytes = view.getUint16(2, true);
    meta.gsoSize = view.getUint16(4, true);
    meta.checksumStart = view.getUint16(6, true);
    meta.checksumOffset = view.getUint16(8, true);
  }

  // --- reception (5.1.6.4)

  receive(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    if (!this.#port.isRunning || !this.#isWanted(frame)) return true;
    const index = this.#s.pairs > 1 ? 2 * this.#steering[flowHash(frame)]! : 0;
    const queue = this.#port.queues[index < 2 * this.#s.pairs ? index : 0]!;
    if (!queue.s.ready || queue.s.broken) return true;
    const needed = this.#headerBytes + frame.length;
    if (!this.#collect(queue, needed)) return false;
    if (this.#chains.length === 0) return true;
    this.#writeFrame(queue, frame, meta);
    queue.pushAll(this.#chains, this.#written);
    this.#unsignalled.add(queue.index);
    return true;
  }

  received(): void {
    for (const index of this.#unsignalled) this.#port.notifyQueue(index);
    this.#unsignalled.clear();
  }

  /**
   * Takes chains for a frame; none when the frame is larger than what the driver's buffers hold, and lost. False: the driver gives too
   * little now, and will ring when it gives more.
   */
  #collect(queue: VirtQueue, needed: number): boolean {
    const chains = this.#chains;
    const isMergeable = (this.#port.negotiated & F_MRG_RXBUF) !== 0n;
    chains.length = 0;
    for (let room = 0; room < needed; ) {
      const chain = queue.pop();
      if (chain === undefined) {
        // The driver is to ring for the chain after the last it gave: asked for before they are taken back.
        if (!queue.s.broken && queue.setNotification(true)) continue;
        for (let i = chains.length - 1; i >= 0; i--) queue.unpop(chains[i]!);
        return false;
      }
      chains.push(chain);
      room += chain.inBytes;
      if (isMergeable || room >= needed) continue;
      queue.unpop(chain);
      chains.length = 0;
      return true;
    }
    queue.setNotification(false);
    return true;
  }

  #writeFrame(queue: VirtQueue, frame: Uint8Array, meta: Readonly<FrameMeta>): void {
    const chains = this.#chains;
    const written = this.#written;
    const headerBytes = this.#headerBytes;
    this.#writeHeader(meta, chains.length);
    written.length = 0;
    let at = 0;
    for (let i = 0; i < chains.length; i++) {
      const chain = chains[i]!;
      const skip = i === 0 ? headerBytes : 0;
      if (skip > 0) writeSegments(queue.ram, chain.in, this.#header.subarray(0, headerBytes));
      const count = writeSegments(queue.ram, chain.in, at === 0 ? frame : frame.subarray(at), skip);
      at += count;
      written.push(skip + count);
    }
  }

  #writeHeader(meta: Readonly<FrameMeta>, buffers: number): void {
    const view = this.#headerView;
    const mayTell = (this.#s.guestOffloads & F_GUEST_CSUM) !== 0n;
    view.setUint8(0, mayTell ? meta.flags : 0);
    view.setUint8(1, meta.gsoType);
    view.setUint16(2, meta.headerBytes, true);
    view.setUint16(4, meta.gsoSize, true);
    view.setUint16(6, meta.checksumStart, true);
    view.setUint16(8, meta.checksumOffset, true);
    view.setUint16(10, buffers, true);
  }

  /** The receive filter (5.1.6.5.1 to 5.1.6.5.3). */
  #isWanted(frame: Uint8Array): boolean {
    const s = this.#s;
    if (frame.length < 14) return false;
    if ((s.mode & MODE_PROMISCUOUS) !== 0) return true;
    if (frame[12] === 0x81 && frame[13] === 0 && (this.#port.negotiated & F_CTRL_VLAN) !== 0n) {
      const vlan = ((frame[14]! << 8) | frame[15]!) & 0xfff;
      if ((s.vlans[vlan >> 3]! & (1 << (vlan & 7))) === 0) return false;
    }
    if ((frame[0]! & 1) !== 0) return this.#isMulticastWanted(frame);
    if ((s.mode & MODE_NO_UNICAST) !== 0) return false;
    if ((s.mode & MODE_ALL_UNICAST) !== 0 || s.unicastOverflow || isMac(frame, s.mac, 0)) return true;
    return this.#isInTable(frame, 0, s.unicasts);
  }

  #isMulticastWanted(frame: Uint8Array): boolean {
    const s = this.#s;
    let isBroadcast = true;
    for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) isBroadcast = false;
    if (isBroadcast) return (s.mode & MODE_NO_BROADCAST) === 0;
    if ((s.mode & MODE_NO_MULTICAST) !== 0) return false;
    if ((s.mode & MODE_ALL_MULTICAST) !== 0 || s.multicastOverflow) return true;
    return this.#isInTable(frame, s.unicasts, s.multicasts);
  }

  #isInTable(frame: Uint8Array, first: number, count: number): boolean {
    for (let i = first; i < first + count; i++) if (isMac(frame, this.#s.macs, 6 * i)) return true;
    return false;
  }

  // --- control queue (5.1.6.5)

  #serveControl(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const command = new Uint8Array(Math.min(chain.outBytes, MAX_CONTROL_BYTES));
      readSegments(queue.ram, chain.out, command);
      const isGood = chain.inBytes >= 1 && command.length >= 2 && this.#control(command);
      const status = Uint8Array.of(isGood ? ACK_OK : ACK_ERROR);
      queue.push(chain, writeSegments(queue.ram, chain.in, status));
    }
    this.#port.notifyQueue(queue.index);
  }

  #control(command: Uint8Array): boolean {
    const [kind, action] = command;
    const data = command.subarray(2);
    switch (kind) {
      case CLASS_RX:
        return this.#setMode(action!, data);
      case CLASS_MAC:
        return action === 0 ? this.#setMacTable(data) : this.#setMac(data);
      case CLASS_VLAN:
        return this.#setVlan(action!, data);
      case CLASS_ANNOUNCE:
        this.#s.announce = false;
        return action === 0;
      case CLASS_MQ:
        return action === 0 && this.#setPairs(data);
      case CLASS_OFFLOADS:
        return action === 0 && this.#setOffloads(data);
      default:
        return false;
    }
  }

  #setMode(action: number, data: Uint8Array): boolean {
    if (action > 5 || data.length < 1) return false;
    const bit = 1 << action;
    this.#s.mode = data[0] !== 0 ? this.#s.mode | bit : this.#s.mode & ~bit;
    return true;
  }

  #setMac(data: Uint8Array): boolean {
    if (data.length < 6) return false;
    this.#s.mac.set(data.subarray(0, 6));
    return true;
  }

  /** Two lists, each behind its length; what does not fit lets everything of its kind through. */
  #setMacTable(data: Uint8Array): boolean {
    const s = this.#s;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let used = 0;
    let at = 0;
    const take = (): { count: number; overflow: boolean } | undefined => {
      if (at + 4 > data.length) return undefined;
      const count = view.getUint32(at, true);
      at += 4;
      if (count > MAX_CONTROL_BYTES || at + 6 * count > data.length) return undefined;
      const overflow = used + count > MAX_MACS;
      if (!overflow) {
        s.macs.set(data.subarray(at, at + 6 * count), 6 * used);
        used += count;
      }
      at += 6 * count;
      return { count: overflow ? 0 : count, overflow };
    };
    const unicast = take();
    const multicast = take();
    if (unicast === undefined || multicast === undefined) return false;
    s.unicasts = unicast.count;
    s.unicastOverflow = unicast.overflow;
    s.multicasts = multicast.count;
    s.multicastOverflow = multicast.overflow;
    return true;
  }

  #setVlan(action: number, data: Uint8Array): boolean {
    if (data.length < 2 || action > 1) return false;
    const vlan = (data[0]! | (data[1]! << 8)) & 0xfff;
    const bit = 1 << (vlan & 7);
    if (action === 0) this.#s.vlans[vlan >> 3]! |= bit;
    else this.#s.vlans[vlan >> 3]! &= ~bit;
    return true;
  }

  #setPairs(data: Uint8Array): boolean {
    const pairs = data.length < 2 ? 0 : data[0]! | (data[1]! << 8);
    if ((this.#port.negotiated & F_MQ) === 0n || pairs < 1 || pairs > this.#options.queuePairs) return false;
    this.#s.pairs = pairs;
    this.#steering.fill(0);
    return true;
  }

  #setOffloads(data: Uint8Array): boolean {
    if (data.length < 8 || (this.#port.negotiated & F_CTRL_GUEST_OFFLOADS) === 0n) return false;
    const wanted = new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0, true);
    if ((wanted & ~(this.#port.negotiated & GUEST_OFFLOADS)) !== 0n) return false;
    this.#s.guestOffloads = wanted;
    this.#applyOffloads();
    return true;
  }

  /** What a snapshot brings may be of a device with more queues. */
  #settle(): void {
    const s = this.#s;
    s.pairs = Math.max(1, Math.min(s.pairs, this.#options.queuePairs));
    s.unicasts = Math.min(s.unicasts, MAX_MACS);
    s.multicasts = Math.min(s.multicasts, MAX_MACS - s.unicasts);
    this.#applyOffloads();
  }

  /** Large frames go only into buffers that can be merged, or are as large. */
  #applyOffloads(): void {
    const { guestOffloads } = this.#s;
    const has = (bit: bigint, offload: number): number => ((guestOffloads & bit) === 0n ? 0 : offload);
    this.#backend.setOffloads(
      has(F_GUEST_CSUM, OFFLOAD_CHECKSUM) |
        has(F_GUEST_TSO4, OFFLOAD_TCPV4) |
        has(F_GUEST_TSO6, OFFLOAD_TCPV6),
    );
  }
}

const GUEST_OFFLOADS = F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | F_GUEST_UFO;

function isMac(frame: Uint8Array, table: Uint8Array, at: number): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== table[at + i]) return false;
  return true;
}

/** The same for both directions of a TCP or UDP flow over IPv4 or IPv6 without options. */
function flowHash(frame: Uint8Array): number {
  const ports = frame[12] === 0x86 ? 54 : 34;
  if (frame.length < ports + 4) return 0;
  const high = frame[ports]! ^ frame[ports + 2]!;
  return (frame[ports + 1]! ^ frame[ports + 3]! ^ (high << 3) ^ (high >> 2)) & (STEERING_ENTRIES - 1);
}
