/** `-drive if=virtio` and `if=scsi`: drives that are devices, or that a board has no place for. */
import type { Drive } from '../core/drive.ts';
import { UserError } from '../util/errors.ts';
import type { DeviceSpec } from './device-spec.ts';

/** The devices that such drives stand for, to follow those the user gave. `UserError`: the board has no such controller. */
export function devicesOfDrives(drives: readonly Drive[], virtioDisk: string): DeviceSpec[] {
  for (const { interface: kind, bus, unit } of drives) {
    if (kind === 'scsi' || kind === 'sd' || kind === 'mtd')
      throw new UserError(
        'BadDrive',
        `-drive if=${kind}: machine type does not support if=${kind},bus=${bus},unit=${unit}`,
      );
  }
  return drives
    .filter((drive) => drive.interface === 'virtio')
    .map((drive) => ({
      driver: virtioDisk,
      id: undefined,
      bus: undefined,
      properties: { drive: drive.id },
      what: `-drive if=virtio,id=${drive.id}`,
    }));
}
