// "npm run bench -- --compute": the compute programs in the guest, each built for x86-64 and x86-64-v3.

import { readFileSync } from 'node:fs';
import { GuestProcess } from '../tests/support/guest-process.ts';
import { guestFile, initrdWith, PROMPT } from '../tests/support/guests.ts';
import { type Build, buildPrograms, LEVELS, type Level, PROGRAMS } from './compute-programs.ts';
import type { Sample, Subject } from './measure.ts';
import { cpuSeconds } from './process-stats.ts';
import { geometricMean, medians, seconds, times } from './report.ts';

const BOOT_MS = 300_000;
const PROGRAM_MS = 300_000;
const RAM_MIB = 256;

/** Name of one measurement. */
export const keyOf = (name: string, level: Level): string => `${name} ${level}`;

const guestPath = (level: Level): string => `/bench-${level}`;

/** CPU seconds, of all the emulator's threads, from a program's start to its end. */
async function measureProgram(guest: GuestProcess, build: Build, name: string): Promise<number> {
  const want = build.expected.get(name) ?? '';
  const pid = guest.child.pid ?? 0;
  guest.send(`${guestPath(build.level)} ${name}\n`);
  await guest.expect(`${name}\r\n`, PROGRAM_MS);
  const begin = cpuSeconds(pid);
  const { groups } = await guest.expect(/^([^\r\n]*)\r\n/m, PROGRAM_MS);
  const end = cpuSeconds(pid);
  if (groups[1] !== want)
    throw new Error(`${guestPath(build.level)} ${name}: "${groups[1]}" instead of "${want}"`);
  await guest.expect(PROMPT, PROGRAM_MS);
  return end - begin;
}

async function measureOnce(
  { command, env }: Subject,
  initrd: string,
  builds: readonly Build[],
  names: ReadonlySet<string>,
): Promise<Sample> {
  const sample: Sample = new Map();
  const machine = [
    '-cpu',
    'max',
    '-m',
    String(RAM_MIB),
    '-nographic',
    '-kernel',
    guestFile('cloud', 'vmlinuz'),
  ];
  const guest = new GuestProcess(
    [...command, ...machine, '-initrd', initrd, '-append', 'console=ttyS0 quiet'],
    { env },
  );
  try {
    await guest.expect(PROMPT, BOOT_MS);
    for (const build of builds) {
      for (const name of build.expected.keys()) {
        if (names.has(name)) sample.set(keyOf(name, build.level), await measureProgram(guest, build, name));
      }
    }
  } finally {
    await guest.close();
  }
  return sample;
}

const describe = (sample: Sample): string =>
  [...sample].map(([name, value]) => `${name} ${value.toFixed(2)} s`).join(', ');

/** Alternating runs of every subject; each result is checked against the host's own. */
export async function measureCompute(
  list: readonly Subject[],
  runs: number,
  names: ReadonlySet<string>,
): Promise<Map<Subject, Sample[]>> {
  const results = new Map(list.map((subject): [Subject, Sample[]] => [subject, []]));
  const { builds, remove } = buildPrograms();
  try {
    const files = builds.map(({ level, path }) => [guestPath(level).slice(1), readFileSync(path)] as const);
    const initrd = await initrdWith(guestFile('busybox', 'initrd.gz'), Object.fromEntries(files));
    try {
      for (let run = 1; run <= runs; run++) {
        for (const subject of list) {
          const sample = await measureOnce(subject, initrd.path, builds, names);
          results.get(subject)?.push(sample);
          console.error(`run ${run}/${runs} ${subject.name}: ${describe(sample)}`);
        }
      }
    } finally {
      initrd.remove();
    }
  } finally {
    remove();
  }
  return results;
}

type Medians = ReadonlyMap<string, number>;

function ratio(ours: Medians, reference: Medians, key: string): number | undefined {
  const [a, b] = [ours.get(key), reference.get(key)];
  return a === undefined || b === undefined ? undefined : a / b;
}

function meanOf(ours: Medians, reference: Medians, level: Level, vectorOnly: boolean): string {
  const ratios = PROGRAMS.filter(({ vector }) => vector || !vectorOnly).flatMap(
    ({ name }) => ratio(ours, reference, keyOf(name, level)) ?? [],
  );
  return ratios.length === 0 ? '–' : times(geometricMean(ratios));
}

/** The table: a line for each program, three columns for each level, and the geometric means. */
export function computeTable(ourSamples: readonly Sample[], referenceSamples: readonly Sample[]): string {
  const [ours, reference] = [medians(ourSamples), medians(referenceSamples)];
  const line = (title: string, cells: readonly string[]): string => `| ${title} | ${cells.join(' | ')} |`;
  const titles = LEVELS.flatMap((level) => [`Lyrebird, ${level}`, 'QEMU', 'ratio']);
  const body = PROGRAMS.filter(({ name }) => LEVELS.some((level) => ours.has(keyOf(name, level)))).map(
    ({ name, title, vector }) =>
      line(
        vector ? `${title} (vector)` : title,
        LEVELS.flatMap((level) => {
          const key = keyOf(name, level);
          return [seconds(ours.get(key)), seconds(reference.get(key)), times(ratio(ours, reference, key))];
        }),
      ),
  );
  const mean = (title: string, vectorOnly: boolean): string =>
    line(
      title,
      LEVELS.flatMap((level) => ['', '', meanOf(ours, reference, level, vectorOnly)]),
    );
  return [
    line('', titles),
    line(
      '---',
      titles.map(() => '---'),
    ).replaceAll(' ', ''),
    ...body,
    mean('geometric mean (required ≤ 1.0 ×)', false),
    mean('geometric mean of the vector programs (x86-64-v3: required ≤ 0.7 ×)', true),
  ].join('\n');
}
