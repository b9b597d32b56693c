/** `-netdev`, `-nic`, `-net` and the filters of `-object`, as QEMU spells them. */
import type { FilterConfig, NetConfig, NetdevConfig, NetdevKind, SocketAddress } from '../net/net-config.ts';
import { parseUserNet } from '../net/user/user-config.ts';
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';

/** Kinds of `-netdev`. */
export const NETDEV_KINDS = ['user', 'hubport', 'socket', 'stream', 'dgram', 'tap'] as const;
/** Cards that `-nic` and `-net nic` know, by the names of their `model=`. */
export const NIC_MODELS: Readonly<Record<string, string>> = {
  virtio: 'virtio-net-pci',
  'virtio-net-pci': 'virtio-net-pci',
  e1000: 'e1000',
  'e1000-82540em': 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
  ne2k_pci: 'ne2k_pci',
  ne2k_isa: 'ne2k_isa',
  pcnet: 'pcnet',
};
export const DEFAULT_MODEL = 'e1000';
export const FILTER_KINDS = ['filter-dump', 'filter-lossy'];

const DEFAULT_DUMP_BYTES = 65536;
/** Cards of `-nic` and `-net nic` on one machine. */
const MAX_NICS = 8;

export class NetOptions {
  readonly #netdevs: NetdevConfig[] = [];
  readonly #filters: FilterConfig[] = [];
  /** Text of `-device` for the cards. */
  readonly #devices: string[] = [];
  /** `-net` and `-nic` were not used: the machine gets its default card. */
  #isDefault = true;
  #anonymous = 0;

  addNetdev(text: string): void {
    this.#isDefault = false;
    const what = `-netdev ${text}`;
    const options = parseOptions(text, what);
    const id = options.required('id');
    this.#add(options, options.required('type'), id, what);
    options.finish();
  }

  /** `-nic KIND[,model=…][,mac=…][,…]`: back end and card in one. */
  addNic(text: string): void {
    this.#isDefault = false;
    const what = `-nic ${text}`;
    const options = parseOptions(text, what);
    const type = options.required('type');
    if (type === 'none') return options.finish();
    const model = options.text('model') ?? DEFAULT_MODEL;
    const mac = options.text('mac');
    const addr = options.text('addr');
    const id = options.text('id') ?? `#net${this.#anonymous++}`;
    this.#addCard(model, what, [mac && `mac=${mac}`, addr && `addr=${addr}`, `netdev=${id}`]);
    this.#add(options, type, id, what);
    options.finish();
  }

  /** `-net nic` and `-net KIND` meet on hub 0. */
  addNet(text: string): void {
    this.#isDefault = false;
    const what = `-net ${text}`;
    const options = parseOptions(text, what);
    const type = options.required('type');
    if (type === 'none') return options.finish();
    const name = options.text('name') ?? options.text('id');
    if (type !== 'nic') {
      const id = name ?? `#net${this.#anonymous++}`;
      this.#add(options, type, id, what);
      options.finish();
      if (type !== 'hubport') this.#addPort(id, what);
      return;
    }
    const model = options.text('model') ?? DEFAULT_MODEL;
    const mac = options.text('macaddr');
    const addr = options.text('addr');
    const vectors = options.text('vectors');
    const netdev = options.text('netdev') ?? this.#addPort(undefined, what);
    options.finish();
    const parts = [
      name && `id=${name}`,
      mac && `mac=${mac}`,
      addr && `addr=${addr}`,
      vectors && `vectors=${vectors}`,
    ];
    this.#addCard(model, what, [...parts, `netdev=${netdev}`]);
  }

