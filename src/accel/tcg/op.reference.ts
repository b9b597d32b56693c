import type { BaseOp } from '../../ir/ops.ts';

/** What the integer operations compute, on unsigned values of `w` bits: the oracle of the lowering tests. */
export const INTEGER_REFERENCE: Partial<Record<BaseOp, (a: bigint, b: bigint, w: bigint) => bigint>> = {
  mov: (a) => a,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, w) => a << (b % w),
  shr: (a, b, w) => a >> (b % w),
  sar: (a, b, w) => signed(a, w) >> (b % w),
  rotl: (a, b, w) => (a << (b % w)) | (a >> (w - (b % w))),
  rotr: (a, b, w) => (a >> (b % w)) | (a << (w - (b % w))),
  neg: (a) => -a,
  not: (a) => ~a,
  clz: (a, _b, w) => w - BigInt(a === 0n ? 0 : a.toString(2).length),
  ctz: (a, _b, w) => (a === 0n ? w : BigInt((a & -a).toString(2).length - 1)),
  popcnt: (a) => BigInt(a.toString(2).replaceAll('0', '').length),
  bswap: (a, _b, w) =>
    BigInt(
      `0x${(
        a
          .toString(16)
          .padStart(Number(w) / 4, '0')
          .match(/../g) ?? []
      )
        .reverse()
        .join('')}`,
    ),
  mulhu: (a, b) => (a * b) >> 64n,
  mulhs: (a, b) => (signed(a, 64n) * signed(b, 64n)) >> 64n,
  eq: (a, b) => BigInt(a === b),
  ne: (a, b) => BigInt(a !== b),
  ltu: (a, b) => BigInt(a < b),
  lts: (a, b, w) => BigInt(signed(a, w) < signed(b, w)),
  leu: (a, b) => BigInt(a <= b),
  les: (a, b, w) => BigInt(signed(a, w) <= signed(b, w)),
  ext8u: (a) => a & 0xffn,
  ext8hu: (a) => (a >> 8n) & 0xffn,
  ext16u: (a) => a & 0xffffn,
  ext32u: (a) => a & 0xffffffffn,
  ext8s: (a) => signed(a, 8n),
  ext16s: (a) => signed(a, 16n),
  ext32s: (a) => signed(a, 32n),
  dep8: (a, b) => (a & ~0xffn) | (b & 0xffn),
  dep8h: (a, b) => (a & ~0xff00n) | ((b & 0xffn) << 8n),
  dep16: (a, b) => (a & ~0xffffn) | (b & 0xffffn),
};

export function signed(value: bigint, bits: bigint): bigint {
  return BigInt.asIntN(Number(bits), value);
}

/** Splits a 128-bit value into lanes, lowest first. */
export function lanes(value: bigint, bits: number): bigint[] {
  const out: bigint[] = [];
  for (let i = 0; i < 128; i += bits) out.push(BigInt.asUintN(bits, value >> BigInt(i)));
  return out;
}

export function join(values: readonly bigint[], bits: number): bigint {
  return values.reduce((sum, v, i) => sum | (BigInt.asUintN(bits, v) << BigInt(i * bits)), 0n);
}

type Lane = (a: bigint, b: bigint, bits: number) => bigint;
type VectorReference = (a: bigint, b: bigint) => bigint;

function each(bits: number, f: Lane): VectorReference {
  return (a, b) => {
    const y = lanes(b, bits);
    return join(
      lanes(a, bits).map((x, i) => f(x, y[i]!, bits)),
      bits,
    );
  };
}

