/** `tap`: an Ethernet device of the host. */
import { type FrameMeta, PLAIN_FRAME } from '../core/net-backend.ts';
import { completeFrame } from '../core/net-offload.ts';
import type { HostTap, NetHost, TapOptions } from './host.ts';
import type { NetClient, NetLink } from './net-client.ts';

export class TapClient implements NetClient {
  readonly id: string;
  readonly offloads = 0;
  link: NetLink | undefined;
  readonly #tap: HostTap;

  /** Throws with the reason when there is no such device. */
  constructor(id: string, options: TapOptions, host: NetHost, flush: () => void) {
    this.id = id;
    this.#tap = host.tap(options, (frame) => {
      this.link?.send(this, frame, PLAIN_FRAME);
      flush();
    });
  }

  describe(): string {
    return `tap,ifname=${this.#tap.name}`;
  }

  /** What the device does not take is lost, as on a wire. */
  accept(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean {
    return completeFrame(frame, meta, (complete) => {
      this.#tap.write(complete);
      return true;
    });
  }

  writable(): void {}

  close(): void {
    this.#tap.close();
  }
}
