/** Flash memory of a PC board: `-drive if=pflash`, units below 4 GiB, the first highest. */
import type { AddressSpace } from '../core/address-space.ts';
import type { Drive } from '../core/drive.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import { PflashCfi01 } from '../hw/block/pflash-cfi01.ts';
import { UserError } from '../util/errors.ts';
import type { DeviceSlots } from './device-slots.ts';
import * as map from './pc-map.ts';

/** What is known of a drive before its back end exists. */
type FlashPlace = Pick<Drive, 'interface' | 'unit'>;

/** The drives that are flash, by unit. `UserError`: a unit is missing. */
export function flashUnits<D extends FlashPlace>(drives: readonly D[]): readonly D[] {
  const units = drives.filter((drive) => drive.interface === 'pflash').sort((a, b) => a.unit - b.unit);
  units.forEach((drive, n) => {
    if (drive.unit !== n) throw new UserError('BadDrive', `-drive if=pflash: there is no unit ${n}`);
  });
  return units;
}

export class PcFlash {
  readonly #units: ReadonlyArray<{ readonly device: PflashCfi01; readonly name: string }>;

  /** The arrays lie one behind the other from `ramOffset` of the RAM buffer. */
  constructor(
    drives: readonly Drive[],
    memory: AddressSpace,
    slots: DeviceSlots,
    ramOffset: number,
    guestError: (text: string) => void,
  ) {
    let offset = ramOffset;
    let end = map.HIGH_RAM_BASE;
    this.#units = flashUnits(drives).map(({ backend }, n) => {
      const { sizeBytes } = backend;
      const name = `system.flash${n}`;
      const device = new PflashCfi01({
        ram: memory.ram,
        ramOffset: offset,
        sizeBytes,
        backend,
        onArrayMode: (isArray) => {
          memory.batch(() => {
            array.enabled = isArray;
            commands.enabled = !isArray;
          });
        },
        guestError,
      });
      const array = MemoryRegion.romDevice(name, sizeBytes, offset, device);
      const commands = MemoryRegion.mmio(`${name}-commands`, sizeBytes, device, { unaligned: true });
      commands.enabled = false;
      end -= sizeBytes;
      offset += sizeBytes;
      memory.root.add(end, array);
      memory.root.add(end, commands);
      return { device: slots.add(name, device), name };
    });
  }

  get isPresent(): boolean {
    return this.#units.length > 0;
  }

  /** Reads the contents from their back ends; `done` is called once, with the reason of a failure. */
  load(done: (error: UserError | undefined) => void): void {
    let left = this.#units.length;
    if (left === 0) done(undefined);
    for (const { device, name } of this.#units) {
      device.load((error) => {
        if (left <= 0) return;
        left = error === 0 ? left - 1 : 0;
        if (left > 0) return;
        done(
          error === 0 ? undefined : new UserError('BadFirmware', `${name}: cannot be read (error ${error})`),
        );
      });
    }
  }
}
