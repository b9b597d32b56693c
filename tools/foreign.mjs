// Runs test suites written by others, each built outside the repository and named by an environment variable:
//
//   LYREBIRD_KVM_UNIT_TESTS    directory of kvm-unit-tests with built x86/*.flat and x86/unittests.cfg
//
//   npm run test:foreign [-- [--qemu] [--only=NAME,NAME…] [--all] [--timeout=SECONDS] [--write]]
//
// --qemu runs qemu-system-x86_64 -accel tcg beside it; --all every test of the list instead of those expected to pass;
// --write puts the table into docs/conformance.md. The exit status is 1 if an expected test fails.
import { existsSync } from 'node:fs';
import { runKvmUnitTests } from './foreign/kvm-unit-tests.mjs';

const options = { qemu: false, all: false, write: false, only: undefined, timeout: 120 };
for (const arg of process.argv.slice(2)) {
  const [name, value] = arg.replace(/^--/, '').split('=');
  if (!Object.hasOwn(options, name)) {
    process.stderr.write(`unknown option ${arg}\n`);
    process.exit(2);
  }
  options[name] = value === undefined ? true : name === 'only' ? value.split(',') : Number(value);
}

const SUITES = [['LYREBIRD_KVM_UNIT_TESTS', 'kvm-unit-tests', runKvmUnitTests]];

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
