/**
 * A small encoder of zstd frames (RFC 8878) for hosts without one: matches of a greedy search, literals as they are, the
 * predefined tables. Faster and less dense than the reference.
 */
import { BitWriter } from './bits.ts';
import {
  buildFseTable,
  type FseTable,
  LITERAL_LENGTH_BASES,
  LITERAL_LENGTH_BITS,
  LITERAL_LENGTH_DEFAULT,
  LITERAL_LENGTH_LOG,
  MATCH_LENGTH_BASES,
  MATCH_LENGTH_BITS,
  MATCH_LENGTH_DEFAULT,
  MATCH_LENGTH_LOG,
  MAX_BLOCK,
  OFFSET_DEFAULT,
  OFFSET_LOG,
} from './tables.ts';

const HASH_BITS = 15;
const MIN_MATCH = 5;
/** The longest match that the codes can say. */
const MAX_MATCH = 65539 + 65535;

interface Sequence {
  readonly literals: number;
  readonly match: number;
  readonly offset: number;
}

export function zstdCompress(bytes: Uint8Array): Uint8Array {
  const out: number[] = [0x28, 0xb5, 0x2f, 0xfd, 0xa0];
  for (let i = 0; i < 4; i++) out.push((bytes.length >>> (i * 8)) & 255);
  const parts: Uint8Array[] = [Uint8Array.from(out)];
  const hashes = new Int32Array(1 << HASH_BITS).fill(-1);
  for (let at = 0; at < bytes.length || at === 0; at += MAX_BLOCK) {
    const end = Math.min(bytes.length, at + MAX_BLOCK);
    parts.push(...block(bytes, at, end, end === bytes.length, hashes));
  }
  return concat(parts);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const total = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    total.set(part, at);
    at += part.length;
  }
  return total;
}

function block(
  bytes: Uint8Array,
  start: number,
  end: number,
  isLast: boolean,
  hashes: Int32Array,
): Uint8Array[] {
  const compressed = end - start > 16 ? compress(bytes, start, end, hashes) : undefined;
  const isRaw = compressed === undefined || compressed.length >= end - start;
  const body = isRaw ? bytes.subarray(start, end) : compressed;
  const header = (body.length << 3) | (isRaw ? 0 : 4) | (isLast ? 1 : 0);
  return [Uint8Array.of(header & 255, (header >>> 8) & 255, header >>> 16), body];
}

function hash(bytes: Uint8Array, at: number): number {
  const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  return Math.imul(word ^ bytes[at + 4]!, 0x9e3779b1) >>> (32 - HASH_BITS);
}

function compress(bytes: Uint8Array, start: number, end: number, hashes: Int32Array): Uint8Array | undefined {
  const sequences: Sequence[] = [];
  const literals: Uint8Array[] = [];
  let anchor = start;
  let at = start;
  while (at + MIN_MATCH <= end - 3) {
    const slot = hash(bytes, at);
    const candidate = hashes[slot]!;
    hashes[slot] = at;
    const match = candidate < 0 ? 0 : matchLength(bytes, candidate, at, end);
    if (match < MIN_MATCH) {
      // What does not match for long is stepped over faster.
      at += 1 + ((at - anchor) >> 6);
      continue;
    }
    sequences.push({ literals: at - anchor, match, offset: at - candidate });
    literals.push(bytes.subarray(anchor, at));
    at += match;
    anchor = at;
  }
  if (sequences.length === 0) return undefined;
  literals.push(bytes.subarray(anchor, end));
  const text = concat(literals);
  return concat([literalsHeader(text.length), text, encodeSequences(sequences)]);
}

function matchLength(bytes: Uint8Array, from: number, at: number, end: number): number {
  const most = Math.min(end - at, MAX_MATCH);
  let length = 0;
  while (length < most && bytes[from + length] === bytes[at + length]) length++;
  return length;
}

function literalsHeader(size: number): Uint8Array {
  if (size < 32) return Uint8Array.of(size << 3);
  if (size < 4096) return Uint8Array.of(4 | ((size & 15) << 4), size >>> 4);
  return Uint8Array.of(12 | ((size & 15) << 4), (size >>> 4) & 255, size >>> 12);
}

/** For each symbol and following state the state before it. */
interface EncodeTable {
  readonly table: FseTable;
  readonly states: readonly Uint8Array[];
}

function encodeTable(probabilities: readonly number[], log: number): EncodeTable {
  const table = buildFseTable(probabilities, log);
  const states = probabilities.map(() => new Uint8Array(1 << log));
  table.symbols.forEach((symbol, state) => {
    const base = table.bases[state]!;
    states[symbol]!.fill(state, base, base + (1 << table.bits[state]!));
  });
  return { table, states };
}

interface EncodeTables {
  readonly lengths: EncodeTable;
  readonly matches: EncodeTable;
  readonly offsets: EncodeTable;
}

let cached: EncodeTables | undefined;

function tables(): EncodeTables {
  cached ??= {
    lengths: encodeTable(LITERAL_LENGTH_DEFAULT, LITERAL_LENGTH_LOG),
    matches: encodeTable(MATCH_LENGTH_DEFAULT, MATCH_LENGTH_LOG),
    offsets: encodeTable(OFFSET_DEFAULT, OFFSET_LOG),
  };
  return cached;
}

function codeOf(bases: readonly number[], value: number): number {
  let low = 0;
  let high = bases.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bases[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Written from the last sequence to the first, each part in the reverse of the order it is read in. */
function encodeSequences(sequences: readonly Sequence[]): Uint8Array {
  const { lengths, matches, offsets } = tables();
  const bits = new BitWriter();
  let lengthState = -1;
  let matchState = -1;
  let offsetState = -1;
  const advance = (of: EncodeTable, symbol: number, next: number): number => {
    // The last sequence may start in any state of its symbol.
    if (next < 0) return of.states[symbol]![0]!;
    const state = of.states[symbol]![next]!;
    bits.write(next - of.table.bases[state]!, of.table.bits[state]!);
    return state;
  };
  for (let i = sequences.length - 1; i >= 0; i--) {
    const { literals, match, offset } = sequences[i]!;
    const lengthCode = codeOf(LITERAL_LENGTH_BASES, literals);
    const matchCode = codeOf(MATCH_LENGTH_BASES, match);
    const value = offset + 3;
    const offsetCode = 31 - Math.clz32(value);
    offsetState = advance(offsets, offsetCode, offsetState);
    matchState = advance(matches, matchCode, matchState);
    lengthState = advance(lengths, lengthCode, lengthState);
    bits.write(literals - LITERAL_LENGTH_BASES[lengthCode]!, LITERAL_LENGTH_BITS[lengthCode]!);
    bits.write(match - MATCH_LENGTH_BASES[matchCode]!, MATCH_LENGTH_BITS[matchCode]!);
    bits.write(value - 2 ** offsetCode, offsetCode);
  }
  bits.write(matchState, MATCH_LENGTH_LOG);
  bits.write(offsetState, OFFSET_LOG);
  bits.write(lengthState, LITERAL_LENGTH_LOG);
  return concat([countHeader(sequences.length), Uint8Array.of(0), Uint8Array.from(bits.finish())]);
}

function countHeader(count: number): Uint8Array {
  if (count < 128) return Uint8Array.of(count);
  if (count < 0x7f00) return Uint8Array.of((count >>> 8) + 128, count & 255);
  return Uint8Array.of(255, (count - 0x7f00) & 255, (count - 0x7f00) >>> 8);
}
