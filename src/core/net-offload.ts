/** Does in software what a frame's `FrameMeta` asks for: fills in checksums and cuts large frames into segments. */
import { addToSum, foldSum, inetChecksum } from '../util/inet-checksum.ts';
import {
  FRAME_NEEDS_CHECKSUM,
  type FrameMeta,
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TCPV4,
  OFFLOAD_TCPV6,
} from './net-backend.ts';

const ETHERNET_BYTES = 14;
const TCP_FIN = 0x01;
const TCP_PSH = 0x08;
const TCP_CWR = 0x80;
/** Most segments of one frame: 64 KiB in pieces of the smallest size that TCP uses in earnest. */
const MIN_GSO_SIZE = 48;

/** Whether a receiver with these offloads can take the frame as it is. */
export function isAcceptable(meta: Readonly<FrameMeta>, offloads: number): boolean {
  if (meta.gsoType === GSO_NONE)
    return (meta.flags & FRAME_NEEDS_CHECKSUM) === 0 || (offloads & OFFLOAD_CHECKSUM) !== 0;
  const kind = meta.gsoType & ~GSO_ECN;
  if (kind === GSO_TCPV4) return (offloads & OFFLOAD_TCPV4) !== 0;
  return kind === GSO_TCPV6 && (offloads & OFFLOAD_TCPV6) !== 0;
}

/**
 * Calls `emit` with the complete frames that `frame` stands for; they are valid during the call. What a hostile guest put into `meta`
 * never reaches beyond the frame: what makes no sense is dropped. False from `emit` stops and is passed on.
 */
export function completeFrame(
  frame: Uint8Array,
  meta: Readonly<FrameMeta>,
  emit: (frame: Uint8Array) => boolean,
): boolean {
  const kind = meta.gsoType & ~GSO_ECN;
  if (kind === GSO_NONE) {
    if ((meta.flags & FRAME_NEEDS_CHECKSUM) === 0) return emit(frame);
    const copy = frame.slice();
    return fillChecksum(copy, meta) ? emit(copy) : true;
  }
  if (kind === GSO_TCPV4 || kind === GSO_TCPV6) return segmentTcp(frame, meta, kind === GSO_TCPV4, emit);
  return kind === GSO_UDP ? fragmentUdp(frame, meta, emit) : true;
}

/** Completes the checksum in place; false: its place is not in the frame. */
export function fillChecksum(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
  const { checksumStart, checksumOffset } = meta;
  const at = checksumStart + checksumOffset;
  if (at + 2 > frame.length) return false;
  const sum = inetChecksum(frame, checksumStart, frame.length - checksumStart);
  // 0 stands for "no checksum" in UDP, its equal is sent instead (RFC 768).
  const value = sum === 0 && checksumOffset === 6 ? 0xffff : sum;
  frame[at] = value >> 8;
  frame[at + 1] = value & 0xff;
  return true;
}

interface IpHeader {
  readonly start: number;
  readonly isV4: boolean;
  readonly transport: number;
}

/** The IP header of a frame that may have a VLAN tag. */
function ipHeader(frame: Uint8Array): IpHeader | undefined {
  let start = ETHERNET_BYTES;
  let type = (frame[12]! << 8) | frame[13]!;
  if (type === 0x8100) {
    type = (frame[16]! << 8) | frame[17]!;
    start += 4;
  }
  if (type === 0x0800 && frame.length >= start + 20) {
    const length = (frame[start]! & 15) * 4;
    if (length < 20) return undefined;
    return { start, isV4: true, transport: start + length };
  }
  if (type === 0x86dd && frame.length >= start + 40) return { start, isV4: false, transport: start + 40 };
  return undefined;
}

/** One's complement sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1). */
function pseudoSum(frame: Uint8Array, ip: IpHeader, protocol: number, length: number): number {
  const addresses = ip.isV4 ? addToSum(0, frame, ip.start + 12, 8) : addToSum(0, frame, ip.start + 8, 32);
  return addresses + protocol + length;
}

