/** Mode pages of a disk (SPC-4 6.11 and 7.5, SBC-3 6.4): what MODE SENSE shows and MODE SELECT may change. */
import * as codes from './scsi-codes.ts';
import { failed, received, reply, type ScsiData, type ScsiResult } from './scsi-unit.ts';

export interface DiskMode {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly isReadOnly: boolean;
  readonly writeCache: boolean;
  readonly rotationRate: number;
}

const PAGE_ERROR_RECOVERY = 0x01;
const PAGE_GEOMETRY = 0x04;
const PAGE_CACHING = 0x08;
const PAGE_CONTROL = 0x0a;
const ALL_PAGES = 0x3f;
const CACHE_WCE = 0x04;

// Byte 2, bits 6 and 7 of MODE SENSE
const CHANGEABLE = 1;
const SAVED = 3;

type PageBytes = readonly number[];

function pages(mode: DiskMode, isChangeable: boolean): Readonly<Record<number, PageBytes>> {
  const cylinders = Math.min(0xffffff, Math.ceil(mode.blocks / (16 * 63)));
  const caching = isChangeable || mode.writeCache ? CACHE_WCE : 0;
  const show = (bytes: PageBytes): PageBytes => (isChangeable ? bytes.map(() => 0) : bytes);
  const rate = mode.rotationRate > 1 ? mode.rotationRate : 5400;
  return {
    [PAGE_ERROR_RECOVERY]: show([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    [PAGE_GEOMETRY]: show([
      ...[cylinders >> 16, (cylinders >> 8) & 0xff, cylinders & 0xff, 16],
      ...[0, 0, 0, 0, 0, 0, 0, 0xc8, 0, 0, 0, 0, 0, 0],
      ...[rate >> 8, rate & 0xff, 0, 0],
    ]),
    [PAGE_CACHING]: [caching, ...new Array<number>(17).fill(0)],
    [PAGE_CONTROL]: show([0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0]), // reordering as the device likes
  };
}

export function modeSense(cdb: Uint8Array, data: ScsiData, mode: DiskMode): ScsiResult {
  const isLong = cdb[0] === codes.MODE_SENSE_10;
  const control = cdb[2]! >> 6;
  const wanted = cdb[2]! & 0x3f;
  if (control === SAVED)
    return failed(codes.sense(codes.SENSE_ILLEGAL_REQUEST, codes.ASC_SAVING_NOT_SUPPORTED));
  const all = pages(mode, control === CHANGEABLE);
  const numbers = wanted === ALL_PAGES ? Object.keys(all).map(Number) : [wanted];
  if (numbers.some((n) => all[n] === undefined) || (cdb[3] !== 0 && cdb[3] !== 0xff))
    return failed(codes.INVALID_FIELD);
  const body = numbers.flatMap((n) => [n, all[n]!.length, ...all[n]!]);
  const descriptor = (cdb[1]! & 8) !== 0 ? [] : blockDescriptor(mode);
  const protection = (mode.isReadOnly ? 0x80 : 0) | 0x10; // DPO and FUA work
  const length = descriptor.length + body.length;
  const header = isLong
    ? [(length + 6) >> 8, (length + 6) & 0xff, 0, protection, 0, 0, 0, descriptor.length]
    : [length + 3, 0, protection, descriptor.length];
  const limit = isLong ? (cdb[7]! << 8) | cdb[8]! : cdb[4]!;
  return reply(data, Uint8Array.from([...header, ...descriptor, ...body]), limit);
}

function blockDescriptor({ blocks, blockBytes }: DiskMode): PageBytes {
  const count = Math.min(blocks, 0xffffff);
  return [
    0,
    count >> 16,
    (count >> 8) & 0xff,
    count & 0xff,
    0,
    blockBytes >> 16,
    (blockBytes >> 8) & 0xff,
    blockBytes & 0xff,
  ];
}

export interface ModeChange {
  readonly sense?: codes.Sense;
  readonly bytes: number;
  readonly writeCache?: boolean;
}

/** What a MODE SELECT asks for: only the write cache may differ from what MODE SENSE shows. */
export function changeModePages(cdb: Uint8Array, data: ScsiData, mode: DiskMode): ModeChange {
  const isLong = cdb[0] === codes.MODE_SELECT_10;
  const length = isLong ? (cdb[7]! << 8) | cdb[8]! : cdb[4]!;
  const refuse = (asc: number): ModeChange => ({
    sense: codes.sense(codes.SENSE_ILLEGAL_REQUEST, asc),
    bytes: 0,
  });
  if ((cdb[1]! & 0x11) !== 0x10) return refuse(codes.ASC_INVALID_FIELD); // page format, nothing saved
  if (length === 0) return { bytes: 0 };
  const list = received(data, length);
  const headerBytes = isLong ? 8 : 4;
  if (list.length < headerBytes) return refuse(codes.ASC_PARAMETER_LENGTH);
  const descriptorBytes = isLong ? (list[6]! << 8) | list[7]! : list[3]!;
  let writeCache: boolean | undefined;
  for (let at = headerBytes + descriptorBytes; at < list.length; ) {
    if (at + 2 > list.length || at + 2 + list[at + 1]! > list.length)
      return refuse(codes.ASC_PARAMETER_LENGTH);
    const page = list.subarray(at, at + 2 + list[at + 1]!);
    const reason = checkPage(page, mode);
    if (reason !== 0) return refuse(reason);
    if ((page[0]! & 0x3f) === PAGE_CACHING) writeCache = (page[2]! & CACHE_WCE) !== 0;
    at += page.length;
  }
  return { bytes: list.length, ...(writeCache !== undefined && { writeCache }) };
}

/** 0, or the additional sense code that says what is wrong. */
function checkPage(page: Uint8Array, mode: DiskMode): number {
  const number = page[0]! & 0x3f;
  const now = pages(mode, false)[number];
  const mask = pages(mode, true)[number];
  if ((page[0]! & 0x40) !== 0 || now === undefined || mask === undefined) return codes.ASC_INVALID_PARAMETER;
  if (page.length !== now.length + 2) return codes.ASC_INVALID_PARAMETER;
  const isFixed = now.every((byte, i) => ((byte ^ page[i + 2]!) & ~mask[i]!) === 0);
  return isFixed ? 0 : codes.ASC_INVALID_PARAMETER;
}
