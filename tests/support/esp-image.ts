// A disk that UEFI firmware boots: a FAT file system with GRUB in the place of removable media, Debian's kernel and a busybox initrd.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestFile, haveProgram } from './guests.ts';

const GRUB = '/usr/lib/grub/x86_64-efi';
const IMAGE_BYTES = 64 * 2 ** 20;
const GRUB_MODULES = [
  'fat',
  'part_gpt',
  'part_msdos',
  'normal',
  'configfile',
  'linux',
  'serial',
  'terminal',
  'echo',
  'boot',
];

const GRUB_CONFIG = `echo "GRUB for UEFI"
linux /vmlinuz console=ttyS0 quiet
initrd /initrd.gz
boot
`;

/** Why such a disk cannot be made here; undefined if it can. */
export function espToolsMissing(): string | undefined {
  if (!existsSync(GRUB)) return 'grub-efi-amd64-bin is not installed';
  const missing = ['grub-mkimage', 'mformat', 'mmd', 'mcopy'].filter((name) => !haveProgram(name));
  return missing.length > 0 ? `${missing.join(', ')} not found` : undefined;
}

function run(program: string, ...args: string[]): void {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${program}: ${result.stderr}${result.error?.message ?? ''}`);
}

/** Makes the disk; call `remove` when done. */
export function makeEspDisk(): { readonly path: string; remove(): void } {
  const work = mkdtempSync(join(tmpdir(), 'lyrebird-esp-'));
  const remove = (): void => rmSync(work, { recursive: true, force: true });
  try {
    const path = join(work, 'esp.img');
    const file = (name: string): string => join(work, name);
    writeFileSync(file('grub.cfg'), GRUB_CONFIG);
    run('grub-mkimage', '-O', 'x86_64-efi', '-p', '/EFI/BOOT', '-o', file('grub.efi'), ...GRUB_MODULES);
    writeFileSync(path, '');
    truncateSync(path, IMAGE_BYTES);
    run('mformat', '-i', path, '-F', '::');
    run('mmd', '-i', path, '::/EFI', '::/EFI/BOOT');
    run('mcopy', '-i', path, file('grub.efi'), '::/EFI/BOOT/BOOTX64.EFI');
    run('mcopy', '-i', path, file('grub.cfg'), '::/EFI/BOOT/grub.cfg');
    run('mcopy', '-i', path, guestFile('cloud', 'vmlinuz'), '::/vmlinuz');
    run('mcopy', '-i', path, guestFile('busybox', 'initrd.gz'), '::/initrd.gz');
    return { path, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
