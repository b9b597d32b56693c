// kvm-unit-tests: multiboot images that report through the serial port and isa-debug-exit.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CONFORMANCE = join(root, 'docs', 'conformance.md');
const BEGIN = '<!-- kvm-unit-tests: begin (npm run test:foreign -- --qemu --write) -->';
const END = '<!-- kvm-unit-tests: end -->';

/** Tests that must pass. */
const EXPECTED = (
  'smptest smptest3 smap pku pks eventinj memory realmode setjmp syscall tsc xsave rmap_chain rdpru umip ' +
  'vmexit_cpuid vmexit_mov_from_cr8 vmexit_mov_to_cr8 vmexit_inl_pmtimer vmexit_ipi vmexit_ipi_halt ' +
  'vmexit_ple_round_robin vmexit_tscdeadline vmexit_tscdeadline_immed vmexit_cr0_wp vmexit_cr4_pge ' +
  'x2apic xapic ioapic access pcid-enabled pcid-disabled pcid-asymmetric la57 idt_test emulator hypercall debug msr sieve'
).split(' ');

/** unittests.cfg: sections of `key = value`; values may be quoted over several lines. */
function parseConfig(text) {
  const tests = [];
  let current;
  const joined = text.replace(/"""([\s\S]*?)"""/g, (_, body) => body.replace(/\s*\n\s*/g, ' '));
  for (const line of joined.split('\n')) {
    const section = /^\[(.+)\]/.exec(line);
    const pair = /^(\w+)\s*=\s*(.*)$/.exec(line.replace(/\s+$/, ''));
    if (section) tests.push((current = { name: section[1] }));
    else if (pair && current) current[pair[1]] = pair[2].replace(/^(['"])(.*)\1$/, '$2');
  }
  return tests;
}

function words(text = '') {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]);
}

function commandLine(test, directory) {
  const flat = join(directory, 'x86', test.file);
  const args = ['-no-reboot', '-nodefaults', '-device', 'pc-testdev'];
  args.push(
    '-device',
    'isa-debug-exit,iobase=0xf4,iosize=0x4',
    '-display',
    'none',
    '-serial',
    'stdio',
    '-device',
    'pci-testdev',
  );
  args.push('-kernel', flat, '-smp', test.smp ?? '1', ...words(test.qemu_params ?? test.extra_params));
  if (test.test_args) args.push('-append', test.test_args);
  return args;
}

function run(command, args, timeoutSeconds) {
  return new Promise((resolve) => {
    const child = spawn(command[0], [...command.slice(1), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let timedOut = false;
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    child.on('error', (error) => resolve({ verdict: `cannot run: ${error.message}`, output }));
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ verdict: verdictOf(status, timedOut, output), output });
    });
  });
}

/** The program leaves with (code << 1) | 1: 0 passed, 1 failed, 77 skipped. */
function verdictOf(status, timedOut, output) {
  if (timedOut) return 'timeout';
  const summary = /SUMMARY: (\d+) tests(.*)/.exec(output);
  const counts = summary === null ? '' : ` (${summary[1]}${summary[2]})`;
  if (status === 1) return `pass${counts}`;
  if (status === 3) return `FAIL${counts}`;
  if (status === ((77 << 1) | 1)) return `skip${counts}`;
  return `FAIL: status ${status}${counts}`;
}

/** True if every expected test passed. */
export async function runKvmUnitTests(directory, options) {
  const tests = parseConfig(readFileSync(join(directory, 'x86', 'unittests.cfg'), 'utf8'));
  const chosen = tests.filter(
    (t) =>
      (options.only?.includes(t.name) ?? (options.all || EXPECTED.includes(t.name))) &&
      existsSync(join(directory, 'x86', t.file)),
  );
  const ours = [join(root, 'bin', 'lyrebird-system-x86_64')];
  const qemu = ['qemu-system-x86_64', '-accel', 'tcg'];
  const rows = [];
  let good = true;
  for (const test of chosen) {
    const args = commandLine(test, directory);
    const timeout = Math.max(options.timeout, Number(test.timeout ?? 0));
    const mine = await run(ours, args, timeout);
    const theirs = options.qemu ? await run(qemu, args, timeout) : undefined;
    rows.push([test.name, mine.verdict, theirs?.verdict ?? '–']);
    process.stdout.write(`${test.name.padEnd(28)} ${mine.verdict.padEnd(44)} ${theirs?.verdict ?? ''}\n`);
    if (!mine.verdict.startsWith('pass')) {
      if (EXPECTED.includes(test.name)) good = false;
      const lines = mine.output.split('\n').filter((l) => /^FAIL|unhandled|assert|^lyrebird|rror/i.test(l));
      for (const line of lines.slice(0, 12)) process.stdout.write(`    ${line}\n`);
    }
  }
  if (options.write) writeTable(rows);
  return good;
}

function writeTable(rows) {
  const cell = (text) => text.replace(/\|/g, '\\|');
  const table = [
    '| test | Lyrebird | QEMU 7.2, TCG |',
    '|---|---|---|',
    ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
  ].join('\n');
  const text = existsSync(CONFORMANCE) ? readFileSync(CONFORMANCE, 'utf8') : '# Conformance\n';
  const section = `${BEGIN}\n\n${table}\n\n${END}`;
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  const whole =
    from >= 0 && to > from
      ? text.slice(0, from) + section + text.slice(to + END.length)
      : `${text.trimEnd()}\n\n## kvm-unit-tests\n\n${section}\n`;
  writeFileSync(CONFORMANCE, whole);
}
