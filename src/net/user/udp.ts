/** UDP between the guest and the host: one socket of the host for each port of the guest, for as long as it is used. */
import type { DatagramSocket, HostTimer } from '../host.ts';
import { equalAt, formatIp, type IpBytes, parseIp } from './address.ts';
import { get16, type Route } from './ip-output.ts';
import type { StackPorts } from './stack-ports.ts';
import type { HostForward } from './user-config.ts';

const MAX_FLOWS = 512;
/** Datagrams that wait for their socket to be bound. */
const MAX_WAITING = 16;
const IDLE_MS = 240_000;
/** A question to a name server has an answer or none. */
const DNS_IDLE_MS = 15_000;
const SWEEP_MS = 5_000;
/** Peers of one port whose address the guest knows by another. */
const MAX_PEERS = 1024;

interface UdpFlow {
  readonly mac: Uint8Array;
  readonly guest: IpBytes;
  readonly guestPort: number;
  socket: DatagramSocket | undefined;
  /** Before the socket is there. */
  waiting: Array<() => void> | undefined;
  /** Address and port outside → as the guest knows it. */
  readonly peers: Map<string, IpBytes>;
  expiresMs: number;
}

interface UdpForward {
  readonly rule: HostForward;
  readonly socket: DatagramSocket;
  /** Port that the guest sees → sender outside. */
  readonly senders: Map<number, { readonly address: string; readonly port: number }>;
}

export class UdpNat {
  readonly #ports: StackPorts;
  readonly #flows = new Map<string, UdpFlow>();
  readonly #forwards: UdpForward[] = [];
  readonly #timer: HostTimer;

  constructor(ports: StackPorts) {
    this.#ports = ports;
    this.#timer = ports.host.timer(() => this.#sweep());
  }

  get count(): number {
    return this.#flows.size;
  }

  flows(): string[] {
    return [...this.#flows.values()].map(
      (f) => `${formatIp(f.guest)}:${f.guestPort} port ${f.socket?.port ?? 0}`,
    );
  }

  close(): void {
    this.#timer.cancel();
    for (const flow of this.#flows.values()) flow.socket?.close();
    for (const { socket } of this.#forwards) socket.close();
    this.#flows.clear();
  }

  /** A datagram of the guest; `route` leads back to it. */
  input(frame: Uint8Array, route: Route, udp: number, end: number): void {
    const guestPort = get16(frame, udp);
    const port = get16(frame, udp + 2);
    const payload = frame.subarray(udp + 8, end);
    if (this.#answerForward(route, guestPort, port, payload)) return;
    const outside = this.#ports.isRestricted ? undefined : this.#ports.outsideAddress(route.source, port);
    if (outside === undefined || port === 0) return;
    const key = `${formatIp(route.target)}:${guestPort}`;
    const flow = this.#flows.get(key) ?? this.#create(key, route, guestPort, port);
    if (flow === undefined) return;
    flow.expiresMs = this.#ports.host.nowMs() + (port === 53 ? DNS_IDLE_MS : IDLE_MS);
    if (flow.peers.size < MAX_PEERS) flow.peers.set(`${outside}:${port}`, route.source);
    if (flow.socket !== undefined) flow.socket.send(payload, outside, port);
    else if (flow.waiting !== undefined && flow.waiting.length < MAX_WAITING) {
      const copy = payload.slice();
      flow.waiting.push(() => flow.socket?.send(copy, outside, port));
    }
  }

  /** `hostfwd=udp:`; rejects if the port cannot be had. */
  async forward(
    rule: HostForward,
    route: (source: IpBytes | undefined) => Route,
  ): Promise<{ close(): void; port: number }> {
    const senders = new Map<number, { address: string; port: number }>();
    const socket = await this.#ports.host.datagram(
      {
        family: rule.hostAddress.includes(':') ? 6 : 4,
        address: rule.hostAddress || undefined,
        port: rule.hostPort,
      },
      (bytes, address, port) => {
        if (senders.size > MAX_PEERS) senders.clear();
        senders.set(port, { address, port });
        this.#ports.sendUdp(route(undefined), port, rule.guestPort, bytes);
        this.#ports.scheduleFlush();
      },
    );
    const entry = { rule, socket, senders };
    this.#forwards.push(entry);
    return {
      port: socket.port,
      close: () => {
        this.#forwards.splice(this.#forwards.indexOf(entry), 1);
        socket.close();
      },
    };
  }

  #answerForward(route: Route, guestPort: number, port: number, payload: Uint8Array): boolean {
    for (const { rule, senders, socket } of this.#forwards) {
      if (rule.guestPort !== guestPort) continue;
      const wanted = rule.guestAddress === '' || equalAt(parseIp(rule.guestAddress)!, 0, route.target);
      const sender = wanted ? senders.get(port) : undefined;
      if (sender === undefined) continue;
      socket.send(payload, sender.address, sender.port);
      return true;
    }
    return false;
  }

  #create(key: string, route: Route, guestPort: number, port: number): UdpFlow | undefined {
    if (this.#flows.size >= MAX_FLOWS) this.#evict();
    const flow: UdpFlow = {
      mac: route.mac,
      guest: route.target,
      guestPort,
      socket: undefined,
      waiting: [],
      peers: new Map(),
      expiresMs: this.#ports.host.nowMs() + IDLE_MS,
    };
    this.#flows.set(key, flow);
    if (this.#flows.size === 1) this.#timer.arm(SWEEP_MS);
    void this.#open(key, flow, route, port);
    return flow;
  }

  async #open(key: string, flow: UdpFlow, route: Route, port: number): Promise<void> {
    const { host } = this.#ports;
    try {
      const verdict = await this.#ports.ask({
        protocol: 'udp',
        source: { address: formatIp(route.target), port: flow.guestPort },
        destination: { address: formatIp(route.source), port },
      });
      if (verdict.kind !== 'allow') throw new Error('denied');
      const outside = this.#ports.outsideAddress(route.source, port);
      const family = outside?.includes(':') === true ? 6 : 4;
      const socket = await host.datagram({ family }, (bytes, address, from) =>
        this.#received(flow, bytes, address, from),
      );
      if (this.#flows.get(key) !== flow) {
        socket.close();
        return;
      }
      flow.socket = socket;
      for (const send of flow.waiting ?? []) send();
    } catch {
      // Silence until the guest has given up: a flow without socket takes and forgets.
    }
    flow.waiting = undefined;
  }

  #received(flow: UdpFlow, bytes: Uint8Array, address: string, port: number): void {
    const source = flow.peers.get(`${address}:${port}`) ?? parseIp(address);
    if (source === undefined || source.length !== flow.guest.length) return;
    this.#ports.sendUdp({ mac: flow.mac, source, target: flow.guest }, port, flow.guestPort, bytes);
    this.#ports.scheduleFlush();
  }

  /** The flow that has been silent longest goes. */
  #evict(): void {
    let oldest: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [key, { expiresMs }] of this.#flows) {
      if (expiresMs >= least) continue;
      least = expiresMs;
      oldest = key;
    }
    if (oldest !== undefined) this.#remove(oldest);
  }

  #remove(key: string): void {
    this.#flows.get(key)?.socket?.close();
    this.#flows.delete(key);
  }

  #sweep(): void {
    const nowMs = this.#ports.host.nowMs();
    for (const [key, { expiresMs }] of this.#flows) if (expiresMs <= nowMs) this.#remove(key);
    if (this.#flows.size > 0) this.#timer.arm(SWEEP_MS);
  }
}
