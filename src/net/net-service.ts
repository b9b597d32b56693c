/** The network thread: builds what the configuration asks for and moves frames between cards and back ends. Portable. */
import { UserError } from '../util/errors.ts';
import { DatagramClient } from './datagram-client.ts';
import { DumpFilter } from './filter/dump.ts';
import { LossyFilter } from './filter/lossy.ts';
import type { NetHost } from './host.ts';
import { Hub } from './hub.ts';
import { type NetClient, type NetFilter, NetLink } from './net-client.ts';
import { cardNetdevs, type FilterConfig, type NetConfig, type NetdevConfig } from './net-config.ts';
import { NicChannel } from './nic-channel.ts';
import { NicPort } from './nic-port.ts';
import { StreamClient } from './stream-client.ts';
import { TapClient } from './tap-client.ts';
import type { NetPolicy } from './user/policy.ts';
import { parseHostForward } from './user/user-config.ts';
import { UserStack } from './user/user-stack.ts';

export interface NetServicePorts {
  readonly host: NetHost;
  readonly policy: NetPolicy | undefined;
  /** Civil time in microseconds, for dumps. */
  nowUs(): number;
  /** Calls `flush` soon: after the host's present callback. */
  defer(flush: () => void): void;
}

interface Startable extends NetClient {
  start?(): Promise<void>;
  flush?(): void;
}

export class NetService {
  readonly #ports: NetServicePorts;
  readonly #clients = new Map<string, Startable>();
  readonly #nics: NicPort[] = [];
  readonly #links = new Map<string, NetLink>();
  readonly #hubs = new Map<number, Hub>();
  readonly #filters: NetFilter[] = [];
  #wakeMachine: () => void = () => {};
  #flushPending = false;

  constructor(ports: NetServicePorts) {
    this.#ports = ports;
  }

  /** Rejects with `UserError` for the first back end that cannot be had. `channels` as `NetStart` has them. */
  async open(
    config: NetConfig,
    channels: ReadonlyArray<readonly [id: string, buffer: SharedArrayBuffer]>,
  ): Promise<void> {
    for (const netdev of config.netdevs) await this.#openNetdev(netdev);
    for (const netdev of config.netdevs)
      if (netdev.kind === 'hubport' && netdev.netdev !== undefined) this.#joinHub(netdev.id, netdev.netdev);
    const buffers = new Map(channels);
    for (const { id } of cardNetdevs(config)) {
      const buffer = buffers.get(id);
      if (buffer === undefined) continue;
      const nic = new NicPort(
        id,
        new NicChannel(buffer),
        () => this.#wakeMachine(),
        () => this.#ports.defer(() => this.poll()),
      );
      this.#nics.push(nic);
      this.#links.set(id, new NetLink(nic, this.#clients.get(id)!));
    }
    for (const filter of config.filters) this.#addFilter(filter);
  }

  /** The machine runs: it is woken by `wake` from now on. */
  attach(wake: () => void): void {
    this.#wakeMachine = wake;
    wake();
    this.poll();
  }

