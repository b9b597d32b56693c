/** An ATA disk (ATA/ATAPI-6, T13 1410D; DATA SET MANAGEMENT: ATA8-ACS 7.10) over a block back end. */
import { BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { DmaBuffer } from '../../core/dma.ts';
import { below, defineState, type Stateful, stateful, u8, u32 } from '../../core/vmstate.ts';
import * as ata from './ata.ts';
import { defaultGeometry, type Geometry, guessGeometry, translationOf } from './geometry.ts';
import { driveFields, IdeDrive, PIO_BUFFER_BYTES } from './ide-drive.ts';
import { identifyDisk } from './identify.ts';
import { smartCommand } from './smart.ts';

const LBA28_LIMIT = 2 ** 28;
const TRIM_ENTRY_BYTES = 8;
const SET_FEATURES_WRITE_CACHE_ON = 0x02;
const SET_FEATURES_TRANSFER_MODE = 0x03;
const SET_FEATURES_WRITE_CACHE_OFF = 0x82;
const DSM_TRIM = 1;
const POWER_ACTIVE = 0xff;

/** Programmed reads fetch this much at once, however small the data blocks are. */
const FETCH_SECTORS = PIO_BUFFER_BYTES / ata.SECTOR_BYTES;

const schema = defineState('ata-disk', 1, {
  ...driveFields,
  multiple: u8(),
  /** Logical geometry, set by INITIALIZE DEVICE PARAMETERS. */
  heads: u8(16),
  sectors: u8(63),
  /** Sectors in the buffer that the guest has not been offered yet, and where they begin. */
  fetched: below(FETCH_SECTORS + 1),
  fetchedAt: u32(),
  /** Transfer mode as SET FEATURES chose it: words 63 and 88 of IDENTIFY. */
  multiwordDma: u8(),
  ultraDma: u8(0x20),
  writeCache: u8(1),
  smart: u8(1),
});

export interface AtaDiskOptions {
  readonly serial: string;
  readonly model?: string;
  readonly firmware?: string;
  readonly geometry?: Geometry;
  /** How firmware translates it, if not the usual way. */
  readonly translation?: number;
}

const DIR_READ = 0;
const DIR_WRITE = 1;
const DIR_TRIM = 2;

/** READ or WRITE FPDMA QUEUED (ATA8-ACS 7.56, 7.73). */
export interface QueuedCommand {
  readonly lba: number;
  readonly sectors: number;
  readonly isWrite: boolean;
  /** The data is stable before the command ends. */
  readonly isForced: boolean;
}

export class AtaDisk extends IdeDrive {
  override readonly isPacket = false;
  readonly vmstate: Stateful;
  readonly options: AtaDiskOptions;
  /** Physical geometry and its CMOS translation code. */
  geometry: Geometry;
  translation: number;
  readonly backend: BlockBackend;
  readonly #d;

  constructor(backend: BlockBackend, options: AtaDiskOptions) {
    const state = schema.create();
    super(state);
    this.#d = state;
    this.backend = backend;
    this.options = options;
    this.geometry = options.geometry ?? defaultGeometry(this.totalSectors);
    this.translation = options.translation ?? translationOf(this.geometry);
    this.vmstate = stateful(schema, state, { postLoad: () => this.postLoad(state) });
  }

  get totalSectors(): number {
    return Math.floor(this.backend.sizeBytes / ata.SECTOR_BYTES);
  }

  /** Reads the partition table to find the geometry it was made for; `done` is called in any case. */
  guessGeometry(done: () => void): void {
    if (this.options.geometry !== undefined || this.totalSectors === 0) {
      done();
      return;
    }
    const known = this.backend.firstSector;
    if (known !== undefined) {
      this.#takeGeometry(known);
      done();
      return;
    }
    const mbr = new Uint8Array(ata.SECTOR_BYTES);
    this.backend.read(0, [mbr], (error) => {
      if (error === BLOCK_OK) this.#takeGeometry(mbr);
      done();
    });
  }

  #takeGeometry(mbr: Uint8Array): void {
    const guess = guessGeometry(mbr, this.totalSectors);
    this.geometry = guess.geometry;
    this.translation = this.options.translation ?? guess.translation;
    this.#resetGeometry();
  }

  override reset(): void {
    super.reset();
    const d = this.#d;
    d.multiple = 0;
    d.multiwordDma = 0;
    d.ultraDma = 0x20;
    d.writeCache = 1;
    this.#resetGeometry();
  }

  #resetGeometry(): void {
    this.#d.heads = this.geometry.heads;
    this.#d.sectors = this.geometry.sectors;
  }

  protected override execute(command: number): void {
    switch (command) {
      case ata.CMD_READ:
      case ata.CMD_READ | 1:
        this.#start(false, DIR_READ, 1);
        break;
      case ata.CMD_READ_EXT:
        this.#start(true, DIR_READ, 1);
        break;
      case ata.CMD_READ_MULTIPLE:
      case ata.CMD_READ_MULTIPLE_EXT:
        this.#startMultiple(command === ata.CMD_READ_MULTIPLE_EXT, DIR_READ);
        break;
      case ata.CMD_READ_DMA:
      case ata.CMD_READ_DMA | 1:
        this.#start(false, DIR_READ, 0);
        break;
      case ata.CMD_READ_DMA_EXT:
        this.#start(true, DIR_READ, 0);
        break;
      case ata.CMD_WRITE:
      case ata.CMD_WRITE | 1:
        this.#start(false, DIR_WRITE, 1);
        break;
      case ata.CMD_WRITE_EXT:
        this.#start(true, DIR_WRITE, 1);
        break;
      case ata.CMD_WRITE_MULTIPLE:
      case ata.CMD_WRITE_MULTIPLE_EXT:
        this.#startMultiple(command === ata.CMD_WRITE_MULTIPLE_EXT, DIR_WRITE);
        break;
      case ata.CMD_WRITE_DMA:
      case ata.CMD_WRITE_DMA | 1:
        this.#start(false, DIR_WRITE, 0);
        break;
      case ata.CMD_WRITE_DMA_EXT:
      case ata.CMD_WRITE_DMA_FUA_EXT:
        this.#start(true, DIR_WRITE, 0);
        break;
      default:
        this.#executeOther(command);
    }
  }

  #executeOther(command: number): void {
    const { s } = this;
    switch (command) {
      case ata.CMD_IDENTIFY:
        this.#answer(identifyDisk(this, this.#d));
        break;
      case ata.CMD_VERIFY:
      case ata.CMD_VERIFY | 1:
      case ata.CMD_VERIFY_EXT:
        this.#verify(command === ata.CMD_VERIFY_EXT);
        break;
      case ata.CMD_FLUSH:
      case ata.CMD_FLUSH_EXT:
        this.#flush();
        break;
      case ata.CMD_SET_MULTIPLE:
        if (s.count > ata.MAX_MULTIPLE || (s.count & (s.count - 1)) !== 0) this.fail(ata.ERROR_ABRT);
        else {
          this.#d.multiple = s.count;
          this.finish();
        }
        break;
      case ata.CMD_INITIALIZE_PARAMETERS:
        this.#d.heads = (s.device & 0x0f) + 1;
        this.#d.sectors = s.count;
        this.finish();
        break;
      case ata.CMD_READ_NATIVE_MAX:
      case ata.CMD_READ_NATIVE_MAX_EXT:
        this.#nativeMax(command === ata.CMD_READ_NATIVE_MAX_EXT);
        break;
      case ata.CMD_DATA_SET_MANAGEMENT:
        if ((s.feature & DSM_TRIM) === 0) this.fail(ata.ERROR_ABRT);
        else this.#startTrim();
        break;
      case ata.CMD_SET_FEATURES:
        this.#setFeatures();
        break;
      case ata.CMD_SMART:
        this.#smart();
        break;
      case ata.CMD_CHECK_POWER:
        s.count = POWER_ACTIVE;
        this.finish();
        break;
      case ata.CMD_SEEK:
      case ata.CMD_STANDBY_IMMEDIATE:
      case ata.CMD_IDLE_IMMEDIATE:
      case ata.CMD_STANDBY:
      case ata.CMD_IDLE:
      case ata.CMD_SLEEP:
        this.finish();
        break;
      case ata.CMD_IDENTIFY_PACKET:
      case ata.CMD_PACKET:
        this.fail(ata.ERROR_ABRT);
        break;
      default:
        if (command >> 4 === 1)
          this.finish(); // RECALIBRATE
        else this.fail(ata.ERROR_ABRT);
    }
  }

  /** One sector of data for the guest. */
  #answer(bytes: Uint8Array): void {
    this.s.buffer.set(bytes);
    this.s.left = 0;
    this.offerBlock(ata.SECTOR_BYTES);
  }

  #smart(): void {
    const result = smartCommand(this.s, this.#d);
    if (result === 'abort') this.fail(ata.ERROR_ABRT);
    else if (result === 'done') this.finish();
    else this.#answer(result);
  }

  #setFeatures(): void {
    const d = this.#d;
    const { s } = this;
    switch (s.feature) {
      case SET_FEATURES_WRITE_CACHE_ON:
        d.writeCache = 1;
        this.finish();
        break;
      case SET_FEATURES_WRITE_CACHE_OFF:
        d.writeCache = 0;
        this.#flush();
        break;
      case SET_FEATURES_TRANSFER_MODE:
        this.#setTransferMode();
        break;
      case 0xcc: // reverting to power-on defaults
      case 0x66:
      case 0xaa: // read look-ahead
      case 0x55:
      case 0x05: // advanced power management
      case 0x85:
      case 0x42: // automatic acoustic management
      case 0xc2:
      case 0x69:
      case 0x67:
      case 0x96:
      case 0x9a:
        this.finish();
        break;
      default:
        this.fail(ata.ERROR_ABRT);
    }
  }

  /** Bits 7…3 of the count register: 1 PIO, 4 multiword DMA, 8 Ultra DMA. */
  #setTransferMode(): void {
    const d = this.#d;
    const mode = this.s.count & 7;
    switch (this.s.count >> 3) {
      case 0:
      case 1:
        d.multiwordDma = 0;
        d.ultraDma = 0;
        break;
      case 4:
        d.multiwordDma = (1 << mode) & 7;
        d.ultraDma = 0;
        break;
      case 8:
        d.multiwordDma = 0;
        d.ultraDma = (1 << mode) & 0x3f;
        break;
      default:
        this.fail(ata.ERROR_ABRT);
        return;
    }
    this.finish();
  }

  #nativeMax(ext: boolean): void {
    const last = Math.max(0, this.totalSectors - 1);
    this.s.isExt = ext;
    this.#showLba(ext ? last : Math.min(last, LBA28_LIMIT - 1));
    this.finish();
  }

  // --- addressing

  /** Sector number in the registers; −1: a CHS address that does not exist. */
  #address(ext: boolean): number {
    const { s } = this;
    const low = s.lbaLow + s.lbaMid * 2 ** 8 + s.lbaHigh * 2 ** 16;
    if (ext) return low + s.hobLbaLow * 2 ** 24 + s.hobLbaMid * 2 ** 32 + s.hobLbaHigh * 2 ** 40;
    if ((s.device & ata.DEVICE_LBA) !== 0) return low + (s.device & 0x0f) * 2 ** 24;
    const cylinder = s.lbaMid | (s.lbaHigh << 8);
    if (s.lbaLow === 0) return -1;
    return (cylinder * this.#d.heads + (s.device & 0x0f)) * this.#d.sectors + s.lbaLow - 1;
  }

  /** Puts a sector number into the registers. */
  #showLba(lba: number): void {
    const { s } = this;
    if (s.isExt || (s.device & ata.DEVICE_LBA) !== 0) {
      s.lbaLow = lba & 0xff;
      s.lbaMid = (lba >>> 8) & 0xff;
      s.lbaHigh = (lba >>> 16) & 0xff;
      const high = Math.floor(lba / 2 ** 24);
      if (s.isExt) {
        s.hobLbaLow = high & 0xff;
        s.hobLbaMid = (high >>> 8) & 0xff;
        s.hobLbaHigh = (high >>> 16) & 0xff;
      } else s.device = (s.device & 0xf0) | (high & 0x0f);
      return;
    }
    const sectors = this.#d.sectors || 1;
    const track = Math.floor(lba / sectors);
    const cylinder = Math.floor(track / this.#d.heads);
    s.lbaLow = (lba % sectors) + 1;
    s.device = (s.device & 0xf0) | ((track % this.#d.heads) & 0x0f);
    s.lbaMid = cylinder & 0xff;
    s.lbaHigh = (cylinder >> 8) & 0xff;
  }

  /** Takes address and count from the registers; false: the command has failed. */
  #latch(ext: boolean): boolean {
    const { s } = this;
    s.isExt = ext;
    const count = ext ? (s.hobCount << 8) | s.count : s.count;
    s.left = count === 0 ? (ext ? 65536 : 256) : count;
    const lba = this.#address(ext);
    s.lba = Math.max(0, lba);
    if (lba >= 0 && lba + s.left <= this.totalSectors) return true;
    this.fail(ata.ERROR_IDNF);
    return false;
  }

  /** `perBlock` sectors make a data block; 0: by DMA. */
  #start(ext: boolean, direction: number, perBlock: number): void {
    if (direction === DIR_WRITE && this.backend.isReadOnly) {
      this.fail(ata.ERROR_ABRT);
      return;
    }
    if (!this.#latch(ext)) return;
    this.s.perBlock = perBlock;
    this.#d.fetched = 0;
    if (perBlock === 0) this.waitForDma();
    else if (direction === DIR_READ) this.#readBlock();
    else this.wantBlock(this.#blockSectors() * ata.SECTOR_BYTES, false);
  }

  #startMultiple(ext: boolean, direction: number): void {
    if (this.#d.multiple === 0) this.fail(ata.ERROR_ABRT);
    else this.#start(ext, direction, this.#d.multiple);
  }

  #blockSectors(): number {
    return Math.min(this.s.perBlock, this.s.left, ata.MAX_MULTIPLE);
  }

  #advance(sectors: number): void {
    const { s } = this;
    s.lba += sectors;
    s.left -= sectors;
    s.count = s.left & 0xff;
    if (s.isExt) s.hobCount = (s.left >> 8) & 0xff;
    // ATA shows the last sector in error, and where the transfer stands otherwise.
    this.#showLba(s.lba);
  }

  // --- programmed I/O

  #readBlock(): void {
    if (this.#d.fetched > 0) {
      this.#offerFetched();
      return;
    }
    const { s } = this;
    // Whole data blocks, so that none has to be put together.
    const blocks = Math.max(1, Math.floor(FETCH_SECTORS / s.perBlock));
    const sectors = Math.min(s.left, blocks * s.perBlock, FETCH_SECTORS);
    const view = s.buffer.subarray(0, sectors * ata.SECTOR_BYTES);
    const done = this.backendCall((error) => {
      if (error !== BLOCK_OK) this.fail(ata.ERROR_UNC | ata.ERROR_ABRT);
      else {
        this.#d.fetched = sectors;
        this.#d.fetchedAt = 0;
        this.#offerFetched();
      }
    });
    this.backend.read(s.lba * ata.SECTOR_BYTES, [view], done);
  }

  #offerFetched(): void {
    const d = this.#d;
    const sectors = Math.min(this.#blockSectors(), d.fetched);
    const at = Math.min(d.fetchedAt, PIO_BUFFER_BYTES - sectors * ata.SECTOR_BYTES);
    d.fetched -= sectors;
    d.fetchedAt += sectors * ata.SECTOR_BYTES;
    this.#advance(sectors);
    this.offerBlock(sectors * ata.SECTOR_BYTES, at);
  }

  protected override onBlockRead(): void {
    if (this.s.left > 0) this.#readBlock();
    else this.finish(false);
  }

  protected override onBlockWritten(): void {
    const { s } = this;
    const view = s.buffer.subarray(0, s.bufferEnd);
    const sectors = s.bufferEnd / ata.SECTOR_BYTES;
    const done = this.backendCall((error) => {
      if (error !== BLOCK_OK) {
        this.fail(ata.ERROR_ABRT);
        return;
      }
      this.#advance(sectors);
      if (s.left > 0) this.wantBlock(this.#blockSectors() * ata.SECTOR_BYTES, true);
      else this.#written();
    });
    this.backend.write(s.lba * ata.SECTOR_BYTES, [view], done);
  }

  /** With the write cache off, or FUA, data is stable before the command ends. */
  #written(): void {
    const isFua = this.s.command === ata.CMD_WRITE_DMA_FUA_EXT;
    if (this.#d.writeCache === 0 || isFua) this.#flush();
    else this.finish();
  }

  #flush(): void {
    this.backend.flush(
      this.backendCall((error) => {
        if (error !== BLOCK_OK) this.fail(ata.ERROR_ABRT);
        else this.finish();
      }),
    );
  }

  #verify(ext: boolean): void {
    if (!this.#latch(ext)) return;
    this.#advance(this.s.left);
    this.finish();
  }

  // --- DMA

  #startTrim(): void {
    const { s } = this;
    s.isExt = true;
    // Blocks of ranges; QEMU's disk looks at the low byte alone, and its test writes no other.
    s.left = s.count;
    if (s.left === 0) this.finish();
    else this.waitForDma();
  }

  protected override dmaLength(): { readonly sizeBytes: number; readonly toMemory: boolean } {
    return { sizeBytes: this.s.left * ata.SECTOR_BYTES, toMemory: this.#directionOf() === DIR_READ };
  }

  /** From the command, so that a loaded snapshot has it too. */
  #directionOf(): number {
    const { command } = this.s;
    if (command === ata.CMD_DATA_SET_MANAGEMENT) return DIR_TRIM;
    const isRead = (command & 0xfe) === ata.CMD_READ_DMA || command === ata.CMD_READ_DMA_EXT;
    return isRead ? DIR_READ : DIR_WRITE;
  }

  protected override transferDma(buffer: DmaBuffer): void {
    const direction = this.#directionOf();
    const { s, backend } = this;
    if (direction === DIR_TRIM) {
      this.#trim(buffer);
      return;
    }
    const done = this.dmaCall((error) => {
      if (direction === DIR_READ) buffer.commit();
      if (error !== BLOCK_OK) {
        this.host?.dmaDone(false);
        this.fail(ata.ERROR_ABRT | (direction === DIR_READ ? ata.ERROR_UNC : 0));
        return;
      }
      this.#advance(s.left);
      this.host?.dmaDone(false);
      if (direction === DIR_WRITE) this.#written();
      else this.finish();
    });
    const at = s.lba * ata.SECTOR_BYTES;
    if (direction === DIR_READ) backend.read(at, buffer.views, done);
    else backend.write(at, buffer.views, done);
  }

  /** A command of the queue: it neither needs nor changes the registers. `done` gets bits of the error register, 0 for success. */
  queued(command: QueuedCommand, buffer: DmaBuffer, done: (error: number) => void): void {
    const { lba, sectors, isWrite, isForced } = command;
    const { backend } = this;
    if (lba + sectors > this.totalSectors) {
      done(ata.ERROR_IDNF | ata.ERROR_ABRT);
      return;
    }
    if (isWrite && backend.isReadOnly) {
      done(ata.ERROR_ABRT);
      return;
    }
    const at = lba * ata.SECTOR_BYTES;
    const end = (error: number): void => done(error === BLOCK_OK ? 0 : ata.ERROR_UNC | ata.ERROR_ABRT);
    if (!isWrite) {
      backend.read(at, buffer.views, (error) => {
        buffer.commit();
        end(error);
      });
      return;
    }
    backend.write(at, buffer.views, (error) => {
      if (error === BLOCK_OK && (isForced || this.#d.writeCache === 0)) backend.flush(end);
      else end(error);
    });
  }

  /** LBA range entries: 48 bits address, 16 bits count; a count of 0 says nothing (ATA8-ACS 7.10.3). */
  #trim(buffer: DmaBuffer): void {
    const list = new Uint8Array(this.s.left * ata.SECTOR_BYTES);
    buffer.read(list);
    const view = new DataView(list.buffer);
    const ranges: Array<{ lba: number; sectors: number }> = [];
    for (let at = 0; at < list.length; at += TRIM_ENTRY_BYTES) {
      const lba = view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
      const sectors = view.getUint16(at + 6, true);
      if (sectors > 0) ranges.push({ lba, sectors });
    }
    const isInside = ranges.every(({ lba, sectors }) => lba + sectors <= this.totalSectors);
    if (isInside) this.#discard(ranges, 0);
    else {
      this.host?.dmaDone(false);
      this.fail(ata.ERROR_ABRT);
    }
  }

  #discard(ranges: ReadonlyArray<{ lba: number; sectors: number }>, n: number): void {
    const range = ranges[n];
    if (range === undefined) {
      this.host?.dmaDone(false);
      this.finish();
      return;
    }
    const next = this.backendCall(() => this.#discard(ranges, n + 1));
    this.backend.discard(range.lba * ata.SECTOR_BYTES, range.sectors * ata.SECTOR_BYTES, next);
  }

  protected override restart(): void {
    const { s } = this;
    const isFlush = s.command === ata.CMD_FLUSH || s.command === ata.CMD_FLUSH_EXT || s.left === 0;
    if (isFlush || s.command === ata.CMD_SET_FEATURES) this.#flush();
    else if (s.command === ata.CMD_DATA_SET_MANAGEMENT) this.finish();
    else if (s.bufferEnd > 0 && s.bufferAt === s.bufferEnd && isWrite(s.command)) this.onBlockWritten();
    else this.#readBlock();
  }
}

function isWrite(command: number): boolean {
  return (
    (command & 0xfe) === ata.CMD_WRITE ||
    command === ata.CMD_WRITE_EXT ||
    command === ata.CMD_WRITE_MULTIPLE ||
    command === ata.CMD_WRITE_MULTIPLE_EXT
  );
}
