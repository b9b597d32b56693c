/** Writes Ethernet and IP headers of frames for the guest. */
import { inetChecksum } from '../../util/inet-checksum.ts';
import type { IpBytes } from './address.ts';

export const ETHERNET_BYTES = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;
export const MTU = 1500;
const HOP_LIMIT = 64;

/** From an address on our side to one of the guest's. */
export interface Route {
  readonly mac: Uint8Array;
  /** Of the sender as the guest sees it. */
  readonly source: IpBytes;
  readonly target: IpBytes;
}

/** Bytes of Ethernet and IP header. */
export function headerBytes(route: Route): number {
  return route.source.length === 4 ? ETHERNET_BYTES + 20 : ETHERNET_BYTES + 40;
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = (value >> 16) & 0xff;
  bytes[at + 2] = (value >> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function get32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Sum of the pseudo header's addresses; protocol and length are to be added. */
export function addressSum(source: IpBytes, target: IpBytes): number {
  let sum = 0;
  for (let i = 0; i < source.length; i += 2) sum += get16(source, i) + get16(target, i);
  return sum;
}

export interface Fragment {
  /** In bytes, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
}

const WHOLE: Fragment = { offset: 0, more: false };

export class HeaderWriter {
  readonly #mac: Uint8Array;
  #identification = 1;

  /** `mac`: our own. */
  constructor(mac: Uint8Array) {
    this.#mac = mac;
  }

  /** The identification of the next IPv4 packet. */
  nextIdentification(): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    return this.#identification;
  }

  ethernet(frame: Uint8Array, mac: Uint8Array, type: number): void {
    frame.set(mac, 0);
    frame.set(this.#mac, 6);
    put16(frame, 12, type);
  }

  /** Ethernet and IP header for `payload` bytes of transport. */
  ip(
    frame: Uint8Array,
    route: Route,
    protocol: number,
    payload: number,
    fragment: Fragment = WHOLE,
    identification = this.nextIdentification(),
  ): void {
    const isV4 = route.source.length === 4;
    this.ethernet(frame, route.mac, isV4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    if (isV4) this.#ipv4(frame, route, protocol, payload, fragment, identification);
    else this.#ipv6(frame, route, protocol, payload);
  }

  #ipv4(
    frame: Uint8Array,
    route: Route,
    protocol: number,
    payload: number,
    { offset, more }: Fragment,
    identification: number,
  ): void {
    frame[14] = 0x45;
    frame[15] = 0;
    put16(frame, 16, payload + 20);
    put16(frame, 18, identification);
    put16(frame, 20, (offset >> 3) | (more ? 0x2000 : 0));
    frame[22] = HOP_LIMIT;
    frame[23] = protocol;
    put16(frame, 24, 0);
    frame.set(route.source, 26);
    frame.set(route.target, 30);
    put16(frame, 24, inetChecksum(frame, ETHERNET_BYTES, 20));
  }

  #ipv6(frame: Uint8Array, route: Route, protocol: number, payload: number): void {
    put32(frame, 14, 0x60000000);
    put16(frame, 18, payload);
    frame[20] = protocol;
    // Neighbour discovery takes only packets that no router passed on (RFC 4861 6.1.1).
    frame[21] = protocol === PROTOCOL_ICMPV6 ? 255 : HOP_LIMIT;
    frame.set(route.source, 22);
    frame.set(route.target, 38);
  }
}
