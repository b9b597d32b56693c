/** Finds firmware and option ROMs: in the user's `-L` directories, then where distributions' packages put them. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { FileImage } from '../../system/protocol.ts';
import { UserError } from '../../util/errors.ts';
import { readSharedFile } from './read-file.ts';

export const SYSTEM_DIRECTORIES = [
  '/usr/share/seabios',
  '/usr/share/qemu',
  '/usr/share/qemu-kvm',
  '/usr/local/share/qemu',
  '/usr/share/qemu/firmware',
  '/opt/homebrew/share/qemu',
];

export const DEFAULT_FIRMWARE = 'bios-256k.bin';

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** The path of `name` in the first directory that has it. */
export function findFirmware(name: string, directories: readonly string[]): string | undefined {
  return [...directories, ...SYSTEM_DIRECTORIES].map((dir) => join(dir, name)).find(isFile);
}

/** What `-bios` names (a path, or a name to be searched), or by default SeaBIOS. `UserError` if it is not there. */
export function readFirmware(name: string | undefined, directories: readonly string[]): FileImage {
  if (name !== undefined) {
    const path = isFile(name) || name.includes('/') ? name : (findFirmware(name, directories) ?? name);
    return { name, bytes: readSharedFile(path, '-bios') };
  }
  const path = findFirmware(DEFAULT_FIRMWARE, directories);
  if (path === undefined) {
    throw new UserError(
      'NoFirmware',
      `-bios: ${DEFAULT_FIRMWARE} was not found; install SeaBIOS (Debian's package "seabios"), or give a kernel with -kernel`,
    );
  }
  return { name: path, bytes: readSharedFile(path, '-bios') };
}

/** The ROMs of `names` that the host has. */
export function readRoms(names: readonly string[], directories: readonly string[]): FileImage[] {
  return names.flatMap((name) => {
    const path = findFirmware(name, directories);
    return path === undefined ? [] : [{ name, bytes: readSharedFile(path, '-L') }];
  });
}