  /** True: that kind of `-object` is a filter of the network. */
  addObject(text: string): boolean {
    const what = `-object ${text}`;
    if (!FILTER_KINDS.some((name) => text.includes(name))) return false;
    const options = parseOptions(text, what, 'qom-type');
    const kind = options.text('qom-type') ?? '';
    if (!FILTER_KINDS.includes(kind)) return false;
    const common = {
      id: options.required('id'),
      netdev: options.required('netdev'),
      option: what,
      queue: options.choice('queue', ['all', 'rx', 'tx'] as const, 'all'),
    };
    options.text('status');
    if (kind === 'filter-dump') {
      const file = options.required('file');
      this.#filters.push({ ...common, kind, file, maxBytes: options.number('maxlen', DEFAULT_DUMP_BYTES) });
    } else {
      this.#filters.push({
        ...common,
        kind: 'filter-lossy',
        drop: probability(options, 'drop'),
        duplicate: probability(options, 'duplicate'),
        reorder: probability(options, 'reorder'),
        seed: options.number('seed', 1),
      });
    }
    options.finish();
    return true;
  }

  /** `wantsDefault`: the machine is to have its default card when nobody said anything of networks. */
  finish(wantsDefault: boolean): { readonly config: NetConfig; readonly devices: readonly string[] } {
    if (this.#isDefault && wantsDefault) this.addNic('user');
    const ids = new Set<string>();
    for (const { id, option } of this.#netdevs) {
      if (ids.has(id)) throw new UserError('DuplicateId', `${option}: Duplicate ID '${id}' for netdev`);
      ids.add(id);
    }
    return { config: { netdevs: this.#netdevs, filters: this.#filters }, devices: this.#devices };
  }

  #addCard(model: string, what: string, properties: ReadonlyArray<string | undefined>): void {
    const driver = Object.hasOwn(NIC_MODELS, model) ? NIC_MODELS[model]! : model;
    if (!Object.hasOwn(NIC_MODELS, model))
      throw new UserError('UnknownDevice', `${what}: Unsupported NIC model: ${model}`);
    if (this.#devices.length >= MAX_NICS) throw new UserError('GenericError', `${what}: Too Many NICs`);
    this.#devices.push([driver, ...properties.filter((text) => !!text)].join(','));
  }

  /** A port of hub 0, for a back end or (undefined) for a card; gives its id. */
  #addPort(netdev: string | undefined, option: string): string {
    const id = `hub0port${this.#netdevs.filter((n) => n.kind === 'hubport' && n.hub === 0).length}`;
    this.#netdevs.push({ id, kind: 'hubport', hub: 0, netdev, option });
    return id;
  }

  #add(options: OptionList, type: string, id: string, option: string): void {
    this.#netdevs.push({ ...parseKind(options, type), id, option });
  }
}

/** Options of one network, either as a list or as a JSON object with nested objects. */
function parseOptions(text: string, what: string, first = 'type'): OptionList {
  if (!text.trimStart().startsWith('{')) return new OptionList(text, what, first);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UserError('BadOption', `${what}: ${(error as Error).message}`);
  }
  const list = flatten(parsed as Record<string, unknown>, '').map(
    ([key, value]) => `${key}=${value.replaceAll(',', ',,')}`,
  );
  return new OptionList(list.join(','), what);
}

function flatten(object: Readonly<Record<string, unknown>>, prefix: string): Array<[string, string]> {
  return Object.entries(object).flatMap(([key, value]): Array<[string, string]> => {
    const items = Array.isArray(value) ? value : [value];
    return items.flatMap((item): Array<[string, string]> => {
      if (typeof item === 'object' && item !== null) {
        const inner = item as Record<string, unknown>;
        // A list of strings comes as objects with one member.
        if (Array.isArray(value) && typeof inner['str'] === 'string') return [[prefix + key, inner['str']]];
        return flatten(inner, `${prefix}${key}.`);
      }
      return [[prefix + key, typeof item === 'boolean' ? (item ? 'on' : 'off') : String(item)]];
    });
  });
}

function parseKind(options: OptionList, type: string): NetdevKind {
  switch (type) {
    case 'user': {
      const list = {
        hostfwd: options.list('hostfwd'),
        guestfwd: options.list('guestfwd'),
        dnssearch: options.list('dnssearch'),
      };
      return { kind: 'user', user: parseUserNet(options, list) };
    }
    case 'hubport':
      return { kind: 'hubport', hub: options.number('hubid', 0), netdev: options.text('netdev') };
    case 'socket':
      return parseSocket(options);
    case 'stream':
      return parseStream(options);
    case 'dgram':
      return parseDatagram(options);
    case 'tap':
      return parseTap(options);
    default:
      throw options.error(`"${type}" is not one of ${NETDEV_KINDS.join(', ')}`);
  }
}

