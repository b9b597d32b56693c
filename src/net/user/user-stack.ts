/**
 * The user-mode network: a router, DHCP, DNS and TFTP server made of nothing but the host's ordinary sockets. It is the other end of the
 * guest's wire; what a guest sends to the outside leaves through sockets of the host.
 */
import {
  FRAME_CHECKED,
  FRAME_NEEDS_CHECKSUM,
  type FrameMeta,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TCPV4,
  OFFLOAD_TCPV6,
  PLAIN_FRAME,
} from '../../core/net-backend.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import type { Listener, NetHost } from '../host.ts';
import type { NetClient, NetLink } from '../net-client.ts';
import { equalAt, formatIp, type IpBytes, parseIp, parseIpv4, parseIpv6, samePrefix } from './address.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from './dhcp.ts';
import { NameResolver } from './dns.ts';
import { answerDhcpv6, DHCPV6_CLIENT_PORT, DHCPV6_SERVER_PORT, Icmpv6, skipExtensions } from './icmpv6.ts';
import {
  addressSum,
  ETHERNET_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  get16,
  HeaderWriter,
  headerBytes,
  MTU,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  put16,
  type Route,
} from './ip-output.ts';
import type { ConnectionRequest, NetPolicy, PolicyVerdict } from './policy.ts';
import { Reassembly } from './reassembly.ts';
import type { StackPorts } from './stack-ports.ts';
import { TcpNat } from './tcp.ts';
import { TftpServer } from './tftp.ts';
import { UdpNat } from './udp.ts';
import type { HostForward, UserNetConfig } from './user-config.ts';

const BROADCAST_MAC = new Uint8Array(6).fill(0xff);
const MAX_NEIGHBOURS = 256;
/** Echo requests to the outside that wait for an answer. */
const MAX_PINGS = 32;

export interface UserStackPorts {
  readonly host: NetHost;
  readonly policy: NetPolicy | undefined;
  /** `flush` is to be called before the thread sleeps. */
  scheduleFlush(): void;
}

interface OpenForward {
  readonly rule: HostForward;
  readonly listener: { readonly port: number; close(): void };
}

export class UserStack implements NetClient {
  readonly id: string;
  readonly offloads = OFFLOAD_CHECKSUM | OFFLOAD_TCPV4 | OFFLOAD_TCPV6;
  link: NetLink | undefined;
  readonly #config: UserNetConfig;
  readonly #host: NetHost;
  readonly #policy: NetPolicy | undefined;
  /** The router's address on the wire. */
  readonly #mac: Uint8Array;
  readonly #headers: HeaderWriter;
  readonly #host4: IpBytes | undefined;
  readonly #dns4: IpBytes | undefined;
  readonly #icmp6: Icmpv6 | undefined;
  readonly #tcp: TcpNat;
  readonly #udp: UdpNat;
  readonly #dhcp: DhcpServer | undefined;
  readonly #tftp: TftpServer;
  readonly #resolver: NameResolver;
  readonly #reassembly = new Reassembly();
  readonly #neighbours = new Map<string, Uint8Array>();
  readonly #forwards: OpenForward[] = [];
  #pings = 0;

