import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IrBuilder } from '../../ir/builder.ts';
import { type BaseOp, NO_SLOT, OP, OP_INFO, OPS, type OpInfo, type OpName } from '../../ir/ops.ts';
import { SLOT_RIP } from '../../runtime/tcg/layout.ts';
import { RAX, RBX, RCX, RDX, XMM } from '../../runtime/x86/layout.ts';
import { INTEGER_REFERENCE, join, lanes, SHIFT_REFERENCE, VECTOR_REFERENCE } from './op.reference.ts';
import {
  BLOCK_RIP,
  goNext,
  HELPER,
  hex,
  hi,
  INPUT,
  lo,
  NEXT_RIP,
  type OpBackend,
  type OpEnvironment,
  OpMachine,
  OUTPUT,
  random128,
} from './op-machine.cases.ts';
import { floatTests, memoryTests, RESTORE_WORD } from './op-memory.cases.ts';

const VALUES: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  0x1fn,
  0x20n,
  0x3fn,
  0x40n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0x1234_5678_9abc_def0n,
  0xfedc_ba98_7654_3210n,
  0xa5a5_5a5a_0ff0_f00fn,
];
const IMMEDIATES: readonly bigint[] = [
  0n,
  1n,
  -1n,
  5n,
  31n,
  33n,
  127n,
  -128n,
  0x7fff_ffffn,
  -0x8000_0000n,
  0x1234_5678_9abc_def0n,
];

const VECTORS: readonly bigint[] = [
  0n,
  (1n << 128n) - 1n,
  join(Array<bigint>(8).fill(0x8000n), 16),
  join(Array<bigint>(8).fill(0x7fffn), 16),
  join(Array<bigint>(16).fill(0x80n), 8),
  join([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 15n, 16n, 17n, 31n, 127n, 128n, 129n, 255n], 8),
  random128(1),
  random128(2),
  random128(3),
  random128(4),
];

/** Ways of naming the operands: straight from and to memory, through promoted slots with aliasing, through temporaries. */
type Shape = (
  ir: IrBuilder,
  op: (d: number, a: number, b: number) => void,
  out: number,
  a: number,
  b: number,
) => void;
const SHAPES: Readonly<Record<string, Shape>> = {
  memory: (_ir, op, out, a, b) => op(out, a, b),
  'promoted, d = a': (ir, op, out, a, b) => {
    ir.op(OP.mov, RAX, a);
    ir.op(OP.mov, RBX, b);
    op(RAX, RAX, RBX);
    ir.op(OP.mov, out, RAX);
  },
  'temporaries, d = b': (ir, op, out, a, b) => {
    const t = ir.temp();
    const u = ir.temp();
    ir.op(OP.mov, t, a);
    ir.op(OP.mov, u, b);
    op(u, t, u);
    ir.op(OP.mov, out, u);
    ir.resetTemps();
  },
};

/** Runs `op` on every pair of `pairs`, a block of at most 100 pairs at a time, and compares 64-bit results. */
function checkPairs(
  machine: OpMachine,
  backend: OpBackend,
  shape: Shape,
  pairs: readonly (readonly [bigint, bigint])[],
  op: (ir: IrBuilder, d: number, a: number, b: number, pair: readonly [bigint, bigint]) => void,
  expected: (a: bigint, b: bigint) => bigint,
  label: string,
): void {
  for (let first = 0; first < pairs.length; first += 60) {
    const batch = pairs.slice(first, first + 60);
    machine.reset();
    batch.forEach(([a, b], i) => {
      machine.set(INPUT + 16 * i, a);
      machine.set(INPUT + 16 * i + 8, b);
    });
    backend.run((ir) => {
      batch.forEach((pair, i) => {
        shape(ir, (d, a, b) => op(ir, d, a, b, pair), OUTPUT + 8 * i, INPUT + 16 * i, INPUT + 16 * i + 8);
      });
      ir.goto(Number(BigInt.asIntN(32, NEXT_RIP)), Number(BigInt.asIntN(32, NEXT_RIP >> 32n)));
    });
    assert.equal(machine.get(SLOT_RIP), NEXT_RIP);
    batch.forEach(([a, b], i) => {
      assert.equal(
        hex(machine.get(OUTPUT + 8 * i)),
        hex(BigInt.asUintN(64, expected(a, b))),
        `${label} ${hex(a)}, ${hex(b)}`,
      );
    });
  }
}

