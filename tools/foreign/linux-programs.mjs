// Runs static Linux programs (QEMU's tests/tcg for i386 and x86_64, numeric programs …) in a Linux guest and compares what they print, and
// their status, with what they do on this host.
//
//   LYREBIRD_LINUX_PROGRAMS=DIR node tools/foreign/linux-programs.mjs [NAME…]
//
// DIR holds the built programs in bin64 and bin32; none of them is part of this repository. What depends on the machine rather than on the
// processor's instructions is listed in UNSTABLE and only has to end with the host's status.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeCpio } from '../guests/cpio.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM_SECONDS = 300;
const GUEST_SECONDS = 1200;
/** Print addresses, times or thread numbers. */
const UNSTABLE = /^(test-mmap|testthread|threadcount|munmap-pthread|signals|linux-test|vsyscall)$/;

const outputOf = (text) => ({ lines: text.split('\n').length - 1, text });

/** What the program does on this host. */
function onHost(path, directory) {
  const run = spawnSync(path, [], { cwd: directory, timeout: PROGRAM_SECONDS * 1000, maxBuffer: 1 << 28 });
  const status = run.status ?? 128 + 6;
  return { status, ...outputOf(Buffer.concat([run.stdout, run.stderr]).toString('latin1')) };
}

/** An initramfs with the programs, whose shell runs them all and tells status, size and MD5 sum of each output. */
function initrd(base, directory, names) {
  const script = `#!/bin/sh
cd /tmp
ip link set lo up 2>/dev/null
for p in ${names.join(' ')}; do
  timeout ${PROGRAM_SECONDS} /tests/$p > /tmp/out 2>&1 < /dev/null; s=$?
  set -- $(md5sum /tmp/out); sum=$1
  set -- $(wc -l < /tmp/out); echo "@@ $p $s $1 $sum"
done
poweroff -f
`;
  const dir = (path) => ({ path, type: 'dir', mode: 0o755 });
  const file = (path, data) => ({ path, type: 'file', mode: 0o755, data });
  const programs = names.map((name) => file(`tests/${name}`, readFileSync(join(directory, name))));
  const extra = writeCpio([dir('tests'), ...programs, file('run-all', script)]);
  const first = readFileSync(base);
  return Buffer.concat([first, Buffer.alloc(-first.length & 511), extra]);
}

/** Boots the guest and types; resolves with what it printed. */
function boot(args) {
  return new Promise((resolve) => {
    const child = spawn(join(root, 'bin', 'lyrebird-system-x86_64'), args, {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let output = '';
    let typed = false;
    const timer = setTimeout(() => child.kill('SIGKILL'), GUEST_SECONDS * 1000);
    child.stderr.on('data', (data) => (output += data));
    child.stdout.on('data', (data) => {
      output += data.toString('latin1');
      if (typed || !output.includes('lyrebird# ')) return;
      typed = true;
      child.stdin.write('/run-all\n');
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve(output);
    });
  });
}

/** Runs what is in one directory; prints a row for each and says whether all agree. */
async function runDirectory(directory, only, md5) {
  const names = readdirSync(directory).filter((name) => only.length === 0 || only.includes(name));
  if (names.length === 0) return true;
  const guests = join(root, '.cache', 'guests');
  const scratch = mkdtempSync(join(tmpdir(), 'lyrebird-programs-'));
  try {
    const archive = join(scratch, 'initrd.gz');
    writeFileSync(archive, initrd(join(guests, 'busybox', 'initrd.gz'), directory, names));
    const args = [
      '-m',
      '512',
      '-cpu',
      'max',
      '-smp',
      '2',
      '-display',
      'none',
      '-monitor',
      'none',
      '-serial',
      'stdio',
    ];
    args.push('-kernel', join(guests, process.env.LYREBIRD_PROGRAMS_KERNEL ?? 'cloud', 'vmlinuz'));
    args.push('-initrd', archive, '-append', 'console=ttyS0 quiet');
    const output = await boot(args);
    let good = true;
    for (const name of names) {
      const host = onHost(join(directory, name), scratch);
      const found = new RegExp(`@@ ${name} (\\d+) (\\d+) (\\w+)`).exec(output);
      const same = found !== null && Number(found[1]) === host.status;
      const equal = same && (UNSTABLE.test(name) || found[3] === md5(host.text));
      good &&= equal;
      const guest = found === null ? 'did not end' : `status ${found[1]}, ${found[2]} lines`;
      const verdict = equal ? (UNSTABLE.test(name) ? 'status as on the host' : 'as on the host') : 'DIFFERS';
      process.stdout.write(
        `${name.padEnd(28)} ${verdict}: ${guest} (host: status ${host.status}, ${host.lines} lines)\n`,
      );
    }
    return good;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** True if all programs behave as on the host. */
export async function runLinuxPrograms(directory, only = []) {
  const { createHash } = await import('node:crypto');
  const md5 = (text) => createHash('md5').update(text, 'latin1').digest('hex');
  let good = true;
  for (const bits of ['bin64', 'bin32']) {
    const path = join(directory, bits);
    if (!existsSync(path)) continue;
    process.stdout.write(`${bits}\n`);
    if (!(await runDirectory(path, only, md5))) good = false;
  }
  return good;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const directory = process.env.LYREBIRD_LINUX_PROGRAMS;
  if (directory === undefined)
    process.stdout.write('linux programs: not run, LYREBIRD_LINUX_PROGRAMS is not set\n');
  else if (!(await runLinuxPrograms(directory, process.argv.slice(2)))) process.exitCode = 1;
}
