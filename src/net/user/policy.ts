/** What a program that embeds the machine has to say about connections of the guest. */
import type { HostStream, StreamHandlers } from '../host.ts';

/** A connection (or the first datagram of an exchange) that the guest wants. */
export interface ConnectionRequest {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly source: { readonly address: string; readonly port: number };
  /** As the guest named it. */
  readonly destination: { readonly address: string; readonly port: number };
}

export type PolicyVerdict =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny' }
  /** Somebody here is the server (TCP only). */
  | { readonly kind: 'answer'; open(handlers: StreamHandlers): HostStream };

/** Asked once for each connection; the connection waits for the answer. */
export type NetPolicy = (request: ConnectionRequest) => PolicyVerdict | Promise<PolicyVerdict>;
