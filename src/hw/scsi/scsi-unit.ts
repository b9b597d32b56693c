/** A SCSI logical unit as a transport sees it, and what all units do alike (SPC-4; SAM-5 5.14 for unit attentions). */
import type { Device } from '../../core/device.ts';
import { u8 } from '../../core/vmstate.ts';
import * as codes from './scsi-codes.ts';

/** The buffers a transport brings for a command's data, in guest memory. */
export interface ScsiData {
  readonly out: readonly Uint8Array[];
  readonly outBytes: number;
  readonly in: readonly Uint8Array[];
  readonly inBytes: number;
}

export interface ScsiResult {
  readonly status: number;
  readonly sense?: codes.Sense;
  /** Bytes put into `in` or taken from `out`. */
  readonly bytes: number;
  /** The command moves more data than there is room for; it was not carried out. */
  readonly isOverrun?: boolean;
}

export type ScsiCompletion = (result: ScsiResult) => void;

export interface InquiryFacts {
  readonly type: number;
  readonly isRemovable: boolean;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly serial: string;
  /** Identifies the unit to the guest; '' for none. */
  readonly deviceId: string;
  /** World wide name, or 0. */
  readonly wwn: bigint;
}

/** Fields of a unit attention that waits. */
export const attentionFields = { key: u8(), asc: u8(), ascq: u8() };
export interface AttentionState {
  key: number;
  asc: number;
  ascq: number;
}

/** What a unit tells its controller unasked. */
export interface UnitListener {
  /** Parameters or medium changed: the sense codes say what. */
  changed(asc: number, ascq: number): void;
}

/** Commands that report a unit attention to nobody (SPC-4 5.14.1). */
const UNAFFECTED = new Set([codes.INQUIRY, codes.REPORT_LUNS, codes.REQUEST_SENSE]);

export abstract class ScsiUnit implements Device {
  /** The controller; set on attachment. */
  listener: UnitListener | undefined;
  readonly facts: InquiryFacts;
  abstract readonly vmstate: Device['vmstate'];
  readonly #attention: AttentionState;

  constructor(facts: InquiryFacts, attention: AttentionState) {
    this.facts = facts;
    this.#attention = attention;
  }

  /** Power-on, or the controller's reset. */
  reset(): void {
    this.setAttention(codes.sense(codes.SENSE_UNIT_ATTENTION, codes.ASC_RESET));
  }

