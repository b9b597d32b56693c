// Random programs against what a real processor made of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { X86Feature } from '../target/x86/features.ts';
import { EmulatedCpu } from './emulated-cpu.ts';
import { runSequence, unpackSequences } from './sequences.ts';

const recording = unpackSequences(
  readFileSync(new URL('../../tests/golden/oracle/sequences.br', import.meta.url)),
);
/** The compiler runs a part of them. */
const EVERY = { interp: 1, jit: 5 } as const;
const RENEW_AFTER = 150;

for (const tier of ['interp', 'jit'] as const) {
  test(`${tier}: random programs end as on ${recording.processor}`, () => {
    const cpu = new EmulatedCpu(tier, new Set(recording.features as X86Feature[]));
    const wrong: string[] = [];
    recording.sequences.forEach((s, n) => {
      if (n % EVERY[tier] !== 0) return;
      if (n % RENEW_AFTER === 0) cpu.renew();
      s.digests.forEach((want, input) => {
        if (want !== 0 && runSequence(cpu, s, input) !== want)
          wrong.push(`${s.bits}-bit ${s.code} input ${input}`);
      });
    });
    assert.deepEqual(wrong.slice(0, 20), []);
    assert.ok(recording.sequences.length > 100);
  });
}
