// Runs inside the nested testbed, where /dev/kvm is complete: boots Debian's cloud kernel under -accel kvm and does one scenario.
//
//     node inside.mjs boot [machine options…]      to a shell; power-off ends with status 0
//     node inside.mjs pause [machine options…]     the same with a pause in between, and a kill at the end
//     node inside.mjs switch [machine options…]    kvm → tcg → kvm → tcg, the guest answers under each
//     node inside.mjs qemu                         a reference: the same boot under QEMU's KVM, if the testbed has it

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';

const [scenario, ...options] = process.argv.slice(2);
const PROMPT = 'lyrebird#';
const ESCAPES = /\x1b\[[0-9;]*[A-Za-z]/g;
const APPEND = 'console=ttyS0 quiet';
const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A process with a guest on its standard input and output. */
class Guest {
  output = '';
  errors = '';
  #from = 0;
  #changed = () => {};

  constructor(program, args, env = {}) {
    this.startedMs = performance.now();
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.child.stdout.setEncoding('latin1').on('data', (text) => {
      this.output += text;
      this.#changed();
    });
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text;
    });
    this.exited = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        this.status = code ?? signal;
        resolve(this.status);
        this.#changed();
      });
    });
  }

  send(text) {
    this.child.stdin.write(text);
  }

  async expect(text, timeoutMs = 600_000) {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const at = this.output.indexOf(text, this.#from);
      if (at >= 0) {
        this.#from = at + text.length;
        return;
      }
      if (this.status !== undefined || performance.now() > endMs) {
        throw new Error(
          `"${text}" did not come (${this.status ?? 'time-out'})\n${this.output.slice(-1500)}\n${this.errors}`,
        );
      }
      await new Promise((resolve) => {
        this.#changed = resolve;
        setTimeout(resolve, 1000);
      });
    }
  }

  /** The shell computes, so that the echo of what was typed is no answer. */
  async answers(number) {
    this.send(`echo "<$((${number} * 1000 + 7))>"\n`);
    await this.expect(`<${number * 1000 + 7}>`);
  }

  async powerOff() {
    this.send('poweroff -f\n');
    const status = await Promise.race([this.exited, sleep(120_000).then(() => 'time-out')]);
    if (status !== 0)
      throw new Error(`power-off: status ${status}\n${this.output.slice(-800)}\n${this.errors}`);
  }
}

/** The human monitor on a socket. */
async function openMonitor(path) {
  const socket = await new Promise((resolve, reject) => {
    const attempt = (left) => {
      const s = connect(path, () => resolve(s));
      s.on('error', (error) => (left === 0 ? reject(error) : setTimeout(attempt, 100, left - 1)));
    };
    attempt(600);
  });
  let text = '';
  let changed = () => {};
  socket.setEncoding('utf8').on('data', (data) => {
    text += data;
    changed();
  });
  /** The prompt is drawn anew with every character of the line: it counts when the line is empty. */
  const untilPrompt = async () => {
    const shown = () => text.replace(ESCAPES, '');
    while (!shown().endsWith('(qemu) ')) await new Promise((resolve) => (changed = resolve));
    const out = shown();
    text = '';
    return out;
  };
  await untilPrompt();
  return async (command) => {
    text = '';
    socket.write(`${command}\n`);
    while (!text.includes('\n')) await new Promise((resolve) => (changed = resolve));
    const out = await untilPrompt();
    console.log(`  (monitor) ${command}: ${out.split('\n').slice(1, -1).join(' | ').slice(0, 200)}`);
    return out;
  };
}

const lyrebird = (append, ...more) =>
  new Guest(process.execPath, [
    ...['bin/lyrebird-kvm', '-m', '128', '-display', 'none', '-serial', 'stdio'],
    ...['-kernel', 'g/vmlinuz', '-initrd', 'g/initrd.gz', '-append', append, ...more],
  ]);

