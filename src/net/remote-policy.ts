/** The policy of the main thread as the network thread sees it: questions and answered connections travel as messages. */
import type { HostStream, StreamHandlers } from './host.ts';
import type { NetReply, NetRequest } from './net-protocol.ts';
import type { ConnectionRequest, PolicyVerdict } from './user/policy.ts';

type PolicyMessage = Extract<NetRequest, { kind: 'verdict' | 'streamData' | 'streamTaken' | 'streamAbort' }>;

export class RemotePolicy {
  readonly #send: (message: NetReply) => void;
  readonly #queries = new Map<number, (verdict: PolicyVerdict) => void>();
  readonly #streams = new Map<number, RemoteStream>();
  #next = 1;

  constructor(send: (message: NetReply) => void) {
    this.#send = send;
  }

  ask(request: ConnectionRequest): Promise<PolicyVerdict> {
    const query = this.#next++;
    return new Promise((resolve) => {
      this.#queries.set(query, resolve);
      this.#send({ kind: 'query', query, request });
    });
  }

  receive(message: PolicyMessage): void {
    if (message.kind === 'verdict') {
      this.#onVerdict(message.query, message.verdict);
      return;
    }
    const stream = this.#streams.get(message.stream);
    if (stream === undefined) return;
    if (message.kind === 'streamTaken') stream.taken(message.count);
    else if (message.kind === 'streamAbort') this.#end(stream, 'ECONNRESET');
    else if (message.bytes === undefined) stream.inputEnded();
    else stream.handlers.data(message.bytes);
  }

  #onVerdict(query: number, verdict: 'allow' | 'deny' | 'answer'): void {
    const resolve = this.#queries.get(query);
    this.#queries.delete(query);
    if (verdict !== 'answer') {
      resolve?.({ kind: verdict });
      return;
    }
    const open = (handlers: StreamHandlers): HostStream => {
      const stream = new RemoteStream(query, handlers, this.#send, () => this.#streams.delete(query));
      this.#streams.set(query, stream);
      return stream;
    };
    resolve?.({ kind: 'answer', open });
  }

  #end(stream: RemoteStream, code: string): void {
    this.#streams.delete(stream.number);
    stream.handlers.closed(code);
  }
}

class RemoteStream implements HostStream {
  readonly number: number;
  readonly handlers: StreamHandlers;
  readonly #send: (message: NetReply) => void;
  readonly #gone: () => void;
  pendingBytes = 0;
  #hasInputEnded = false;
  #hasOutputEnded = false;

  constructor(number: number, handlers: StreamHandlers, send: (message: NetReply) => void, gone: () => void) {
    this.number = number;
    this.handlers = handlers;
    this.#send = send;
    this.#gone = gone;
  }

  write(bytes: Uint8Array): void {
    this.pendingBytes += bytes.length;
    this.#send({ kind: 'streamData', stream: this.number, bytes });
  }

  taken(count: number): void {
    this.pendingBytes = Math.max(0, this.pendingBytes - count);
    if (this.pendingBytes < 65536) this.handlers.drained();
  }

  end(): void {
    this.#hasOutputEnded = true;
    this.#send({ kind: 'streamData', stream: this.number, bytes: undefined });
    if (this.#hasInputEnded) this.#gone();
  }

  inputEnded(): void {
    this.#hasInputEnded = true;
    this.handlers.ended();
    if (this.#hasOutputEnded) this.#gone();
  }

  pause(): void {
    this.#send({ kind: 'streamFlow', stream: this.number, open: false });
  }

  resume(): void {
    this.#send({ kind: 'streamFlow', stream: this.number, open: true });
  }

  destroy(): void {
    this.#gone();
    this.#send({ kind: 'streamClosed', stream: this.number });
  }
}
