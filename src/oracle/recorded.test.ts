// The translator against recorded behaviour of a real processor. On an x86-64 Linux host "npm run oracle" shows in detail what differs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EmulatedCpu } from './emulated-cpu.ts';
import { unpackRecording } from './recorded.ts';
import { digest, Session } from './session.ts';

const recording = unpackRecording(
  readFileSync(new URL('../../tests/golden/oracle/instructions.br', import.meta.url)),
);
/** Compiling a region costs more than interpreting an instruction: the compiler runs a part of the cases. */
const EVERY = { interp: 1, jit: 12 } as const;
const RENEW_AFTER = 400;

for (const tier of ['interp', 'jit'] as const) {
  test(`${tier}: instructions do what ${recording.processor} does`, () => {
    const cpu = new EmulatedCpu(tier, recording.features);
    const session = new Session([cpu]);
    const wrong: string[] = [];
    let count = 0;
    recording.cases.forEach((c, n) => {
      if (n % EVERY[tier] !== 0) return;
      if (++count % RENEW_AFTER === 0) cpu.renew();
      session.load(c);
      for (let input = 0; input < recording.inputs; input++) {
        const want = recording.digests[n * recording.inputs + input]!;
        if (want === 0) continue;
        session.prepare(c, input);
        const got = digest(session.run(cpu, c), session.inputs.data) || 1;
        if (got !== want) wrong.push(`${c.row}: ${c.bits}-bit ${c.code} input ${input}`);
      }
    });
    assert.deepEqual(wrong.slice(0, 50), []);
    assert.ok(count > 500);
  });
}