  constructor(id: string, config: UserNetConfig, ports: UserStackPorts) {
    this.id = id;
    this.#config = config;
    this.#host = ports.host;
    this.#policy = ports.policy;
    const { ipv4, ipv6 } = config;
    this.#host4 = ipv4 === undefined ? undefined : parseIpv4(ipv4.host)!;
    this.#dns4 = ipv4 === undefined ? undefined : parseIpv4(ipv4.dns)!;
    this.#mac = Uint8Array.from([0x52, 0x55, ...(this.#host4 ?? [10, 0, 2, 2])]);
    this.#headers = new HeaderWriter(this.#mac);
    const shared = this.#sharedPorts(ports);
    this.#tcp = new TcpNat(shared, config.guestForwards);
    this.#udp = new UdpNat(shared);
    this.#dhcp = ipv4 === undefined ? undefined : new DhcpServer(config);
    this.#tftp = new TftpServer(ports.host, config.tftp, (route, from, to, payload) =>
      this.#sendUdp(route, from, to, payload),
    );
    this.#resolver = new NameResolver(ports.host);
    if (ipv6 !== undefined) {
      const linkLocal = parseIpv6('fe80::2')!;
      this.#icmp6 = new Icmpv6(
        {
          mac: this.#mac,
          linkLocal,
          sendIp: (route, protocol, payload) => this.#sendIp(route, protocol, payload),
          learn: (address, mac) => this.#learn(address, mac),
        },
        config,
      );
    }
  }

  /** Opens the ports of `hostfwd=`; rejects with the reason for the first that cannot be had. */
  async start(): Promise<void> {
    for (const rule of this.#config.hostForwards) await this.addForward(rule);
  }

  describe(): string {
    const { ipv4, restrict } = this.#config;
    const net = ipv4 === undefined ? 'ipv6' : `net=${ipv4.network}`;
    return `user,${net},restrict=${restrict ? 'on' : 'off'}`;
  }

  // --- the wire

  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    if (frame.length < ETHERNET_BYTES) return true;
    const type = get16(frame, 12);
    if (type === ETHERTYPE_IPV4) this.#onIpv4(frame, meta);
    else if (type === ETHERTYPE_ARP) this.#onArp(frame);
    else if (type === ETHERTYPE_IPV6) this.#onIpv6(frame, meta);
    return true;
  }

  writable(): void {
    this.#tcp.writable();
  }

  flush(): void {
    this.#tcp.flush();
  }

  close(): void {
    this.#tcp.close();
    this.#udp.close();
    this.#tftp.close();
    for (const { listener } of this.#forwards) listener.close();
    this.#forwards.length = 0;
  }

  // --- forwarded ports

  async addForward(rule: HostForward): Promise<number> {
    const route = (): Route => this.#routeToGuest(rule.guestAddress);
    let listener: Listener;
    if (rule.protocol === 'udp') listener = await this.#udp.forward(rule, route);
    else {
      listener = await this.#host.listen(
        { address: rule.hostAddress || undefined, port: rule.hostPort },
        (stream) => this.#tcp.accept(rule, stream, route()),
      );
    }
    this.#forwards.push({ rule: { ...rule, hostPort: listener.port }, listener });
    return listener.port;
  }

  /** False: there is no such rule. */
  removeForward(protocol: string, address: string, port: number): boolean {
    const at = this.#forwards.findIndex(
      ({ rule }) => rule.protocol === protocol && rule.hostPort === port && rule.hostAddress === address,
    );
    if (at < 0) return false;
    this.#forwards[at]!.listener.close();
    this.#forwards.splice(at, 1);
    return true;
  }

  /** `info usernet`. */
  connections(): string {
    const rows = [
      ...this.#forwards.map(({ rule }) => {
        const guest = rule.guestAddress || (this.#config.ipv4?.dhcpStart ?? '');
        return `  ${rule.protocol.toUpperCase()}[HOST_FORWARD]  ${rule.hostAddress || '*'}:${rule.hostPort} -> ${guest}:${rule.guestPort}`;
      }),
      ...this.#tcp
        .flows()
        .map(
          (f) => `  TCP[${f.state}]  ${f.describe}  recvq ${f.receiveQueueBytes} sendq ${f.sendQueueBytes}`,
        ),
      ...this.#udp.flows().map((text) => `  UDP  ${text}`),
    ];
    return rows.map((row) => `${row}\n`).join('');
  }

  #routeToGuest(guestAddress: string): Route {
    const { ipv4, ipv6 } = this.#config;
    const text = guestAddress || ipv4?.dhcpStart || '';
    const target = parseIp(text) ?? new Uint8Array(4);
    const source = parseIp(target.length === 4 ? (ipv4?.host ?? '0.0.0.0') : (ipv6?.host ?? '::'))!;
    return { mac: this.#macOf(target), source, target };
  }

  /** A neighbour's address on the wire; unknown: everybody's, and it is asked for. */
  #macOf(address: IpBytes): Uint8Array {
    const known = this.#neighbours.get(formatIp(address));
    if (known !== undefined) return known;
    if (address.length === 4) this.#askArp(address);
    else this.#icmp6?.solicit(address);
    return BROADCAST_MAC;
  }

  #learn(address: IpBytes, mac: Uint8Array): void {
    const key = formatIp(address);
    const known = this.#neighbours.get(key);
    if (known !== undefined && equalAt(known, 0, mac)) return;
    if (this.#neighbours.size >= MAX_NEIGHBOURS)
      this.#neighbours.delete(this.#neighbours.keys().next().value!);
    this.#neighbours.set(key, mac);
  }

  // --- ARP (RFC 826)

  #onArp(frame: Uint8Array): void {
    if (frame.length < 42 || this.#config.ipv4 === undefined || get16(frame, 14) !== 1) return;
    const { network, prefix } = this.#config.ipv4;
    const sender = frame.slice(28, 32);
    if (samePrefix(sender, 0, parseIpv4(network)!, prefix)) this.#learn(sender, frame.slice(22, 28));
    const target = frame.slice(38, 42);
    if (get16(frame, 20) !== 1 || !this.#isOwn4(target)) return;
    this.#sendArp(2, target, frame.slice(22, 28), sender);
  }

  #askArp(address: IpBytes): void {
    if (this.#host4 !== undefined) this.#sendArp(1, this.#host4, BROADCAST_MAC, address);
  }

  #sendArp(operation: number, source: IpBytes, mac: Uint8Array, target: IpBytes): void {
    const frame = new Uint8Array(60);
    this.#headers.ethernet(frame, mac, ETHERTYPE_ARP);
    frame.set([0, 1, 8, 0, 6, 4, 0, operation], 14);
    frame.set(this.#mac, 22);
    frame.set(source, 28);
    if (operation === 2) frame.set(mac, 32);
    frame.set(target, 38);
    this.link?.send(this, frame);
  }

  /** Router, name server, and addresses that `guestfwd` serves. */
  #isOwn4(address: IpBytes): boolean {
    if (this.#host4 !== undefined && equalAt(address, 0, this.#host4)) return true;
    if (this.#dns4 !== undefined && equalAt(address, 0, this.#dns4)) return true;
    const text = formatIp(address);
    return this.#config.guestForwards.some((forward) => forward.address === text);
  }

  // --- IPv4

  #onIpv4(frame: Uint8Array, meta: Readonly<FrameMeta>): void {
    if (this.#config.ipv4 === undefined || frame.length < 34) return;
    const ip = ETHERNET_BYTES;
    const headerEnd = ip + (frame[ip]! & 15) * 4;
    const end = ip + get16(frame, ip + 2);
    if (frame[ip]! >> 4 !== 4 || headerEnd < ip + 20 || end < headerEnd || end > frame.length) return;
    if (inetChecksum(frame, ip, headerEnd - ip) !== 0) return;
    if ((get16(frame, ip + 6) & 0x3fff) !== 0) {
      const whole = this.#reassembly.add(frame, ip, headerEnd, end, this.#host.nowMs());
      if (whole !== undefined) this.#onTransport4(whole, ip + 20, whole.length, PLAIN_FRAME);
    } else this.#onTransport4(frame, headerEnd, end, meta);
  }

  #onTransport4(frame: Uint8Array, at: number, end: number, meta: Readonly<FrameMeta>): void {
    const protocol = frame[23]!;
    if (protocol === PROTOCOL_TCP) {
      if (this.#isSumGood(frame, meta, 26, 4, protocol, at, end)) this.#tcp.input(frame, 26, 30, 4, at, end);
      return;
    }
    const back: Route = { mac: frame.slice(6, 12), source: frame.slice(30, 34), target: frame.slice(26, 30) };
    if (protocol === PROTOCOL_UDP) {
      const length = end - at >= 8 ? get16(frame, at + 4) : 0;
      if (length < 8 || at + length > end) return;
      const hasSum = get16(frame, at + 6) !== 0;
      if (hasSum && !this.#isSumGood(frame, meta, 26, 4, protocol, at, at + length)) return;
      this.#onUdp4(frame, back, at, at + length);
    } else if (protocol === PROTOCOL_ICMP) this.#onIcmp(frame, back, at, end);
  }

  /** Frames that never left shared memory have no sum yet, or one that nobody needs to look at. */
  #isSumGood(
    frame: Uint8Array,
    meta: Readonly<FrameMeta>,
    addresses: number,
    size: number,
    protocol: number,
    at: number,
    end: number,
  ): boolean {
    if ((meta.flags & (FRAME_NEEDS_CHECKSUM | FRAME_CHECKED)) !== 0) return true;
    const sum = addressSum(
      frame.subarray(addresses, addresses + size),
      frame.subarray(addresses + size, addresses + 2 * size),
    );
    return inetChecksum(frame, at, end - at, sum + protocol + (end - at)) === 0;
  }

  #onUdp4(frame: Uint8Array, back: Route, udp: number, end: number): void {
    const guestPort = get16(frame, udp);
    const port = get16(frame, udp + 2);
    const isBroadcast = this.#isBroadcast(back.source);
    const isHost = equalAt(back.source, 0, this.#host4!);
    if (port === DHCP_SERVER_PORT && (isBroadcast || isHost)) {
      this.#onDhcp(frame.subarray(udp + 8, end), back.mac);
      return;
    }
    if (isHost && this.#tftp.input(back, guestPort, port, frame.subarray(udp + 8, end))) return;
    if (isBroadcast || back.source[0]! >= 224) return;
    if (this.#onDns(frame, back, guestPort, port, udp + 8, end)) return;
    this.#udp.input(frame, back, udp, end);
  }

  /** A question to the name server, where the host has none to ask but knows names itself. */
  #onDns(frame: Uint8Array, back: Route, guestPort: number, port: number, at: number, end: number): boolean {
    if (port !== 53 || this.#config.restrict || !this.#isDns(back.source)) return false;
    if (this.#host.nameServers().length > 0) return false;
    void this.#resolver.answer(frame.slice(at, end)).then((answer) => {
      if (answer !== undefined) this.#sendUdp(back, 53, guestPort, answer);
    });
    return true;
  }

  #isDns(address: IpBytes): boolean {
    const { ipv6 } = this.#config;
    return address.length === 4
      ? this.#dns4 !== undefined && equalAt(address, 0, this.#dns4)
      : ipv6 !== undefined && equalAt(address, 0, parseIpv6(ipv6.dns)!);
  }

  #isBroadcast(address: IpBytes): boolean {
    const { network, prefix } = this.#config.ipv4!;
    if (address.every((byte) => byte === 255)) return true;
    if (!samePrefix(address, 0, parseIpv4(network)!, prefix)) return false;
    for (let bit = prefix; bit < 32; bit++)
      if ((address[bit >> 3]! & (0x80 >> (bit & 7))) === 0) return false;
    return true;
  }

  #onDhcp(message: Uint8Array, mac: Uint8Array): void {
    const reply = this.#dhcp!.answer(message);
    if (reply === undefined) return;
    const everybody = new Uint8Array(4).fill(255);
    const target = reply.target ?? everybody;
    const given = reply.payload.subarray(16, 20);
    if (given.some((byte) => byte !== 0)) this.#learn(given.slice(), mac);
    const route = { mac: reply.target === undefined ? BROADCAST_MAC : mac, source: this.#host4!, target };
    this.#sendUdp(route, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.payload);
  }

  #onIcmp(frame: Uint8Array, back: Route, at: number, end: number): void {
    if (end - at < 8 || frame[at] !== 8 || inetChecksum(frame, at, end - at) !== 0) return;
    const message = frame.slice(at, end);
    if (this.#isOwn4(back.source)) this.#echo(back, message);
    else if (!this.#config.restrict) void this.#pingOutside(back, message);
  }

  #echo(back: Route, message: Uint8Array): void {
    message[0] = 0;
    put16(message, 2, 0);
    put16(message, 2, inetChecksum(message, 0, message.length));
    this.#sendIp(back, PROTOCOL_ICMP, message);
  }

  async #pingOutside(back: Route, message: Uint8Array): Promise<void> {
    if (this.#pings >= MAX_PINGS) return;
    this.#pings++;
    try {
      const source = { address: formatIp(back.target), port: 0 };
      const verdict = await this.#ask({
        protocol: 'icmp',
        source,
        destination: { address: formatIp(back.source), port: 0 },
      });
      if (
        verdict.kind === 'allow' &&
        (await this.#host.ping(formatIp(back.source), message.subarray(8))) === true
      )
        this.#echo(back, message);
    } catch {
      // No answer is the answer.
    } finally {
      this.#pings--;
    }
  }

  // --- IPv6

  #onIpv6(frame: Uint8Array, meta: Readonly<FrameMeta>): void {
    if (this.#icmp6 === undefined || frame.length < 54 || frame[14]! >> 4 !== 6) return;
    const end = 54 + get16(frame, 18);
    if (end > frame.length) return;
    const transport = skipExtensions(frame, frame[20]!, 54, end);
    if (transport === undefined) return;
    const { protocol, at } = transport;
    if (protocol === PROTOCOL_TCP) {
      if (this.#isSumGood(frame, meta, 22, 16, protocol, at, end))
        this.#tcp.input(frame, 22, 38, 16, at, end);
      return;
    }
    const back: Route = { mac: frame.slice(6, 12), source: frame.slice(38, 54), target: frame.slice(22, 38) };
    if (back.target.some((byte) => byte !== 0)) this.#learn(back.target, back.mac);
    if (protocol === PROTOCOL_ICMPV6) this.#icmp6.input(frame, back, at, end, frame[21]!);
    else if (
      protocol === PROTOCOL_UDP &&
      end - at >= 8 &&
      this.#isSumGood(frame, meta, 22, 16, protocol, at, end)
    )
      this.#onUdp6(frame, back, at, Math.min(end, at + Math.max(8, get16(frame, at + 4))));
  }

  #onUdp6(frame: Uint8Array, back: Route, udp: number, end: number): void {
    const port = get16(frame, udp + 2);
    const guestPort = get16(frame, udp);
    const own = parseIpv6(this.#config.ipv6!.host)!;
    if (port === DHCPV6_SERVER_PORT) {
      const reply = answerDhcpv6(frame.subarray(udp + 8, end), this.#config);
      const route = { ...back, source: parseIpv6('fe80::2')! };
      if (reply !== undefined) this.#sendUdp(route, DHCPV6_SERVER_PORT, DHCPV6_CLIENT_PORT, reply);
      return;
    }
    if (back.source[0] === 0xff) return;
    const isHost = equalAt(back.source, 0, own);
    if (isHost && this.#tftp.input(back, guestPort, port, frame.subarray(udp + 8, end))) return;
    if (this.#onDns(frame, back, guestPort, port, udp + 8, end)) return;
    this.#udp.input(frame, back, udp, end);
  }

  // --- to the guest

  #sendIp(route: Route, protocol: number, payload: Uint8Array): void {
    const header = headerBytes(route);
    const room = MTU - (header - ETHERNET_BYTES);
    if (payload.length <= room) {
      const frame = new Uint8Array(Math.max(60, header + payload.length));
      this.#headers.ip(frame, route, protocol, payload.length);
      frame.set(payload, header);
      this.link?.send(this, frame.subarray(0, header + payload.length));
    } else if (route.source.length === 4) this.#sendFragments(route, protocol, payload, room & ~7);
  }

  #sendFragments(route: Route, protocol: number, payload: Uint8Array, room: number): void {
    const identification = this.#headers.nextIdentification();
    const header = headerBytes(route);
    for (let offset = 0; offset < payload.length; offset += room) {
      const part = payload.subarray(offset, offset + room);
      const frame = new Uint8Array(header + part.length);
      const more = offset + room < payload.length;
      this.#headers.ip(frame, route, protocol, part.length, { offset, more }, identification);
      frame.set(part, header);
      this.link?.send(this, frame);
    }
  }

  #sendUdp(route: Route, sourcePort: number, targetPort: number, payload: Uint8Array): void {
    if (payload.length > 65535 - 28) return;
    const datagram = new Uint8Array(8 + payload.length);
    put16(datagram, 0, sourcePort);
    put16(datagram, 2, targetPort);
    put16(datagram, 4, datagram.length);
    datagram.set(payload, 8);
    const pseudo = addressSum(route.source, route.target) + PROTOCOL_UDP + datagram.length;
    const sum = inetChecksum(datagram, 0, datagram.length, pseudo);
    put16(datagram, 6, sum === 0 ? 0xffff : sum);
    this.#sendIp(route, PROTOCOL_UDP, datagram);
  }

  // --- to the outside

  #outsideAddress(address: IpBytes, port: number): string | undefined {
    const { ipv4, ipv6, restrict } = this.#config;
    if (restrict) return undefined;
    if (this.#isDns(address)) return port === 53 ? this.#host.nameServers()[0] : undefined;
    if (address.length === 4) {
      if (equalAt(address, 0, this.#host4!)) return '127.0.0.1';
      // The rest of the guest's own network is nowhere; neither are this host, multicast and broadcast.
      if (samePrefix(address, 0, parseIpv4(ipv4!.network)!, ipv4!.prefix)) return undefined;
      if (address[0] === 0 || address[0]! >= 224 || address[0] === 127) return undefined;
      return formatIp(address);
    }
    if (equalAt(address, 0, parseIpv6(ipv6!.host)!)) return '::1';
    if (samePrefix(address, 0, parseIpv6(ipv6!.network)!, ipv6!.prefix)) return undefined;
    const isLocal = address[0] === 0xff || (address[0] === 0xfe && (address[1]! & 0xc0) === 0x80);
    const isMapped = address.subarray(0, 10).every((byte) => byte === 0);
    return isLocal || isMapped ? undefined : formatIp(address);
  }

  async #ask(request: ConnectionRequest): Promise<PolicyVerdict> {
    if (this.#policy === undefined) return { kind: 'allow' };
    try {
      return await this.#policy(request);
    } catch {
      return { kind: 'deny' };
    }
  }

  #sharedPorts({ host, policy, scheduleFlush }: UserStackPorts): StackPorts {
    return {
      host,
      policy,
      headers: this.#headers,
      self: this,
      isRestricted: this.#config.restrict,
      ask: (request) => this.#ask(request),
      link: () => this.link,
      scheduleFlush,
      outsideAddress: (address, port) => this.#outsideAddress(address, port),
      sendIp: (route, protocol, payload) => this.#sendIp(route, protocol, payload),
      sendUdp: (route, from, to, payload) => this.#sendUdp(this.#withMac(route), from, to, payload),
    };
  }

  #withMac(route: Route): Route {
    return route.mac === BROADCAST_MAC ? { ...route, mac: this.#macOf(route.target) } : route;
  }
}
