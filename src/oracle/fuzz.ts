import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TcgTier } from '../accel/tcg/tcg-vcpu.ts';
import type { FeatureSet } from '../target/x86/features.ts';
import { differences, memoryDifferences } from './describe.ts';
import { EmulatedCpu } from './emulated-cpu.ts';
import { fuzzInput } from './fuzz-input.ts';
import { type Assembled, assembleItems, without } from './fuzz-items.ts';
import { generateProgram, Pool, type Program, undefinedBefore } from './fuzz-program.ts';
import { hostFeatures, hostProcessor } from './host-features.ts';
import { CaseText } from './host-run.ts';
import { CODE, DATA_SIZE, I_RIP, I_VECTOR, IMAGE_SIZE, type OracleCpu, VECTOR_TIMEOUT } from './image.ts';
import { NativeCpu } from './native-cpu.ts';
import { hexOf } from './oracle-case.ts';
import { Random } from './random.ts';
import { packRegression } from './regression.ts';
import { normaliseSequence } from './sequence-state.ts';
import { packSequences, type RecordedSequence } from './sequences.ts';
import { digest, isOutside } from './session.ts';

const INPUTS = 3;
const RENEW_AFTER = 150;
const RECORDING = new URL('../../tests/golden/oracle/sequences.br', import.meta.url);
const REGRESSIONS = new URL('../../tests/golden/oracle/regressions/', import.meta.url);

interface Failure {
  readonly tier: string;
  readonly input: number;
  readonly lines: readonly string[];
  readonly digest: number;
}

export interface FuzzResult {
  sequences: number;
  instructions: number;
  discarded: number;
  failures: number;
}

interface State {
  readonly image: Uint8Array;
  readonly data: Uint8Array;
  readonly code: Uint8Array;
}

/** Random programs on the host's processor, the interpreter and the compiler. */
export class Fuzzer {
  readonly result: FuzzResult = { sequences: 0, instructions: 0, discarded: 0, failures: 0 };
  private readonly native: NativeCpu;
  private readonly tiers: readonly TcgTier[] = ['interp', 'jit'];
  private readonly emulated: readonly EmulatedCpu[];
  private readonly pool: Pool;
  private readonly text = new CaseText();
  private readonly log: (line: string) => void;
  private runs = 0;

  constructor(features: FeatureSet, log: (line: string) => void) {
    const native = NativeCpu.create();
    if (!native)
      throw new Error('this host cannot run x86-64 code natively (Linux, x86-64 and koffi are needed)');
    this.native = native;
    this.log = log;
    this.emulated = this.tiers.map((tier) => new EmulatedCpu(tier, features));
    native.limitTime();
    for (const cpu of this.emulated) cpu.limitTime();
    this.pool = new Pool(features);
    log(`${this.pool.size} encodings to choose from`);
  }

  /** The program of one seed. */
  step(seed: number): void {
    const program = generateProgram(this.pool, new Random(seed));
    if (program.items.length === 0) return;
    this.result.sequences++;
    this.result.instructions += program.items.length;
    const failure = this.try(program, seed);
    if (failure) this.fail(program, seed);
  }

  /** The first difference between the tiers and the processor, if any. */
  private try(program: Program, seed: number): Failure | undefined {
    if (++this.runs % RENEW_AFTER === 0) for (const cpu of this.emulated) cpu.renew();
    const { code } = assembleProgram(program);
    for (let input = 0; input < INPUTS; input++) {
      const failure = this.one(program, code, seed, input);
      if (failure) return failure;
    }
    return undefined;
  }

  private one(program: Program, code: Uint8Array, seed: number, input: number): Failure | undefined {
    const start = fuzzInput(program, seed, input);
    const first = this.runOn(this.emulated[0]!, program, code, start);
    if (isOutside(first.image) || leftCanonical(first.image)) {
      this.result.discarded++;
      return undefined;
    }
    const want = this.runOn(this.native, program, code, start);
    if (isEndless(want.image) && isEndless(first.image)) {
      this.result.discarded++;
      return undefined;
    }
    for (let t = 0; t < this.tiers.length; t++) {
      const got = t === 0 ? first : this.runOn(this.emulated[t]!, program, code, start);
      if (same(want, got)) continue;
      const lines = [...differences(want.image, got.image), ...memoryDifferences(want.data, got.data)];
      if (Buffer.compare(want.code, got.code) !== 0) lines.push('code pages differ');
      if (lines.length > 0) return { tier: this.tiers[t]!, input, lines, digest: digest(want, start.data) };
    }
    return undefined;
  }

