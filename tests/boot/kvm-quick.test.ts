// The accelerator kvm as a process, on this machine's own /dev/kvm, whatever that can do.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { emulatorMissing, root } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ownGuest } from '../support/guests.ts';

const TIMEOUT_MS = 60_000;
/** The exit status of isa-debug-exit for the value 0x10. */
const PASSED = (0x10 << 1) | 1;

/** Why this host cannot run guests under KVM; undefined if it can. */
function kvmMissing(): string | undefined {
  const program = join(root, 'bin', 'lyrebird');
  const { status, stdout } = spawnSync(process.execPath, [program, 'host', 'check'], { encoding: 'utf8' });
  return status === 0 ? undefined : `no KVM here: ${/FAILURE.*/.exec(stdout)?.[0] ?? ''}`;
}

function skip(t: TestContext): boolean {
  const reason = emulatorMissing() ?? kvmMissing();
  if (reason !== undefined) t.skip(reason);
  return reason !== undefined;
}

const machine = (...more: string[]): string[] => [
  ...[
    process.execPath,
    join(root, 'bin', 'lyrebird-kvm'),
    '-m',
    '64',
    '-display',
    'none',
    '-monitor',
    'none',
  ],
  ...more,
];

for (const irqchip of ['on', 'split', 'off']) {
  test(`the shortest guest ends the emulator, kernel-irqchip=${irqchip}`, async (t) => {
    if (skip(t)) return;
    const run = new GuestProcess(
      machine(
        ...[
          '-M',
          `kernel-irqchip=${irqchip}`,
          '-serial',
          'stdio',
          '-device',
          'isa-debug-exit,iobase=0xf4,iosize=4',
        ],
        ...['-kernel', ownGuest('first')],
      ),
    );
    try {
      assert.equal(await run.exited(TIMEOUT_MS), PASSED, run.output + run.errors);
      assert.equal(run.output, '!');
    } finally {
      await run.close();
    }
  });
}

test('SeaBIOS gets as far as looking for something to boot, and the process ends when told to', async (t) => {
  if (skip(t)) return;
  const run = new GuestProcess(
    machine('-serial', 'none', '-debugcon', 'stdio', '-global', 'isa-debugcon.iobase=0x402'),
  );
  try {
    await run.expect(/Running on KVM/, TIMEOUT_MS);
    await run.expect(/e820 map has/, TIMEOUT_MS);
    run.child.kill('SIGTERM');
    assert.equal(await run.exited(TIMEOUT_MS), 0, run.errors);
  } finally {
    await run.close();
  }
});
