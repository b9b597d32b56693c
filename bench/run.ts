// "npm run bench": Lyrebird against QEMU's translator, side by side. See --help.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { emulatorMissing, root } from '../tests/support/emulator.ts';
import { ensureGuests, guestFile, haveProgram, initrdWith } from '../tests/support/guests.ts';
import { computeTable, measureCompute } from './compute.ts';
import { measureLinux, measureStart, type Sample, type Subject } from './measure.ts';
import { environmentFor, HELP, type Options, readOptions } from './options.ts';
import { markdown, medians, rows, updateSection } from './report.ts';
import { workScript } from './workloads.ts';

const START_RUNS_PER_RUN = 3;

function subjects(options: Options): Subject[] {
  const list: Subject[] = [
    { name: basename(options.emulator[0] ?? ''), command: options.emulator, env: environmentFor(options) },
  ];
  const { reference } = options;
  if (!reference) return list;
  if (!haveProgram(reference[0] ?? '') && !reference[0]?.includes('/'))
    console.error(`${reference[0]} is not installed (apt-get install qemu-system-x86): measuring alone`);
  else list.push({ name: basename(reference[0] ?? ''), command: reference, env: {} });
  return list;
}

async function oneRun(subject: Subject, initrd: string, options: Options): Promise<Sample[]> {
  const samples: Sample[] = [];
  if (options.parts.has('start')) {
    for (let i = 0; i < START_RUNS_PER_RUN; i++)
      samples.push(new Map([['start', await measureStart(subject)]]));
  }
  if ([...options.parts].some((part) => part !== 'start')) {
    samples.push(await measureLinux(subject, initrd, options.parts));
  }
  return samples;
}

function describe(samples: readonly Sample[]): string {
  const all = samples.flatMap((sample) =>
    [...sample].map(([name, value]) => `${name} ${format(name, value)}`),
  );
  return all.join(', ');
}

function format(name: string, value: number): string {
  if (name === 'resident' || name === 'touched') return `${Math.round(value / 2 ** 20)} MiB`;
  return name === 'idle' ? `${value.toFixed(1)} %` : `${value.toFixed(2)} s`;
}

async function measureAll(list: readonly Subject[], options: Options): Promise<Map<Subject, Sample[]>> {
  const results = new Map(list.map((subject): [Subject, Sample[]] => [subject, []]));
  const initrd = await initrdWith(guestFile('busybox', 'initrd.gz'), { 'bench.sh': workScript() });
  try {
    for (let run = 1; run <= options.runs; run++) {
      for (const subject of list) {
        const samples = await oneRun(subject, initrd.path, options);
        results.get(subject)?.push(...samples);
        console.error(`run ${run}/${options.runs} ${subject.name}: ${describe(samples)}`);
      }
    }
  } finally {
    initrd.remove();
  }
  return results;
}

const versionOf = (command: readonly string[]): string =>
  execFileSync(command[0] ?? '', ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';

function preamble(options: Options, nodeVersion: string, reference: string): string {
  const date = new Date().toISOString().slice(0, 10);
  const host = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`;
  const command = ['npm run bench', ...(options.given.length > 0 ? ['--', ...options.given] : [])].join(' ');
  return [
    `### ${options.compute ? 'Compute programs, ' : ''}Node ${nodeVersion}`,
    '',
    `\`${command}\`, ${date}, ${host}; reference: ${reference}. Medians of ${options.runs} alternating runs.`,
  ].join('\n');
}

function tableOf(
  options: Options,
  ours: readonly Sample[],
  reference: readonly Sample[] | undefined,
): string {
  if (options.compute) return computeTable(ours, reference ?? []);
  return markdown(rows(medians(ours), medians(reference ?? [])), 'Lyrebird', reference ? 'QEMU (TCG)' : '–');
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return 0;
  }
  const missing =
    emulatorMissing() !== undefined && options.emulator[0]?.startsWith(root) ? emulatorMissing() : undefined;
  const problem = missing ?? ensureGuests('cloud', 'busybox');
  if (problem !== undefined) throw new Error(problem);
  const list = subjects(options);
  const results = options.compute
    ? await measureCompute(list, options.runs, options.compute)
    : await measureAll(list, options);
  const [ours, reference] = list;
  const table = tableOf(options, results.get(ours!) ?? [], reference && results.get(reference));
  const nodeVersion = execFileSync(options.node, ['--version'], { encoding: 'utf8' }).trim();
  const text = `${preamble(options, nodeVersion, reference ? versionOf(reference.command) : 'none')}\n\n${table}\n`;
  console.log(text);
  if (options.json !== undefined) {
    const raw = Object.fromEntries(
      [...results].map(([subject, s]) => [subject.name, s.map((m) => Object.fromEntries(m))]),
    );
    writeFileSync(options.json, JSON.stringify(raw, undefined, 2));
  }
  const version = nodeVersion.split('.')[0] ?? nodeVersion;
  const section = options.compute ? `compute-${version}` : version;
  if (options.write) updateSection(join(root, 'docs', 'benchmarks.md'), section, text);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
