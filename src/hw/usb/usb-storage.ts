/**
 * Mass storage: one SCSI logical unit behind the bulk-only transport (Universal Serial Bus Mass Storage Class, Bulk-Only Transport
 * 1.0): a command block wrapper of 31 bytes, data, a status wrapper of 13.
 */
import {
  below,
  byteList,
  defineState,
  type Stateful,
  stateful,
  struct,
  u8,
  u32,
} from '../../core/vmstate.ts';
import { fixedSense, REQUEST_SENSE } from '../scsi/scsi-codes.ts';
import type { ScsiResult, ScsiUnit } from '../scsi/scsi-unit.ts';
import * as usb from './usb-codes.ts';
import type { UsbIdentity } from './usb-descriptors.ts';
import { UsbDevice, type UsbRequest, usbFields } from './usb-device.ts';

const BULK_IN = 0x81;
const BULK_OUT = 0x02;

// Class requests, 3
const MASS_STORAGE_RESET = 0xff;
const GET_MAX_LUN = 0xfe;

const CBW_BYTES = 31;
const CBW_SIGNATURE = 0x43425355;
const CSW_BYTES = 13;
const CSW_SIGNATURE = 0x53425355;
const STATUS_PASSED = 0;
const STATUS_FAILED = 1;
const STATUS_PHASE_ERROR = 2;
/** More than this is not moved by one command. */
const MAX_DATA = 16 * 2 ** 20;

const PHASE_COMMAND = 0;
const PHASE_DATA_OUT = 1;
const PHASE_WORKING = 2;
const PHASE_DATA_IN = 3;
const PHASE_STATUS = 4;

const schema = defineState('usb-storage', 1, {
  usb: struct(usbFields),
  phase: below(5),
  tag: u32(),
  /** Bytes the host still sends or takes. */
  left: u32(),
  residue: u32(),
  status: u8(),
  command: byteList(16),
  data: byteList(MAX_DATA),
  at: u32(),
  sense: byteList(18),
});

function identity(serial: string): UsbIdentity {
  const packet: Readonly<Record<usb.UsbSpeed, number>> = { 0: 8, 1: 64, 2: 512, 3: 1024 };
  return {
    vendorId: 0x46f4,
    productId: 0x0001,
    release: 0,
    manufacturer: 'Lyrebird',
    product: 'USB Disk',
    serial,
    deviceClass: 0,
    attributes: 0x40,
    power: 0,
    interfaces: (speed) => [
      {
        class: 8,
        subclass: 6, // SCSI transparent
        protocol: 0x50, // bulk only
        endpoints: [BULK_IN, BULK_OUT].map((address) => ({
          address,
          type: usb.ENDPOINT_BULK,
          maxPacket: packet[speed],
          interval: 0,
        })),
      },
    ],
  };
}

const NOTHING = new Uint8Array(0);
const SPEEDS = usb.speedBit(usb.SPEED_FULL) | usb.speedBit(usb.SPEED_HIGH) | usb.speedBit(usb.SPEED_SUPER);

export class UsbStorage extends UsbDevice {
  readonly vmstate: Stateful;
  readonly unit: ScsiUnit;
  readonly #s;
  /** Counts resets: a command of an earlier life ends without a trace. */
  #epoch = 0;

  /** Host software wants a serial number of twelve hexadecimal digits; others will do. */
  constructor(unit: ScsiUnit, serial: string) {
    const state = schema.create();
    super(identity(serial), SPEEDS, state.usb);
    this.#s = state;
    this.unit = unit;
    this.vmstate = stateful(schema, state, {
      // A command that was under way when the state was saved is done again.
      postLoad: () => {
        if (state.phase === PHASE_WORKING) this.#execute();
      },
    });
  }

  override reset(): void {
    super.reset();
    this.unit.reset();
  }

  protected override busResetDone(): void {
    this.#transportReset();
  }

