/** TCP between the guest and streams of the host: finds the connection of a segment, opens and accepts new ones. */

import { PLAIN_FRAME } from '../../core/net-backend.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import type { AcceptedStream, HostTimer, StreamTarget } from '../host.ts';
import { equalAt, formatIp, type IpBytes, isLoopback, parseIp } from './address.ts';
import { addressSum, get16, headerBytes, PROTOCOL_TCP, put16, put32, type Route } from './ip-output.ts';
import type { StackPorts } from './stack-ports.ts';
import { type FlowPorts, TCP_ACK, TCP_RST, TCP_SYN, TcpFlow } from './tcp-flow.ts';
import type { GuestForward, HostForward } from './user-config.ts';

/** Most connections at once; a guest that wants more is refused. */
const MAX_FLOWS = 4096;
const TICK_MS = 25;
const ACK_DELAY_MS = 2;

export class TcpNat {
  readonly #ports: StackPorts;
  readonly #flowPorts: FlowPorts;
  /** By guest port << 16 | remote port. */
  readonly #flows = new Map<number, TcpFlow[]>();
  readonly #timed = new Set<TcpFlow>();
  readonly #blocked = new Set<TcpFlow>();
  readonly #scheduled: TcpFlow[] = [];
  readonly #timer: HostTimer;
  readonly #ackTimer: HostTimer;
  readonly #delayed = new Set<TcpFlow>();
  readonly #guestForwards: readonly GuestForward[];
  #ticking = false;
  #count = 0;

  constructor(ports: StackPorts, guestForwards: readonly GuestForward[]) {
    this.#ports = ports;
    this.#guestForwards = guestForwards;
    this.#timer = ports.host.timer(() => this.#tick());
    this.#ackTimer = ports.host.timer(() => this.#acknowledge());
    this.#flowPorts = {
      headers: ports.headers,
      link: () => ports.link(),
      self: ports.self,
      nowMs: () => ports.host.nowMs(),
      schedule: (flow) => {
        if (flow.scheduled) return;
        flow.scheduled = true;
        this.#scheduled.push(flow);
        ports.scheduleFlush();
      },
      blocked: (flow) => this.#blocked.add(flow),
      timed: (flow) => this.#arm(flow),
      delayAck: (flow) => {
        if (this.#delayed.size === 0) this.#ackTimer.arm(ACK_DELAY_MS);
        this.#delayed.add(flow);
      },
      removed: (flow) => this.#forget(flow),
    };
  }

  get count(): number {
    return this.#count;
  }

