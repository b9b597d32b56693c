// Runs test386.asm (a CPU tester that takes the place of the BIOS) and says whether it ran to its end.
//
//   LYREBIRD_TEST386=DIR node tools/foreign/test386.mjs
//
// DIR holds test386.bin, assembled with POST_PORT 0x190, COM_PORT 1 and ROM128 1 in src/configuration.asm, and the
// test386-EE-reference.txt that comes with the source. Neither is part of this repository.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The diagnostic code that the program ends with. */
const COMPLETED = 0xff;
const POLL_MS = 250;

/** POST codes so far, and what came out of the serial port. */
function progress(dir) {
  const read = (name) => (existsSync(join(dir, name)) ? readFileSync(join(dir, name)) : Buffer.alloc(0));
  return { codes: [...read('post')], text: read('serial').toString('latin1') };
}

/** Runs until the last POST code or `timeoutMs`. */
async function runToEnd(program, emulator, timeoutMs) {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-test386-'));
  const [command, ...first] = emulator;
  const child = spawn(
    command,
    [
      ...first,
      ...['-m', '16', '-display', 'none', '-monitor', 'none', '-no-reboot', '-bios', program],
      ...['-serial', `file:${join(dir, 'serial')}`, '-debugcon', `file:${join(dir, 'post')}`],
      ...['-global', 'isa-debugcon.iobase=0x190'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  let ended = false;
  const exited = new Promise((resolve) => {
    child.on('error', resolve);
    child.on('exit', resolve);
  });
  exited.then(() => {
    ended = true;
  });
  try {
    const deadline = Date.now() + timeoutMs;
    while (!ended && Date.now() < deadline && !progress(dir).codes.includes(COMPLETED)) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return progress(dir);
  } finally {
    if (!ended) child.kill();
    await exited;
    rmSync(dir, { recursive: true, force: true });
  }
}

/** First line in which two texts differ, undefined if they are equal. */
function firstDifference(text, reference) {
  const ours = text.split('\n');
  const theirs = reference.split('\n');
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    if (ours[i] !== theirs[i]) return `line ${i + 1}: '${ours[i] ?? ''}' instead of '${theirs[i] ?? ''}'`;
  }
  return undefined;
}

/**
 * `emulator`: command and first arguments. Returns { passed, detail }: `detail` is one line for a table.
 * The results that the program prints for POST EE are compared with its own reference.
 */
export async function runTest386(
  dir,
  emulator = [process.execPath, join(root, 'bin', 'lyrebird-system-i386')],
  timeoutMs = 120_000,
) {
  const program = join(dir, 'test386.bin');
  if (!existsSync(program)) return { passed: false, detail: `no ${program}` };
  const { codes, text } = await runToEnd(program, emulator, timeoutMs);
  const last = codes.at(-1);
  if (last !== COMPLETED)
    return { passed: false, detail: `stops at POST ${last?.toString(16) ?? 'none'} (${codes.length} codes)` };
  const reference = join(dir, 'test386-EE-reference.txt');
  if (!existsSync(reference))
    return { passed: true, detail: 'POST FF; no reference for the results of POST EE' };
  const difference = firstDifference(text, readFileSync(reference, 'latin1'));
  if (difference !== undefined) return { passed: false, detail: `POST EE ${difference}` };
  const lines = text.trimEnd().split('\n').length;
  return { passed: true, detail: `POST FF; all ${lines} results of POST EE equal the reference` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dir = process.env.LYREBIRD_TEST386;
  if (dir === undefined) {
    console.log('test386: skipped, LYREBIRD_TEST386 is not set');
  } else {
    const emulator = process.env.LYREBIRD_EMULATOR?.split(' ');
    const { passed, detail } = await runTest386(dir, emulator);
    console.log(`test386: ${passed ? 'passed' : 'FAILED'}: ${detail}`);
    process.exitCode = passed ? 0 : 1;
  }
}
