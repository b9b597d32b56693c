// The accelerator with a bus of the test's own, on this machine's /dev/kvm.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { loadKvmSystem } from '../../host/node/kvm-system.ts';
import { parseCpu } from '../../target/x86/cpu-models.ts';
import { assemble } from '../../testing/asm/x86.ts';
import { UserError } from '../../util/errors.ts';
import { Doorbell } from '../../util/ring.ts';
import type { VcpuBus, VcpuExit } from '../accelerator.ts';
import { webAssembly } from '../tcg/webassembly.ts';
import { skipWithoutKvm } from './bare-vm.cases.ts';
import { KvmAccelerator, type KvmOptions } from './kvm-accelerator.ts';
import { isSupported, kvmCpuid, missingFeatures } from './kvm-cpuid.ts';
import type { VcpuThreadStart } from './vcpu-thread.ts';

const RAM_BYTES = 1 << 20;
const ROM_BYTES = 0x1000;
/** The last page below 4 GiB and below 1 MiB: where a reset vector jumps to. */
const ROM_OFFSET = RAM_BYTES - ROM_BYTES;

interface Rig {
  readonly accelerator: KvmAccelerator;
  readonly written: Array<readonly [port: number, value: number, cpu: number]>;
  readonly mmio: Array<readonly [address: number, value: number]>;
  /** Values that port reads give. */
  readonly inputs: Map<number, number>;
  /** Vectors that `acknowledgeInterrupt` gives. */
  readonly vectors: number[];
  readonly log: string[];
}

const startThread = (start: VcpuThreadStart): void => {
  new Worker(new URL('../../host/node/vcpu-worker.js', import.meta.url), { workerData: start }).unref();
};

function createRig(source: string, options: Partial<KvmOptions> & { cpus?: number } = {}): Rig {
  const ram = new Uint8Array(new (webAssembly().Memory)({ initial: 16, maximum: 16, shared: true }).buffer);
  ram.set(assemble(`org 0xf000\nbits 16\n${source}`, { bits: 16 }), ROM_OFFSET);
  ram.set([0xe9, 0x0d, 0xf0], ROM_OFFSET + 0xff0); // jmp 0xf000
  const rig = { written: [], mmio: [], inputs: new Map(), vectors: [], log: [] } as unknown as Rig;
  const bus = (): VcpuBus => ({
    readMmio: () => 0x5a,
    writeMmio: (address, _size, value) => void rig.mmio.push([address, value]),
    readPort: (port) => {
      rig.accelerator.requestExit();
      return rig.inputs.get(port) ?? 0xff;
    },
    writePort: (port, _size, value) => {
      rig.accelerator.requestExit();
      rig.written.push([port, value, rig.accelerator.current.index]);
    },
    acknowledgeInterrupt: () => rig.vectors.shift() ?? -1,
    readApicMsr: () => undefined,
    writeApicMsr: () => true,
    readTpr: () => 0,
    writeTpr: () => {},
    readTsc: () => 0,
  });
  const accelerator = new KvmAccelerator({
    system: loadKvmSystem(),
    model: parseCpu('qemu64'),
    irqchip: 'off',
    ram,
    buses: Array.from({ length: options.cpus ?? 1 }, bus),
    log: { write: (text) => void rig.log.push(text) },
    doorbell: new Doorbell(),
    startVcpuThread: startThread,
    ...options,
  });
  Object.assign(rig, { accelerator });
  accelerator.setMemoryMap([
    { start: 0, sizeBytes: RAM_BYTES, ramOffset: 0, readOnly: false },
    { start: 2 ** 32 - ROM_BYTES, sizeBytes: ROM_BYTES, ramOffset: ROM_OFFSET, readOnly: true },
  ]);
  for (const cpu of accelerator.vcpus) cpu.reset();
  accelerator.setRunning(true);
  return rig;
}

/** Runs as the machine loop does, until `done`. */
function runUntil({ accelerator }: Rig, done: () => boolean): VcpuExit | undefined {
  const endMs = Date.now() + 10_000;
  while (!done()) {
    const exit = accelerator.run();
    if (exit.kind === 'shutdown' || exit.kind === 'failed' || exit.kind === 'debug') return exit;
    if (exit.kind === 'halted') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    assert.ok(Date.now() < endMs, 'time-out');
  }
  return undefined;
}

