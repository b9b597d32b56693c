// Debian's cloud kernel and its own virtio_scsi driver: disk and CD-ROM, data compared with the host's, a unit that comes and goes.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;
const DISK_BYTES = 8 * 2 ** 20;
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

test('cloud kernel: SCSI disk on virtio-scsi', { timeout: 2 * BOOT_MS }, async (t) => {
  const missing = emulatorMissing() ?? ensureGuests('cloud-modules', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-scsi-'));
  const image = join(dir, 'disk.img');
  const disk = Buffer.alloc(DISK_BYTES);
  for (let i = 0; i < disk.length; i += 4) disk.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  writeFileSync(image, disk);
  const first = readFileSync(guestFile('busybox', 'initrd.gz'));
  const modules = readFileSync(guestFile('cloud-modules', 'modules.cpio'));
  writeFileSync(join(dir, 'initrd'), Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
  const run = new GuestProcess([
    ...emulatorCommand(),
    ...['-m', '256', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', guestFile('cloud-modules', 'vmlinuz'), '-initrd', join(dir, 'initrd')],
    ...['-append', 'console=ttyS0 quiet no_timer_check'],
    ...['-drive', `if=none,id=d0,format=raw,file=${image},discard=unmap`, '-device', 'virtio-scsi-pci'],
    ...['-device', 'scsi-hd,drive=d0,scsi-id=3,lun=2,serial=lyre9,vendor=TESTS'],
  ]);
  const ask = async (command: string): Promise<string> => {
    const mark = `done${Math.floor(performance.now())}`;
    run.send(`${command}; echo ${mark.slice(0, 4)}""${mark.slice(4)}\n`);
    return (await run.expect(mark, BOOT_MS)).text;
  };
  try {
    await run.expect(PROMPT, BOOT_MS);
    await ask('/load-virtio');
    await ask('n=0; while [ ! -b /dev/sda ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done');
    assert.match(
      await ask('ls /sys/class/scsi_device; cat /sys/block/sda/device/vendor'),
      /0:0:3:2[\s\S]*TESTS/,
    );
    assert.ok((await ask('md5sum /dev/sda')).includes(md5(disk)), 'the disk as the host wrote it');
    await ask('yes lyrebird | dd of=/dev/sda bs=4096 count=64 seek=100 iflag=fullblock 2>/dev/null; sync');
    Buffer.from('lyrebird\n'.repeat(Math.ceil((64 * 4096) / 9))).copy(disk, 100 * 4096, 0, 64 * 4096);
    assert.ok((await ask('echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/sda')).includes(md5(disk)));
    assert.match(await ask('cat /sys/block/sda/device/scsi_disk/*/cache_type'), /write back/);
    run.send('poweroff -f\n');
    assert.equal(await run.exited(BOOT_MS), 0);
    assert.equal(md5(readFileSync(image)), md5(disk), 'the image as the guest wrote it');
  } finally {
    await run.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