  flows(): TcpFlow[] {
    return [...this.#flows.values()].flat();
  }

  /** Everything that the present batch of work made ready. */
  flush(): void {
    for (let i = 0; i < this.#scheduled.length; i++) this.#scheduled[i]!.output();
    this.#scheduled.length = 0;
  }

  /** The ring to the guest has room again. */
  writable(): void {
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    for (const flow of blocked) flow.output();
  }

  close(): void {
    for (const flow of this.flows()) flow.remove();
    this.#timer.cancel();
    this.#ackTimer.cancel();
  }

  /** A segment with IP addresses at `source` and `target` (`size` bytes each) and TCP header at `tcp`. */
  input(frame: Uint8Array, source: number, target: number, size: number, tcp: number, end: number): void {
    if (end - tcp < 20) return;
    const payload = tcp + (frame[tcp + 12]! >> 4) * 4;
    if (payload < tcp + 20 || payload > end) return;
    const guestPort = get16(frame, tcp);
    const remotePort = get16(frame, tcp + 2);
    const key = guestPort * 65536 + remotePort;
    const flow = this.#flows
      .get(key)
      ?.find(
        ({ route }) =>
          equalAt(frame, target, route.source, 0, size) && equalAt(frame, source, route.target, 0, size),
      );
    if (flow !== undefined && flow.route.source.length === size) {
      flow.input(frame, tcp, payload, end);
      return;
    }
    const route: Route = {
      mac: frame.slice(6, 12),
      source: frame.slice(target, target + size),
      target: frame.slice(source, source + size),
    };
    const flags = frame[tcp + 13]!;
    if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN)
      this.#open(frame, tcp, route, guestPort, remotePort);
    else if ((flags & TCP_RST) === 0) this.#reset(frame, tcp, route, end - payload);
  }

  #open(frame: Uint8Array, tcp: number, route: Route, guestPort: number, remotePort: number): void {
    const forward = this.#guestForward(route.source, remotePort);
    if (this.#count >= MAX_FLOWS || guestPort === 0 || remotePort === 0) {
      this.#reset(frame, tcp, route, 0);
      return;
    }
    const target: StreamTarget | undefined = forward?.target ?? this.#outside(route.source, remotePort);
    if (target === undefined) {
      // Restricted networks answer nothing; an address of ours without a server refuses.
      if (!this.#ports.isRestricted) this.#reset(frame, tcp, route, 0);
      return;
    }
    const flow = this.#create(route, guestPort, remotePort);
    flow.acceptSyn(frame, tcp, get32i(frame, tcp + 4), get16(frame, tcp + 14));
    const { policy } = this.#ports;
    if (policy === undefined || forward !== undefined) this.#connect(flow, target);
    else void this.#ask(flow, target);
  }

  async #ask(flow: TcpFlow, target: StreamTarget): Promise<void> {
    const verdict = await this.#ports.ask({
      protocol: 'tcp',
      source: { address: formatIp(flow.route.target), port: flow.guestPort },
      destination: { address: formatIp(flow.route.source), port: flow.remotePort },
    });
    if (flow.state === 'closed') return;
    if (verdict.kind === 'deny') flow.abort();
    else if (verdict.kind === 'allow') this.#connect(flow, target);
    else {
      flow.stream = verdict.open(flow);
      flow.connected();
    }
    this.#ports.scheduleFlush();
  }

  #connect(flow: TcpFlow, target: StreamTarget): void {
    try {
      flow.stream = this.#ports.host.connect(target, flow);
    } catch {
      flow.abort();
    }
  }

  #guestForward(address: IpBytes, port: number): GuestForward | undefined {
    return this.#guestForwards.find((f) => f.port === port && f.address === formatIp(address));
  }

  /** Where on the outside an address of the guest's world is. */
  #outside(address: IpBytes, port: number): StreamTarget | undefined {
    if (this.#ports.isRestricted) return undefined;
    const outside = this.#ports.outsideAddress(address, port);
    return outside === undefined ? undefined : { kind: 'tcp', address: outside, port };
  }

  /** `hostfwd`: somebody connected to a port of the host. */
  accept(forward: HostForward, stream: AcceptedStream, route: Route): void {
    const loopback = parseIp(stream.address.replace(/^::ffff:/, ''));
    const outside =
      loopback !== undefined && !isLoopback(loopback) && loopback.length === route.source.length;
    const source = outside ? loopback : route.source;
    let port = stream.port;
    const taken = (p: number): boolean =>
      (this.#flows.get(forward.guestPort * 65536 + p) ?? []).some(({ route: r }) =>
        equalAt(r.source, 0, source),
      );
    for (let tries = 0; (port === 0 || taken(port)) && tries < 64; tries++)
      port = 1024 + ((port + 4099 * tries) % 60000);
    if (this.#count >= MAX_FLOWS || taken(port)) {
      stream.open(NO_HANDLERS).destroy();
      return;
    }
    const flow = this.#create({ ...route, source }, forward.guestPort, port);
    flow.stream = stream.open(flow);
    flow.open();
    this.#ports.scheduleFlush();
  }

  #create(route: Route, guestPort: number, remotePort: number): TcpFlow {
    const iss = get32i(this.#ports.host.randomBytes(4), 0);
    const name = `${formatIp(route.target)}:${guestPort} ${formatIp(route.source)}:${remotePort}`;
    const flow = new TcpFlow(this.#flowPorts, route, guestPort, remotePort, iss, name);
    const key = guestPort * 65536 + remotePort;
    const list = this.#flows.get(key);
    if (list === undefined) this.#flows.set(key, [flow]);
    else list.push(flow);
    this.#count++;
    return flow;
  }

  #forget(flow: TcpFlow): void {
    const key = flow.guestPort * 65536 + flow.remotePort;
    const left = (this.#flows.get(key) ?? []).filter((other) => other !== flow);
    if (left.length > 0) this.#flows.set(key, left);
    else this.#flows.delete(key);
    this.#timed.delete(flow);
    this.#delayed.delete(flow);
    this.#blocked.delete(flow);
    this.#count--;
  }

  /** Answers a segment that belongs to nothing (RFC 9293 3.10.7.1). */
  #reset(frame: Uint8Array, tcp: number, route: Route, payload: number): void {
    const flags = frame[tcp + 13]!;
    const hasAck = (flags & TCP_ACK) !== 0;
    const at = headerBytes(route);
    const out = new Uint8Array(at + 20);
    this.#ports.headers.ip(out, route, PROTOCOL_TCP, 20);
    out.set(frame.subarray(tcp + 2, tcp + 4), at);
    out.set(frame.subarray(tcp, tcp + 2), at + 2);
    if (hasAck) out.set(frame.subarray(tcp + 8, tcp + 12), at + 4);
    else put32(out, at + 8, get32i(frame, tcp + 4) + payload + (flags & TCP_SYN ? 1 : 0) + (flags & 1));
    out[at + 12] = 0x50;
    out[at + 13] = hasAck ? TCP_RST : TCP_RST | TCP_ACK;
    const sum = addressSum(route.source, route.target) + PROTOCOL_TCP + 20;
    put16(out, at + 16, inetChecksum(out, at, 20, sum));
    this.#ports.link()?.send(this.#ports.self, out, PLAIN_FRAME);
  }

  #acknowledge(): void {
    const flows = [...this.#delayed];
    this.#delayed.clear();
    for (const flow of flows) flow.acknowledge();
    this.#ports.scheduleFlush();
  }

  #arm(flow: TcpFlow): void {
    this.#timed.add(flow);
    if (this.#ticking) return;
    this.#ticking = true;
    this.#timer.arm(TICK_MS);
  }

  #tick(): void {
    const nowMs = this.#ports.host.nowMs();
    for (const flow of this.#timed) {
      if (flow.deadlineMs === Number.POSITIVE_INFINITY) this.#timed.delete(flow);
      else if (flow.deadlineMs <= nowMs) flow.expired();
    }
    this.#ticking = this.#timed.size > 0;
    if (this.#ticking) this.#timer.arm(TICK_MS);
    this.#ports.scheduleFlush();
  }
}

const NO_HANDLERS = { connected() {}, data() {}, ended() {}, drained() {}, closed() {} };

function get32i(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
