/** What the network thread gets from Node: sockets, names, files. */
import { randomFillSync } from 'node:crypto';
import { createSocket, type SocketOptions } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { closeSync, fstatSync, openSync, readFileSync, readSync, realpathSync, writeSync } from 'node:fs';
import { createServer, isIP } from 'node:net';
import { join, normalize, sep } from 'node:path';
import { performance } from 'node:perf_hooks';
import type {
  AcceptedStream,
  DatagramOptions,
  DatagramSocket,
  HostFile,
  HostStream,
  HostTap,
  HostTimer,
  Listener,
  NetHost,
  StreamHandlers,
  StreamTarget,
  TapOptions,
} from '../../../net/host.ts';
import { openStream, socketStream } from './node-stream.ts';
import { ping } from './ping.ts';
import { openTap } from './tap.ts';

const RANDOM_BYTES = 4096;
const RESOLV_CONF = '/etc/resolv.conf';
const RESOLV_AGE_MS = 5000;

export class NodeNetHost implements NetHost {
  readonly #random = Buffer.alloc(RANDOM_BYTES);
  #randomUsed = RANDOM_BYTES;
  #servers: { readonly list: readonly string[]; readonly untilMs: number } | undefined;

  nowMs(): number {
    return performance.now();
  }

  timer(callback: () => void): HostTimer {
    let handle: NodeJS.Timeout | undefined;
    return {
      arm: (ms) => {
        clearTimeout(handle);
        handle = setTimeout(callback, ms);
      },
      cancel: () => clearTimeout(handle),
    };
  }

  randomBytes(count: number): Uint8Array {
    if (this.#randomUsed + count > RANDOM_BYTES) {
      randomFillSync(this.#random);
      this.#randomUsed = 0;
    }
    this.#randomUsed += count;
    return Uint8Array.from(this.#random.subarray(this.#randomUsed - count, this.#randomUsed));
  }

  connect(target: StreamTarget, handlers: StreamHandlers): HostStream {
    return openStream(target, handlers);
  }

  listen(
    target: { readonly address: string | undefined; readonly port: number } | { readonly path: string },
    accept: (stream: AcceptedStream) => void,
  ): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, highWaterMark: 65536 }, (socket) =>
        accept({
          address: socket.remoteAddress ?? '',
          port: socket.remotePort ?? 0,
          open: (handlers) => socketStream(socket, handlers, true),
        }),
      );
      server.once('error', reject);
      server.listen(
        'path' in target ? { path: target.path } : { host: target.address ?? '0.0.0.0', port: target.port },
        () => {
          const at = server.address();
          server.removeListener('error', reject);
          server.on('error', () => {});
          resolve({
            port: typeof at === 'object' && at !== null ? at.port : 0,
            close: () => void server.close(),
          });
        },
      );
    });
  }

  datagram(
    options: DatagramOptions,
    received: (bytes: Uint8Array, address: string, port: number) => void,
  ): Promise<DatagramSocket> {
    const type = options.family === 4 ? 'udp4' : 'udp6';
    const settings: SocketOptions = { type, reuseAddr: options.reuse === true };
    return new Promise((resolve, reject) => {
      const socket = createSocket(settings);
      socket.once('error', reject);
      socket.on('message', (bytes, from) => received(bytes, from.address.replace(/%.*$/, ''), from.port));
      socket.bind({ port: options.port ?? 0, ...(options.address && { address: options.address }) }, () => {
        socket.removeListener('error', reject);
        socket.on('error', () => {});
        if (options.multicast !== undefined)
          socket.addMembership(options.multicast, options.multicastInterface);
        resolve({
          port: socket.address().port,
          // Callers reuse their memory: the socket sends later.
          send: (bytes, address, port) => socket.send(Uint8Array.from(bytes), port, address, () => {}),
          close: () => void socket.close(),
        });
      });
    });
  }

  nameServers(): readonly string[] {
    const nowMs = performance.now();
    if (this.#servers !== undefined && this.#servers.untilMs > nowMs) return this.#servers.list;
    this.#servers = { list: readNameServers(), untilMs: nowMs + RESOLV_AGE_MS };
    return this.#servers.list;
  }

  async lookup(name: string): Promise<ReadonlyArray<{ readonly address: string; readonly family: 4 | 6 }>> {
    const found = await lookup(name, { all: true });
    return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
  }

  ping(address: string, payload: Uint8Array): Promise<boolean> | undefined {
    return ping(address, payload);
  }

  /** Symbolic links count as what they lead to. */
  openFile(root: string, name: string): HostFile | undefined {
    try {
      const base = realpathSync(root);
      const path = realpathSync(join(base, normalize(`/${name.replaceAll('\\', '/')}`)));
      if (path !== base && !path.startsWith(base + (base.endsWith(sep) ? '' : sep))) return undefined;
      const fd = openSync(path, 'r');
      const { size } = fstatSync(fd);
      if (!fstatSync(fd).isFile()) {
        closeSync(fd);
        return undefined;
      }
      return {
        sizeBytes: size,
        read(offset, length) {
          const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
          const count = bytes.length === 0 ? 0 : readSync(fd, bytes, 0, bytes.length, offset);
          return bytes.subarray(0, count);
        },
        close: () => closeSync(fd),
      };
    } catch {
      return undefined;
    }
  }

  createFile(path: string): { write(bytes: Uint8Array): void; close(): void } {
    const fd = openSync(path, 'w');
    return {
      write: (bytes) => void writeSync(fd, bytes),
      close: () => closeSync(fd),
    };
  }

  tap(options: TapOptions, received: (frame: Uint8Array) => void): HostTap {
    return openTap(options, received);
  }
}

/** `LYREBIRD_DNS` stands in for the host's own list: numeric addresses with commas, or "none". */
function readNameServers(): string[] {
  const given = process.env['LYREBIRD_DNS'];
  if (given !== undefined) return given.split(',').filter((text) => isIP(text) !== 0);
  try {
    return readFileSync(RESOLV_CONF, 'utf8')
      .split('\n')
      .flatMap((line) => /^\s*nameserver\s+([^\s%#]+)/.exec(line)?.[1] ?? [])
      .filter((address) => isIP(address) !== 0);
  } catch {
    return [];
  }
}
