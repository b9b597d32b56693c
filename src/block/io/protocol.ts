/** What the main thread and the I/O thread say to each other, and what the machine thread is told. Structured-cloneable. */
import type { ShareConfig } from '../../core/share-backend.ts';
import type { BlockConfig, DriveConfig } from '../drive-config.ts';
import type { NodeOptions } from '../node-options.ts';
import type { MediumInfo } from './block-channel.ts';

/** Guest RAM and what wakes the machine thread. */
export interface MachineAttachment {
  readonly ram: SharedArrayBuffer;
  /** The machine's doorbell. */
  readonly doorbell: SharedArrayBuffer;
  readonly doorbellOffset: number;
  readonly kick: { readonly buffer: SharedArrayBuffer; readonly byteOffset: number; readonly bits: number };
}

export type BlockRequest =
  | { readonly kind: 'open'; readonly id: number; readonly config: BlockConfig }
  /** Another medium for a drive; `node` undefined: none. */
  | {
      readonly kind: 'change';
      readonly id: number;
      readonly drive: DriveConfig;
      readonly handle: number | undefined;
    }
  | { readonly kind: 'add'; readonly id: number; readonly option: string; readonly node: NodeOptions }
  | { readonly kind: 'remove'; readonly id: number; readonly nodeName: string }
  | { readonly kind: 'attach'; readonly id: number; readonly machine: MachineAttachment }
  /** Resolves with a handle. */
  | { readonly kind: 'share'; readonly id: number; readonly share: ShareConfig }
  | { readonly kind: 'close'; readonly id: number };

export type BlockReply =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly code: string; readonly message: string }
  | { readonly kind: 'warning'; readonly text: string };

/** A drive as it was opened. */
export interface OpenedDrive {
  readonly config: DriveConfig;
  readonly medium: MediumInfo | undefined;
}

export interface OpenedShare {
  readonly id: string;
  readonly handle: number;
}

/** For the machine thread. */
export interface BlockStart {
  readonly channel: SharedArrayBuffer;
  readonly drives: readonly OpenedDrive[];
  readonly shares: readonly OpenedShare[];
}
