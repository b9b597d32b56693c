/** `socket` and `stream`: frames over TCP or a UNIX socket, each behind its length in 32 bits, big-endian (as QEMU's). */
import { type FrameMeta, MAX_FRAME_BYTES, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame } from '../core/net-offload.ts';
import type { AcceptedStream, HostStream, HostTimer, Listener, NetHost, StreamHandlers } from './host.ts';
import type { NetClient, NetLink } from './net-client.ts';
import type { SocketAddress, StreamConfig } from './net-config.ts';

/** What may wait for a slow peer; more frames are lost, as on a wire: the guest never waits for it. */
const MAX_PENDING = 4 * 1024 * 1024;
const LENGTH_BYTES = 4;

export class StreamClient implements NetClient, StreamHandlers {
  readonly id: string;
  readonly offloads = 0;
  link: NetLink | undefined;
  readonly #config: StreamConfig;
  readonly #type: string;
  readonly #host: NetHost;
  readonly #flush: () => void;
  readonly #retry: HostTimer;
  #listener: Listener | undefined;
  #stream: HostStream | undefined;
  #peer = '';
  #closed = false;
  /** Bytes of a frame that is not yet complete, or that the card has no room for. */
  #input: Uint8Array = new Uint8Array(0);
  #stalled = false;

  constructor(id: string, type: string, config: StreamConfig, host: NetHost, flush: () => void) {
    this.id = id;
    this.#type = type;
    this.#config = config;
    this.#host = host;
    this.#flush = flush;
    this.#retry = host.timer(() => this.#connect());
  }

  async start(): Promise<void> {
    if (!this.#config.isServer) {
      this.#connect();
      return;
    }
    const { address } = this.#config;
    const target =
      address.kind === 'unix'
        ? { path: address.path }
        : { address: address.host || undefined, port: address.port };
    this.#listener = await this.#host.listen(target, (stream) => this.#accept(stream));
  }

  describe(): string {
    const { isServer, address } = this.#config;
    const state =
      this.#stream === undefined ? (isServer ? 'listening on' : 'not connected to') : 'connected to';
    return `${this.#type},${state} ${this.#stream === undefined ? formatAddress(address) : this.#peer}`;
  }

  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    return completeFrame(frame, meta, (complete) => {
      const stream = this.#stream;
      if (stream === undefined || stream.pendingBytes > MAX_PENDING) return true;
      const packet = new Uint8Array(LENGTH_BYTES + complete.length);
      new DataView(packet.buffer).setUint32(0, complete.length);
      packet.set(complete, LENGTH_BYTES);
      stream.write(packet);
      return true;
    });
  }

  writable(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#deliver();
    if (!this.#stalled) this.#stream?.resume();
    this.#flush();
  }

  close(): void {
    this.#closed = true;
    this.#retry.cancel();
    this.#listener?.close();
    this.#stream?.destroy();
    this.#stream = undefined;
  }

  // --- the stream

  connected(): void {
    this.#input = new Uint8Array(0);
  }

  data(bytes: Uint8Array): void {
    if (this.#input.length === 0) this.#input = bytes;
    else {
      const joined = new Uint8Array(this.#input.length + bytes.length);
      joined.set(this.#input);
      joined.set(bytes, this.#input.length);
      this.#input = joined;
    }
    if (!this.#stalled) this.#deliver();
    this.#flush();
  }

  ended(): void {
    this.#disconnect();
  }

  drained(): void {}

  closed(): void {
    this.#stream = undefined;
    this.#stalled = false;
    this.#input = new Uint8Array(0);
    const { isServer, reconnectSeconds } = this.#config;
    if (!isServer && !this.#closed && reconnectSeconds > 0) this.#retry.arm(reconnectSeconds * 1000);
  }

  #connect(): void {
    const { address } = this.#config;
    const target =
      address.kind === 'unix' ? address : { kind: 'tcp' as const, address: address.host, port: address.port };
    this.#peer = formatAddress(address);
    this.#stream = this.#host.connect(target, this);
  }

  /** One peer at a time. */
  #accept(stream: AcceptedStream): void {
    if (this.#stream !== undefined) {
      stream.open({ connected() {}, data() {}, ended() {}, drained() {}, closed() {} }).destroy();
      return;
    }
    this.#peer =
      stream.address === '' ? formatAddress(this.#config.address) : `${stream.address}:${stream.port}`;
    this.#stream = stream.open(this);
    this.connected();
  }

  #disconnect(): void {
    this.#stream?.destroy();
    this.closed();
  }

  #deliver(): void {
    let at = 0;
    const bytes = this.#input;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (at + LENGTH_BYTES <= bytes.length) {
      const length = view.getUint32(at);
      if (length > MAX_FRAME_BYTES) {
        this.#disconnect(); // not one of ours
        return;
      }
      const end = at + LENGTH_BYTES + length;
      if (end > bytes.length) break;
      if (
        length >= 14 &&
        this.link?.send(this, bytes.subarray(at + LENGTH_BYTES, end), PLAIN_FRAME) === false
      ) {
        this.#stalled = true;
        this.#stream?.pause();
        break;
      }
      at = end;
    }
    this.#input = at === bytes.length ? new Uint8Array(0) : bytes.subarray(at);
  }
}

export function formatAddress(address: SocketAddress): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
}
