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
  /** Opens one more drive; the answer is an `OpenedDrive`. */
  | { readonly kind: 'drive'; readonly id: number; readonly drive: DriveConfig }
  /** The medium of a handle is used no more. */
  | { readonly kind: 'release'; readonly id: number; readonly handle: number }
  /** The answer is the `MediumInfo` after it. */
  | { readonly kind: 'resize'; readonly id: number; readonly handle: number; readonly sizeBytes: number }
  /** The answer is `BlockInfo`. */
  | { readonly kind: 'info'; readonly id: number }
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

/** A node as control protocols show it. */
export interface NodeInfo {
  /** As given, or `#block` and a number. */
  readonly name: string;
  readonly isNamed: boolean;
  readonly driver: string;
  readonly filename: string;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly allocatedBytes: number | undefined;
  readonly clusterSizeBytes: number | undefined;
  readonly backingName: string | undefined;
  readonly backingFormat: string | undefined;
  readonly specific: unknown;
  /** Names of the nodes below. */
  readonly file: string | undefined;
  readonly backing: string | undefined;
}

export interface BlockInfo {
  readonly nodes: readonly NodeInfo[];
  /** Which node a handle of a medium leads to. */
  readonly media: ReadonlyArray<readonly [handle: number, node: string]>;
}

/** For the machine thread. */
export interface BlockStart {
  readonly channel: SharedArrayBuffer;
  readonly drives: readonly OpenedDrive[];
  readonly shares: readonly OpenedShare[];
  /** Each node of `-blockdev`, as a drive of its own. */
  readonly nodes: readonly OpenedDrive[];
}

/** What `open` answers. */
export type OpenedDrives = Pick<BlockStart, 'drives' | 'nodes'>;
