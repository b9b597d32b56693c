// SSE arithmetic helpers against the host's own arithmetic and, for the directed roundings, exact rational arithmetic.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Operands } from './fp-vectors.cases.ts';
import { MXCSR, XMM } from './layout.ts';
import { loadRuntime } from './runtime.cases.ts';

const { memory, cpu, call } = loadRuntime();
const D = XMM;
const A = XMM + 16;
const B = XMM + 32;
const scratch = new DataView(new ArrayBuffer(8));

function toF64(bits: bigint): number {
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
}

function toF32(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

function run64(op: string, a: bigint, b: bigint, mxcsr: number): bigint {
  call('sse_ldmxcsr', BigInt(mxcsr));
  memory.setBigUint64(cpu + A, a, true);
  memory.setBigUint64(cpu + B, b, true);
  call(op, BigInt(D), BigInt(A), BigInt(B));
  return memory.getBigUint64(cpu + D, true);
}

function run32(op: string, a: number, b: number, mxcsr: number): number {
  call('sse_ldmxcsr', BigInt(mxcsr));
  memory.setUint32(cpu + A, a, true);
  memory.setUint32(cpu + B, b, true);
  call(op, BigInt(D), BigInt(A), BigInt(B));
  return memory.getUint32(cpu + D, true);
}

const OPS: Readonly<Record<string, (x: number, y: number) => number>> = {
  fadd: (x, y) => x + y, fsub: (x, y) => x - y, fmul: (x, y) => x * y, fdiv: (x, y) => x / y,
};

test('f64 and f32 arithmetic to nearest is the host\'s', () => {
  Object.entries(OPS).forEach(([name, f], n) => {
    const g = new Operands(2, n);
    for (let i = 0; i < 20000; i++) {
      // PE clear: the soft-float or the exactness proof; PE set: the inline rules.
      const mxcsr = i & 1 ? 0x1f80 : 0x1fa0;
      const a = g.f64();
      const b = g.f64();
      const want = f(toF64(a), toF64(b));
      const got = toF64(run64(`${name}_f64`, a, b, mxcsr));
      assert.ok(Object.is(got, want), `${name}_f64 ${a.toString(16)} ${b.toString(16)}: ${got}, not ${want}`);
      const x = g.f32();
      const y = g.f32();
      const want32 = Math.fround(f(toF32(x), toF32(y)));
      const got32 = toF32(run32(`${name}_f32`, x, y, mxcsr));
      assert.ok(Object.is(got32, want32), `${name}_f32 ${x.toString(16)} ${y.toString(16)}: ${got32}, not ${want32}`);
    }
  });
});

/** A finite double as numerator · 2^exponent. */
function exact(bits: bigint): { n: bigint; e: number } {
  const e = Number((bits >> 52n) & 0x7ffn);
  const f = bits & 0xfffffffffffffn;
  const m = e === 0 ? f : f | (1n << 52n);
  return { n: bits >> 63n ? -m : m, e: Math.max(e, 1) - 1075 };
}

/** Compares the double `bits` with num / den · 2^e: -1, 0, 1. */
function compare(bits: bigint, num: bigint, den: bigint, e: number): number {
  const x = exact(bits);
  const shift = x.e - e;
  const left = shift > 0 ? (x.n * den) << BigInt(shift) : x.n * den;
  const right = shift < 0 ? num << BigInt(-shift) : num;
  return left < right ? -1 : left > right ? 1 : 0;
}

const MAX = 0x7fefffffffffffffn;
const SIGN = 1n << 63n;

/** The neighbour towards +∞ of a finite double. */
function above(bits: bigint): bigint {
  if (bits === SIGN) return 1n;
  return bits & SIGN ? bits - 1n : bits + 1n;
}

function below(bits: bigint): bigint {
  return above(bits ^ SIGN) ^ SIGN;
}

test('directed roundings bracket the exact result', () => {
  for (const [n, name] of ['fadd_f64', 'fmul_f64', 'fdiv_f64'].entries()) {
    const g = new Operands(3, n);
    for (let i = 0; i < 4000; i++) {
      const a = g.f64();
      const b = g.f64();
      const x = exact(a);
      const y = exact(b);
      if ([a, b].some((v) => ((v >> 52n) & 0x7ffn) === 0x7ffn) || (name === 'fdiv_f64' && y.n === 0n)) continue;
      let num = x.n * y.n;
      let den = 1n;
      let e = x.e + y.e;
      if (name === 'fdiv_f64') {
        num = y.n < 0n ? -x.n : x.n;
        den = y.n < 0n ? -y.n : y.n;
        e = x.e - y.e;
      } else if (name === 'fadd_f64') {
        e = Math.min(x.e, y.e);
        num = (x.n << BigInt(x.e - e)) + (y.n << BigInt(y.e - e));
      }
      check(name, a, b, num, den, e);
    }
  }
});

function check(name: string, a: bigint, b: bigint, num: bigint, den: bigint, e: number): void {
  const label = `${name} ${a.toString(16)} ${b.toString(16)}`;
  const down = run64(name, a, b, 0x3f80);
  const up = run64(name, a, b, 0x5f80);
  const zero = run64(name, a, b, 0x7f80);
  const finite = (v: bigint): boolean => (v & ~SIGN) <= MAX;
  if (finite(down)) {
    assert.ok(compare(down, num, den, e) <= 0, `${label} down`);
    if (above(down) !== MAX + 1n) assert.ok(compare(above(down), num, den, e) > 0 || num === 0n, `${label} down, nearest below`);
  }
  if (finite(up)) {
    assert.ok(compare(up, num, den, e) >= 0, `${label} up`);
    if (below(up) !== (SIGN | (MAX + 1n))) assert.ok(compare(below(up), num, den, e) < 0 || num === 0n, `${label} up, nearest above`);
  }
  assert.equal(zero, num < 0n ? up : num > 0n ? down : zero, `${label} towards zero`);
}

test('reciprocal approximations are within 1.5 · 2^-12', () => {
  const g = new Operands(4, 0);
  for (let i = 0; i < 5000; i++) {
    const bits = g.f32();
    const x = toF32(bits);
    if (!Number.isFinite(x) || Math.abs(x) < 2 ** -126) continue;
    memory.setUint32(cpu + B, bits, true);
    call('sse_approx', 2n, BigInt(D), BigInt(B));
    const r = memory.getFloat32(cpu + D, true);
    if (Math.abs(1 / x) >= 2 ** -126) assert.ok(Math.abs(r * x - 1) <= 1.5 * 2 ** -12, `1 / ${x}`);
    else assert.equal(Math.abs(r), 0);
    call('sse_approx', 3n, BigInt(D), BigInt(B));
    const s = memory.getFloat32(cpu + D, true);
    if (x > 0) assert.ok(Math.abs(s * Math.sqrt(x) - 1) <= 1.5 * 2 ** -12, `1 / √${x}`);
    else assert.ok(Number.isNaN(s));
  }
});

test('PE is set by the first inexact result and only then', () => {
  const bits = (x: number): bigint => {
    scratch.setFloat64(0, x);
    return scratch.getBigUint64(0);
  };
  const flags = (op: string, a: number, b: number): number => {
    run64(op, bits(a), bits(b), 0x1f80);
    return memory.getUint32(cpu + MXCSR, true) & 63;
  };
  assert.equal(flags('fadd_f64', 1, 2), 0);
  assert.equal(flags('fadd_f64', 0.1, 0.2), 32);
  assert.equal(flags('fmul_f64', 3, 0.125), 0);
  assert.equal(flags('fmul_f64', 0.1, 3), 32);
  assert.equal(flags('fdiv_f64', 1, 8), 0);
  assert.equal(flags('fdiv_f64', 1, 3), 32);
  assert.equal(flags('fdiv_f64', 1, 0), 4);
  assert.equal(flags('fmul_f64', 1e300, 1e300), 40);
  assert.equal(flags('fmul_f64', 1e-300, 1e-300), 48);
  assert.equal(flags('fadd_f64', 5e-324, 1), 34);
});
