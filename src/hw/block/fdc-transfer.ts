/**
 * The execution phase of a floppy controller's commands: sectors between the disk and the DMA channel, or the data register when
 * there is no DMA (82077AA, Intel 290166, 5.1 and 6.1).
 */
import { BLOCK_OK } from '../../core/block-backend.ts';
import type { DmaChannel } from '../dma/i8237.ts';
import * as f from './fdc-state.ts';
import { FLOPPY_SECTOR_BYTES } from './floppy-geometry.ts';

export const READ_TRACK = 0x02;
export const WRITE_DATA = 0x05;
export const READ_DATA = 0x06;
export const WRITE_DELETED = 0x09;
export const READ_DELETED = 0x0c;
export const FORMAT_TRACK = 0x0d;
export const SCAN_EQUAL = 0x11;
export const VERIFY = 0x16;
export const SCAN_LOW = 0x19;
export const SCAN_HIGH = 0x1d;

const MULTI_TRACK = 0x80;
/** Sectors of a transfer without DMA that are read ahead at once. */
const MAX_AHEAD = 64;

/** What a transfer needs of the controller around it. */
export interface TransferPorts {
  drive(unit: number): f.FloppyDrive | undefined;
  setIrq(level: boolean): void;
  /** Moves a drive's head. */
  step(unit: number, track: number): void;
  /** Result phase with these bytes. */
  answer(...result: readonly number[]): void;
}

export class FloppyTransfer {
  readonly #s: f.FdcState;
  readonly #dma: DmaChannel;
  readonly #ports: TransferPorts;
  /** A reset makes what the back end still does meaningless. */
  #generation = 0;
  /** Sectors that follow the present one, read ahead for the data register. */
  #ahead: Uint8Array[] = [];

  constructor(state: f.FdcState, dma: DmaChannel, ports: TransferPorts) {
    this.#s = state;
    this.#dma = dma;
    this.#ports = ports;
  }

  /** What is under way is forgotten. */
  cancel(): void {
    this.#generation++;
    this.#ahead = [];
    this.#s.isWaiting = false;
  }

  get isWrite(): boolean {
    const command = this.#s.fifo[0]! & 0x1f;
    return command === WRITE_DATA || command === WRITE_DELETED || command === FORMAT_TRACK;
  }

  /** The processor moves the bytes: by SPECIFY's ND bit, or because the output register gates DMA off. */
  get isProgrammed(): boolean {
    return this.#s.nonDma || (this.#s.dor & f.DOR_DMA) === 0;
  }

