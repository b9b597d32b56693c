import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, OffsetWallClock, VirtualClock } from './clock.ts';
import { IrqLine, OrGate } from './irq.ts';
import { ResetRegistry } from './reset.ts';
import { TimerQueue } from './timer.ts';
import { randomSource } from './vmstate-roundtrip.cases.ts';

test('timers fire in order of deadline, then of arming', () => {
  const clock = new ManualClock();
  const queue = new TimerQueue(clock);
  const next = randomSource(7);
  const fired: number[] = [];
  const timers = Array.from({ length: 200 }, (_, i) => queue.create(() => fired.push(i)));
  for (let round = 0; round < 2000; round++) {
    const timer = timers[Math.floor(next() * timers.length)]!;
    if (next() < 0.3) timer.cancel();
    else timer.arm(Math.floor(next() * 50));
  }
  const armed = timers
    .map((t, i) => [t.deadlineNs, i] as const)
    .filter(([t]) => t < Number.POSITIVE_INFINITY);
  assert.equal(queue.nextDeadlineNs(), Math.min(...armed.map(([t]) => t)));
  clock.advanceTo(100);
  assert.equal(queue.runExpired(), armed.length);
  const at = new Map(armed.map(([t, i]) => [i, t]));
  for (let i = 1; i < fired.length; i++) assert.ok(at.get(fired[i - 1]!)! <= at.get(fired[i]!)!);
  assert.equal(queue.nextDeadlineNs(), Number.POSITIVE_INFINITY);
});

test('periodic and wild timers', () => {
  const clock = new ManualClock();
  const queue = new TimerQueue(clock);
  let ticks = 0;
  const periodic = queue.create(() => {
    ticks++;
    periodic.arm(clock.nowNs() + 10);
  });
  periodic.arm(10);
  for (let i = 0; i < 5; i++) {
    clock.advance(10);
    queue.runExpired();
  }
  assert.equal(ticks, 5);
  const wild = queue.create(() => wild.arm(0));
  wild.arm(0);
  assert.ok(queue.runExpired() <= 1001);
});

test('an earlier deadline is announced', () => {
  const clock = new ManualClock();
  const queue = new TimerQueue(clock);
  const seen: number[] = [];
  queue.onEarlierDeadline = (ns) => seen.push(ns);
  const a = queue.create(() => {});
  const b = queue.create(() => {});
  a.arm(100);
  b.arm(200);
  b.arm(50);
  b.arm(Number.POSITIVE_INFINITY);
  assert.ok(!b.isArmed);
  assert.deepEqual(seen, [100, 50]);
});

test('the virtual clock stands while stopped', () => {
  const host = new ManualClock(1000);
  const clock = new VirtualClock(host);
  host.advance(5);
  assert.equal(clock.nowNs(), 0);
  clock.start();
  host.advance(7);
  assert.equal(clock.nowNs(), 7);
  clock.stop();
  host.advance(100);
  assert.equal(clock.nowNs(), 7);
  clock.set(1e9);
  clock.start();
  host.advance(1);
  assert.equal(clock.nowNs(), 1e9 + 1);
  const wall = new OffsetWallClock(clock, 5000);
  host.advance(2e6);
  assert.equal(wall.nowMs(), 5002);
});

test('lines, gates, reset order', () => {
  const seen: Array<[number, boolean]> = [];
  const lines = IrqLine.array(2, (n, level) => seen.push([n, level]));
  lines[1]!.pulse();
  IrqLine.fanOut(...lines).raise();
  assert.deepEqual(seen, [
    [1, true],
    [1, false],
    [0, true],
    [1, true],
  ]);
  const out = new IrqLine(() => {});
  const gate = new OrGate(2, out);
  gate.inputs[0]!.raise();
  gate.inputs[1]!.raise();
  gate.inputs[0]!.lower();
  assert.ok(out.level);
  gate.inputs[1]!.lower();
  assert.ok(!out.level);
  const order: number[] = [];
  const registry = new ResetRegistry();
  registry.register({ reset: () => order.push(1) });
  const sub = registry.register({ reset: () => order.push(2) });
  registry.register({ reset: () => order.push(3) });
  sub.dispose();
  registry.reset();
  assert.deepEqual(order, [1, 3]);
});