function parseSocket(options: OptionList): NetdevKind {
  const [listen, connect, mcast, udp] = ['listen', 'connect', 'mcast', 'udp'].map((key) => options.text(key));
  const local = options.text('localaddr');
  const given = [listen, connect, mcast, udp].filter((text) => text !== undefined);
  if (given.length !== 1) throw options.error('exactly one of listen=, connect=, mcast= or udp= is required');
  if (local !== undefined && mcast === undefined && udp === undefined)
    throw options.error('localaddr= is only valid with mcast= or udp=');
  if (udp !== undefined && local === undefined) throw options.error('localaddr= is mandatory with udp=');
  if (mcast !== undefined || udp !== undefined) {
    const isMulticast = mcast !== undefined;
    const remote = hostPort((mcast ?? udp)!, options);
    const own =
      local === undefined ? undefined : isMulticast ? { host: local, port: 0 } : hostPort(local, options);
    return { kind: 'dgram', type: 'socket', dgram: { remote, local: own, isMulticast } };
  }
  const { host, port } = hostPort((listen ?? connect)!, options);
  const address = { kind: 'inet', host: host || (listen === undefined ? '127.0.0.1' : ''), port } as const;
  return {
    kind: 'stream',
    type: 'socket',
    stream: { address, isServer: listen !== undefined, reconnectSeconds: 0 },
  };
}

function parseStream(options: OptionList): NetdevKind {
  const isServer = options.flag('server', false);
  const reconnectSeconds = options.number('reconnect', 0);
  return {
    kind: 'stream',
    type: 'stream',
    stream: { address: nestedAddress(options, 'addr'), isServer, reconnectSeconds },
  };
}

function parseDatagram(options: OptionList): NetdevKind {
  const inet = (prefix: string): { host: string; port: number } | undefined => {
    if (!options.has(`${prefix}.type`)) return undefined;
    const address = nestedAddress(options, prefix);
    if (address.kind === 'unix') throw options.error(`${prefix}.type=unix is not supported, only inet`);
    return address;
  };
  const remote = inet('remote');
  const local = inet('local');
  if (remote === undefined && local === undefined)
    throw options.error('dgram requires local= or remote= parameter');
  const isMulticast = remote !== undefined && /^(22[4-9]|23\d)\./.test(remote.host);
  if (!isMulticast && remote !== undefined && local === undefined)
    throw options.error('"local.type" is needed with a remote address');
  return { kind: 'dgram', type: 'dgram', dgram: { remote, local, isMulticast } };
}

function nestedAddress(options: OptionList, prefix: string): SocketAddress {
  const type = options.required(`${prefix}.type`);
  if (type === 'unix') return { kind: 'unix', path: options.required(`${prefix}.path`) };
  if (type !== 'inet') throw options.error(`"${prefix}.type=${type}" is not inet or unix`);
  for (const harmless of ['ipv4', 'ipv6', 'to', 'keep-alive']) options.text(`${prefix}.${harmless}`);
  return {
    kind: 'inet',
    host: options.required(`${prefix}.host`),
    port: options.number(`${prefix}.port`, 0),
  };
}

function parseTap(options: OptionList): NetdevKind {
  const [ifname, fd, script, downscript] = ['ifname', 'fd', 'script', 'downscript'].map((key) =>
    options.text(key),
  );
  if (options.flag('vhost', false)) throw options.error('"vhost" is not supported');
  for (const ignored of ['vnet_hdr', 'sndbuf', 'br', 'helper', 'queues']) options.text(ignored);
  if (fd !== undefined && !/^\d+$/.test(fd)) throw options.error(`"fd=${fd}" is not a descriptor`);
  if (fd !== undefined && (ifname ?? script ?? downscript) !== undefined)
    throw options.error('ifname=, script= and downscript= are invalid with fd=');
  const number = fd === undefined ? undefined : Number(fd);
  return { kind: 'tap', tap: { ifname, fd: number, script, downscript } };
}

function hostPort(text: string, options: OptionList): { host: string; port: number } {
  const match = /^(?:(\[[^\]]*\]|[^:]*):)?(\d+)$/.exec(text);
  const port = Number(match?.[2] ?? -1);
  if (match === null || port > 65535) throw options.error(`"${text}" is not HOST:PORT`);
  return { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port };
}

function probability(options: OptionList, key: string): number {
  const text = options.text(key) ?? '0';
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw options.error(`"${key}=${text}" is not a probability`);
  return value;
}
