import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from '../../ir/builder.ts';
import { OP } from '../../ir/ops.ts';
import {
  EXIT_REQUESTED, JC_BASE, JC_BITS, JC_ENTRIES, JC_ENTRY_SIZE, JC_FUNC, JC_IR, JC_KEY, JC_RIP, JC_TB, SLOT_EXIT_REQUEST, SLOT_FAULT, SLOT_KEY,
  SLOT_RESTORE, SLOT_RIP, TB_ARENA, TB_DESCRIPTOR_SIZE, TB_HOT, TB_IR, TB_KEY, TB_RIP, TB_SIZE,
} from '../../runtime/tcg/layout.ts';
import {
  LOCAL_SLOT_LIMIT, RAX, RBX, RCX, RDX, RSI, TEMP_BASE, TEMP_LIMIT,
} from '../../runtime/x86/layout.ts';
import { generateInterpreter } from './interp/generate.ts';
import { BLOCK_RIP, OpMachine, testOperations, type OpEnvironment } from './op.cases.ts';
import { formRegion } from './region-form.ts';
import { RegionModuleBuilder } from './region-module.ts';
import { webAssembly } from './webassembly.ts';

type Runtime = Record<string, (...args: never[]) => unknown>;
const KEY_64BIT = 0x10n;
const lo = (x: bigint): number => Number(BigInt.asIntN(32, x));
const hi = (x: bigint): number => Number(BigInt.asIntN(32, x >> 32n));

/** Blocks in the arena, an interpreter, and regions compiled from them. */
class Harness {
  readonly environment: OpEnvironment;
  readonly view: DataView;
  readonly words: Int32Array;
  readonly enter: () => number;
  private readonly wasm = webAssembly();
  private readonly table = new this.wasm.Table({ element: 'anyfunc', initial: 16 });
  private readonly builder: RegionModuleBuilder;
  private readonly runtime: Runtime;
  private next = TB_ARENA;
  readonly blocks = new Map<bigint, number>();
  private slowLoads = 0;
  /** Called before the n-th slow load. */
  onSlowLoad: (n: number) => void = () => {};

  constructor(environment: OpEnvironment) {
    this.environment = environment;
    const { memory, cpuBase, helpers } = environment;
    this.view = new DataView(memory.buffer);
    this.words = new Int32Array(memory.buffer);
    const set = (slot: number, value: bigint): void => this.view.setBigInt64(cpuBase + slot, value, true);
    const base = environment.runtime as unknown as Record<string, (...args: unknown[]) => unknown>;
    this.runtime = {
      ...environment.runtime,
      region_load: ((va: bigint, info: number, rip: bigint, restore: number) => {
        set(SLOT_RIP, rip);
        set(SLOT_RESTORE, BigInt(restore >>> 0));
        this.onSlowLoad(++this.slowLoads);
        return base['ld_slow']!(va, info);
      }) as never,
      region_store: ((va: bigint, value: bigint, info: number, rip: bigint, restore: number) => {
        set(SLOT_RIP, rip);
        set(SLOT_RESTORE, BigInt(restore >>> 0));
        base['st_slow']!(va, value, info);
        return this.view.getInt32(cpuBase + SLOT_FAULT, true);
      }) as never,
    };
    const module = new this.wasm.Module(generateInterpreter({ cpuBase, helpers }));
    const instance = new this.wasm.Instance(module, { env: { memory, table: this.table }, runtime: this.runtime });
    this.enter = instance.exports['enter'] as () => number;
    this.builder = new RegionModuleBuilder({
      words: this.words, cpuBase, target: { helpers, localSlotLimit: LOCAL_SLOT_LIMIT },
    });
  }

  reset(): void {
    this.next = TB_ARENA;
    this.blocks.clear();
  }

  get key(): bigint {
    return this.view.getBigUint64(this.environment.cpuBase + SLOT_KEY, true);
  }

  /** Adds a block at `rip` and enters it into the jump cache. */
  block(rip: bigint, emit: (ir: IrBuilder) => void): number {
    const tb = this.next;
    const ir = new IrBuilder(this.environment.memory.buffer, TEMP_BASE, TEMP_LIMIT);
    const start = tb + TB_DESCRIPTOR_SIZE;
    ir.begin(start, start + 0x10000);
    emit(ir);
    this.next = (ir.address + 63) & ~63;
    this.words.fill(0, tb >> 2, start >> 2);
    this.view.setBigUint64(tb + TB_RIP, rip, true);
    this.view.setBigUint64(tb + TB_KEY, this.key, true);
    this.view.setInt32(tb + TB_IR, start, true);
    this.view.setInt32(tb + TB_SIZE, 1 | (1 << 16), true);
    this.view.setInt32(tb + TB_HOT, 0x7fffffff, true);
    this.blocks.set(rip, tb);
    this.jumpCache(rip, tb, 0);
    return tb;
  }

  entryAddress(rip: bigint): number {
    const low = lo(rip);
    return this.environment.cpuBase + JC_BASE + (((low ^ (low >>> JC_BITS)) & (JC_ENTRIES - 1)) * JC_ENTRY_SIZE);
  }

  jumpCache(rip: bigint, tb: number, func: number): void {
    const entry = this.entryAddress(rip);
    this.view.setBigUint64(entry + JC_RIP, rip, true);
    this.view.setBigUint64(entry + JC_KEY, this.key, true);
    this.view.setUint32(entry + JC_FUNC, func, true);
    this.view.setUint32(entry + JC_IR, tb + TB_DESCRIPTOR_SIZE, true);
    this.view.setUint32(entry + JC_TB, tb, true);
  }

