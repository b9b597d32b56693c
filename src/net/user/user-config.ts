/** `-netdev user`: what the user-mode network looks like. Names and defaults are QEMU's. */
import { UserError } from '../../util/errors.ts';
import type { OptionList } from '../../util/option-list.ts';
import { formatIp, type IpBytes, parseIpv4, parseIpv6 } from './address.ts';

/** `hostfwd=`: a port of the host leads to one of the guest. */
export interface HostForward {
  readonly protocol: 'tcp' | 'udp';
  /** Empty: every address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
  /** Empty: the first address that DHCP gives. */
  readonly guestAddress: string;
  readonly guestPort: number;
}

/** `guestfwd=`: an address in the guest's network leads to a stream. */
export interface GuestForward {
  readonly address: string;
  readonly port: number;
  readonly target:
    | { readonly kind: 'command'; readonly command: string }
    | { readonly kind: 'tcp'; readonly address: string; readonly port: number }
    | { readonly kind: 'unix'; readonly path: string };
}

export interface Ipv4Config {
  readonly prefix: number;
  readonly network: string;
  readonly host: string;
  readonly dns: string;
  readonly dhcpStart: string;
}

export interface Ipv6Config {
  readonly prefix: number;
  readonly network: string;
  readonly host: string;
  readonly dns: string;
}

/** Plain data: it travels to the network thread. */
export interface UserNetConfig {
  readonly ipv4: Ipv4Config | undefined;
  readonly ipv6: Ipv6Config | undefined;
  readonly restrict: boolean;
  readonly hostname: string | undefined;
  readonly domainName: string | undefined;
  readonly dnsSearch: readonly string[];
  readonly tftp: string | undefined;
  readonly tftpServerName: string | undefined;
  readonly bootFile: string | undefined;
  readonly hostForwards: readonly HostForward[];
  readonly guestForwards: readonly GuestForward[];
}

/** Takes the options of `user` out of `options`; `list` has the values of keys that may come several times. */
export function parseUserNet(
  options: OptionList,
  list: Readonly<Record<'hostfwd' | 'guestfwd' | 'dnssearch', readonly string[]>>,
): UserNetConfig {
  const restrict = options.flag('restrict', false);
  const wants4 = options.flag('ipv4', !options.has('ipv6') || options.has('net'));
  const wants6 = options.flag('ipv6', true);
  const ipv4 = parse4(options);
  const ipv6 = parse6(options);
  if (options.has('smb') || options.has('smbserver')) throw options.error('"smb" is not supported');
  const config = {
    ipv4: wants4 ? ipv4 : undefined,
    ipv6: wants6 ? ipv6 : undefined,
    restrict,
    hostname: options.text('hostname'),
    domainName: options.text('domainname'),
    dnsSearch: list.dnssearch,
    tftp: options.text('tftp'),
    tftpServerName: options.text('tftp-server-name'),
    bootFile: options.text('bootfile'),
    hostForwards: list.hostfwd.map((text) => parseHostForward(text, `hostfwd=${text}`)),
    guestForwards: list.guestfwd.map((text) => parseGuestForward(text, `guestfwd=${text}`)),
  };
  if (!wants4 && !wants6) throw options.error('IPv4 and IPv6 disabled');
  return config;
}

function parse4(options: OptionList): Ipv4Config {
  const { network, prefix } = parseNetwork(options.text('net') ?? '10.0.2.0/24', options);
  const at = (n: number): string => {
    const bytes = network.slice();
    bytes[3] = (bytes[3]! & (prefix >= 24 ? 256 - 2 ** (32 - prefix) : 0)) + n;
    return formatIp(bytes);
  };
  const inside = (key: string, fallback: string): string => {
    const text = options.text(key) ?? fallback;
    const bytes = parseIpv4(text);
    if (bytes === undefined) throw options.error(`"${key}=${text}" is not an IPv4 address`);
    return text;
  };
  const small = prefix > 27;
  return {
    prefix,
    network: formatIp(network),
    host: inside('host', at(small ? 1 : 2)),
    dns: inside('dns', at(small ? 2 : 3)),
    dhcpStart: inside('dhcpstart', at(small ? 3 : 15)),
  };
}

