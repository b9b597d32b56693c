// Debian's big kernel and its own drivers against each USB controller: a file system on a USB disk, keys and movements as sent.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, haveProgram, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;

interface Setup {
  readonly devices: readonly string[];
  /** Speed in Mb/s that the guest sees of disk and of tablet. */
  readonly speeds: readonly [number, number];
  readonly hasKeyboard: boolean;
}

const input = ['-device', 'usb-tablet', '-device', 'usb-kbd'];
const SETUPS: Readonly<Record<string, Setup>> = {
  uhci: {
    devices: ['-usb', '-device', 'usb-storage,drive=d0', ...input],
    speeds: [12, 12],
    hasKeyboard: true,
  },
  ehci: {
    devices: ['-device', 'usb-ehci', '-device', 'usb-storage,drive=d0', ...input],
    speeds: [480, 480],
    hasKeyboard: true,
  },
  xhci: {
    devices: ['-device', 'qemu-xhci', '-device', 'usb-storage,drive=d0', ...input],
    speeds: [5000, 480],
    hasKeyboard: true,
  },
};
const only = process.env['LYREBIRD_USB_ONLY'];

for (const [name, { devices, speeds }] of Object.entries(SETUPS)) {
  if (only !== undefined && only !== name) continue;
  test(`big kernel: disk, keyboard and tablet on ${name}`, { timeout: 2 * BOOT_MS }, async (t) => {
    const missing = emulatorMissing() ?? ensureGuests('usb-modules', 'busybox');
    if (missing !== undefined) return t.skip(missing);
    if (!haveProgram('mke2fs') || !haveProgram('debugfs')) return t.skip('e2fsprogs is not installed');
    const dir = mkdtempSync(join(tmpdir(), 'lyrebird-usb-'));
    const [initrd, image] = [join(dir, 'initrd'), join(dir, 'disk.img')];
    const first = readFileSync(guestFile('busybox', 'initrd.gz'));
    const modules = readFileSync(guestFile('usb-modules', 'modules.cpio'));
    writeFileSync(initrd, Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
    writeFileSync(image, Buffer.alloc(16 * 2 ** 20));
    assert.equal(spawnSync('mke2fs', ['-q', '-F', '-t', 'ext4', image]).status, 0);
    const run = new GuestProcess([
      ...emulatorCommand(),
      ...['-m', '256', '-display', 'none', '-serial', 'mon:stdio', '-no-reboot'],
      ...['-kernel', guestFile('usb-modules', 'vmlinuz'), '-initrd', initrd],
      ...['-append', 'console=ttyS0 quiet no_timer_check'],
      ...['-drive', `if=none,id=d0,format=raw,file=${image}`, ...devices],
    ]);
    let count = 0;
    const ask = async (command: string): Promise<string> => {
      count++;
      run.send(`${command}; echo do""ne${count}\n`);
      return (await run.expect(`done${count}`, BOOT_MS)).text;
    };
    /** Between two presses of Ctrl-A C the terminal is the monitor's. */
    const monitor = async (...commands: string[]): Promise<void> => {
      run.send('\x01c');
      for (const command of commands) {
        run.send(`${command}\n`);
        await run.expect('(qemu) ', BOOT_MS);
      }
      run.send('\x01c');
    };
    try {
      await run.expect(PROMPT, BOOT_MS);
      await ask('/load-usb');
      await ask('for i in $(seq 60); do [ -b /dev/sda ] && break; sleep 1; done');
      const list = await ask('cat /sys/bus/usb/devices/*-*/idVendor /sys/bus/usb/devices/*-*/product');
      for (const word of ['46f4', '0627', 'USB Tablet', 'USB Keyboard']) assert.ok(list.includes(word), list);
      const seen = await ask('cat /sys/bus/usb/devices/*-*/speed');
      for (const speed of speeds) assert.ok(seen.includes(`\n${speed}`), seen);
      await ask('mkdir -p /mnt && mount -t ext4 /dev/sda /mnt');
      await ask('seq 400000 > /mnt/file; md5sum /mnt/file > /mnt/sum; umount /mnt');
      await ask('mount -t ext4 /dev/sda /mnt');
      assert.match(await ask('md5sum -c /mnt/sum'), /OK/);
      await ask('umount /mnt');
      await events(ask, monitor, run);
      run.send('poweroff -f\n');
      assert.equal(await run.exited(BOOT_MS), 0);
      const check = spawnSync('e2fsck', ['-fn', image], { encoding: 'utf8' });
      assert.equal(check.status, 0, check.stdout);
      const file = spawnSync('debugfs', ['-R', 'cat file', image], { maxBuffer: 2 ** 24 });
      assert.equal(file.stdout.toString(), Array.from({ length: 400000 }, (_, n) => `${n + 1}\n`).join(''));
    } finally {
      await run.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

type Ask = (command: string) => Promise<string>;

/** What the guest's event devices report while keys are pressed and the pointer is moved. */
async function events(
  ask: Ask,
  monitor: (...commands: string[]) => Promise<void>,
  run: GuestProcess,
): Promise<void> {
  const record = async (device: string): Promise<void> => {
    const find = `grep -A5 '${device}' /proc/bus/input/devices | grep -o 'event[0-9]*' | head -1`;
    await ask(`cat /dev/input/$(${find}) > /tmp/events & sleep 1`);
  };
  const recorded = async (): Promise<string> => {
    const text = await ask(`sleep 1; kill %1; hexdump -v -e '12/2 "%04x " "\\n"' /tmp/events`);
    // type, code and value of each event, without the time
    return [...text.matchAll(/(?:[0-9a-f]{4} ){8}([0-9a-f]{4}) ([0-9a-f]{4}) ([0-9a-f]{4})/g)]
      .map(([, type, code, value]) => `${type}:${code}:${value}`)
      .filter((event) => !event.startsWith('0000') && !event.startsWith('0004'))
      .join(' ');
  };
  await record('USB Keyboard');
  await monitor('sendkey shift-a 50');
  assert.equal(await recorded(), '0001:002a:0001 0001:001e:0001 0001:001e:0000 0001:002a:0000');
  await record('USB Tablet');
  await monitor('mouse_button 1', 'mouse_button 0', 'info mice');
  assert.ok(run.output.includes('QEMU HID Tablet (absolute)'), 'the tablet is the pointer in use');
  assert.equal(await recorded(), '0001:0110:0001 0001:0110:0000');
}
