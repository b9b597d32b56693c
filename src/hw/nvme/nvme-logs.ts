/** Log pages (NVMe 1.4, 5.14.1). */

import { putText } from '../scsi/scsi-codes.ts';
import * as nvme from './nvme-codes.ts';
import { FIRMWARE } from './nvme-identify.ts';

/** What SMART counts. */
export interface NvmeCounters {
  readBytes: number;
  writtenBytes: number;
  reads: number;
  writes: number;
}

const ERROR_ENTRIES = 1;
const TEMPERATURE = 0x143;
/** Data is counted in thousands of 512 bytes. */
const DATA_UNIT = 512_000;

export function healthLog(counters: NvmeCounters, threshold: number): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  bytes[0] = TEMPERATURE >= threshold ? 2 : 0;
  view.setUint16(1, TEMPERATURE, true);
  bytes[3] = 100; // spare
  bytes[4] = 10;
  const put = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  put(32, Math.ceil(counters.readBytes / DATA_UNIT));
  put(48, Math.ceil(counters.writtenBytes / DATA_UNIT));
  put(64, counters.reads);
  put(80, counters.writes);
  put(112, 1); // power cycles
  return bytes;
}

export const errorLog = (): Uint8Array => new Uint8Array(64 * ERROR_ENTRIES);

export function firmwareLog(): Uint8Array {
  const bytes = new Uint8Array(512);
  bytes[0] = 1;
  putText(bytes, 8, 8, FIRMWARE);
  return bytes;
}

/** Which commands there are and what they change. */
export function effectsLog(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const admin = [
    nvme.ADMIN_DELETE_SQ,
    nvme.ADMIN_CREATE_SQ,
    nvme.ADMIN_GET_LOG,
    nvme.ADMIN_DELETE_CQ,
    nvme.ADMIN_CREATE_CQ,
    nvme.ADMIN_IDENTIFY,
    nvme.ADMIN_ABORT,
    nvme.ADMIN_SET_FEATURES,
    nvme.ADMIN_GET_FEATURES,
    nvme.ADMIN_ASYNC_EVENT,
  ];
  for (const opcode of admin) view.setUint32(4 * opcode, 1, true);
  for (const opcode of [nvme.NVM_READ, nvme.NVM_COMPARE, nvme.NVM_VERIFY])
    view.setUint32(1024 + 4 * opcode, 1, true);
  for (const opcode of [nvme.NVM_FLUSH, nvme.NVM_WRITE, nvme.NVM_WRITE_ZEROES, nvme.NVM_DATASET])
    view.setUint32(1024 + 4 * opcode, 3, true);
  return bytes;
}

export function changedNamespacesLog(ids: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  if (ids.length > 1024) view.setUint32(0, 0xffffffff, true);
  else ids.forEach((id, i) => view.setUint32(4 * i, id, true));
  return bytes;
}
