// Boots of every Linux guest the project promises ("npm run test:boot"; minutes, not seconds).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { type Architecture, emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, initrdWith, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;
const CONSOLE = 'console=ttyS0';

interface LinuxGuest {
  readonly name: string;
  readonly needs: readonly string[];
  readonly kernel: string;
  readonly initrd: string;
  readonly architecture: Architecture;
  /** What `uname -m` prints. */
  readonly machine: string;
  /** Typed at the prompt; the process must then end with status 0. */
  readonly leave: string;
  readonly options?: readonly string[];
  /** Uses options that QEMU does not have. */
  readonly ownOptions?: true;
}

const cloud = {
  needs: ['cloud', 'busybox'],
  initrd: guestFile('busybox', 'initrd.gz'),
  architecture: 'x86_64',
  machine: 'x86_64',
  leave: 'poweroff -f',
} as const;

const i386 = {
  initrd: guestFile('busybox-i386', 'initrd.gz'),
  machine: 'i686',
  leave: 'poweroff -f',
} as const;

const SHELLS: readonly LinuxGuest[] = [
  { ...cloud, name: 'cloud kernel, bzImage', kernel: guestFile('cloud', 'vmlinuz') },
  {
    ...cloud,
    name: 'cloud kernel, reboot under -no-reboot',
    kernel: guestFile('cloud', 'vmlinuz'),
    leave: 'reboot -f',
    options: ['-no-reboot'],
  },
  {
    ...cloud,
    name: 'cloud kernel under the interpreter alone',
    kernel: guestFile('cloud', 'vmlinuz'),
    options: ['-accel', 'tcg,tier=interp'],
    ownOptions: true,
  },
  { ...cloud, name: 'cloud kernel, ELF vmlinux by PVH', kernel: guestFile('cloud', 'vmlinux') },
  {
    ...cloud,
    name: 'the big amd64 kernel',
    needs: ['amd64', 'busybox'],
    kernel: guestFile('amd64', 'vmlinuz'),
  },
  {
    ...i386,
    name: 'i386 kernel without PAE under the 64-bit machine',
    needs: ['installer-i386', 'busybox-i386'],
    kernel: guestFile('installer-i386', 'vmlinuz'),
    architecture: 'x86_64',
  },
  {
    ...i386,
    name: 'i386 kernel without PAE under the 32-bit machine',
    needs: ['installer-i386', 'busybox-i386'],
    kernel: guestFile('installer-i386', 'vmlinuz'),
    architecture: 'i386',
  },
  {
    ...i386,
    name: 'i386 kernel with PAE under the 32-bit machine',
    needs: ['686-pae', 'busybox-i386'],
    kernel: guestFile('686-pae', 'vmlinuz'),
    architecture: 'i386',
  },
];

const command = (guest: Pick<LinuxGuest, 'kernel' | 'initrd' | 'architecture' | 'options'>): string[] => [
  ...emulatorCommand(guest.architecture),
  ...['-m', '512', '-nographic', '-kernel', guest.kernel, '-initrd', guest.initrd, '-append', CONSOLE],
  ...(guest.options ?? []),
];

for (const guest of SHELLS) {
  test(guest.name, async (t) => {
    const missing = emulatorMissing(guest.architecture) ?? ensureGuests(...guest.needs);
    if (missing !== undefined) return t.skip(missing);
    if (guest.ownOptions && process.env['LYREBIRD_EMULATOR'])
      return t.skip('LYREBIRD_EMULATOR is set: own options');
    const run = new GuestProcess(command(guest));
    try {
      const prompt = await run.expect(PROMPT, BOOT_MS);
      t.diagnostic(`shell after ${(prompt.atMs / 1000).toFixed(2)} s`);
      run.send('echo machine=$(uname -m).\n');
      await run.expect(`machine=${guest.machine}.`, BOOT_MS);
      run.send(`${guest.leave}\n`);
      assert.equal(await run.exited(BOOT_MS), 0);
    } finally {
      await run.close();
    }
  });
}

test("Debian's installer reaches its first dialog on the serial console", async (t) => {
  const missing = emulatorMissing() ?? ensureGuests('installer-amd64');
  if (missing !== undefined) return t.skip(missing);
  const run = new GuestProcess(
    command({
      kernel: guestFile('installer-amd64', 'vmlinuz'),
      initrd: guestFile('installer-amd64', 'initrd.gz'),
      architecture: 'x86_64',
      options: ['-m', '1024'], // with less the installer asks about "low memory mode" first
    }),
  );
  try {
    const dialog = await run.expect(/Select a language|Entering low memory mode/, BOOT_MS);
    t.diagnostic(`dialog after ${(dialog.atMs / 1000).toFixed(2)} s`);
  } finally {
    await run.close();
  }
});

/** What the guest and the host run with the same busybox; the outputs must be equal byte for byte. */
const WORK = `#!/bin/sh
B=\${BUSYBOX:-/bin/busybox}
data() { $B yes 'the quick brown lyrebird 0123456789' | $B head -c 3000000; }
echo sha256 $(data | $B sha256sum)
echo gzip $(data | $B gzip -c | $B sha256sum)
echo gunzip $(data | $B gzip -c | $B gunzip -c | $B sha256sum)
$B awk 'BEGIN { for (i = 1; i <= 20000; i++) { x = i * 0.7071067811865476; s += x / (i + 0.5) - int(x) * 1e-6 }
  t = 1; for (i = 1; i < 150; i++) t *= 1.7; printf "awk %.12f %.12e %d %.3g\\n", s, t, s * 1000, 1 / t }'
i=0; while [ $i -lt 300 ]; do $B true && i=$((i + 1)); done; echo forks $i
echo dd $($B dd if=/dev/zero bs=4096 count=500 2>/dev/null | $B sha256sum)
$B seq 1 4000 | $B sort -r | $B md5sum
echo bc $($B seq 1 30 | $B tr '\\n' '*' | $B sed 's/.$//')
`;

test('programs in the guest compute what they compute on the host', async (t) => {
  if (process.arch !== 'x64') return t.skip(`the host is ${process.arch}: it cannot run the guest's busybox`);
  const missing = emulatorMissing() ?? ensureGuests('cloud', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const busybox = guestFile('busybox', 'busybox');
  const onHost = execFileSync(busybox, ['sh', '-c', WORK], {
    env: { ...process.env, BUSYBOX: busybox },
    encoding: 'utf8',
  });
  const initrd = await initrdWith(guestFile('busybox', 'initrd.gz'), { 'work.sh': WORK });
  const run = new GuestProcess(
    command({ kernel: guestFile('cloud', 'vmlinuz'), initrd: initrd.path, architecture: 'x86_64' }),
  );
  try {
    await run.expect(PROMPT, BOOT_MS);
    run.send('echo BE""GIN; /work.sh; echo E""ND\n');
    await run.expect(/BEGIN\r?\n/, BOOT_MS);
    const { text } = await run.expect(/END\r?\n/, BOOT_MS);
    assert.equal(text.replace(/END\r?\n$/, '').replaceAll('\r', ''), onHost);
    run.send('poweroff -f\n');
    assert.equal(await run.exited(BOOT_MS), 0);
  } finally {
    await run.close();
    initrd.remove();
  }
});
