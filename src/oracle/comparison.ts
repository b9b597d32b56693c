import type { TcgTier } from '../accel/tcg/tcg-vcpu.ts';
import type { FeatureSet } from '../target/x86/features.ts';
import { differences, memoryDifferences } from './describe.ts';
import { forgiveRounding } from './differences.ts';
import { EmulatedCpu } from './emulated-cpu.ts';
import { DATA_SIZE, IMAGE_SIZE } from './image.ts';
import { NativeCpu } from './native-cpu.ts';
import type { OracleCase } from './oracle-case.ts';
import { digest, isOutside, Session } from './session.ts';

/** How many encodings a vCPU runs before it is replaced: see `EmulatedCpu.renew`. */
const RENEW_AFTER = 500;

export interface Mismatch {
  readonly tier: TcgTier;
  readonly input: number;
  /** One line for each field that differs. */
  readonly lines: readonly string[];
}

export interface CaseResult {
  /** Runs that were compared with the host's processor. */
  readonly runs: number;
  readonly mismatches: readonly Mismatch[];
  /** Digest of the processor's final state for each input, 0 where nothing can be compared. */
  readonly digests: readonly number[];
}

/** Runs cases on the host's processor and on tiers of the translator. */
export class Comparison {
  readonly session: Session;
  private readonly native: NativeCpu;
  private readonly tiers: readonly TcgTier[];
  private readonly emulated: readonly EmulatedCpu[];
  private readonly first = { image: new Uint8Array(IMAGE_SIZE), data: new Uint8Array(DATA_SIZE) };
  private readonly want = new Uint8Array(IMAGE_SIZE);
  private count = 0;

  /** Throws where the host cannot be asked. */
  constructor(tiers: readonly TcgTier[], features: FeatureSet) {
    const native = NativeCpu.create();
    if (!native)
      throw new Error('this host cannot run x86-64 code natively (Linux, x86-64 and koffi are needed)');
    this.native = native;
    this.tiers = tiers;
    this.emulated = tiers.map((tier) => new EmulatedCpu(tier, features));
    this.session = new Session([native, ...this.emulated]);
    native.protect();
  }

  /** Runs one case with inputs 0 … inputs-1. */
  run(c: OracleCase, inputs: number): CaseResult {
    if (++this.count % RENEW_AFTER === 0) for (const cpu of this.emulated) cpu.renew();
    this.session.load(c);
    const mismatches: Mismatch[] = [];
    const digests: number[] = [];
    let runs = 0;
    for (let input = 0; input < inputs; input++) {
      this.session.prepare(c, input);
      const value = this.session.isUndefined(c) ? 0 : this.one(c, input, mismatches);
      digests.push(value);
      if (value !== 0) runs++;
    }
    return { runs, mismatches, digests };
  }

  /** The translator first: what it would touch outside the oracle's region is not tried natively. Returns the digest. */
  private one(c: OracleCase, input: number, mismatches: Mismatch[]): number {
    const { session, native, first } = this;
    const one = session.run(this.emulated[0]!, c);
    if (isOutside(one.image)) return 0;
    first.image.set(one.image);
    first.data.set(one.data);
    this.want.set(session.run(native, c).image);
    forgiveRounding(c, first.image, this.want);
    const value = digest({ image: this.want, data: native.data }, session.inputs.data) || 1;
    this.check(this.tiers[0]!, input, first.image, first.data, mismatches);
    for (let t = 1; t < this.tiers.length; t++) {
      const other = session.run(this.emulated[t]!, c);
      this.check(this.tiers[t]!, input, other.image, other.data, mismatches);
    }
    return value;
  }

  private check(tier: TcgTier, input: number, image: Uint8Array, data: Uint8Array, out: Mismatch[]): void {
    if (Buffer.compare(this.want, image) === 0 && Buffer.compare(this.native.data, data) === 0) return;
    const lines = [...differences(this.want, image), ...memoryDifferences(this.native.data, data)];
    out.push({ tier, input, lines });
  }
}
