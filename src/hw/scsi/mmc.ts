/**
 * A CD-ROM drive's packet commands (MMC-5, T10 1675D; SPC-3 for those that every device has), without a transport: the
 * result says what data there is, the transport moves it.
 */
import type { BlockBackend } from '../../core/block-backend.ts';
import type { RemovableMedium } from '../../core/drive.ts';
import { bool, u8 } from '../../core/vmstate.ts';
import {
  ASC_ILLEGAL_OPCODE,
  ASC_INVALID_FIELD,
  ASC_LBA_OUT_OF_RANGE,
  ASC_MEDIUM_MAY_HAVE_CHANGED,
  ASC_NO_MEDIUM,
  ASC_REMOVAL_PREVENTED,
  ASC_SAVING_NOT_SUPPORTED,
  GET_CONFIGURATION,
  GET_EVENT_STATUS,
  INQUIRY,
  MECHANISM_STATUS,
  MODE_SENSE_10,
  PREVENT_ALLOW_REMOVAL,
  putText,
  READ_10,
  READ_12,
  READ_CAPACITY,
  READ_CD,
  READ_DISC_INFORMATION,
  READ_DVD_STRUCTURE,
  READ_TOC,
  REQUEST_SENSE,
  SEEK_10,
  SENSE_ILLEGAL_REQUEST,
  SENSE_NONE,
  SENSE_NOT_READY,
  SENSE_UNIT_ATTENTION,
  SET_CD_SPEED,
  START_STOP_UNIT,
  SYNCHRONIZE_CACHE,
  TEST_UNIT_READY,
} from './scsi-codes.ts';

export const CD_SECTOR_BYTES = 2048;
/** Sync, header, user data and error correction. */
export const CD_RAW_BYTES = 2352;
export const PACKET_BYTES = 12;

/** Commands that work although the medium was changed or there is none. */
const ALWAYS = new Set([REQUEST_SENSE, INQUIRY, GET_CONFIGURATION, GET_EVENT_STATUS, MODE_SENSE_10]);
const NEEDS_MEDIUM = new Set([
  TEST_UNIT_READY,
  READ_CAPACITY,
  READ_10,
  READ_12,
  READ_CD,
  READ_TOC,
  SEEK_10,
  READ_DISC_INFORMATION,
  READ_DVD_STRUCTURE,
]);

export const mmcFields = {
  senseKey: u8(),
  asc: u8(),
  isLocked: bool(),
  isTrayOpen: bool(),
  /** Pending events: 0 none, 1 eject request, 2 new medium, 3 medium removed. */
  event: u8(),
  isAttentionPending: bool(),
};

export interface MmcState {
  senseKey: number;
  asc: number;
  isLocked: boolean;
  isTrayOpen: boolean;
  event: number;
  isAttentionPending: boolean;
}

