import { type ChildProcess, spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type FuzzCounts, updateConformance } from './conformance.ts';
import { Fuzzer, type FuzzResult } from './fuzz.ts';
import { hostFeatures } from './host-features.ts';

// npm run fuzz:cpu -- --minutes N [--seed S] [--one]

const args = process.argv.slice(2);
/** As src/cli/launch.ts does. */
const FUSED = process.versions.node.startsWith('20.') ? ['--experimental-wasm-relaxed-simd'] : [];
/** Regions run a few times each: optimising them costs more than it gains. */
const V8_FLAGS = ['--liftoff-only', ...FUSED];
/** A child that does not get to its next seed in this time is stopped. */
const STUCK_MS = 120_000;

function option(name: string, otherwise: number): number {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(args[at + 1] ?? otherwise);
}

/** Seeds from `seed` on until the time is over or too much has failed; the seed under way goes to descriptor 3. */
function child(seed: number, until: number): void {
  const fuzzer = new Fuzzer(hostFeatures(), console.log);
  if (args.includes('--record')) fuzzer.record(option('record', 1000));
  const word = Buffer.alloc(4);
  const done = args.includes('--record');
  for (let s = seed; !done && Date.now() < until && fuzzer.result.failures < 20; s++) {
    word.writeUInt32LE(s >>> 0);
    writeSync(3, word);
    fuzzer.step(s);
    if (args.includes('--one')) break;
  }
  writeSync(4, JSON.stringify(fuzzer.result));
}

function attempt(
  seed: number,
  until: number,
): Promise<{ result: FuzzResult | undefined; last: number; how: string }> {
  const run: ChildProcess = spawn(
    process.execPath,
    [...V8_FLAGS, fileURLToPath(import.meta.url), ...args, '--child', String(seed), '--until', String(until)],
    { stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'] },
  );
  let last = seed;
  let text = '';
  // the processors stop endless programs themselves; this is for what they do not notice
  const watchdog = setTimeout(() => run.kill('SIGKILL'), STUCK_MS);
  (run.stdio[3] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
    last = chunk.readUInt32LE((chunk.length & ~3) - 4);
    watchdog.refresh();
  });
  (run.stdio[4] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve) => {
    run.on('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({
        result: text ? (JSON.parse(text) as FuzzResult) : undefined,
        last,
        how: signal ?? `status ${code}`,
      });
    });
  });
}

async function main(): Promise<void> {
  const started = Date.now();
  const until = started + option('minutes', 1) * 60_000;
  const total = { sequences: 0, instructions: 0, discarded: 0, failures: 0 };
  let seed = option('seed', 1);
  for (;;) {
    const { result, last, how } = await attempt(seed, until);
    if (result) {
      for (const key of ['sequences', 'instructions', 'discarded', 'failures'] as const)
        total[key] += result[key];
      break;
    }
    console.log(`seed ${last}: the process died (${how})`);
    total.failures++;
    total.sequences += last - seed;
    seed = last + 1;
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(
    `${total.sequences} sequences, ${total.instructions} instructions, ${total.discarded} runs discarded, ${total.failures} failures, ${seconds} s`,
  );
  const counts: FuzzCounts = { ...total, seconds };
  if (seconds >= 60 && !args.includes('--record')) updateConformance({ fuzzing: counts });
  if (total.failures > 0) process.exitCode = 1;
}

if (args.includes('--child')) child(option('child', 1), option('until', 0));
else await main();
