import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IrBuilder } from '../../ir/builder.ts';
import { expandHelpers, type HelperInfo } from '../../ir/helper-table.ts';
import {
  type BaseOp,
  MEM_ALIGN,
  MEM_RMW,
  NO_SLOT,
  OP,
  OP_INFO,
  OPS,
  type OpInfo,
  type OpName,
} from '../../ir/ops.ts';
import {
  FAULT_EXCEPTION,
  SLOT_FAULT,
  SLOT_KEY,
  SLOT_RESTORE,
  SLOT_RIP,
  TLB_ADDEND,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_READ,
  TLB_TABLE_SIZE,
  TLB_WRITE,
  VCPU_BASE,
} from '../../runtime/tcg/layout.ts';
import { CPUID_TABLE, FP_FAST, MSR_STORE, RAX, RBX, RCX, RDX, XMM } from '../../runtime/x86/layout.ts';
import { INTEGER_REFERENCE, join, lanes, SHIFT_REFERENCE, VECTOR_REFERENCE } from './op.reference.ts';
import { type WasmMemory, webAssembly } from './webassembly.ts';

/** Everything a back end needs to run test blocks: memory, helpers, and a runtime made of JavaScript functions. */
export interface OpEnvironment {
  readonly memory: WasmMemory;
  readonly cpuBase: number;
  readonly helpers: readonly HelperInfo[];
  /** Runtime functions by name: slow paths, tb_find (returns 0) and the helpers, with bigint for i64. */
  readonly runtime: Readonly<Record<string, (...args: never[]) => unknown>>;
}

/** A back end under test. */
export interface OpBackend {
  readonly name: string;
  /**
   * Translates what `emit` appends as the block at RIP `BLOCK_RIP` and the KEY slot's key, and executes it from there until
   * control leaves it (all state stored to memory, RIP where execution continues).
   */
  run(emit: (ir: IrBuilder) => void): void;
}

export const BLOCK_RIP = 0xffff_8000_0040_1000n;
const NEXT_RIP = 0xffff_8000_0040_1234n;
const MEMORY_PAGES = 0x810_0000 >> 16;
/** Host page that the test's virtual page maps to, and the virtual page. */
const HOST_PAGE = 0x800_0000;
const PAGE_VA = 0xffff_8880_1234_5000n;
const UNMAPPED_VA = 0x7fff_1234_0000n;

const HELPERS = expandHelpers({
  t_args0: { args: 0, result: true, doc: '42' },
  t_args3: { args: 3, result: true, reads: true, doc: 'a + 2 b + 3 c + RAX' },
  t_write: { args: 1, writes: true, doc: 'RAX = a, RDX = ~a' },
  t_fault: { args: 1, result: true, faults: true, doc: 'faults unless a is 0' },
  t_needs_rip: { args: 0, result: true, needsRip: true, doc: 'RIP' },
  fadd_f32: { args: 3, faults: true, doc: 'soft-float' },
  fsub_f32: { args: 3, faults: true, doc: 'soft-float' },
  fmul_f32: { args: 3, faults: true, doc: 'soft-float' },
  fdiv_f32: { args: 3, faults: true, doc: 'soft-float' },
  fadd_f64: { args: 3, faults: true, doc: 'soft-float' },
  fsub_f64: { args: 3, faults: true, doc: 'soft-float' },
  fmul_f64: { args: 3, faults: true, doc: 'soft-float' },
  fdiv_f64: { args: 3, faults: true, doc: 'soft-float' },
});
const HELPER = Object.fromEntries(HELPERS.map((h) => [h.name, h.index])) as Record<string, number>;
const SOFT_FLOAT_MARK = 0x5051_5253n;

/** The environment with typed access to the register file. */
export class OpMachine implements OpEnvironment {
  readonly memory: WasmMemory;
  readonly cpuBase = VCPU_BASE;
  readonly helpers = HELPERS;
  readonly runtime: OpEnvironment['runtime'];
  readonly view: DataView;
  /** Slow-path and soft-float calls since the last `reset`. */
  calls: string[] = [];

