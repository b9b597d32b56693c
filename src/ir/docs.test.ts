import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { irDocs } from './docs.ts';

test('docs/ir.md is what tools/gen-ir-docs.mjs writes', () => {
  assert.equal(readFileSync(new URL('../../docs/ir.md', import.meta.url), 'utf8'), irDocs());
});
