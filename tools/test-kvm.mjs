// Runs the KVM accelerator where /dev/kvm is complete although the host's own is not: in a virtual machine whose processor is
// emulated with AMD-V. LYREBIRD_KVM_TESTBED names its directory, which holds tb.mjs (`tb.mjs run COMMAND…` restores a snapshot,
// unpacks the directory PAYLOAD to /tmp/w, runs the commands and prints "rc=STATUS" for each), and in it Node.js and koffi.
//
//     node tools/test-kvm.mjs [SCENARIO…]       default: all of SCENARIOS; see tests/kvm/inside.mjs

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const testbed = process.env.LYREBIRD_KVM_TESTBED;
const SCENARIOS = [
  'boot',
  'boot -smp 2',
  'boot -M kernel-irqchip=split',
  'boot -smp 2 -M kernel-irqchip=split',
  'boot -M kernel-irqchip=off',
  'boot -smp 2 -M kernel-irqchip=off',
  'boot -cpu host',
  'pause',
  'pause -smp 2 -M kernel-irqchip=off',
  'switch -M kernel-irqchip=off',
  'switch -cpu qemu64,-tsc-deadline',
];
/** The testbed is slow and shares the host with others. */
const TIMEOUT_MS = 45 * 60_000;

if (testbed === undefined || !existsSync(join(testbed, 'tb.mjs'))) {
  console.log('# test:kvm skipped: LYREBIRD_KVM_TESTBED does not name a testbed (a directory with tb.mjs)');
  process.exit(0);
}
const begun = new Map();
const named = process.argv.slice(2);
const scenarios = named.length > 0 ? named : SCENARIOS;
const payload = mkdtempSync(join(tmpdir(), 'lyrebird-kvm-'));
try {
  process.exitCode = await run();
} finally {
  rmSync(payload, { recursive: true });
}

/** 0 if every scenario passed. */
async function run() {
  // The testbed forgets what a machine leaves behind.
  execFileSync(process.execPath, [join(root, 'tools/code-cache.mjs')], { stdio: 'inherit' });
  for (const path of [
    'bin',
    'package.json',
    'dist/bundle',
    'dist/runtime',
    'dist/cli/launch.js',
    'dist/host/node/bundle-loader.js',
    'dist/host/node/dist-files.js',
    'dist/host/node/machine-worker-start.js',
    'dist/host/node/start-worker.js',
  ])
    put(path, path);
  for (const name of readdirSync(join(payload, 'dist/bundle'))) {
    if (name.endsWith('.map')) rmSync(join(payload, 'dist/bundle', name));
  }
  put('tests/kvm/inside.mjs', 'inside.mjs');
  put('tests/golden/oracle/instructions.br', 'instructions.br');
  await build({
    entryPoints: [join(root, 'dist/oracle/kvm-main.js')],
    outfile: join(payload, 'lockstep.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
  put('.cache/guests/cloud/vmlinuz', 'g/vmlinuz');
  put('.cache/guests/busybox/initrd.gz', 'g/initrd.gz');
  const commands = scenarios.map((scenario) => `node inside.mjs ${scenario}`);
  const child = spawn(process.execPath, [join(testbed, 'tb.mjs'), 'run', ...commands], {
    cwd: testbed,
    env: { ...process.env, PAYLOAD: payload, V: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const timer = setTimeout(() => child.kill(), TIMEOUT_MS);
  let text = '';
  let shown = 0;
  child.stdout.setEncoding('utf8').on('data', (data) => {
    text += data;
    for (let end = text.indexOf('\n', shown); end >= 0; end = text.indexOf('\n', shown)) {
      const line = text.slice(shown, end).trimEnd();
      shown = end + 1;
      const [, what, name] = /^@(begin|end) (.*)$/.exec(line) ?? [];
      if (what === undefined) console.log(line);
      else mark(child.pid, what, name);
    }
  });
  await new Promise((resolve) => child.on('exit', resolve));
  clearTimeout(timer);
  const failed = scenarios.filter((scenario) => !text.includes(`rc=0 node inside.mjs ${scenario} `));
  for (const scenario of failed) console.log(`# FAILED: ${scenario}`);
  console.log(`# ${scenarios.length - failed.length} of ${scenarios.length} scenarios passed`);
  return failed.length === 0 ? 0 : 1;
}

/**
 * CPU time that the emulated machine spends between two marks of a scenario: unlike its wall time it does not depend on what else
 * the host does.
 */
function mark(driver, what, name) {
  const [machine] = readFileSync(`/proc/${driver}/task/${driver}/children`, 'utf8').trim().split(' ');
  const fields = readFileSync(`/proc/${machine}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  const seconds = (Number(fields[11]) + Number(fields[12])) / 100;
  if (what === 'begin') begun.set(name, seconds);
  else console.log(`# host CPU time of ${name}: ${(seconds - begun.get(name)).toFixed(2)} s`);
}

function put(from, to) {
  const source = join(root, from);
  if (!existsSync(source)) throw new Error(`${from} is missing: npm run build, npm run test:boot`);
  mkdirSync(dirname(join(payload, to)), { recursive: true });
  cpSync(source, join(payload, to), { recursive: true, dereference: true, preserveTimestamps: true });
}