function pairsOf(xs: readonly bigint[], ys: readonly bigint[]): [bigint, bigint][] {
  return xs.flatMap((x) => ys.map((y): [bigint, bigint] => [x, y]));
}

function integerCase(machine: OpMachine, backend: OpBackend, info: OpInfo): void {
  const reference = INTEGER_REFERENCE[info.base]!;
  const w = info.type === 'i32' ? 32n : 64n;
  const mask = (x: bigint): bigint => BigInt.asUintN(Number(w), x);
  const expected = (a: bigint, b: bigint): bigint => {
    const r = reference(mask(a), mask(b), w);
    return info.type === 'i32' ? mask(r) : r;
  };
  const pairs = info.isImm
    ? pairsOf(VALUES, IMMEDIATES)
    : info.args === 1
      ? pairsOf(VALUES, [0n])
      : pairsOf(VALUES, VALUES);
  for (const [name, shape] of Object.entries(SHAPES)) {
    checkPairs(
      machine,
      backend,
      shape,
      pairs,
      (ir, d, a, b, pair) => {
        if (info.isImm) ir.imm64(info.opcode, d, a, lo(pair[1]), hi(pair[1]));
        else ir.op(info.opcode, d, a, b);
      },
      expected,
      `${info.name} (${name})`,
    );
  }
}

/** The 16-byte pairs of a block's inputs for vector cases. */
function vectorCase(
  machine: OpMachine,
  backend: OpBackend,
  info: OpInfo,
  expected: (a: bigint, b: bigint) => bigint,
  emit: (ir: IrBuilder, d: number, a: number, b: number) => void,
): void {
  const inTemps = info.resultType === 'v128';
  for (const viaTemps of inTemps ? [false, true] : [false]) {
    for (const a of VECTORS) {
      machine.reset();
      VECTORS.forEach((b, i) => machine.set128(INPUT + 16 * i, b));
      machine.set128(XMM, a);
      backend.run((ir) => {
        VECTORS.forEach((_b, i) => {
          const d = viaTemps ? ir.temp() : OUTPUT + 16 * i;
          emit(ir, d, XMM, INPUT + 16 * i);
          if (viaTemps) ir.op(OP.vmov, OUTPUT + 16 * i, d);
        });
        ir.goto(lo(NEXT_RIP), hi(NEXT_RIP));
      });
      VECTORS.forEach((b, i) => {
        const actual = inTemps ? machine.get128(OUTPUT + 16 * i) : machine.get(OUTPUT + 16 * i);
        assert.equal(
          hex(actual),
          hex(BigInt.asUintN(128, expected(a, b))),
          `${info.name} ${hex(a)}, ${hex(b)}`,
        );
      });
    }
  }
}

function byName(name: OpName): OpInfo {
  return OP_INFO[OP[name]]!;
}

function integerTests(machine: OpMachine, backend: OpBackend): void {
  for (const info of OP_INFO) {
    if (INTEGER_REFERENCE[info.base] === undefined) continue;
    test(`${backend.name}: ${info.name}`, () => integerCase(machine, backend, info));
  }
  test(`${backend.name}: movi, select, lea`, () => {
    const pairs = pairsOf(VALUES, VALUES.slice(0, 6));
    for (const shape of Object.values(SHAPES)) {
      checkPairs(
        machine,
        backend,
        shape,
        pairs,
        (ir, d, _a, _b, p) => ir.movi64(d, lo(p[0]), hi(p[0])),
        (a) => a,
        'movi',
      );
      checkPairs(
        machine,
        backend,
        shape,
        pairs,
        (ir, d, a, b) => ir.op4(OP.select, d, a, b, a),
        (a, b) => (a & 0xffff_ffffn ? b : a),
        'select',
      );
      for (const x of [0, 3]) {
        for (const imm of [0, 5, -0x8000_0000]) {
          const sum = (a: bigint, b: bigint): bigint => a + (b << BigInt(x)) + BigInt(imm);
          checkPairs(
            machine,
            backend,
            shape,
            pairs,
            (ir, d, a, b) => ir.op4(OP.lea_i64, d, a, b, 0, x, imm),
            sum,
            'lea_i64',
          );
          checkPairs(
            machine,
            backend,
            shape,
            pairs,
            (ir, d, a, b) => ir.op4(OP.lea_i32, d, a, b, 0, x, imm),
            (a, b) => sum(a, b) & 0xffff_ffffn,
            'lea_i32',
          );
        }
      }
    }
  });
  test(`${backend.name}: partial state access`, () => {
    machine.reset();
    machine.set(INPUT, 0x8877_6655_4433_2211n);
    machine.set(INPUT + 8, 0xf1f2_f3f4_f5f6_f7f8n);
    machine.set(OUTPUT + 24, 0n);
    backend.run((ir) => {
      ir.op(OP.get8u, OUTPUT, INPUT + 1);
      ir.op(OP.get16u, OUTPUT + 8, INPUT + 3);
      ir.op(OP.get32u, OUTPUT + 16, INPUT + 4);
      ir.op(OP.put8, OUTPUT + 25, INPUT + 8);
      ir.op(OP.put16, OUTPUT + 26, INPUT + 8);
      ir.op(OP.mov, RCX, INPUT + 8);
      ir.op(OP.put32, OUTPUT + 28, RCX);
      goNext(ir);
    });
    assert.deepEqual(
      [0, 8, 16, 24].map((i) => hex(machine.get(OUTPUT + i))),
      ['0x22', '0x5544', '0x88776655', '0xf5f6f7f8f7f8f800'],
    );
  });
}