  setAttention({ key, asc, ascq }: codes.Sense): void {
    Object.assign(this.#attention, { key, asc, ascq });
  }

  /**
   * Carries out a command; `luns` are those of its target, for REPORT LUNS. `done` may be called before this returns. Requests
   * that are under way keep using the views of `data` until then.
   */
  execute(cdb: Uint8Array, data: ScsiData, luns: readonly number[], done: ScsiCompletion): void {
    const opcode = cdb[0]!;
    if (!UNAFFECTED.has(opcode)) {
      const attention = this.takeAttention();
      if (attention !== undefined) {
        done(failed(attention));
        return;
      }
    }
    switch (opcode) {
      case codes.INQUIRY:
        done(this.#inquiry(cdb, data));
        break;
      case codes.REQUEST_SENSE:
        done(reply(data, senseBytes(this.takeAttention() ?? codes.NO_SENSE, cdb), cdb[4]!));
        break;
      case codes.REPORT_LUNS:
        done(reportLuns(cdb, data, luns));
        break;
      case codes.RESERVE_6:
      case codes.RESERVE_10:
      case codes.RELEASE_6:
      case codes.RELEASE_10:
        done(GOOD); // one initiator: the unit is always its own
        break;
      default:
        this.command(cdb, data, done);
    }
  }

  /** What is peculiar to the type of unit. */
  protected abstract command(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void;

  /** A vital product data page beyond 0x00, 0x80 and 0x83; undefined: there is none. */
  protected abstract productPage(page: number): Uint8Array | undefined;
  protected abstract readonly productPages: readonly number[];

  protected takeAttention(): codes.Sense | undefined {
    const { key, asc, ascq } = this.#attention;
    if (key === 0) return undefined;
    this.#attention.key = 0;
    return codes.sense(key, asc, ascq);
  }

  #inquiry(cdb: Uint8Array, data: ScsiData): ScsiResult {
    const limit = (cdb[3]! << 8) | cdb[4]!;
    if ((cdb[1]! & 1) === 0) {
      return cdb[2] !== 0 ? failed(codes.INVALID_FIELD) : reply(data, standardInquiry(this.facts), limit);
    }
    const body = this.#productPage(cdb[2]!);
    if (body === undefined) return failed(codes.INVALID_FIELD);
    const page = Uint8Array.of(this.facts.type, cdb[2]!, body.length >> 8, body.length & 0xff, ...body);
    return reply(data, page, limit);
  }

  #productPage(page: number): Uint8Array | undefined {
    const { serial } = this.facts;
    switch (page) {
      case 0x00:
        return Uint8Array.of(0, ...(serial === '' ? [] : [0x80]), 0x83, ...this.productPages);
      case 0x80:
        return serial === '' ? undefined : ascii(serial.slice(0, 36));
      case 0x83:
        return designators(this.facts);
      default:
        return this.productPages.includes(page) ? this.productPage(page) : undefined;
    }
  }
}

export const GOOD: ScsiResult = { status: codes.STATUS_GOOD, bytes: 0 };

export function failed(reason: codes.Sense): ScsiResult {
  return { status: codes.STATUS_CHECK_CONDITION, sense: reason, bytes: 0 };
}

/** Good status with data: no more than the command allows and the buffers hold. */
export function reply(data: ScsiData, bytes: Uint8Array, limit: number): ScsiResult {
  const count = Math.min(bytes.length, limit, data.inBytes);
  let at = 0;
  for (const view of data.in) {
    if (at >= count) break;
    const part = bytes.subarray(at, Math.min(count, at + view.length));
    view.set(part);
    at += part.length;
  }
  return { status: codes.STATUS_GOOD, bytes: count };
}

/** The first `bytes` bytes of what the initiator sent. */
export function received(data: ScsiData, bytes: number): Uint8Array {
  const out = new Uint8Array(Math.min(bytes, data.outBytes));
  let at = 0;
  for (const view of data.out) {
    if (at >= out.length) break;
    const part = view.subarray(0, out.length - at);
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The first `bytes` bytes of `views`, as views. */
export function firstBytes(views: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let left = bytes;
  for (const view of views) {
    if (left <= 0) break;
    const part = view.length <= left ? view : view.subarray(0, left);
    out.push(part);
    left -= part.length;
  }
  return out;
}

/** Byte 1, bit 0 of REQUEST SENSE: descriptor format. */
export function senseBytes(what: codes.Sense, cdb: Uint8Array): Uint8Array {
  return (cdb[1]! & 1) !== 0 ? codes.descriptorSense(what) : codes.fixedSense(what);
}

export function reportLuns(cdb: Uint8Array, data: ScsiData, luns: readonly number[]): ScsiResult {
  const limit = new DataView(cdb.buffer, cdb.byteOffset).getUint32(6);
  if (limit < 16 || cdb[2]! > 2) return failed(codes.INVALID_FIELD);
  const listed = cdb[2] === 1 ? [] : luns; // 1: well known units only
  const bytes = new Uint8Array(8 + 8 * listed.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 8 * listed.length);
  listed.forEach((lun, i) => view.setUint16(8 + 8 * i, encodeLun(lun)));
  return reply(data, bytes, limit);
}

/** Peripheral addressing below 256, flat space from there (SAM-5 4.7.7). */
export function encodeLun(lun: number): number {
  return lun < 256 ? lun : 0x4000 | lun;
}

export function standardInquiry(facts: InquiryFacts): Uint8Array {
  const bytes = new Uint8Array(96);
  bytes[0] = facts.type;
  bytes[1] = facts.isRemovable ? 0x80 : 0;
  bytes[2] = 5; // SPC-3
  bytes[3] = 0x12; // hierarchical LUNs, response format 2
  bytes[4] = bytes.length - 5;
  bytes[7] = 0x02; // command queuing
  codes.putText(bytes, 8, 8, facts.vendor);
  codes.putText(bytes, 16, 16, facts.product);
  codes.putText(bytes, 32, 4, facts.revision);
  // Version descriptors: SAM-3, SPC-3, SBC-2 or MMC-5
  const standards = [0x0060, 0x0300, facts.type === codes.TYPE_CD ? 0x0420 : 0x0320];
  standards.forEach((code, i) => new DataView(bytes.buffer).setUint16(58 + 2 * i, code));
  return bytes;
}

/** Page 0x83 (SPC-4 7.8.6): a vendor's name for the unit, and its world wide name. */
function designators({ deviceId, wwn }: InquiryFacts): Uint8Array {
  const id = ascii(deviceId.slice(0, 200));
  const own = id.length === 0 ? [] : [0x02, 0x00, 0, id.length, ...id];
  if (wwn === 0n) return Uint8Array.from(own);
  const name = new DataView(new ArrayBuffer(8));
  name.setBigUint64(0, wwn);
  return Uint8Array.from([...own, 0x01, 0x03, 0, 8, ...new Uint8Array(name.buffer)]);
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0) & 0x7f);
