// The typed wrappers against this machine's /dev/kvm.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type BareVm, closeBareVm, createBareVm, readRegister, skipWithoutKvm } from '../bare-vm.cases.ts';
import * as kvm from '../bindings/common.ts';
import * as x86 from '../bindings/x86.ts';
import { encodeCpuid, KvmDevice } from './kvm-device.ts';
import { checked, ERRNO, errnoName, KvmError } from './kvm-error.ts';

const u32 = (machine: BareVm, at: number): number => machine.vcpu.run.getUint32(at, true);

/** Enters until the guest leaves for a reason of its own. */
function nextExit({ vcpu }: BareVm): number {
  for (let i = 0; i < 1000; i++) {
    const result = vcpu.enter();
    if (result === -ERRNO.EINTR || result === -ERRNO.EAGAIN) continue;
    checked(result, 'KVM_RUN');
    return vcpu.exitReason;
  }
  throw new Error('no exit');
}

function withVm(
  name: string,
  source: string,
  options: Parameters<typeof createBareVm>[1],
  body: (machine: BareVm) => void,
): void {
  test(name, (t) => {
    if (skipWithoutKvm(t)) return;
    const machine = createBareVm(source, options);
    try {
      body(machine);
    } finally {
      closeBareVm(machine);
    }
  });
}

test('the numbers are those that the kernel was built with', () => {
  // recorded from a C program over <linux/kvm.h>
  assert.equal(kvm.KVM_SET_USER_MEMORY_REGION, 0x4020ae46);
  assert.equal(kvm.KVM_GET_DIRTY_LOG, 0x4010ae42);
  assert.equal(kvm.KVM_IRQFD, 0x4020ae76);
  assert.equal(kvm.KVM_IOEVENTFD, 0x4040ae79);
  assert.equal(kvm.KVM_SET_GUEST_DEBUG, 0x4048ae9b);
  assert.equal(kvm.KVM_ENABLE_CAP, 0x4068aea3);
  assert.equal(x86.KVM_GET_SUPPORTED_CPUID, 0xc008ae05);
  assert.equal(x86.KVM_SET_IRQCHIP, 0x8208ae63);
  assert.equal(x86.KVM_GET_SREGS, 0x8138ae83);
  assert.equal(x86.KVM_GET_XSAVE, 0x9000aea4);
  assert.equal(x86.KVM_SET_XCRS, 0x4188aea7);
  assert.equal(x86.KVM_GET_PIT2, 0x8070ae9f);
});

test('errors have names and words', () => {
  assert.equal(errnoName(ERRNO.EBUSY), 'EBUSY');
  assert.throws(() => checked(-16, 'KVM_CREATE_VM'), {
    name: 'KvmError',
    message: 'KVM_CREATE_VM: device or resource busy (EBUSY)',
  });
  const nowhere = { open: () => -ERRNO.ENOENT } as unknown as ConstructorParameters<typeof KvmDevice>[0];
  assert.throws(() => new KvmDevice(nowhere), KvmError);
});

withVm(
  'real mode: port writes, a port read, HLT',
  'mov dx, 0x3f8\nmov al, 2\nadd al, 0x32\nout dx, al\nin ax, dx\nmov bx, ax\nhlt',
  { bits: 16 },
  (machine) => {
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    assert.equal(machine.vcpu.runBytes[kvm.RUN_IO_DIRECTION], kvm.IO_OUT);
    assert.equal(machine.vcpu.run.getUint16(kvm.RUN_IO_PORT, true), 0x3f8);
    assert.equal(
      machine.vcpu.runBytes[Number(machine.vcpu.run.getBigUint64(kvm.RUN_IO_DATA_OFFSET, true))],
      0x34,
    );
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    assert.equal(machine.vcpu.runBytes[kvm.RUN_IO_DIRECTION], 0);
    assert.equal(machine.vcpu.runBytes[kvm.RUN_IO_SIZE], 2);
    const at = Number(machine.vcpu.run.getBigUint64(kvm.RUN_IO_DATA_OFFSET, true));
    machine.vcpu.run.setUint16(at, 0xbeef, true);
    assert.equal(nextExit(machine), kvm.EXIT_HLT);
    assert.equal(readRegister(machine.vcpu, 3) & 0xffffn, 0xbeefn);
  },
);

