// Runs test suites written by others, each built outside the repository and named by an environment variable:
//
//   LYREBIRD_KVM_UNIT_TESTS    directory of kvm-unit-tests with built x86/*.flat and x86/unittests.cfg
//   LYREBIRD_TEST386           directory of test386.bin and its reference (foreign/test386.mjs)
//   LYREBIRD_LINUX_PROGRAMS    static Linux programs in bin64 and bin32 (foreign/linux-programs.mjs)
//
//   npm run test:foreign [-- [--qemu] [--only=NAME,NAME…] [--all] [--timeout=SECONDS] [--write]]
//
// --qemu runs qemu-system-x86_64 -accel tcg beside it; --all every test of the list instead of those expected to pass;
// --write puts the table into docs/conformance.md. The exit status is 1 if an expected test fails.
import { existsSync } from 'node:fs';
import { runKvmUnitTests } from './foreign/kvm-unit-tests.mjs';
import { runLinuxPrograms } from './foreign/linux-programs.mjs';
import { runTest386 } from './foreign/test386.mjs';

const options = { qemu: false, all: false, write: false, only: undefined, timeout: 120 };
for (const arg of process.argv.slice(2)) {
  const [name, value] = arg.replace(/^--/, '').split('=');
  if (!Object.hasOwn(options, name)) {
    process.stderr.write(`unknown option ${arg}\n`);
    process.exit(2);
  }
  options[name] = value === undefined ? true : name === 'only' ? value.split(',') : Number(value);
}

async function test386(directory) {
  const { passed, detail } = await runTest386(directory);
  process.stdout.write(`test386: ${passed ? 'passed' : 'FAILED'}: ${detail}\n`);
  return passed;
}

const SUITES = [
  ['LYREBIRD_KVM_UNIT_TESTS', 'kvm-unit-tests', runKvmUnitTests],
  ['LYREBIRD_TEST386', 'test386', test386],
  ['LYREBIRD_LINUX_PROGRAMS', 'linux programs', (directory, { only }) => runLinuxPrograms(directory, only)],
];

let failed = false;
for (const [variable, name, run] of SUITES) {
  const directory = process.env[variable];
  if (directory === undefined) process.stdout.write(`${name}: not run, ${variable} is not set\n`);
  else if (!existsSync(directory)) {
    process.stdout.write(`${name}: ${variable}=${directory} does not exist\n`);
    failed = true;
  } else if (!(await run(directory, options))) failed = true;
}
process.exitCode = failed ? 1 : 0;