/** A port write that ends the test's loop. */
const FINISH = 'out 0xf4, al';
const finishing =
  (rig: Rig, cpus = 1): (() => boolean) =>
  () =>
    rig.written.filter(([port]) => port === 0xf4).length >= cpus;

test('a guest starts at the reset vector, and ports and memory reach the bus', (t) => {
  if (skipWithoutKvm(t)) return;
  const rig = createRig(`
    in al, 0x70
    inc al
    out 0x71, al
    mov ax, 0xffff
    mov ds, ax
    mov byte [0x10], 3
    mov bl, [0xa000]
    ${FINISH}
    hlt`);
  rig.inputs.set(0x70, 0x41);
  runUntil(rig, finishing(rig));
  assert.deepEqual(rig.written[0], [0x71, 0x42, 0]);
  assert.equal(rig.accelerator.vcpus[0]!.readRegisters()['rbx']! & 0xffn, 0x5an);
  assert.deepEqual(rig.mmio, [[0x100000, 3]]);
  rig.accelerator.dispose();
});

test('with our own interrupt controllers HLT waits and a vector is injected', (t) => {
  if (skipWithoutKvm(t)) return;
  const rig = createRig(`
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x8000
    mov word [0x80], handler
    mov word [0x82], 0xf000
    mov ax, 1
    out 0x71, al
    sti
    hlt
    ${FINISH}
  stop: hlt
    jmp stop
  handler: mov al, 7
    iret`);
  const { accelerator } = rig;
  assert.equal(
    runUntil(rig, () => accelerator.vcpus[0]!.halted),
    undefined,
  );
  rig.vectors.push(0x20);
  accelerator.vcpus[0]!.setInterruptPending(true);
  runUntil(rig, () => {
    if (rig.vectors.length === 0) accelerator.vcpus[0]!.setInterruptPending(false);
    return finishing(rig)();
  });
  assert.deepEqual(rig.written.at(-1), [0xf4, 7, 0]);
  accelerator.dispose();
});

test('a thread that shares only memory gets the guest to return', (t) => {
  if (skipWithoutKvm(t)) return;
  const rig = createRig('self: jmp self');
  const { kick } = rig.accelerator;
  const module = (path: string): string => `import('${new URL(path, import.meta.url).href}')`;
  const worker = new Worker(
    `const { workerData: kick } = require('node:worker_threads');
    Promise.all([${module('./kvm-threads.js')}, ${module('../../host/node/kvm-system.js')}]).then(([threads, host]) => {
      const shared = new threads.KvmThreads(kick.buffer, host.loadKvmSystem);
      setTimeout(() => (shared.request(kick.bits), shared.kick(0)), 30);
    });`,
    { eval: true, workerData: kick },
  );
  assert.equal(rig.accelerator.run().kind, 'interrupted');
  void worker.terminate();
  rig.accelerator.dispose();
});

test('a deadline gets the guest to return, in the second machine of a thread too', (t) => {
  if (skipWithoutKvm(t)) return;
  for (let machine = 0; machine < 2; machine++) {
    const { accelerator } = createRig('self: jmp self');
    for (let round = 0; round < 3; round++) {
      const nowNs = performance.now() * 1e6;
      accelerator.interruptAt(nowNs + 3e6, nowNs);
      assert.equal(accelerator.run().kind, 'interrupted');
      assert.ok(performance.now() * 1e6 >= nowNs + 3e6);
    }
    accelerator.dispose();
  }
});

