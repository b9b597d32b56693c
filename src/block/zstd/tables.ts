/** Finite state entropy tables and the codes of sequences (RFC 8878, sections 3.1.1.3.2 and 4.1). */

export interface FseTable {
  readonly accuracyLog: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** A decoding table from normalised probabilities, -1 standing for "less than 1". */
export function buildFseTable(probabilities: readonly number[], accuracyLog: number): FseTable {
  const size = 1 << accuracyLog;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(probabilities.length);
  let high = size;
  probabilities.forEach((probability, symbol) => {
    if (probability === -1) {
      symbols[--high] = symbol;
      next[symbol] = 1;
    } else next[symbol] = probability;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  probabilities.forEach((probability, symbol) => {
    for (let i = 0; i < probability; i++) {
      symbols[position] = symbol;
      do position = (position + step) & (size - 1);
      while (position >= high);
    }
  });
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const value = next[symbols[state]!]!++;
    bits[state] = accuracyLog - (31 - Math.clz32(value));
    bases[state] = (value << bits[state]!) - size;
  }
  return { accuracyLog, symbols, bits, bases };
}

const repeat = (value: number, count: number): number[] => new Array<number>(count).fill(value);

export const LITERAL_LENGTH_DEFAULT = [
  4,
  3,
  ...repeat(2, 11),
  1,
  1,
  1,
  ...repeat(2, 9),
  3,
  2,
  ...repeat(1, 5),
  ...repeat(-1, 4),
];
export const MATCH_LENGTH_DEFAULT = [1, 4, 3, ...repeat(2, 6), ...repeat(1, 37), ...repeat(-1, 7)];
export const OFFSET_DEFAULT = [...repeat(1, 6), 2, 2, 2, ...repeat(1, 15), ...repeat(-1, 5)];
export const LITERAL_LENGTH_LOG = 6;
export const MATCH_LENGTH_LOG = 6;
export const OFFSET_LOG = 5;

/** Extra bits of each code; the base of a code follows from those before it. */
export const LITERAL_LENGTH_BITS = [
  ...repeat(0, 16),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  6,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
];
export const MATCH_LENGTH_BITS = [
  ...repeat(0, 32),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
];

function basesOf(bits: readonly number[], first: number): number[] {
  let base = first;
  return bits.map((count) => {
    const here = base;
    base += 2 ** count;
    return here;
  });
}

export const LITERAL_LENGTH_BASES = basesOf(LITERAL_LENGTH_BITS, 0);
export const MATCH_LENGTH_BASES = basesOf(MATCH_LENGTH_BITS, 3);
export const MAX_OFFSET_CODE = 31;

export const FRAME_MAGIC = 0xfd2fb528;
export const MAX_BLOCK = 128 * 1024;
