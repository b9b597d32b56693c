import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import { ManualClock } from '../../core/clock.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Serial } from './serial.ts';

class Terminal implements CharBackend {
  readonly taken: number[] = [];
  blocked = false;
  frontend: CharFrontend | undefined;

  write(byte: number): boolean {
    if (this.blocked) return false;
    this.taken.push(byte);
    return true;
  }

  connect(frontend: CharFrontend): void {
    this.frontend = frontend;
  }
}

function world() {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const irq = IrqLine.unconnected();
  const terminal = new Terminal();
  const uart = new Serial(irq, terminal, timers);
  const out = (reg: number, value: number): void => uart.write(reg, 1, value);
  const inp = (reg: number): number => uart.read(reg, 1);
  const advance = (ns: number): void => {
    clock.advance(ns);
    timers.runExpired();
  };
  return { uart, irq, terminal, out, inp, advance, clock, timers };
}

test('the probe of the Linux 8250 driver sees a 16550A', () => {
  const { out, inp } = world();
  const ier = inp(1);
  out(1, 0);
  assert.equal(inp(1), 0);
  out(1, 0xff);
  assert.equal(inp(1), 0x0f, 'four interrupt enables, no UUE or sleep bits');
  out(1, ier);
  const mcr = inp(4);
  out(4, 0x1a);
  assert.equal(inp(6) & 0xf0, 0x90, 'loopback');
  out(4, mcr);
  out(7, 0xa5);
  assert.equal(inp(7), 0xa5);
  out(3, 0xbf);
  out(2, 0);
  out(3, 0);
  out(2, 1);
  assert.equal(inp(2) >> 6, 3);
  out(3, 0x80);
  assert.notEqual(inp(2), 0, 'no EFR of a 16650');
  out(3, 0);
  out(2, 0x21);
  assert.equal(inp(2) & 0x20, 0, 'no 64-byte FIFO of a 16750');
});

test('THR empty: interrupt on enabling, again after clearing and enabling (the THRE test of Linux)', () => {
  const { out, inp, irq } = world();
  assert.equal(inp(5), 0x60);
  out(1, 2);
  assert.ok(irq.level);
  assert.equal(inp(2), 0x02);
  assert.ok(!irq.level);
  assert.equal(inp(2), 0x01);
  out(1, 0);
  out(1, 2);
  assert.equal(inp(2), 0x02);
  out(0, 65);
  assert.ok(irq.level);
});

test('output reaches the backend; nothing is lost while it holds back', () => {
  const { out, inp, terminal, uart, irq } = world();
  out(0, 1);
  terminal.blocked = true;
  for (let i = 2; i < 100; i++) out(0, i);
  assert.equal(inp(5) & 0x60, 0);
  assert.deepEqual(terminal.taken, [1]);
  out(1, 2);
  assert.ok(!irq.level);
  out(2, 0x07);
  terminal.blocked = false;
  uart.onWritable();
  assert.ok(irq.level);
  assert.deepEqual(
    terminal.taken,
    Array.from({ length: 99 }, (_, i) => i + 1),
  );
  assert.equal(inp(5), 0x60);
});

test('input: trigger level, time-out, flow control towards the host', () => {
  const { out, inp, uart, irq, advance } = world();
  out(2, 0x81);
  out(1, 1);
  let room = 0;
  uart.onReceivable = () => room++;
  for (let i = 0; i < 7; i++) uart.receive(i);
  assert.ok(!irq.level);
  advance(10e6);
  assert.equal(inp(2), 0xcc);
  for (let i = 0; i < 7; i++) assert.equal(inp(0), i);
  assert.ok(!irq.level);
  assert.equal(inp(5) & 1, 0);
  assert.equal(room, 7);
  for (let i = 0; i < 8; i++) uart.receive(i);
  assert.equal(inp(2), 0xc4);
  while (uart.canReceive() > 0) uart.receive(9);
  uart.receive(10);
  let count = 0;
  while ((inp(5) & 1) !== 0) {
    inp(0);
    count++;
  }
  assert.equal(count, 16);
});

test('without FIFO one byte at a time', () => {
  const { out, inp, uart, irq } = world();
  out(1, 1);
  assert.equal(uart.canReceive(), 1);
  uart.receive(0x41);
  assert.equal(uart.canReceive(), 0);
  assert.ok(irq.level);
  assert.equal(inp(0), 0x41);
  assert.ok(!irq.level);
});

test('loopback carries data and modem changes; break is a line status', () => {
  const { out, inp, uart, terminal, irq } = world();
  out(4, 0x10);
  inp(6);
  out(0, 0x5a);
  assert.equal(inp(0), 0x5a);
  assert.deepEqual(terminal.taken, []);
  out(1, 8);
  out(4, 0x13);
  assert.ok(irq.level);
  assert.equal(inp(6), 0x33);
  assert.ok(!irq.level);
  out(4, 0);
  out(1, 4);
  uart.onBreak();
  assert.equal(inp(2), 0x06);
  assert.equal(inp(5), 0x71);
  assert.equal(inp(5), 0x61);
});

test('divisor latch', () => {
  const { out, inp } = world();
  out(3, 0x83);
  out(0, 1);
  out(1, 2);
  assert.equal(inp(0), 1);
  assert.equal(inp(1), 2);
  out(3, 3);
  assert.equal(inp(1), 0);
});

testStateRoundTrip('serial', () => world().uart);
testHostileInput('serial', () => {
  const { uart, clock, timers, terminal } = world();
  const device = {
    read: (offset: number) => uart.read(offset, 1),
    write: (offset: number, _size: number, value: number) => {
      terminal.blocked = (value & 3) === 0;
      if (!terminal.blocked) uart.onWritable();
      uart.receive(value);
      uart.write(offset, 1, value);
    },
  };
  return { device, size: 8, maxAccess: 1, clock, timers };
});
