/** The DHCP and BOOTP server of the user-mode network (RFC 2131, RFC 2132). */
import { equalAt, formatIp, type IpBytes, parseIpv4 } from './address.ts';
import { get16, get32, put16, put32 } from './ip-output.ts';
import type { UserNetConfig } from './user-config.ts';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
const FIXED_BYTES = 240;
const REPLY_BYTES = 548;
const MAGIC = 0x63825363;
const MAX_LEASES = 16;
const LEASE_SECONDS = 24 * 60 * 60;

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const RELEASE = 7;
const INFORM = 8;

const OPTION_REQUESTED = 50;
const OPTION_TYPE = 53;
const OPTION_SERVER = 54;

interface Lease {
  mac: Uint8Array;
  readonly address: IpBytes;
}

export interface DhcpReply {
  readonly payload: Uint8Array;
  /** Undefined: to everybody. */
  readonly target: IpBytes | undefined;
}

export class DhcpServer {
  readonly #config: UserNetConfig;
  readonly #server: IpBytes;
  readonly #leases: Lease[] = [];

  /** `config.ipv4` is there. */
  constructor(config: UserNetConfig) {
    this.#config = config;
    this.#server = parseIpv4(config.ipv4!.host)!;
  }

  /** The answer to a client's message, if it gets one. */
  answer(message: Uint8Array): DhcpReply | undefined {
    if (message.length < 236 || message[0] !== 1 || message[1] !== 1 || message[2] !== 6) return undefined;
    const options = readOptions(message);
    const type = options.get(OPTION_TYPE)?.[0] ?? 0;
    const mac = message.slice(28, 34);
    if (type === DECLINE || type === RELEASE) {
      if (type === RELEASE) this.#release(mac);
      return undefined;
    }
    const server = options.get(OPTION_SERVER);
    if (server !== undefined && (server.length !== 4 || !equalAt(server, 0, this.#server))) return undefined;
    if (type === INFORM) return this.#reply(message, ACK, message.slice(12, 16), false);
    if (type !== DISCOVER && type !== REQUEST && type !== 0) return undefined;
    const lease = this.#lease(mac, options.get(OPTION_REQUESTED));
    if (lease === undefined) return undefined;
    const wanted = options.get(OPTION_REQUESTED) ?? nonZero(message.subarray(12, 16));
    if (type === REQUEST && wanted !== undefined && !equalAt(wanted, 0, lease.address))
      return this.#reply(message, NAK, undefined, false);
    return this.#reply(message, type === DISCOVER ? OFFER : type === REQUEST ? ACK : 0, lease.address, true);
  }

  /** The address a client has, or undefined. */
  addressOf(mac: Uint8Array): IpBytes | undefined {
    return this.#leases.find((lease) => equalAt(lease.mac, 0, mac))?.address;
  }

  #release(mac: Uint8Array): void {
    const at = this.#leases.findIndex((lease) => equalAt(lease.mac, 0, mac));
    if (at >= 0) this.#leases.splice(at, 1);
  }

  /** A flood of clients takes the addresses away from those who asked longest ago. */
  #lease(mac: Uint8Array, wanted: Uint8Array | undefined): Lease | undefined {
    const known = this.#leases.find((lease) => equalAt(lease.mac, 0, mac));
    if (known !== undefined) return known;
    const start = get32(parseIpv4(this.#config.ipv4!.dhcpStart)!, 0);
    const candidates = Array.from({ length: MAX_LEASES }, (_, n) => address(start + n)).filter((a) =>
      this.#isOurs(a),
    );
    const isFree = (a: IpBytes): boolean => !this.#leases.some((lease) => equalAt(lease.address, 0, a));
    const asked = candidates.find((a) => wanted?.length === 4 && equalAt(wanted, 0, a) && isFree(a));
    const free = asked ?? candidates.find(isFree) ?? this.#leases.shift()?.address;
    if (free === undefined) return undefined;
    const lease = { mac, address: free };
    this.#leases.push(lease);
    return lease;
  }

  #isOurs(candidate: IpBytes): boolean {
    const { network, prefix, host, dns } = this.#config.ipv4!;
    const text = formatIp(candidate);
    const last = 2 ** (32 - prefix) - 1;
    const offset = get32(candidate, 0) - get32(parseIpv4(network)!, 0);
    return offset > 0 && offset < last && text !== host && text !== dns;
  }

  #reply(message: Uint8Array, type: number, given: IpBytes | undefined, isLease: boolean): DhcpReply {
    const out = new Uint8Array(REPLY_BYTES);
    out.set([2, 1, 6, 0]);
    out.set(message.subarray(4, 8), 4); // transaction
    out.set(message.subarray(10, 12), 10); // flags
    if (type === ACK) out.set(message.subarray(12, 16), 12);
    if (given !== undefined && isLease) out.set(given, 16);
    out.set(this.#server, 20);
    out.set(message.subarray(28, 44), 28);
    const { bootFile, tftpServerName } = this.#config;
    if (type !== NAK) {
      writeText(out, 44, 64, tftpServerName);
      writeText(out, 108, 128, bootFile);
    }
    put32(out, 236, MAGIC);
    const end = this.#writeOptions(out, type, isLease);
    const isDirect =
      type !== NAK && get16(message, 10) === 0 && nonZero(message.subarray(12, 16)) !== undefined;
    return {
      payload: out.subarray(0, Math.max(300, end)),
      target: isDirect ? message.slice(12, 16) : undefined,
    };
  }

  #writeOptions(out: Uint8Array, type: number, isLease: boolean): number {
    const { hostname, domainName, dnsSearch, tftpServerName, bootFile, restrict } = this.#config;
    const ipv4 = this.#config.ipv4!;
    let at = FIXED_BYTES;
    const add = (code: number, value: ArrayLike<number>): void => {
      if (value.length > 255 || at + 2 + value.length >= REPLY_BYTES) return;
      out[at] = code;
      out[at + 1] = value.length;
      out.set(value, at + 2);
      at += 2 + value.length;
    };
    if (type !== 0) add(OPTION_TYPE, [type]);
    add(OPTION_SERVER, this.#server);
    if (type !== NAK) {
      add(1, address(2 ** 32 - 2 ** (32 - ipv4.prefix)));
      if (!restrict) {
        add(3, this.#server);
        add(6, parseIpv4(ipv4.dns)!);
      }
      if (isLease) add(51, address(LEASE_SECONDS));
      if (hostname !== undefined) add(12, ascii(hostname));
      if (domainName !== undefined) add(15, ascii(domainName));
      if (tftpServerName !== undefined) add(66, ascii(tftpServerName));
      if (bootFile !== undefined) add(67, ascii(bootFile));
      if (dnsSearch.length > 0) add(119, dnsSearch.flatMap(domainLabels));
    }
    out[at] = 255;
    return at + 1;
  }
}

/** RFC 1035 3.1, uncompressed (RFC 3397). */
export function domainLabels(name: string): number[] {
  const labels = name.split('.').filter((label) => label !== '' && label.length < 64);
  return [...labels.flatMap((label) => [label.length, ...ascii(label)]), 0];
}

export function ascii(text: string): number[] {
  return Array.from(text, (char) => char.charCodeAt(0) & 0x7f);
}

function writeText(out: Uint8Array, at: number, room: number, text: string | undefined): void {
  if (text !== undefined) out.set(ascii(text).slice(0, room - 1), at);
}

function address(value: number): IpBytes {
  const bytes = new Uint8Array(4);
  put16(bytes, 0, value / 65536);
  put16(bytes, 2, value % 65536);
  return bytes;
}

function nonZero(bytes: Uint8Array): Uint8Array | undefined {
  return bytes.some((byte) => byte !== 0) ? bytes : undefined;
}

function readOptions(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  if (message.length < FIXED_BYTES || get32(message, 236) !== MAGIC) return options;
  for (let at = FIXED_BYTES; at < message.length && message[at] !== 255; ) {
    const code = message[at]!;
    if (code === 0) {
      at++;
      continue;
    }
    const length = message[at + 1] ?? 0;
    if (at + 2 + length > message.length) break;
    options.set(code, message.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}
