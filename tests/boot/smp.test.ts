// Several processors: Debian's cloud kernel sees, starts and uses four.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;
const LOOPS =
  'f() { i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; }; for k in 1 2 3 4; do f & done; wait';

test('four processors run the cloud kernel and parallel loops', async (t) => {
  const reason = emulatorMissing() ?? ensureGuests('cloud', 'busybox');
  if (reason !== undefined) {
    t.skip(reason);
    return;
  }
  const guest = new GuestProcess([
    ...emulatorCommand(),
    ...['-smp', '4', '-m', '512', '-nographic', '-kernel', guestFile('cloud', 'vmlinuz')],
    ...['-initrd', guestFile('busybox', 'initrd.gz'), '-append', 'console=ttyS0'],
  ]);
  try {
    await guest.expect(PROMPT, BOOT_MS);
    guest.send('echo cpus-$(nproc)\n');
    await guest.expect('cpus-4', BOOT_MS);
    guest.send(
      "grep -c '^LOC: *[1-9][0-9]* *[1-9][0-9]* *[1-9][0-9]* *[1-9]' /proc/interrupts | sed s/^/timers-/\n",
    );
    await guest.expect(/timers-1/, BOOT_MS);
    guest.send(`${LOOPS}; echo loops-$((6 * 7))\n`);
    await guest.expect('loops-42', BOOT_MS);
    guest.send('poweroff -f\n');
    assert.equal(await guest.exited(BOOT_MS), 0);
  } finally {
    await guest.close();
  }
});