const s = (x: bigint, bits: number): bigint => BigInt.asIntN(bits, x);
const clamp = (x: bigint, low: bigint, high: bigint): bigint => (x < low ? low : x > high ? high : x);
const saturateSigned = (x: bigint, bits: number): bigint =>
  clamp(x, -(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n);
const saturateUnsigned = (x: bigint, bits: number): bigint => clamp(x, 0n, (1n << BigInt(bits)) - 1n);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const ones = (condition: boolean): bigint => (condition ? -1n : 0n);

const add: Lane = (a, b) => a + b;
const sub: Lane = (a, b) => a - b;
const addS: Lane = (a, b, n) => saturateSigned(s(a, n) + s(b, n), n);
const addU: Lane = (a, b, n) => saturateUnsigned(a + b, n);
const subS: Lane = (a, b, n) => saturateSigned(s(a, n) - s(b, n), n);
const subU: Lane = (a, b, n) => saturateUnsigned(a - b, n);
const mul: Lane = (a, b) => a * b;
const average: Lane = (a, b) => (a + b + 1n) >> 1n;
const minS: Lane = (a, b, n) => min(s(a, n), s(b, n));
const maxS: Lane = (a, b, n) => max(s(a, n), s(b, n));
const minU: Lane = (a, b) => min(a, b);
const maxU: Lane = (a, b) => max(a, b);
const abs: Lane = (a, _b, n) => (s(a, n) < 0n ? -s(a, n) : a);
const equal: Lane = (a, b) => ones(a === b);
const greater: Lane = (a, b, n) => ones(s(a, n) > s(b, n));

/** Lanes of a then of b, each `from` bits, narrowed to half the width. */
function pack(from: number, saturate: (x: bigint, bits: number) => bigint): VectorReference {
  return (a, b) =>
    join(
      [...lanes(a, from), ...lanes(b, from)].map((x) => saturate(s(x, from), from / 2)),
      from / 2,
    );
}

/** The low half's lanes widened to twice the width. */
function extend(from: number, isSigned: boolean): VectorReference {
  return (a) =>
    join(
      lanes(a, from)
        .slice(0, 64 / from)
        .map((x) => (isSigned ? s(x, from) : x)),
      from * 2,
    );
}

function topBits(bits: number): VectorReference {
  return (a) => lanes(a, bits).reduce((sum, x, i) => sum | ((x >> BigInt(bits - 1)) << BigInt(i)), 0n);
}

const dot16: VectorReference = (a, b) => {
  const x = lanes(a, 16).map((v) => s(v, 16));
  const y = lanes(b, 16).map((v) => s(v, 16));
  return join(
    [0, 2, 4, 6].map((i) => x[i]! * y[i]! + x[i + 1]! * y[i + 1]!),
    32,
  );
};

const swizzle: VectorReference = (a, b) => {
  const table = lanes(a, 8);
  return join(
    lanes(b, 8).map((i) => (i < 16n ? table[Number(i)]! : 0n)),
    8,
  );
};

/** Vector operations of one or two operands. */
export const VECTOR_REFERENCE: Partial<Record<BaseOp, VectorReference>> = {
  vmov: (a) => a,
  vand: (a, b) => a & b,
  vor: (a, b) => a | b,
  vxor: (a, b) => a ^ b,
  vandnot: (a, b) => a & ~b,
  vnot: (a) => ~a,
  vswizzle: swizzle,
  vadd8: each(8, add),
  vadd16: each(16, add),
  vadd32: each(32, add),
  vadd64: each(64, add),
  vsub8: each(8, sub),
  vsub16: each(16, sub),
  vsub32: each(32, sub),
  vsub64: each(64, sub),
  vadds8: each(8, addS),
  vaddu8: each(8, addU),
  vadds16: each(16, addS),
  vaddu16: each(16, addU),
  vsubs8: each(8, subS),
  vsubu8: each(8, subU),
  vsubs16: each(16, subS),
  vsubu16: each(16, subU),
  vmul16: each(16, mul),
  vmul32: each(32, mul),
  vmuleu32: (a, b) =>
    join(
      [0, 2].map((i) => lanes(a, 32)[i]! * lanes(b, 32)[i]!),
      64,
    ),
  vmules32: (a, b) =>
    join(
      [0, 2].map((i) => signed(lanes(a, 32)[i]!, 32n) * signed(lanes(b, 32)[i]!, 32n)),
      64,
    ),
  vdot16: dot16,
  vavgu8: each(8, average),
  vavgu16: each(16, average),
  vmins8: each(8, minS),
  vminu8: each(8, minU),
  vmins16: each(16, minS),
  vminu16: each(16, minU),
  vmins32: each(32, minS),
  vminu32: each(32, minU),
  vmaxs8: each(8, maxS),
  vmaxu8: each(8, maxU),
  vmaxs16: each(16, maxS),
  vmaxu16: each(16, maxU),
  vmaxs32: each(32, maxS),
  vmaxu32: each(32, maxU),
  vabs8: each(8, abs),
  vabs16: each(16, abs),
  vabs32: each(32, abs),
  veq8: each(8, equal),
  veq16: each(16, equal),
  veq32: each(32, equal),
  veq64: each(64, equal),
  vgts8: each(8, greater),
  vgts16: each(16, greater),
  vgts32: each(32, greater),
  vgts64: each(64, greater),
  vpacks16: pack(16, saturateSigned),
  vpacku16: pack(16, saturateUnsigned),
  vpacks32: pack(32, saturateSigned),
  vpacku32: pack(32, saturateUnsigned),
  vexts8: extend(8, true),
  vextu8: extend(8, false),
  vexts16: extend(16, true),
  vextu16: extend(16, false),
  vexts32: extend(32, true),
  vextu32: extend(32, false),
  vmask8: topBits(8),
  vmask32: topBits(32),
  vmask64: topBits(64),
  vsplat64: (a) => join([a, a], 64),
  vzext64: (a) => BigInt.asUintN(64, a),
  vzext32: (a) => BigInt.asUintN(32, a),
};

/** Vector shifts by an immediate: (lane, count, lane width). */
export const SHIFT_REFERENCE: Partial<
  Record<BaseOp, { readonly bits: number; readonly lane: (x: bigint, n: bigint) => bigint }>
> = {
  vshl16: { bits: 16, lane: (x, n) => x << n },
  vshl32: { bits: 32, lane: (x, n) => x << n },
  vshl64: { bits: 64, lane: (x, n) => x << n },
  vshr16: { bits: 16, lane: (x, n) => x >> n },
  vshr32: { bits: 32, lane: (x, n) => x >> n },
  vshr64: { bits: 64, lane: (x, n) => x >> n },
  vsar16: { bits: 16, lane: (x, n) => s(x, 16) >> n },
  vsar32: { bits: 32, lane: (x, n) => s(x, 32) >> n },
};
