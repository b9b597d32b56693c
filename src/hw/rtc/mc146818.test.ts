import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, OffsetWallClock } from '../../core/clock.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Mc146818 } from './mc146818.ts';
import { nextAlarm } from './rtc-time.ts';

const START = Date.UTC(2024, 1, 29, 23, 59, 58);

function world(startMs = START) {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const irq = IrqLine.unconnected();
  const rtc = new Mc146818(irq, new OffsetWallClock(clock, startMs), timers);
  const get = (index: number): number => {
    rtc.write(0, 1, index);
    return rtc.read(1, 1);
  };
  const set = (index: number, value: number): void => {
    rtc.write(0, 1, index);
    rtc.write(1, 1, value);
  };
  const time = (): number[] => [9, 8, 7, 4, 2, 0].map(get);
  const advance = (ns: number): void => {
    const end = clock.nowNs() + ns;
    while (timers.nextDeadlineNs() <= end) {
      clock.advanceTo(timers.nextDeadlineNs());
      timers.runExpired();
    }
    clock.advanceTo(end);
  };
  return { rtc, irq, clock, timers, get, set, time, advance };
}

test('time in BCD, over the end of a leap-year February', () => {
  const { get, time, advance } = world();
  assert.deepEqual(time(), [0x24, 0x02, 0x29, 0x23, 0x59, 0x58]);
  assert.equal(get(0x32), 0x20);
  assert.equal(get(6), 5, 'Thursday');
  assert.equal(get(13), 0x80);
  advance(2e9);
  assert.deepEqual(time(), [0x24, 0x03, 0x01, 0, 0, 0]);
});

test('binary and 12-hour forms', () => {
  const { set, get } = world();
  set(11, 6);
  assert.equal(get(4), 23);
  set(11, 4);
  assert.equal(get(4), 0x80 | 11);
  set(11, 0);
  assert.equal(get(4), 0x91);
});

test('setting: SET holds the time, then it goes on from there', () => {
  const { set, get, time, advance } = world();
  set(11, 0x82);
  advance(5e9);
  assert.equal(get(0), 0x58);
  for (const [i, v] of [0x99, 0x12, 0x31, 0x12, 0x34, 0x56].entries()) set([9, 8, 7, 4, 2, 0][i]!, v);
  set(0x32, 0x19);
  set(11, 0x02);
  assert.deepEqual(time(), [0x99, 0x12, 0x31, 0x12, 0x34, 0x56]);
  advance(4e9);
  assert.equal(get(2), 0x35);
  assert.equal(get(0), 0x00);
  assert.equal(get(0x32), 0x19);
  set(4, 0x07);
  assert.equal(get(4), 0x07, 'a byte can be set while it runs');
});

test('update in progress: 244 µs before each second', () => {
  const { get, advance } = world();
  assert.equal(get(10), 0x26);
  advance(1e9 - 200e3);
  assert.equal(get(10), 0xa6);
  advance(200e3);
  assert.equal(get(10), 0x26);
});

test('update-ended interrupt; C is cleared by reading', () => {
  const { set, get, advance, irq } = world();
  get(12);
  set(11, 0x12);
  advance(0.5e9);
  assert.ok(!irq.level);
  advance(0.6e9);
  assert.ok(irq.level);
  assert.equal(get(12) & 0xb0, 0x90);
  assert.ok(!irq.level);
  assert.equal(get(12), 0);
  advance(1e9);
  assert.ok(irq.level);
});

test('flags without interrupts are seen by polling', () => {
  const { get, advance, timers } = world();
  get(12);
  assert.equal(timers.nextDeadlineNs(), Number.POSITIVE_INFINITY);
  advance(1.1e9);
  assert.equal(get(12) & 0x10, 0x10);
});

test('alarm, with wild cards', () => {
  const { set, get, advance, irq } = world();
  set(5, 0x00);
  set(3, 0x00);
  set(1, 0x05);
  get(12);
  set(11, 0x22);
  advance(6.5e9);
  assert.ok(!irq.level);
  advance(1e9);
  assert.ok(irq.level);
  assert.equal(get(12) & 0x20, 0x20);
  set(5, 0xff);
  set(3, 0xff);
  set(1, 0xff);
  advance(1.1e9);
  assert.equal(get(12) & 0x20, 0x20);
  const never = new Uint8Array(128).fill(0xbb);
  assert.equal(nextAlarm(0, never, 2), Number.POSITIVE_INFINITY);
});

test('periodic interrupt at 1024 Hz', () => {
  const { set, get, advance, irq } = world();
  set(11, 0x42);
  let count = 0;
  for (let i = 0; i < 2000; i++) {
    advance(500e3);
    if (!irq.level) continue;
    assert.equal(get(12) & 0xc0, 0xc0);
    count++;
  }
  assert.ok(Math.abs(count - 1000) < 30, `${count}`);
});

test('reset keeps time and RAM, clears enables and flags', () => {
  const { rtc, set, get, advance, irq } = world();
  set(0x20, 0x77);
  set(11, 0x12);
  advance(1.1e9);
  assert.ok(irq.level);
  rtc.reset();
  assert.ok(!irq.level);
  assert.equal(get(11), 2);
  assert.equal(get(0x20), 0x77);
  assert.equal(get(0), 0x59);
  rtc.poke(0x15, 0x80);
  assert.equal(get(0x15), 0x80);
  assert.equal(rtc.peek(0x15), 0x80);
});

test('update in progress is exact to the nanosecond', () => {
  const { set, get, advance } = world();
  const hold = Math.floor(8e9 / 32768);
  set(10, 0x76);
  set(0, 0x10);
  set(10, 0x26);
  advance(0.5e9 - hold - 1);
  assert.equal(get(10) & 0x80, 0);
  advance(1);
  assert.equal(get(10) & 0x80, 0x80);
  assert.equal(get(0), 0x10);
  advance(hold);
  assert.equal(get(10) & 0x80, 0);
  assert.equal(get(0), 0x11);
});

test('a new periodic rate counts on from the last period', () => {
  const { set, get, advance, irq } = world();
  set(10, 0x2d);
  set(11, 0x42);
  advance(0.125e9);
  assert.ok(irq.level);
  get(12);
  set(10, 0x2f);
  advance(0.5e9 - 1);
  assert.ok(!irq.level);
  advance(1);
  assert.ok(irq.level);
});

testStateRoundTrip('mc146818', () => world().rtc);
testHostileInput('mc146818', () => {
  const { rtc, timers, clock } = world();
  return { device: rtc, size: 2, maxAccess: 1, timers, clock };
});
