import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  CC_ADC8,
  CC_ADD8,
  CC_BITSCAN8,
  CC_CO,
  CC_CO_CARRY,
  CC_CO_FLAGS,
  CC_CO_ROL8,
  CC_CO_ROR8,
  CC_DEC8,
  CC_DST,
  CC_EFLAGS,
  CC_INC8,
  CC_LOGIC8,
  CC_MUL8,
  CC_OP,
  CC_POPCNT,
  CC_SBB8,
  CC_SHL8,
  CC_SHR8,
  CC_SRC,
  CC_SRC2,
  CC_SUB8,
} from './layout.ts';
import { Testbed } from './testbed.cases.ts';

const bed = new Testbed();
const CF = 1;
const AF = 0x10;
const OF = 0x800;
const GARBAGE = 0x5a5a_5a5a_0000_0000n;

interface Operation {
  readonly base: number;
  /** Result and CF, AF, OF by the definition, bit by bit. */
  run(
    a: bigint,
    b: bigint,
    c: bigint,
    bits: number,
  ): { readonly result: bigint; readonly flags: number; readonly src: bigint };
}

function signed(v: bigint, bits: number): bigint {
  return BigInt.asIntN(bits, v);
}
function inRange(v: bigint, bits: number): boolean {
  return signed(v, bits) === v;
}

function sum(a: bigint, b: bigint, c: bigint, bits: number): { result: bigint; flags: number } {
  const result = BigInt.asUintN(bits, a + b + c);
  let flags = a + b + c === result ? 0 : CF;
  if ((a & 15n) + (b & 15n) + c > 15n) flags |= AF;
  if (!inRange(signed(a, bits) + signed(b, bits) + c, bits)) flags |= OF;
  return { result, flags };
}

function difference(a: bigint, b: bigint, c: bigint, bits: number): { result: bigint; flags: number } {
  const result = BigInt.asUintN(bits, a - b - c);
  let flags = a < b + c ? CF : 0;
  if ((a & 15n) < (b & 15n) + c) flags |= AF;
  if (!inRange(signed(a, bits) - signed(b, bits) - c, bits)) flags |= OF;
  return { result, flags };
}

const operations: Operation[] = [
  { base: CC_ADD8, run: (a, b, _c, bits) => ({ ...sum(a, b, 0n, bits), src: b }) },
  { base: CC_ADC8, run: (a, b, c, bits) => ({ ...sum(a, b, c, bits), src: b }) },
  { base: CC_SUB8, run: (a, b, _c, bits) => ({ ...difference(a, b, 0n, bits), src: b }) },
  { base: CC_SBB8, run: (a, b, c, bits) => ({ ...difference(a, b, c, bits), src: b }) },
  { base: CC_LOGIC8, run: (a, b) => ({ result: a & b, flags: 0, src: b }) },
  {
    base: CC_INC8,
    run: (a, _b, c, bits) => {
      const { result, flags } = sum(a, 1n, 0n, bits);
      return { result, flags: (flags & ~CF) | Number(c), src: c };
    },
  },
  {
    base: CC_DEC8,
    run: (a, _b, c, bits) => {
      const { result, flags } = difference(a, 1n, 0n, bits);
      return { result, flags: (flags & ~CF) | Number(c), src: c };
    },
  },
];

/** SF, ZF, PF of a result. */
function resultFlags(result: bigint, bits: number): number {
  let ones = 0;
  for (let i = 0n; i < 8n; i++) ones += Number((result >> i) & 1n);
  return (result === 0n ? 0x40 : 0) | (result >> BigInt(bits - 1) ? 0x80 : 0) | (ones % 2 === 0 ? 4 : 0);
}

function set(op: number, dst: bigint, src: bigint, src2 = 0n): void {
  bed.set(CC_OP, op);
  bed.set(CC_DST, dst);
  bed.set(CC_SRC, src);
  bed.set(CC_SRC2, src2);
}

