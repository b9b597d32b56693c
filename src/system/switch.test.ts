// One machine under tcg, kvm and tcg again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kvmMissing } from '../accel/kvm/bare-vm.cases.ts';
import { createMachine } from '../index.node.ts';
import { assemble } from '../testing/asm/x86.ts';

/** Multiboot; answers each character on COM1 with the next one, and counts them in EBX. */
const ECHO = `
  org 0x100000
  bits 32
header:
  dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
  dd header, header, image_end, image_end, entry
entry:
  xor ebx, ebx
wait_:
  mov dx, 0x3fd
  in al, dx
  test al, 1
  jz wait_
  mov dx, 0x3f8
  in al, dx
  inc al
  out dx, al
  inc ebx
  jmp wait_
image_end:`;

test('a machine that is paused goes on under another accelerator', async (t) => {
  const missing = kvmMissing();
  if (missing !== undefined) {
    t.skip(missing);
    return;
  }
  const machine = await createMachine({
    memory: '16M',
    kernel: assemble(ECHO, { bits: 32 }),
    cpu: 'qemu64,-sse3',
  });
  try {
    const reader = machine.serial[0]!.readable.getReader();
    const writer = machine.serial[0]!.writable.getWriter();
    const ask = async (letter: string): Promise<string> => {
      await writer.write(letter);
      return Buffer.from((await reader.read()).value!).toString();
    };
    await machine.run();
    assert.equal(await ask('a'), 'b');
    assert.match(await machine.monitor('accelerator kvm'), /must be stopped/);
    await machine.pause();
    assert.equal(await machine.monitor('accelerator kvm'), '');
    assert.match(await machine.monitor('info kvm'), /enabled/);
    assert.equal((await machine.readRegisters())['rbx'], 1n);
    await machine.run();
    assert.equal(await ask('c'), 'd');
    await machine.pause();
    assert.equal(await machine.monitor('accelerator tcg'), '');
    assert.match(await machine.monitor('info accelerators'), /tcg/);
    assert.equal((await machine.readRegisters())['rbx'], 2n);
    await machine.run();
    assert.equal(await ask('e'), 'f');
    await machine.pause();
    assert.equal((await machine.readRegisters())['rbx'], 3n);
  } finally {
    await machine.dispose();
  }
});
