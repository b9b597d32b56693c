/** A guest's end of the wire for tests of the user-mode network, and a host without real sockets. */
import { type FrameMeta, PLAIN_FRAME } from '../../core/net-backend.ts';
import { completeFrame } from '../../core/net-offload.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import type { AcceptedStream, HostStream, NetHost, StreamHandlers, StreamTarget } from '../host.ts';
import { type NetClient, NetLink } from '../net-client.ts';
import { parseIpv4 } from './address.ts';
import { addressSum, get16, get32, HeaderWriter, put16, put32 } from './ip-output.ts';
import type { NetPolicy } from './policy.ts';
import type { UserNetConfig } from './user-config.ts';
import { UserStack } from './user-stack.ts';

export const CONFIG: UserNetConfig = {
  ipv4: { prefix: 24, network: '10.0.2.0', host: '10.0.2.2', dns: '10.0.2.3', dhcpStart: '10.0.2.15' },
  ipv6: { prefix: 64, network: 'fec0::', host: 'fec0::2', dns: 'fec0::3' },
  restrict: false,
  hostname: undefined,
  domainName: undefined,
  dnsSearch: [],
  tftp: undefined,
  tftpServerName: undefined,
  bootFile: undefined,
  hostForwards: [],
  guestForwards: [],
};

export class FakeStream implements HostStream {
  readonly target: StreamTarget | undefined;
  readonly handlers: StreamHandlers;
  readonly written: number[] = [];
  pendingBytes = 0;
  ended = false;
  destroyed = false;
  paused = false;

  constructor(target: StreamTarget | undefined, handlers: StreamHandlers) {
    this.target = target;
    this.handlers = handlers;
  }
  write(bytes: Uint8Array): void {
    this.written.push(...bytes);
  }
  end(): void {
    this.ended = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  destroy(): void {
    this.destroyed = true;
  }
}

export class FakeHost implements NetHost {
  now = 0;
  readonly streams: FakeStream[] = [];
  readonly datagrams: Array<{ bytes: Uint8Array; address: string; port: number }> = [];
  readonly files = new Map<string, Uint8Array>();
  servers: string[] = ['192.0.2.53'];
  accept: ((stream: AcceptedStream) => void) | undefined;
  receive: ((bytes: Uint8Array, address: string, port: number) => void) | undefined;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  nowMs(): number {
    return this.now;
  }
  timer(callback: () => void) {
    const entry = { at: Number.POSITIVE_INFINITY, callback };
    this.#timers.add(entry);
    return {
      arm: (ms: number) => void (entry.at = this.now + ms),
      cancel: () => void (entry.at = Number.POSITIVE_INFINITY),
    };
  }
  /** Lets time pass. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.now = due.at;
      due.at = Number.POSITIVE_INFINITY;
      due.callback();
    }
    this.now = end;
  }
  randomBytes(count: number): Uint8Array {
    return new Uint8Array(count).fill(0x11);
  }
  connect(target: StreamTarget, handlers: StreamHandlers): HostStream {
    const stream = new FakeStream(target, handlers);
    this.streams.push(stream);
    return stream;
  }
  async listen(
    target: { readonly port?: number; readonly path?: string },
    accept: (stream: AcceptedStream) => void,
  ) {
    this.accept = accept;
    return { port: target.port ?? 0, close: () => {} };
  }
  async datagram(_options: unknown, received: (bytes: Uint8Array, address: string, port: number) => void) {
    this.receive = received;
    return {
      port: 4000,
      send: (bytes: Uint8Array, address: string, port: number) =>
        void this.datagrams.push({ bytes: bytes.slice(), address, port }),
      close: () => {},
    };
  }
  nameServers(): readonly string[] {
    return this.servers;
  }
  async lookup(): Promise<ReadonlyArray<{ address: string; family: 4 | 6 }>> {
    return [{ address: '192.0.2.1', family: 4 }];
  }
  ping(): Promise<boolean> {
    return Promise.resolve(true);
  }
  openFile(_root: string, name: string) {
    const content = this.files.get(name);
    if (content === undefined) return undefined;
    return {
      sizeBytes: content.length,
      read: (offset: number, length: number) => content.slice(offset, offset + length),
      close: () => {},
    };
  }
  createFile(): never {
    throw new Error('no files');
  }
  tap(): never {
    throw new Error('no taps');
  }
}

/** The card: keeps what the network sends. */
export class TestGuest implements NetClient {
  readonly id = 'guest';
  offloads = 0;
  link: NetLink | undefined;
  received: Uint8Array[] = [];
  readonly mac = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
  readonly address = parseIpv4('10.0.2.15')!;
  readonly #headers = new HeaderWriter(this.mac);