function check(op: Operation, log: number, a: bigint, b: bigint, c: bigint): void {
  const bits = 8 << log;
  const { result, flags, src } = op.run(a, b, c, bits);
  const above = log < 3 && op.base !== CC_INC8 && op.base !== CC_DEC8 ? GARBAGE : 0n;
  set(op.base + log, result | above, src | above, c);
  const expected = flags | resultFlags(result, bits);
  const found = Number(bed.call('cc_all'));
  if (found !== expected)
    assert.fail(
      `kind ${op.base + log}: ${a}, ${b}, ${c}: ${found.toString(16)}, not ${expected.toString(16)}`,
    );
  if (Number(bed.call('cc_carry')) !== (expected & 1))
    assert.fail(`cc_carry of kind ${op.base + log}: ${a}, ${b}, ${c}`);
}

it('matches the definition for all 8-bit operands', () => {
  for (const op of operations) {
    for (let a = 0n; a < 256n; a++)
      for (let b = 0n; b < 256n; b += 3n) for (const c of [0n, 1n]) check(op, 0, a, b, c);
  }
});

it('matches the definition at the edges of wider operands', () => {
  for (const log of [1, 2, 3]) {
    const top = 1n << BigInt((8 << log) - 1);
    const edges = [0n, 1n, 15n, 16n, 0xffn, top - 1n, top, top + 1n, 2n * top - 2n, 2n * top - 1n];
    for (const op of operations)
      for (const a of edges) for (const b of edges) for (const c of [0n, 1n]) check(op, log, a, b, c);
  }
});

it('knows shifts, products, bit scans and explicit flags', () => {
  const all = (): number => Number(bed.call('cc_all'));
  set(CC_SHL8 + 2, 0x8000_0002n, 0xc000_0001n);
  assert.equal(all(), 0x81, 'CF from the operand, OF clear');
  set(CC_SHL8, 0x80n, 0x40n);
  assert.equal(all(), 0x880);
  set(CC_SHR8 + 1, 0x4000n, 0x8001n);
  assert.equal(all(), 0x805);
  set(CC_MUL8 + 3, 1n, 1n);
  assert.equal(all(), 0x801);
  set(CC_MUL8 + 3, 0n, 0n);
  assert.equal(all(), 0x44);
  set(CC_BITSCAN8 + 2, 0n, 1n);
  assert.equal(all(), 0x41);
  set(CC_POPCNT, 0n, 0n);
  assert.equal(all(), 0x40);
  set(CC_EFLAGS, 0n, 0xfffn);
  assert.equal(all(), 0x8d5);
});

it('lets rotates replace carry and overflow', () => {
  const all = (op: number, co: bigint): number => {
    set(CC_EFLAGS | op, 0n, 0x44n);
    bed.set(CC_CO, co);
    return Number(bed.call('cc_all'));
  };
  assert.equal(all(CC_CO_FLAGS, 0x801n), 0x845);
  assert.equal(all(CC_CO_CARRY, 1n), 0x45);
  assert.equal(all(CC_CO_ROL8, 0x01n), 0x845);
  assert.equal(all(CC_CO_ROL8, 0x81n), 0x45);
  assert.equal(all(CC_CO_ROL8 + 0x300, 1n << 63n), 0x844);
  assert.equal(all(CC_CO_ROR8, 0x80n), 0x845);
  assert.equal(all(CC_CO_ROR8 + 0x200, 0xc000_0000n), 0x45);
});

it('evaluates every condition', () => {
  for (let flags = 0; flags < 32; flags++) {
    const f = {
      o: flags & 1,
      c: (flags >> 1) & 1,
      z: (flags >> 2) & 1,
      s: (flags >> 3) & 1,
      p: (flags >> 4) & 1,
    };
    set(CC_EFLAGS, 0n, BigInt((f.o << 11) | f.c | (f.z << 6) | (f.s << 7) | (f.p << 2)));
    const truth = [f.o, f.c, f.z, f.c | f.z, f.s, f.p, f.s ^ f.o, f.z | (f.s ^ f.o)];
    for (let cc = 0; cc < 16; cc++)
      assert.equal(Number(bed.call('cc_cond', BigInt(cc))), truth[cc >> 1]! ^ (cc & 1));
  }
});
