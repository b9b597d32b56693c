/** A decoder of zstd frames (RFC 8878) without dictionaries, for clusters: bounded output, content checksums are not verified. */
import { BackwardBits, damaged, ForwardBits } from './bits.ts';
import {
  buildFseTable,
  FRAME_MAGIC,
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
  MAX_OFFSET_CODE,
  OFFSET_DEFAULT,
  OFFSET_LOG,
} from './tables.ts';

interface HuffmanTable {
  readonly maxBits: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

const MAX_HUFFMAN_BITS = 11;

/** The first frame of `bytes`, at most `limit` bytes of it. `BlockError` if it is damaged. */
export function zstdDecompress(bytes: Uint8Array, limit: number): Uint8Array {
  const out = new Uint8Array(limit);
  const length = new Decoder(bytes, out).decode();
  return out.subarray(0, length);
}

class Decoder {
  readonly #in: Uint8Array;
  readonly #out: Uint8Array;
  #at = 0;
  #outAt = 0;
  #huffman: HuffmanTable | undefined;
  #lengths: FseTable | undefined;
  #offsets: FseTable | undefined;
  #matches: FseTable | undefined;
  readonly #recent = [1, 4, 8];

  constructor(input: Uint8Array, output: Uint8Array) {
    this.#in = input;
    this.#out = output;
  }

