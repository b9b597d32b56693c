import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import type { FeatureSet, X86Feature } from '../target/x86/features.ts';
import type { EffectiveAddress, OracleCase } from './oracle-case.ts';

/** Recorded behaviour of a processor: cases and, for each input, a digest of the final state (0 = not compared). */
export interface Recording {
  readonly processor: string;
  readonly features: FeatureSet;
  readonly inputs: number;
  readonly cases: readonly OracleCase[];
  /** `inputs` digests for each case. */
  readonly digests: Uint32Array;
}

interface Header {
  readonly processor: string;
  readonly features: readonly string[];
  readonly inputs: number;
  readonly rows: readonly string[];
  readonly names: readonly string[];
  /** row, name, bits, code, size, ea, reg, rm, imm, rep. */
  readonly cases: readonly Packed[];
}

type PackedAddress = readonly [number, number, number, number, number, number, number, number];
type Packed = readonly [
  number,
  number,
  32 | 64,
  string,
  number,
  PackedAddress | 0,
  number,
  number,
  number | null,
  0 | 1,
];

function packAddress(ea: EffectiveAddress): PackedAddress {
  return [ea.base, ea.index, ea.shift, ea.disp, ea.addressSize, ea.size, ea.segment ?? -1, ea.vsib ?? -1];
}

function unpackAddress(p: PackedAddress): EffectiveAddress {
  const [base, index, shift, disp, addressSize, size, segment, vsib] = p;
  return {
    ...{ base, index, shift, disp, addressSize, size },
    ...(segment >= 0 && { segment }),
    ...(vsib >= 0 && { vsib }),
  };
}

/** Numbers strings in the order of their first use. */
class Names {
  readonly list: string[] = [];
  private readonly numbers = new Map<string, number>();

  of(text: string): number {
    const known = this.numbers.get(text);
    if (known !== undefined) return known;
    this.numbers.set(text, this.list.length);
    return this.list.push(text) - 1;
  }
}

/** Length of the header (u32), header as JSON, digests; all compressed. */
export function packRecording(recording: Recording): Buffer {
  const rows = new Names();
  const names = new Names();
  const cases = recording.cases.map(
    (c): Packed => [
      rows.of(c.row),
      names.of(c.name),
      c.bits,
      c.code,
      c.size,
      c.ea ? packAddress(c.ea) : 0,
      c.reg ?? -1,
      c.rm ?? -1,
      c.imm ?? null,
      c.rep ? 1 : 0,
    ],
  );
  const header: Header = {
    processor: recording.processor,
    features: [...recording.features],
    inputs: recording.inputs,
    rows: rows.list,
    names: names.list,
    cases,
  };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const { buffer, byteOffset, byteLength } = recording.digests;
  const all = Buffer.concat([length, text, Buffer.from(buffer, byteOffset, byteLength)]);
  return brotliCompressSync(all, {
    params: { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 9 },
  });
}

export function unpackRecording(bytes: Uint8Array): Recording {
  const all = brotliDecompressSync(bytes);
  const length = all.readUInt32LE(0);
  const header = JSON.parse(all.toString('utf8', 4, 4 + length)) as Header;
  const tail = Uint8Array.from(all.subarray(4 + length));
  return {
    processor: header.processor,
    features: new Set(header.features as X86Feature[]),
    inputs: header.inputs,
    cases: header.cases.map(([row, name, bits, code, size, ea, reg, rm, imm, rep]) => ({
      row: header.rows[row]!,
      name: header.names[name]!,
      bits,
      code,
      size,
      ...(ea !== 0 && { ea: unpackAddress(ea) }),
      ...(reg >= 0 && { reg }),
      ...(rm >= 0 && { rm }),
      ...(imm !== null && { imm }),
      ...(rep === 1 && { rep: true }),
    })),
    digests: new Uint32Array(tail.buffer),
  };
}