  /** Compiles the region of a block and makes the jump cache lead to it. Returns the number of its blocks. */
  compile(rip: bigint, slot = 1): number {
    const region = formRegion(this.blocks.get(rip)!, {
      words: this.words,
      peek: (ripLo, ripHi) => this.blocks.get((BigInt(ripHi >>> 0) << 32n) | BigInt(ripLo >>> 0)) ?? 0,
      maxInsns: 1000, maxBlocks: 64, maxHotLeft: 0x7fffffff,
    });
    this.builder.add(region, slot);
    new this.wasm.Instance(new this.wasm.Module(this.builder.finish()), {
      env: { memory: this.environment.memory, table: this.table }, runtime: this.runtime,
    });
    this.jumpCache(rip, this.blocks.get(rip)!, slot);
    return region.blocks.length;
  }
}

testOperations((environment) => {
  const harness = new Harness(environment);
  return {
    name: 'region',
    run(emit) {
      harness.reset();
      harness.block(BLOCK_RIP, emit);
      harness.compile(BLOCK_RIP);
      harness.enter();
    },
  };
});

const goto = (ir: IrBuilder, rip: bigint): void => ir.goto(lo(rip), hi(rip));
const END = BLOCK_RIP + 0xf00n;

function machine(): { m: OpMachine; h: Harness } {
  const m = new OpMachine();
  m.reset();
  m.set(SLOT_KEY, KEY_64BIT);
  const h = new Harness(m);
  return { m, h };
}

test('a loop with a branch inside runs within one region', () => {
  const { m, h } = machine();
  const at = (n: number): bigint => BLOCK_RIP + BigInt(n * 16);
  // rax = sum of odd numbers below rcx, rdx = number of even ones
  h.block(at(0), (ir) => {
    ir.movi(RAX, 0);
    ir.movi(RDX, 0);
    ir.movi(RBX, 0);
    goto(ir, at(1));
  });
  h.block(at(1), (ir) => {
    const t = ir.temp();
    ir.imm(OP.and_i32_imm, t, RBX, 1);
    ir.br(t, lo(at(2)), hi(at(2)), lo(at(3)), hi(at(3)));
  });
  h.block(at(2), (ir) => {
    ir.op(OP.add_i64, RAX, RAX, RBX);
    goto(ir, at(4));
  });
  h.block(at(3), (ir) => {
    ir.imm(OP.add_i64_imm, RDX, RDX, 1);
    goto(ir, at(4));
  });
  h.block(at(4), (ir) => {
    const t = ir.temp();
    ir.imm(OP.add_i64_imm, RBX, RBX, 1);
    ir.op(OP.ltu_i64, t, RBX, RCX);
    ir.br(t, lo(at(1)), hi(at(1)), lo(END), hi(END));
  });
  m.set(RCX, 1001n);
  assert.equal(h.compile(at(0)), 5);
  h.enter();
  assert.equal(m.get(SLOT_RIP), END);
  assert.deepEqual([m.get(RAX), m.get(RDX), m.get(RBX)], [250000n, 501n, 1001n]);
});

test('an exit request leaves a loop with all state in memory', () => {
  const { m, h } = machine();
  h.block(BLOCK_RIP, (ir) => {
    ir.imm(OP.add_i64_imm, RAX, RAX, 1);
    ir.mem(OP.ld64, RDX, RSI, 0, 0);
    goto(ir, BLOCK_RIP);
  });
  m.set(RAX, 0n);
  m.set(RSI, 0x5555_0000n);
  h.onSlowLoad = (n) => {
    if (n === 10) m.set(SLOT_EXIT_REQUEST, 2n);
  };
  h.compile(BLOCK_RIP);
  assert.equal(h.enter(), EXIT_REQUESTED);
  assert.deepEqual([m.get(RAX), m.get(RDX), m.get(SLOT_RIP)], [10n, 0x8182838485868788n, BLOCK_RIP]);
  m.set(SLOT_EXIT_REQUEST, 0n);
});

test('a fault stores what is dirty, RIP and the restore word', () => {
  const { m, h } = machine();
  h.block(BLOCK_RIP, (ir) => {
    ir.imm(OP.add_i64_imm, RAX, RAX, 1);
    ir.imm(OP.sub_i64_imm, RCX, RCX, 1);
    goto(ir, BLOCK_RIP + 0x10n);
  });
  h.block(BLOCK_RIP + 0x10n, (ir) => {
    const t = ir.temp();
    ir.restore = (0x7 << 16) | 5;
    ir.mem(OP.ld64, RDX, RSI, 0, 0);
    ir.imm(OP.add_i64_imm, RSI, RSI, 0x1000);
    ir.imm(OP.ne_i64_imm, t, RCX, 0);
    ir.br(t, lo(BLOCK_RIP), hi(BLOCK_RIP), lo(END), hi(END));
  });
  m.map(0, true, false);
  m.set(RAX, 0n);
  m.set(RCX, 100n);
  m.set(RSI, 0x7fff_1234_0000n - 0x3000n); // three slow loads that succeed, then one that faults
  h.compile(BLOCK_RIP);
  h.enter();
  assert.equal(m.get(SLOT_FAULT), 1n);
  assert.deepEqual([m.get(RAX), m.get(RCX), m.get(RSI)], [4n, 96n, 0x7fff_1234_0000n]);
  assert.equal(m.get(SLOT_RIP), BLOCK_RIP + 0x15n);
  assert.equal(m.get(SLOT_RESTORE), 0x70005n);
});
