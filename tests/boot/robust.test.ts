// What a user gets wrong and what a guest does wrong: one clear line for the first, no crash for the second.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ownGuest } from '../support/guests.ts';

const MESSAGE_MS = 30_000;
const GUEST_MS = 60_000;
/** How long a guest that may hang is watched. */
const WATCH_MS = 5_000;
const PASSED = 33;

let dir = '';

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'lyrebird-robust-'));
  const bzImage = Buffer.alloc(4096);
  bzImage.writeUInt16LE(0xaa55, 0x1fe);
  bzImage.write('HdrS', 0x202, 'latin1');
  bzImage.writeUInt16LE(0x020f, 0x206);
  bzImage[0x1f1] = 200; // more set-up sectors than there are bytes
  const elf = Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), Buffer.alloc(200, 0xff)]);
  writeFileSync(join(dir, 'empty'), '');
  writeFileSync(join(dir, 'text'), 'not a kernel\n'.repeat(1000));
  writeFileSync(join(dir, 'truncated-bzimage'), bzImage);
  writeFileSync(join(dir, 'hostile-elf'), elf);
});

after(() => rmSync(dir, { recursive: true, force: true }));

const BASE = ['-display', 'none', '-monitor', 'none', '-serial', 'null', '-no-reboot'];
const first = (): string[] => ['-kernel', ownGuest('first')];
const file = (name: string): string => join(dir, name);

/** Name, arguments, and the option that the message must name. */
const MISTAKES: readonly (readonly [string, () => string[], string])[] = [
  ['a missing kernel', () => ['-kernel', file('nowhere')], '-kernel'],
  ['an empty kernel', () => ['-kernel', file('empty')], '-kernel'],
  ['a kernel that is text', () => ['-kernel', file('text')], '-kernel'],
  ['a truncated bzImage', () => ['-kernel', file('truncated-bzimage')], '-kernel'],
  ['a hostile ELF file', () => ['-kernel', file('hostile-elf')], '-kernel'],
  ['a directory as kernel', () => ['-kernel', dir], '-kernel'],
  ['a missing initrd', () => [...first(), '-initrd', file('nowhere')], '-initrd'],
  ['memory of no size', () => [...first(), '-m', '0'], '-m'],
  ['memory that is no number', () => [...first(), '-m', 'lots'], '-m'],
  ['more memory than there can be', () => [...first(), '-m', '900000000T'], '-m'],
  ['a log that cannot be written', () => [...first(), '-d', 'int', '-D', join(dir, 'no', 'log')], '-D'],
  ['an unknown option', () => [...first(), '-frobnicate'], '-frobnicate'],
  ['an unknown machine', () => [...first(), '-M', 'toaster'], '-machine'],
  ['an unknown processor', () => [...first(), '-cpu', '8080'], '-cpu'],
  ['an unknown device', () => [...first(), '-device', 'flux-capacitor'], '-device'],
  ['an unknown device property', () => [...first(), '-device', 'isa-debug-exit,color=red'], '-device'],
  ['an unknown accelerator', () => [...first(), '-accel', 'steam'], '-accel'],
  ['an unknown log item', () => [...first(), '-d', 'gossip'], '-d'],
];

for (const [name, args, option] of MISTAKES) {
  test(`${name}: one line that names ${option}, status 1`, async (t) => {
    const missing = emulatorMissing();
    if (missing !== undefined) return t.skip(missing);
    const run = new GuestProcess([...emulatorCommand(), ...BASE, ...args()]);
    try {
      assert.equal(await run.exited(MESSAGE_MS), 1, run.output + run.errors);
      assert.equal(run.output, '');
      assert.match(run.errors, /^[^\n]+\n$/, 'exactly one line on stderr');
      assert.ok(run.errors.includes(option), run.errors);
      assert.doesNotMatch(run.errors, /\bat .*\.(js|ts):\d+|Error:/);
    } finally {
      await run.close();
    }
  });
}

const guestRun = (name: string, ...words: string[]): GuestProcess =>
  new GuestProcess([
    ...emulatorCommand(),
    ...['-m', '64', ...BASE, '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4'],
    ...['-kernel', ownGuest(name), ...(words.length > 0 ? ['-append', words.join(' ')] : [])],
  ]);

test('a guest that rewrites its own code sees what it wrote', async (t) => {
  const missing = emulatorMissing();
  if (missing !== undefined) return t.skip(missing);
  const run = guestRun('smc');
  try {
    assert.equal(await run.exited(GUEST_MS), PASSED, run.errors);
  } finally {
    await run.close();
  }
});

for (const [name, what] of [
  ['smm', 'uses system management mode'],
  ['fpu-irq', 'takes x87 errors by interrupt 13'],
] as const) {
  test(`a guest that ${what}`, async (t) => {
    const missing = emulatorMissing();
    if (missing !== undefined) return t.skip(missing);
    const run = guestRun(name);
    try {
      assert.equal(await run.exited(GUEST_MS), PASSED, run.errors);
    } finally {
      await run.close();
    }
  });
}

test('a triple fault under -no-reboot ends the process with status 0', async (t) => {
  const missing = emulatorMissing();
  if (missing !== undefined) return t.skip(missing);
  const run = guestRun('wild', 't');
  try {
    assert.equal(await run.exited(GUEST_MS), 0, run.errors);
  } finally {
    await run.close();
  }
});

for (const [letter, what] of [
  ['m', 'executes device registers'],
  ['r', 'executes where no RAM is'],
  ['w', 'overwrites its memory while running in it'],
  ['p', 'pokes every I/O port'],
] as const) {
  test(`a guest that ${what} does not crash the process`, async (t) => {
    const missing = emulatorMissing();
    if (missing !== undefined) return t.skip(missing);
    const run = guestRun('wild', letter);
    try {
      const status = await run.exited(WATCH_MS).catch(() => 'running');
      assert.ok(status === 'running' || status === 0 || status === PASSED, `status ${status}: ${run.errors}`);
      assert.equal(run.errors, '');
    } finally {
      await run.close();
    }
  });
}
