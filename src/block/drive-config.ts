/** What the command line says of drives: plain data for the I/O thread and the machine thread. */
import type { DriveInterface } from '../core/drive.ts';
import type { ShareConfig } from '../core/share-backend.ts';
import type { NodeOptions } from './node-options.ts';

/** What becomes of a request that failed: the device hears of it, nobody does, or the machine stops and tries again. */
export type ErrorAction = 'report' | 'ignore' | 'stop' | 'enospc';

export interface DriveConfig {
  /** The option as it was given, for messages. */
  readonly option: string;
  readonly id: string;
  readonly interface: DriveInterface;
  readonly bus: number;
  readonly unit: number;
  readonly media: 'disk' | 'cdrom';
  /** Undefined: no medium. */
  readonly node: NodeOptions | undefined;
  readonly isReadOnly: boolean;
  /** Writes go to a temporary image and are forgotten. */
  readonly isSnapshot: boolean;
  /** `cache.writeback=off`: a write is complete when it is on stable storage. */
  readonly isWritethrough: boolean;
  readonly readError: ErrorAction;
  readonly writeError: ErrorAction;
}

/** A `-blockdev`, in the order given. */
export interface BlockdevConfig {
  readonly option: string;
  readonly node: NodeOptions;
}

export interface BlockConfig {
  /** Folders, which the same thread serves. */
  readonly shares?: readonly ShareConfig[];
  readonly blockdevs: readonly BlockdevConfig[];
  readonly drives: readonly DriveConfig[];
}