  decode(): number {
    this.#frameHeader();
    for (;;) {
      const header = this.#number(3);
      const size = header >>> 3;
      const type = (header >>> 1) & 3;
      if (type === 3 || size > Math.max(MAX_BLOCK, this.#out.length)) throw damaged();
      if (type === 0) this.#raw(size);
      else if (type === 1) this.#rle(size);
      else this.#compressed(size);
      if ((header & 1) === 1 || this.#outAt >= this.#out.length) return this.#outAt;
    }
  }

  #number(bytes: number): number {
    if (this.#at + bytes > this.#in.length) throw damaged();
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + this.#in[this.#at + i]!;
    this.#at += bytes;
    return value;
  }

  #frameHeader(): void {
    if (this.#number(4) !== FRAME_MAGIC) throw damaged();
    const descriptor = this.#number(1);
    const isSingle = (descriptor & 0x20) !== 0;
    if ((descriptor & 8) !== 0) throw damaged();
    if (!isSingle) this.#number(1); // window: the whole output is one
    if ((descriptor & 3) !== 0) throw damaged(); // dictionary
    const sizeFlag = descriptor >>> 6;
    this.#number(sizeFlag === 0 ? (isSingle ? 1 : 0) : 2 ** sizeFlag);
  }

  #raw(size: number): void {
    if (this.#at + size > this.#in.length) throw damaged();
    this.#emit(this.#in.subarray(this.#at, this.#at + size));
    this.#at += size;
  }

  #emit(bytes: Uint8Array): void {
    const room = this.#out.length - this.#outAt;
    const part = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.#out.set(part, this.#outAt);
    this.#outAt += part.length;
  }

  #rle(size: number): void {
    const byte = this.#number(1);
    const end = Math.min(this.#out.length, this.#outAt + size);
    this.#out.fill(byte, this.#outAt, end);
    this.#outAt = end;
  }

  #compressed(size: number): void {
    const end = this.#at + size;
    if (end > this.#in.length || size < 2) throw damaged();
    const literals = this.#literals(end);
    this.#sequences(literals, end);
    this.#at = end;
  }

  // --- literals (3.1.1.3.1)

  #literals(end: number): Uint8Array {
    const first = this.#in[this.#at]!;
    const type = first & 3;
    const format = (first >>> 2) & 3;
    if (type < 2) {
      const bytes = (format & 1) === 0 ? 1 : format === 1 ? 2 : 3;
      const size = this.#number(bytes) >>> (bytes === 1 ? 3 : 4);
      if (size > MAX_BLOCK) throw damaged();
      if (type === 1) return new Uint8Array(size).fill(this.#number(1));
      if (this.#at + size > end) throw damaged();
      this.#at += size;
      return this.#in.subarray(this.#at - size, this.#at);
    }
    const width = [10, 10, 14, 18][format]!;
    const header = this.#number(format < 2 ? 3 : format + 2);
    const size = Math.floor(header / 16) % 2 ** width;
    const compressed = Math.floor(header / 2 ** (4 + width));
    const streamEnd = this.#at + compressed;
    if (size > MAX_BLOCK || streamEnd > end) throw damaged();
    if (type === 2) this.#huffman = this.#readHuffman(streamEnd);
    if (this.#huffman === undefined) throw damaged();
    const out = new Uint8Array(size);
    if (format === 0) this.#huffmanStream(out, this.#at, streamEnd);
    else this.#fourStreams(out, streamEnd);
    this.#at = streamEnd;
    return out;
  }

  #fourStreams(out: Uint8Array, end: number): void {
    const sizes = [this.#number(2), this.#number(2), this.#number(2)];
    const part = Math.floor((out.length + 3) / 4);
    let at = this.#at;
    for (let i = 0; i < 4; i++) {
      const streamEnd = i < 3 ? at + sizes[i]! : end;
      if (streamEnd > end || part * 3 > out.length) throw damaged();
      this.#huffmanStream(out.subarray(i * part, i < 3 ? (i + 1) * part : out.length), at, streamEnd);
      at = streamEnd;
    }
  }

  #huffmanStream(out: Uint8Array, start: number, end: number): void {
    const { maxBits, symbols, bits } = this.#huffman!;
    const stream = new BackwardBits(this.#in, start, end);
    const mask = (1 << maxBits) - 1;
    let state = stream.read(maxBits);
    for (let i = 0; i < out.length; i++) {
      out[i] = symbols[state]!;
      const count = bits[state]!;
      state = ((state << count) & mask) | stream.read(count);
    }
    if (stream.left !== -maxBits) throw damaged();
  }

  /** Weights of the symbols, directly or by FSE; the last one follows from the others (4.2.1). */
  #readHuffman(end: number): HuffmanTable {
    const header = this.#number(1);
    const weights: number[] = [];
    if (header >= 128) {
      const count = header - 127;
      for (let i = 0; i < count; i += 2) {
        const byte = this.#number(1);
        weights.push(byte >>> 4);
        if (i + 1 < count) weights.push(byte & 15);
      }
    } else this.#readWeights(weights, this.#at + header, end);
    let sum = 0;
    for (const weight of weights) if (weight > 0) sum += 2 ** (weight - 1);
    if (sum === 0) throw damaged();
    const maxBits = 32 - Math.clz32(sum);
    const rest = 2 ** maxBits - sum;
    if (maxBits > MAX_HUFFMAN_BITS || (rest & (rest - 1)) !== 0 || weights.length > 255) throw damaged();
    weights.push(32 - Math.clz32(rest));
    return huffmanTable(weights, maxBits);
  }

  #readWeights(weights: number[], end: number, limit: number): void {
    if (end > limit) throw damaged();
    const table = this.#readFse(end, 6, 12);
    const { symbols, bits, bases, accuracyLog } = table;
    const stream = new BackwardBits(this.#in, this.#at, end);
    let even = stream.read(accuracyLog);
    let odd = stream.read(accuracyLog);
    while (weights.length < 255) {
      weights.push(symbols[even]!);
      if (stream.left < bits[even]!) {
        weights.push(symbols[odd]!);
        break;
      }
      even = bases[even]! + stream.read(bits[even]!);
      [even, odd] = [odd, even];
    }
    this.#at = end;
  }

  // --- FSE table descriptions (4.1.1)

  #readFse(end: number, maxLog: number, maxSymbol: number): FseTable {
    const bits = new ForwardBits(this.#in, this.#at, end);
    const accuracyLog = bits.read(4) + 5;
    if (accuracyLog > maxLog) throw damaged();
    const probabilities: number[] = [];
    let remaining = 1 << accuracyLog;
    while (remaining > 0) {
      if (probabilities.length > maxSymbol) throw damaged();
      const width = 32 - Math.clz32(remaining + 1);
      let value = bits.read(width);
      const mask = (1 << (width - 1)) - 1;
      const threshold = (1 << width) - 1 - (remaining + 1);
      if ((value & mask) < threshold) {
        bits.unread(1);
        value &= mask;
      } else if (value > mask) value -= threshold;
      const probability = value - 1;
      remaining -= Math.abs(probability);
      probabilities.push(probability);
      if (probability === 0) {
        for (let more = 3; more === 3; ) {
          more = bits.read(2);
          for (let i = 0; i < more; i++) probabilities.push(0);
          if (probabilities.length > maxSymbol + 1) throw damaged();
        }
      }
    }
    if (remaining < 0 || probabilities.length > maxSymbol + 1) throw damaged();
    this.#at = bits.byteOffset;
    return buildFseTable(probabilities, accuracyLog);
  }

  #table(
    mode: number,
    end: number,
    previous: FseTable | undefined,
    defaults: readonly number[],
    defaultLog: number,
    maxLog: number,
    maxSymbol: number,
  ): FseTable {
    switch (mode) {
      case 0:
        return buildFseTable(defaults, defaultLog);
      case 1: {
        const symbol = this.#number(1);
        if (symbol > maxSymbol) throw damaged();
        return {
          accuracyLog: 0,
          symbols: Uint8Array.of(symbol),
          bits: new Uint8Array(1),
          bases: new Uint16Array(1),
        };
      }
      case 2:
        return this.#readFse(end, maxLog, maxSymbol);
      default:
        if (previous === undefined) throw damaged();
        return previous;
    }
  }

  // --- sequences (3.1.1.3.2)

  #sequences(literals: Uint8Array, end: number): void {
    let count = this.#number(1);
    if (count === 255) count = this.#number(2) + 0x7f00;
    else if (count > 127) count = ((count - 128) << 8) + this.#number(1);
    if (count === 0) return this.#emit(literals);
    const modes = this.#number(1);
    this.#lengths = this.#table(
      modes >>> 6,
      end,
      this.#lengths,
      LITERAL_LENGTH_DEFAULT,
      LITERAL_LENGTH_LOG,
      9,
      35,
    );
    this.#offsets = this.#table(
      (modes >>> 4) & 3,
      end,
      this.#offsets,
      OFFSET_DEFAULT,
      OFFSET_LOG,
      8,
      MAX_OFFSET_CODE,
    );
    this.#matches = this.#table(
      (modes >>> 2) & 3,
      end,
      this.#matches,
      MATCH_LENGTH_DEFAULT,
      MATCH_LENGTH_LOG,
      9,
      52,
    );
    const stream = new BackwardBits(this.#in, this.#at, end);
    const lengths = this.#lengths;
    const offsets = this.#offsets;
    const matches = this.#matches;
    let lengthState = stream.read(lengths.accuracyLog);
    let offsetState = stream.read(offsets.accuracyLog);
    let matchState = stream.read(matches.accuracyLog);
    let literalAt = 0;
    for (let i = 0; i < count; i++) {
      const offsetCode = offsets.symbols[offsetState]!;
      const matchCode = matches.symbols[matchState]!;
      const lengthCode = lengths.symbols[lengthState]!;
      const offsetValue = 2 ** offsetCode + stream.read(offsetCode);
      const match = MATCH_LENGTH_BASES[matchCode]! + stream.read(MATCH_LENGTH_BITS[matchCode]!);
      const length = LITERAL_LENGTH_BASES[lengthCode]! + stream.read(LITERAL_LENGTH_BITS[lengthCode]!);
      if (stream.left < 0 || literalAt + length > literals.length) throw damaged();
      this.#emit(literals.subarray(literalAt, literalAt + length));
      literalAt += length;
      this.#copy(this.#offset(offsetValue, length), match);
      if (i === count - 1) break;
      lengthState = lengths.bases[lengthState]! + stream.read(lengths.bits[lengthState]!);
      matchState = matches.bases[matchState]! + stream.read(matches.bits[matchState]!);
      offsetState = offsets.bases[offsetState]! + stream.read(offsets.bits[offsetState]!);
    }
    this.#emit(literals.subarray(literalAt));
  }

