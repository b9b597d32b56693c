import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import type { Bits } from './image.ts';
import { codeBytes, hexOf } from './oracle-case.ts';

/** A minimised sequence on which the translator once differed from a processor, with the processor's result. */
export interface Regression {
  /** The program as text, for people. */
  readonly text: string;
  readonly bits: Bits;
  /** Place in the code pages. */
  readonly offset: number;
  readonly code: Uint8Array;
  /** Flags undefined before each instruction and at the end; offset of each and of the end. */
  readonly undefinedFlags: readonly number[];
  readonly offsets: readonly number[];
  readonly input: { readonly image: Uint8Array; readonly data: Uint8Array };
  /** Digest of the processor's final state. */
  readonly digest: number;
}

const pack = (bytes: Uint8Array): string => brotliCompressSync(bytes).toString('base64');
const unpack = (text: string): Uint8Array =>
  Uint8Array.from(brotliDecompressSync(Buffer.from(text, 'base64')));

export function packRegression(r: Regression): string {
  const { text, bits, offset, undefinedFlags, offsets, digest } = r;
  const fields = { text, bits, offset, code: hexOf(r.code), undefinedFlags, offsets, digest };
  return `${JSON.stringify({ ...fields, image: pack(r.input.image), data: pack(r.input.data) }, undefined, 1)}\n`;
}

export function unpackRegression(json: string): Regression {
  const r = JSON.parse(json) as Omit<Regression, 'code' | 'input'> & {
    code: string;
    image: string;
    data: string;
  };
  return { ...r, code: codeBytes(r.code), input: { image: unpack(r.image), data: unpack(r.data) } };
}
