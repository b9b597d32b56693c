// Fuzzes the devices of a machine over qtest: random port, memory and PCI configuration accesses, DMA descriptors in RAM, clock steps.
//
//   npm run fuzz:devices [-- --seconds=60] [--rounds=N] [--seed=N] [-- more emulator options]
//
// A round has every device of the registry, or as many as there are slots for; the next round has the next seed and others.
//
// The emulator must answer every command and be alive at the end. A failure prints the seed and the last commands.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isBuildable } from '../dist/machine/device-factories.js';
import { deviceTypes } from '../dist/machine/device-types.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const option = (name, fallback) => {
  const found = process.argv.find((arg) => arg.startsWith(`--${name}=`));
  return found === undefined ? fallback : Number(found.split('=')[1]);
};
const seconds = option('seconds', 60);
let seed = option('seed', Date.now() & 0x7fffffff);
const separator = process.argv.indexOf('--', 2);
const rounds = option('rounds', 1);

/** Numbers in [0, 1), repeatable (xorshift32). */
let state = seed | 1;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);
const hex = (value) => `0x${value.toString(16)}`;
const value = () => (random() < 0.5 ? below(16) : random() < 0.5 ? 2 ** below(32) : below(2 ** 32)) >>> 0;

const dir = mkdtempSync(join(tmpdir(), 'lyrebird-fuzz-'));
let recent = [];
let child;

/** Slots that are left beside the board's own functions. */
const MAX_PCI = 26;
/** Ends the emulator, which is its purpose; or needs another board. */
const LEFT_OUT = new Set(['isa-debug-exit']);

/** Options for the devices of the registry: all that are not on PCI, and as many as fit of those that are, in random order. */
function registryOptions() {
  let drives = 0;
  const drive = () => {
    const id = `d${drives++}`;
    return [['-blockdev', `driver=null-co,node-name=${id},size=8388608,read-zeroes=on`], id];
  };
  const all = deviceTypes().filter(({ name }) => isBuildable(name) && !LEFT_OUT.has(name));
  const shuffled = all.filter(({ bus }) => bus === 'PCI').sort(() => random() - 0.5);
  const needed = shuffled.filter(({ name }) => /^virtio-(scsi|serial)-pci$|^nvme$/.test(name));
  const pci = [...new Set([...needed, ...shuffled])].slice(0, MAX_PCI);
  const rest = all.filter(({ bus }) => bus !== 'PCI');
  const out = [];
  for (const { name, properties } of [...pci, ...rest]) {
    const has = (property) => properties.some((p) => p.name === property);
    const given = [];
    if (has('drive') && name !== 'floppy') {
      const [option, id] = drive();
      out.push(...option);
      given.push(`drive=${id}`);
    }
    if (name === 'nvme') given.push(`serial=n${drives}`, 'id=nvme0');
    if (name === 'nvme-ns') given.push('bus=nvme0', 'nsid=2');
    if (has('fsdev')) {
      out.push('-fsdev', `local,id=f${drives},path=${dir},security_model=none`);
      given.push(`fsdev=f${drives++}`, 'mount_tag=share');
    }
    if (has('chardev') && /^isa-/.test(name)) {
      out.push('-chardev', `null,id=${name}-chr`);
      given.push(`chardev=${name}-chr`);
    }
    if (has('packed') && random() < 0.5) given.push('packed=on');
    out.push('-device', [name, ...given].join(','));
  }
  return [...out, '-action', 'panic=none,watchdog=none'];
}

const more = () => (separator < 0 ? registryOptions() : process.argv.slice(separator + 1));

/** A qtest peer: resolves with each answer. */
function listen(path) {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      let text = '';
      const waiting = [];
      socket.setEncoding('latin1');
      socket.on('data', (data) => {
        text += data;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          const line = text.slice(0, end);
          text = text.slice(end + 1);
          if (!line.startsWith('IRQ')) waiting.shift()?.(line);
        }
      });
      socket.on('close', () => {
        for (const answer of waiting) answer(undefined);
      });
      socket.on('error', () => {});
      server.close();
      resolve((line) => {
        recent.push(line);
        if (recent.length > 60) recent.shift();
        return new Promise((answer) => {
          waiting.push(answer);
          socket.write(`${line}\n`);
        });
      });
    });
    server.listen(path);
    child = spawn(
      join(root, 'bin/lyrebird-system-x86_64'),
      [
        '-accel',
        'qtest',
        '-qtest',
        `unix:${path}`,
        '-display',
        'none',
        '-m',
        '64',
        '-no-shutdown',
        ...more(),
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
  });
}

