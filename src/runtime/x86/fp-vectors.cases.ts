// Operands of the recorded processor behaviour in tests/golden/fp: the same generator as generate.c.

const M64 = (1n << 64n) - 1n;

export interface F80 {
  readonly m: bigint;
  readonly se: number;
}

const SPECIAL80: readonly F80[] = [
  { m: 0n, se: 0 }, { m: 0n, se: 0x8000 }, { m: 1n << 63n, se: 0x3fff }, { m: 1n << 63n, se: 0xbfff },
  { m: 1n << 63n, se: 0x7fff }, { m: 1n << 63n, se: 0xffff }, { m: 0xc000000000000000n, se: 0xffff },
  { m: 0xc000000000001234n, se: 0x7fff }, { m: 0x8000000000000001n, se: 0x7fff }, { m: 0xa000000000000000n, se: 0xffff },
  { m: M64, se: 0x7ffe }, { m: 1n << 63n, se: 1 }, { m: 1n, se: 0 }, { m: 1n << 63n, se: 0 },
  { m: 0x4000000000000000n, se: 0x3fff }, { m: 1n, se: 0x7fff },
];
const SPECIAL64 = [
  0n, 0x3ff0000000000000n, 0x7ff0000000000000n, 0x7ff8000000000123n, 0x7ff0000000000001n, 0x7fefffffffffffffn,
  0x0010000000000000n, 1n,
];
const SPECIAL32 = [0, 0x3f800000, 0x7f800000, 0x7fc00123, 0x7f800001, 0x7f7fffff, 0x00800000, 1];

export class Operands {
  private state: bigint;

  constructor(section: number, op: number) {
    this.state = (0x9e3779b97f4a7c15n * BigInt(section * 256 + op + 1)) & M64;
  }

  next(): bigint {
    let s = this.state;
    s ^= s >> 12n;
    s ^= (s << 25n) & M64;
    s ^= s >> 27n;
    this.state = s;
    return (s * 0x2545f4914f6cdd1dn) & M64;
  }

  f80(): F80 {
    const r = this.next();
    const m = this.next();
    const sign = Number((r >> 8n) & 1n) << 15;
    const e = Number((r >> 16n) & 0x7fffn);
    const n = (r >> 32n) & 63n;
    const top = 1n << 63n;
    const make = (sig: bigint, exp: number): F80 => ({ m: (sig & M64) | top, se: sign | exp });
    switch (Number(r & 15n)) {
      case 0: case 1: return SPECIAL80[Number((r >> 12n) & 15n)]!;
      case 2: return { m: m >> n, se: sign };
      case 3: return make(M64 << n, 0x3fff - 3 + (e & 7));
      case 4: return make((m >> 60n) << 60n, 0x3fff - 4 + (e & 15));
      case 5: case 6: case 7: return make(m, 0x3fff - 4 + (e & 7));
      case 8: case 9: return make(m, 0x3fff - 64 + (e & 127));
      case 10: return make(m, 0x7ffe - (e & 63));
      case 11: return make(m, 1 + (e & 127));
      case 12: return make(m, e === 0x7fff ? 0x7ffe : e || 1);
      case 13: return make((m & 1023n) << 54n, 0x3fff + (e & 63));
      case 14: return make(m, 0x3fff - 1100 + (e % 2200));
      default: return make(m, 0x3fff - 160 + (e % 320));
    }
  }

  f64(): bigint {
    const r = this.next();
    const m = this.next();
    const sign = ((r >> 8n) & 1n) << 63n;
    const mask = 0xfffffffffffffn;
    const f = m & mask;
    const e = (r >> 16n) & 0x7ffn;
    const n = (r >> 32n) & 31n;
    switch (Number(r & 15n)) {
      case 0: case 1: return sign | SPECIAL64[Number((r >> 12n) & 7n)]!;
      case 2: return sign | (f >> n);
      case 3: return sign | ((1020n + (e & 7n)) << 52n) | ((mask << n) & mask);
      case 4: return sign | ((1020n + (e & 63n)) << 52n) | ((f >> 46n) << 46n);
      case 5: case 6: case 7: case 8: return sign | ((1019n + (e & 7n)) << 52n) | f;
      case 9: case 10: return sign | ((1023n - 60n + (e & 127n)) << 52n) | f;
      case 11: return sign | ((0x7fen - (e & 31n)) << 52n) | f;
      case 12: return sign | ((1n + (e & 63n)) << 52n) | f;
      case 13: return sign | ((512n + (e & 15n)) << 52n) | f;
      case 14: return sign | ((1023n - 160n + (e % 320n)) << 52n) | f;
      default: return sign | (e << 52n) | f;
    }
  }

  f32(): number {
    const r = this.next();
    const m = this.next();
    const sign = Number((r >> 8n) & 1n) * 0x80000000;
    const f = Number(m & 0x7fffffn);
    const e = Number((r >> 16n) & 0xffn);
    const n = Number((r >> 32n) & 15n);
    const make = (exp: number, frac: number): number => (sign | (exp << 23) | frac) >>> 0;
    switch (Number(r & 15n)) {
      case 0: case 1: return (sign | SPECIAL32[Number((r >> 12n) & 7n)]!) >>> 0;
      case 2: return (sign | (f >> n)) >>> 0;
      case 3: return make(124 + (e & 7), (0x7fffff << n) & 0x7fffff);
      case 4: return make(124 + (e & 31), (f >> 18) << 18);
      case 5: case 6: case 7: case 8: return make(123 + (e & 7), f);
      case 9: case 10: return make(127 - 30 + (e & 63), f);
      case 11: return make(0xfe - (e & 15), f);
      case 12: return make(1 + (e & 31), f);
      case 13: return make(64 + (e & 7), f);
      default: return make(e, f);
    }
  }

  int(): bigint {
    const r = this.next();
    const v = this.next() >> (r & 63n);
    return (r >> 8n) & 1n ? (M64 + 1n - v) & M64 : v;
  }

  /** x87 control word. */
  controlWord(): number {
    const r = this.next();
    const pc = [0, 2, 3, 3][Number((r >> 4n) & 3n)]!;
    const masks = (r & 15n) < 11n ? 63 : Number((r >> 20n) & 63n);
    return 0x40 | masks | (pc << 8) | (Number((r >> 8n) & 3n) << 10);
  }
}

/** The outcome of one recorded case, digested as the generator does. */
export class Outcome {
  readonly bytes: number[] = [];

  put(value: bigint | number, size: number): this {
    let v = BigInt(value);
    for (let i = 0; i < size; i++) {
      this.bytes.push(Number(v & 255n));
      v >>= 8n;
    }
    return this;
  }

  digest(): number {
    let h = 0x811c9dc5;
    for (const b of this.bytes) h = Math.imul(h ^ b, 0x01000193);
    return (h ^ (h >>> 16)) & 0xffff;
  }
}
