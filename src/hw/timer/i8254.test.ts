import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Port61 } from '../misc/port61.ts';
import { I8254, PIT_FREQUENCY_HZ } from './i8254.ts';

function world() {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  let edges = 0;
  let level = false;
  const irq = new IrqLine((_, now) => {
    if (now && !level) edges++;
    level = now;
  });
  const pit = new I8254(irq, timers);
  const port61 = new Port61(pit, clock);
  const runUntil = (ns: number): void => {
    while (timers.nextDeadlineNs() <= ns) {
      clock.advanceTo(timers.nextDeadlineNs());
      timers.runExpired();
    }
    clock.advanceTo(ns);
  };
  const out = (offset: number, ...bytes: number[]): void => {
    for (const b of bytes) pit.write(offset, 1, b);
  };
  const word = (offset: number): number => pit.read(offset, 1) | (pit.read(offset, 1) << 8);
  const ticks = (n: number): number => Math.ceil((n * 1e9) / PIT_FREQUENCY_HZ);
  return { clock, timers, pit, port61, runUntil, out, word, ticks, edges: () => edges, irq };
}

test('mode 2 at 100 Hz interrupts 100 times a second', () => {
  const w = world();
  w.out(3, 0x34);
  w.out(0, 11932 & 0xff, 11932 >> 8);
  const before = w.edges();
  w.runUntil(1e9);
  assert.equal(w.edges() - before, Math.floor(PIT_FREQUENCY_HZ / 11932));
  w.runUntil(10e9);
  assert.equal(w.edges() - before, Math.floor((10 * PIT_FREQUENCY_HZ) / 11932));
});

test('mode 3 interrupts once per period; 18.2 Hz with count 0', () => {
  const w = world();
  w.out(3, 0x36);
  w.out(0, 0, 0);
  w.runUntil(0);
  const before = w.edges();
  w.runUntil(10e9);
  assert.equal(w.edges() - before, Math.floor((10 * PIT_FREQUENCY_HZ) / 65536));
});

test('a machine that slept takes up the beat without a burst', () => {
  const w = world();
  w.out(3, 0x34);
  w.out(0, 11932 & 0xff, 11932 >> 8);
  const before = w.edges();
  w.clock.advance(5e9);
  w.timers.runExpired();
  assert.equal(w.edges() - before, 1);
  w.runUntil(5e9 + 1e8);
  assert.ok(w.edges() - before >= 10);
});

test('mode 4 (one-shot of Linux) and mode 0 interrupt once', () => {
  for (const control of [0x38, 0x30]) {
    const w = world();
    w.out(3, control);
    w.out(0, 0xe8, 0x03);
    const before = w.edges();
    w.runUntil(w.ticks(999));
    assert.equal(w.edges() - before, 0);
    w.runUntil(1e9);
    assert.equal(w.edges() - before, 1);
  }
});

test('latch, read-back and status', () => {
  const w = world();
  w.out(3, 0x34);
  w.out(0, 0x00, 0x10);
  w.clock.advanceTo(w.ticks(0x123));
  w.out(3, 0x00);
  w.clock.advance(1e6);
  assert.equal(w.word(0), 0x1000 - 0x123);
  w.out(3, 0xc2);
  const status = w.pit.read(0, 1);
  assert.equal(status & 0x7f, 0x34);
  const latched = w.word(0);
  assert.ok(latched < 0x1000);
  w.out(3, 0x34);
  w.out(3, 0xe2);
  assert.equal(w.pit.read(0, 1), 0xf4, 'null count');
  assert.equal(w.pit.read(3, 1), 0xff);
});

test('BCD counts in decimal', () => {
  const w = world();
  w.out(3, 0x35);
  w.out(0, 0x00, 0x10);
  w.clock.advanceTo(w.ticks(1));
  w.out(3, 0x00);
  assert.equal(w.word(0), 0x0999);
});

test('Linux calibrates the TSC with counter 2 in mode 0 through port 0x61', () => {
  const w = world();
  w.port61.write(0, 1, (w.port61.read(0, 1) & ~2) | 1);
  const latch = Math.floor(PIT_FREQUENCY_HZ / (1000 / 50));
  w.out(3, 0xb0);
  w.out(2, latch & 0xff, latch >> 8);
  assert.equal(w.port61.read(0, 1) & 0x20, 0);
  w.clock.advance(49.9e6);
  assert.equal(w.port61.read(0, 1) & 0x20, 0);
  w.clock.advance(0.2e6);
  assert.equal(w.port61.read(0, 1) & 0x20, 0x20);

  w.out(3, 0xb0);
  w.out(2, 0xff, 0xff);
  w.clock.advance(w.ticks(256 * 5 + 10));
  w.pit.read(2, 1);
  assert.equal(w.pit.read(2, 1), 0xff - 5, 'the fast calibration watches the high byte');
});

test('the gate holds mode 0 and restarts mode 3', () => {
  const w = world();
  w.out(3, 0xb0);
  w.out(2, 0x00, 0x10);
  w.clock.advance(1e9);
  assert.equal(w.word(2), 0x1000, 'gate low: it does not count');
  w.port61.write(0, 1, 1);
  w.clock.advance(w.ticks(0x100));
  assert.equal(w.word(2), 0xf00);
  w.port61.write(0, 1, 0);
  w.clock.advance(1e9);
  assert.equal(w.word(2), 0xf00);
  w.port61.write(0, 1, 1);
  w.clock.advance(w.ticks(0xf00) + 1000);
  assert.ok(w.pit.output(2));

  w.out(3, 0xb6);
  w.out(2, 0x00, 0x10);
  w.clock.advance(w.ticks(0x900));
  assert.ok(!w.pit.output(2));
  w.port61.write(0, 1, 0);
  assert.ok(w.pit.output(2));
});

test('an HPET takes the interrupt over', () => {
  const w = world();
  w.out(3, 0x34);
  w.out(0, 0, 1);
  w.pit.setIrqEnabled(false);
  const before = w.edges();
  w.runUntil(1e9);
  assert.equal(w.edges(), before);
  w.pit.setIrqEnabled(true);
  w.runUntil(1.1e9);
  assert.ok(w.edges() > before);
});

test('a tiny divisor does not flood the machine', () => {
  const w = world();
  w.out(3, 0x34);
  w.out(0, 1, 0);
  const before = w.edges();
  w.runUntil(1e8);
  assert.ok(w.edges() - before < 11000);
});

test('refresh toggle moves', () => {
  const w = world();
  const a = w.port61.read(0, 1) & 0x10;
  w.clock.advance(15100);
  assert.notEqual(w.port61.read(0, 1) & 0x10, a);
});

testStateRoundTrip('i8254', () => world().pit);
testStateRoundTrip('port61', () => world().port61);
testHostileInput('i8254', () => {
  const w = world();
  return { device: w.pit, size: 4, maxAccess: 1, timers: w.timers, clock: w.clock };
});
