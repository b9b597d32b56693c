// A bootable disk made at test time without privileges: GRUB in front of an ext4 file system with Debian's kernel, its
// modules for IDE, and a busybox userland that is mounted from the disk.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './emulator.ts';
import { guestFile, haveProgram } from './guests.ts';

const SECTOR = 512;
const FIRST_SECTOR = 2048;
const PARTITION_SECTORS = 128 * 2048;
const GRUB = '/usr/lib/grub/i386-pc';
/** In the order in which they can be loaded. */
const MODULES = [
  ...[
    'scsi_common',
    'scsi_mod',
    'libata',
    'ata_piix',
    'libahci',
    'ahci',
    'crc64',
    'crc64-rocksoft',
    'crct10dif_common',
    'crc-t10dif',
  ],
  ...['t10-pi', 'sd_mod', 'crc16', 'crc32c_generic', 'mbcache', 'jbd2', 'ext4'],
];

/** What the shell on the disk prints. */
export const DISK_PROMPT = 'disk# ';

/** Why such a disk cannot be made here; undefined if it can. */
export function diskToolsMissing(): string | undefined {
  if (!existsSync(GRUB)) return 'grub-pc-bin is not installed';
  const missing = ['grub-mkimage', 'dpkg-deb', 'tar'].filter((name) => !haveProgram(name));
  if (!existsSync('/usr/sbin/mke2fs') && !haveProgram('mke2fs')) missing.push('mke2fs');
  return missing.length > 0 ? `${missing.join(', ')} not found` : undefined;
}

