import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computeTable, keyOf } from './compute.ts';

test('the table of compute programs has a ratio for each level and both means', () => {
  const ours = new Map([
    [keyOf('memcpy', 'x86-64'), 1],
    [keyOf('memcpy', 'x86-64-v3'), 1],
    [keyOf('qsort', 'x86-64-v3'), 4],
  ]);
  const reference = new Map([
    [keyOf('memcpy', 'x86-64'), 2],
    [keyOf('memcpy', 'x86-64-v3'), 4],
    [keyOf('qsort', 'x86-64-v3'), 1],
  ]);
  const lines = computeTable([ours], [reference]).split('\n');
  assert.equal(lines[2], '| memcpy (vector) | 1.00 s | 2.00 s | 0.50 × | 1.00 s | 4.00 s | 0.25 × |');
  assert.equal(lines[3], '| qsort | – | – | – | 4.00 s | 1.00 s | 4.00 × |');
  assert.match(lines[4]!, /^\| geometric mean .* 0\.50 × .* 1\.00 × \|$/);
  assert.match(lines[5]!, /vector programs .* 0\.50 × .* 0\.25 × \|$/);
});

test('without a reference there are no ratios', () => {
  const lines = computeTable([new Map([[keyOf('aes', 'x86-64'), 1]])], []).split('\n');
  assert.equal(lines[2], '| AES-128 | 1.00 s | – | – | – | – | – |');
});
