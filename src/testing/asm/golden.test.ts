// Every form of every instruction in the table against the bytes NASM made of it, recorded in tests/golden/asm by
// tools/update-asm-golden.mjs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { assemble } from './x86.ts';

function encoded(source: string, bits: 16 | 32 | 64): string {
  try {
    return Buffer.from(assemble(source, { bits })).toString('hex');
  } catch (error) {
    return String(error);
  }
}

for (const bits of [16, 32, 64] as const) {
  test(`${bits}-bit forms give NASM's bytes`, () => {
    const golden = readFileSync(new URL(`../../../tests/golden/asm/${bits}.txt`, import.meta.url), 'utf8');
    const forms = golden
      .trim()
      .split('\n')
      .map((row) => row.split('\t') as [string, string]);
    assert.ok(forms.length > 1900);
    const wrong = forms
      .map(([want, source]) => ({ source, want, got: encoded(source, bits) }))
      .filter(({ want, got }) => want !== got);
    assert.deepEqual(wrong, []);
  });
}
