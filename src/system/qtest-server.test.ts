import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../core/address-space.ts';
import type { CharBackend } from '../core/char-backend.ts';
import { GuestRam } from '../core/guest-ram.ts';
import { IrqLine } from '../core/irq.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import { TimerQueue } from '../core/timer.ts';
import { QtestClock } from './qtest-clock.ts';
import { QtestServer } from './qtest-server.ts';

function rig(): {
  say(line: string): string;
  lines: IrqLine[];
  timers: TimerQueue;
  fill(full: boolean): void;
  server: QtestServer;
} {
  const ram = new GuestRam(new Uint8Array(65536));
  const root = MemoryRegion.container('memory', 2 ** 32);
  root.add(0, MemoryRegion.ram('ram', 65536, 0));
  const ioRoot = MemoryRegion.container('io', 65536);
  let port = 0;
  ioRoot.add(
    0x80,
    MemoryRegion.mmio('port', 4, { read: () => port, write: (_o, _s, value) => (port = value) }),
  );
  const clock = new QtestClock();
  const timers = new TimerQueue(clock);
  let output = '';
  let full = false;
  const backend: CharBackend = {
    write: (byte) => {
      if (!full) output += String.fromCharCode(byte);
      return !full;
    },
    connect: () => {},
  };
  const lines = IrqLine.array(3, () => assert.fail('the line was intercepted'));
  const server = new QtestServer(backend, {
    memory: new AddressSpace('memory', root, ram),
    io: new AddressSpace('io', ioRoot, ram),
    clock,
    timers,
    irqLines: (path) => (path === 'ioapic' ? lines : undefined),
    settle: () => {},
    log: () => {},
  });
  const say = (line: string): string => {
    output = '';
    for (const char of `${line}\n`) server.receive(char.charCodeAt(0));
    return output;
  };
  return { say, lines, timers, fill: (f) => (full = f), server };
}

test('qtest: memory and ports in every width', () => {
  const { say } = rig();
  assert.equal(say('writeq 0x100 0x1122334455667788'), 'OK\n');
  assert.equal(say('readb 0x100'), 'OK 0x0000000000000088\n');
  assert.equal(say('readl 0x104'), 'OK 0x0000000011223344\n');
  assert.equal(say('readq 256'), 'OK 0x1122334455667788\n');
  assert.equal(say('write 0x200 4 0x0102'), 'OK\n');
  assert.equal(say('read 0x1ff 5'), 'OK 0x0001020000\n');
  assert.equal(say('b64write 0x300 5 aGVsbG8='), 'OK\n');
  assert.equal(say('b64read 0x300 5'), 'OK aGVsbG8=\n');
  assert.equal(say('memset 0x300 3 0x41'), 'OK\n');
  assert.equal(say('read 0x300 5'), 'OK 0x4141416c6f\n');
  assert.equal(say('memset 0x300 0 1'), 'OK\n');
  assert.equal(say('outw 0x80 0xbeef'), 'OK\n');
  assert.equal(say('inw 0x80'), 'OK 0xbeef\n');
  assert.equal(say('endianness'), 'OK little\n');
});

test('qtest: mistakes fail and nothing else happens', () => {
  const { say } = rig();
  for (const line of [
    'nonsense',
    'readb',
    'readb x',
    'read 0 -1',
    'read 0 0x100000000000',
    'write 0 1 0xq',
    'irq_intercept_in cpu',
  ])
    assert.match(say(line), /^FAIL .*\n$/, line);
  assert.equal(say('readb 0xffffffffffffffff'), 'OK 0x00000000000000ff\n');
});

test('qtest: the clock steps to deadlines and past them', () => {
  const { say, timers } = rig();
  const fired: number[] = [];
  const timer = timers.create(() => {
    fired.push(timers.nowNs());
    timer.arm(timers.nowNs() + 100);
  });
  timer.arm(100);
  assert.equal(say('clock_step'), 'OK 100\n');
  assert.equal(say('clock_step 250'), 'OK 350\n');
  assert.equal(say('clock_set 10'), 'OK 350\n');
  assert.deepEqual(fired, [100, 200, 300]);
});

test('qtest: intercepted lines tell each change once', () => {
  const { say, lines } = rig();
  assert.equal(say('irq_intercept_in ioapic'), 'OK\n');
  assert.equal(say('irq_intercept_in ioapic'), 'OK\n');
  assert.match(say('irq_intercept_out ioapic'), /^FAIL/);
  lines[2]!.set(true);
  assert.equal(say('set_irq_in ioapic unnamed 2 1'), 'OK\n');
  assert.equal(say('set_irq_in ioapic unnamed 2 0'), 'IRQ lower 2\nOK\n');
});

test('qtest: answers wait for a peer that does not read', () => {
  const { say, fill, server } = rig();
  fill(true);
  assert.equal(say('endianness'), '');
  assert.equal(say('endianness'), '');
  fill(false);
  server.onWritable();
  assert.equal(say('endianness'), 'OK little\n');
});