export type MmcResult =
  | { readonly kind: 'done' }
  /** `sense` says why. */
  | { readonly kind: 'error' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  /** Sectors from the medium; `raw`: with sync, header and the rest around them. */
  | { readonly kind: 'read'; readonly lba: number; readonly count: number; readonly raw: boolean };

const DONE: MmcResult = { kind: 'done' };
/** The profile a medium has by its size: nothing larger than 80 minutes is a CD. */
const CD_LIMIT = 80 * 60 * 75;
const PROFILE_CD_ROM = 0x08;
const PROFILE_DVD_ROM = 0x10;
const FEATURE_PROFILES = 0;
const FEATURE_CORE = 1;
const FEATURE_REMOVABLE = 3;

const EVENT_EJECT_REQUEST = 1;
const EVENT_NEW_MEDIUM = 2;
const EVENT_REMOVED = 3;

export class MmcUnit implements RemovableMedium {
  s: MmcState;
  readonly backend: BlockBackend;

  constructor(state: MmcState, backend: BlockBackend) {
    this.s = state;
    this.backend = backend;
  }

  readonly hasTray = true;
  onTrayMoved: ((isOpen: boolean) => void) | undefined;

  get isTrayOpen(): boolean {
    return this.s.isTrayOpen;
  }

  get isLocked(): boolean {
    return this.s.isLocked;
  }

  /** The host moves the tray. */
  setTrayOpen(open: boolean): void {
    if (this.s.isTrayOpen === open) return;
    this.s.isTrayOpen = open;
    this.#noteMedium();
  }

  /** The guest hears of it through GET EVENT STATUS NOTIFICATION (MMC-5 6.6). */
  requestEject(): void {
    this.s.event = EVENT_EJECT_REQUEST;
  }

  get hasMedium(): boolean {
    return this.backend.sizeBytes > 0 && !this.s.isTrayOpen;
  }

  get totalSectors(): number {
    return Math.floor(this.backend.sizeBytes / CD_SECTOR_BYTES);
  }

  reset(): void {
    const { s } = this;
    s.isLocked = false;
    s.isTrayOpen = false;
    s.event = 0;
    s.senseKey = SENSE_NONE;
    s.asc = 0;
    s.isAttentionPending = false;
  }

  /** The host changed or removed the medium; behind an open tray the guest does not see it yet. */
  mediumChanged(): void {
    if (!this.s.isTrayOpen) this.#noteMedium();
  }

  #noteMedium(): void {
    const { s } = this;
    s.event = this.hasMedium ? EVENT_NEW_MEDIUM : EVENT_REMOVED;
    s.isAttentionPending = true;
    s.senseKey = SENSE_UNIT_ATTENTION;
    s.asc = ASC_MEDIUM_MAY_HAVE_CHANGED;
  }

  setSense(key: number, asc: number): MmcResult {
    this.s.senseKey = key;
    this.s.asc = asc;
    return { kind: 'error' };
  }

  execute(cdb: Uint8Array): MmcResult {
    const { s } = this;
    const opcode = cdb[0]!;
    if (!ALWAYS.has(opcode)) {
      if (s.isAttentionPending) {
        s.isAttentionPending = false;
        return this.setSense(SENSE_UNIT_ATTENTION, s.asc === 0 ? ASC_MEDIUM_MAY_HAVE_CHANGED : s.asc);
      }
      if (NEEDS_MEDIUM.has(opcode) && !this.hasMedium) return this.setSense(SENSE_NOT_READY, ASC_NO_MEDIUM);
    }
    const result = this.#dispatch(opcode, cdb);
    if (result.kind !== 'error' && opcode !== REQUEST_SENSE && !s.isAttentionPending) {
      s.senseKey = SENSE_NONE;
      s.asc = 0;
    }
    return result;
  }

  #dispatch(opcode: number, cdb: Uint8Array): MmcResult {
    const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.length);
    switch (opcode) {
      case TEST_UNIT_READY:
      case SYNCHRONIZE_CACHE:
      case SET_CD_SPEED:
        return DONE;
      case REQUEST_SENSE:
        return data(this.#requestSense(), cdb[4]!);
      case INQUIRY:
        return this.#inquiry(cdb, cdb[4]!);
      case START_STOP_UNIT:
        return this.#startStop(cdb[4]!);
      case PREVENT_ALLOW_REMOVAL:
        this.s.isLocked = (cdb[4]! & 1) !== 0;
        return DONE;
      case READ_CAPACITY:
        return data(this.#capacity(), 8);
      case READ_10:
        return this.#read(view.getUint32(2), view.getUint16(7), false);
      case READ_12:
        return this.#read(view.getUint32(2), view.getUint32(6), false);
      case READ_CD:
        return this.#readCd(view, cdb);
      case SEEK_10:
        return view.getUint32(2) < this.totalSectors ? DONE : this.#outOfRange();
      case READ_TOC:
        return this.#readToc(cdb, view.getUint16(7));
      case GET_CONFIGURATION:
        return this.#configuration(cdb, view.getUint16(7));
      case GET_EVENT_STATUS:
        return this.#eventStatus(cdb, view.getUint16(7));
      case READ_DISC_INFORMATION:
        return data(discInformation(), view.getUint16(7));
      case MODE_SENSE_10:
        return this.#modeSense(cdb, view.getUint16(7));
      case MECHANISM_STATUS:
        return data(Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 0), view.getUint16(8));
      default:
        return this.setSense(SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_OPCODE);
    }
  }

  #invalidField(): MmcResult {
    return this.setSense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
  }

  #outOfRange(): MmcResult {
    return this.setSense(SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
  }

  #read(lba: number, count: number, raw: boolean): MmcResult {
    if (count === 0) return DONE;
    if (lba + count > this.totalSectors) return this.#outOfRange();
    return { kind: 'read', lba, count, raw };
  }

  /** Main channel selection (MMC-5 6.20): nothing, user data, or everything. */
  #readCd(view: DataView, cdb: Uint8Array): MmcResult {
    const lba = view.getUint32(2);
    const count = view.getUint32(5) & 0xffffff;
    const fields = cdb[9]! & 0xf8;
    if (count === 0 || fields === 0) return DONE;
    if (fields === 0x10) return this.#read(lba, count, false);
    if (fields === 0xf8) return this.#read(lba, count, true);
    return this.#invalidField();
  }

  #requestSense(): Uint8Array {
    const { s } = this;
    const bytes = new Uint8Array(18);
    bytes[0] = 0x70 | 0x80;
    bytes[2] = s.senseKey;
    bytes[7] = 10;
    bytes[12] = s.asc;
    s.senseKey = SENSE_NONE;
    s.asc = 0;
    s.isAttentionPending = false;
    return bytes;
  }

  #inquiry(cdb: Uint8Array, limit: number): MmcResult {
    if ((cdb[1]! & 1) !== 0) return this.#vitalProductData(cdb[2]!, limit);
    if (cdb[2] !== 0) return this.#invalidField();
    const bytes = new Uint8Array(36);
    bytes.set([0x05, 0x80, 0x00, 0x21, 31]); // CD/DVD, removable, ATAPI
    putText(bytes, 8, 8, 'LYREBIRD');
    putText(bytes, 16, 16, 'CD-ROM');
    putText(bytes, 32, 4, '1.0');
    return data(bytes, limit);
  }

  #vitalProductData(page: number, limit: number): MmcResult {
    if (page === 0) return data(Uint8Array.of(5, 0, 0, 1, 0), limit);
    return this.#invalidField();
  }

  #startStop(flags: number): MmcResult {
    const { s } = this;
    const loadEject = (flags & 2) !== 0;
    if (!loadEject) return DONE;
    const start = (flags & 1) !== 0;
    if (!start && s.isLocked) {
      return this.setSense(this.hasMedium ? SENSE_ILLEGAL_REQUEST : SENSE_NOT_READY, ASC_REMOVAL_PREVENTED);
    }
    if (s.isTrayOpen === start) {
      s.isTrayOpen = !start;
      this.onTrayMoved?.(!start);
    }
    return DONE;
  }

  #capacity(): Uint8Array {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, this.totalSectors - 1);
    view.setUint32(4, CD_SECTOR_BYTES);
    return new Uint8Array(view.buffer);
  }

  #readToc(cdb: Uint8Array, limit: number): MmcResult {
    const msf = (cdb[1]! & 2) !== 0;
    const format = cdb[2]! & 15 || cdb[9]! >> 6;
    const start = cdb[6]!;
    const last = this.totalSectors;
    if (format === 0) {
      if (start > 1 && start !== 0xaa) return this.#invalidField();
      const tracks = [...(start <= 1 ? [track(1, 0, msf)] : []), track(0xaa, last, msf)];
      return data(tableOfContents(tracks.flat()), limit);
    }
    if (format === 1) return data(tableOfContents(track(1, 0, msf)), limit);
    if (format === 2) return data(tableOfContents(rawToc(last)), limit);
    return this.#invalidField();
  }

  #configuration(cdb: Uint8Array, limit: number): MmcResult {
    const first = (cdb[2]! << 8) | cdb[3]!;
    const only = (cdb[1]! & 3) === 2;
    const isDvd = this.totalSectors > CD_LIMIT;
    const current = this.hasMedium ? (isDvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM) : 0;
    const profile = (number: number): number[] => [0, number, current === number ? 1 : 0, 0];
    const features: ReadonlyArray<readonly [number, readonly number[]]> = [
      [FEATURE_PROFILES, [0, 0, 3, 8, ...profile(PROFILE_DVD_ROM), ...profile(PROFILE_CD_ROM)]],
      [FEATURE_CORE, [0, 1, 0x0b, 8, 0, 0, 0, 2, 1, 0, 0, 0]],
      [FEATURE_REMOVABLE, [0, 3, 3, 4, 0x29, 0, 0, 0]],
    ];
    const chosen = features.filter(([code]) => (only ? code === first : code >= first));
    const body = chosen.flatMap(([, bytes]) => bytes);
    const bytes = Uint8Array.from([0, 0, 0, body.length + 4, 0, 0, 0, current, ...body]);
    return data(bytes, limit);
  }

  /** Only polled media events (MMC-5 6.6). */
  #eventStatus(cdb: Uint8Array, limit: number): MmcResult {
    const { s } = this;
    if ((cdb[1]! & 1) === 0) return this.#invalidField();
    if ((cdb[4]! & 0x10) === 0) return data(Uint8Array.of(0, 2, 0x80, 0x10), limit);
    const status = (s.isTrayOpen ? 1 : 0) | (this.hasMedium ? 2 : 0);
    const bytes = Uint8Array.of(0, 6, 0x04, 0x10, s.event, status, 0, 0);
    s.event = 0;
    return data(bytes, limit);
  }

  #modeSense(cdb: Uint8Array, limit: number): MmcResult {
    if (cdb[2]! >> 6 === 3) return this.setSense(SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
    const page = cdb[2]! & 0x3f;
    const pages: Readonly<Record<number, readonly number[]>> = {
      1: [0x01, 6, 0, 5, 0, 0, 0, 0],
      0x0e: [0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0],
      0x2a: this.#capabilities(),
    };
    const chosen = page === 0x3f ? Object.values(pages).flat() : pages[page];
    if (chosen === undefined) return this.#invalidField();
    const length = 6 + chosen.length;
    const mediumType = this.hasMedium ? 0x01 : 0x70;
    return data(Uint8Array.from([0, length, mediumType, 0, 0, 0, 0, 0, ...chosen]), limit);
  }

  #capabilities(): number[] {
    const lock = this.s.isLocked ? 2 : 0;
    const speed = [0x02, 0xc2]; // 706 kB/s: 4x
    return [0x2a, 18, 0x3b, 0, 0x70, 0x00, 0x29 | lock, 0, ...speed, 0, 2, 2, 0, ...speed, 0, 0, 0, 0];
  }
}

