/** TCP and UNIX sockets, as client or server, raw or Telnet. A server serves one peer at a time, as QEMU's does. */
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import {
  connect,
  createServer,
  type ListenOptions,
  type NetConnectOpts,
  type Server,
  type Socket,
} from 'node:net';
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';
import { escapeTelnet, TELNET_GREETING, TelnetDecoder } from './telnet.ts';

export interface SocketOptions {
  /** Either a UNIX path or a TCP address. */
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly server: boolean;
  /** Server: do not start the machine before somebody connected. */
  readonly wait: boolean;
  readonly telnet: boolean;
  readonly noDelay: boolean;
  /** Client: seconds after which to connect again; 0: never. */
  readonly reconnectSeconds: number;
  /** Named in messages. */
  readonly option: string;
}

export class SocketStream implements CharStream {
  readonly #options: SocketOptions;
  #server: Server | undefined;
  #peer: Socket | undefined;
  #client: CharStreamClient | undefined;
  #decoder: TelnetDecoder | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #inputPaused = false;
  #disposed = false;

  private constructor(options: SocketOptions) {
    this.#options = options;
  }

  /** Resolves when the machine may start. `UserError` when the address cannot be had. */
  static async open(options: SocketOptions): Promise<SocketStream> {
    const stream = new SocketStream(options);
    if (options.server) await stream.#listen();
    else await stream.#connect(true);
    return stream;
  }

  /** Bytes sent while nobody is connected are lost, as on a line without a plug. */
  write(bytes: Uint8Array): boolean {
    const peer = this.#peer;
    if (peer === undefined || peer.destroyed) return true;
    return peer.write(this.#options.telnet ? escapeTelnet(bytes) : bytes);
  }

  connect(client: CharStreamClient): void {
    this.#client = client;
    if (this.#peer !== undefined && !this.#inputPaused) this.#peer.resume();
  }

  pauseInput(): void {
    this.#inputPaused = true;
    this.#peer?.pause();
  }

  resumeInput(): void {
    this.#inputPaused = false;
    this.#peer?.resume();
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#reconnect);
    const closed = new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
    await this.#finishPeer();
    await closed;
  }

  /** Lets a peer take what was sent; one that does not read is cut off after a second. */
  #finishPeer(): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined || peer.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => peer.destroy(), 1000);
      peer.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      peer.end(() => peer.destroySoon());
      peer.resume();
    });
  }

  get #address(): string {
    const { path, host, port } = this.#options;
    return path ?? `${host === undefined || host === '' ? '*' : host}:${port}`;
  }

  #failure(action: string, error: unknown): UserError {
    return new UserError(
      'SocketFailed',
      `${this.#options.option}: cannot ${action} ${this.#address}: ${errorReason(error)}`,
    );
  }

  #listen(): Promise<void> {
    const { path, host, port, wait } = this.#options;
    if (path !== undefined && existsSync(path) && lstatSync(path).isSocket()) unlinkSync(path);
    const where: ListenOptions = path !== undefined ? { path } : { port: port! };
    if (path === undefined && host !== undefined && host !== '') where.host = host;
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(this.#failure('listen on', error)));
      server.listen(where, () => {
        if (!wait) return resolve();
        process.stderr.write(
          `lyrebird: ${this.#options.option}: waiting for a connection on ${this.#address}\n`,
        );
        server.once('connection', () => resolve());
      });
    });
  }

  #accept(socket: Socket): void {
    if (this.#peer !== undefined && !this.#peer.destroyed) {
      socket.destroy();
      return;
    }
    if (this.#options.telnet) socket.write(TELNET_GREETING);
    this.#use(socket);
  }

  #connect(first: boolean): Promise<void> {
    const { path, host, port } = this.#options;
    const where: NetConnectOpts =
      path !== undefined
        ? { path }
        : { host: host === '' ? 'localhost' : (host ?? 'localhost'), port: port! };
    return new Promise((resolve, reject) => {
      const socket = connect(where);
      socket.pause();
      socket.once('connect', () => {
        this.#use(socket);
        resolve();
      });
      socket.once('error', (error) => {
        if (this.#peer === socket) return;
        if (!first || this.#options.reconnectSeconds > 0) {
          this.#scheduleReconnect();
          resolve();
        } else reject(this.#failure('connect to', error));
      });
    });
  }

  #scheduleReconnect(): void {
    const { reconnectSeconds } = this.#options;
    if (this.#disposed || reconnectSeconds <= 0) return;
    this.#reconnect = setTimeout(() => void this.#connect(false), reconnectSeconds * 1000);
    this.#reconnect.unref();
  }

  #use(socket: Socket): void {
    this.#peer = socket;
    if (this.#options.noDelay) socket.setNoDelay(true);
    this.#decoder = new TelnetDecoder(() => this.#client?.sendBreak?.());
    socket.on('data', (data) => {
      const bytes = this.#options.telnet ? this.#decoder!.decode(data) : data;
      if (bytes.length > 0) this.#client?.input(bytes);
    });
    socket.on('drain', () => this.#client?.writable());
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      if (this.#peer === socket) this.#peer = undefined;
      this.#client?.writable();
      if (!this.#options.server) this.#scheduleReconnect();
    });
    if (this.#client !== undefined && !this.#inputPaused) socket.resume();
    this.#client?.opened?.();
  }
}
