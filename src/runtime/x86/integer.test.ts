import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CC_OP, CC_SRC, RAX, RBP, RBX, RCX, RDX, RSP, SCRATCH } from './layout.ts';
import { Testbed } from './testbed.cases.ts';

const bed = new Testbed();
bed.protectedMode();
const U64 = (1n << 64n) - 1n;

/** Deterministic 64-bit values, edges included. */
function* values(count: number): Generator<bigint> {
  yield* [0n, 1n, 2n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, U64, U64 - 1n, 0x1_0000_0000n];
  let x = 0x9e37_79b9_7f4a_7c15n;
  for (let i = 0; i < count; i++) {
    x ^= (x << 13n) & U64;
    x ^= x >> 7n;
    x ^= (x << 17n) & U64;
    yield x >> BigInt((i * 7) % 64);
  }
}

describe('division', () => {
  it('divides 128 bits by 64', () => {
    for (const lo of values(24))
      for (const hi of values(24))
        for (const d of values(24)) {
          const n = (hi << 64n) | lo;
          const q = bed.call('div64', BigInt.asIntN(64, lo), BigInt.asIntN(64, hi), BigInt.asIntN(64, d));
          const fault = bed.fault();
          if (d === 0n || n / d > U64) assert.equal(fault, '0:0');
          else if (q !== n / d || bed.get(SCRATCH) !== n % d || fault !== '') assert.fail(`${n} / ${d}`);
        }
  });

  it('divides signed 128 bits by 64', () => {
    for (const lo of values(20))
      for (const hi of values(20))
        for (const divisor of values(20)) {
          const n = (BigInt.asIntN(64, hi) << 64n) | lo;
          const d = BigInt.asIntN(64, divisor);
          const q = BigInt.asIntN(64, bed.call('idiv64', BigInt.asIntN(64, lo), BigInt.asIntN(64, hi), d));
          const fault = bed.fault();
          if (d === 0n || BigInt.asIntN(64, n / d) !== n / d) assert.equal(fault, '0:0');
          else if (q !== n / d || BigInt.asIntN(64, bed.get(SCRATCH)) !== n % d || fault !== '')
            assert.fail(`${n} / ${d}`);
        }
  });

  it('divides narrow operands', () => {
    const cases: [string, bigint, bigint, bigint | undefined][] = [
      ['div8', 0x0105n, 0x10n, 0x0510n],
      ['div8', 0x1000n, 0x10n, undefined],
      ['div8', 1n, 0n, undefined],
      ['div16', 0x1_0003n, 0x10n, 0x0003_1000n],
      ['div32', 0x1_0000_0003n, 0x10n, 0x0000_0003_1000_0000n],
      ['idiv8', 0xfff9n, 2n, 0xfffdn],
      ['idiv8', 0xff80n, 0xffn, undefined],
      ['idiv8', 0xff80n, 1n, 0x0080n],
      ['idiv16', 0xffff_fff9n, 2n, 0xffff_fffdn],
      ['idiv32', 0xffff_ffff_ffff_fff9n, 2n, 0xffff_ffff_ffff_fffdn],
      ['idiv32', 0x8000_0000_0000_0000n, 0xffff_ffffn, undefined],
      ['idiv16', 0x8000_0000n, 0xffffn, undefined],
    ];
    for (const [name, n, d, expected] of cases) {
      const result = bed.call(name, BigInt.asIntN(64, n), d);
      const fault = bed.fault();
      if (expected === undefined) assert.equal(fault, '0:0', name);
      else assert.equal(`${result.toString(16)} ${fault}`, `${expected.toString(16)} `, name);
    }
  });
});

/** Rotate through carry by single steps (SDM Vol. 2B RCL). */
function rotateOnce(left: boolean, value: bigint, carry: bigint, bits: number): [bigint, bigint] {
  const top = BigInt(bits - 1);
  return left
    ? [BigInt.asUintN(bits, value << 1n) | carry, value >> top]
    : [(value >> 1n) | (carry << top), value & 1n];
}

