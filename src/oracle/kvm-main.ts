// The CPU conformance cases under KVM, compared with the same processor running them natively.
//
//     node kvm-main.js [--every N] [--recorded]      one in N cases; --recorded: compared with the recording instead

import { readFileSync } from 'node:fs';
import { loadKvmSystem } from '../host/node/kvm-system.ts';
import { hostProcessor } from './host-features.ts';
import { KvmCpu } from './kvm-cpu.ts';
import { NativeCpu } from './native-cpu.ts';
import { type Recording, unpackRecording } from './recorded.ts';
import { digest, isOutside, Session } from './session.ts';

const args = process.argv.slice(2);
const option = (name: string, otherwise: string): string => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : (args[at + 1] ?? otherwise);
};
const file = option('file', '../../tests/golden/oracle/instructions.br');
const recording = unpackRecording(readFileSync(new URL(file, import.meta.url)));
const native = args.includes('--recorded') ? undefined : NativeCpu.create();
const under = new KvmCpu(loadKvmSystem());
const result = compare(recording, Number(option('every', '1')));
const against =
  native === undefined ? `the recording of ${recording.processor}` : 'the same processor natively';
console.log(`${hostProcessor()} under KVM against ${against}:`);
console.log(`cases ${result.cases}, runs ${result.runs}, mismatches ${result.wrong.length}`);
for (const line of result.wrong.slice(0, 20)) console.log(`  ${line}`);
process.exit(result.wrong.length === 0 && result.runs > 0 ? 0 : 1);

function compare(cases: Recording, every: number): { cases: number; runs: number; wrong: string[] } {
  const session = new Session(native === undefined ? [under] : [under, native]);
  native?.protect();
  native?.limitTime();
  const wrong: string[] = [];
  let count = 0;
  let runs = 0;
  for (let n = 0; n < cases.cases.length; n += every) {
    const c = cases.cases[n]!;
    session.load(c);
    count++;
    for (let input = 0; input < cases.inputs; input++) {
      const recorded = cases.digests[n * cases.inputs + input]!;
      if (recorded === 0) continue;
      session.prepare(c, input);
      if (native !== undefined && session.isUndefined(c)) continue;
      const outcome = session.run(under, c);
      if (native !== undefined && isOutside(outcome.image)) continue;
      const got = digest(outcome, session.inputs.data) || 1;
      const want = native === undefined ? recorded : digest(session.run(native, c), session.inputs.data) || 1;
      runs++;
      if (got !== want) wrong.push(`${c.row}: ${c.bits}-bit ${c.code} input ${input}`);
    }
  }
  return { cases: count, runs, wrong };
}
