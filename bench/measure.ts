// One run of one emulator: start-up, boot, workloads, memory, idle.

import { setTimeout as sleep } from 'node:timers/promises';
import { GuestProcess } from '../tests/support/guest-process.ts';
import { guestFile, ownGuest, PROMPT } from '../tests/support/guests.ts';
import type { Part } from './options.ts';
import { cpuSeconds, residentBytes, residentOfMapping } from './process-stats.ts';
import { beginMarker, endMarker, WORKLOADS } from './workloads.ts';

const BOOT_MS = 300_000;
const WORK_MS = 600_000;
const SETTLE_MS = 3_000;
const IDLE_MS = 10_000;
const RAM_MIB = 512;

export interface Subject {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Measurements by name; seconds, per cent of one core, or bytes. */
export type Sample = Map<string, number>;

/** Seconds from the start of the process to the first output of the shortest guest. */
export async function measureStart({ command, env }: Subject): Promise<number> {
  const machine = ['-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
  const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4', '-kernel', ownGuest('first')];
  const guest = new GuestProcess([...command, ...machine, ...exit], { env });
  try {
    const first = await guest.expect('!', BOOT_MS);
    await guest.exited(BOOT_MS);
    return first.atMs / 1000;
  } finally {
    await guest.close();
  }
}

async function runWorkloads(guest: GuestProcess, sample: Sample): Promise<void> {
  guest.send('/bench.sh\n');
  for (const { name } of WORKLOADS) {
    const begin = await guest.expect(`${beginMarker(name)}\r\n`, WORK_MS);
    const end = await guest.expect(`${endMarker(name)}\r\n`, WORK_MS);
    sample.set(name, (end.atMs - begin.atMs) / 1000);
  }
  await guest.expect(PROMPT, WORK_MS);
}

async function measureIdle(pid: number): Promise<number> {
  await sleep(SETTLE_MS);
  const [cpu, time] = [cpuSeconds(pid), performance.now()];
  await sleep(IDLE_MS);
  return ((cpuSeconds(pid) - cpu) / ((performance.now() - time) / 1000)) * 100;
}

/** Boots the cloud kernel once with `initrd`, which holds /bench.sh, and measures `parts`. */
export async function measureLinux(
  subject: Subject,
  initrd: string,
  parts: ReadonlySet<Part>,
): Promise<Sample> {
  const sample: Sample = new Map();
  const guest = new GuestProcess(
    [
      ...subject.command,
      ...['-m', String(RAM_MIB), '-nographic', '-kernel', guestFile('cloud', 'vmlinuz')],
      ...['-initrd', initrd, '-append', 'console=ttyS0'],
    ],
    { env: subject.env },
  );
  try {
    const pid = guest.child.pid ?? 0;
    const prompt = await guest.expect(PROMPT, BOOT_MS);
    sample.set('boot', prompt.atMs / 1000);
    if (parts.has('work')) await runWorkloads(guest, sample);
    if (parts.has('memory')) {
      sample.set('resident', residentBytes(pid));
      const touched = residentOfMapping(pid, RAM_MIB << 20);
      if (touched !== undefined) sample.set('touched', touched);
    }
    if (parts.has('idle')) sample.set('idle', await measureIdle(pid));
    guest.send('poweroff -f\n');
    await guest.exited(BOOT_MS);
  } finally {
    await guest.close();
  }
  return sample;
}