  private runOn(
    cpu: OracleCpu,
    program: Program,
    code: Uint8Array,
    start: { image: Uint8Array; data: Uint8Array },
  ): State {
    cpu.load(code, CODE + program.offset, program.bits);
    cpu.input.set(start.image);
    cpu.data.set(start.data);
    cpu.run();
    const image = new Uint8Array(IMAGE_SIZE);
    const data = new Uint8Array(DATA_SIZE);
    image.set(cpu.output);
    data.set(cpu.data);
    normaliseFuzz(image, program);
    return { image, data, code: cpu.code.slice(program.offset, program.offset + code.length) };
  }

  // ---- recording

  /** Keeps what the processor made of `count` programs. */
  record(count: number): void {
    const sequences: RecordedSequence[] = [];
    for (let seed = 1; sequences.length < count; seed++) {
      const program = generateProgram(this.pool, new Random(seed));
      if (program.items.length === 0) continue;
      const s = this.recordOne(program, seed);
      if (s.digests.some((d) => d !== 0)) sequences.push(s);
    }
    const packed = packSequences({ processor: hostProcessor(), features: [...hostFeatures()], sequences });
    writeFileSync(RECORDING, packed);
    this.log(`${fileURLToPath(RECORDING)}: ${packed.length} bytes`);
  }

  private recordOne(program: Program, seed: number): RecordedSequence {
    const { code, offsets } = assembleProgram(program);
    const digests: number[] = [];
    for (let input = 0; input < INPUTS; input++) {
      const start = fuzzInput(program, seed, input);
      const first = this.runOn(this.emulated[0]!, program, code, start);
      const skip = isOutside(first.image) || leftCanonical(first.image) || isEndless(first.image);
      digests.push(skip ? 0 : digest(this.runOn(this.native, program, code, start), start.data) || 1);
    }
    const { bits, offset, items } = program;
    return {
      bits,
      offset,
      code: hexOf(code),
      offsets,
      undefinedFlags: undefinedBefore(items),
      seed,
      digests,
    };
  }

  // ---- failures

  /** Removes what is not needed for the failure, prints a ready test and keeps it. */
  private fail(program: Program, seed: number): void {
    this.result.failures++;
    let small = program;
    for (let n = small.items.length - 1; n >= 0; n--) {
      const less = { ...small, items: without(small.items, n) };
      if (less.items.length > 0 && less.items.length < small.items.length && this.try(less, seed)) {
        small = less;
        n = Math.min(n, small.items.length);
      }
    }
    const failure = this.try(small, seed);
    if (!failure) return this.log(`seed ${seed}: fails, but not when repeated`);
    const { code } = assembleProgram(small);
    this.log(
      `seed ${seed}: ${failure.tier} input ${failure.input}, ${small.bits}-bit code at +0x${small.offset.toString(16)}`,
    );
    this.log(`    ${this.text.of({ code: hexOf(code), bits: small.bits })}`);
    for (const line of failure.lines) this.log(`    ${line}`);
    this.keep(small, seed, failure, code);
  }

  private keep(program: Program, seed: number, failure: Failure, code: Uint8Array): void {
    mkdirSync(fileURLToPath(REGRESSIONS), { recursive: true });
    const name = `${program.bits}-${hexOf(code).slice(0, 24)}-${seed}.json`;
    const text = packRegression({
      text: this.text.of({ code: hexOf(code), bits: program.bits }),
      bits: program.bits,
      offset: program.offset,
      code,
      undefinedFlags: undefinedBefore(program.items),
      offsets: assembleProgram(program).offsets,
      input: fuzzInput(program, seed, failure.input),
      digest: failure.digest,
    });
    writeFileSync(new URL(name, REGRESSIONS), text);
    this.log(`    kept as tests/golden/oracle/regressions/${name}`);
  }
}

const assembleProgram = ({ items, bits, offset }: Program): Assembled =>
  assembleItems(items, bits, CODE + offset);

const vectorOf = (image: Uint8Array): number => new DataView(image.buffer).getUint32(I_VECTOR, true);

const isEndless = (image: Uint8Array): boolean => vectorOf(image) === VECTOR_TIMEOUT;

/** A branch to a non-canonical address was reported at its target. */
function leftCanonical(image: Uint8Array): boolean {
  const rip = new DataView(image.buffer).getBigInt64(I_RIP, true);
  return vectorOf(image) === 13 && BigInt.asIntN(48, rip) !== rip;
}

function same(a: State, b: State): boolean {
  return (
    Buffer.compare(a.image, b.image) === 0 &&
    Buffer.compare(a.data, b.data) === 0 &&
    Buffer.compare(a.code, b.code) === 0
  );
}

/** Clears what is not compared: flags undefined where the program ended, x87 condition codes. */
function normaliseFuzz(image: Uint8Array, program: Program): void {
  const { offsets } = assembleProgram(program);
  normaliseSequence(image, program.bits, CODE + program.offset, offsets, undefinedBefore(program.items));
}
