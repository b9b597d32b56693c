import type { TcgTier } from '../accel/tcg/tcg-vcpu.ts';
import { HF_CS32, HF_CS64, HF_PE } from '../runtime/x86/layout.ts';
import { Disassembler } from '../target/x86/disassembler.ts';
import { buildX86Tables } from '../target/x86/handlers.ts';
import { differences, memoryDifferences, showState } from './describe.ts';
import { forgiveRounding } from './differences.ts';
import { EmulatedCpu } from './emulated-cpu.ts';
import { CASE_AT } from './encoder.ts';
import { allRows, casesOf, whyNot } from './generate.ts';
import { hostFeatures } from './host-features.ts';
import { DATA_SIZE, IMAGE_SIZE } from './image.ts';
import { NativeCpu } from './native-cpu.ts';
import { codeBytes, type OracleCase } from './oracle-case.ts';
import { isComparable, isOutside, Session } from './session.ts';

// Development driver: node dist/oracle/main.js [--filter TEXT] [--inputs N] [--breadth N] [--show N]
const args = process.argv.slice(2);
const option = (name: string, value: string): string => {
  const at = args.indexOf(name);
  return at < 0 ? value : (args[at + 1] ?? value);
};
const filter = option('--filter', '');
const inputs = Number(option('--inputs', '8'));
const breadth = Number(option('--breadth', '1'));
const show = Number(option('--show', '1'));
const tiers = option('--tiers', 'interp,jit').split(',') as TcgTier[];
const host = hostFeatures();
const native = NativeCpu.create();
if (!native) throw new Error('no native processor');
const emulated = tiers.map((tier) => new EmulatedCpu(tier, host));
const session = new Session([native, ...emulated]);
native.protect();
const disassembler = new Disassembler(buildX86Tables(host).table);
const flags = { 32: HF_CS32 | HF_PE, 64: HF_CS64 | HF_CS32 | HF_PE };
const text = (c: OracleCase): string =>
  disassembler.disassemble(codeBytes(c.code), BigInt(CASE_AT) as never, flags[c.bits] as never).text;
const first = { image: new Uint8Array(IMAGE_SIZE), data: new Uint8Array(DATA_SIZE) };
let cases = 0;
let runs = 0;
let outside = 0;
const bad = new Map<string, number>();
for (const labelled of allRows()) {
  if (!labelled.label.includes(filter)) continue;
  if (whyNot(labelled, host) !== undefined) continue;
  let shown = 0;
  for (const c of casesOf(labelled, { host, breadth })) {
    if (!isComparable(c)) continue;
    cases++;
    if (cases % 500 === 0) for (const cpu of emulated) cpu.renew();
    session.load(c);
    for (let n = 0; n < inputs; n++) {
      session.prepare(c, n);
      if (session.isUndefined(c)) continue;
      const one = session.run(emulated[0]!, c);
      if (isOutside(one.image)) {
        outside++;
        continue;
      }
      first.image.set(one.image);
      first.data.set(one.data);
      const want = session.run(native, c);
      runs++;
      const report = (tier: string, image: Uint8Array, data: Uint8Array, wantImage: Uint8Array): void => {
        forgiveRounding(c, wantImage, image);
        const diff = [...differences(wantImage, image), ...memoryDifferences(native.data, data)];
        if (diff.length === 0) return;
        bad.set(labelled.label, (bad.get(labelled.label) ?? 0) + 1);
        if (shown++ >= show) return;
        console.log(`${labelled.label} | ${c.bits} ${c.code} | ${text(c)} | ${tier} input ${n}`);
        for (const line of diff) console.log('   ', line);
        if (args.includes('--state')) console.log('    ', showState(session.inputs.image).join(' '));
      };
      const wantImage = Uint8Array.from(want.image);
      report(tiers[0]!, first.image, first.data, wantImage);
      for (let t = 1; t < tiers.length; t++) {
        const other = session.run(emulated[t]!, c);
        report(tiers[t]!, other.image, other.data, wantImage);
      }
    }
  }
}
console.log(`${cases} cases, ${runs} runs, ${outside} outside, ${bad.size} rows with mismatches`);
for (const [label, n] of bad) console.log(`  ${n}\t${label}`);