function vectorTests(machine: OpMachine, backend: OpBackend): void {
  for (const info of OP_INFO) {
    const reference = VECTOR_REFERENCE[info.base];
    if (reference !== undefined) {
      test(`${backend.name}: ${info.name}`, () =>
        vectorCase(machine, backend, info, reference, (ir, d, a, b) => ir.op(info.opcode, d, a, b)));
    }
    const shift = SHIFT_REFERENCE[info.base];
    if (shift !== undefined) {
      test(`${backend.name}: ${info.name}`, () => {
        for (const count of [0, 1, 7, shift.bits - 1]) {
          const expected = (a: bigint): bigint =>
            join(
              lanes(a, shift.bits).map((x) => shift.lane(x, BigInt(count))),
              shift.bits,
            );
          vectorCase(machine, backend, info, expected, (ir, d, a) => ir.imm(info.opcode, d, a, count));
        }
      });
    }
  }
  test(`${backend.name}: vconst, vbitselect, vshuffle`, () => {
    const pattern = [0, 16, 1, 17, 2, 18, 31, 15, 8, 8, 24, 3, 30, 29, 0, 1];
    const words = [0, 1, 2, 3].map((w) =>
      pattern.slice(4 * w, 4 * w + 4).reduce((sum, byte, i) => sum | (byte << (8 * i)), 0),
    );
    const shuffled = (a: bigint, b: bigint): bigint => {
      const bytes = [...lanes(a, 8), ...lanes(b, 8)];
      return join(
        pattern.map((i) => bytes[i]!),
        8,
      );
    };
    vectorCase(machine, backend, byName('vshuffle'), shuffled, (ir, d, a, b) =>
      ir.op128(OP.vshuffle, d, a, b, words[0]!, words[1]!, words[2]!, words[3]!),
    );
    const constant = join([0x11223344n, 0x8899aabbn, 0xfffffffen, 1n], 32);
    vectorCase(
      machine,
      backend,
      byName('vconst'),
      () => constant,
      (ir, d) => ir.op128(OP.vconst, d, 0, 0, 0x11223344, 0x8899aabb, -2, 1),
    );
    vectorCase(
      machine,
      backend,
      byName('vbitselect'),
      (a, b) => (a & b) | (b & ~b),
      (ir, d, a, b) => ir.op4(OP.vbitselect, d, a, b, b),
    );
    vectorCase(
      machine,
      backend,
      byName('vbitselect'),
      (a, b) => (b & a) | (a & ~a),
      (ir, d, a, b) => ir.op4(OP.vbitselect, d, b, a, a),
    );
  });
}

