#!/usr/bin/env node
// "npm run demo": installs and builds what is missing, fetches Debian's cloud kernel and a busybox initramfs, and
// boots them to a shell on this terminal. Without a terminal on standard input it types a few commands itself, powers
// the guest off and exits 0. Where no kernel can be had it runs the self-test and says what to pass by hand.

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchGuests, guestFile } from './fetch-guests.mjs';
import { GuestError } from './guests/apt.mjs';
import { PROMPT } from './guests/initramfs.mjs';
import { installDependencies } from './setup.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const started = Date.now();
const say = (text) => console.log(`[${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s] ${text}`);

/** What is typed for the user when standard input is no terminal. */
const SCRIPT = [
  'uname -a',
  'cat /proc/cpuinfo | grep "model name"',
  'free -m',
  'echo $((6 * 7)) | sha256sum',
  'poweroff -f',
];
const BOOT_MS = 300_000;

const emulator = (process.env.LYREBIRD_EMULATOR ?? join(root, 'bin', 'lyrebird-system-x86_64')).split(' ');

function fail(message) {
  console.error(`demo: ${message}`);
  process.exit(1);
}

function prepare() {
  const problem = installDependencies(say);
  if (problem !== undefined) fail(problem);
  say('building');
  const build = spawnSync('npm', ['run', '--silent', 'build'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (build.status !== 0) fail('the build failed: see its output above');
}

/** Fetches the guest; returns why it cannot be had, or undefined. */
function fetch() {
  try {
    fetchGuests(['cloud', 'busybox'], { log: say });
    return undefined;
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    return error.message;
  }
}

const ARGUMENTS = [
  ...['-m', '512', '-nographic', '-kernel', guestFile('cloud', 'vmlinuz')],
  ...['-initrd', guestFile('busybox', 'initrd.gz'), '-append', 'console=ttyS0'],
];

function selftest(reason) {
  say(`no demo guest: ${reason}`);
  say('running the self-test instead');
  const run = spawnSync(join(root, 'bin', 'lyrebird'), ['selftest'], { stdio: 'inherit' });
  console.log(`
To boot a Linux of your own, pass its kernel and initrd by hand:

  bin/lyrebird-system-x86_64 -m 512 -nographic -kernel /boot/vmlinuz -initrd /boot/initrd.img -append "console=ttyS0"
`);
  process.exit(run.status ?? 1);
}

function interactive() {
  say('booting (Ctrl-A X quits, Ctrl-A H helps; "poweroff -f" shuts the guest down)');
  const child = spawn(emulator[0], [...emulator.slice(1), ...ARGUMENTS], { stdio: 'inherit' });
  process.on('SIGINT', () => {}); // the guest's terminal, not ours
  child.on('error', (error) => fail(error.message));
  child.on('close', (code) => process.exit(code ?? 1));
}

function scripted() {
  say('booting; standard input is no terminal, so the demo types a few commands itself');
  const child = spawn(emulator[0], [...emulator.slice(1), ...ARGUMENTS], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    fail(`no shell within ${BOOT_MS / 1000} s`);
  }, BOOT_MS);
  const lines = [...SCRIPT];
  let seen = '';
  child.on('error', (error) => fail(error.message));
  child.stdin.on('error', () => {});
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    seen += text;
    const at = seen.indexOf(PROMPT);
    if (at < 0) return;
    seen = seen.slice(at + PROMPT.length);
    const line = lines.shift();
    if (line === undefined) return;
    if (lines.length === SCRIPT.length - 1) say('shell reached');
    child.stdin.write(`${line}\n`);
  });
  child.on('close', (code) => {
    clearTimeout(timer);
    say(`the guest is off, status ${code}`);
    process.exit(code === 0 && lines.length > 0 ? 1 : (code ?? 1));
  });
}

prepare();
const reason = fetch();
if (reason !== undefined) selftest(reason);
else if (process.stdin.isTTY) interactive();
else scripted();
