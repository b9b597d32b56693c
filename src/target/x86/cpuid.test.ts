import assert from 'node:assert/strict';
import { it } from 'node:test';
import { VCPU_BASE } from '../../runtime/tcg/layout.ts';
import { CPUID_TABLE_ENTRIES, FEATURES, RAX, RBX, RCX, RDX } from '../../runtime/x86/layout.ts';
import { Testbed } from '../../runtime/x86/testbed.cases.ts';
import { UserError } from '../../util/errors.ts';
import { cpuModelNames, parseCpu } from './cpu-models.ts';
import { cpuidRows, installCpu, signature } from './cpuid.ts';
import { encodingFeatures } from './features.ts';

const ONE = { apicId: 0, cpus: 1 };

it('fits every model into the table', () => {
  for (const name of cpuModelNames())
    assert.ok(cpuidRows(parseCpu(name), { apicId: 0, cpus: 8 }).length <= CPUID_TABLE_ENTRIES);
});

it('gives the runtime what CPUID and MSRs need', () => {
  const bed = new Testbed();
  const model = parseCpu('qemu64,+sse4.2,+ssse3,+sse4_1,-x2apic');
  installCpu(bed.view, VCPU_BASE, model, ONE);
  bed.call('cpu_reset');
  assert.equal(bed.get(RDX), BigInt(signature(model)));
  const cpuid = (leaf: number, subleaf = 0): number[] => {
    bed.set(RAX, leaf >>> 0);
    bed.set(RCX, subleaf);
    bed.call('cpuid');
    return [RAX, RBX, RCX, RDX].map((r) => Number(bed.get(r)));
  };
  const text = (...words: number[]): string =>
    String.fromCharCode(...words.flatMap((w) => [w & 255, (w >> 8) & 255, (w >> 16) & 255, w >>> 24]));
  const [level, b, c, d] = cpuid(0);
  assert.equal(level, 0xd);
  assert.equal(text(b!, d!, c!), 'AuthenticAMD');
  assert.equal(cpuid(1)[0], 0x0006_0fb1);
  assert.equal((cpuid(1)[2]! >>> 20) & 3, 1, 'SSE4.2 without x2APIC');
  assert.equal(text(...cpuid(0x4000_0000).slice(1)), 'LyreLyreLyre');
  assert.equal(cpuid(0x8000_0001)[3]! & 0x2010_0800, 0x2010_0800, 'LM, NX, SYSCALL');
  assert.equal(cpuid(0x8000_0008)[0], 0x3028);
  assert.deepEqual(cpuid(0x1234), [0, 0, 0, 0]);
  bed.tsc = 1000;
  bed.call('wrmsr', 0x10n, 5000n);
  assert.equal(bed.call('rdtsc'), 5000n);
  assert.equal(bed.call('rdmsr', 0x3bn), 4000n, 'TSC_ADJUST follows');
  bed.call('wrmsr', 0x277n, 2n);
  assert.equal(bed.fault(), '13:0');
  bed.call('rdmsr', 0xbadn);
  assert.equal(bed.fault(), '13:0');
  bed.call('wrmsr', 0xc000_0082n, 0x8000_0000_0000n);
  assert.equal(bed.fault(), '13:0', 'not canonical');
  assert.notEqual(bed.get(FEATURES), 0n);
});

it('knows model and feature names', () => {
  assert.ok(parseCpu('max').features.has('smap'));
  assert.ok(!parseCpu('max,-smap').features.has('smap'));
  assert.ok(parseCpu('max,smap=off,pcid=on').features.has('pcid'));
  assert.ok(!parseCpu('qemu64', false).features.has('syscall'));
  assert.ok(!parseCpu('max,-sse2').features.has('sse4.2'), 'dropped with what it needs');
  assert.throws(
    () => parseCpu('pentium9'),
    (e: unknown) => e instanceof UserError && e.code === 'cpu-model',
  );
  assert.throws(
    () => parseCpu('qemu64,+avx512'),
    (e: unknown) => e instanceof UserError && e.code === 'cpu-feature',
  );
  assert.throws(
    () => parseCpu('qemu64,family=x'),
    (e: unknown) => e instanceof UserError && e.code === 'cpu-property',
  );
  assert.ok(encodingFeatures(parseCpu('Nehalem').features).has('sse4_2'));
  assert.ok(!encodingFeatures(parseCpu('qemu64').features).has('popcnt'));
});

it('models have versions, aliases and the signature of the processor', () => {
  const haswell = parseCpu('Haswell-noTSX');
  assert.equal(signature(haswell), 0x0003_06c1);
  assert.deepEqual(haswell, parseCpu('Haswell-v2'));
  assert.ok(haswell.features.has('bmi2') && haswell.features.has('movbe'));
  assert.equal(parseCpu('EPYC').vendor, 'AuthenticAMD');
  assert.equal(parseCpu('EPYC,family=6,model=0x3a,stepping=9,model-id=Mine').brand, 'Mine');
  assert.ok(parseCpu('x86-64-v2').features.has('sse4.2'));
  assert.ok(!parseCpu('x86-64-v2').features.has('bmi1'));
  assert.ok(parseCpu('x86-64-v3').features.has('bmi1'));
});

it('names what a model has and is not implemented', () => {
  assert.deepEqual(
    [...parseCpu('Haswell').missing].filter((f) => f === 'hle' || f === 'rtm'),
    ['hle', 'rtm'],
  );
  assert.deepEqual(parseCpu('qemu64').missing, []);
  assert.deepEqual(parseCpu('max').missing, []);
  assert.deepEqual(parseCpu('qemu64,+hle').missing, ['hle']);
  assert.deepEqual(parseCpu('qemu64,+hle,check=off').missing, []);
  assert.deepEqual(parseCpu('qemu64,+hle,-hle').missing, []);
  assert.ok(!parseCpu('qemu64,+hle').features.has('hle'));
  assert.throws(
    () => parseCpu('qemu64,+hle,enforce'),
    (e: unknown) => e instanceof UserError && e.code === 'cpu-enforce',
  );
});
