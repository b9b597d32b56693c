// Accuracy of the x87 transcendental functions against series in 400-bit fixed-point arithmetic.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { F80 } from './fp-vectors.cases.ts';
import { Operands } from './fp-vectors.cases.ts';
import { FPR, FPU_CW, FPU_SW, FPU_TAGS, FPU_TOP } from './layout.ts';
import { loadRuntime } from './runtime.cases.ts';

const { memory, cpu, call } = loadRuntime();
const BITS = 400n;
const ONE = 1n << BITS;

/** Rounds a product of two fixed-point numbers down. */
const times = (a: bigint, b: bigint): bigint => (a * b) >> BITS;

/** A finite extended number in fixed point; exponents below -300 are not for this. */
function fixed(x: F80): bigint {
  const shift = BigInt((x.se & 0x7fff) - 0x3fff - 63) + BITS;
  const v = shift < 0n ? x.m >> -shift : x.m << shift;
  return x.se & 0x8000 ? -v : v;
}

function sine(x: bigint): bigint {
  const z = times(x, x);
  let term = x;
  let sum = x;
  for (let k = 2n; term !== 0n && term !== -1n; k += 2n) {
    term = -times(term, z) / (k * (k + 1n));
    sum += term;
  }
  return sum;
}

function cosine(x: bigint): bigint {
  const z = times(x, x);
  let term = ONE;
  let sum = ONE;
  for (let k = 1n; term !== 0n && term !== -1n; k += 2n) {
    term = -times(term, z) / (k * (k + 1n));
    sum += term;
  }
  return sum;
}

function expMinusOne(x: bigint): bigint {
  let term = x;
  let sum = x;
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = times(term, x) / k;
    sum += term;
  }
  return sum;
}

/** Σ (±1)^k t^(2k+1) / (2k+1) */
function arcSeries(t: bigint, sign: bigint): bigint {
  const z = times(t, t) * sign;
  let power = t;
  let sum = t;
  for (let k = 3n; power !== 0n && power !== -1n; k += 2n) {
    power = times(power, z);
    sum += power / k;
  }
  return sum;
}

const atanh = (n: bigint, d: bigint): bigint => arcSeries((n << BITS) / d, 1n);
const LN2 = 2n * atanh(1n, 3n);
const PI = 16n * arcSeries(ONE / 5n, -1n) - 4n * arcSeries(ONE / 239n, -1n);
/** The processor's π for argument reduction: 66 bits (SDM Vol. 1 8.3.8). */
const HALF_PI66 = (0xc90fdaa22168c234n * 4n + 3n) << (BITS - 65n);

/** log2 of a positive fixed-point number. */
function log2(x: bigint): bigint {
  let e = 0n;
  let m = x;
  while (m >= ONE << 1n) {
    m >>= 1n;
    e++;
  }
  while (m < ONE) {
    m <<= 1n;
    e--;
  }
  return e * ONE + ((2n * atanh(m - ONE, m + ONE)) << BITS) / LN2;
}

function squareRoot(x: bigint): bigint {
  let r = 1n << (BigInt(x.toString(2).length) / 2n + 1n);
  for (;;) {
    const next = (r + x / r) >> 1n;
    if (next >= r) return r;
    r = next;
  }
}

/** atan(n / d), n and d positive: the angle is halved three times. */
function arctangent(n: bigint, d: bigint): bigint {
  let t = (n << BITS) / d;
  for (let i = 0; i < 3; i++) t = (t << BITS) / (ONE + squareRoot((ONE << BITS) + t * t));
  return 8n * arcSeries(t, -1n);
}

function run(name: string, ...stack: F80[]): F80 {
  const put = (slot: number, v: bigint): void => memory.setBigUint64(cpu + slot, v, true);
  put(FPU_TAGS, 0x0101010101010101n);
  put(FPU_SW, 0n);
  put(FPU_CW, 0x37fn);
  put(FPU_TOP, BigInt(8 - stack.length) & 7n);
  stack.forEach((x, i) => {
    const n = (8 - stack.length + i) & 7;
    put(FPR + n * 16, x.m);
    memory.setUint16(cpu + FPR + n * 16 + 8, x.se, true);
    memory.setUint8(cpu + FPU_TAGS + n, 0);
  });
  call(name);
  const p = cpu + FPR + memory.getUint32(cpu + FPU_TOP, true) * 16;
  return { m: memory.getBigUint64(p, true), se: memory.getUint16(p + 8, true) };
}

