// Runs QEMU's own device tests (tests/qtest of a QEMU source tree, built elsewhere) against this emulator.
//
//   LYREBIRD_QTEST_DIR=DIR node tools/foreign/qtest.mjs [PROGRAM…] [--timeout=SECONDS] [--match=PART-OF-PATH]
//
// DIR holds the built programs (rtc-test, …); none of them is part of this repository. Each test of a program runs by itself, so that
// one failure hides no other. The exit status is 1 if a test that EXPECTED names does not pass.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const DEFAULT_EMULATOR = join(root, 'bin', 'lyrebird-system-x86_64');

/** Tests that must pass, by program: all of it, or those whose path matches. */
const EXPECTED = {
  rtc: /./,
  i440fx: /defaults|pam|firmware\/bios/,
  fdc: /\/fdc\/(?!fuzz\/cve)/,
  ide: /identify|diagnostic|bmdma|flush\/(nodev|empty)|cdrom/,
  'hd-geo': /hd-geo\/ide/,
  fw_cfg: /./,
  pvpanic: /./,
  'pvpanic-pci': /./,
  'boot-order': /./,
  drive_del: /without-dev|device_del\/(drive|blockdev|empty)(?!.*q35)/,
  endianness: /endianness\/pc/,
  'machine-none': /./,
  qmp: /protocol|preconfig|missing-any-arg/,
  qom: /./,
  readconfig: /./,
  'device-introspect': /./,
  'test-hmp': /./,
};

/** Paths of a program's tests. */
function listTests(program, env) {
  const run = spawnSync(program, ['-l'], { encoding: 'utf8', env, timeout: 60_000, cwd: env.TMPDIR });
  return run.stdout.split('\n').filter((line) => line.startsWith('/'));
}

/**
 * Runs the tests at `paths`, all in one process; one that ends the process early has failed, and those after it get another process.
 * Yields [path, 'pass' | 'skip' | 'fail' | 'timeout'].
 */
async function* runTests(program, paths, env, timeout) {
  const left = new Set(paths);
  while (left.size > 0) {
    const skipped = paths.filter((path) => !left.has(path)).flatMap((path) => ['-s', path]);
    const child = spawn(program, ['--tap', '-k', ...skipped], {
      env,
      cwd: env.TMPDIR,
      stdio: ['ignore', 'pipe', process.env.QTEST_STDERR ? 'inherit' : 'ignore'],
      detached: true,
    });
    let timedOut = false;
    const kill = () => {
      timedOut = true;
      killGroup(child.pid);
    };
    let timer = setTimeout(kill, timeout * 1000);
    let bailed = false;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('Bail out!')) bailed = true;
      const match = /^(ok|not ok) \d+ (\S+)(.*)$/.exec(line);
      const path = match && (left.has(match[2]) ? match[2] : [...left].find((p) => p.endsWith(match[2])));
      if (!path) continue;
      clearTimeout(timer);
      timer = setTimeout(kill, timeout * 1000);
      left.delete(path);
      if (bailed && match[1] !== 'ok') yield [path, 'fail'];
      else yield [path, match[1] !== 'ok' ? 'fail' : /# SKIP/.test(match[3]) ? 'skip' : 'pass'];
    }
    clearTimeout(timer);
    killGroup(child.pid);
    // What had begun and said nothing ended the process.
    const [first] = left;
    if (first === undefined) return;
    left.delete(first);
    yield [first, timedOut ? 'timeout' : 'fail'];
  }
}

/** The program and the emulators that it left behind. */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // all of them have ended
  }
}

/** Runs the programs in `directory`; false if a test that is expected to pass does not. */
export async function runQtest(directory, { only, timeout = 60, pattern } = {}) {
  const scratch = mkdtempSync(join(tmpdir(), 'lyrebird-qtest-'));
  const env = {
    QTEST_QEMU_BINARY: DEFAULT_EMULATOR,
    QTEST_QEMU_IMG: join(root, 'bin', 'lyrebird-img'),
    ...process.env,
    TMPDIR: scratch,
  };
  let good = true;
  try {
    for (const name of only ?? Object.keys(EXPECTED)) {
      const program = [`${name}-test`, name].map((file) => join(directory, file)).find(existsSync);
      if (program === undefined) {
        process.stdout.write(`${name}: not built\n`);
        good &&= only === undefined;
        continue;
      }
      const results = [];
      const paths = listTests(program, env).filter((path) => pattern === undefined || path.includes(pattern));
      for await (const result of runTests(program, paths, env, timeout)) results.push(result);
      const passed = results.filter(([, result]) => result === 'pass').length;
      process.stdout.write(`${name}: ${passed} of ${results.length}\n`);
      for (const [path, result] of results) {
        if (result === 'pass' || result === 'skip') continue;
        const expected = EXPECTED[name]?.test(path) === true;
        good &&= !expected;
        process.stdout.write(`  ${result}${expected ? ' (expected to pass)' : ''}: ${path}\n`);
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return good;
}

async function main(args) {
  const directory = process.env['LYREBIRD_QTEST_DIR'];
  if (directory === undefined) {
    process.stdout.write('qtest: not run, LYREBIRD_QTEST_DIR is not set\n');
    return;
  }
  const names = args.filter((arg) => !arg.startsWith('--'));
  const timeout = args.find((arg) => arg.startsWith('--timeout='))?.slice(10);
  const pattern = args.find((arg) => arg.startsWith('--match='))?.slice(8);
  const options = {
    ...(pattern && { pattern }),
    ...(names.length > 0 && { only: names }),
    ...(timeout && { timeout: Number(timeout) }),
  };
  if (!(await runQtest(directory, options))) process.exitCode = 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await main(process.argv.slice(2));
