import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStore, objectFromText } from './objects.ts';

test('objects: types and properties are checked, ids are unique', () => {
  const store = new ObjectStore();
  const ram = { 'qom-type': 'memory-backend-ram', id: 'ram1' };
  assert.throws(() => store.add(ram), /'size' is missing/);
  assert.throws(() => store.add({ ...ram, size: '1048576' }), /expected: integer/);
  assert.throws(() => store.add({ ...ram, sized: 1 }), /'sized' is unexpected/);
  assert.throws(() => store.add({ id: 'x' }), /'qom-type' is missing/);
  assert.throws(() => store.add({ 'qom-type': 'nothing', id: 'x' }), /does not accept value/);
  store.add({ ...ram, size: 1048576 });
  assert.throws(() => store.add({ ...ram, size: 1048576 }), /duplicate/);
  assert.deepEqual(
    store.all.map(({ id }) => id),
    ['ram1'],
  );
  store.remove('ram1');
  assert.throws(() => store.remove('ram1'), /not found/);
});

test('objects: text has the types of its properties', () => {
  const values = objectFromText({ 'qom-type': 'memory-backend-ram', id: 'm', size: '2M', share: 'on' });
  assert.deepEqual(values, { 'qom-type': 'memory-backend-ram', id: 'm', size: 2 ** 21, share: true });
});
