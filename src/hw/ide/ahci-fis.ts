/** Frame information structures and the command list in memory (Serial ATA 3.0, 10.3; AHCI 1.3.1, chapter 4). */
import type { AddressSpace } from '../../core/address-space.ts';
import { DmaBuffer, type DmaSegment } from '../../core/dma.ts';
import type { DriveState } from './ide-drive.ts';

export const FIS_H2D = 0x27;
const FIS_D2H = 0x34;
const FIS_PIO_SETUP = 0x5f;
const FIS_SET_DEVICE_BITS = 0xa1;

/** Where the HBA puts received FISes (4.2.1). */
export const RX_PIO_SETUP = 0x20;
export const RX_D2H = 0x40;
export const RX_SET_DEVICE_BITS = 0x58;

const INTERRUPT = 0x40;
const TO_HOST = 0x20;

const HEADER_BYTES = 32;
const TABLE_FIS_BYTES = 64;
const TABLE_PACKET = 0x40;
const TABLE_PRDT = 0x80;
const PRD_BYTES = 16;
const PRD_COUNT_MASK = 0x3f_ffff;

/** A command header (4.2.2). */
export interface CommandHeader {
  readonly isAtapi: boolean;
  readonly isWrite: boolean;
  /** The command is one of a software reset sequence, cleared at once. */
  readonly clearsBusy: boolean;
  readonly prdCount: number;
  /** Guest-physical. */
  readonly table: number;
}

/** Reads guest memory as a device does: RAM only. */
export function dmaRead(memory: AddressSpace, addr: number, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  new DmaBuffer(memory, [{ addr, sizeBytes }], false).read(bytes);
  return bytes;
}

export function dmaWrite(memory: AddressSpace, addr: number, bytes: Uint8Array): void {
  const buffer = new DmaBuffer(memory, [{ addr, sizeBytes: bytes.length }], true);
  buffer.fill(bytes);
  buffer.commit();
}

export function readHeader(memory: AddressSpace, list: number, slot: number): CommandHeader {
  const view = new DataView(dmaRead(memory, list + slot * HEADER_BYTES, HEADER_BYTES).buffer);
  const word = view.getUint32(0, true);
  return {
    isAtapi: (word & 0x20) !== 0,
    isWrite: (word & 0x40) !== 0,
    clearsBusy: (word & 0x400) !== 0,
    prdCount: word >>> 16,
    table: view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
  };
}

/** PRDBC: how many bytes have moved. */
export function writeByteCount(memory: AddressSpace, list: number, slot: number, count: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, count, true);
  dmaWrite(memory, list + slot * HEADER_BYTES + 4, bytes);
}

export function readCommandFis(memory: AddressSpace, header: CommandHeader): Uint8Array {
  return dmaRead(memory, header.table, TABLE_FIS_BYTES);
}

export function readPacket(memory: AddressSpace, header: CommandHeader, sizeBytes: number): Uint8Array {
  return dmaRead(memory, header.table + TABLE_PACKET, sizeBytes);
}

/** The data of a command as its table of physical regions describes it, taken in order. */
export class PrdCursor {
  readonly #memory: AddressSpace;
  readonly #header: CommandHeader;
  #index = 0;
  /** Bytes of the present entry that are taken. */
  #taken = 0;

  constructor(memory: AddressSpace, header: CommandHeader) {
    this.#memory = memory;
    this.#header = header;
  }

  /** The next `sizeBytes`; undefined if the table has fewer. */
  take(sizeBytes: number): readonly DmaSegment[] | undefined {
    const segments: DmaSegment[] = [];
    let left = sizeBytes;
    while (left > 0 && this.#index < this.#header.prdCount) {
      const at = this.#header.table + TABLE_PRDT + this.#index * PRD_BYTES;
      const view = new DataView(dmaRead(this.#memory, at, PRD_BYTES).buffer);
      const base = ((view.getUint32(0, true) & ~1) >>> 0) + view.getUint32(4, true) * 2 ** 32;
      const size = (view.getUint32(12, true) & PRD_COUNT_MASK) + 1;
      const used = Math.min(size - this.#taken, left);
      segments.push({ addr: base + this.#taken, sizeBytes: used });
      left -= used;
      this.#taken += used;
      if (this.#taken < size) break;
      this.#taken = 0;
      this.#index++;
    }
    return left > 0 ? undefined : segments;
  }
}

function taskFile(type: number, flags: number, s: DriveState, status: number): Uint8Array {
  const fis = new Uint8Array(20);
  fis.set([type, flags, status, s.error, s.lbaLow, s.lbaMid, s.lbaHigh, s.device]);
  fis.set([s.hobLbaLow, s.hobLbaMid, s.hobLbaHigh, 0, s.count, s.hobCount], 8);
  return fis;
}

/** Register FIS, device to host (10.3.6). */
export function d2hFis(s: DriveState): Uint8Array {
  return taskFile(FIS_D2H, INTERRUPT, s, s.status);
}

/** PIO Setup FIS (10.3.11); `before` and `after` are the status before and after the data. */
export function pioSetupFis(
  s: DriveState,
  toHost: boolean,
  before: number,
  after: number,
  count: number,
): Uint8Array {
  const fis = taskFile(FIS_PIO_SETUP, INTERRUPT | (toHost ? TO_HOST : 0), s, before);
  fis[15] = after;
  fis[16] = count & 0xff;
  fis[17] = (count >> 8) & 0xff;
  return fis;
}

/** Set Device Bits FIS (10.3.7): `done` has a bit for each queued command that has ended. */
export function setDeviceBitsFis(status: number, error: number, done: number): Uint8Array {
  const fis = new Uint8Array(8);
  fis.set([FIS_SET_DEVICE_BITS, INTERRUPT, status & 0x77, error]);
  new DataView(fis.buffer).setUint32(4, done, true);
  return fis;
}
