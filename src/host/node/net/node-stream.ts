/** Streams of the host for the network thread: TCP, UNIX sockets, programs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { HostStream, StreamHandlers, StreamTarget } from '../../../net/host.ts';

/** Reading from a socket goes into chunks of this size. */
const CHUNK_BYTES = 65536;

function errorCode(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? 'EIO';
}

/** Two ends of pipes or the two directions of a socket. */
class NodeHostStream implements HostStream {
  readonly #in: Readable;
  readonly #out: Writable;
  readonly #gone: () => void;
  #isDestroyed = false;

  constructor(input: Readable, output: Writable, handlers: StreamHandlers, gone: () => void) {
    this.#in = input;
    this.#out = output;
    this.#gone = gone;
    input.on('data', (bytes: Uint8Array) => handlers.data(bytes));
    input.on('end', () => this.#tell(() => handlers.ended()));
    output.on('drain', () => this.#tell(() => handlers.drained()));
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  get pendingBytes(): number {
    return this.#out.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (!this.#out.destroyed && !this.#out.writableEnded) this.#out.write(bytes);
  }

  end(): void {
    if (!this.#out.destroyed) this.#out.end();
  }

  pause(): void {
    this.#in.pause();
  }

  resume(): void {
    this.#in.resume();
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#in.destroy();
    this.#out.destroy();
    this.#gone();
  }

  #tell(call: () => void): void {
    if (!this.#isDestroyed) call();
  }
}

/** A socket that is connected or about to be. */
export function socketStream(socket: Socket, handlers: StreamHandlers, isConnected: boolean): HostStream {
  const stream = new NodeHostStream(socket, socket, handlers, () => {});
  let code = '';
  socket.setNoDelay(true);
  if (!isConnected) socket.on('connect', () => !stream.isDestroyed && handlers.connected());
  socket.on('error', (error) => {
    code = errorCode(error);
  });
  socket.on('close', () => {
    if (!stream.isDestroyed) handlers.closed(code);
  });
  return stream;
}

/**
 * A connection to the outside. Reading goes through one buffer of the socket's own: what arrives is copied out in its real size, which
 * costs less than a fresh 64 KiB buffer for every read.
 */
export function openStream(target: StreamTarget, handlers: StreamHandlers): HostStream {
  if (target.kind === 'command') return commandStream(target.command, handlers);
  const options = { allowHalfOpen: true, highWaterMark: CHUNK_BYTES };
  const socket =
    target.kind === 'unix'
      ? connect({ ...options, path: target.path })
      : connect({
          ...options,
          host: target.address,
          port: target.port,
          ...(target.localAddress !== undefined && { localAddress: target.localAddress }),
        });
  return socketStream(socket, handlers, false);
}

/** The streams are connected as soon as the program runs. */
function commandStream(command: string, handlers: StreamHandlers): HostStream {
  const child: ChildProcess = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
  const stream = new NodeHostStream(child.stdout!, child.stdin!, handlers, () => child.kill());
  child.stdin!.on('error', () => {});
  child.stdout!.on('error', () => {});
  child.on('spawn', () => !stream.isDestroyed && handlers.connected());
  child.on('error', (error) => !stream.isDestroyed && handlers.closed(errorCode(error)));
  child.on('close', () => !stream.isDestroyed && handlers.closed(''));
  return stream;
}
