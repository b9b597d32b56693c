/** A drive as boards and devices find it: what the user said of it, and its back end. */
import type { BlockBackend } from './block-backend.ts';

/** `if=` of `-drive`; `none`: only a device that names the drive uses it. */
export type DriveInterface = 'ide' | 'scsi' | 'virtio' | 'floppy' | 'pflash' | 'sd' | 'mtd' | 'none';

/** How the host sees and moves a removable medium. */
export interface RemovableMedium {
  /** False: the medium goes in and out by itself (floppy). */
  readonly hasTray: boolean;
  readonly isTrayOpen: boolean;
  /** The guest prevents removal. */
  readonly isLocked: boolean;
  setTrayOpen(open: boolean): void;
  /** Lets the guest know that the host wants the medium out. */
  requestEject(): void;
  /** The guest opened or closed the tray. */
  onTrayMoved?: ((isOpen: boolean) => void) | undefined;
}

/** The device that a drive serves. */
export interface DriveUser {
  /** Path in the object model. */
  readonly path: string;
  readonly id: string | undefined;
  /** Undefined: a fixed disk. */
  readonly removable: RemovableMedium | undefined;
}

export interface Drive {
  /** `id=` of `-drive` or `node-name=` of `-blockdev`: what `-device …,drive=` names. */
  readonly id: string;
  readonly interface: DriveInterface;
  /** Place on the interface; (0, 0) is the first. Meaningless for `none`. */
  readonly bus: number;
  readonly unit: number;
  readonly media: 'disk' | 'cdrom';
  /** Without medium its size is 0. */
  readonly backend: BlockBackend;
  /** Set by whoever plugs the device. */
  user?: DriveUser | undefined;
}

/** The drive that `-device …,drive=id` names. */
export function findDrive(drives: readonly Drive[], id: string): Drive | undefined {
  return drives.find((drive) => drive.id === id);
}

/** The drive at a place of an interface, `-drive if=…,bus=…,unit=…`. */
export function driveAt(
  drives: readonly Drive[],
  kind: DriveInterface,
  bus: number,
  unit: number,
): Drive | undefined {
  return drives.find((drive) => drive.interface === kind && drive.bus === bus && drive.unit === unit);
}