async function boot() {
  const guest = lyrebird(APPEND, '-monitor', 'none', ...options);
  await guest.expect(PROMPT);
  console.log(`  ${options.join(' ') || 'default'}: shell after ${seconds(guest.startedMs)}`);
  await guest.answers(42);
  guest.send(
    'echo "cpus=$(nproc) clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"\n',
  );
  await guest.expect('clock=k');
  await guest.powerOff();
}

async function pause() {
  const guest = lyrebird(APPEND, '-monitor', 'unix:/tmp/monitor.sock,server=on,wait=off', ...options);
  const monitor = await openMonitor('/tmp/monitor.sock');
  await guest.expect(PROMPT);
  await monitor('stop');
  await monitor('info registers');
  await monitor('info kvm');
  guest.send('echo "<$((6 * 7))>"\n');
  await sleep(1000);
  if (guest.output.includes('<42>')) throw new Error('a paused guest answered');
  await monitor('cont');
  await guest.expect('<42>');
  // A process that is killed in the middle leaves nothing behind, and one that is asked to end does not hang.
  guest.child.kill('SIGTERM');
  const status = await Promise.race([guest.exited, sleep(30_000).then(() => 'time-out')]);
  if (status !== 0) throw new Error(`SIGTERM: ${status}`);
}

async function switchAccelerators() {
  const guest = lyrebird(APPEND, ...['-monitor', 'unix:/tmp/monitor.sock,server=on,wait=off', ...options]);
  const monitor = await openMonitor('/tmp/monitor.sock');
  await guest.expect(PROMPT);
  console.log(`  shell under kvm after ${seconds(guest.startedMs)}`);
  for (const [n, name] of ['tcg', 'kvm', 'tcg'].entries()) {
    await monitor('stop');
    await monitor(`accelerator ${name}`);
    await monitor('info accelerators');
    await monitor('cont');
    const sinceMs = performance.now();
    await guest.answers(n + 1);
    console.log(`  alive under ${name} after ${seconds(sinceMs)}`);
  }
  await guest.powerOff();
}

function qemuGuest(append, more) {
  const machine = [
    '-accel',
    'kvm',
    '-m',
    '128',
    '-display',
    'none',
    '-serial',
    'stdio',
    '-monitor',
    'none',
    '-nodefaults',
  ];
  const kernel = ['-kernel', 'g/vmlinuz', '-initrd', 'g/initrd.gz', '-append', append];
  const libraries = { LD_LIBRARY_PATH: '/q/lib:/lib' };
  return new Guest('/q/qemu', [...machine, '-L', '/q/fw', ...kernel, ...more], libraries);
}

async function qemu() {
  const guest = qemuGuest(APPEND, options);
  await guest.expect(PROMPT);
  console.log(`  qemu: shell after ${seconds(guest.startedMs)}`);
  await guest.powerOff();
}

