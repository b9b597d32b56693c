/** Connections of the guest that the embedding program decides on or answers, on the main thread. */
import type { NetReply, NetRequest } from '../../../net/net-protocol.ts';
import type { ConnectionRequest } from '../../../net/user/policy.ts';

/** The program's end of an answered connection. */
export interface AnsweredConnection {
  /** What the guest sends; ends when the guest ends its side. */
  readonly readable: ReadableStream<Uint8Array>;
  /** To the guest; closing it ends the connection's other side. */
  readonly writable: WritableStream<Uint8Array | string>;
}

/** `true` or `'allow'`, `false` or `'deny'`, or a function that plays the server. */
export type PolicyAnswer = boolean | 'allow' | 'deny' | ((connection: AnsweredConnection) => unknown);

export type PolicyHandler = (request: ConnectionRequest) => PolicyAnswer | Promise<PolicyAnswer>;

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
type Outgoing = WithoutId<
  Extract<NetRequest, { kind: 'verdict' | 'streamData' | 'streamTaken' | 'streamAbort' }>
>;
type Incoming = Exclude<NetReply, { kind: 'done' | 'failed' }>;

interface Connection {
  readonly input: ReadableStreamDefaultController<Uint8Array>;
  /** Bytes given to the reader that it has not taken. */
  readonly queued: number[];
  open: boolean;
  wake: (() => void) | undefined;
  inputEnded: boolean;
  outputEnded: boolean;
}

export class PolicyServer {
  readonly #handler: PolicyHandler;
  readonly #send: (message: Outgoing) => void;
  readonly #connections = new Map<number, Connection>();

  constructor(handler: PolicyHandler, send: (message: Outgoing) => void) {
    this.#handler = handler;
    this.#send = send;
  }

  receive(message: Incoming): void {
    if (message.kind === 'query') {
      void this.#decide(message.query, message.request);
      return;
    }
    const connection = this.#connections.get(message.stream);
    if (connection === undefined) return;
    if (message.kind === 'streamFlow') {
      connection.open = message.open;
      if (message.open) connection.wake?.();
    } else if (message.kind === 'streamClosed') this.#fail(message.stream, connection);
    else if (message.bytes === undefined) this.#endInput(message.stream, connection);
    else {
      connection.queued.push(message.bytes.length);
      connection.input.enqueue(message.bytes);
    }
  }

  async #decide(query: number, request: ConnectionRequest): Promise<void> {
    let answer: PolicyAnswer = false;
    try {
      answer = await this.#handler(request);
    } catch {
      // A handler that fails lets nothing through.
    }
    if (typeof answer !== 'function') {
      const allowed = answer === true || answer === 'allow';
      this.#send({ kind: 'verdict', query, verdict: allowed ? 'allow' : 'deny' });
      return;
    }
    const connection = this.#connect(query);
    this.#send({ kind: 'verdict', query, verdict: request.protocol === 'tcp' ? 'answer' : 'deny' });
    try {
      await answer(connection);
    } catch {
      this.#abort(query);
    }
  }

  #connect(stream: number): AnsweredConnection {
    const state = {
      queued: [] as number[],
      open: true,
      wake: undefined,
      inputEnded: false,
      outputEnded: false,
    };
    let connection: Connection | undefined;
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          connection = Object.assign(state, { input: controller });
          this.#connections.set(stream, connection);
        },
        pull: () => {
          // The reader took what came first.
          const count = connection?.queued.shift();
          if (count !== undefined) this.#send({ kind: 'streamTaken', stream, count });
        },
        cancel: () => this.#abort(stream),
      },
      { highWaterMark: 0 },
    );
    const writable = new WritableStream<Uint8Array | string>({
      write: async (chunk) => {
        const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : Uint8Array.from(chunk);
        if (!connection!.open) await new Promise<void>((resolve) => (connection!.wake = resolve));
        this.#send({ kind: 'streamData', stream, bytes });
      },
      close: () => {
        connection!.outputEnded = true;
        this.#send({ kind: 'streamData', stream, bytes: undefined });
        this.#forgetIfDone(stream, connection!);
      },
      abort: () => this.#abort(stream),
    });
    return { readable, writable };
  }

  #endInput(stream: number, connection: Connection): void {
    if (connection.inputEnded) return;
    connection.inputEnded = true;
    connection.input.close();
    this.#forgetIfDone(stream, connection);
  }

  #forgetIfDone(stream: number, { inputEnded, outputEnded }: Connection): void {
    if (inputEnded && outputEnded) this.#connections.delete(stream);
  }

  #abort(stream: number): void {
    if (!this.#connections.delete(stream)) return;
    this.#send({ kind: 'streamAbort', stream });
  }

  /** The guest reset the connection. */
  #fail(stream: number, connection: Connection): void {
    this.#connections.delete(stream);
    connection.wake?.();
    if (!connection.inputEnded) connection.input.error(new Error('the connection was reset'));
  }
}
