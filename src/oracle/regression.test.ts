// Sequences that the fuzzer once found to differ from a real processor.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { X86_FEATURES } from '../target/x86/features.ts';
import { EmulatedCpu } from './emulated-cpu.ts';
import { CODE, IMAGE_SIZE } from './image.ts';
import { type Regression, unpackRegression } from './regression.ts';
import { normaliseSequence } from './sequence-state.ts';
import { digest } from './session.ts';

const FOLDER = new URL('../../tests/golden/oracle/regressions/', import.meta.url);
const names = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.json')) : [];

function run(cpu: EmulatedCpu, r: Regression): number {
  const base = CODE + r.offset;
  cpu.load(r.code, base, r.bits);
  cpu.input.set(r.input.image);
  cpu.data.set(r.input.data);
  cpu.run();
  const image = new Uint8Array(IMAGE_SIZE);
  image.set(cpu.output);
  normaliseSequence(image, r.bits, base, r.offsets, r.undefinedFlags);
  return digest({ image, data: cpu.data }, r.input.data);
}

for (const tier of ['interp', 'jit'] as const) {
  test(`${tier}: sequences that once differed`, () => {
    const cpu = new EmulatedCpu(tier, new Set(X86_FEATURES));
    for (const name of names) {
      const r = unpackRegression(readFileSync(new URL(name, FOLDER), 'utf8'));
      assert.equal(run(cpu, r), r.digest, `${name}: ${r.text}`);
    }
  });
}