it('rotates through carry by every count', () => {
  for (const size of [1, 2, 4, 8]) {
    const bits = size * 8;
    for (const raw of values(3))
      for (const carry of [0n, 1n])
        for (let count = 0; count < 64; count++) {
          const masked = count & (size === 8 ? 63 : 31);
          for (const left of [true, false]) {
            let value = BigInt.asUintN(bits, raw);
            let c = carry;
            for (let i = 0; i < masked; i++) [value, c] = rotateOnce(left, value, c, bits);
            const flags = ((carry | 0x44n) << 8n) | BigInt(size);
            const result = bed.call(left ? 'rcl' : 'rcr', BigInt.asIntN(64, raw), BigInt(count), flags);
            assert.equal(result, value);
            assert.equal(bed.get(SCRATCH) & 1n, c);
            assert.equal(bed.get(SCRATCH) & 0x44n, 0x44n);
          }
        }
  }
});

describe('decimal adjust', () => {
  const run = (name: string, rax: number, flags: number, ...args: bigint[]): string => {
    bed.set(RAX, rax);
    bed.set(CC_OP, 1);
    bed.set(CC_SRC, flags);
    bed.call(name, ...args);
    return `${bed.get(RAX).toString(16)} ${(bed.get(CC_SRC) & 0x11n).toString(16)}`;
  };
  it('adds and subtracts packed digits', () => {
    for (let a = 0; a < 100; a++)
      for (let b = 0; b < 100; b++) {
        const bcd = (n: number): number => ((Math.floor(n / 10) % 10) << 4) | (n % 10);
        const x = bcd(a);
        const y = bcd(b);
        const added = run(
          'daa',
          (x + y) & 0xff,
          (x + y > 0xff ? 1 : 0) | ((x & 15) + (y & 15) > 15 ? 0x10 : 0),
        );
        assert.equal(parseInt(added, 16), bcd(a + b));
        assert.equal(Number(bed.get(CC_SRC)) & 1, a + b > 99 ? 1 : 0);
        const subtracted = run('das', (x - y) & 0xff, (x < y ? 1 : 0) | ((x & 15) < (y & 15) ? 0x10 : 0));
        assert.equal(parseInt(subtracted, 16), bcd((a - b + 100) % 100));
        assert.equal(Number(bed.get(CC_SRC)) & 1, a < b ? 1 : 0);
      }
  });
  it('adjusts unpacked digits', () => {
    assert.equal(run('aaa', 0x000b, 0), '101 11');
    assert.equal(run('aaa', 0x00f9, 0), '9 0');
    assert.equal(run('aas', 0x01fe, 0x10), '8 11');
    assert.equal(run('aam', 0x0057, 0, 10n), '807 0');
    assert.equal(run('aad', 0x0807, 0, 10n), '57 0');
    bed.call('aam', 0n);
    assert.equal(bed.fault(), '0:0');
  });
});

it('compares and exchanges 16 bytes', () => {
  const at = 0x10_0010;
  bed.w64(at, 1n);
  bed.w64(at + 8, 2n);
  bed.set(RAX, 1);
  bed.set(RDX, 2);
  bed.set(RBX, 3);
  bed.set(RCX, 4);
  assert.equal(bed.call('cmpxchg16b', BigInt(at)), 1n);
  assert.equal(bed.p64(at), 3n);
  assert.equal(bed.p64(at + 8), 4n);
  assert.equal(bed.call('cmpxchg16b', BigInt(at)), 0n);
  assert.equal(bed.get(RDX), 4n);
  bed.call('cmpxchg16b', BigInt(at + 8));
  assert.equal(bed.fault(), '13:0');
});

it('builds nested frames', () => {
  bed.set(RSP, 0x2_0000);
  bed.set(RBP, 0x3_0000);
  bed.w32(0x3_0000 - 4, 0x1111);
  bed.call('enter', 0x20n, 2n, 4n);
  assert.equal(bed.fault(), '');
  assert.equal(bed.get(RBP), 0x1_fffcn);
  assert.equal(bed.get(RSP), 0x2_0000n - 12n - 0x20n);
  assert.deepEqual([bed.p32(0x1_fffc), bed.p32(0x1_fff8), bed.p32(0x1_fff4)], [0x3_0000, 0x1111, 0x1_fffc]);
});

it('checks bounds and sums CRC-32C', () => {
  bed.call('bound', 5n, -1n, 5n);
  assert.equal(bed.fault(), '');
  bed.call('bound', 6n, -1n, 5n);
  assert.equal(bed.fault(), '5:0');
  let crc = 0xffff_ffffn;
  for (const byte of '123456789') crc = bed.call('crc32', crc, BigInt(byte.charCodeAt(0)), 1n);
  assert.equal(crc ^ 0xffff_ffffn, 0xe306_9283n);
});
