// The x87 against a real processor (tests/golden/fp/vectors.bin).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { FAULT, FPR, FPU_CW, FPU_SW, FPU_TAGS, FPU_TOP } from './layout.ts';
import { Operands, Outcome } from './fp-vectors.cases.ts';
import type { F80 } from './fp-vectors.cases.ts';
import { loadRuntime } from './runtime.cases.ts';

const rt = loadRuntime();
const vectors = readFileSync(fileURLToPath(new URL('../../../tests/golden/fp/vectors.bin', import.meta.url)));
const { memory, cpu, call } = rt;
const get = (slot: number): number => memory.getUint32(cpu + slot, true);
const put = (slot: number, v: number): void => memory.setBigUint64(cpu + slot, BigInt(v), true);

function push(x: F80): void {
  const top = (get(FPU_TOP) - 1) & 7;
  put(FPU_TOP, top);
  memory.setBigUint64(cpu + FPR + top * 16, x.m, true);
  memory.setUint16(cpu + FPR + top * 16 + 8, x.se, true);
  memory.setUint8(cpu + FPU_TAGS + top, 0);
}

function reset(cw: number): void {
  memory.setBigUint64(cpu + FPU_TAGS, 0x0101010101010101n, true);
  for (let i = 0; i < 128; i += 8) memory.setBigUint64(cpu + FPR + i, 0n, true);
  put(FPU_TOP, 0);
  put(FPU_SW, 0);
  put(FPU_CW, cw);
  put(FAULT, 0);
}

function st(i: number): F80 {
  const p = cpu + FPR + ((get(FPU_TOP) + i) & 7) * 16;
  return { m: memory.getBigUint64(p, true), se: memory.getUint16(p + 8, true) };
}

function record(out: Outcome, values: number): Outcome {
  out.put(get(FPU_SW) | (get(FPU_TOP) << 11), 2).put(call('fpu_tag_word'), 2);
  for (let i = 0; i < values; i++) out.put(st(i).m, 8).put(st(i).se, 2);
  return out;
}

type Op = () => unknown;
const ARITH: Op[] = [
  () => call('fpu_arith_st0', 0n, 1n), () => call('fpu_arith_st0', 1n, 1n), () => call('fpu_arith_st0', 4n, 1n),
  () => call('fpu_arith_st0', 5n, 1n), () => call('fpu_arith_st0', 6n, 1n), () => call('fpu_arith_st0', 7n, 1n),
  () => call('fpu_arith_sti', 0n, 1n, 1n), () => call('fpu_arith_sti', 4n, 1n, 1n), () => call('fpu_arith_sti', 7n, 1n, 1n),
  () => call('fpu_prem', 0n), () => call('fpu_prem', 1n), () => call('fpu_scale'),
  () => call('fpu_com', 1n, 0n, 0n), () => call('fpu_com', 1n, 0n, 2n), () => call('fpu_com', 1n, 1n, 2n),
  () => call('fpu_sqrt'), () => call('fpu_rndint'), () => call('fpu_xtract'), () => call('fpu_tst'), () => call('fpu_xam'),
  () => call('fpu_sign', 1n), () => call('fpu_sign', 0n),
];
/** Operations with one operand: the stack holds only it. */
const FIRST_UNARY = 15;

interface Section {
  readonly name: string;
  readonly ops: number;
  readonly count: number;
  /** Bytes per record when values are stored instead of a digest. */
  readonly full?: number;
  readonly run: (op: number, g: Operands) => Outcome;
}

function arith(op: number, g: Operands): Outcome {
  const a = g.f80();
  const b = g.f80();
  reset(g.controlWord());
  if (op < FIRST_UNARY) push(b);
  push(a);
  ARITH[op]!();
  return record(new Outcome(), 2);
}

function comi(op: number, g: Operands): Outcome {
  const a = g.f80();
  const b = g.f80();
  reset(0x37f);
  push(b);
  push(a);
  const f = call('fpu_comi', 1n, op === 0 ? 0n : 3n);
  return record(new Outcome().put(f, 2), 2);
}

