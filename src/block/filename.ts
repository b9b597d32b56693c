/** File names with a protocol before them, as options of the protocol node they stand for. */
import { UserError } from '../util/errors.ts';
import type { NodeOptions } from './node-options.ts';

/** `disk.img`, `file:disk.img`, `nbd:…`, `nbd://…`, `http(s)://…`, `null-co://`. */
export function nodeOptionsOfFilename(filename: string, what: string): NodeOptions {
  if (filename === '') throw new UserError('BadOption', `${what}: the file name is empty`);
  const protocol = /^([a-z][a-z0-9+-]*):/i.exec(filename)?.[1]?.toLowerCase();
  switch (protocol) {
    case undefined:
      return { driver: 'file', filename };
    case 'file':
      return { driver: 'file', filename: filename.replace(/^file:(\/\/)?/, '') };
    case 'host_device':
      return { driver: 'host_device', filename: filename.slice('host_device:'.length) };
    case 'http':
    case 'https':
      return { driver: protocol, url: filename };
    case 'nbd':
    case 'nbd+tcp':
    case 'nbd+unix':
      return filename.startsWith('nbd:') && !filename.startsWith('nbd://')
        ? nbdOfLegacy(filename, what)
        : nbdOfUri(filename, what);
    case 'null-co':
    case 'null-aio':
      return { driver: protocol };
    default:
      // A path may contain a colon ("./a:b" or "C:x"); a scheme nobody knows is more likely a mistake.
      if (filename.includes('/') && filename.indexOf('/') < filename.indexOf(':'))
        return { driver: 'file', filename };
      throw new UserError('UnknownProtocol', `${what}: Unknown protocol '${protocol}'`);
  }
}

/** `nbd:host:port[:exportname=name]`, `nbd:unix:path[:exportname=name]`. */
function nbdOfLegacy(filename: string, what: string): NodeOptions {
  const match = /^nbd:(?:unix:(.*?)|(\[.*\]|[^:]*):(\d+))(?::exportname=(.*))?$/.exec(filename);
  if (match === null) throw new UserError('BadOption', `${what}: not nbd:HOST:PORT or nbd:unix:PATH`);
  const [, path, host, port, name] = match;
  const server: NodeOptions =
    path !== undefined ? { type: 'unix', path } : { type: 'inet', host: host || 'localhost', port: port! };
  return { driver: 'nbd', server, ...(name !== undefined && { export: name }) };
}

/** `nbd://host[:port]/export`, `nbd+unix:///export?socket=path`. */
function nbdOfUri(filename: string, what: string): NodeOptions {
  const match = /^nbd(\+tcp|\+unix)?:\/\/(\[[^\]]*\]|[^/:?]*)(?::(\d+))?(?:\/([^?]*))?(?:\?(.*))?$/.exec(
    filename,
  );
  if (match === null) throw new UserError('BadOption', `${what}: not a NBD URI`);
  const [, transport, host, port, name, query] = match;
  const socket = /(?:^|&)socket=([^&]*)/.exec(query ?? '')?.[1];
  if (transport === '+unix' && socket === undefined)
    throw new UserError('BadOption', `${what}: ?socket= is missing`);
  const server: NodeOptions =
    transport === '+unix'
      ? { type: 'unix', path: decodeURIComponent(socket!) }
      : { type: 'inet', host: (host || 'localhost').replace(/^\[|\]$/g, ''), port: port ?? '10809' };
  return { driver: 'nbd', server, ...(name && { export: decodeURIComponent(name) }) };
}
