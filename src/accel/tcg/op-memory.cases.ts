import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IrBuilder } from '../../ir/builder.ts';
import { type BaseOp, MEM_ALIGN, MEM_RMW, OP, type OpName } from '../../ir/ops.ts';
import { FAULT_EXCEPTION, SLOT_FAULT, SLOT_RESTORE, SLOT_RIP } from '../../runtime/tcg/layout.ts';
import { FP_FAST, RAX, RBX, RCX, VECTOR_HI, XMM } from '../../runtime/x86/layout.ts';
import {
  BLOCK_RIP,
  goNext,
  HOST_PAGE,
  hex,
  NEXT_RIP,
  type OpBackend,
  type OpMachine,
  OUTPUT,
  PAGE_VA,
  random128,
  SOFT_FLOAT_MARK,
  UNMAPPED_VA,
} from './op-machine.cases.ts';

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
export const RESTORE_WORD = (0x12 << 16) | 0x0034;

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

/** Both halves, aligned to 32 bytes where asked; one slow path for the whole access. */
function longTest(machine: OpMachine, backend: OpBackend): void {
  const [low, high] = [random128(9), random128(10)];
  machine.reset();
  machine.map(1, true, true);
  machine.set128(XMM, low);
  machine.set128(XMM + VECTOR_HI, high);
  machine.set(RBX, PAGE_VA + 0x1008n);
  machine.set(RCX, PAGE_VA + 32n);
  backend.run((ir) => {
    ir.mem(OP.st256, XMM, RBX, 1, -0x1000);
    ir.mem(OP.ld256, XMM + 16, RBX, 1, -0x1000);
    ir.mem(OP.st256, XMM + 16, RCX, 1 | MEM_ALIGN);
    ir.mem(OP.ld256, XMM + 32, RCX, 1 | MEM_ALIGN);
    goNext(ir);
  });
  assert.deepEqual(machine.calls, []);
  assert.equal(hex(machine.get128(XMM + 32)), hex(low));
  assert.equal(hex(machine.get128(XMM + 32 + VECTOR_HI)), hex(high));
  assert.equal(machine.view.getBigUint64(HOST_PAGE + 8 + 16, true), BigInt.asUintN(64, high));
  for (const [va, info] of [
    [PAGE_VA + 16n, 1 | MEM_ALIGN],
    [PAGE_VA + 4096n - 31n, 1],
  ] as const) {
    machine.reset();
    machine.map(1, true, true);
    machine.set(RBX, va);
    backend.run((ir) => {
      ir.mem(OP.st256, XMM, RBX, info);
      ir.mem(OP.ld256, XMM + 16, RBX, info);
      goNext(ir);
    });
    const words = [low, low >> 64n, high, high >> 64n].map((x) => BigInt.asUintN(64, x).toString(16));
    const place = va.toString(16);
    const bits = info.toString(16);
    assert.deepEqual(machine.calls, [`st256 ${place} ${words.join(' ')} ${bits}`, `ld256 ${place} ${bits}`]);
    assert.equal(machine.get(XMM + 16 + VECTOR_HI + 8), 0x14n);
  }
  for (const opcode of [OP.ld256, OP.st256]) faultTest(machine, backend, opcode, XMM);
}

/** chkaddr: 48 bits pass, the runtime decides about the rest. */
function addressTest(machine: OpMachine, backend: OpBackend): void {
  for (const [va, slow] of [
    [0x7fff_ffff_fff0n, false],
    [0xffff_8000_0000_0000n, false],
    [0x8000_0000_0000n, true],
    [0xfeff_8000_0000_0000n, true],
  ] as const) {
    machine.reset();
    machine.set(RBX, va - 8n);
    backend.run((ir) => emitMem(ir, OP.chkaddr, OUTPUT, 1, 8));
    assert.deepEqual(machine.calls, slow ? [`ld ${va.toString(16)} 100`] : []);
    if (!slow) assert.equal(hex(machine.get(OUTPUT)), hex(va));
  }
}

export function memoryTests(machine: OpMachine, backend: OpBackend): void {
  for (const c of LOADS) test(`${backend.name}: ${c.name}`, () => loadTest(machine, backend, c));
  for (const [name, size] of STORES)
    test(`${backend.name}: ${name}`, () => storeTest(machine, backend, name, size));
  test(`${backend.name}: chkaddr`, () => addressTest(machine, backend));
  test(`${backend.name}: ld128, st128`, () => wideTest(machine, backend));
  test(`${backend.name}: ld256, st256`, () => longTest(machine, backend));
}

export function floatTests(machine: OpMachine, backend: OpBackend): void {
  for (const name of ['fadd', 'fsub', 'fmul', 'fdiv'] as const) {
    for (const type of ['f32', 'f64'] as const) {
      test(`${backend.name}: ${name}_${type}`, () => floatTest(machine, backend, name, type));
    }
  }
  for (const op of ['add', 'sub', 'mul', 'div'] as const)
    for (const long of [false, true])
      test(`${backend.name}: vf${op}${long ? '256' : ''}`, () => packedTest(machine, backend, op, long));
}

const COMPUTE = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
} as const;

/** All lanes are computed at once; one that is not acceptable sends the whole operation to the helper. */
function packedTest(machine: OpMachine, backend: OpBackend, op: keyof typeof COMPUTE, long: boolean): void {
  for (const type of ['f32', 'f64'] as const) {
    const size = type === 'f64' ? 8 : 4;
    const name = `vf${op}${long ? '256' : ''}_${type}` as const;
    const at = (slot: number, i: number): number =>
      machine.cpuBase + slot + (i * size < 16 ? i * size : i * size - 16 + VECTOR_HI);
    const get = (slot: number, i: number): number =>
      size === 8 ? machine.view.getFloat64(at(slot, i), true) : machine.view.getFloat32(at(slot, i), true);
    const put = (slot: number, i: number, x: number): void => {
      if (size === 8) machine.view.setFloat64(at(slot, i), x, true);
      else machine.view.setFloat32(at(slot, i), x, true);
    };
    const count = (long ? 32 : 16) / size;
    for (const bad of [-1, 0, count - 1]) {
      for (const x of [0, Infinity, NaN, 1e-310, size === 4 ? 1e-40 : 1e-309]) {
        machine.reset();
        machine.set(FP_FAST, 1n);
        for (let i = 0; i < count; i++) {
          put(XMM, i, i + 1.5);
          put(XMM + 16, i, i === bad ? x : 3 - i * 0.375 || 7);
        }
        machine.set128(XMM + 32, 0n);
        backend.run((ir) => {
          ir.farith(OP[name], XMM + 32, XMM, XMM + 16);
          goNext(ir);
        });
        assert.deepEqual(machine.calls, bad < 0 ? [] : [name], `${name} ${bad} ${x}`);
        if (bad >= 0) continue;
        for (let i = 0; i < count; i++) {
          const r = COMPUTE[op](get(XMM, i), get(XMM + 16, i));
          assert.equal(get(XMM + 32, i), size === 4 ? Math.fround(r) : r);
        }
      }
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
