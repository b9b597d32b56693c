import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { fuzzInput } from './fuzz-input.ts';
import type { Program } from './fuzz-program.ts';
import { type Bits, CODE, IMAGE_SIZE, type OracleCpu } from './image.ts';
import { codeBytes } from './oracle-case.ts';
import { normaliseSequence } from './sequence-state.ts';
import { digest } from './session.ts';

/** A random program and what a processor made of it. */
export interface RecordedSequence {
  readonly bits: Bits;
  /** Place in the code pages. */
  readonly offset: number;
  /** Hexadecimal. */
  readonly code: string;
  /** Offset of each instruction and of the end; flags undefined before each and at the end. */
  readonly offsets: readonly number[];
  readonly undefinedFlags: readonly number[];
  /** Seed of the inputs. */
  readonly seed: number;
  /** Digest of the final state for each input, 0 = not compared. */
  readonly digests: readonly number[];
}

export interface SequenceRecording {
  readonly processor: string;
  readonly features: readonly string[];
  readonly sequences: readonly RecordedSequence[];
}

export function packSequences(recording: SequenceRecording): Buffer {
  return brotliCompressSync(JSON.stringify(recording));
}

export function unpackSequences(bytes: Uint8Array): SequenceRecording {
  return JSON.parse(brotliDecompressSync(bytes).toString('utf8')) as SequenceRecording;
}

/** Digest of the final state after one input. */
export function runSequence(cpu: OracleCpu, s: RecordedSequence, input: number): number {
  const base = CODE + s.offset;
  const start = fuzzInput(s as Pick<Program, 'bits' | 'offset'>, s.seed, input);
  cpu.load(codeBytes(s.code), base, s.bits);
  cpu.input.set(start.image);
  cpu.data.set(start.data);
  cpu.run();
  const image = new Uint8Array(IMAGE_SIZE);
  image.set(cpu.output);
  normaliseSequence(image, s.bits, base, s.offsets, s.undefinedFlags);
  return digest({ image, data: cpu.data }, start.data) || 1;
}
