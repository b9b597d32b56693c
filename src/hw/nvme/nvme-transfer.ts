/** Where a command's data lies: physical region pages and scatter gather lists (NVMe 1.4, 4.3 and 4.4). */
import type { AddressSpace } from '../../core/address-space.ts';
import { DmaBuffer, type DmaSegment } from '../../core/dma.ts';
import * as nvme from './nvme-codes.ts';

/** Most descriptors of a list and most lists of a command that are followed. */
const MAX_DESCRIPTORS = 4096;
const MAX_SEGMENTS = 64;
const MAX_ADDRESS = 2n ** 52n;
const SGL_DATA_BLOCK = 0;
const SGL_SEGMENT = 2;
const SGL_LAST_SEGMENT = 3;

/** The buffer of `bytes` bytes that the command describes, or a status. */
export function commandBuffer(
  memory: AddressSpace,
  command: nvme.NvmeCommand,
  bytes: number,
  pageBytes: number,
  toMemory: boolean,
): DmaBuffer | number {
  const isList = command.flags >> 6 !== 0;
  const segments = isList
    ? sglSegments(memory, command, bytes)
    : prpSegments(memory, command, bytes, pageBytes);
  return typeof segments === 'number' ? segments : new DmaBuffer(memory, segments, toMemory);
}

function address(value: bigint): number {
  return value < MAX_ADDRESS ? Number(value) : -1;
}

/** 4.3: the first entry may begin within a page, the others are whole pages; entry 2 is a page or points to a list. */
function prpSegments(
  memory: AddressSpace,
  { view }: nvme.NvmeCommand,
  bytes: number,
  pageBytes: number,
): DmaSegment[] | number {
  const first = address(view.getBigUint64(24, true));
  const second = address(view.getBigUint64(32, true));
  if (first < 0 || (first & 3) !== 0) return nvme.INVALID_PRP_OFFSET;
  const head = Math.min(bytes, pageBytes - (first % pageBytes));
  const segments: DmaSegment[] = [{ addr: first, sizeBytes: head }];
  const left = bytes - head;
  if (left === 0) return segments;
  if (left > pageBytes) return prpList(memory, segments, second, left, pageBytes);
  if (second < 0 || second % pageBytes !== 0) return nvme.INVALID_PRP_OFFSET;
  segments.push({ addr: second, sizeBytes: left });
  return segments;
}

function prpList(
  memory: AddressSpace,
  segments: DmaSegment[],
  list: number,
  left: number,
  pageBytes: number,
): DmaSegment[] | number {
  for (let at = list; left > 0; ) {
    if (at < 0 || (at & 7) !== 0) return nvme.INVALID_PRP_OFFSET;
    const room = (pageBytes - (at % pageBytes)) / 8;
    const needed = Math.ceil(left / pageBytes);
    const entries = readEntries(memory, at, Math.min(room, needed));
    const isChained = needed > room;
    const pages = isChained ? room - 1 : needed;
    for (let i = 0; i < pages; i++) {
      const addr = address(entries.getBigUint64(8 * i, true));
      if (addr < 0 || addr % pageBytes !== 0) return nvme.INVALID_PRP_OFFSET;
      const count = Math.min(left, pageBytes);
      append(segments, addr, count);
      left -= count;
    }
    if (!isChained) break;
    const next = address(entries.getBigUint64(8 * pages, true));
    // A list that is all pointer leads nowhere: every list must take the transfer further.
    if (pages === 0 && next % pageBytes !== 0) return nvme.INVALID_PRP_OFFSET;
    at = next;
  }
  return segments;
}

function readEntries(memory: AddressSpace, at: number, count: number): DataView {
  const bytes = new Uint8Array(8 * count);
  memory.readBytes(at, bytes);
  return new DataView(bytes.buffer);
}

/** Neighbours in memory become one. */
function append(segments: DmaSegment[], addr: number, sizeBytes: number): void {
  const last = segments.at(-1);
  if (last !== undefined && last.addr + last.sizeBytes === addr) {
    segments[segments.length - 1] = { addr: last.addr, sizeBytes: last.sizeBytes + sizeBytes };
  } else segments.push({ addr, sizeBytes });
}

/** 4.4: a descriptor in the command, which may point to a segment of further ones, the last of which may point on. */
function sglSegments(memory: AddressSpace, { view }: nvme.NvmeCommand, bytes: number): DmaSegment[] | number {
  const segments: DmaSegment[] = [];
  let left = bytes;
  let list = new DataView(view.buffer, view.byteOffset + 24, 16);
  let isLast = false;
  for (let round = 0; round < MAX_SEGMENTS; round++) {
    const count = list.byteLength / 16;
    let next: DataView | undefined;
    for (let i = 0; i < count; i++) {
      const addr = address(list.getBigUint64(16 * i, true));
      const length = list.getUint32(16 * i + 8, true);
      const type = list.getUint8(16 * i + 15);
      if ((type & 15) !== 0 || addr < 0) return nvme.INVALID_SGL_TYPE;
      if (type >> 4 === SGL_DATA_BLOCK) {
        const take = Math.min(left, length);
        if (take > 0) append(segments, addr, take);
        left -= take;
      } else if (type >> 4 === SGL_SEGMENT || type >> 4 === SGL_LAST_SEGMENT) {
        if (i !== count - 1 || isLast) return nvme.INVALID_SGL_SEGMENT;
        if (length === 0 || length % 16 !== 0) return nvme.INVALID_SGL_SEGMENT;
        if (length / 16 > MAX_DESCRIPTORS) return nvme.INVALID_SGL_COUNT;
        isLast = type >> 4 === SGL_LAST_SEGMENT;
        next = readEntries(memory, addr, length / 8);
      } else return nvme.INVALID_SGL_TYPE;
    }
    if (next === undefined) return left === 0 ? segments : nvme.INVALID_SGL_LENGTH;
    list = next;
  }
  return nvme.INVALID_SGL_COUNT;
}