  #transportReset(): void {
    this.#epoch++;
    this.#s.phase = PHASE_COMMAND;
    this.#s.data = NOTHING;
    this.#s.left = 0;
  }

  protected override request(r: UsbRequest): Uint8Array | undefined {
    if ((r.type & 0x60) !== usb.TYPE_CLASS) return undefined;
    if (r.request === GET_MAX_LUN) return Uint8Array.of(0);
    if (r.request !== MASS_STORAGE_RESET) return undefined;
    this.#transportReset();
    return NOTHING;
  }

  protected override transfer(pid: number, endpoint: number, data: Uint8Array): number {
    if (pid === usb.PID_OUT && endpoint === BULK_OUT) return this.#out(data);
    return pid === usb.PID_IN && endpoint === (BULK_IN & 0x0f) ? this.#in(data) : usb.USB_STALL;
  }

  #out(data: Uint8Array): number {
    const s = this.#s;
    if (s.phase === PHASE_COMMAND) return this.#wrapper(data);
    // The host's own mistake: it must reset the transport (6.6.1).
    if (s.phase !== PHASE_DATA_OUT || data.length > s.left) return usb.USB_STALL;
    if (s.at + data.length <= s.data.length) s.data.set(data, s.at);
    s.at += data.length;
    s.left -= data.length;
    if (s.left === 0) this.#execute();
    return data.length;
  }

  /** Command block wrapper, 5.1. */
  #wrapper(bytes: Uint8Array): number {
    const s = this.#s;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length !== CBW_BYTES || view.getUint32(0, true) !== CBW_SIGNATURE) return usb.USB_STALL;
    const [lun, commandBytes] = [bytes[13]! & 0x0f, bytes[14]! & 0x1f];
    if (lun !== 0 || commandBytes === 0 || commandBytes > 16) return usb.USB_STALL;
    s.tag = view.getUint32(4, true);
    s.left = view.getUint32(8, true);
    s.residue = 0;
    s.at = 0;
    s.command = new Uint8Array(16);
    s.command.set(bytes.subarray(15, 15 + commandBytes));
    s.data = new Uint8Array(Math.min(s.left, MAX_DATA));
    const isToHost = (bytes[12]! & 0x80) !== 0;
    if (s.left > 0 && !isToHost) s.phase = PHASE_DATA_OUT;
    else this.#execute(isToHost);
    return CBW_BYTES;
  }

  #execute(isToHost = false): void {
    const s = this.#s;
    s.phase = PHASE_WORKING;
    const total = isToHost ? s.left : s.at;
    if (total > MAX_DATA) {
      this.#finish({ status: 0, bytes: 0, isOverrun: true }, isToHost);
      return;
    }
    // What the last command's failure meant; the unit itself keeps no sense data.
    if (s.command[0] === REQUEST_SENSE && s.sense.length > 0) {
      const sense = s.sense.subarray(0, Math.min(s.command[4]!, s.data.length));
      s.data.set(sense);
      s.sense = NOTHING;
      this.#finish({ status: 0, bytes: sense.length }, isToHost);
      return;
    }
    const epoch = this.#epoch;
    const data = {
      out: isToHost ? [] : [s.data],
      outBytes: isToHost ? 0 : s.data.length,
      in: isToHost ? [s.data] : [],
      inBytes: isToHost ? s.data.length : 0,
    };
    this.unit.execute(s.command, data, [0], (result) => {
      if (epoch === this.#epoch) this.#finish(result, isToHost);
    });
  }

  #finish(result: ScsiResult, isToHost: boolean): void {
    const s = this.#s;
    const total = isToHost ? s.left : s.at;
    s.residue = Math.max(0, total - result.bytes);
    s.sense = result.sense === undefined ? NOTHING : fixedSense(result.sense).slice(0, 18);
    const failed = result.status !== 0;
    s.status = result.isOverrun === true ? STATUS_PHASE_ERROR : failed ? STATUS_FAILED : STATUS_PASSED;
    s.data = isToHost ? s.data.subarray(0, result.bytes) : NOTHING;
    s.at = 0;
    s.phase = isToHost && s.left > 0 ? PHASE_DATA_IN : PHASE_STATUS;
    this.notify(BULK_IN);
  }

  /** Data, filled up with zeros to what the host expects (6.7.2); then the status wrapper (5.2). */
  #in(into: Uint8Array): number {
    const s = this.#s;
    if (s.phase === PHASE_DATA_IN) return this.#dataIn(into);
    if (s.phase !== PHASE_STATUS) return usb.USB_NAK;
    if (into.length < CSW_BYTES) return usb.USB_STALL;
    const view = new DataView(into.buffer, into.byteOffset, into.length);
    view.setUint32(0, CSW_SIGNATURE, true);
    view.setUint32(4, s.tag, true);
    view.setUint32(8, s.residue, true);
    view.setUint8(12, s.status);
    s.phase = PHASE_COMMAND;
    s.data = NOTHING;
    return CSW_BYTES;
  }

  #dataIn(into: Uint8Array): number {
    const s = this.#s;
    const count = Math.min(into.length, s.left);
    const part = s.data.subarray(s.at, s.at + count);
    into.set(part);
    into.fill(0, part.length, count);
    s.at += part.length;
    s.left -= count;
    if (s.left === 0) {
      s.phase = PHASE_STATUS;
      s.data = NOTHING;
      this.notify(BULK_IN);
    }
    return count;
  }
}
