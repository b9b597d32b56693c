/** `dgram` and the datagram forms of `socket`: one frame in each UDP datagram. */
import { type FrameMeta, MAX_FRAME_BYTES, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame } from '../core/net-offload.ts';
import type { DatagramSocket, NetHost } from './host.ts';
import type { NetClient, NetLink } from './net-client.ts';
import type { DatagramConfig } from './net-config.ts';

export class DatagramClient implements NetClient {
  readonly id: string;
  readonly offloads = 0;
  link: NetLink | undefined;
  readonly #config: DatagramConfig;
  readonly #type: string;
  readonly #host: NetHost;
  readonly #flush: () => void;
  #socket: DatagramSocket | undefined;
  /** Own datagrams come back from a group. */
  #recent: Uint8Array[] = [];

  constructor(id: string, type: string, config: DatagramConfig, host: NetHost, flush: () => void) {
    this.id = id;
    this.#type = type;
    this.#config = config;
    this.#host = host;
    this.#flush = flush;
  }

  async start(): Promise<void> {
    const { remote, local, isMulticast } = this.#config;
    const family = (local?.host ?? remote?.host ?? '').includes(':') ? 6 : 4;
    this.#socket = await this.#host.datagram(
      isMulticast
        ? {
            family,
            port: remote!.port,
            reuse: true,
            multicast: remote!.host,
            multicastInterface: local?.host,
          }
        : { family, address: local?.host, port: local?.port },
      (bytes) => this.#received(bytes),
    );
  }

  describe(): string {
    const { remote, local, isMulticast } = this.#config;
    if (isMulticast) return `${this.#type},mcast=${remote!.host}:${remote!.port}`;
    return `${this.#type},udp=${local?.host ?? ''}:${local?.port ?? 0}/${remote?.host ?? ''}:${remote?.port ?? 0}`;
  }

  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    const { remote, isMulticast } = this.#config;
    return completeFrame(frame, meta, (complete) => {
      if (remote === undefined) return true;
      if (isMulticast) this.#remember(complete);
      this.#socket?.send(complete, remote.host, remote.port);
      return true;
    });
  }

  writable(): void {}

  close(): void {
    this.#socket?.close();
  }

  #received(bytes: Uint8Array): void {
    if (bytes.length < 14 || bytes.length > MAX_FRAME_BYTES) return;
    if (this.#config.isMulticast && this.#isOwn(bytes)) return;
    this.link?.send(this, bytes, PLAIN_FRAME); // no room: lost, as on a wire
    this.#flush();
  }

  #remember(frame: Uint8Array): void {
    this.#recent.push(frame.slice());
    if (this.#recent.length > 64) this.#recent.shift();
  }

  #isOwn(bytes: Uint8Array): boolean {
    const at = this.#recent.findIndex(
      (sent) => sent.length === bytes.length && sent.every((byte, n) => byte === bytes[n]),
    );
    if (at >= 0) this.#recent.splice(at, 1);
    return at >= 0;
  }
}
