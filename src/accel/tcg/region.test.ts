import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from '../../ir/builder.ts';
import { OP, OP_INFO } from '../../ir/ops.ts';
import {
  EXIT_REQUESTED,
  JC_BASE,
  JC_BITS,
  JC_ENTRIES,
  JC_ENTRY_SHIFT,
  SLOT_EXIT_REQUEST,
  SLOT_FAULT,
  SLOT_KEY,
  SLOT_RESTORE,
  SLOT_RIP,
  TB_ARENA,
  TB_DESCRIPTOR_SIZE,
  TB_FUNC,
  TB_HOT,
  TB_IR,
  TB_KEY,
  TB_RIP,
  TB_SIZE,
} from '../../runtime/tcg/layout.ts';
import {
  LOCAL_SLOT_LIMIT,
  MSR_STORE,
  RAX,
  RBX,
  RCX,
  RDX,
  RSI,
  TEMP_BASE,
  TEMP_LIMIT,
} from '../../runtime/x86/layout.ts';
import { generateInterpreter } from './interp/generate.ts';
import { testOperations } from './op.cases.ts';
import { BLOCK_RIP, type OpEnvironment, OpMachine } from './op-machine.cases.ts';
import { RegionFormer } from './region-form.ts';
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
    const instance = new this.wasm.Instance(module, {
      env: { memory, table: this.table },
      runtime: this.runtime,
    });
    this.enter = instance.exports['enter'] as () => number;
    this.builder = new RegionModuleBuilder({
      words: this.words,
      cpuBase,
      target: { helpers, localSlotLimit: LOCAL_SLOT_LIMIT },
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
    return (
      this.environment.cpuBase + JC_BASE + (((low ^ (low >>> JC_BITS)) & (JC_ENTRIES - 1)) << JC_ENTRY_SHIFT)
    );
  }

  jumpCache(rip: bigint, tb: number, func: number): void {
    this.view.setUint32(tb + TB_FUNC, func, true);
    this.view.setUint32(this.entryAddress(rip), tb, true);
  }

  /** Compiles the region of a block and makes the jump cache lead to it. Returns the number of its blocks. */
  compile(rip: bigint, slot = 1): number {
    const region = new RegionFormer({
      words: this.words,
      peek: (ripLo, ripHi) => this.blocks.get((BigInt(ripHi >>> 0) << 32n) | BigInt(ripLo >>> 0)) ?? 0,
      maxInsns: 1000,
      maxBlocks: 64,
      maxHotLeft: 0x7fffffff,
    }).form(this.blocks.get(rip)!);
    this.builder.add(region, slot);
    new this.wasm.Instance(new this.wasm.Module(this.builder.finish()), {
      env: { memory: this.environment.memory, table: this.table },
      runtime: this.runtime,
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

test('a call and its return stay within one region, another return address leaves it', () => {
  const { m, h } = machine();
  const behind = BLOCK_RIP + 1n; // the harness's blocks are one byte long
  const callee = BLOCK_RIP + 0x40n;
  h.block(BLOCK_RIP, (ir) => {
    const t = ir.temp();
    ir.movi64(t, lo(behind), hi(behind));
    ir.op(OP.mov, RDX, t);
    ir.imm(OP.add_i64_imm, RBX, RBX, 1);
    goto(ir, callee);
  });
  h.block(callee, (ir) => {
    ir.op(OP.add_i64, RAX, RAX, RBX);
    const t = ir.temp();
    const last = ir.temp();
    ir.imm(OP.eq_i64_imm, t, RBX, 90);
    ir.movi64(last, lo(END), hi(END));
    ir.op4(OP.select, RDX, t, last, RDX);
    ir.op(OP.mov, SLOT_RIP, RDX);
    ir.gotoInd();
  });
  h.block(behind, (ir) => goto(ir, BLOCK_RIP));
  m.set(RAX, 0n);
  m.set(RBX, 0n);
  assert.equal(h.compile(BLOCK_RIP), 3);
  h.enter();
  assert.deepEqual([m.get(RAX), m.get(RBX), m.get(SLOT_RIP)], [4095n, 90n, END]);
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

// ---- random programs: the interpreter is the oracle

/** Small linear congruential generator: the same programs on every run. */
class Random {
  private x: number;

  constructor(seed: number) {
    this.x = seed;
  }

  below(n: number): number {
    this.x = (Math.imul(this.x, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.x / 0x1_0000_0000) * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const SLOTS = [RAX, RBX, RDX, 0x40, 0x48, 0x80, 0x88, 0x98];
const MEMORY_SLOTS = [MSR_STORE, MSR_STORE + 8];
const MAPPED = 0xffff_8880_1234_5000n;
const PURE_OPS = OP_INFO.filter(
  (i) =>
    i.effect === undefined &&
    ['dab', 'dai', 'dabc'].includes(i.format) &&
    (i.type === 'i32' || i.type === 'i64' || /^(mov|movi|select|ext|dep)/.test(i.base)),
);
const LOADS = [OP.ld8u, OP.ld8s, OP.ld16u, OP.ld16s, OP.ld32u, OP.ld32s, OP.ld64];
const STORES = [OP.st8, OP.st16, OP.st32, OP.st64];

/** Appends random operations; `temps` are the temporaries that have a value. */
function emitRandom(ir: IrBuilder, r: Random, m: OpMachine, temps: number[]): void {
  const source = (): number =>
    temps.length > 0 && r.below(2) === 0
      ? r.pick(temps)
      : r.below(8) === 0
        ? r.pick(MEMORY_SLOTS)
        : r.pick(SLOTS);
  const target = (): number => {
    if (r.below(3) === 0) return r.below(6) === 0 ? r.pick(MEMORY_SLOTS) : r.pick(SLOTS);
    if (temps.length > 0 && r.below(4) === 0) return r.pick(temps);
    return ir.temp();
  };
  const write = (emit: (d: number) => void): void => {
    const d = target();
    emit(d);
    if (d >= TEMP_BASE && !temps.includes(d)) temps.push(d);
  };
  ir.restore = r.below(16);
  switch (r.below(12)) {
    case 0:
      return write((d) => ir.mem(r.pick(LOADS), d, RSI, 0, r.below(200)));
    case 1:
      return ir.mem(r.pick(STORES), source(), RSI, 0, r.below(200));
    case 2: {
      const name = r.pick(['t_args3', 't_write', 't_args0', 't_needs_rip']);
      const helper = m.helpers.find((h) => h.name === name)!;
      const args = [source(), source(), source()].slice(0, helper.args);
      if (helper.result) return write((d) => ir.call(helper.index, d, ...args));
      return ir.call(helper.index, undefined, ...args);
    }
    default: {
      const info = r.pick(PURE_OPS);
      const [a, b, c] = [source(), source(), source()];
      return write((d) => {
        if (info.format === 'dai')
          ir.imm64(
            info.opcode,
            d,
            a,
            r.below(2) === 0 ? r.below(64) : r.below(0xffffffff) | 0,
            r.pick([0, -1, 0x1234]),
          );
        else if (info.format === 'dabc') ir.op4(info.opcode, d, a, b, c, r.below(4), r.below(1000) - 500);
        else ir.op(info.opcode, d, a, b);
      });
    }
  }
}

/** Random blocks that jump among each other until RCX is used up, some of them on another page. */
function randomProgram(h: Harness, m: OpMachine, seed: number): void {
  const r = new Random(seed);
  const count = 1 + r.below(6);
  const at = (n: number): bigint => BLOCK_RIP + BigInt(n * 32) + (n % 3 === 2 ? 0x1000n : 0n);
  for (let n = 0; n < count; n++) {
    h.block(at(2 * n), (ir) => {
      const temps: number[] = [];
      ir.imm(OP.sub_i64_imm, RCX, RCX, 1);
      for (let i = r.below(14); i > 0; i--) emitRandom(ir, r, m, temps);
      const t = ir.temp();
      ir.imm(OP.ne_i64_imm, t, RCX, 0);
      ir.br(t, lo(at(2 * n + 1)), hi(at(2 * n + 1)), lo(END), hi(END));
    });
    h.block(at(2 * n + 1), (ir) => {
      const [x, y] = [at(2 * r.below(count)), at(2 * r.below(count))];
      const t = ir.temp();
      ir.op(r.pick([OP.ltu_i64, OP.lts_i32, OP.eq_i32, OP.leu_i32]), t, r.pick(SLOTS), r.pick(SLOTS));
      ir.br(t, lo(x), hi(x), lo(y), hi(y));
    });
  }
}

test('random programs do the same in the interpreter and compiled', () => {
  const { m, h } = machine();
  const start = (seed: number): void => {
    const r = new Random(seed * 7 + 1);
    m.reset();
    m.set(SLOT_KEY, KEY_64BIT);
    for (const slot of [...SLOTS, ...MEMORY_SLOTS])
      m.set(slot, BigInt(r.below(0x1_0000_0000)) * BigInt(r.pick([0, 1, 0x1_0000_0001])));
    for (let i = 0; i < 256; i += 8)
      m.view.setBigUint64(0x800_0000 + i, BigInt(r.below(0x1_0000_0000)) * 0x1_0001n, true);
    m.map(0, true, true);
    m.set(RSI, MAPPED);
    m.set(RCX, 50n);
  };
  const result = (): string =>
    JSON.stringify([
      ...[...SLOTS, ...MEMORY_SLOTS, RCX, SLOT_RIP].map((s) => m.get(s).toString(16)),
      ...Array.from({ length: 32 }, (_, i) => m.view.getBigUint64(0x800_0000 + i * 8, true).toString(16)),
    ]);
  for (let seed = 1; seed <= 400; seed++) {
    h.reset();
    start(seed);
    randomProgram(h, m, seed);
    h.enter();
    const expected = result();
    start(seed);
    h.compile(BLOCK_RIP);
    h.enter();
    assert.equal(result(), expected, `program ${seed}`);
    for (const rip of h.blocks.keys()) h.jumpCache(rip, 0, 0);
  }
});