  /** The three last offsets can be named (3.1.1.5). */
  #offset(value: number, literalLength: number): number {
    const recent = this.#recent;
    if (value > 3) {
      recent.unshift(value - 3);
      recent.pop();
      return recent[0]!;
    }
    const index = value - 1 + (literalLength === 0 ? 1 : 0);
    if (index === 0) return recent[0]!;
    const offset = index === 3 ? recent[0]! - 1 : recent[index]!;
    recent.splice(Math.min(index, 2), 1);
    recent.unshift(offset);
    return offset;
  }

  #copy(offset: number, length: number): void {
    if (offset <= 0 || offset > this.#outAt) throw damaged();
    const end = Math.min(this.#out.length, this.#outAt + length);
    const out = this.#out;
    if (offset >= length) {
      out.copyWithin(this.#outAt, this.#outAt - offset, end - offset);
      this.#outAt = end;
      return;
    }
    for (let at = this.#outAt; at < end; at++) out[at] = out[at - offset]!;
    this.#outAt = end;
  }
}

/** Longer codes come first; among equals the symbols' order (4.2.1.3). */
function huffmanTable(weights: readonly number[], maxBits: number): HuffmanTable {
  const symbols = new Uint8Array(1 << maxBits);
  const bits = new Uint8Array(1 << maxBits);
  let at = 0;
  for (let weight = 1; weight <= maxBits; weight++) {
    weights.forEach((of, symbol) => {
      if (of !== weight) return;
      const end = at + 2 ** (weight - 1);
      symbols.fill(symbol, at, end);
      bits.fill(maxBits + 1 - weight, at, end);
      at = end;
    });
  }
  if (at !== 1 << maxBits) throw damaged();
  return { maxBits, symbols, bits };
}
