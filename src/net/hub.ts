/** A hub: what comes in through one port goes out through all others. */
import { type FrameMeta, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame } from '../core/net-offload.ts';
import type { NetClient, NetLink } from './net-client.ts';

/** Frames that wait for a slow port; more are lost. */
const MAX_WAITING = 256;

export class Hub {
  readonly number: number;
  readonly ports: HubPort[] = [];

  constructor(number: number) {
    this.number = number;
  }

  add(id: string): HubPort {
    const port = new HubPort(id, this);
    this.ports.push(port);
    return port;
  }
}

export class HubPort implements NetClient {
  readonly id: string;
  readonly offloads = 0;
  readonly hub: Hub;
  link: NetLink | undefined;
  #waiting: Uint8Array[] = [];

  constructor(id: string, hub: Hub) {
    this.id = id;
    this.hub = hub;
  }

  describe(): string {
    return `hubport,hub ${this.hub.number}`;
  }

  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    return completeFrame(frame, meta, (complete) => {
      for (const port of this.hub.ports) if (port !== this) port.#deliver(complete);
      return true;
    });
  }

  writable(): void {
    while (this.#waiting.length > 0) {
      if (this.link?.send(this, this.#waiting[0]!, PLAIN_FRAME) === false) return;
      this.#waiting.shift();
    }
  }

  close(): void {
    this.hub.ports.splice(this.hub.ports.indexOf(this), 1);
  }

  #deliver(frame: Uint8Array): void {
    const { link } = this;
    if (link === undefined) return;
    const direct = this.#waiting.length === 0 && link.send(this, frame, PLAIN_FRAME);
    if (!direct && this.#waiting.length < MAX_WAITING) this.#waiting.push(frame.slice());
  }
}