function mem(op: number, g: Operands): Outcome {
  const a = g.f80();
  reset(g.controlWord());
  push(a);
  const v = op === 0 || op === 4 || op === 6 ? BigInt(g.f32()) : op === 2 || op === 5 ? g.f64() : g.int();
  const s = BigInt.asIntN(64, v);
  if (op < 4) call('fpu_arith_mem', 0n, BigInt(op), s);
  else if (op === 4) call('fpu_com_mem', 0n, s, 0n);
  else call('fpu_load', [2n, 0n, 4n, 1n, 3n][op - 5]!, s);
  return record(new Outcome(), 2);
}

function stores(op: number, g: Operands): Outcome {
  const a = g.f80();
  reset(g.controlWord());
  push(a);
  const bytes = new DataView(new ArrayBuffer(16));
  for (let i = 0; i < 16; i++) bytes.setUint8(i, 0xcc);
  storeTo(op, bytes);
  const out = record(new Outcome(), 1);
  for (let i = 0; i < 10; i++) out.put(bytes.getUint8(i), 1);
  return out;
}

function storeTo(op: number, bytes: DataView): void {
  const kind = [0n, 1n, 2n, 3n, 4n, 9n, 11n, 12n][op];
  const old = bytes.getBigUint64(0, true);
  const oldHigh = BigInt(bytes.getUint16(8, true));
  const value = op === 8 ? call('fpu_store_bcd', old) : op === 9 ? call('fpu_store80', old) : call('fpu_store', kind!, old);
  if (get(FAULT) !== 0) return;
  const size = op === 8 || op === 9 ? 8 : [4, 4, 8, 2, 8, 4, 2, 8][op]!;
  for (let i = 0; i < size; i++) bytes.setUint8(i, Number((value >> BigInt(8 * i)) & 255n));
  if (op === 8) bytes.setUint16(8, Number(call('fpu_store_bcd_high', oldHigh)), true);
  if (op === 9) bytes.setUint16(8, Number(call('fpu_store80_se', oldHigh)), true);
  call('fpu_stored', 1n);
}

const one = 0x3f800000n;
const full = (): void => {
  for (let i = 0; i < 8; i++) call('fpu_const', i % 2 ? 6n : 0n);
};

function stack(op: number, g: Operands): Outcome {
  reset(g.next() & 1n ? 0x37f : 0x37e);
  const bytes = new DataView(new ArrayBuffer(16));
  const cases: Op[] = [
    () => call('fpu_arith_st0', 0n, 1n), () => call('fpu_load_st', 3n), () => call('fpu_arith_sti', 0n, 1n, 1n),
    () => call('fpu_com', 1n, 0n, 2n), () => call('fpu_xch', 2n), () => call('fpu_sqrt'), () => call('fpu_store_st', 2n, 0n),
    () => call('fpu_xtract'), () => (call('fpu_const', 0n), call('fpu_step', 1n), storeTo(0, bytes)),
    () => (full(), call('fpu_load', 0n, one)), () => (full(), call('fpu_const', 0n)), () => (full(), call('fpu_load', 4n, one)),
    () => (full(), call('fpu_xtract')), () => (full(), call('fpu_ptan')), () => call('fpu_sincos'), () => call('fpu_patan'),
    () => call('fpu_sign', 1n), () => call('fpu_tst'), () => (call('fpu_const', 0n), call('fpu_xch', 1n)),
    () => (call('fpu_const', 0n), call('fpu_cmov', 1n, 0n)), () => call('fpu_prem', 0n), () => storeTo(1, bytes),
    () => storeTo(8, bytes), () => call('fpu_yl2x'), () => call('fpu_scale'), () => (full(), call('fpu_load_st', 0n)),
    () => call('fpu_xam'),
  ];
  cases[op]!();
  return record(new Outcome(), 8).put(bytes.getBigUint64(0, true), 8).put(bytes.getUint16(8, true), 2);
}