function segmentTcp(
  frame: Uint8Array,
  meta: Readonly<FrameMeta>,
  isV4: boolean,
  emit: (frame: Uint8Array) => boolean,
): boolean {
  const ip = ipHeader(frame);
  if (ip === undefined || ip.isV4 !== isV4) return true;
  // IPv6 extension headers: the driver says where TCP begins.
  const tcp = isV4 ? ip.transport : Math.max(ip.transport, meta.checksumStart);
  if (tcp + 20 > frame.length) return true;
  const headers = tcp + (frame[tcp + 12]! >> 4) * 4;
  const size = meta.gsoSize;
  if (headers < tcp + 20 || headers > frame.length || size < MIN_GSO_SIZE) return true;
  const identification = (frame[ip.start + 4]! << 8) | frame[ip.start + 5]!;
  const sequence =
    ((frame[tcp + 4]! << 24) | (frame[tcp + 5]! << 16) | (frame[tcp + 6]! << 8) | frame[tcp + 7]!) >>> 0;
  const flags = frame[tcp + 13]!;
  const out = new Uint8Array(headers + size);
  for (let at = headers, n = 0; at < frame.length || n === 0; at += size, n++) {
    const count = Math.min(size, frame.length - at);
    const isLast = at + count >= frame.length;
    out.set(frame.subarray(0, headers));
    out.set(frame.subarray(at, at + count), headers);
    const segment = out.subarray(0, headers + count);
    put32(segment, tcp + 4, (sequence + (at - headers)) >>> 0);
    segment[tcp + 13] = flags & ~(isLast ? 0 : TCP_FIN | TCP_PSH) & ~(n > 0 ? TCP_CWR : 0);
    setIpLength(segment, ip, (identification + n) & 0xffff);
    sumTransport(segment, ip, tcp, 6, 16);
    if (!emit(segment)) return false;
  }
  return true;
}

/** Cuts a UDP datagram into IP fragments (`UFO`): the checksum covers the whole datagram. */
function fragmentUdp(
  frame: Uint8Array,
  meta: Readonly<FrameMeta>,
  emit: (frame: Uint8Array) => boolean,
): boolean {
  const ip = ipHeader(frame);
  if (ip?.isV4 !== true || ip.transport + 8 > frame.length) return true;
  const whole = frame.slice();
  sumTransport(whole, ip, ip.transport, 17, 6);
  const size = Math.max(MIN_GSO_SIZE, meta.gsoSize) & ~7;
  for (let at = ip.transport; at < whole.length; at += size) {
    const count = Math.min(size, whole.length - at);
    const fragment = new Uint8Array(ip.transport + count);
    fragment.set(whole.subarray(0, ip.transport));
    fragment.set(whole.subarray(at, at + count), ip.transport);
    const offset = ((at - ip.transport) >> 3) | (at + count < whole.length ? 0x2000 : 0);
    fragment[ip.start + 6] = offset >> 8;
    fragment[ip.start + 7] = offset & 0xff;
    setIpLength(fragment, ip, (whole[ip.start + 4]! << 8) | whole[ip.start + 5]!);
    if (!emit(fragment)) return false;
  }
  return true;
}

/** Total length, identification and header checksum of an IPv4 header; payload length of IPv6. */
function setIpLength(frame: Uint8Array, ip: IpHeader, identification: number): void {
  const { start, isV4, transport } = ip;
  if (!isV4) {
    put16(frame, start + 4, frame.length - start - 40);
    return;
  }
  put16(frame, start + 2, frame.length - start);
  put16(frame, start + 4, identification);
  put16(frame, start + 10, 0);
  put16(frame, start + 10, inetChecksum(frame, start, transport - start));
}

function sumTransport(
  frame: Uint8Array,
  ip: IpHeader,
  transport: number,
  protocol: number,
  offset: number,
): void {
  const length = frame.length - transport;
  put16(frame, transport + offset, 0);
  const sum = inetChecksum(frame, transport, length, pseudoSum(frame, ip, protocol, length));
  put16(frame, transport + offset, sum === 0 && protocol === 17 ? 0xffff : sum);
}

/** What goes into the checksum field of a frame that asks for the rest of the sum: the pseudo header's. */
export function partialChecksum(pseudoHeaderSum: number): number {
  return foldSum(pseudoHeaderSum);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}