/** Processes by turns whose guest says one character and ends: what comes before the first guest instruction. */
async function start() {
  const rounds = Number(options[0] ?? 3);
  const firmware = ['-L', '/q/fw', '-nodefaults', '-accel', 'kvm'];
  const machine = ['-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
  // A firmware whose first instructions say "!": mov dx, 0x3f8; mov al, '!'; out dx, al; mov dx, 0xf4; out dx, al; hlt
  const rom = Buffer.alloc(0x1_0000);
  rom.set([0xba, 0xf8, 0x03, 0xb0, 0x21, 0xee, 0xba, 0xf4, 0x00, 0xee, 0xf4], 0xff00);
  rom.set([0xe9, 0x0d, 0xff], 0xfff0); // jmp to them
  writeFileSync('/tmp/first.rom', rom);
  const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4', '-bios', '/tmp/first.rom'];
  const makers = {
    qemu: () => new Guest('/q/qemu', [...firmware, ...machine, ...exit], { LD_LIBRARY_PATH: '/q/lib:/lib' }),
    lyrebird: () => new Guest(process.execPath, ['bin/lyrebird-kvm', '-nodefaults', ...machine, ...exit]),
  };
  for (let round = 0; round < rounds; round++) {
    for (const [name, make] of Object.entries(makers)) {
      console.log(`@begin ${name}`);
      const guest = make();
      await guest.expect('!');
      console.log(`@end ${name}`);
      console.log(`  ${name}: first guest instruction after ${seconds(guest.startedMs)}`);
      await guest.exited;
    }
  }
}

/** Boots of QEMU and Lyrebird by turns; options: number of rounds, then the machine's. */
async function speed() {
  const rounds = Number(options[0] ?? 3);
  const more = options.slice(1);
  const makers = {
    qemu: () => qemuGuest(APPEND, more),
    lyrebird: () => lyrebird(APPEND, '-monitor', 'none', '-nodefaults', ...more),
  };
  const walls = { qemu: [], lyrebird: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [name, make] of Object.entries(makers)) {
      console.log(`@begin ${name}`);
      const guest = make();
      await guest.expect(PROMPT);
      console.log(`@end ${name}`);
      const wall = (performance.now() - guest.startedMs) / 1000;
      walls[name].push(wall);
      guest.send('cat /proc/uptime\n');
      await guest.expect('uptime');
      await guest.expect('\n');
      await guest.expect(' ');
      const uptime = /uptime\s+([\d.]+) /.exec(guest.output)?.[1];
      console.log(
        `  ${name}: shell after ${wall.toFixed(1)} s, guest's clock ${uptime} s; ${threadTimes(guest.child.pid)}`,
      );
      console.log(
        `    ${[...exitCounts()]
          .filter(([, count]) => count > 0)
          .map((row) => row.join(' '))
          .join(', ')}`,
      );
      await guest.powerOff();
    }
  }
  const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  const [theirs, ours] = [median(walls.qemu), median(walls.lyrebird)];
  console.log(
    `  median: qemu ${theirs.toFixed(1)} s, lyrebird ${ours.toFixed(1)} s: ${(ours / theirs).toFixed(2)}`,
  );
}

/** What the kernel counts for all virtual machines together. */
function exitCounts() {
  const root = '/sys/kernel/debug/kvm';
  if (!existsSync(root)) execFileSync('mount', ['-t', 'debugfs', 'debugfs', '/sys/kernel/debug']);
  const names = readdirSync(root).filter(
    (name) => !/lpage|_hist|_ns$/.test(name) && !statSync(`${root}/${name}`).isDirectory(),
  );
  return new Map(names.map((name) => [name, Number(readFileSync(`${root}/${name}`, 'utf8'))]));
}

/**
 * The CPU conformance cases, one in so many, under KVM, against the recording of a real processor: shows what the testbed's emulated
 * one does otherwise, too.
 */
async function lockstep() {
  const args = ['lockstep.mjs', '--file', './instructions.br', '--recorded', '--every', options[0] ?? '40'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  console.log(`${stdout}${stderr}`.replace(/^/gm, '  '));
  if (status !== 0) throw new Error(`status ${status}`);
}

/** CPU seconds of each thread: user + system (guest code counts as system). */
function threadTimes(pid) {
  const rows = readdirSync(`/proc/${pid}/task`).map((tid) => {
    const text = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { name, user: fields[11] / 100, system: fields[12] / 100, guest: fields[40] / 100 };
  });
  return rows
    .filter(({ user, system }) => user + system >= 0.05)
    .map(({ name, user, system, guest }) => `${name} ${user.toFixed(2)}+${system.toFixed(2)} (${guest})`)
    .join(', ');
}

const scenarios = {
  lockstep,
  start,
  speed,
  boot,
  pause,
  switch: switchAccelerators,
  qemu,
};
try {
  await scenarios[scenario]();
  console.log(`  ${scenario} ${options.join(' ')}: ok`);
} catch (error) {
  console.log(`  ${scenario} ${options.join(' ')}: FAILED: ${error.message}`);
  process.exitCode = 1;
}
process.exit();
