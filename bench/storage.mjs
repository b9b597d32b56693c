// "node bench/storage.mjs": a virtio disk in a guest and the conversion of an image, against QEMU in alternating runs.
// Processor time of the whole process is given beside the time that passed: on a busy host only the former can be compared.

import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const guests = join(root, '.cache/guests');
const runs = Number(process.argv[2] ?? 2);
const MIB = 2 ** 20;
const DISK_MIB = 256;
const IMAGE_MIB = 4096;
const TIMEOUT_MS = 400_000;
const dir = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'lyrebird-storage-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));

const EMULATORS = {
  lyrebird: [join(root, 'bin/lyrebird-system-x86_64')],
  qemu: ['qemu-system-x86_64', '-accel', 'tcg'],
};
const CONVERTERS = { lyrebird: [join(root, 'bin/lyrebird-img')], qemu: ['qemu-img'] };

/** Seconds of user and system time of a process so far. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function makeInitrd() {
  const first = readFileSync(join(guests, 'busybox/initrd.gz'));
  const modules = readFileSync(join(guests, 'cloud-modules/modules.cpio'));
  const path = join(dir, 'initrd');
  writeFileSync(path, Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
  return path;
}

/** Half data, half holes, in pieces of 64 MiB. */
function makeImage(path, sizeMib) {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeMib * MIB);
  const piece = Buffer.alloc(MIB);
  for (let i = 0; i < piece.length; i += 4) piece.writeUInt32LE(Math.imul(i + 1, 2654435761) >>> 0, i);
  for (let at = 0; at < sizeMib; at++)
    if (Math.floor(at / 64) % 2 === 0) writeSync(fd, piece, 0, MIB, at * MIB);
  closeSync(fd);
}

class Guest {
  constructor(command, args) {
    this.child = spawn(command[0], [...command.slice(1), ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.text = '';
    this.child.stdout.on('data', (bytes) => (this.text += bytes));
  }

  async until(mark) {
    for (const end = Date.now() + TIMEOUT_MS; !this.text.includes(mark); ) {
      if (Date.now() > end || this.child.exitCode !== null)
        throw new Error(`no "${mark}": ${this.text.slice(-500)}`);
      await new Promise((done) => setTimeout(done, 5));
    }
    this.text = this.text.slice(this.text.indexOf(mark) + mark.length);
  }

  /** Wall and processor seconds of a command. */
  async time(command) {
    const [cpu, wall] = [cpuSeconds(this.child.pid), performance.now()];
    this.child.stdin.write(`${command}; echo en""d-mark\n`);
    await this.until('end-mark');
    return { wall: (performance.now() - wall) / 1000, cpu: cpuSeconds(this.child.pid) - cpu };
  }
}

const DISK_WORK = {
  'sequential read, 256 MiB':
    'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null',
  'sequential write, 256 MiB': 'dd if=/dev/zero of=/dev/vda bs=1M count=256 conv=fsync 2>/dev/null',
};

async function measureDisk(command, initrd, disk) {
  const guest = new Guest(command, [
    ...['-m', '512', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...[
      '-kernel',
      join(guests, 'cloud-modules/vmlinuz'),
      '-initrd',
      initrd,
      '-append',
      'console=ttyS0 quiet no_timer_check',
    ],
    ...['-drive', `if=none,id=d0,format=raw,file=${disk}`, '-device', 'virtio-blk-pci,drive=d0'],
  ]);
  try {
    await guest.until('lyrebird# ');
    await guest.time('/load-virtio');
    const found = {};
    for (const [name, work] of Object.entries(DISK_WORK)) found[name] = await guest.time(work);
    return found;
  } finally {
    guest.child.kill('SIGKILL');
  }
}

function measureConvert(command, source) {
  const target = join(dir, 'target.qcow2');
  rmSync(target, { force: true });
  // The shell's `times` gives the children's processor time.
  const line = [...command, 'convert', '-f', 'raw', '-O', 'qcow2', source, target]
    .map((word) => `'${word}'`)
    .join(' ');
  const started = performance.now();
  const { stdout, status } = spawnSync('bash', ['-c', `${line} >&2; times`], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line}: status ${status}`);
  const wall = (performance.now() - started) / 1000;
  const seconds = [...stdout.split('\n')[1].matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, m, s]) => Number(m) * 60 + Number(s),
  );
  return { wall, cpu: seconds[0] + seconds[1] };
}

const samples = new Map();
function add(name, who, sample) {
  const key = `${name}\0${who}`;
  samples.set(key, [...(samples.get(key) ?? []), sample]);
}

const initrd = makeInitrd();
const [disk, source] = [join(dir, 'disk.img'), join(dir, 'source.img')];
makeImage(source, IMAGE_MIB);
for (let run = 0; run < runs; run++) {
  for (const who of Object.keys(EMULATORS)) {
    add('`convert` of 4 GiB raw, half holes, to qcow2', who, measureConvert(CONVERTERS[who], source));
    makeImage(disk, DISK_MIB);
    for (const [name, sample] of Object.entries(await measureDisk(EMULATORS[who], initrd, disk)))
      add(name, who, sample);
  }
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
const of = (name, who, key) => median(samples.get(`${name}\0${who}`).map((sample) => sample[key]));
console.log('| | Lyrebird, CPU (time) | QEMU, CPU (time) | ratio of CPU (of time) |\n|---|---|---|---|');
for (const name of new Set([...samples.keys()].map((key) => key.split('\0')[0]))) {
  const [lc, lw, qc, qw] = [
    of(name, 'lyrebird', 'cpu'),
    of(name, 'lyrebird', 'wall'),
    of(name, 'qemu', 'cpu'),
    of(name, 'qemu', 'wall'),
  ];
  const s = (value) => `${value.toFixed(2)} s`;
  console.log(
    `| ${name} | ${s(lc)} (${s(lw)}) | ${s(qc)} (${s(qw)}) | ${(lc / qc).toFixed(2)} × (${(lw / qw).toFixed(2)} ×) |`,
  );
}
