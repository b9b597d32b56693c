// An installed Debian with systemd on a qcow2 disk: debootstrap into a folder, the folder into an ext4 partition, GRUB before it.
// Needs root, for chroot; nothing is mounted but /proc inside the folder.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GuestError } from './apt.mjs';

const SECTOR = 512;
const FIRST_SECTOR = 2048;
const PARTITION_SECTORS = 1200 * 2048;
const GRUB = '/usr/lib/grub/i386-pc';
const SUITE = 'bookworm';
const MIRROR = process.env['DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
const UUID = '6c797265-6269-7264-8000-000000000001';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PACKAGES = ['systemd-sysv', 'udev', 'dbus', 'kmod', 'login', 'initramfs-tools', 'zstd'];
const GRUB_MODULES = [
  'biosdisk',
  'part_msdos',
  'ext2',
  'normal',
  'configfile',
  'linux',
  'serial',
  'terminal',
  'echo',
];
/** What the initial file system brings to find the root file system on any controller of the boards. */
const INITRD_MODULES = [
  ...['ata_piix', 'ahci', 'sd_mod', 'sr_mod', 'nvme', 'ext4', 'crc32c_generic'],
  ...['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_scsi'],
];

const GRUB_CONFIG = (version) => `serial --unit=0 --speed=115200
terminal_output serial console
terminal_input serial console
echo "GRUB on the disk"
linux /boot/vmlinuz-${version} root=UUID=${UUID} ro console=ttyS0 quiet
initrd /boot/initrd.img-${version}
boot
`;

const FILES = {
  'etc/fstab': `UUID=${UUID} / ext4 errors=remount-ro 0 1\n`,
  'etc/hostname': 'lyre\n',
  // A loaded host may take minutes over what real hardware does in seconds.
  'etc/systemd/system.conf.d/patience.conf':
    '[Manager]\nDefaultTimeoutStartSec=900s\nDefaultDeviceTimeoutSec=900s\n',
  'etc/hosts': '127.0.0.1 localhost lyre\n',
  'etc/initramfs-tools/conf.d/modules': 'MODULES=list\n',
  'etc/initramfs-tools/modules': `${INITRD_MODULES.join('\n')}\n`,
};

/** Why the disk cannot be made here; undefined if it can. */
export function debianDiskMissing() {
  if (process.getuid?.() !== 0) return 'making a Debian disk needs root';
  if (!existsSync(GRUB)) return 'grub-pc-bin is not installed';
  const have = (name) => PATH.split(':').some((dir) => existsSync(join(dir, name)));
  const missing = ['debootstrap', 'mke2fs', 'grub-mkimage', 'chroot'].filter((name) => !have(name));
  return missing.length > 0 ? `${missing.join(', ')} not found` : undefined;
}

function run(program, args, options = {}) {
  const env = { PATH, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', HOME: '/root' };
  const result = spawnSync(program, args, { encoding: 'utf8', env, maxBuffer: 2 ** 26, ...options });
  if (result.status === 0) return result.stdout;
  const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trim().split('\n').slice(-3).join(' | ');
  throw new GuestError(`${program} ${args[0] ?? ''}: ${result.error?.message ?? said}`);
}

/** Leaves `debian.qcow2`, and its kernel and initial file system as `vmlinuz` and `initrd.img`, in `out`. */
export function makeDebianDisk({ out, scratch, log }) {
  const missing = debianDiskMissing();
  if (missing !== undefined) throw new GuestError(missing);
  const work = scratch('debian-disk');
  // Still mounted if an earlier attempt was interrupted.
  spawnSync('umount', ['-q', '-l', join(work, 'root', 'proc')]);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const tree = join(work, 'root');
  log(`debootstrap ${SUITE} from ${MIRROR}`);
  run('debootstrap', ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, tree, MIRROR]);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  installKernel(tree, log);
  const version = finishTree(tree, out);
  log(`kernel ${version}; making the disk`);
  writeDisk(work, tree, out);
  rmSync(work, { recursive: true, force: true });
}

function installKernel(tree, log) {
  log('installing the kernel');
  const inside = (...args) => run('chroot', [tree, ...args]);
  const isMounted = spawnSync('mount', ['-t', 'proc', 'proc', join(tree, 'proc')]).status === 0;
  try {
    inside('apt-get', 'install', '-y', '-q', '--no-install-recommends', 'linux-image-amd64');
    inside('apt-get', 'clean');
    run('chroot', [tree, 'chpasswd'], { input: 'root:root\n' });
  } finally {
    if (isMounted) run('umount', [join(tree, 'proc')]);
  }
}

/** Returns the kernel's version. */
function finishTree(tree, out) {
  const boot = join(tree, 'boot');
  const kernel = readdirSync(boot).find((file) => file.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new GuestError('the kernel was not installed');
  const version = kernel.slice('vmlinuz-'.length);
  for (const dir of ['var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale']) {
    rmSync(join(tree, dir), { recursive: true, force: true });
    mkdirSync(join(tree, dir), { recursive: true });
  }
  rmSync(join(tree, 'etc/resolv.conf'), { force: true });
  writeFileSync(join(tree, 'etc/machine-id'), '');
  mkdirSync(join(boot, 'grub'), { recursive: true });
  writeFileSync(join(boot, 'grub/grub.cfg'), GRUB_CONFIG(version));
  copyFileSync(join(boot, kernel), join(out, 'vmlinuz'));
  copyFileSync(join(boot, `initrd.img-${version}`), join(out, 'initrd.img'));
  return version;
}

/** Sector 0: GRUB's boot code and the partition table; from sector 1: its core; then the partition. */
function writeDisk(work, tree, out) {
  const partition = join(work, 'partition');
  writeFileSync(partition, '');
  truncateSync(partition, PARTITION_SECTORS * SECTOR);
  run('mke2fs', ['-q', '-t', 'ext4', '-U', UUID, '-d', tree, partition]);
  const core = join(work, 'core.img');
  run('grub-mkimage', ['-O', 'i386-pc', '-p', '(hd0,msdos1)/boot/grub', '-o', core, ...GRUB_MODULES]);
  const head = Buffer.alloc(FIRST_SECTOR * SECTOR);
  readFileSync(join(GRUB, 'boot.img')).copy(head, 0, 0, 0x1b8);
  head.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 0x1be);
  head.writeUInt32LE(FIRST_SECTOR, 0x1be + 8);
  head.writeUInt32LE(PARTITION_SECTORS, 0x1be + 12);
  head.writeUInt16LE(0xaa55, 0x1fe);
  const coreBytes = readFileSync(core);
  if (coreBytes.length > (FIRST_SECTOR - 1) * SECTOR) throw new GuestError('GRUB is too large for the gap');
  coreBytes.copy(head, SECTOR);
  const raw = join(work, 'disk.img');
  const fd = openSync(raw, 'w');
  writeSync(fd, head);
  closeSync(fd);
  run('dd', [`if=${partition}`, `of=${raw}`, 'bs=1M', 'seek=1', 'conv=sparse,notrunc', 'status=none']);
  truncateSync(raw, (FIRST_SECTOR + PARTITION_SECTORS) * SECTOR);
  const img = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'bin', 'lyrebird-img');
  const made = join(out, 'making.qcow2');
  run(process.execPath, [img, 'convert', '-f', 'raw', '-O', 'qcow2', raw, made]);
  renameSync(made, join(out, 'debian.qcow2'));
}
