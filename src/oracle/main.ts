import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TcgTier } from '../accel/tcg/tcg-vcpu.ts';
import { updateConformance } from './conformance.ts';
import { type Counts, type RunOptions, runAsChild } from './host-run.ts';

// npm run oracle [-- --filter TEXT --inputs N --breadth N --tiers interp,jit --show N --rows --alignment]
// npm run oracle:record

const args = process.argv.slice(2);
/** As src/cli/launch.ts does. */
const FUSED = process.versions.node.startsWith('20.') ? ['--experimental-wasm-relaxed-simd'] : [];
/** Regions run a few times each: optimising them costs more than it gains. */
const V8_FLAGS = ['--liftoff-only', ...FUSED];

function option(name: string, otherwise: string): string {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : (args[at + 1] ?? otherwise);
}

function options(start: number): RunOptions {
  const record = args.includes('--record');
  return {
    filter: option('filter', ''),
    inputs: Number(option('inputs', record ? '3' : '32')),
    breadth: Number(option('breadth', record ? '1' : '3')),
    tiers: option('tiers', record ? 'interp' : 'interp,jit').split(',') as TcgTier[],
    show: Number(option('show', '1')),
    record,
    alignment: args.includes('--alignment'),
    start,
  };
}

interface Attempt {
  readonly counts: Counts | undefined;
  /** Number of the case that ran last. */
  readonly last: number;
  readonly how: string;
}

/** Runs the comparison in a child process, whose death is a result. */
function attempt(start: number): Promise<Attempt> {
  const child: ChildProcess = spawn(
    process.execPath,
    [...V8_FLAGS, fileURLToPath(import.meta.url), ...args, '--child', String(start)],
    { stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'] },
  );
  let last = start;
  let counts = '';
  (child.stdio[3] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
    last = chunk.readUInt32LE((chunk.length & ~3) - 4);
  });
  (child.stdio[4] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
    counts += chunk.toString();
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) =>
      resolve({
        counts: counts ? (JSON.parse(counts) as Counts) : undefined,
        last,
        how: signal ?? `status ${code}`,
      }),
    );
  });
}

async function compare(): Promise<void> {
  let start = 0;
  let died = 0;
  for (;;) {
    const { counts, last, how } = await attempt(start);
    if (counts) return finish(counts, died);
    if (last === start && died > 0) throw new Error(`the native runner does not start: ${how}`);
    console.log(`case ${last}: the process died (${how})`);
    died++;
    start = last + 1;
  }
}

function finish(counts: Counts, died: number): void {
  const { rows, rowsWithCases, cases, runs, mismatches, without } = counts;
  if (args.includes('--rows'))
    for (const [label, reason] of without) console.log(`no case: ${label} (${reason})`);
  console.log(`rows ${rows}, with cases ${rowsWithCases}, without ${without.length}`);
  console.log(`cases ${cases}, compared runs ${runs}, mismatches ${mismatches}, deaths ${died}`);
  if (option('filter', '') === '' && !args.includes('--record')) updateConformance({ comparison: counts });
  if (mismatches > 0 || died > 0) process.exitCode = 1;
}

if (args.includes('--child')) runAsChild(options(Number(option('child', '0'))));
else await compare();
