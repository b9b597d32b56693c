/** Networks as the user asked for them: plain data that travels to the network thread. */
import type { TapOptions } from './host.ts';
import type { UserNetConfig } from './user/user-config.ts';

/** Where a stream of frames goes. */
export type SocketAddress =
  | { readonly kind: 'inet'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Frames with a length of 32 bits before each, over TCP or a UNIX socket. */
export interface StreamConfig {
  readonly address: SocketAddress;
  readonly isServer: boolean;
  /** Client: seconds after which to try again; 0: never. */
  readonly reconnectSeconds: number;
}

/** One frame a datagram. */
export interface DatagramConfig {
  readonly remote: { readonly host: string; readonly port: number } | undefined;
  readonly local: { readonly host: string; readonly port: number } | undefined;
  /** `remote` is a group that this end joins. */
  readonly isMulticast: boolean;
}

export type NetdevKind =
  | { readonly kind: 'user'; readonly user: UserNetConfig }
  /** `netdev`: another back end that this port connects to the hub in a card's place. */
  | { readonly kind: 'hubport'; readonly hub: number; readonly netdev: string | undefined }
  | { readonly kind: 'stream'; readonly type: 'socket' | 'stream'; readonly stream: StreamConfig }
  | { readonly kind: 'dgram'; readonly type: 'socket' | 'dgram'; readonly dgram: DatagramConfig }
  | { readonly kind: 'tap'; readonly tap: TapOptions };

export type NetdevConfig = NetdevKind & { readonly id: string; readonly option: string };

export type FilterKind =
  | { readonly kind: 'filter-dump'; readonly file: string; readonly maxBytes: number }
  | {
      readonly kind: 'filter-lossy';
      /** Probabilities. */
      readonly drop: number;
      readonly duplicate: number;
      readonly reorder: number;
      readonly seed: number;
    };

export type FilterConfig = FilterKind & {
  readonly id: string;
  readonly netdev: string;
  readonly option: string;
  /** Which way: to the card, from it, or both. */
  readonly queue: 'all' | 'rx' | 'tx';
};

export interface NetConfig {
  readonly netdevs: readonly NetdevConfig[];
  readonly filters: readonly FilterConfig[];
}

/** For the machine thread. */
export interface NetStart {
  /** `NetDoorbell` of the network thread. */
  readonly doorbell: SharedArrayBuffer;
  /** Of each back end that a card may use. */
  readonly channels: ReadonlyArray<readonly [id: string, buffer: SharedArrayBuffer]>;
}

/** Back ends that a card can be plugged into: not those that hold others' places on a hub, and not those whose place is held. */
export function cardNetdevs(config: NetConfig): readonly NetdevConfig[] {
  const held = new Set(
    config.netdevs.flatMap((n) => (n.kind === 'hubport' && n.netdev !== undefined ? [n.netdev] : [])),
  );
  return config.netdevs.filter((n) => !held.has(n.id) && !(n.kind === 'hubport' && n.netdev !== undefined));
}
