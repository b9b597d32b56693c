import { mkdirSync, writeFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TcgTier } from '../accel/tcg/tcg-vcpu.ts';
import { HF_CS32, HF_CS64, HF_PE } from '../runtime/x86/layout.ts';
import { Disassembler } from '../target/x86/disassembler.ts';
import { buildX86Tables } from '../target/x86/handlers.ts';
import { Comparison, type Mismatch } from './comparison.ts';
import { CASE_AT } from './encoder.ts';
import { allRows, casesOf, type LabelledRow, whyNot } from './generate.ts';
import { hostFeatures, hostProcessor } from './host-features.ts';
import { codeBytes, type OracleCase } from './oracle-case.ts';
import { packRecording } from './recorded.ts';
import { isComparable } from './session.ts';

export interface RunOptions {
  readonly filter: string;
  readonly inputs: number;
  readonly breadth: number;
  readonly tiers: readonly TcgTier[];
  /** Mismatches shown in full for each row. */
  readonly show: number;
  /** Record the digests. */
  readonly record: boolean;
  /** Some inputs ask for alignment checks. */
  readonly alignment: boolean;
  /** Cases before this one have been run. */
  readonly start: number;
}

export interface Counts {
  rows: number;
  rowsWithCases: number;
  cases: number;
  runs: number;
  mismatches: number;
  /** Label and reason of the rows without a case. */
  without: [string, string][];
}

const RECORDING = new URL('../../tests/golden/oracle/instructions.br', import.meta.url);

/** Shows instructions in reports. */
export class CaseText {
  private readonly disassembler = new Disassembler(buildX86Tables(hostFeatures()).table);

  of(c: { readonly code: string; readonly bits: 32 | 64 }): string {
    const flags = c.bits === 64 ? HF_PE | HF_CS64 | HF_CS32 : HF_PE | HF_CS32;
    const bytes = codeBytes(c.code);
    const out: string[] = [];
    for (let at = 0; at < bytes.length; ) {
      const { text, length } = this.disassembler.disassemble(bytes.subarray(at), BigInt(CASE_AT + at), flags);
      out.push(text);
      at += Math.max(length, 1);
    }
    return out.join('; ');
  }
}

/** Every row compared with the host's processor, in this process. */
export class HostRun {
  readonly counts: Counts = { rows: 0, rowsWithCases: 0, cases: 0, runs: 0, mismatches: 0, without: [] };
  private readonly options: RunOptions;
  private readonly comparison: Comparison;
  private readonly host = hostFeatures();
  private readonly text = new CaseText();
  private readonly recorded: OracleCase[] = [];
  private readonly digests: number[] = [];
  private readonly log: (line: string) => void;
  private shown = 0;

  constructor(options: RunOptions, log: (line: string) => void) {
    this.options = options;
    this.log = log;
    this.comparison = new Comparison(options.tiers, this.host);
    this.comparison.session.inputs.alignmentChecks = options.alignment;
  }

  /** `progress` is told the number of each case before it runs. */
  run(progress: (n: number) => void): void {
    let n = 0;
    for (const row of allRows()) {
      if (!row.label.includes(this.options.filter)) continue;
      this.counts.rows++;
      const before = n;
      this.shown = 0;
      const reason = whyNot(row, this.host);
      if (reason === undefined)
        for (const c of casesOf(row, { host: this.host, breadth: this.options.breadth })) {
          if (!isComparable(c)) continue;
          if (n++ < this.options.start) continue;
          progress(n - 1);
          this.one(row, c);
        }
      if (n > before) this.counts.rowsWithCases++;
      else this.counts.without.push([row.label, reason ?? 'differs between vendors or is an estimate']);
    }
    if (this.options.record) this.write();
  }

  private one(row: LabelledRow, c: OracleCase): void {
    const result = this.comparison.run(c, this.options.inputs);
    this.counts.cases++;
    this.counts.runs += result.runs;
    this.counts.mismatches += result.mismatches.length;
    for (const mismatch of result.mismatches) this.report(row, c, mismatch);
    // VEX rows come in many combinations of W and L: half of them will do for the recording
    if (!this.options.record || (row.map >= 4 && this.counts.cases % 2 === 0)) return;
    this.recorded.push(c);
    this.digests.push(...result.digests);
  }

  private report(row: LabelledRow, c: OracleCase, mismatch: Mismatch): void {
    if (this.shown++ >= this.options.show) return;
    this.log(
      `${row.label} | ${c.bits} ${c.code} | ${this.text.of(c)} | ${mismatch.tier} input ${mismatch.input}`,
    );
    for (const line of mismatch.lines) this.log(`    ${line}`);
  }

  private write(): void {
    mkdirSync(fileURLToPath(new URL('.', RECORDING)), { recursive: true });
    const packed = packRecording({
      processor: hostProcessor(),
      features: this.host,
      inputs: this.options.inputs,
      cases: this.recorded,
      digests: Uint32Array.from(this.digests),
    });
    writeFileSync(RECORDING, packed);
    this.log(`${fileURLToPath(RECORDING)}: ${packed.length} bytes`);
  }
}

/** In the child process: runs, writes the number of each case to descriptor 3 and the counts to descriptor 4. */
export function runAsChild(options: RunOptions): void {
  const run = new HostRun(options, console.log);
  const word = Buffer.alloc(4);
  run.run((n) => {
    word.writeUInt32LE(n);
    writeSync(3, word);
  });
  writeSync(4, JSON.stringify(run.counts));
}