function parseNetwork(text: string, options: OptionList): { network: IpBytes; prefix: number } {
  const [address = '', mask] = text.split('/');
  const bytes = parseIpv4(address);
  let prefix = mask === undefined ? 24 : /^\d+$/.test(mask) ? Number(mask) : prefixOf(mask);
  if (bytes === undefined || prefix === undefined || prefix < 4 || prefix > 30)
    throw options.error(`"net=${text}" is not a network`);
  if (mask === undefined && bytes[0]! < 128) prefix = bytes[0] === 10 ? 24 : 8;
  for (let bit = prefix; bit < 32; bit++) bytes[bit >> 3]! &= ~(0x80 >> (bit & 7));
  return { network: bytes, prefix };
}

function prefixOf(mask: string): number | undefined {
  const bytes = parseIpv4(mask);
  if (bytes === undefined) return undefined;
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const match = /^(1*)0*$/.exec(bits);
  return match === null ? undefined : match[1]!.length;
}

function parse6(options: OptionList): Ipv6Config {
  const joined = options.text('ipv6-net');
  const [net = '', length] = (joined ?? '').split('/');
  const network = joined === undefined ? (options.text('ipv6-prefix') ?? 'fec0::') : net;
  const prefix = joined === undefined ? options.number('ipv6-prefixlen', 64) : Number(length ?? 64);
  const bytes = parseIpv6(network);
  if (bytes === undefined || !(prefix >= 0 && prefix <= 126))
    throw options.error(`"ipv6-net=${network}/${prefix}" is not a network`);
  const address = (key: string, last: number): string => {
    const own = bytes.slice();
    own[15] = last;
    const text = options.text(key) ?? formatIp(own);
    if (parseIpv6(text) === undefined) throw options.error(`"${key}=${text}" is not an IPv6 address`);
    return text;
  };
  return {
    prefix,
    network: formatIp(bytes),
    host: address('ipv6-host', 2),
    dns: address('ipv6-dns', 3),
  };
}

/** `[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport`. */
export function parseHostForward(text: string, what: string): HostForward {
  const match = /^(tcp|udp)?:(\[[^\]]*\]|[^:]*):(\d+)-(\[[^\]]*\]|[^:]*):(\d+)$/.exec(text);
  const bad = (): UserError => new UserError('GenericError', `Invalid host forwarding rule '${what}'`);
  if (match === null) throw bad();
  const [, protocol = 'tcp', host = '', hostPort, guest = '', guestPort] = match;
  const ports = [Number(hostPort), Number(guestPort)] as const;
  const addresses = [bare(host), bare(guest)] as const;
  const isAddress = (a: string): boolean =>
    a === '' || parseIpv4(a) !== undefined || parseIpv6(a) !== undefined;
  if (ports[0] > 65535 || ports[1] < 1 || ports[1] > 65535 || !addresses.every(isAddress)) throw bad();
  return {
    protocol: protocol as 'tcp' | 'udp',
    hostAddress: addresses[0],
    hostPort: ports[0],
    guestAddress: addresses[1],
    guestPort: ports[1],
  };
}

/** `[tcp]:server:port-dev` with a stream, or `-cmd:command`. */
function parseGuestForward(text: string, what: string): GuestForward {
  const match = /^(?:tcp)?:([^:]*):(\d+)-(.*)$/.exec(text);
  const bad = (reason: string): UserError =>
    new UserError('GenericError', `Invalid guest forwarding rule '${what}'${reason}`);
  const address = match?.[1] ?? '';
  const port = Number(match?.[2] ?? 0);
  if (match === null || parseIpv4(address) === undefined || port < 1 || port > 65535) throw bad('');
  const target = match[3]!;
  if (target.startsWith('cmd:'))
    return { address, port, target: { kind: 'command', command: target.slice(4) } };
  const tcp = /^tcp:([^:,]+|\[[^\]]+\]):(\d+)$/.exec(target);
  if (tcp !== null)
    return { address, port, target: { kind: 'tcp', address: bare(tcp[1]!), port: Number(tcp[2]) } };
  const unix = /^unix:([^,]+)$/.exec(target);
  if (unix !== null) return { address, port, target: { kind: 'unix', path: unix[1]! } };
  throw bad(': the target must be cmd:COMMAND, tcp:HOST:PORT or unix:PATH');
}

function bare(address: string): string {
  return address.startsWith('[') ? address.slice(1, -1) : address;
}
