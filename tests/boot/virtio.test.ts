// Debian's cloud kernel and its own drivers against the virtio devices: data compared with the host's.

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
const BLOCK = 4096;

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

function pattern(): Buffer {
  const bytes = Buffer.alloc(DISK_BYTES);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return bytes;
}

/** The shell's archive, then the modules'. */
function writeInitrd(path: string): void {
  const first = readFileSync(guestFile('busybox', 'initrd.gz'));
  const modules = readFileSync(guestFile('cloud-modules', 'modules.cpio'));
  writeFileSync(path, Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
}

for (const ring of ['split', 'packed', 'legacy'] as const) {
  test(`cloud kernel: virtio disk, entropy, serial port and balloon (${ring})`, {
    timeout: 2 * BOOT_MS,
  }, async (t) => {
    const missing = emulatorMissing() ?? ensureGuests('cloud-modules', 'busybox');
    if (missing !== undefined) return t.skip(missing);
    const dir = mkdtempSync(join(tmpdir(), 'lyrebird-virtio-'));
    const [initrd, image, port] = ['initrd', 'disk.img', 'port.out'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    const disk = pattern();
    writeFileSync(image, disk);
    writeInitrd(initrd);
    const more = { split: '', packed: ',packed=on', legacy: ',disable-modern=on,disable-legacy=off' }[ring];
    const run = new GuestProcess([
      ...emulatorCommand(),
      ...['-m', '256', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-kernel', guestFile('cloud-modules', 'vmlinuz'), '-initrd', initrd],
      ...['-append', 'console=ttyS0 quiet no_timer_check'],
      ...['-drive', `if=none,id=d0,format=raw,file=${image}`],
      ...['-device', `virtio-blk-pci,drive=d0,serial=lyre7${more}`, '-device', `virtio-rng-pci${more}`],
      ...['-device', `virtio-serial-pci${more}`, '-device', `virtio-balloon-pci${more}`],
      ...['-chardev', `file,id=c1,path=${port}`, '-device', 'virtserialport,chardev=c1,name=org.test.0'],
    ]);
    const ask = async (command: string): Promise<string> => {
      const mark = `done${Math.floor(performance.now())}`;
      run.send(`${command}; echo ${mark.slice(0, 4)}""${mark.slice(4)}\n`);
      return (await run.expect(mark, BOOT_MS)).text;
    };
    try {
      await run.expect(PROMPT, BOOT_MS);
      await ask('/load-virtio');
      assert.ok((await ask('md5sum /dev/vda')).includes(md5(disk)), 'the disk as the host wrote it');
      assert.match(await ask('cat /sys/block/vda/serial'), /lyre7/);
      await ask(
        `yes lyrebird | dd of=/dev/vda bs=${BLOCK} count=64 seek=100 iflag=fullblock 2>/dev/null; sync`,
      );
      Buffer.from('lyrebird\n'.repeat(Math.ceil((64 * BLOCK) / 9))).copy(disk, 100 * BLOCK, 0, 64 * BLOCK);
      assert.ok((await ask('echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda')).includes(md5(disk)));
      assert.match(await ask('head -c 4096 /dev/hwrng | md5sum'), /[0-9a-f]{32}/);
      await ask('echo from the guest > /dev/$(ls /sys/class/virtio-ports)');
      assert.match(await ask('cat /sys/class/virtio-ports/*/name'), /org\.test\.0/);
      assert.match(await ask('ls /sys/bus/virtio/drivers/virtio_balloon'), /virtio\d/);
      run.send('poweroff -f\n');
      assert.equal(await run.exited(BOOT_MS), 0);
      assert.equal(md5(readFileSync(image)), md5(disk), 'the image as the guest wrote it');
      assert.equal(readFileSync(port, 'utf8').trim(), 'from the guest');
    } finally {
      await run.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
