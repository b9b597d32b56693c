import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Hpet } from './hpet.ts';

function world(routes = 0x00ff0104) {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const edges: number[] = [];
  const count = (n: number, level: boolean): void => {
    if (level) edges.push(n);
  };
  const gsi = IrqLine.array(24, count);
  const legacy: boolean[] = [];
  const hpet = new Hpet(
    {
      gsi,
      routeCapabilities: routes,
      legacyTimerIrq: new IrqLine(count, 100),
      legacyRtcIrq: new IrqLine(count, 108),
      onLegacyChanged: (on) => legacy.push(on),
    },
    timers,
  );
  const advance = (ns: number): void => {
    const end = clock.nowNs() + ns;
    while (timers.nextDeadlineNs() <= end) {
      clock.advanceTo(timers.nextDeadlineNs());
      timers.runExpired();
    }
    clock.advanceTo(end);
  };
  const r = (offset: number): number => hpet.read(offset, 4);
  const w = (offset: number, value: number): void => hpet.write(offset, 4, value);
  return { clock, timers, hpet, gsi, edges, legacy, advance, r, w };
}

test('capabilities and the counter, across 2^32', () => {
  const { r, w, advance } = world();
  assert.equal(r(0), 0x8086a201);
  assert.equal(r(4), 10_000_000);
  w(0xf0, 0xfffffff0);
  w(0xf4, 7);
  advance(1000);
  assert.equal(r(0xf0), 0xfffffff0, 'it stands while disabled');
  w(0x10, 1);
  advance(320);
  assert.equal(r(0xf0), 0x10);
  assert.equal(r(0xf4), 8);
  w(0x10, 0);
  advance(1000);
  assert.equal(r(0xf0), 0x10);
});

test('legacy replacement, periodic as Linux programs it', () => {
  const { r, w, advance, edges, legacy } = world();
  w(0x10, 3);
  assert.deepEqual(legacy, [true]);
  w(0x100, 0x14c);
  const now = r(0xf0);
  w(0x108, now + 100_000);
  w(0x108, 100_000);
  assert.equal(r(0x100) & 0x40, 0);
  advance(10e6 + 100);
  assert.deepEqual(edges, Array(10).fill(100));
  w(0x100, 0x108);
  advance(10e6);
  assert.equal(edges.length, 10);
});

test('one-shot on the legacy RTC line; a match in the past waits for the next turn', () => {
  const { r, w, advance, edges } = world();
  w(0x10, 3);
  w(0x120, 0x104);
  w(0x128, r(0xf0) + 50);
  advance(499);
  assert.deepEqual(edges, []);
  advance(1);
  assert.deepEqual(edges, [108]);
  advance(1e9);
  assert.deepEqual(edges, [108]);
  advance(42.95e9 - 1e9);
  assert.deepEqual(edges, [108, 108], 'a 32-bit timer comes again after a whole turn');
});

test('level-triggered on an I/O APIC input, cleared through the status register', () => {
  const { r, w, advance, gsi } = world();
  w(0x10, 1);
  w(0x140, 0x104 | 2 | (20 << 9));
  w(0x148, r(0xf0) + 100);
  advance(1000);
  assert.ok(gsi[20]!.level);
  assert.equal(r(0x20), 4);
  w(0x20, 4);
  assert.ok(!gsi[20]!.level);
  assert.equal(r(0x20), 0);
});

test('a route that is not allowed leads nowhere', () => {
  const { r, w, advance, edges } = world(1 << 2);
  w(0x10, 1);
  w(0x100, 0x104 | (20 << 9));
  w(0x108, r(0xf0) + 100);
  advance(1e6);
  assert.deepEqual(edges, []);
});

test('missed periods are merged; a tiny period does not flood', () => {
  const { w, clock, timers, edges, advance } = world();
  w(0x10, 3);
  w(0x100, 0x14c);
  w(0x108, 1000);
  w(0x108, 1000);
  clock.advance(1e9);
  timers.runExpired();
  assert.equal(edges.length, 1);
  w(0xf0, 0);
  w(0x100, 0x14c);
  w(0x108, 1);
  w(0x108, 1);
  advance(1e8);
  assert.ok(edges.length < 11000);
});

testStateRoundTrip('hpet', () => world().hpet);
testHostileInput('hpet', () => {
  const { hpet, clock, timers } = world();
  const device = {
    read: (offset: number) => hpet.read(offset & ~3, 4),
    write: (offset: number, _size: number, value: number) => hpet.write(offset & ~3, 4, value),
  };
  return { device, size: 0x400, minAccess: 4, clock, timers };
});
