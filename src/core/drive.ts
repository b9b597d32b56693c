/** A drive as boards and devices find it: what the user said of it, and its back end. */
import type { BlockBackend } from './block-backend.ts';

/** `if=` of `-drive`; `none`: only a device that names the drive uses it. */
export type DriveInterface = 'ide' | 'scsi' | 'virtio' | 'floppy' | 'pflash' | 'sd' | 'mtd' | 'none';

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