/** A sector with all that surrounds the user data of mode 1, error correction left zero (ECMA-130 14). */
export function rawSector(lba: number, user: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CD_RAW_BYTES);
  bytes.fill(0xff, 1, 11);
  bytes.set(toMsf(lba).map(bcd), 12);
  bytes[15] = 1;
  bytes.set(user, 16);
  return bytes;
}

function data(bytes: Uint8Array, limit: number): MmcResult {
  return limit === 0 ? DONE : { kind: 'data', bytes: bytes.subarray(0, Math.min(bytes.length, limit)) };
}

const bcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);

/** Minute, second, frame of a sector. */
function toMsf(lba: number): [number, number, number] {
  const frames = lba + 150;
  return [Math.floor(frames / 4500) & 0xff, Math.floor(frames / 75) % 60, frames % 75];
}

function addressBytes(lba: number, msf: boolean): number[] {
  if (msf) return [0, ...toMsf(lba)];
  return [lba >>> 24, (lba >>> 16) & 0xff, (lba >>> 8) & 0xff, lba & 0xff];
}

/** A data track's descriptor (MMC-5 6.25.2). */
function track(number: number, lba: number, msf: boolean): number[] {
  return [0, 0x14, number, 0, ...addressBytes(lba, msf)];
}

function tableOfContents(body: readonly number[]): Uint8Array {
  const length = body.length + 2;
  return Uint8Array.from([length >> 8, length & 0xff, 1, 1, ...body]);
}

/** Format 2: points a0, a1, a2 and track 1. */
function rawToc(last: number): number[] {
  const point = (number: number, address: readonly number[]): number[] => [
    1,
    0x14,
    0,
    number,
    0,
    0,
    0,
    ...address,
  ];
  return [
    ...point(0xa0, [0, 1, 0, 0]),
    ...point(0xa1, [0, 1, 0, 0]),
    ...point(0xa2, addressBytes(last, true)),
    ...point(1, addressBytes(0, true)),
  ];
}

function discInformation(): Uint8Array {
  const bytes = new Uint8Array(34);
  bytes[1] = 32;
  bytes[2] = 0x0e; // complete, last session complete
  bytes[3] = 1;
  bytes[4] = 1;
  bytes[5] = 1;
  bytes[6] = 1;
  bytes[7] = 0x20;
  return bytes;
}