const inl = async (say, port) => Number((await say(`inl ${hex(port)}`))?.split(' ')[1] ?? 0);
const config = (devfn, offset) => hex((0x80000000 | (devfn << 8) | (offset & 0xfc)) >>> 0);

/** Maps every BAR of every function and lets it be a bus master. */
async function mapDevices(say) {
  const ranges = [];
  let memory = 0xe1000000;
  let io = 0xc000;
  for (let devfn = 0; devfn < 256; devfn++) {
    await say(`outl 0xcf8 ${config(devfn, 0)}`);
    const id = await inl(say, 0xcfc);
    if (id === 0xffffffff || devfn >> 3 < 2) continue;
    for (let bar = 0; bar < 6; bar++) {
      await say(`outl 0xcf8 ${config(devfn, 0x10 + 4 * bar)}`);
      await say('outl 0xcfc 0xffffffff');
      const mask = await inl(say, 0xcfc);
      if (mask === 0) continue;
      const isIo = (mask & 1) !== 0;
      const size = (~(mask & (isIo ? ~3 : ~15)) + 1) >>> 0;
      if (size === 0 || size > 2 ** 22) continue;
      const base = Math.ceil((isIo ? io : memory) / size) * size;
      await say(`outl 0xcfc ${hex(base)}`);
      ranges.push({ isIo, base, size: Math.min(size, 0x4000) });
      if (isIo) io = base + size;
      else memory = base + size;
      if ((mask & 6) === 4) {
        bar++;
        await say(`outl 0xcf8 ${config(devfn, 0x10 + 4 * bar)}`);
        await say('outl 0xcfc 0');
      }
    }
    await say(`outl 0xcf8 ${config(devfn, 4)}`);
    await say('outl 0xcfc 7');
  }
  return ranges;
}

/** One random command. */
function command(ranges) {
  const letter = 'bwl'[below(3)];
  const dice = random();
  if (dice < 0.6 && ranges.length > 0) {
    const { isIo, base, size } = ranges[below(ranges.length)];
    const at = hex(base + below(random() < 0.7 ? Math.min(size, 64) : size));
    if (random() < 0.3) return `${isIo ? 'in' : 'read'}${letter} ${at}`;
    return `${isIo ? 'out' : 'write'}${letter} ${at} ${hex(value())}`;
  }
  if (dice < 0.75)
    return `writel ${hex(0x100000 + 4 * below(4096))} ${hex(random() < 0.5 ? 0x100000 + below(16384) : value())}`;
  if (dice < 0.9) {
    const port = below(random() < 0.7 ? 0x400 : 0x10000);
    // The ports that would end the run: reset, power off.
    if (port === 0xcf9 || port === 0x92 || port === 0x64) return `inb ${hex(port)}`;
    return random() < 0.3 ? `in${letter} ${hex(port)}` : `out${letter} ${hex(port)} ${hex(value())}`;
  }
  return `clock_step ${below(1e7)}`;
}

async function round() {
  const say = await listen(join(dir, `qtest${seed}`));
  const until = performance.now() + seconds * 1000;
  let count = 0;
  let ranges = await mapDevices(say);
  while (performance.now() < until) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => say(command(ranges))));
    count += answers.length;
    if (answers.includes(undefined)) throw new Error('the emulator went away');
    if (count % 20000 === 0) ranges = await mapDevices(say);
  }
  process.stdout.write(
    `fuzz:devices: ${count} commands to ${ranges.length} BARs and the ports in ${seconds} s, seed ${seed}: alive\n`,
  );
}

try {
  for (let n = 0; n < rounds; n++, seed++) {
    state = seed | 1;
    recent = [];
    await round();
    child.kill('SIGKILL');
  }
} catch (error) {
  process.stdout.write(
    `fuzz:devices: ${error.message}, seed ${seed}; the last commands:\n${recent.join('\n')}\n`,
  );
  process.exitCode = 1;
} finally {
  child?.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
}
