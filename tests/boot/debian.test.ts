// An installed Debian with systemd on a qcow2 disk: SeaBIOS, GRUB, kernel, systemd, login prompt, and off again.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing, root } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, haveProgram } from '../support/guests.ts';

const MINUTE = 60_000;
const BOOT_MS = 10 * MINUTE;

interface Place {
  readonly name: string;
  /** Options that connect the drive `d0`. */
  readonly drive: (file: string) => readonly string[];
  readonly root: string;
  /** The driver that the guest must have bound. */
  readonly driver: string;
}

const backend = (file: string): string[] => ['-drive', `if=none,id=d0,format=qcow2,file=${file}`];

const PLACES: readonly Place[] = [
  {
    name: 'IDE',
    drive: (file) => ['-drive', `format=qcow2,file=${file}`],
    root: '/dev/sda1',
    driver: 'ata_piix',
  },
  {
    name: 'virtio-blk',
    drive: (file) => [...backend(file), '-device', 'virtio-blk-pci,drive=d0,bootindex=0'],
    root: '/dev/vda1',
    driver: 'virtio_blk',
  },
  {
    name: 'virtio-scsi',
    drive: (file) => [
      ...backend(file),
      ...['-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=d0,serial=lyre1,bootindex=0'],
    ],
    root: '/dev/sda1',
    driver: 'virtio_scsi',
  },
  {
    name: 'NVMe',
    drive: (file) => [...backend(file), '-device', 'nvme,drive=d0,serial=lyre1,bootindex=0'],
    root: '/dev/nvme0n1p1',
    driver: 'nvme',
  },
];

function missingForDisk(): string | undefined {
  if (!existsSync('/usr/share/seabios/bios-256k.bin')) return 'the package seabios is not installed';
  return emulatorMissing() ?? ensureGuests('debian-disk');
}

function image(...args: readonly string[]): string {
  const done = spawnSync(process.execPath, [join(root, 'bin/lyrebird-img'), ...args], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

function assertClean(path: string): void {
  image('check', path);
  if (!haveProgram('qemu-img')) return;
  const check = spawnSync('qemu-img', ['check', path], { encoding: 'utf8' });
  assert.equal(check.status, 0, check.stdout + check.stderr);
}

for (const { name, drive, root: device, driver } of PLACES) {
  test(`Debian with systemd boots from a qcow2 disk over ${name} to its login prompt`, {
    timeout: 2 * BOOT_MS,
  }, async (t) => {
    const missing = missingForDisk();
    if (missing !== undefined) return t.skip(missing);
    const dir = mkdtempSync(join(tmpdir(), 'lyrebird-debian-'));
    const disk = join(dir, 'disk.qcow2');
    image('create', '-f', 'qcow2', '-b', guestFile('debian-disk', 'debian.qcow2'), '-F', 'qcow2', disk);
    const run = new GuestProcess([
      ...emulatorCommand(),
      ...['-m', '512', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      ...drive(disk),
    ]);
    try {
      await run.expect('GRUB on the disk', BOOT_MS);
      const { atMs } = await run.expect('login: ', BOOT_MS);
      t.diagnostic(`power-on to login: ${(atMs / 1000).toFixed(1)} s`);
      run.send('root\n');
      await run.expect('Password: ', MINUTE);
      run.send('root\n');
      await run.expect(/root@lyre:[^\r\n]*# /, 2 * MINUTE);
      run.send(`findmnt -no SOURCE,FSTYPE /; ls /sys/bus/*/drivers/${driver}\n`);
      await run.expect(`${device} ext4`, MINUTE);
      run.send('systemctl is-system-running; cat /proc/version > /kept; md5sum /kept; sync; echo $((6*7))\n');
      await run.expect(/running|degraded/, MINUTE);
      await run.expect(/[0-9a-f]{32} {2}\/kept\s+42/, MINUTE);
      run.send('systemctl poweroff\n');
      assert.equal(await run.exited(3 * MINUTE), 0);
      assertClean(disk);
    } finally {
      await run.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