for (const irqchip of ['off', 'on'] as const) {
  test(`a second vCPU starts by INIT and start-up IPI, kernel-irqchip=${irqchip}`, (t) => {
    if (skipWithoutKvm(t)) return;
    const source = `
      mov ax, 0xfee0
      mov al, 1
      out 0x80, al
      wait_: in al, 0x90
      cmp al, 2
      jne wait_
      ${FINISH}
      stop: hlt
      jmp stop`;
    const rig = createRig(source, { cpus: 2, irqchip });
    const { accelerator } = rig;
    // the second processor: real mode at 0x8000
    accelerator.ram.set(
      assemble(`mov al, 5\nout 0x91, al\nin al, 0x92\n${FINISH}\nstop: hlt\njmp stop`, {
        bits: 16,
        origin: 0,
      }),
      0x8000,
    );
    rig.inputs.set(0x92, 9);
    const second = accelerator.vcpus[1]!;
    if (irqchip === 'off') {
      second.init();
      second.sipi(8);
    } else {
      accelerator.irqs?.sendMsi(0xfee0_1000, 0x4500);
      accelerator.irqs?.sendMsi(0xfee0_1000, 0x4608);
    }
    const done = finishing(rig, 2);
    runUntil(rig, () => {
      rig.inputs.set(0x90, rig.written.some(([port, , cpu]) => port === 0xf4 && cpu === 1) ? 2 : 1);
      return done();
    });
    assert.ok(rig.written.some(([port, value, cpu]) => port === 0x91 && value === 5 && cpu === 1));
    assert.ok(rig.written.some(([port, value, cpu]) => port === 0xf4 && value === 9 && cpu === 1));
    accelerator.setRunning(false);
    assert.equal(second.readRegisters()['rax']! & 0xffn, 9n);
    accelerator.dispose();
  });
}

test('the state of a vCPU goes into another machine and goes on there', (t) => {
  if (skipWithoutKvm(t)) return;
  const source = `
    mov cx, 1
    next: inc cx
    in al, 0x90
    cmp al, 1
    je next
    mov ax, cx
    ${FINISH}
    hlt`;
  const first = createRig(source);
  first.inputs.set(0x90, 1);
  let turns = 0;
  runUntil(first, () => ++turns > 20);
  first.accelerator.setRunning(false);
  const state = first.accelerator.vcpus[0]!.saveState();
  first.accelerator.dispose();
  const second = createRig(source);
  second.inputs.set(0x90, 0);
  second.accelerator.vcpus[0]!.loadState(state);
  runUntil(second, finishing(second));
  // The read that was under way is part of the state: it gave 1, and one more turn follows.
  assert.equal(second.written.at(-1)?.[1], Number(state['rcx']! & 0xffn) + 1);
  second.accelerator.dispose();
});

test('the dirty log gives offsets in the RAM buffer', (t) => {
  if (skipWithoutKvm(t)) return;
  const rig = createRig(`xor ax, ax\nmov ds, ax\nmov byte [0x3000], 1\n${FINISH}\nhlt`);
  rig.accelerator.setDirtyLogging(true);
  rig.accelerator.takeDirty(() => {});
  runUntil(rig, finishing(rig));
  const dirty: number[] = [];
  rig.accelerator.takeDirty((offset, size) => {
    for (let at = offset; at < offset + size; at += 0x1000) dirty.push(at);
  });
  assert.ok(dirty.includes(0x3000), `${dirty}`);
  rig.accelerator.dispose();
});

test("too many processors and features that are missing are the user's to know", (t) => {
  if (skipWithoutKvm(t)) return;
  assert.throws(() => createRig('hlt', { cpus: 100_000 }), UserError);
  const supported = [{ leaf: 1, subleaf: 0, hasSubleaf: false, eax: 0, ebx: 0, ecx: 1, edx: 1 }];
  const options = { supported, irqchip: 'off', tscDeadline: true, topology: { apicId: 0, cpus: 1 } } as const;
  assert.ok(isSupported('fpu', options) && isSupported('sse3', options) && !isSupported('aes', options));
  assert.ok(!isSupported('x2apic', options) && isSupported('x2apic', { ...options, irqchip: 'on' }));
  const model = parseCpu('qemu64');
  assert.ok(missingFeatures(model, options).includes('sse2'));
  const rows = kvmCpuid(model, options);
  assert.equal(rows.find(({ leaf }) => leaf === 1)!.edx & 1, 1);
  assert.ok(!rows.some(({ leaf }) => leaf === 0x15));
});
