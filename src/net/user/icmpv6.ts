/** ICMPv6 of the user-mode network: neighbours, router advertisements, echo (RFC 4443, RFC 4861, RFC 8106), and stateless DHCPv6 (RFC 8415). */
import { inetChecksum } from '../../util/inet-checksum.ts';
import { equalAt, type IpBytes, parseIpv6 } from './address.ts';
import { ascii, domainLabels } from './dhcp.ts';
import { addressSum, get16, PROTOCOL_ICMPV6, put16, put32, type Route } from './ip-output.ts';
import type { UserNetConfig } from './user-config.ts';

export const DHCPV6_SERVER_PORT = 547;
export const DHCPV6_CLIENT_PORT = 546;
const ECHO_REQUEST = 128;
const ECHO_REPLY = 129;
const ROUTER_SOLICITATION = 133;
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
const OPTION_SOURCE_MAC = 1;
const OPTION_TARGET_MAC = 2;
const OPTION_PREFIX = 3;
const OPTION_DNS = 25;
const ADVERTISED_SECONDS = 86400;
const DNS_SECONDS = 1800;

const DHCPV6_INFORMATION_REQUEST = 11;
const DHCPV6_REPLY = 7;

/** All nodes of a link. */
export const ALL_NODES = parseIpv6('ff02::1')!;
const ALL_NODES_MAC = Uint8Array.from([0x33, 0x33, 0, 0, 0, 1]);

export interface Icmpv6Ports {
  readonly mac: Uint8Array;
  readonly linkLocal: IpBytes;
  sendIp(route: Route, protocol: number, payload: Uint8Array): void;
  /** A neighbour said where it is. */
  learn(address: IpBytes, mac: Uint8Array): void;
}

export class Icmpv6 {
  readonly #ports: Icmpv6Ports;
  readonly #config: UserNetConfig;
  readonly #own: readonly IpBytes[];

  constructor(ports: Icmpv6Ports, config: UserNetConfig) {
    this.#ports = ports;
    this.#config = config;
    const { host, dns } = config.ipv6!;
    this.#own = [parseIpv6(host)!, parseIpv6(dns)!, ports.linkLocal];
  }

  isOwn(address: IpBytes): boolean {
    return this.#own.some((own) => equalAt(own, 0, address));
  }

  /** A message of the guest; `back` leads to its sender. */
  input(frame: Uint8Array, back: Route, at: number, end: number, hopLimit: number): void {
    if (end - at < 8 || !isSumGood(frame, back, at, end)) return;
    const type = frame[at];
    if (type === ECHO_REQUEST) this.#echo(frame, back, at, end);
    else if (hopLimit !== 255) return;
    else if (type === ROUTER_SOLICITATION) this.advertise();
    else if (type === NEIGHBOUR_SOLICITATION && end - at >= 24) this.#answer(frame, back, at);
    else if (type === NEIGHBOUR_ADVERTISEMENT && end - at >= 24)
      this.#ports.learn(frame.slice(at + 8, at + 24), frame.slice(6, 12));
  }

  /** Asks for the neighbour that has `address`. */
  solicit(address: IpBytes): void {
    const message = new Uint8Array(32);
    message[0] = NEIGHBOUR_SOLICITATION;
    message.set(address, 8);
    this.#addMac(message, 24, OPTION_SOURCE_MAC);
    const target = parseIpv6('ff02::1:ff00:0')!;
    target.set(address.subarray(13), 13);
    const mac = Uint8Array.from([0x33, 0x33, ...target.subarray(12)]);
    this.#send({ mac, source: this.#own[0]!, target }, message);
  }

  /** A router advertisement to all. */
  advertise(): void {
    const { network, prefix, dns } = this.#config.ipv6!;
    const hasDns = !this.#config.restrict;
    const message = new Uint8Array(16 + 32 + 8 + (hasDns ? 24 : 0));
    message[0] = ROUTER_ADVERTISEMENT;
    message[4] = 64;
    message[5] = 0x40; // other configuration by DHCPv6
    put16(message, 6, this.#config.restrict ? 0 : DNS_SECONDS);
    message.set([OPTION_PREFIX, 4, prefix, 0xc0], 16);
    put32(message, 20, ADVERTISED_SECONDS);
    put32(message, 24, ADVERTISED_SECONDS / 6);
    message.set(parseIpv6(network)!, 32);
    this.#addMac(message, 48, OPTION_SOURCE_MAC);
    if (hasDns) {
      message.set([OPTION_DNS, 3], 56);
      put32(message, 60, DNS_SECONDS);
      message.set(parseIpv6(dns)!, 64);
    }
    this.#send({ mac: ALL_NODES_MAC, source: this.#ports.linkLocal, target: ALL_NODES }, message);
  }

  #echo(frame: Uint8Array, back: Route, at: number, end: number): void {
    if (!this.isOwn(back.source)) return;
    const message = frame.slice(at, end);
    message[0] = ECHO_REPLY;
    this.#send(back, message);
  }