/** The result must be within 0.5001 units in the last place. */
function close(got: F80, want: bigint, label: string): void {
  const unit = BigInt((got.se & 0x7fff) - 0x3fff - 63) + BITS;
  const error = fixed(got) - want;
  const limit = (5001n << unit) / 10000n;
  assert.ok(error <= limit && error >= -limit, `${label}: ${got.se.toString(16)}:${got.m.toString(16)}`);
}

/** Random number with a random sign and an exponent in [low, high]. */
function random(g: Operands, low: number, high: number): F80 {
  const r = g.next();
  const e = low + Number((r >> 8n) % BigInt(high - low + 1));
  const sparse = (r & 7n) === 0n ? 40n : 0n;
  return { m: ((g.next() >> sparse) << sparse) | (1n << 63n), se: (r & 0x80n ? 0x8000 : 0) | (0x3fff + e) };
}

const COUNT = 300;
const label = (...xs: F80[]): string => xs.map((x) => `${x.se.toString(16)}:${x.m.toString(16)}`).join(' ');

test('FSIN, FCOS, FPTAN', () => {
  const g = new Operands(5, 0);
  for (let i = 0; i < COUNT; i++) {
    const x = random(g, i & 1 ? -20 : -60, i & 1 ? 5 : 62);
    const v = fixed(x);
    let q = v / HALF_PI66;
    let r = v - q * HALF_PI66;
    if (2n * r > HALF_PI66) {
      q++;
      r -= HALF_PI66;
    } else if (2n * r < -HALF_PI66) {
      q--;
      r += HALF_PI66;
    }
    const s = sine(r);
    const c = cosine(r);
    const k = Number(((q % 4n) + 4n) % 4n);
    const sin = [s, c, -s, -c][k]!;
    const cos = [c, -s, -c, s][k]!;
    close(run('fpu_sin', x), sin, `sin ${label(x)}`);
    close(run('fpu_cos', x), cos, `cos ${label(x)}`);
    run('fpu_ptan', x);
    const p = cpu + FPR + ((memory.getUint32(cpu + FPU_TOP, true) + 1) & 7) * 16;
    const tan = { m: memory.getBigUint64(p, true), se: memory.getUint16(p + 8, true) };
    close(tan, (sin << BITS) / cos, `tan ${label(x)}`);
  }
});

test('F2XM1', () => {
  const g = new Operands(5, 1);
  for (let i = 0; i < COUNT; i++) {
    const x = random(g, i & 1 ? -3 : -70, -1);
    close(run('fpu_2xm1', x), expMinusOne(times(fixed(x), LN2)), `2^x-1 ${label(x)}`);
  }
});

test('FYL2X, FYL2XP1', () => {
  const g = new Operands(5, 2);
  for (let i = 0; i < COUNT; i++) {
    const y = random(g, -2, 2);
    let x = random(g, i & 1 ? -1 : -80, i & 1 ? 0 : 80);
    x = { m: x.m, se: x.se & 0x7fff };
    close(run('fpu_yl2x', x, y), times(fixed(y), log2(fixed(x))), `y·log2 x ${label(x, y)}`);
    const z = random(g, i & 1 ? -4 : -70, -2);
    const v = fixed(z);
    const l = ((2n * atanh(v, 2n * ONE + v)) << BITS) / LN2;
    close(run('fpu_yl2xp1', z, y), times(fixed(y), l), `y·log2(x+1) ${label(z, y)}`);
  }
});

test('FPATAN', () => {
  const g = new Operands(5, 3);
  for (let i = 0; i < COUNT; i++) {
    const x = random(g, i & 1 ? -3 : -40, i & 1 ? 3 : 40);
    const y = random(g, i & 1 ? -3 : -40, i & 1 ? 3 : 40);
    const abs = (v: bigint): bigint => (v < 0n ? -v : v);
    let a = arctangent(abs(fixed(y)), abs(fixed(x)));
    if (x.se & 0x8000) a = PI - a;
    close(run('fpu_patan', x, y), y.se & 0x8000 ? -a : a, `atan2 ${label(y, x)}`);
  }
});
