/** What the main thread and the network thread say to each other. Structured-cloneable. */
import type { NetConfig, NetStart } from './net-config.ts';
import type { ConnectionRequest } from './user/policy.ts';

/** What wakes the machine thread. */
export interface NetAttachment {
  /** The machine's doorbell is its first word. */
  readonly control: SharedArrayBuffer;
  readonly kick: { readonly buffer: SharedArrayBuffer; readonly byteOffset: number; readonly bits: number };
}

export type NetRequest =
  | {
      readonly kind: 'open';
      readonly id: number;
      readonly config: NetConfig;
      readonly start: NetStart;
      readonly hasPolicy: boolean;
    }
  | { readonly kind: 'attach'; readonly id: number; readonly machine: NetAttachment }
  | { readonly kind: 'describe'; readonly id: number }
  | { readonly kind: 'connections'; readonly id: number }
  | {
      readonly kind: 'addForward';
      readonly id: number;
      readonly netdev: string | undefined;
      readonly rule: string;
    }
  | {
      readonly kind: 'removeForward';
      readonly id: number;
      readonly netdev: string | undefined;
      readonly rule: string;
    }
  | { readonly kind: 'close'; readonly id: number }
  /** An answer of the policy; `answered`: the main thread is the server, and the rest follows in `stream…` messages. */
  | {
      readonly kind: 'verdict';
      readonly id: number;
      readonly query: number;
      readonly verdict: 'allow' | 'deny' | 'answer';
    }
  /** Bytes for the guest on an answered connection; undefined: no more. */
  | {
      readonly kind: 'streamData';
      readonly id: number;
      readonly stream: number;
      readonly bytes: Uint8Array | undefined;
    }
  | { readonly kind: 'streamTaken'; readonly id: number; readonly stream: number; readonly count: number }
  | { readonly kind: 'streamAbort'; readonly id: number; readonly stream: number };

export type NetReply =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly code: string; readonly message: string }
  | { readonly kind: 'query'; readonly query: number; readonly request: ConnectionRequest }
  /** Bytes of the guest on an answered connection (numbered as its query); undefined: no more. */
  | { readonly kind: 'streamData'; readonly stream: number; readonly bytes: Uint8Array | undefined }
  /** The guest's side has room for more (false: wait). */
  | { readonly kind: 'streamFlow'; readonly stream: number; readonly open: boolean }
  | { readonly kind: 'streamClosed'; readonly stream: number };
