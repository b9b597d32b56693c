import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharStream, CharStreamClient } from '../chardev/char-stream.ts';
import type { MachineControl } from '../system/machine-client.ts';
import { UserError } from '../util/errors.ts';
import { runCommand } from './commands.ts';
import { evaluate } from './expression.ts';
import { HumanMonitor } from './human-monitor.ts';
import { formatDump, parseDumpFormat } from './memory-dump.ts';

test('expressions', () => {
  const registers: Record<string, bigint> = { rip: 0x1000n };
  const value = (text: string): bigint => evaluate(text, (name) => registers[name]);
  assert.equal(value('1 + 2 * 3'), 7n);
  assert.equal(value('(1 + 2) * 3 - 1'), 8n);
  assert.equal(value('$rip + 0x10'), 0x1010n);
  assert.equal(value('1 << 4 | 1'), 17n);
  assert.equal(value('-1'), 2n ** 64n - 1n);
  assert.equal(value('~0 >> 60'), 15n);
  assert.equal(value('7 % 4 & 6 ^ 1'), 3n);
  for (const text of ['', '1 +', '(1', '1 2', 'x', '$nope', '1/0', '1 @ 2'])
    assert.throws(() => value(text), UserError, text);
});

test('dump formats', () => {
  assert.deepEqual(parseDumpFormat(''), { count: 1, kind: 'x', sizeBytes: 4 });
  assert.deepEqual(parseDumpFormat('16xb'), { count: 16, kind: 'x', sizeBytes: 1 });
  assert.deepEqual(parseDumpFormat('2gx'), { count: 2, kind: 'x', sizeBytes: 8 });
  assert.deepEqual(parseDumpFormat('10i'), { count: 10, kind: 'i', sizeBytes: 4 });
  assert.throws(() => parseDumpFormat('zz'), UserError);
  const bytes = Uint8Array.from([0x41, 0, 0, 0x80, 5, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]);
  assert.equal(
    formatDump(bytes, 0x100n, parseDumpFormat('5xw')),
    '0000000000000100: 0x80000041 0x00000005 0x04030201 0x08070605\n0000000000000110: 0x09090909',
  );
  assert.equal(formatDump(bytes.subarray(0, 4), 0n, parseDumpFormat('1dw')), '0000000000000000: -2147483583');
  assert.equal(formatDump(bytes.subarray(0, 2), 0n, parseDumpFormat('2c')), "0000000000000000: 'A' '\\x00'");
});

interface Sent {
  name: string;
  params: unknown;
}

function fakeMachine(): { machine: MachineControl; sent: Sent[] } {
  const sent: Sent[] = [];
  const answers: Record<string, unknown> = {
    registers: { rip: '4096', rax: '7' },
    info: 'VM status: running',
    port: 0x5a,
  };
  const machine = {
    request: async (name: string, params: unknown) => {
      sent.push({ name, params });
      if (name === 'info' && (params as { topic: string }).topic === 'frob')
        throw new UserError('UnknownTopic', 'no such topic');
      return answers[name] ?? null;
    },
    read: async (_address: bigint, length: number) => new Uint8Array(length),
  };
  return { machine: machine as unknown as MachineControl, sent };
}

test('commands', async () => {
  const { machine, sent } = fakeMachine();
  let quits = 0;
  const context = { machine, version: 'V', quit: () => quits++ };
  const run = (line: string): Promise<string> => runCommand(context, line);
  assert.equal(await run('info status'), 'VM status: running');
  assert.equal(await run('info version'), 'V');
  assert.match(await run('info'), /info registers/);
  assert.equal(await run('info frob'), 'no such topic');
  assert.equal(await run('print $eax * 2'), '0xe');
  assert.equal(await run('p/d -1'), '-1');
  assert.equal(await run('x /2xw $pc'), '0000000000001000: 0x00000000 0x00000000');
  assert.equal(await run('i /1b 0x60'), 'portb[0x0060] = 0x5a');
  assert.equal(await run('o /1h 0x60 3'), '');
  assert.deepEqual(sent.at(-1), { name: 'port', params: { port: 0x60, size: 2, value: 3 } });
  assert.equal(await run('frobnicate now'), "unknown command: 'frobnicate'");
  assert.match(await run('help'), /system_powerdown/);
  assert.equal(await run('help quit'), 'quit -- end the emulator');
  await run('stop');
  await run('c');
  await run('system_reset');
  await run('log int,exec');
  assert.deepEqual(
    sent.slice(-4).map((s) => s.name),
    ['pause', 'resume', 'reset', 'log'],
  );
  await run('q');
  assert.equal(quits, 1);
});

test('line editing', async () => {
  const { machine } = fakeMachine();
  let output = '';
  let client: CharStreamClient | undefined;
  const stream: CharStream = {
    write: (bytes) => {
      output += Buffer.from(bytes).toString('latin1');
      return true;
    },
    connect: (c) => {
      client = c;
    },
    pauseInput: () => {},
    resumeInput: () => {},
    dispose: async () => {},
  };
  const monitor = new HumanMonitor(stream, { machine, version: 'V', quit: () => {} }, false);
  monitor.opened();
  const type = async (text: string): Promise<string> => {
    output = '';
    client!.input(Buffer.from(text, 'latin1'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    return output;
  };
  assert.match(await type('prinX\x7ft 1+\x1b[D2\x1b[C2\r\n'), /0xe\r\n/); // "print 12+2" typed out of order
  assert.match(await type('\x1b[A\r'), /0xe\r\n/);
  assert.match(await type('info ver\x15inf\tversion\n'), /\r\nV\r\n/);
  assert.match(await type('system_\t'), /system_reset {2}system_powerdown/);
  assert.match(await type('\x03sto\t'), /stop /);
});
