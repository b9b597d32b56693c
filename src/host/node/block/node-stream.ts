/** Connections of the block layer: TCP and Unix sockets. */
import { connect, type Socket } from 'node:net';
import { BlockError, EIO } from '../../../block/block-node.ts';
import type { HostStream, StreamAddress } from '../../../block/host.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';

/** `UserError` when nobody answers. */
export async function connectStream(address: StreamAddress): Promise<HostStream> {
  const socket =
    address.type === 'unix' ? connect(address.path) : connect({ host: address.host, port: address.port });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
  } catch (error) {
    const where = address.type === 'unix' ? address.path : `${address.host}:${address.port}`;
    throw new UserError('ConnectFailed', `Failed to connect to '${where}': ${errorReason(error)}`);
  }
  socket.setNoDelay(true);
  return new SocketStream(socket);
}

interface Reader {
  readonly into: Uint8Array;
  at: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class SocketStream implements HostStream {
  readonly #socket: Socket;
  readonly #readers: Reader[] = [];
  #failure: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', () => this.#serve());
    socket.on('error', (error) => this.#fail(new BlockError(EIO, errorReason(error))));
    socket.on('close', () => this.#fail(new BlockError(EIO, 'the server closed the connection')));
    socket.on('end', () => this.#fail(new BlockError(EIO, 'the server closed the connection')));
  }

  read(into: Uint8Array): Promise<void> {
    if (into.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#readers.push({ into, at: 0, resolve, reject });
      this.#serve();
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) =>
        error == null ? resolve() : reject(new BlockError(EIO, errorReason(error))),
      );
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #serve(): void {
    for (;;) {
      const reader = this.#readers[0];
      if (reader === undefined) return;
      const wanted = reader.into.length - reader.at;
      const available = Math.min(wanted, this.#socket.readableLength);
      const chunk = available > 0 ? (this.#socket.read(available) as Buffer | null) : null;
      if (chunk === null) {
        if (this.#failure !== undefined) this.#rejectAll();
        // Tells the socket that more is wanted.
        else this.#socket.read(0);
        return;
      }
      reader.into.set(chunk, reader.at);
      reader.at += chunk.length;
      if (reader.at === reader.into.length) {
        this.#readers.shift();
        reader.resolve();
      }
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#serve();
  }

  #rejectAll(): void {
    for (const reader of this.#readers.splice(0)) reader.reject(this.#failure!);
  }
}