  get #unit(): number {
    return this.#s.fifo[1]! & 3;
  }

  get #format(): f.FdcState['formats'][number] {
    return this.#s.formats[this.#unit] ?? { tracks: 0, heads: 0, sectors: 0 };
  }

  /** Begins READ, WRITE, SCAN and VERIFY. */
  start(): void {
    const s = this.#s;
    s.phase = f.PHASE_EXECUTION;
    s.cylinder = s.fifo[2]!;
    s.head = s.fifo[3]! & 1;
    s.sector = s.fifo[4]!;
    s.eot = s.fifo[6]!;
    s.dataAt = 0;
    if ((s.config & f.CONFIG_IMPLIED_SEEK) !== 0) this.#ports.step(this.#unit, s.cylinder);
    const drive = this.#ports.drive(this.#unit);
    if (!f.hasDisk(drive)) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_MISSING_ADDRESS, 0);
      return;
    }
    const { tracks, heads, sectors } = this.#format;
    const track = s.tracks[this.#unit]!;
    if (s.cylinder >= tracks || s.cylinder !== track) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, s.cylinder === track ? 0 : f.ST2_WRONG_CYLINDER);
    } else if (s.head >= heads || s.sector < 1 || s.sector > sectors) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, 0);
    } else if (this.isWrite && drive.backend.isReadOnly) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_NOT_WRITABLE, 0);
    } else this.#first();
  }

  #first(): void {
    const s = this.#s;
    const command = s.fifo[0]! & 0x1f;
    const both = this.#isMultiTrack ? s.eot : 0;
    s.sectorsLeft = Math.max(1, s.eot - s.sector + 1 + both);
    if (!this.isProgrammed) this.#dma.setRequest(true);
    if (this.isWrite) this.#want();
    else if (command === VERIFY) this.#finish(0, 0, 0);
    else if (command === SCAN_EQUAL || command === SCAN_LOW || command === SCAN_HIGH) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, 0x04);
    } else this.#read();
  }

  /** A snapshot was loaded in the middle of a transfer. */
  restart(): void {
    const command = this.#s.fifo[0]! & 0x1f;
    if (command === WRITE_DATA || command === WRITE_DELETED) this.#write();
    else if (command === READ_DATA || command === READ_DELETED || command === READ_TRACK) this.#read();
    else this.#finish(0, 0, 0);
  }

  /** Byte offset of a sector. */
  #offset(cylinder: number, head: number, sector: number): number {
    const { heads, sectors } = this.#format;
    return ((cylinder * heads + head) * sectors + sector - 1) * FLOPPY_SECTOR_BYTES;
  }

  #backendCall(done: (error: number) => void): (error: number) => void {
    const generation = this.#generation;
    this.#s.isWaiting = true;
    return (error) => {
      if (generation !== this.#generation) return;
      this.#s.isWaiting = false;
      done(error);
    };
  }

  #read(): void {
    const s = this.#s;
    const drive = this.#ports.drive(this.#unit);
    if (drive === undefined) return;
    const next = this.#ahead.shift();
    if (next !== undefined) {
      s.data.set(next);
      s.dataAt = 0;
      return;
    }
    const views = this.isProgrammed ? this.#contiguous() : [s.data];
    const done = this.#backendCall((error) => {
      if (error !== BLOCK_OK) this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, 0x20);
      else if (this.isProgrammed) {
        this.#ahead = views.slice(1);
        s.dataAt = 0;
        this.#ports.setIrq(true);
      } else this.#give();
    });
    drive.backend.read(this.#offset(s.cylinder, s.head, s.sector), views, done);
  }

  /** Room for the present sector and those after it that lie behind it on the disk, so that the data register never waits. */
  #contiguous(): Uint8Array[] {
    const s = this.#s;
    const place = { cylinder: s.cylinder, head: s.head, sector: s.sector };
    const views = [s.data];
    for (let at = this.#offset(s.cylinder, s.head, s.sector); ; ) {
      if (views.length >= Math.min(s.sectorsLeft, MAX_AHEAD)) return views;
      if (!this.#advance(place) && !this.#isMultiTrack) return views;
      const next = this.#offset(place.cylinder, place.head, place.sector);
      if (next !== at + FLOPPY_SECTOR_BYTES || place.cylinder >= this.#format.tracks) return views;
      at = next;
      views.push(new Uint8Array(FLOPPY_SECTOR_BYTES));
    }
  }

  /** A sector to memory by DMA; the next one follows until the terminal count or the last sector. */
  #give(): void {
    if (!this.#dma.isEnabled) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_OVERRUN, 0);
      return;
    }
    const count = this.#dma.toMemory(this.#s.data);
    this.#end(this.#dma.isTerminal || count < this.#s.data.length);
  }

  /** Takes a sector from memory, or waits for its bytes. */
  #want(): void {
    const s = this.#s;
    if (this.isProgrammed) {
      s.dataAt = 0;
      this.#ports.setIrq(true);
      return;
    }
    if (!this.#dma.isEnabled) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_OVERRUN, 0);
      return;
    }
    s.data.fill(0);
    this.#dma.fromMemory(s.data);
    this.#write();
  }

  #write(): void {
    const s = this.#s;
    const drive = this.#ports.drive(this.#unit);
    if (drive === undefined) return;
    const done = this.#backendCall((error) => {
      if (error !== BLOCK_OK) this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, 0x20);
      else this.#end(!this.isProgrammed && this.#dma.isTerminal);
    });
    drive.backend.write(this.#offset(s.cylinder, s.head, s.sector), [s.data], done);
  }

  get #isMultiTrack(): boolean {
    return (this.#s.fifo[0]! & MULTI_TRACK) !== 0;
  }

  /** To the next sector; with MT set the other head follows the first. False: the track's end was left. */
  #advance(place: { cylinder: number; head: number; sector: number }): boolean {
    const { sectors, heads } = this.#format;
    const isMultiTrack = this.#isMultiTrack;
    if (place.sector < Math.min(this.#s.eot, sectors)) {
      place.sector++;
      return true;
    }
    place.sector = 1;
    if (isMultiTrack && place.head === 0 && heads > 1) {
      place.head = 1;
      return true;
    }
    if (isMultiTrack) place.head = 0;
    place.cylinder = (place.cylinder + 1) & 0xff;
    return false;
  }

  #end(isTerminal: boolean): void {
    if (this.isProgrammed) this.#endProgrammed();
    else this.#endDma(isTerminal);
  }

  #endDma(isTerminal: boolean): void {
    const s = this.#s;
    const isOnTrack = this.#advance(s);
    if (isTerminal) this.#finish(0, 0, 0);
    else if (!isOnTrack) this.#finish(f.ST0_ABNORMAL, f.ST1_END_OF_CYLINDER, 0);
    else if (this.isWrite) this.#want();
    else this.#read();
  }

  /** No terminal count comes: the transfer ends after as many sectors as EOT and MT say, on the next cylinder if it must. */
  #endProgrammed(): void {
    const s = this.#s;
    const { head } = s;
    s.sectorsLeft = Math.max(0, s.sectorsLeft - 1);
    const isOnTrack = this.#advance(s);
    if (s.sectorsLeft === 0) {
      this.#finish(s.cylinder === s.fifo[2] || !isOnTrack ? 0 : f.ST0_SEEK_END, 0, 0, head);
    } else if (!isOnTrack && !this.#isMultiTrack) {
      this.#finish(0, 0, 0, head);
    } else if (s.cylinder >= this.#format.tracks) {
      this.#finish(f.ST0_ABNORMAL, f.ST1_NO_DATA, 0, head);
    } else if (this.isWrite) this.#want();
    else this.#read();
  }

  /** `head`: the one that the interrupt finds selected, if not that of the next sector. */
  #finish(status0: number, status1: number, status2: number, head = this.#s.head): void {
    const s = this.#s;
    this.#ahead = [];
    this.#dma.setRequest(false);
    s.status0 = 0;
    const st0 = status0 | this.#unit | (head << 2);
    this.#ports.answer(st0, status1, status2, s.cylinder, s.head, s.sector, 2);
    this.#ports.setIrq(true);
  }

  // --- data register

  readByte(): number {
    const s = this.#s;
    if (s.isWaiting) return 0;
    this.#ports.setIrq(false);
    const value = s.data[s.dataAt] ?? 0;
    s.dataAt++;
    if (s.dataAt >= s.data.length) this.#end(false);
    return value;
  }

  writeByte(value: number): void {
    const s = this.#s;
    if (s.isWaiting) return;
    this.#ports.setIrq(false);
    s.data[s.dataAt] = value;
    s.dataAt++;
    if (s.dataAt >= s.data.length) this.#write();
  }

  // --- other commands with a result phase

  /** READ ID: the first address mark that passes; an empty drive answers as if there were one. */
  readId(): void {
    const s = this.#s;
    s.head = (s.fifo[1]! >> 2) & 1;
    s.cylinder = s.tracks[this.#unit] ?? 0;
    s.sector = 1;
    if (this.#ports.drive(this.#unit) === undefined) this.#finish(f.ST0_ABNORMAL, f.ST1_MISSING_ADDRESS, 0);
    else this.#finish(0, 0, 0);
  }

  /** FORMAT TRACK: the sectors of the track are filled; their numbering stays as it is. */
  format(): void {
    const s = this.#s;
    const drive = this.#ports.drive(this.#unit);
    s.phase = f.PHASE_EXECUTION;
    s.head = (s.fifo[1]! >> 2) & 1;
    s.cylinder = s.tracks[this.#unit] ?? 0;
    s.sector = 1;
    const { heads, sectors } = this.#format;
    if (!f.hasDisk(drive) || drive.backend.isReadOnly || s.head >= heads) {
      this.#finish(f.ST0_ABNORMAL, f.hasDisk(drive) ? f.ST1_NOT_WRITABLE : f.ST1_MISSING_ADDRESS, 0);
      return;
    }
    // The sector ids come by DMA; what they say is what the format of the disk says.
    this.#dma.fromMemory(new Uint8Array(4 * s.fifo[3]!));
    const track = new Uint8Array(sectors * FLOPPY_SECTOR_BYTES).fill(s.fifo[5]!);
    const done = this.#backendCall((error) => {
      this.#finish(error === BLOCK_OK ? 0 : f.ST0_ABNORMAL, 0, 0);
    });
    drive.backend.write(this.#offset(s.cylinder, s.head, 1), [track], done);
  }
}