withVm(
  '32-bit code: memory-mapped writes and reads',
  'mov dword [0xd0000000], 0x12345678\nmov eax, [0xd0000004]\nmov cl, [0xd0000009]\nhlt',
  { bits: 32 },
  (machine) => {
    const { run, runBytes } = machine.vcpu;
    const address = (): number => Number(run.getBigUint64(kvm.RUN_MMIO_ADDRESS, true));
    assert.equal(nextExit(machine), kvm.EXIT_MMIO);
    assert.equal(address(), 0xd0000000);
    assert.equal(runBytes[kvm.RUN_MMIO_IS_WRITE], 1);
    assert.equal(u32(machine, kvm.RUN_MMIO_LENGTH), 4);
    assert.equal(u32(machine, kvm.RUN_MMIO_DATA), 0x12345678);
    assert.equal(nextExit(machine), kvm.EXIT_MMIO);
    assert.equal(address(), 0xd0000004);
    run.setUint32(kvm.RUN_MMIO_DATA, 0xcafebabe, true);
    assert.equal(nextExit(machine), kvm.EXIT_MMIO);
    runBytes[kvm.RUN_MMIO_DATA] = 0x5a;
    assert.equal(nextExit(machine), kvm.EXIT_HLT);
    assert.equal(readRegister(machine.vcpu, 0), 0xcafebaben);
    assert.equal(readRegister(machine.vcpu, 1) & 0xffn, 0x5an);
  },
);

withVm(
  'a triple fault is a shutdown exit',
  'lidt [0x900]\nxor ecx, ecx\ndiv ecx',
  { bits: 32 },
  (machine) => {
    assert.equal(nextExit(machine), kvm.EXIT_SHUTDOWN);
  },
);

withVm(
  'interrupts of the kernel: PIC and PIT tick',
  `mov word [0x20], handler
   mov word [0x22], 0
   mov al, 0x11
   out 0x20, al
   mov al, 8
   out 0x21, al
   mov al, 4
   out 0x21, al
   mov al, 1
   out 0x21, al
   mov al, 0xfe
   out 0x21, al
   mov al, 0x34
   out 0x43, al
   mov al, 0x00
   out 0x40, al
   mov al, 0x20
   out 0x40, al
   xor bx, bx
   sti
 again: hlt
   cmp bx, 3
   jb again
   mov al, bl
   out 0x99, al
   hlt
 handler: inc bx
   mov al, 0x20
   out 0x20, al
   iret`,
  { bits: 16, irqchip: true, pit: true },
  (machine) => {
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    assert.equal(machine.vcpu.run.getUint16(kvm.RUN_IO_PORT, true), 0x99);
    assert.equal(
      machine.vcpu.runBytes[Number(machine.vcpu.run.getBigUint64(kvm.RUN_IO_DATA_OFFSET, true))],
      3,
    );
    assert.equal(machine.vcpu.getLapic().length, x86.LAPIC_SIZE);
    const pit = new DataView(machine.vm.getPit().buffer);
    assert.equal(pit.getUint32(0, true), 0x2000);
  },
);

const COUNT_INTERRUPT = `mov word [0x80], handler
   mov word [0x82], 0
   mov al, 0x11
   out 0x20, al
   mov al, 0x20
   out 0x21, al
   mov al, 4
   out 0x21, al
   mov al, 1
   out 0x21, al
   mov al, 0
   out 0x21, al
   sti
   out 0x98, al
   wait_: hlt
   jmp wait_
 handler: mov al, 0x20
   out 0x20, al
   out 0x99, al
   iret`;

withVm(
  'an irqfd raises an interrupt',
  COUNT_INTERRUPT.replaceAll('0x80', '0x90').replaceAll('0x82', '0x92'),
  {
    bits: 16,
    irqchip: true,
  },
  (machine) => {
    const { system, vm } = machine;
    assert.equal(nextExit(machine), kvm.EXIT_IO); // 0x98: ready
    const fd = checked(system.createEventFd(), 'eventfd');
    vm.addIrqFd(fd, 4);
    system.signalEventFd(fd);
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    assert.equal(machine.vcpu.run.getUint16(kvm.RUN_IO_PORT, true), 0x99);
    vm.removeIrqFd(fd, 4);
    system.close(fd);
  },
);

withVm(
  'KVM_IRQ_LINE raises an interrupt',
  COUNT_INTERRUPT.replaceAll('0x80', '0x94').replaceAll('0x82', '0x96'),
  {
    bits: 16,
    irqchip: true,
  },
  (machine) => {
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    machine.vm.setIrqLine(5, true);
    machine.vm.setIrqLine(5, false);
    assert.equal(nextExit(machine), kvm.EXIT_IO);
    assert.equal(machine.vcpu.run.getUint16(kvm.RUN_IO_PORT, true), 0x99);
  },
);

withVm(
  "an ioeventfd takes the guest's writes without an exit",
  'mov dword [0xd0000000], 5\nmov dword [0xd0000000], 6\nmov dx, 0x510\nmov al, 1\nout dx, al\nhlt',
  { bits: 32 },
  (machine) => {
    const { system, vm } = machine;
    const memoryFd = checked(system.createEventFd(), 'eventfd');
    const portFd = checked(system.createEventFd(), 'eventfd');
    vm.addIoEvent({ space: 'memory', address: 0xd0000000, length: 4, match: undefined, fd: memoryFd });
    const port = { space: 'port', address: 0x510, length: 1, match: 1, fd: portFd } as const;
    vm.addIoEvent(port);
    assert.equal(nextExit(machine), kvm.EXIT_HLT);
    assert.equal(system.takeEventFd(memoryFd), 2);
    assert.equal(system.takeEventFd(memoryFd), 0);
    assert.equal(system.takeEventFd(portFd), 1);
    vm.removeIoEvent(port);
    system.close(memoryFd);
    system.close(portFd);
  },
);