function constant(op: number, g: Operands): Outcome {
  reset(0x33f | (Number(g.next() & 3n) << 10));
  call('fpu_const', BigInt(op));
  return record(new Outcome(), 1);
}

function bcd(_op: number, g: Operands): Outcome {
  const r = g.next();
  const s = g.next();
  let v = 0n;
  for (let i = 0n; i < 9n; i++) {
    const x = (i < 8n ? r >> (8n * i) : s) & 255n;
    v |= ((((x >> 4n) % 10n) << 4n) | ((x & 15n) % 10n)) << (8n * i);
  }
  if ((s >> 8n) & 1n) v |= 0x80n << 72n;
  reset(0x37f);
  call('fpu_load_bcd', BigInt.asIntN(64, v), v >> 64n);
  return record(new Outcome(), 1);
}

const TRANS = ['fpu_patan', 'fpu_yl2x', 'fpu_yl2xp1', 'fpu_2xm1', 'fpu_sin', 'fpu_cos', 'fpu_ptan', 'fpu_sincos'];

function trans(op: number, g: Operands): Outcome {
  let a = g.f80();
  const b = g.f80();
  const e = a.se & 0x7fff;
  if ((op === 2 || op === 3) && e > 0x3ffd && e !== 0x7fff) a = { m: a.m, se: (a.se & 0x8000) | 0x3ffc };
  reset(0x37f);
  if (op < 3) push(b);
  push(a);
  call(TRANS[op]!);
  return record(new Outcome(), 2);
}

const SECTIONS: readonly Section[] = [
  { name: 'arithmetic', ops: 22, count: 1500, run: arith },
  { name: 'comparisons into flags', ops: 2, count: 500, run: comi },
  { name: 'memory operands', ops: 10, count: 600, run: mem },
  { name: 'stores', ops: 10, count: 1000, run: stores },
  { name: 'stack faults', ops: 27, count: 4, run: stack },
  { name: 'constants', ops: 7, count: 12, run: constant },
  { name: 'packed decimal load', ops: 1, count: 100, run: bcd },
  { name: 'transcendental functions', ops: 8, count: 200, full: 24, run: trans },
];

/** Whether two recorded outcomes agree but for one unit in the last place of a value, and C1 with it. */
function near(a: readonly number[], b: Uint8Array): boolean {
  const word = (x: ArrayLike<number>, p: number, n: number): bigint => {
    let v = 0n;
    for (let i = n - 1; i >= 0; i--) v = (v << 8n) | BigInt(x[p + i]!);
    return v;
  };
  if ((word(a, 0, 4) | 0x200n) !== (word(b, 0, 4) | 0x200n)) return false;
  for (const p of [4, 14]) {
    const d = word(a, p, 10) - word(b, p, 10);
    if (d > 1n || d < -1n) return false;
  }
  return true;
}

let offset = 0;
SECTIONS.forEach((s, index) => {
  const start = offset;
  offset += s.ops * s.count * (s.full ?? 2);
  test(`x87 ${s.name} match the recorded processor`, () => {
    const bad: string[] = [];
    for (let op = 0; op < s.ops; op++) {
      const g = new Operands(index, op);
      for (let i = 0; i < s.count; i++) {
        const at = start + (op * s.count + i) * (s.full ?? 2);
        const out = s.run(op, g);
        const ok = s.full ? near(out.bytes, vectors.subarray(at, at + s.full)) : out.digest() === vectors.readUInt16LE(at);
        if (!ok) bad.push(`${op}/${i}: ${Buffer.from(out.bytes).toString('hex')}`);
      }
    }
    assert.equal(bad.length, 0, `${bad.length} differ: op/index\n${bad.slice(0, Number(process.env["BAD"] ?? 40)).join('\n')}`);
  });
});
