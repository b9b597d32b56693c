// A folder of the host in a guest, over virtio-9p: read, written, renamed, removed by Linux' own client.

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { extractModules, findModule } from '../support/disk-image.ts';
import { emulatorCommand, emulatorMissing, root } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;

/** Of Debian's kernel for real machines, in the order in which they can be loaded; the one for virtual machines has no 9P. */
const MODULES = [
  ...['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'],
  ...['netfs', 'fscache', '9pnet', '9pnet_virtio', '9p'],
];

interface CpioModule {
  writeCpio(entries: readonly object[]): Uint8Array;
}

/** The shell's archive, then the modules'. */
async function writeInitrd(dir: string): Promise<void> {
  const unpacked = extractModules(dir, MODULES);
  const url = pathToFileURL(join(root, 'tools/guests/cpio.mjs')).href;
  const { writeCpio } = (await import(url)) as CpioModule;
  const archive = writeCpio([
    { path: 'mod', type: 'dir', mode: 0o755 },
    ...MODULES.map((name) => ({
      path: `mod/${name}.ko`,
      type: 'file',
      mode: 0o644,
      data: readFileSync(findModule(unpacked, `${name}.ko`)!),
    })),
  ]);
  const first = readFileSync(guestFile('busybox', 'initrd.gz'));
  writeFileSync(join(dir, 'initrd'), Buffer.concat([first, Buffer.alloc(-first.length & 511), archive]));
}

test('a guest mounts a folder of the host and works in it', { timeout: 2 * BOOT_MS }, async (t) => {
  const missing = emulatorMissing() ?? ensureGuests('amd64', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-9p-'));
  const folder = join(dir, 'shared');
  mkdirSync(folder);
  writeFileSync(join(dir, 'secret'), 'outside');
  symlinkSync(join(dir, 'secret'), join(folder, 'trap'));
  const content = Buffer.alloc(3_000_000, 'lyrebird 9p ');
  writeFileSync(join(folder, 'from-host'), content);
  await writeInitrd(dir);
  const run = new GuestProcess([
    ...emulatorCommand(),
    ...['-m', '256', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', guestFile('amd64', 'vmlinuz'), '-initrd', join(dir, 'initrd')],
    ...['-append', 'console=ttyS0 quiet no_timer_check'],
    ...['-virtfs', `local,path=${folder},mount_tag=share,security_model=none`],
  ]);
  const ask = async (command: string): Promise<string> => {
    const mark = `done${Math.floor(performance.now())}`;
    run.send(`${command}; echo ${mark.slice(0, 4)}""${mark.slice(4)}\n`);
    return (await run.expect(mark, BOOT_MS)).text;
  };
  try {
    await run.expect(PROMPT, BOOT_MS);
    await ask(MODULES.map((name) => `insmod /mod/${name}.ko`).join('; '));
    const mounted = await ask(
      'mkdir /m; mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 share /m && echo mounted:$?',
    );
    assert.ok(mounted.includes('mounted:0'), mounted);
    assert.match(await ask('wc -c < /m/from-host; tail -c 12 /m/from-host'), /3000000[\s\S]*lyrebird 9p/);
    await ask(
      'mkdir /m/d; seq 100000 > /m/d/numbers; mv /m/d/numbers /m/moved; rm /m/from-host; rmdir /m/d; ln -s moved /m/link; sync',
    );
    assert.match(await ask('wc -l < /m/link'), /100000/);
    assert.match(await ask('cat /m/trap; echo x > /m/trap'), /No such file|can't/);
    assert.deepEqual(readdirSync(folder).sort(), ['link', 'moved', 'trap']);
    assert.ok(readFileSync(join(folder, 'moved'), 'utf8').endsWith('\n99999\n100000\n'));
    assert.equal(readFileSync(join(dir, 'secret'), 'utf8'), 'outside');
    assert.match(await ask('umount /m; ls /m | wc -l'), /\b0\b/);
    assert.equal(existsSync(join(folder, 'd')), false);
  } finally {
    await run.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
