/**
 * virtio block device (virtio 1.2, 5.2) on a `BlockBackend`: reads and writes go straight between the guest's buffers and the back
 * end; requests overlap as the driver and the back end like.
 */
import { BLOCK_EINVAL, BLOCK_ENOTSUP, BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { AccessSize } from '../../core/memory-region.ts';
import { bool, defineState, stateful } from '../../core/vmstate.ts';
import { VIRTIO_ID_BLOCK, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, readSegments, segmentViews, type VirtQueue, writeSegments } from './virtqueue.ts';

// Feature bits, 5.2.3
const F_SEG_MAX = 1n << 2n;
const F_GEOMETRY = 1n << 4n;
const F_RO = 1n << 5n;
const F_BLK_SIZE = 1n << 6n;
const F_FLUSH = 1n << 9n;
const F_TOPOLOGY = 1n << 10n;
const F_CONFIG_WCE = 1n << 11n;
const F_MQ = 1n << 12n;
const F_DISCARD = 1n << 13n;
const F_WRITE_ZEROES = 1n << 14n;

// Request types and results, 5.2.6
const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;
const T_DISCARD = 11;
const T_WRITE_ZEROES = 13;
const S_OK = 0;
const S_IOERR = 1;
const S_UNSUPP = 2;

const HEADER_BYTES = 16;
const SECTOR = 512;
const ID_BYTES = 20;
const CONFIG_BYTES = 60;
const WRITEBACK_AT = 32;
const RANGE_BYTES = 16;
const MAX_RANGES = 1;

export interface VirtioBlkOptions {
  readonly backend: BlockBackend;
  readonly serial: string;
  readonly queues: number;
  readonly queueSize: number;
  /** Size in bytes of a logical block. */
  readonly logicalBlock: number;
  readonly physicalBlock: number;
  readonly configWce: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
  readonly maxDiscardSectors: number;
  readonly maxWriteZeroesSectors: number;
  /** Fewer segments than descriptors, for the request's header and status. */
  readonly segMaxAdjust: boolean;
  readonly geometry:
    | { readonly cylinders: number; readonly heads: number; readonly sectors: number }
    | undefined;
}

const schema = defineState('virtio-blk', 1, { writeback: bool(true) });

export class VirtioBlk implements VirtioBackend {
  readonly id = VIRTIO_ID_BLOCK;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configSize = CONFIG_BYTES;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: VirtioBlkOptions;
  readonly #backend: BlockBackend;
  #port!: VirtioPort;
  /** Counts resets: completions of older requests find another number. */
  #epoch = 0;

  constructor(options: VirtioBlkOptions) {
    const { backend, queues, queueSize } = options;
    this.#options = options;
    this.#backend = backend;
    this.queueSizes = new Array<number>(queues).fill(queueSize);
    this.features =
      F_SEG_MAX |
      F_GEOMETRY |
      F_BLK_SIZE |
      F_FLUSH |
      F_TOPOLOGY |
      (backend.isReadOnly ? F_RO : 0n) |
      (options.configWce ? F_CONFIG_WCE : 0n) |
      (queues > 1 ? F_MQ : 0n) |
      (options.discard && !backend.isReadOnly ? F_DISCARD : 0n) |
      (options.writeZeroes && !backend.isReadOnly ? F_WRITE_ZEROES : 0n);
    this.vmstate = stateful(schema, this.#s);
    backend.onMediumChanged = () => this.#port.notifyConfig();
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  reset(): void {
    this.#epoch++;
    this.#s.writeback = true;
  }

  readConfig(offset: number, size: AccessSize): number {
    const config = this.#config();
    let value = 0;
    for (let i = 0; i < size; i++) value |= config[offset + i]! << (8 * i);
    return value >>> 0;
  }

  /** Only the cache mode can be written (5.2.5). */
  writeConfig(offset: number, _size: AccessSize, value: number): void {
    if (offset === WRITEBACK_AT && this.#options.configWce) this.#s.writeback = (value & 1) !== 0;
  }

  queueNotified(index: number): void {
    const queue = this.#port.queues[index]!;
    do {
      queue.setNotification(false);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) this.#handle(queue, chain);
    } while (queue.setNotification(true));
  }

  #config(): Uint8Array {
    const { logicalBlock, physicalBlock, queues, queueSize, segMaxAdjust, geometry } = this.#options;
    const bytes = new Uint8Array(CONFIG_BYTES);
    const view = new DataView(bytes.buffer);
    const sectors = Math.floor(this.#backend.sizeBytes / SECTOR);
    const { cylinders, heads, sectors: perTrack } = geometry ?? guessGeometry(sectors);
    view.setBigUint64(0, BigInt(sectors), true);
    view.setUint32(12, segMaxAdjust ? Math.max(1, queueSize - 2) : 126, true);
    view.setUint16(16, cylinders, true);
    bytes[18] = heads;
    bytes[19] = perTrack;
    view.setUint32(20, logicalBlock, true);
    bytes[24] = Math.log2(Math.max(1, physicalBlock / logicalBlock));
    bytes[WRITEBACK_AT] = this.#s.writeback ? 1 : 0;
    view.setUint16(34, queues, true);
    view.setUint32(36, this.#options.maxDiscardSectors, true);
    view.setUint32(40, MAX_RANGES, true);
    view.setUint32(44, Math.max(1, logicalBlock / SECTOR), true);
    view.setUint32(48, this.#options.maxWriteZeroesSectors, true);
    view.setUint32(52, MAX_RANGES, true);
    bytes[56] = 1; // unmapping is possible
    return bytes;
  }

  #handle(queue: VirtQueue, chain: Chain): void {
    const header = new Uint8Array(HEADER_BYTES);
    if (readSegments(queue.ram, chain.out, header) < HEADER_BYTES || chain.inBytes < 1) {
      this.#port.guestError('virtio-blk: a request without header or status');
      queue.s.broken = true;
      return;
    }
    const view = new DataView(header.buffer);
    const sector = view.getBigUint64(8, true);
    switch (view.getUint32(0, true)) {
      case T_IN:
        this.#transfer(queue, chain, sector, false);
        break;
      case T_OUT:
        this.#transfer(queue, chain, sector, true);
        break;
      case T_FLUSH:
        this.#start(queue, chain, 0, (done) => this.#backend.flush(done));
        break;
      case T_GET_ID:
        this.#identify(queue, chain);
        break;
      case T_DISCARD:
        this.#range(queue, chain, true);
        break;
      case T_WRITE_ZEROES:
        this.#range(queue, chain, false);
        break;
      default:
        this.#finish(queue, chain, S_UNSUPP, 0);
    }
  }

  #transfer(queue: VirtQueue, chain: Chain, sector: bigint, isWrite: boolean): void {
    const backend = this.#backend;
    const bytes = isWrite ? chain.outBytes - HEADER_BYTES : chain.inBytes - 1;
    const end = sector * 512n + BigInt(bytes);
    const isBad =
      bytes % this.#options.logicalBlock !== 0 || Number(sector * 512n) % this.#options.logicalBlock !== 0;
    if (isBad || end > BigInt(backend.sizeBytes) || (isWrite && backend.isReadOnly)) {
      this.#finish(queue, chain, S_IOERR, 0);
      return;
    }
    const offset = Number(sector) * SECTOR;
    if (isWrite) {
      const views = segmentViews(queue.ram, chain.out, HEADER_BYTES, bytes);
      const writeThrough = !this.#s.writeback;
      this.#start(queue, chain, 0, (done) =>
        backend.write(offset, views, (error) => {
          if (error === BLOCK_OK && writeThrough) backend.flush(done);
          else done(error);
        }),
      );
    } else {
      const views = segmentViews(queue.ram, chain.in, 0, bytes);
      this.#start(queue, chain, bytes, (done) => backend.read(offset, views, done));
    }
  }

  #identify(queue: VirtQueue, chain: Chain): void {
    const id = new Uint8Array(ID_BYTES);
    for (let i = 0; i < Math.min(ID_BYTES, this.#options.serial.length); i++)
      id[i] = this.#options.serial.charCodeAt(i);
    const written = writeSegments(queue.ram, chain.in, id.subarray(0, Math.min(ID_BYTES, chain.inBytes - 1)));
    this.#finish(queue, chain, S_OK, written);
  }

  /** Discard and write zeroes (5.2.6.1): one range of sectors. */
  #range(queue: VirtQueue, chain: Chain, isDiscard: boolean): void {
    const { maxDiscardSectors, maxWriteZeroesSectors } = this.#options;
    const range = new Uint8Array(RANGE_BYTES);
    const bytes = chain.outBytes - HEADER_BYTES;
    if (bytes !== RANGE_BYTES) {
      this.#finish(queue, chain, bytes > RANGE_BYTES ? S_UNSUPP : S_IOERR, 0);
      return;
    }
    readSegments(queue.ram, chain.out, range, HEADER_BYTES);
    const view = new DataView(range.buffer);
    const sector = view.getBigUint64(0, true);
    const count = view.getUint32(8, true);
    const flags = view.getUint32(12, true);
    const isOffered = (this.#port.negotiated & (isDiscard ? F_DISCARD : F_WRITE_ZEROES)) !== 0n;
    if (!isOffered || (flags & ~1) !== 0 || (isDiscard && flags !== 0)) {
      this.#finish(queue, chain, S_UNSUPP, 0);
      return;
    }
    const limit = isDiscard ? maxDiscardSectors : maxWriteZeroesSectors;
    if (count > limit || (sector + BigInt(count)) * 512n > BigInt(this.#backend.sizeBytes)) {
      this.#finish(queue, chain, S_IOERR, 0);
      return;
    }
    const offset = Number(sector) * SECTOR;
    this.#start(queue, chain, 0, (done) => {
      if (isDiscard) this.#backend.discard(offset, count * SECTOR, done);
      else this.#backend.writeZeroes(offset, count * SECTOR, (flags & 1) !== 0, done);
    });
  }

  /** Makes a request of the back end; a reset in between leaves its end without effect on the rings. */
  #start(
    queue: VirtQueue,
    chain: Chain,
    bytesRead: number,
    request: (done: (error: number) => void) => void,
  ): void {
    const epoch = this.#epoch;
    this.#port.hold();
    request((error) => {
      this.#port.release();
      if (epoch !== this.#epoch) return;
      this.#finish(queue, chain, statusOf(error), error === BLOCK_OK ? bytesRead : 0);
    });
  }

  /** The status byte is the last one that the driver lets the device write. */
  #finish(queue: VirtQueue, chain: Chain, status: number, bytesRead: number): void {
    writeSegments(queue.ram, chain.in, Uint8Array.of(status), chain.inBytes - 1);
    if (bytesRead + 1 < chain.inBytes) notifyLast(queue, chain);
    queue.push(chain, bytesRead + 1);
    this.#port.notifyQueue(queue.index);
  }
}

/** The status byte of a request that wrote less than the buffers hold lies beyond what `push` reports as written. */
function notifyLast(queue: VirtQueue, chain: Chain): void {
  const last = chain.in.at(-1)!;
  queue.ram.notifyWrite(last.offset + last.length - 1, 1);
}

function statusOf(error: number): number {
  if (error === BLOCK_OK) return S_OK;
  return error === BLOCK_ENOTSUP || error === BLOCK_EINVAL ? S_UNSUPP : S_IOERR;
}

/** What a BIOS would make of a disk's size: 16 heads, 63 sectors a track. */
export function guessGeometry(sectors: number): { cylinders: number; heads: number; sectors: number } {
  const cylinders = Math.floor(sectors / (16 * 63));
  return { cylinders: Math.max(2, Math.min(16383, cylinders)), heads: 16, sectors: 63 };
}