function run(program: string, ...args: string[]): void {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${program}: ${result.stderr}${result.error?.message ?? ''}`);
}

interface CpioModule {
  writeCpio(entries: readonly object[]): Uint8Array;
}

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for m in ${MODULES.join(' ')}; do [ -f /mod/$m.ko ] && insmod /mod/$m.ko; done
n=0; while [ ! -b /dev/sda1 ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
mount -t ext4 /dev/sda1 /root || exec sh
exec switch_root /root /sbin/init
`;

const DISK_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
mount -t sysfs sysfs /sys
echo "root on $(grep ' / ' /proc/mounts | tail -1 | cut -d' ' -f1)"
export PS1='${DISK_PROMPT}'
setsid cttyhack sh
sync
poweroff -f
`;

const GRUB_CONFIG = `serial --unit=0 --speed=115200
terminal_output serial console
terminal_input serial console
echo "GRUB on the disk"
linux /boot/vmlinuz console=ttyS0 quiet
initrd /boot/initrd
boot
`;

/** Makes the disk; call `remove` when done. */
export async function makeDisk(): Promise<{ readonly path: string; remove(): void }> {
  const work = mkdtempSync(join(tmpdir(), 'lyrebird-disk-'));
  const remove = (): void => rmSync(work, { recursive: true, force: true });
  try {
    const tree = join(work, 'root');
    await fillTree(tree, extractModules(work, MODULES));
    const partition = join(work, 'partition');
    writeFileSync(partition, '');
    truncateSync(partition, PARTITION_SECTORS * SECTOR);
    const mke2fs = haveProgram('mke2fs') ? 'mke2fs' : '/usr/sbin/mke2fs';
    run(mke2fs, '-q', '-t', 'ext4', '-L', 'disk', '-d', tree, partition);
    const path = join(work, 'disk.img');
    writeDisk(path, partition, makeCore(work));
    rmSync(tree, { recursive: true });
    rmSync(partition);
    return { path, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/**
 * Modules out of the kernel's package, which `tools/fetch-guests.mjs amd64` has left: a folder somewhere below which they are.
 */
export function extractModules(work: string, names: readonly string[]): string {
  const downloads = join(root, '.cache', 'guests', '.apt', 'download');
  const name = readdirSync(downloads).find((file) => /^linux-image-[\d.-]+-amd64_/.test(file));
  if (name === undefined)
    throw new Error('the package of the kernel is gone; run tools/fetch-guests.mjs amd64');
  const archive = join(work, 'package.tar');
  run('sh', '-c', `dpkg-deb --fsys-tarfile '${join(downloads, name)}' > '${archive}'`);
  const out = join(work, 'modules');
  mkdirSync(out);
  run('tar', '-xf', archive, '-C', out, '--wildcards', ...names.map((module) => `*/${module}.ko`));
  rmSync(archive);
  return out;
}

export function findModule(dir: string, name: string): string | undefined {
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (entry.name === name) return join(entry.parentPath ?? entry.path, name);
  }
  return undefined;
}

async function fillTree(tree: string, modules: string): Promise<void> {
  for (const dir of ['boot/grub', 'bin', 'sbin', 'proc', 'sys', 'dev', 'tmp']) {
    mkdirSync(join(tree, dir), { recursive: true });
  }
  const busybox = guestFile('busybox', 'busybox');
  copyFileSync(busybox, join(tree, 'bin/busybox'));
  run('chmod', '755', join(tree, 'bin/busybox'));
  copyFileSync(guestFile('amd64', 'vmlinuz'), join(tree, 'boot/vmlinuz'));
  writeFileSync(join(tree, 'sbin/init'), DISK_INIT, { mode: 0o755 });
  writeFileSync(join(tree, 'boot/grub/grub.cfg'), GRUB_CONFIG);
  const { writeCpio } = (await import(pathToFileURL(join(root, 'tools/guests/cpio.mjs')).href)) as CpioModule;
  const dir = (path: string) => ({ path, type: 'dir', mode: 0o755 });
  const files = MODULES.flatMap((name) => {
    const path = findModule(modules, `${name}.ko`);
    return path === undefined
      ? []
      : [{ path: `mod/${name}.ko`, type: 'file', mode: 0o644, data: readFileSync(path) }];
  });
  const archive = writeCpio([
    ...['bin', 'dev', 'proc', 'sys', 'root', 'mod'].map(dir),
    { path: 'dev/console', type: 'char', mode: 0o600, rdev: [5, 1] },
    { path: 'bin/busybox', type: 'file', mode: 0o755, data: readFileSync(busybox) },
    { path: 'init', type: 'file', mode: 0o755, data: INIT },
    ...files,
  ]);
  writeFileSync(join(tree, 'boot/initrd'), archive);
}

function makeCore(work: string): Uint8Array {
  const core = join(work, 'core.img');
  const modules = [
    'biosdisk',
    'part_msdos',
    'ext2',
    'normal',
    'configfile',
    'linux',
    'serial',
    'terminal',
    'echo',
    'boot',
  ];
  run('grub-mkimage', '-O', 'i386-pc', '-p', '(hd0,msdos1)/boot/grub', '-o', core, ...modules);
  return readFileSync(core);
}

/** Sector 0: GRUB's boot code and the partition table; from sector 1: its core; then the partition. */
function writeDisk(path: string, partition: string, core: Uint8Array): void {
  const mbr = Buffer.from(readFileSync(join(GRUB, 'boot.img')).subarray(0, SECTOR));
  mbr.fill(0, 0x1b8, 0x1fe);
  mbr.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 0x1be);
  mbr.writeUInt32LE(FIRST_SECTOR, 0x1be + 8);
  mbr.writeUInt32LE(PARTITION_SECTORS, 0x1be + 12);
  mbr.writeUInt16LE(0xaa55, 0x1fe);
  if (core.length > (FIRST_SECTOR - 1) * SECTOR) throw new Error('GRUB is too large for the gap');
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, mbr, 0, SECTOR, 0);
    writeSync(fd, core, 0, core.length, SECTOR);
    const content = readFileSync(partition);
    writeSync(fd, content, 0, content.length, FIRST_SECTOR * SECTOR);
  } finally {
    closeSync(fd);
  }
}
