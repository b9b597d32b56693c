import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createMachine, type Machine, type MachineOptions, UserError } from './index.node.ts';
import { assemble } from './testing/asm/x86.ts';

/** A multiboot guest: says "ready", echoes what COM1 receives, halts in between; "Q" ends it with value 5. */
const GUEST = `
  org 0x100000
  bits 32
header:
  dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000), header, header, image_end, image_end, entry
entry:
  mov esp, 0x90000
  mov dword [0x200000], 0x12345678
  mov esi, text
  .next:
  lodsb
  test al, al
  jz .echo
  mov dx, 0x3f8
  out dx, al
  jmp .next
  .echo:
  mov dx, 0x3fd
  in al, dx
  test al, 1
  jz .echo
  mov dx, 0x3f8
  in al, dx
  cmp al, 'Q'
  je .quit
  out dx, al
  jmp .echo
  .quit:
  mov al, 5
  out 0xf4, al
  jmp .quit
text: db "ready", 10, 0
image_end:
`;
const kernel = assemble(GUEST, { bits: 32 });
const debugExit = { iobase: 0xf4, iosize: 4 };

async function withMachine(
  options: Partial<MachineOptions>,
  use: (machine: Machine) => Promise<void>,
): Promise<void> {
  const machine = await createMachine({ kernel, memory: '16M', debugExit, ...options });
  try {
    await use(machine);
  } finally {
    await machine.dispose();
  }
}

async function readUntil(machine: Machine, end: string): Promise<string> {
  const reader = machine.serial[0]!.readable.getReader();
  let text = '';
  while (!text.endsWith(end)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += Buffer.from(value).toString();
  }
  reader.releaseLock();
  return text;
}

test('create, run, talk, pause, look, change, exit', async () => {
  await withMachine({}, async (machine) => {
    assert.equal(machine.state, 'prelaunch');
    const events: string[] = [];
    machine.onEvent((event) => events.push(event.kind));
    await machine.run();
    assert.equal(await readUntil(machine, '\n'), 'ready\n');
    const writer = machine.serial[0]!.writable.getWriter();
    await writer.write('hello');
    assert.equal(await readUntil(machine, 'hello'), 'hello');
    assert.deepEqual([...(await machine.readMemory(0x200000, 4))], [0x78, 0x56, 0x34, 0x12]);
    await machine.pause();
    assert.equal(machine.state, 'paused');
    const registers = await machine.readRegisters();
    assert.equal(registers['rsp'], 0x90000n);
    assert.ok(registers['rip']! > 0x100000n && registers['rip']! < 0x101000n);
    await machine.writeMemory(0x200000, Uint8Array.of(1, 2, 3, 4), { kind: 'virtual' });
    assert.deepEqual([...(await machine.readMemory(0x200001n, 2, { kind: 'virtual' }))], [2, 3]);
    await machine.writeRegister('rsi', 0x1234n);
    assert.match(await machine.monitor('info registers'), /ESI=00001234/);
    assert.match(await machine.monitor('info status'), /paused/);
    assert.equal(await machine.monitor('xp /1xw 0x200000'), '0000000000200000: 0x04030201');
    assert.equal(await machine.monitor('print $esi + 1'), '0x1235');
    await assert.rejects(machine.writeRegister('nonsense', 0n), UserError);
    await machine.run();
    await writer.write('Q');
    assert.deepEqual(await machine.finished, { reason: 'guest-exit', status: 11 });
    assert.deepEqual(events, ['resume', 'stop', 'resume', 'end']);
    await assert.rejects(machine.run(), /ended/);
  });
});

test('reset starts the kernel again', async () => {
  await withMachine({ tier: 'interp' }, async (machine) => {
    await machine.run();
    assert.equal(await readUntil(machine, '\n'), 'ready\n');
    await machine.writeMemory(0x200000, Uint8Array.of(0));
    await machine.reset();
    assert.equal(await readUntil(machine, '\n'), 'ready\n');
    assert.equal((await machine.readMemory(0x200000, 1))[0], 0x78);
  });
});

test('much text both ways arrives complete and in order', async () => {
  await withMachine({}, async (machine) => {
    await machine.run();
    assert.equal(await readUntil(machine, '\n'), 'ready\n');
    const text = Array.from({ length: 30_000 }, (_, i) => `${i},`).join('');
    const writer = machine.serial[0]!.writable.getWriter();
    const [echoed] = await Promise.all([readUntil(machine, '29999,'), writer.write(text)]);
    assert.equal(echoed.length, text.length);
    assert.equal(echoed, text);
  });
});

test('the largest memory: requests still reach a guest that never halts', async () => {
  await withMachine({ memory: '3968M' }, async (machine) => {
    await machine.run();
    assert.equal(await readUntil(machine, '\n'), 'ready\n');
    await machine.pause();
    await machine.writeMemory(2n ** 32n + 0x17ff_f000n, Uint8Array.of(9));
    assert.equal((await machine.readMemory(2n ** 32n + 0x17ff_f000n, 1))[0], 9);
  });
});

test("a user's mistakes are UserErrors of one line", async () => {
  const bad: Array<[Partial<MachineOptions>, RegExp]> = [
    [{ kernel: '/nonexistent' }, /^-kernel \/nonexistent: no such file or directory$/],
    [{ kernel: new Uint8Array(100) }, /^-kernel .*neither a Linux bzImage/],
    [{ memory: '100T' }, /^-m 100T: at most 3968 MiB/],
    [{ memory: 'many' }, /^-m many: "many" is not a size/],
    [{ cpu: 'z80' }, /^-cpu z80: /],
    [{ initrd: '/nonexistent' }, /^-initrd \/nonexistent: /],
    [{ serialPorts: 9 }, /^serialPorts/],
    [{ extraArgs: ['-frobnicate'] }, /^-frobnicate: unknown option/],
  ];
  for (const [options, pattern] of bad) {
    await assert.rejects(createMachine({ kernel, ...options }), (error: Error) => {
      assert.ok(error instanceof UserError, String(error.stack));
      assert.match(error.message, pattern);
      return true;
    });
  }
});

test('nothing keeps the process alive after dispose or power-off', () => {
  const api = new URL('./index.node.js', import.meta.url).href;
  const script = `
    import { createMachine } from ${JSON.stringify(api)};
    const kernel = Uint8Array.from(Buffer.from(${JSON.stringify(Buffer.from(kernel).toString('base64'))}, 'base64'));
    const options = { kernel, memory: '16M', debugExit: { iobase: 0xf4, iosize: 4 } };
    const one = await createMachine(options);
    await one.run();
    await one.dispose();
    await one.dispose();
    const two = await createMachine(options);
    await two.serial[0].writable.getWriter().write('Q');
    await two.run();
    const end = await two.finished;
    const three = await createMachine(options);
    await three.dispose();
    console.log('status', end.status);
  `;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 60_000,
    encoding: 'utf8',
  });
  assert.equal(result.signal, null, `${result.stdout}${result.stderr}`);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stdout, 'status 11\n');
  assert.ok(fileURLToPath(api).endsWith('.js'));
});