withVm(
  'the dirty log names the pages that were written',
  'mov byte [0x5123], 1\nmov byte [0x9000], 1\nhlt',
  { bits: 32, logDirty: true },
  (machine) => {
    const bitmap = new Uint8Array(new SharedArrayBuffer(32));
    machine.vm.getDirtyLog(0, bitmap);
    assert.equal(nextExit(machine), kvm.EXIT_HLT);
    machine.vm.getDirtyLog(0, bitmap);
    const pages = [...bitmap].flatMap((byte, i) =>
      Array.from({ length: 8 }, (_, bit) => bit)
        .filter((bit) => ((byte >> bit) & 1) !== 0)
        .map((bit) => i * 8 + bit),
    );
    assert.ok(pages.includes(5) && pages.includes(9), `${pages}`);
    assert.ok(!pages.includes(7));
  },
);

withVm(
  'registers, XSAVE, events and MSRs survive a save and a restore',
  'hlt',
  { bits: 32 },
  ({ vcpu, device }) => {
    vcpu.setCpuid(encodeCpuid(device.supportedCpuid()));
    const regs = vcpu.getRegs();
    new DataView(regs.buffer).setBigUint64(0, 0x1122334455667788n, true);
    vcpu.setRegs(regs);
    assert.deepEqual(vcpu.getRegs(), regs);
    const xsave = vcpu.getXsave();
    xsave[x86.XSAVE_XMM] = 0x42;
    xsave[x86.XSAVE_HEADER]! |= 3;
    vcpu.setXsave(xsave);
    assert.equal(vcpu.getXsave()[x86.XSAVE_XMM], 0x42);
    const debug = vcpu.getDebugRegs();
    new DataView(debug.buffer).setBigUint64(0, 0x1234n, true);
    vcpu.setDebugRegs(debug);
    assert.equal(new DataView(vcpu.getDebugRegs().buffer).getBigUint64(0, true), 0x1234n);
    const sysenterEip = { index: 0x176, value: 0xffff_8000_1234_5678n };
    assert.equal(vcpu.setMsrs([sysenterEip]), 1);
    assert.deepEqual(vcpu.getMsrs([0x176]), [sysenterEip]);
    vcpu.setEvents(vcpu.getEvents());
  },
);

withVm('single-step and a hardware breakpoint', 'nop\nnop\nnop\nnop\nhlt', { bits: 32 }, (machine) => {
  const { vcpu } = machine;
  vcpu.setGuestDebug(kvm.GUESTDBG_ENABLE | kvm.GUESTDBG_SINGLESTEP);
  assert.equal(nextExit(machine), kvm.EXIT_DEBUG);
  assert.equal(vcpu.run.getBigUint64(kvm.RUN_DEBUG_PC, true), 0x1001n);
  vcpu.setGuestDebug(kvm.GUESTDBG_ENABLE | x86.GUESTDBG_USE_HW_BP, [0x1003n], 0x0000_0402);
  assert.equal(nextExit(machine), kvm.EXIT_DEBUG);
  assert.equal(vcpu.run.getBigUint64(kvm.RUN_DEBUG_PC, true), 0x1003n);
  vcpu.setGuestDebug(0);
  assert.equal(nextExit(machine), kvm.EXIT_HLT);
});

withVm('immediate exit returns at once', 'self: jmp self', { bits: 32 }, ({ vcpu }) => {
  vcpu.immediateExit = true;
  assert.equal(vcpu.enter(), -ERRNO.EINTR);
});

test('a vCPU that spins in another thread is kicked out, and process.exit does not hang', async (t) => {
  if (skipWithoutKvm(t)) return;
  const worker = new Worker(new URL('../spinning-vcpu.cases.js', import.meta.url));
  const [target] = (await once(worker, 'message')) as [{ threadId: number; runAddress: number }];
  const { loadKvmSystem } = await import('../../../host/node/kvm-system.ts');
  const system = loadKvmSystem();
  const run = system.view(target.runAddress, 64);
  await new Promise((resolve) => setTimeout(resolve, 20));
  run[kvm.RUN_IMMEDIATE_EXIT] = 1;
  system.interrupt(target.threadId);
  const [result] = (await once(worker, 'message')) as [number];
  assert.equal(result, -ERRNO.EINTR);
  await worker.terminate();
});
