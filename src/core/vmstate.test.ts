import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from './vmstate.ts';
import { decodeState, encodeState } from './vmstate-codec.ts';
import { testStateRoundTrip } from './vmstate-roundtrip.cases.ts';

const schema = v.defineState('example', 2, {
  a: v.u8(1),
  b: v.u16(2),
  c: v.u32(3),
  d: v.u64(4n),
  e: v.bool(true),
  deadlineNs: v.num(Number.POSITIVE_INFINITY),
  signed: v.i32(-1),
  index: v.below(4, 2),
  buffer: v.bytes(4, 0xff),
  queue: v.byteList(8),
  table: v.words(3, 7),
  list: v.array(2, v.struct({ x: v.u8(), y: v.bool() })),
  late: v.since(2, v.u8(9)),
});

testStateRoundTrip('example', () => ({
  vmstate: v.stateful({ ...schema, fields: schema.fields }, schema.create()),
}));

test('create and reset give the declared values', () => {
  const state = schema.create();
  state.a = 200;
  state.buffer[0] = 0;
  state.list[1]!.x = 5;
  schema.reset(state);
  assert.deepEqual(state, schema.create());
  assert.equal(state.deadlineNs, Number.POSITIVE_INFINITY);
});

test('an older snapshot leaves later fields at their reset value', () => {
  const saved = schema.save(schema.create());
  const { late: _, ...fields } = saved.fields;
  const state = schema.create();
  state.late = 1;
  schema.load(state, { ...saved, version: 1, fields });
  assert.equal(state.late, 9);
  assert.throws(() => schema.load(state, { ...saved, fields }), /field late is missing/);
});

test('hostile snapshots are refused', () => {
  const saved = schema.save(schema.create());
  const bad: Array<[string, v.Saved]> = [
    ['a', 256],
    ['a', -1],
    ['a', 1.5],
    ['b', 'x'],
    ['d', 1],
    ['e', 1],
    ['deadlineNs', Number.NaN],
    ['index', 4],
    ['buffer', new Uint8Array(5)],
    ['queue', new Uint8Array(9)],
    ['table', [1, 2]],
    ['list', [{ x: 1, y: true }, { x: 1 }]],
  ];
  for (const [name, value] of bad) {
    const fields = { ...saved.fields, [name]: value };
    assert.throws(
      () => schema.load(schema.create(), { ...saved, fields }),
      { code: 'SnapshotMismatch' },
      name,
    );
  }
});

test('damaged bytes are refused, never crash', () => {
  const bytes = encodeState(schema.save(schema.create()));
  for (let i = 0; i < bytes.length; i++) {
    const cut = bytes.slice(0, i);
    assert.throws(() => decodeState(cut), { code: 'SnapshotCorrupt' });
    const flipped = bytes.slice();
    flipped[i]! ^= 0x41;
    try {
      decodeState(flipped);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'SnapshotCorrupt');
    }
  }
});
