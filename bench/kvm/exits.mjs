// Exits a second of the accelerator kvm, beside a C program that does nothing but exit, on this machine's /dev/kvm. Runs alternate;
// the ratio is of CPU time, because the machine may be busy with other things.
//
//     node bench/kvm/exits.mjs [ROUNDS] [EXITS]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KvmAccelerator } from '../../dist/accel/kvm/kvm-accelerator.js';
import { loadKvmSystem } from '../../dist/host/node/kvm-system.js';
import { parseCpu } from '../../dist/target/x86/cpu-models.js';
import { Doorbell } from '../../dist/util/ring.js';

const [rounds = 5, exits = 50_000] = process.argv.slice(2).map(Number);
const GUESTS = [
  // self: out 0x80, al; jmp self
  { name: 'port writes', reason: 2, code: 'e680ebfc' },
  // mov ax, 0xffff; mov ds, ax; self: mov [0x10], al; jmp self: the first byte behind the memory of both
  { name: 'memory-mapped writes', reason: 6, code: 'b8ffff8ed8a21000ebfb' },
];

const directory = mkdtempSync(join(tmpdir(), 'lyrebird-exits-'));
const program = join(directory, 'exits');
execFileSync('gcc', ['-O2', '-o', program, fileURLToPath(new URL('exits.c', import.meta.url))]);

/** [seconds, CPU seconds] of one exit. */
function inC({ reason, code }) {
  return execFileSync(program, [String(reason), String(exits), code], { encoding: 'utf8' })
    .split(' ')
    .map(Number);
}

function inLyrebird({ code }) {
  const ram = new Uint8Array(new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }).buffer);
  ram.set(Buffer.from(code, 'hex'), 0x1000);
  let count = 0;
  let accelerator;
  const onWrite = () => {
    if (++count === exits) accelerator.requestExit();
  };
  const bus = {
    readMmio: () => 0,
    writeMmio: onWrite,
    readPort: () => 0,
    writePort: onWrite,
    acknowledgeInterrupt: () => -1,
    readApicMsr: () => undefined,
    writeApicMsr: () => true,
    readTpr: () => 0,
    writeTpr: () => {},
    readTsc: () => 0,
  };
  accelerator = new KvmAccelerator({
    system: loadKvmSystem(),
    model: parseCpu('qemu64'),
    irqchip: 'on',
    ram,
    buses: [bus],
    log: { write: () => {} },
    doorbell: new Doorbell(),
    startVcpuThread: () => {},
  });
  accelerator.setMemoryMap([{ start: 0, sizeBytes: ram.length, ramOffset: 0, readOnly: false }]);
  accelerator.vcpus[0].reset();
  accelerator.vcpus[0].writeRegisters({ cs: 0n, cs_base: 0n, rip: 0x1000n });
  accelerator.setRunning(true);
  const wall = performance.now();
  const used = process.cpuUsage();
  while (count < exits) accelerator.run();
  const { user, system } = process.cpuUsage(used);
  const result = [(performance.now() - wall) / 1e3 / exits, (user + system) / 1e6 / exits];
  accelerator.dispose();
  return result;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
for (const guest of GUESTS) {
  const ours = [];
  const theirs = [];
  for (let round = 0; round < rounds; round++) {
    theirs.push(inC(guest));
    ours.push(inLyrebird(guest));
  }
  const column = (rows, n) => median(rows.map((row) => row[n]));
  const perSecond = (rows) => Math.round(1 / column(rows, 0)).toLocaleString('en');
  const ratio = column(theirs, 1) / column(ours, 1);
  console.log(
    `${guest.name.padEnd(22)} Lyrebird ${perSecond(ours)}/s, C ${perSecond(theirs)}/s; ` +
      `CPU per exit ${(column(ours, 1) * 1e6).toFixed(2)} µs and ${(column(theirs, 1) * 1e6).toFixed(2)} µs: ${ratio.toFixed(2)} × of C's rate`,
  );
}
rmSync(directory, { recursive: true });