  describe(): string {
    return 'guest';
  }
  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    completeFrame(frame, meta, (complete) => this.received.push(complete.slice()) > 0);
    return true;
  }
  writable(): void {}
  close(): void {}

  send(frame: Uint8Array): void {
    this.link!.send(this, frame, PLAIN_FRAME);
  }

  /** Takes what has come. */
  take(): Uint8Array[] {
    const frames = this.received;
    this.received = [];
    return frames;
  }

  sendIp(target: string, protocol: number, payload: Uint8Array): void {
    const frame = new Uint8Array(34 + payload.length);
    const route = {
      mac: Uint8Array.of(0x52, 0x55, 10, 0, 2, 2),
      source: this.address,
      target: parseIpv4(target)!,
    };
    this.#headers.ip(frame, route, protocol, payload.length);
    frame.set(payload, 34);
    this.send(frame);
  }

  sendUdp(target: string, from: number, to: number, payload: Uint8Array): void {
    const datagram = new Uint8Array(8 + payload.length);
    put16(datagram, 0, from);
    put16(datagram, 2, to);
    put16(datagram, 4, datagram.length);
    datagram.set(payload, 8);
    this.sendIp(target, 17, datagram);
  }

  sendTcp(target: string, from: number, to: number, s: Partial<Segment>): void {
    const { flags = 0x10, seq = 0, ack = 0, window = 0xffff, data = [], options = [] } = s;
    const header = 20 + options.length;
    const segment = new Uint8Array(header + data.length);
    put16(segment, 0, from);
    put16(segment, 2, to);
    put32(segment, 4, seq);
    put32(segment, 8, ack);
    segment[12] = (header >> 2) << 4;
    segment[13] = flags;
    put16(segment, 14, window);
    segment.set(options, 20);
    segment.set(data, header);
    const sum = addressSum(this.address, parseIpv4(target)!) + 6 + segment.length;
    put16(segment, 16, inetChecksum(segment, 0, segment.length, sum));
    this.sendIp(target, 6, segment);
  }
}

export interface Segment {
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly data: readonly number[];
  readonly options: readonly number[];
}

/** Reads a TCP segment over IPv4. */
export function segmentOf(frame: Uint8Array): Segment {
  const end = 14 + get16(frame, 16);
  const data = 34 + (frame[46]! >> 4) * 4;
  return {
    flags: frame[47]!,
    seq: get32(frame, 38),
    ack: get32(frame, 42),
    window: get16(frame, 48),
    data: [...frame.subarray(data, end)],
    options: [...frame.subarray(54, data)],
  };
}

export interface Network {
  readonly host: FakeHost;
  readonly guest: TestGuest;
  readonly stack: UserStack;
  /** Lets everything that is ready happen. */
  settle(): Promise<void>;
}

export async function createNetwork(
  config: Partial<UserNetConfig> = {},
  policy?: NetPolicy,
): Promise<Network> {
  const host = new FakeHost();
  const guest = new TestGuest();
  const stack = new UserStack('net0', { ...CONFIG, ...config }, { host, policy, scheduleFlush: () => {} });
  new NetLink(guest, stack);
  await stack.start();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    stack.flush();
  };
  return { host, guest, stack, settle };
}
