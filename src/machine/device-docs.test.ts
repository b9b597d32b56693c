import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deviceDocs } from './device-docs.ts';

test('docs/devices.md is what tools/gen-device-docs.mjs writes', () => {
  const text = readFileSync(new URL('../../docs/devices.md', import.meta.url), 'utf8');
  assert.ok(text === deviceDocs(), 'run: node tools/gen-device-docs.mjs');
});