function callTests(machine: OpMachine, backend: OpBackend): void {
  test(`${backend.name}: call with arguments, results and promoted state`, () => {
    machine.reset();
    machine.set(RAX, 0n);
    machine.set(RCX, 10n);
    machine.set(RDX, 20n);
    backend.run((ir) => {
      ir.call(HELPER['t_args0']!, RBX);
      ir.movi(RAX, 1000);
      ir.call(HELPER['t_args3']!, OUTPUT, RBX, RCX, RDX);
      ir.call(HELPER['t_args0']!, NO_SLOT);
      ir.call(HELPER['t_write']!, NO_SLOT, RCX);
      ir.imm(OP.add_i64_imm, RAX, RAX, 1);
      goNext(ir);
    });
    assert.deepEqual(
      [RAX, RBX, RCX, RDX, OUTPUT].map((s) => machine.get(s)),
      [11n, 42n, 10n, BigInt.asUintN(64, ~10n), 42n + 20n + 60n + 1000n],
    );
  });
  test(`${backend.name}: a faulting call leaves the block`, () => {
    for (const argument of [0n, 1n]) {
      machine.reset();
      machine.set(RAX, argument);
      machine.set(RBX, 5n);
      backend.run((ir) => {
        ir.restore = RESTORE_WORD;
        ir.imm(OP.add_i64_imm, RCX, RBX, 1);
        ir.call(HELPER['t_fault']!, RBX, RAX);
        ir.op(OP.mov, RCX, RBX);
        goNext(ir);
      });
      assert.deepEqual([machine.get(RBX), machine.get(RCX)], argument ? [5n, 6n] : [99n, 99n]);
      assert.equal(machine.get(SLOT_RIP), argument ? BLOCK_RIP + 0x34n : NEXT_RIP);
    }
  });
  test(`${backend.name}: RIP is current in a helper that needs it`, () => {
    machine.reset();
    backend.run((ir) => {
      ir.restore = 0x77;
      ir.call(HELPER['t_needs_rip']!, RBX);
      goNext(ir);
    });
    assert.equal(hex(machine.get(RBX)), hex(BLOCK_RIP + 0x77n));
  });
}

function terminatorTests(machine: OpMachine, backend: OpBackend): void {
  const other = 0x1_2345_6789n;
  test(`${backend.name}: br`, () => {
    for (const [condition, expected] of [
      [1n, NEXT_RIP],
      [0n, other],
      [1n << 32n, other],
      [1n << 31n, NEXT_RIP],
    ] as const) {
      machine.reset();
      machine.set(RCX, condition);
      backend.run((ir) => ir.br(RCX, lo(NEXT_RIP), hi(NEXT_RIP), lo(other), hi(other)));
      assert.equal(hex(machine.get(SLOT_RIP)), hex(expected));
    }
  });
  test(`${backend.name}: goto_ind and exit`, () => {
    for (const end of [(ir: IrBuilder) => ir.gotoInd(), (ir: IrBuilder) => ir.exit()]) {
      machine.reset();
      machine.set(RCX, other);
      backend.run((ir) => {
        ir.op(OP.mov, SLOT_RIP, RCX);
        ir.movi(RAX, 3);
        end(ir);
      });
      assert.equal(hex(machine.get(SLOT_RIP)), hex(other));
      assert.equal(machine.get(RAX), 3n);
    }
  });
}

/** Registers the conformance tests of the lowering table for one back end. */
export function testOperations(makeBackend: (environment: OpEnvironment) => OpBackend): void {
  const machine = new OpMachine();
  const backend = makeBackend(machine);
  integerTests(machine, backend);
  vectorTests(machine, backend);
  memoryTests(machine, backend);
  floatTests(machine, backend);
  callTests(machine, backend);
  terminatorTests(machine, backend);
  test(`${backend.name}: every operation has a case`, () => {
    const others = new Set<string>([
      'chkaddr',
      'movi',
      'select',
      'lea',
      'vconst',
      'vbitselect',
      'vshuffle',
      'fadd',
      'fsub',
      'fmul',
      'fdiv',
      'call',
      'goto',
      'br',
      'goto_ind',
      'exit',
    ]);
    for (const base of Object.keys(OPS) as BaseOp[]) {
      const covered =
        base in INTEGER_REFERENCE ||
        base in VECTOR_REFERENCE ||
        base in SHIFT_REFERENCE ||
        others.has(base) ||
        /^(ld|st|get|put|vf(add|sub|mul|div)|v?f(fma|sqrt|min|max|cmp|comi|fromint|toint|cvt|round))/.test(
          base,
        );
      assert.ok(covered, base);
    }
  });
}
