/** An ATAPI CD-ROM drive: packet commands of `scsi/mmc.ts` by programmed I/O or DMA (ATA/ATAPI-6 8.23, 9.8). */
import { BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { DmaBuffer } from '../../core/dma.ts';
import { bool, bytes, defineState, type Stateful, stateful, struct, u8, u32 } from '../../core/vmstate.ts';
import * as mmc from '../scsi/mmc.ts';
import { ASC_READ_ERROR, SENSE_MEDIUM_ERROR } from '../scsi/scsi-codes.ts';
import * as ata from './ata.ts';
import { driveFields, IdeDrive, PIO_BUFFER_BYTES } from './ide-drive.ts';
import { identifyCdrom } from './identify.ts';

const FEATURE_DMA = 1;
const SET_FEATURES_TRANSFER_MODE = 0x03;
const REASON_DONE = ata.REASON_COMMAND | ata.REASON_TO_HOST;

const schema = defineState('atapi-cdrom', 1, {
  ...driveFields,
  mmc: struct(mmc.mmcFields),
  packet: bytes(mmc.PACKET_BYTES),
  isDma: bool(),
  /** The data block in the buffer is the 12-byte packet, IDENTIFY data, or data of a packet command. */
  isPacketPhase: bool(),
  isIdentify: bool(),
  byteLimit: u32(),
  /** Bytes in the buffer that the guest has not been offered yet begin here, and end at `filled`. */
  offered: u32(),
  filled: u32(),
  isRaw: bool(),
  multiwordDma: u8(),
  ultraDma: u8(0x20),
});

export class AtapiCdrom extends IdeDrive {
  override readonly isPacket = true;
  readonly vmstate: Stateful;
  readonly unit: mmc.MmcUnit;
  readonly serial: string;
  readonly #c;

  constructor(backend: BlockBackend, options: { readonly serial: string }) {
    const state = schema.create();
    super(state);
    this.#c = state;
    this.serial = options.serial;
    this.unit = new mmc.MmcUnit(state.mmc, backend);
    backend.onMediumChanged = () => this.unit.mediumChanged();
    this.vmstate = stateful(schema, state, {
      postLoad: () => {
        this.unit.s = state.mmc;
        state.filled = Math.min(state.filled, PIO_BUFFER_BYTES);
        state.offered = Math.min(state.offered, state.filled);
        this.postLoad(state);
      },
    });
  }

  override reset(): void {
    super.reset();
    this.unit.reset();
    this.#c.multiwordDma = 0;
    this.#c.ultraDma = 0x20;
    this.#c.isPacketPhase = false;
  }

  protected override execute(command: number): void {
    const c = this.#c;
    const { s } = this;
    switch (command) {
      case ata.CMD_PACKET:
        c.isDma = (s.feature & FEATURE_DMA) !== 0;
        c.isPacketPhase = true;
        c.isIdentify = false;
        c.byteLimit = s.lbaMid | (s.lbaHigh << 8);
        s.count = ata.REASON_COMMAND;
        this.wantBlock(mmc.PACKET_BYTES, false);
        break;
      case ata.CMD_IDENTIFY_PACKET:
        s.buffer.set(identifyCdrom(this.serial, c.multiwordDma, c.ultraDma));
        c.isIdentify = true;
        this.offerBlock(ata.SECTOR_BYTES);
        break;
      case ata.CMD_IDENTIFY: // refused, and the signature tells why (7.16)
      case ata.CMD_READ:
        this.setSignature();
        this.fail(ata.ERROR_ABRT);
        break;
      case ata.CMD_DEVICE_RESET:
        this.softReset();
        break;
      case ata.CMD_SET_FEATURES:
        this.#setFeatures();
        break;
      case ata.CMD_CHECK_POWER:
        s.count = 0xff;
        this.finish();
        break;
      case ata.CMD_STANDBY_IMMEDIATE:
      case ata.CMD_IDLE_IMMEDIATE:
      case ata.CMD_SLEEP:
        this.finish();
        break;
      default:
        this.fail(ata.ERROR_ABRT);
    }
  }

  #setFeatures(): void {
    const c = this.#c;
    if (this.s.feature !== SET_FEATURES_TRANSFER_MODE) {
      this.fail(ata.ERROR_ABRT);
      return;
    }
    const bit = 1 << (this.s.count & 7);
    const kind = this.s.count >> 3;
    c.multiwordDma = kind === 4 ? bit & 7 : 0;
    c.ultraDma = kind === 8 ? bit & 0x3f : 0;
    this.finish();
  }

  protected override onBlockWritten(): void {
    this.#c.isPacketPhase = false;
    this.#c.packet.set(this.s.buffer.subarray(0, mmc.PACKET_BYTES));
    this.#executePacket();
  }

  #executePacket(): void {
    const c = this.#c;
    const { s } = this;
    const result = this.unit.execute(c.packet);
    switch (result.kind) {
      case 'done':
        this.#complete();
        break;
      case 'error':
        this.#failPacket();
        break;
      case 'data':
        s.left = 0;
        s.buffer.set(result.bytes);
        c.filled = result.bytes.length;
        c.offered = 0;
        c.isRaw = false;
        this.#transfer();
        break;
      case 'read':
        s.lba = result.lba;
        s.left = result.count;
        c.isRaw = result.raw;
        c.filled = 0;
        c.offered = 0;
        this.#transfer();
        break;
    }
  }

  #complete(): void {
    this.s.count = REASON_DONE;
    this.finish();
  }

  #failPacket(): void {
    this.s.count = REASON_DONE;
    this.fail(this.unit.s.senseKey << 4);
  }

  #mediumError(): void {
    this.unit.setSense(SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
    this.#failPacket();
  }

  #transfer(): void {
    const c = this.#c;
    if (c.isDma) {
      this.s.count = ata.REASON_TO_HOST;
      this.waitForDma();
    } else if (c.byteLimit === 0) {
      this.s.count = REASON_DONE;
      this.fail(ata.ERROR_ABRT);
    } else this.#offerNext();
  }

  // --- programmed I/O

  #offerNext(): void {
    const c = this.#c;
    const { s } = this;
    if (c.offered < c.filled) {
      const rest = c.filled - c.offered;
      let limit = Math.min(c.byteLimit, 0xfffe);
      if (rest > limit && limit > 1) limit &= ~1;
      const size = Math.min(rest, limit);
      s.lbaMid = size & 0xff;
      s.lbaHigh = size >> 8;
      s.count = ata.REASON_TO_HOST;
      const start = c.offered;
      c.offered += size;
      this.offerBlock(size, start);
    } else if (s.left > 0) this.#fill();
    else this.#complete();
  }

  /** The next sectors into the buffer. */
  #fill(): void {
    const c = this.#c;
    const { s } = this;
    const sectorBytes = c.isRaw ? mmc.CD_RAW_BYTES : mmc.CD_SECTOR_BYTES;
    const count = Math.min(s.left, Math.floor(PIO_BUFFER_BYTES / sectorBytes));
    const view = s.buffer.subarray(0, count * mmc.CD_SECTOR_BYTES);
    const done = this.backendCall((error) => {
      if (error !== BLOCK_OK) {
        this.#mediumError();
        return;
      }
      if (c.isRaw) s.buffer.set(rawSectors(s.lba, view, count));
      s.lba += count;
      s.left -= count;
      c.offered = 0;
      c.filled = count * sectorBytes;
      this.#offerNext();
    });
    this.unit.backend.read(s.lba * mmc.CD_SECTOR_BYTES, [view], done);
  }

  protected override onBlockRead(): void {
    if (this.#c.isIdentify) {
      this.#c.isIdentify = false;
      this.finish(false);
    } else this.#offerNext();
  }

  // --- DMA

  protected override dmaLength(): { readonly sizeBytes: number; readonly toMemory: boolean } {
    const c = this.#c;
    const sectorBytes = c.isRaw ? mmc.CD_RAW_BYTES : mmc.CD_SECTOR_BYTES;
    return { sizeBytes: c.filled + this.s.left * sectorBytes, toMemory: true };
  }

  protected override transferDma(buffer: DmaBuffer): void {
    const c = this.#c;
    const { s } = this;
    if (s.left === 0) {
      buffer.fill(s.buffer.subarray(0, c.filled));
      buffer.commit();
      this.#dmaComplete();
      return;
    }
    const at = s.lba * mmc.CD_SECTOR_BYTES;
    const raw = c.isRaw ? new Uint8Array(s.left * mmc.CD_SECTOR_BYTES) : undefined;
    const done = this.dmaCall((error) => {
      if (raw !== undefined) buffer.fill(rawSectors(s.lba, raw, s.left));
      buffer.commit();
      if (error === BLOCK_OK) this.#dmaComplete();
      else {
        this.host?.dmaDone(false);
        this.#mediumError();
      }
    });
    this.unit.backend.read(at, raw === undefined ? buffer.views : [raw], done);
  }

  #dmaComplete(): void {
    this.s.left = 0;
    this.host?.dmaDone(false);
    this.#complete();
  }

  protected override restart(): void {
    if (this.s.left > 0) this.#fill();
    else this.#complete();
  }
}

function rawSectors(lba: number, user: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(count * mmc.CD_RAW_BYTES);
  for (let i = 0; i < count; i++) {
    const sector = user.subarray(i * mmc.CD_SECTOR_BYTES, (i + 1) * mmc.CD_SECTOR_BYTES);
    out.set(mmc.rawSector(lba + i, sector), i * mmc.CD_RAW_BYTES);
  }
  return out;
}