  /** Moves what has come from the cards; true: there is more. */
  poll(): boolean {
    let more = false;
    for (const nic of this.#nics) if (nic.poll()) more = true;
    this.#flush();
    return more;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    for (const filter of this.#filters) filter.close();
  }

  /** Dumps that are not yet in their files. */
  idle(): void {
    for (const filter of this.#filters) if (filter instanceof DumpFilter) filter.flush();
  }

  // --- requests of the monitor

  /** What `info network` shows below each card and hub. */
  describe(): NetDescription {
    return {
      netdevs: [...this.#clients].map(([id, client]) => ({ id, text: client.describe() })),
      hubs: [...this.#hubs.values()].map(({ number, ports }) => ({
        number,
        ports: ports.map((port) => ({ id: port.id, peer: this.#peerOf(port) })),
      })),
      filters: this.#filters.map(({ id, kind, netdev }) => ({ id, kind, netdev })),
    };
  }

  connections(): string {
    return [...this.#clients.values()]
      .filter((client) => client instanceof UserStack)
      .map((client) => `Hub -1 (${client.id}):\n  Protocol[State]    addresses\n${client.connections()}`)
      .join('');
  }

  async addForward(netdev: string | undefined, rule: string): Promise<void> {
    const stack = this.#stack(netdev);
    const parsed = parseHostForward(rule, rule);
    try {
      await stack.addForward(parsed);
    } catch {
      throw new UserError('GenericError', `Could not set up host forwarding rule '${rule}'`);
    }
  }

  removeForward(netdev: string | undefined, rule: string): boolean {
    const match = /^(tcp|udp)?:(\[[^\]]*\]|[^:]*):(\d+)$/.exec(rule);
    if (match === null) throw new UserError('GenericError', `Invalid format: '${rule}'`);
    const address = (match[2] ?? '').replace(/^\[|\]$/g, '');
    return this.#stack(netdev).removeForward(match[1] ?? 'tcp', address, Number(match[3]));
  }

  #stack(netdev: string | undefined): UserStack {
    const stacks = [...this.#clients.values()].filter((client) => client instanceof UserStack);
    const found = netdev === undefined ? stacks[0] : stacks.find((stack) => stack.id === netdev);
    if (found !== undefined) return found;
    const reason =
      netdev === undefined ? 'user mode network stack not in use' : `unrecognized netdev id '${netdev}'`;
    throw new UserError('GenericError', reason);
  }

  // --- building

  async #openNetdev(netdev: NetdevConfig): Promise<void> {
    try {
      const client = this.#create(netdev);
      this.#clients.set(netdev.id, client);
      await client.start?.();
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError('GenericError', `${netdev.option}: ${(error as Error).message}`);
    }
  }

  #create(netdev: NetdevConfig): Startable {
    const { host, policy } = this.#ports;
    const flush = (): void => this.#scheduleFlush();
    switch (netdev.kind) {
      case 'user':
        return new UserStack(netdev.id, netdev.user, { host, policy, scheduleFlush: flush });
      case 'hubport':
        return this.#hub(netdev.hub).add(netdev.id);
      case 'stream':
        return new StreamClient(netdev.id, netdev.type, netdev.stream, host, flush);
      case 'dgram':
        return new DatagramClient(netdev.id, netdev.type, netdev.dgram, host, flush);
      case 'tap':
        return new TapClient(netdev.id, netdev.tap, host, flush);
    }
  }

  #hub(number: number): Hub {
    const hub = this.#hubs.get(number) ?? new Hub(number);
    this.#hubs.set(number, hub);
    return hub;
  }

  #joinHub(port: string, netdev: string): void {
    const client = this.#clients.get(netdev);
    if (client === undefined) throw new UserError('GenericError', `hubport: no netdev '${netdev}'`);
    if (client.link !== undefined)
      throw new UserError('GenericError', `hubport: netdev '${netdev}' is in use`);
    this.#links.set(netdev, new NetLink(this.#clients.get(port)!, client));
  }

  #addFilter(config: FilterConfig): void {
    const link = this.#links.get(config.netdev);
    if (link === undefined)
      throw new UserError('GenericError', `${config.option}: no netdev '${config.netdev}'`);
    const filter = this.#createFilter(config);
    const { queue } = config;
    const pass: NetFilter['pass'] = (frame, meta, toCard, forward) =>
      queue === 'all' || (queue === 'rx') === !toCard ? filter.pass(frame, meta, toCard, forward) : true;
    this.#filters.push(filter);
    link.filters = [
      ...link.filters,
      { id: filter.id, kind: filter.kind, netdev: filter.netdev, pass, close() {} },
    ];
  }

  #createFilter(config: FilterConfig): NetFilter {
    const { id, netdev } = config;
    if (config.kind === 'filter-lossy') return new LossyFilter(id, netdev, config);
    try {
      const file = this.#ports.host.createFile(config.file);
      return new DumpFilter(id, netdev, file, config.maxBytes, () => this.#ports.nowUs());
    } catch (error) {
      throw new UserError('GenericError', `${config.option}: ${(error as Error).message}`);
    }
  }

  #peerOf(client: NetClient): string | undefined {
    const { link } = client;
    if (link === undefined) return undefined;
    return link.card === client ? link.backend.id : undefined;
  }

  #scheduleFlush(): void {
    if (this.#flushPending) return;
    this.#flushPending = true;
    this.#ports.defer(() => this.#flush());
  }

  #flush(): void {
    this.#flushPending = false;
    for (const client of this.#clients.values()) client.flush?.();
    for (const nic of this.#nics) nic.flush();
  }
}

export interface NetDescription {
  readonly netdevs: ReadonlyArray<{ readonly id: string; readonly text: string }>;
  readonly hubs: ReadonlyArray<{
    readonly number: number;
    readonly ports: ReadonlyArray<{ readonly id: string; readonly peer: string | undefined }>;
  }>;
  readonly filters: ReadonlyArray<{ readonly id: string; readonly kind: string; readonly netdev: string }>;
}
