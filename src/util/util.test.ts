import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as bits from './bits.ts';
import { DisposableStore, toDisposable } from './disposal.ts';
import { AssertionError, assert as check, UserError, unreachable } from './errors.ts';
import { Emitter } from './events.ts';
import { ByteFifo } from './fifo.ts';
import { Doorbell, SharedRing } from './ring.ts';

test('bits', () => {
  assert.equal(bits.truncate(-1, 1), 0xff);
  assert.equal(bits.truncate(-1, 4), 0xffffffff);
  assert.equal(bits.allOnes(2), 0xffff);
  assert.equal(bits.signExtend(0x80, 8), -128);
  assert.equal(bits.bitField(0xdeadbeef, 8, 8), 0xbe);
  assert.equal(bits.bitField(0xdeadbeef, 0, 32), 0xdeadbeef);
  assert.equal(bits.countTrailingZeros(0), 32);
  assert.equal(bits.countTrailingZeros(0x80000000), 31);
  assert.equal(bits.popCount(0xffffffff), 32);
  assert.equal(bits.popCount(0x10101), 3);
  assert.ok(bits.isPowerOfTwo(2 ** 40));
  assert.ok(!bits.isPowerOfTwo(2 ** 40 + 1));
  assert.ok(!bits.isPowerOfTwo(0));
  assert.equal(bits.alignUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
  assert.equal(bits.alignDown(2 ** 40 + 4097, 4096), 2 ** 40 + 4096);
  for (let i = 0; i < 100; i++) assert.equal(bits.fromBcd(bits.toBcd(i)), i);
});

test('errors', () => {
  assert.throws(() => check(false, 'why'), AssertionError);
  assert.throws(() => unreachable(1 as never), AssertionError);
  assert.equal(new UserError('BadSize', 'no').code, 'BadSize');
});

test('fifo keeps order and capacity', () => {
  const fifo = new ByteFifo(3);
  assert.equal(fifo.shift(), -1);
  for (const b of [1, 2, 3]) assert.ok(fifo.push(b));
  assert.ok(!fifo.push(4));
  assert.equal(fifo.shift(), 1);
  assert.ok(fifo.push(5));
  assert.deepEqual([...fifo.toArray()], [2, 3, 5]);
  fifo.assign([9, 8]);
  assert.equal(fifo.peek(1), 8);
  assert.equal(fifo.free, 1);
});

test('emitter and disposal', () => {
  const emitter = new Emitter<number>();
  const seen: number[] = [];
  const sub = emitter.event((n) => seen.push(n));
  emitter.emit(1);
  sub.dispose();
  sub.dispose();
  emitter.emit(2);
  assert.deepEqual(seen, [1]);

  const order: string[] = [];
  const store = new DisposableStore();
  store.add(toDisposable(() => order.push('a')));
  store.add(
    toDisposable(() => {
      throw new Error('boom');
    }),
  );
  store.add(toDisposable(() => order.push('c')));
  assert.throws(() => store.dispose(), /boom/);
  assert.deepEqual(order, ['c', 'a']);
  store.add(toDisposable(() => order.push('late')));
  assert.equal(order.at(-1), 'late');
});

test('ring wraps and never loses bytes', () => {
  const ring = SharedRing.create(8);
  const other = new SharedRing(ring.buffer);
  let produced = 0;
  let consumed = 0;
  const into = new Uint8Array(5);
  for (let round = 0; round < 1000; round++) {
    const chunk = Uint8Array.from({ length: round % 7 }, (_, i) => (produced + i) & 0xff);
    produced += ring.write(chunk);
    if (round % 3 === 0 && ring.writeByte(produced & 0xff)) produced++;
    const n = other.read(into);
    for (let i = 0; i < n; i++) assert.equal(into[i], consumed++ & 0xff);
    const b = other.readByte();
    if (b >= 0) assert.equal(b, consumed++ & 0xff);
  }
  assert.equal(produced - consumed, ring.readable);
  assert.ok(consumed > 1000);
  other.close();
  assert.ok(ring.isClosed);
});

test('doorbell: a ring between read and wait is not lost', () => {
  const bell = new Doorbell();
  const seen = bell.read();
  bell.ring();
  assert.ok(bell.wait(seen, 0));
  assert.ok(!bell.wait(bell.read(), 1));
});
