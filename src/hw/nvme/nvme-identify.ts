/** The data structures of IDENTIFY (NVMe 1.4, 5.15.2). */
import { putText } from '../scsi/scsi-codes.ts';
import * as nvme from './nvme-codes.ts';
import type { NvmeNamespace } from './nvme-namespace.ts';

export const IDENTIFY_BYTES = 4096;
export const MAX_NAMESPACES = 256;

export interface ControllerFacts {
  readonly vendorId: number;
  readonly subsystemVendorId: number;
  readonly serial: string;
  readonly maxTransferShift: number;
  /** Asynchronous event requests that may wait, less one. */
  readonly eventLimit: number;
}

export const MODEL = 'Lyrebird NVMe Controller';
export const FIRMWARE = '1.0';
/** Namespace attribute notices. */
export const EVENT_NAMESPACE_NOTICE = 0x100;
export const TEMPERATURE_WARNING = 0x157;

/** Figure 247. */
export function identifyController(facts: ControllerFacts): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, facts.vendorId, true);
  view.setUint16(2, facts.subsystemVendorId, true);
  putText(bytes, 4, 20, facts.serial);
  putText(bytes, 24, 40, MODEL);
  putText(bytes, 64, 8, FIRMWARE);
  bytes[72] = 6; // recommended arbitration burst
  bytes.set([0x00, 0x54, 0x52], 73); // IEEE: the one of virtual devices
  bytes[77] = facts.maxTransferShift;
  view.setUint32(80, nvme.VERSION_1_4, true);
  view.setUint32(92, EVENT_NAMESPACE_NOTICE, true);
  bytes[111] = 1; // an I/O controller
  bytes[258] = 3; // up to 4 aborts
  bytes[259] = facts.eventLimit;
  bytes[260] = 0x03; // one firmware slot, read-only
  bytes[261] = 0x06; // effects log, extended GET LOG PAGE
  view.setUint16(266, TEMPERATURE_WARNING, true);
  view.setUint16(268, 0x175, true);
  bytes[512] = 0x66; // 64-byte submission entries
  bytes[513] = 0x44; // 16-byte completion entries
  view.setUint32(516, MAX_NAMESPACES, true);
  view.setUint16(520, 0x01 | 0x04 | 0x08 | 0x40 | 0x80, true); // compare, dataset, write zeroes, timestamp, verify
  bytes[525] = 0x07; // volatile write cache; FLUSH takes all namespaces
  view.setUint32(536, 1, true); // scatter gather lists
  const name = `nqn.2024-01.org.lyrebird:${facts.serial}`;
  putText(bytes, 768, Math.min(255, name.length), name);
  view.setUint16(2048, 0x09c4, true); // power state 0: 25 W
  bytes[2048 + 4] = 0x10;
  bytes[2048 + 8] = 0x04;
  return bytes;
}

/** Figure 245; all zero for a namespace that is not there. */
export function identifyNamespace(namespace: NvmeNamespace | undefined): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  if (namespace === undefined) return bytes;
  const { logicalBlock, physicalBlock, discardGranularity, eui64 } = namespace.options;
  const view = new DataView(bytes.buffer);
  const blocks = BigInt(namespace.blocks);
  for (const at of [0, 8, 16]) view.setBigUint64(at, blocks, true);
  bytes[24] = 0x10; // optimal sizes are valid
  bytes[33] = 0x09; // deallocated blocks read as zeroes, by write zeroes as well
  const perPhysical = Math.max(1, physicalBlock / logicalBlock);
  const perDiscard = Math.max(1, Math.floor(discardGranularity / logicalBlock));
  [perPhysical, perPhysical, perDiscard, perDiscard, perPhysical].forEach((count, i) => {
    view.setUint16(64 + 2 * i, count - 1, true);
  });
  view.setBigUint64(120, eui64);
  bytes[128 + 2] = Math.log2(logicalBlock);
  return bytes;
}

/** CNS 3, figure 248: how else the namespace is called. */
export function namespaceNames({ options: { uuid, eui64 } }: NvmeNamespace): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  let at = 0;
  if (eui64 !== 0n) {
    bytes.set([1, 8, 0, 0], at);
    new DataView(bytes.buffer).setBigUint64(at + 4, eui64);
    at += 12;
  }
  bytes.set([3, 16, 0, 0], at);
  bytes.set(uuid, at + 4);
  return bytes;
}

/** CNS 2 and 0x10: the ids above `after`, in order. */
export function namespaceList(ids: readonly number[], after: number): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(bytes.buffer);
  ids
    .filter((id) => id > after)
    .slice(0, IDENTIFY_BYTES / 4)
    .forEach((id, i) => view.setUint32(4 * i, id, true));
  return bytes;
}