  constructor() {
    this.memory = new (webAssembly().Memory)({ initial: MEMORY_PAGES, maximum: 65536, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.runtime = this.makeRuntime();
    for (let tlb = 0; tlb < 3 * TLB_ENTRIES; tlb++) {
      for (const tag of [TLB_READ, TLB_WRITE]) {
        this.view.setBigInt64(this.cpuBase + TLB_BASE + tlb * TLB_ENTRY_SIZE + tag, -1n, true);
      }
    }
    this.reset();
  }

  reset(): void {
    this.calls = [];
    this.set(SLOT_FAULT, 0n);
    this.set(SLOT_RIP, BLOCK_RIP);
    this.set(SLOT_KEY, 0x1234n);
    this.set(FP_FAST, 1n);
  }

  get(slot: number): bigint {
    return this.view.getBigUint64(this.cpuBase + slot, true);
  }

  set(slot: number, value: bigint): void {
    this.view.setBigUint64(this.cpuBase + slot, BigInt.asUintN(64, value), true);
  }

  get128(slot: number): bigint {
    return this.get(slot) | (this.get(slot + 8) << 64n);
  }

  set128(slot: number, value: bigint): void {
    this.set(slot, value);
    this.set(slot + 8, value >> 64n);
  }

  /** Maps PAGE_VA to HOST_PAGE in one soft TLB. */
  map(mmuIndex: number, readable: boolean, writable: boolean): void {
    const entry =
      this.cpuBase +
      TLB_BASE +
      mmuIndex * TLB_TABLE_SIZE +
      (Number(PAGE_VA >> 12n) % TLB_ENTRIES) * TLB_ENTRY_SIZE;
    const tag = BigInt.asIntN(64, PAGE_VA);
    this.view.setBigInt64(entry + TLB_READ, readable ? tag : -1n, true);
    this.view.setBigInt64(entry + TLB_WRITE, writable ? tag : -1n, true);
    this.view.setInt32(entry + TLB_ADDEND, HOST_PAGE - Number(BigInt.asIntN(32, PAGE_VA)), true);
  }

  private record(name: string, va: bigint, ...rest: (bigint | number)[]): void {
    const address = BigInt.asUintN(64, va).toString(16);
    this.calls.push(
      [name, address, ...rest.map((x) => BigInt.asUintN(64, BigInt(x)).toString(16))].join(' '),
    );
  }

  private fault(): void {
    this.set(SLOT_FAULT, BigInt(FAULT_EXCEPTION));
  }

  private makeRuntime(): OpEnvironment['runtime'] {
    const softFloat = (name: string) => (d: bigint) => {
      this.calls.push(name);
      this.view.setUint32(this.cpuBase + Number(d), Number(SOFT_FLOAT_MARK), true);
    };
    return {
      ld_slow: (va: bigint, sizeInfo: number): bigint => {
        this.record('ld', va, sizeInfo);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
        return BigInt.asUintN(8 * (sizeInfo & 0xff), 0x8182838485868788n);
      },
      st_slow: (va: bigint, value: bigint, sizeInfo: number): void => {
        this.record('st', va, BigInt.asUintN(8 * (sizeInfo & 0xff), value), sizeInfo);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
      },
      ld128_slow: (va: bigint, address: number, info: number): void => {
        this.record('ld128', va, info);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) return this.fault();
        this.view.setBigUint64(address, 0x1112131415161718n, true);
        this.view.setBigUint64(address + 8, 0x2122232425262728n, true);
      },
      st128_slow: (va: bigint, address: number, info: number): void => {
        this.record(
          'st128',
          va,
          this.view.getBigUint64(address, true),
          this.view.getBigUint64(address + 8, true),
          info,
        );
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
      },
      tb_find: (): number => 0,
      t_args0: (): bigint => 42n,
      t_args3: (a: bigint, b: bigint, c: bigint): bigint => a + 2n * b + 3n * c + this.get(RAX),
      t_write: (a: bigint): void => {
        this.set(RAX, a);
        this.set(RDX, ~a);
      },
      t_fault: (a: bigint): bigint => {
        if (a !== 0n) this.fault();
        return 99n;
      },
      t_needs_rip: (): bigint => BigInt.asIntN(64, this.get(SLOT_RIP)),
      ...Object.fromEntries(
        HELPERS.filter((h) => /^f(add|sub|mul|div)_/.test(h.name)).map((h) => [h.name, softFloat(h.name)]),
      ),
    };
  }
}

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

function random128(seed: number): bigint {
  let x = BigInt(seed) * 0x9e37_79b9_7f4a_7c15n + 1n;
  let out = 0n;
  for (let i = 0; i < 2; i++) {
    x = BigInt.asUintN(64, x ^ (x << 13n));
    x ^= x >> 7n;
    x = BigInt.asUintN(64, x ^ (x << 17n));
    out = (out << 64n) | x;
  }
  return out;
}
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

/** Integer inputs and outputs live in never-promoted state. */
const INPUT = MSR_STORE;
const OUTPUT = CPUID_TABLE;

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

const hex = (x: bigint): string => `0x${BigInt.asUintN(128, x).toString(16)}`;

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

const lo = (x: bigint): number => Number(BigInt.asIntN(32, x));
const hi = (x: bigint): number => Number(BigInt.asIntN(32, x >> 32n));

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

function goNext(ir: IrBuilder): void {
  ir.goto(lo(NEXT_RIP), hi(NEXT_RIP));
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

interface LoadCase {
  readonly name: OpName & BaseOp;
  readonly size: number;
  readonly isSigned: boolean;
}
const LOADS: readonly LoadCase[] = [
  { name: 'ld8u', size: 1, isSigned: false },
  { name: 'ld8s', size: 1, isSigned: true },
  { name: 'ld16u', size: 2, isSigned: false },
  { name: 'ld16s', size: 2, isSigned: true },
  { name: 'ld32u', size: 4, isSigned: false },
  { name: 'ld32s', size: 4, isSigned: true },
  { name: 'ld64', size: 8, isSigned: false },
];
const STORES = [
  ['st8', 1],
  ['st16', 2],
  ['st32', 4],
  ['st64', 8],
] as const;
const RESTORE_WORD = (0x12 << 16) | 0x0034;

function extended(value: bigint, c: LoadCase): bigint {
  const bits = 8 * c.size;
  return BigInt.asUintN(64, c.isSigned ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value));
}

/** Emits one memory operation on address slot RBX with a value in `slot`. */
function emitMem(ir: IrBuilder, opcode: number, slot: number, info: number, disp: number): void {
  ir.restore = RESTORE_WORD;
  ir.mem(opcode, slot, RBX, info, disp);
  goNext(ir);
}

function loadTest(machine: OpMachine, backend: OpBackend, c: LoadCase): void {
  const at = (offset: number): number => HOST_PAGE + offset;
  for (const d of [RAX, OUTPUT]) {
    for (const mmu of [0, 1, 2]) {
      machine.reset();
      machine.map(mmu, true, false);
      machine.view.setBigUint64(at(0x83), 0xf1e2d3c4b5a69788n, true);
      machine.set(RBX, PAGE_VA + 0x100n);
      backend.run((ir) => emitMem(ir, OP[c.name], d, mmu, 0x83 - 0x100));
      assert.equal(hex(machine.get(d)), hex(extended(0xf1e2d3c4b5a69788n, c)), `${c.name} fast`);
      assert.deepEqual(machine.calls, []);
    }
  }
  // last bytes of the page: fast; one further: slow. RMW on a page that is not writable: slow
  for (const [va, info, slow] of [
    [PAGE_VA + 4096n - BigInt(c.size), 0, false],
    [PAGE_VA + 4097n - BigInt(c.size), 0, true],
    [PAGE_VA, MEM_RMW, true],
  ] as const) {
    machine.reset();
    machine.map(0, true, false);
    machine.set(RBX, va);
    backend.run((ir) => emitMem(ir, OP[c.name], RAX, info, 0));
    assert.deepEqual(
      machine.calls,
      slow ? [`ld ${va.toString(16)} ${(c.size | (info << 8)).toString(16)}`] : [],
    );
    if (slow) {
      assert.equal(hex(machine.get(RAX)), hex(extended(0x8182838485868788n, c)), `${c.name} slow`);
      assert.equal(machine.get(SLOT_RIP), NEXT_RIP);
    }
  }
  faultTest(machine, backend, OP[c.name], RAX);
}

/** A faulting access leaves the destination and what follows alone, and stores RIP and RESTORE. */
function faultTest(machine: OpMachine, backend: OpBackend, opcode: number, slot: number): void {
  machine.reset();
  machine.set(RBX, UNMAPPED_VA);
  machine.set(RAX, 0x1111n);
  machine.set(RCX, 0x2222n);
  backend.run((ir) => {
    ir.imm(OP.add_i64_imm, RCX, RCX, 1);
    ir.restore = RESTORE_WORD;
    ir.mem(opcode, slot, RBX, 1, 8);
    ir.movi(RCX, 0);
    goNext(ir);
  });
  assert.equal(machine.get(SLOT_FAULT), BigInt(FAULT_EXCEPTION));
  assert.equal(hex(machine.get(SLOT_RIP)), hex(BLOCK_RIP + 0x34n));
  assert.equal(machine.get(SLOT_RESTORE), BigInt(RESTORE_WORD));
  assert.equal(hex(machine.get(RAX)), '0x1111');
  assert.equal(hex(machine.get(RCX)), '0x2223');
}

function storeTest(
  machine: OpMachine,
  backend: OpBackend,
  name: 'st8' | 'st16' | 'st32' | 'st64',
  size: number,
): void {
  const value = 0xf1e2d3c4b5a69788n;
  const stored = BigInt.asUintN(8 * size, value);
  machine.reset();
  machine.map(0, false, true);
  machine.view.setBigUint64(HOST_PAGE + 0x40, 0n, true);
  machine.set(RBX, PAGE_VA);
  machine.set(RCX, value);
  backend.run((ir) => emitMem(ir, OP[name], RCX, 0, 0x40));
  assert.equal(hex(machine.view.getBigUint64(HOST_PAGE + 0x40, true)), hex(stored));
  assert.deepEqual(machine.calls, []);
  const crossing = PAGE_VA + 4097n - BigInt(size);
  for (const [va, writable] of [
    [crossing, true],
    [PAGE_VA, false],
  ] as const) {
    machine.reset();
    machine.map(0, true, writable);
    machine.set(RBX, va);
    backend.run((ir) => emitMem(ir, OP[name], RCX, 0, 0));
    assert.deepEqual(machine.calls, [`st ${va.toString(16)} ${stored.toString(16)} ${size.toString(16)}`]);
    assert.equal(machine.get(SLOT_RIP), NEXT_RIP);
  }
  faultTest(machine, backend, OP[name], RCX);
}

function wideTest(machine: OpMachine, backend: OpBackend): void {
  const value = random128(9);
  machine.reset();
  machine.map(1, true, true);
  machine.set128(XMM, value);
  machine.set(RBX, PAGE_VA + 8n);
  machine.set(RCX, PAGE_VA + 16n);
  backend.run((ir) => {
    ir.mem(OP.st128, XMM, RBX, 1);
    ir.mem(OP.ld128, XMM + 16, RBX, 1);
    ir.mem(OP.st128, XMM + 16, RCX, 1 | MEM_ALIGN);
    ir.mem(OP.ld128, XMM + 32, RCX, 1 | MEM_ALIGN);
    goNext(ir);
  });
  assert.deepEqual(machine.calls, []);
  assert.equal(hex(machine.get128(XMM + 32)), hex(value));
  machine.reset();
  backend.run((ir) => {
    ir.mem(OP.st128, XMM, RBX, 1 | MEM_ALIGN);
    const t = ir.temp();
    ir.mem(OP.ld128, t, RBX, 1 | MEM_ALIGN);
    ir.op(OP.vmov, XMM + 16, t);
    goNext(ir);
  });
  const va = (PAGE_VA + 8n).toString(16);
  const [low, high] = [BigInt.asUintN(64, value).toString(16), (value >> 64n).toString(16)];
  assert.deepEqual(machine.calls, [`st128 ${va} ${low} ${high} 11`, `ld128 ${va} 11`]);
  assert.equal(hex(machine.get128(XMM + 16)), '0x21222324252627281112131415161718');
  for (const opcode of [OP.ld128, OP.st128]) faultTest(machine, backend, opcode, XMM);
}

function memoryTests(machine: OpMachine, backend: OpBackend): void {
  for (const c of LOADS) test(`${backend.name}: ${c.name}`, () => loadTest(machine, backend, c));
  for (const [name, size] of STORES)
    test(`${backend.name}: ${name}`, () => storeTest(machine, backend, name, size));
  test(`${backend.name}: ld128, st128`, () => wideTest(machine, backend));
}

function floatTests(machine: OpMachine, backend: OpBackend): void {
  for (const name of ['fadd', 'fsub', 'fmul', 'fdiv'] as const) {
    for (const type of ['f32', 'f64'] as const) {
      test(`${backend.name}: ${name}_${type}`, () => floatTest(machine, backend, name, type));
    }
  }
}

function floatTest(
  machine: OpMachine,
  backend: OpBackend,
  name: 'fadd' | 'fsub' | 'fmul' | 'fdiv',
  type: 'f32' | 'f64',
): void {
  const wide = type === 'f64';
  const compute = {
    fadd: (a: number, b: number) => a + b,
    fsub: (a: number, b: number) => a - b,
    fmul: (a: number, b: number) => a * b,
    fdiv: (a: number, b: number) => a / b,
  }[name];
  const minimum = wide ? 2 ** -1022 : 2 ** -126;
  const normal = (x: number): boolean => Number.isFinite(x) && Math.abs(x) >= minimum;
  const values = [
    1.5,
    -2.25,
    1e-30,
    3e30,
    minimum,
    minimum * 1.5,
    minimum / 4,
    0,
    -0,
    Infinity,
    NaN,
    0.1,
    -1.5,
    wide ? 1e300 : 3e38,
  ];
  const put = (slot: number, x: number): void => {
    if (wide) machine.view.setFloat64(machine.cpuBase + slot, x, true);
    else machine.view.setFloat32(machine.cpuBase + slot, x, true);
  };
  const round = (x: number): number => (wide ? x : Math.fround(x));
  for (const fast of [1n, 0n]) {
    for (const x of values) {
      for (const y of fast ? values : [1.5]) {
        machine.reset();
        machine.set(FP_FAST, fast);
        machine.set128(XMM, -1n);
        put(XMM, x);
        put(XMM + 16, y);
        backend.run((ir) => {
          ir.farith(OP[`${name}_${type}`], XMM + 4 * 8, XMM, XMM + 16);
          goNext(ir);
        });
        const [a, b] = [round(x), round(y)];
        const r = round(compute(a, b));
        const inline = fast === 1n && normal(a) && normal(b) && normal(r) && Math.abs(r) > minimum;
        assert.deepEqual(machine.calls, inline ? [] : [`${name}_${type}`], `${x} ${y}`);
        const at = machine.cpuBase + XMM + 32;
        if (inline)
          assert.equal(
            wide ? machine.view.getFloat64(at, true) : machine.view.getFloat32(at, true),
            r,
            `${x} ${y}`,
          );
        else assert.equal(BigInt(machine.view.getUint32(at, true)), SOFT_FLOAT_MARK);
      }
    }
  }
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
        /^(ld|st|get|put)/.test(base);
      assert.ok(covered, base);
    }
  });
}
