/** What the parts of the user-mode stack share. */
import type { NetHost } from '../host.ts';
import type { NetClient, NetLink } from '../net-client.ts';
import type { IpBytes } from './address.ts';
import type { HeaderWriter, Route } from './ip-output.ts';
import type { ConnectionRequest, NetPolicy, PolicyVerdict } from './policy.ts';

export interface StackPorts {
  readonly host: NetHost;
  readonly headers: HeaderWriter;
  readonly self: NetClient;
  readonly isRestricted: boolean;
  readonly policy: NetPolicy | undefined;
  /** The policy's word; denied when it fails. */
  ask(request: ConnectionRequest): Promise<PolicyVerdict>;
  link(): NetLink | undefined;
  /** `flush` of all parts before the thread sleeps. */
  scheduleFlush(): void;
  /** Where the guest's traffic to an address goes; undefined: nowhere. */
  outsideAddress(address: IpBytes, port: number): string | undefined;
  /** Sends a transport packet, in fragments if it must be; the transport checksum is there already. Lost if there is no room. */
  sendIp(route: Route, protocol: number, payload: Uint8Array): void;
  /** Sends a UDP datagram to the guest. */
  sendUdp(route: Route, sourcePort: number, targetPort: number, payload: Uint8Array): void;
}
