// Runs QEMU's own device tests (tests/qtest of a QEMU source tree, built elsewhere) against this emulator.
//
//   LYREBIRD_QTEST_DIR=DIR node tools/foreign/qtest.mjs [PROGRAM…] [--timeout=SECONDS]
//
// DIR holds the built programs (rtc-test, …); none of them is part of this repository. Each test of a program runs by itself, so that
// one failure hides no other. The exit status is 1 if a test that EXPECTED names does not pass.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const DEFAULT_EMULATOR = join(root, 'bin', 'lyrebird-system-x86_64');

/** Tests that must pass, by program: all of it, or those whose path matches. */
const EXPECTED = {
  rtc: /check-time|alarm|basic|set-year|register_b_set_flag|uip/,
  i440fx: /defaults|pam|firmware\/bios/,
  fw_cfg: /signature|\/id$|uuid/,
  pvpanic: /./,
  'pvpanic-pci': /./,
};

/** Paths of a program's tests. */
function listTests(program, env) {
  const run = spawnSync(program, ['-l'], { encoding: 'utf8', env, timeout: 30_000 });
  return run.stdout.split('\n').filter((line) => line.startsWith('/'));
}

function runTest(program, path, env, timeout) {
  const run = spawnSync(program, ['-p', path], { encoding: 'utf8', env, timeout: timeout * 1000 });
  const passed = run.status === 0 && /^ok \d+ /m.test(run.stdout);
  if (passed) return /^ok \d+ .*# SKIP/m.test(run.stdout) ? 'skip' : 'pass';
  return run.error?.code === 'ETIMEDOUT' ? 'timeout' : 'fail';
}

/** Runs the programs in `directory`; false if a test that is expected to pass does not. */
export function runQtest(directory, { only, timeout = 120 } = {}) {
  const scratch = mkdtempSync(join(tmpdir(), 'lyrebird-qtest-'));
  const env = { QTEST_QEMU_BINARY: DEFAULT_EMULATOR, ...process.env, TMPDIR: scratch };
  let good = true;
  try {
    for (const name of only ?? Object.keys(EXPECTED)) {
      const program = join(directory, `${name}-test`);
      if (!existsSync(program)) {
        process.stdout.write(`${name}: not built\n`);
        good &&= only === undefined;
        continue;
      }
      const results = listTests(program, env).map((path) => [path, runTest(program, path, env, timeout)]);
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

function main(args) {
  const directory = process.env['LYREBIRD_QTEST_DIR'];
  if (directory === undefined) {
    process.stdout.write('qtest: not run, LYREBIRD_QTEST_DIR is not set\n');
    return;
  }
  const names = args.filter((arg) => !arg.startsWith('--'));
  const timeout = args.find((arg) => arg.startsWith('--timeout='))?.slice(10);
  const options = { ...(names.length > 0 && { only: names }), ...(timeout && { timeout: Number(timeout) }) };
  if (!runQtest(directory, options)) process.exitCode = 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));
