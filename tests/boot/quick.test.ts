// The boots that "npm test" includes: our own guests, and Debian's cloud kernel to a shell.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { emulatorCommand, emulatorMissing, root } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, ownGuest, PROMPT } from '../support/guests.ts';

const OWN_GUEST_MS = 60_000;
const BOOT_MS = 180_000;

/** The exit status of isa-debug-exit for the value 0x10, with which our guests report success. */
const PASSED = (0x10 << 1) | 1;

function skipWithout(t: TestContext, reason: string | undefined): boolean {
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}

const bareMachine = (guest: string, ...more: string[]): string[] => [
  ...emulatorCommand(),
  ...['-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
  ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4', '-kernel', ownGuest(guest), ...more],
];

async function runOwnGuest(guest: string, ...more: string[]): Promise<string> {
  const run = new GuestProcess(bareMachine(guest, ...more));
  try {
    const status = await run.exited(OWN_GUEST_MS);
    assert.equal(status, PASSED, `status ${status}; the guest said:\n${run.output}${run.errors}`);
    return run.output;
  } finally {
    await run.close();
  }
}

test('the self-test guest passes', async (t) => {
  if (skipWithout(t, emulatorMissing())) return;
  assert.match(await runOwnGuest('selftest'), /result +passed/);
});

test('the items of -d write what they are named after', async (t) => {
  if (skipWithout(t, emulatorMissing())) return;
  const directory = mkdtempSync(join(tmpdir(), 'lyrebird-'));
  try {
    const expected: Readonly<Record<string, RegExp>> = {
      in_asm: /^IN:\n0x[0-9a-f]+: {2}\S/m,
      op: /^OP: {2}[0-9a-f]{16} flags/m,
      op_opt: /^OP after optimization: {2}[0-9a-f]{16}/m,
      out_asm: /^OUT: region at [0-9a-f]{16}/m,
      int: /^int v=[0-9a-f]{2} /m,
      exec: /^Trace 0: /m,
      mmu: /^CR0 update: CR0=0x[0-9a-f]{16}\nCR/m,
    };
    for (const [item, pattern] of Object.entries(expected)) {
      const log = join(directory, item);
      // every block is compiled, so that there is code to show
      await runOwnGuest('modes', '-accel', 'tcg,tier=jit', '-d', item, '-D', log);
      assert.match(readFileSync(log, 'latin1'), pattern, item);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('lyrebird selftest reports processor, memory and speed in under 5 s', async (t) => {
  const program = join(root, 'bin', 'lyrebird');
  if (skipWithout(t, existsSync(program) ? undefined : `${program} does not exist`)) return;
  const run = new GuestProcess([program, 'selftest']);
  try {
    assert.equal(await run.exited(OWN_GUEST_MS), 0, run.output + run.errors);
    for (const line of [/processor +\S/, /memory +\d+ MiB/, /integer +\d+ million/, /result +passed/])
      assert.match(run.output, line);
    t.diagnostic(`${(run.elapsedMs / 1000).toFixed(2)} s`);
    // On a machine that is busy with other things the time says nothing.
    if ((loadavg()[0] ?? 0) < cpus().length) assert.ok(run.elapsedMs < 5000, `${run.elapsedMs} ms`);
  } finally {
    await run.close();
  }
});

test('the guest that walks through every processor mode passes', async (t) => {
  if (skipWithout(t, emulatorMissing())) return;
  // QEMU's translator does not check segment limits.
  const words = emulatorCommand()[0]?.includes('qemu') ? ['-append', 'nolimits'] : [];
  assert.match(await runOwnGuest('modes', ...words), /modes: all passed/);
});

test('the cloud kernel boots to a shell and powers off with status 0', async (t) => {
  if (skipWithout(t, emulatorMissing() ?? ensureGuests('cloud', 'busybox'))) return;
  assert.ok(existsSync(guestFile('cloud', 'vmlinuz')));
  const guest = new GuestProcess([
    ...emulatorCommand(),
    ...['-m', '512', '-nographic', '-kernel', guestFile('cloud', 'vmlinuz')],
    ...['-initrd', guestFile('busybox', 'initrd.gz'), '-append', 'console=ttyS0'],
  ]);
  try {
    await guest.expect(PROMPT, BOOT_MS);
    guest.send('echo $((6 * 7))-$(uname -m)\n');
    await guest.expect('42-x86_64', BOOT_MS);
    guest.send('poweroff -f\n');
    assert.equal(await guest.exited(BOOT_MS), 0);
  } finally {
    await guest.close();
  }
});
