// "npm test": builds, checks format, lint and types, then runs the unit tests and the quick boots with Node's test
// runner. Ends with status 0 only if all of it passed.
//
//   node tools/test.mjs [--boot] [--long] [--unit] [--no-build] [FILE...]
//
//   --boot       instead of all that, the slow boots of the guests (tests/boot)
//   --long       those that take half an hour and more: an installed Debian over every controller, USB
//   --unit       unit tests only: no format, lint and boots
//   FILE         only these compiled test files

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const flag = (name) => args.includes(name);
const named = args.filter((arg) => !arg.startsWith('--'));

/** Runs one step with its output shown; returns whether it succeeded. */
function step(title, command, commandArgs) {
  const started = Date.now();
  console.log(`# ${title}`);
  const run = spawnSync(command, commandArgs, { cwd: root, stdio: 'inherit' });
  const ok = run.status === 0;
  console.log(`# ${title}: ${ok ? 'ok' : 'FAILED'} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  return ok;
}

const local = (name) => join(root, 'node_modules', '.bin', name);

function filesUnder(dir, suffix) {
  if (!existsSync(join(root, dir))) return [];
  return readdirSync(join(root, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Compiled tests whose source is gone would run for ever: leave them out. */
function withSource(compiled, outDir, sourceDir) {
  const source = (path) => path.replace(join(root, outDir), join(root, sourceDir)).replace(/\.js$/, '.ts');
  return compiled.filter((path) => existsSync(source(path)));
}

function testFiles() {
  if (named.length > 0) return named;
  const boots = withSource(filesUnder('build/tests/boot', '.test.js'), 'build', '.');
  const isLong = (path) => /(debian|usb)\.test\.js$/.test(path);
  if (flag('--long')) return boots.filter(isLong);
  if (flag('--boot')) return boots.filter((path) => !isLong(path) && !/(quick|robust)\.test\.js$/.test(path));
  const unit = [
    ...withSource(filesUnder('dist', '.test.js'), 'dist', 'src'),
    ...withSource(filesUnder('build/tests/support', '.test.js'), 'build', '.'),
    ...withSource(filesUnder('build/bench', '.test.js'), 'build', '.'),
    ...filesUnder('tests/unit', '.test.mjs'),
  ];
  return flag('--unit') ? unit : [...unit, ...boots.filter((path) => /(quick|robust)\.test\.js$/.test(path))];
}

function runTests() {
  const reporter = process.stdout.isTTY ? 'spec' : 'tap';
  const files = testFiles();
  console.log(`# tests in ${files.length} files`);
  return spawnSync(process.execPath, ['--test', `--test-reporter=${reporter}`, ...files], {
    cwd: root,
    stdio: 'inherit',
  });
}

const results = [];
if (!flag('--no-build')) results.push(step('build', 'npm', ['run', '--silent', 'build']));
if (results.every(Boolean) && !flag('--boot') && !flag('--long') && !flag('--unit') && named.length === 0) {
  results.push(step('format, lint, import cycles', local('biome'), ['ci', '.']));
  results.push(step('floating promises, exhaustive switches', local('oxlint'), ['--type-aware']));
}
if (results[0] === false) process.exit(1);
results.push(runTests().status === 0);
if (results.includes(false)) {
  console.log('# NOT ALL CHECKS PASSED: see "FAILED" above');
  process.exitCode = 1;
}
