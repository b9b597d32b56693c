/** How a user names a character device: `-serial`/`-monitor` shorthands and `-chardev` options, as QEMU spells them. */
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';

export type CharSpec =
  /** No device at all. */
  | { readonly kind: 'none' }
  | { readonly kind: 'null' }
  | { readonly kind: 'stdio'; readonly signal: boolean | undefined }
  | { readonly kind: 'pty' }
  | { readonly kind: 'file'; readonly path: string; readonly append: boolean }
  | {
      readonly kind: 'socket';
      readonly path: string | undefined;
      readonly host: string;
      readonly port: number;
      readonly server: boolean;
      readonly wait: boolean;
      readonly telnet: boolean;
      readonly noDelay: boolean;
      readonly reconnectSeconds: number;
    }
  /** A `-chardev` by its id. */
  | { readonly kind: 'chardev'; readonly id: string };

/** A device that a serial port and the monitor may share. */
export interface SharedCharSpec {
  readonly spec: CharSpec;
  readonly mux: boolean;
}

export interface NamedCharSpec extends SharedCharSpec {
  readonly id: string;
}

const LEGACY_KINDS =
  'none, null, stdio, pty, file:PATH, unix:PATH, tcp:HOST:PORT, telnet:HOST:PORT, chardev:ID, mon:…';
const CHARDEV_KINDS = ['null', 'stdio', 'pty', 'file', 'socket'] as const;

/** The value of `-serial`, `-monitor` and the like; `option` is named in messages. */
export function parseCharSpec(text: string, option: string): SharedCharSpec {
  if (text.startsWith('mon:')) return { spec: parseOne(text.slice(4), option), mux: true };
  return { spec: parseOne(text, option), mux: false };
}

function parseOne(text: string, option: string): CharSpec {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? undefined : text.slice(colon + 1);
  const bad = (reason: string): UserError => new UserError('BadCharDevice', `${option} ${text}: ${reason}`);
  switch (kind) {
    case 'none':
    case 'null':
    case 'pty':
      if (rest === undefined) return { kind };
      break;
    case 'stdio':
      if (rest === undefined) return { kind, signal: undefined };
      break;
    case 'file':
      if (rest === undefined || rest === '') throw bad('a path is missing');
      return { kind, path: rest, append: false };
    case 'chardev':
      if (rest === undefined || rest === '') throw bad('an id is missing');
      return { kind, id: rest };
    case 'unix':
    case 'tcp':
    case 'telnet':
      if (rest === undefined || rest === '') throw bad('an address is missing');
      return parseLegacySocket(kind, rest, `${option} ${text}`);
    case 'vc':
    case 'pipe':
    case 'udp':
    case 'msmouse':
    case 'braille':
      throw bad(`character devices of the kind "${kind}" are not supported`);
    default:
  }
  throw bad(`not a character device (${LEGACY_KINDS})`);
}

function parseLegacySocket(kind: 'unix' | 'tcp' | 'telnet', rest: string, what: string): CharSpec {
  const comma = rest.indexOf(',');
  const address = comma < 0 ? rest : rest.slice(0, comma);
  const options = new OptionList(comma < 0 ? '' : rest.slice(comma + 1), what);
  const { path, host, port } =
    kind === 'unix' ? { path: address, host: '', port: 0 } : parseAddress(address, what);
  if (path === '') throw new UserError('BadCharDevice', `${what}: a path is missing`);
  return finishSocket(options, { path, host, port, telnet: kind === 'telnet' });
}

function parseAddress(address: string, what: string): { path: undefined; host: string; port: number } {
  const match = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port > 65535)
    throw new UserError('BadCharDevice', `${what}: "${address}" is not HOST:PORT`);
  return { path: undefined, host: match[1]!.replace(/^\[|\]$/g, ''), port };
}

function finishSocket(
  options: OptionList,
  where: { path: string | undefined; host: string; port: number; telnet: boolean },
): CharSpec {
  const server = options.flag('server', false);
  const wait = options.flag('wait', true);
  const nowait = options.flag('nowait', false);
  const noDelay = options.flag('nodelay', false) || !options.flag('delay', true);
  const spec = {
    kind: 'socket' as const,
    ...where,
    server,
    wait: server && wait && !nowait,
    telnet: where.telnet || options.flag('telnet', false),
    noDelay,
    reconnectSeconds: options.number('reconnect', 0),
  };
  options.finish();
  return spec;
}

/** The value of `-chardev`: `KIND,id=ID[,…]`. */
export function parseChardev(text: string): NamedCharSpec {
  const what = `-chardev ${text}`;
  const comma = text.indexOf(',');
  const kind = comma < 0 ? text : text.slice(0, comma);
  const options = new OptionList(comma < 0 ? '' : text.slice(comma + 1), what);
  if (!(CHARDEV_KINDS as readonly string[]).includes(kind)) {
    throw new UserError(
      'BadCharDevice',
      `${what}: not a kind of character device (${CHARDEV_KINDS.join(', ')})`,
    );
  }
  const id = options.required('id');
  const mux = options.flag('mux', false);
  return { id, mux, spec: chardevSpec(kind as (typeof CHARDEV_KINDS)[number], options) };
}

function chardevSpec(kind: (typeof CHARDEV_KINDS)[number], options: OptionList): CharSpec {
  let spec: CharSpec;
  switch (kind) {
    case 'null':
    case 'pty':
      spec = { kind };
      break;
    case 'stdio':
      spec = { kind, signal: options.flag('signal', true) };
      break;
    case 'file':
      spec = { kind, path: options.required('path'), append: options.flag('append', false) };
      break;
    case 'socket': {
      const path = options.text('path');
      const host = options.text('host') ?? '';
      const port = path === undefined ? Number(options.required('port')) : 0;
      return finishSocket(options, { path, host, port, telnet: false });
    }
  }
  options.finish();
  return spec;
}