  #answer(frame: Uint8Array, back: Route, at: number): void {
    const wanted = frame.slice(at + 8, at + 24);
    if (!this.isOwn(wanted)) return;
    const message = new Uint8Array(32);
    message[0] = NEIGHBOUR_ADVERTISEMENT;
    message[4] = 0xe0; // router, solicited, override
    message.set(wanted, 8);
    this.#addMac(message, 24, OPTION_TARGET_MAC);
    const isUnspecified = back.target.every((byte) => byte === 0);
    const target = isUnspecified ? ALL_NODES : back.target;
    this.#send({ mac: isUnspecified ? ALL_NODES_MAC : back.mac, source: wanted, target }, message);
  }

  #addMac(message: Uint8Array, at: number, option: number): void {
    message[at] = option;
    message[at + 1] = 1;
    message.set(this.#ports.mac, at + 2);
  }

  #send(route: Route, message: Uint8Array): void {
    put16(message, 2, 0);
    const sum = addressSum(route.source, route.target) + PROTOCOL_ICMPV6 + message.length;
    put16(message, 2, inetChecksum(message, 0, message.length, sum));
    this.#ports.sendIp(route, PROTOCOL_ICMPV6, message);
  }
}

function isSumGood(frame: Uint8Array, back: Route, at: number, end: number): boolean {
  // The pseudo header names the addresses of the packet as it was sent; a sum does not care about their order, but multicast does.
  const sum = addressSum(frame.subarray(22, 38), frame.subarray(38, 54)) + PROTOCOL_ICMPV6 + (end - at);
  return back.target.length === 16 && inetChecksum(frame, at, end - at, sum) === 0;
}

/** The answer to a DHCPv6 message: only information, addresses come by router advertisements. */
export function answerDhcpv6(message: Uint8Array, config: UserNetConfig): Uint8Array | undefined {
  if (message.length < 4 || message[0] !== DHCPV6_INFORMATION_REQUEST) return undefined;
  const out: number[] = [DHCPV6_REPLY, message[1]!, message[2]!, message[3]!];
  const add = (code: number, value: readonly number[]): void => {
    out.push(code >> 8, code & 0xff, value.length >> 8, value.length & 0xff, ...value);
  };
  for (let at = 4; at + 4 <= message.length; ) {
    const code = get16(message, at);
    const length = get16(message, at + 2);
    if (at + 4 + length > message.length) return undefined;
    if (code === 1 && length <= 130) add(1, [...message.subarray(at + 4, at + 4 + length)]);
    at += 4 + length;
  }
  add(2, [0, 3, 0, 1, 0x52, 0x55, 10, 0, 2, 2]);
  const { ipv6, dnsSearch, tftpServerName, bootFile, restrict } = config;
  if (!restrict) add(23, [...parseIpv6(ipv6!.dns)!]);
  if (dnsSearch.length > 0) add(24, dnsSearch.flatMap(domainLabels));
  if (bootFile !== undefined) {
    const server = tftpServerName ?? `[${ipv6!.host}]`;
    add(59, ascii(`tftp://${server}/${bootFile}`));
  }
  return Uint8Array.from(out);
}

/** Skips extension headers; the transport protocol and where it begins, or undefined. */
export function skipExtensions(
  frame: Uint8Array,
  first: number,
  from: number,
  end: number,
): { protocol: number; at: number } | undefined {
  let protocol = first;
  let at = from;
  for (let n = 0; n < 8; n++) {
    if (protocol !== 0 && protocol !== 43 && protocol !== 60) return { protocol, at };
    if (at + 8 > end) return undefined;
    protocol = frame[at]!;
    at += 8 + frame[at + 1]! * 8;
    if (at > end) return undefined;
  }
  return undefined;
}
