import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from '../../../ir/builder.ts';
import { OP, OP_INFO } from '../../../ir/ops.ts';
import {
  JC_BASE,
  JC_BITS,
  JC_ENTRIES,
  JC_ENTRY_SHIFT,
  SLOT_KEY,
  TB_ARENA,
  TB_DESCRIPTOR_SIZE,
  TB_FUNC,
  TB_HOT,
  TB_KEY,
  TB_RIP,
} from '../../../runtime/tcg/layout.ts';
import { RAX, RBX, RCX, RDX, RSI, TEMP_BASE, TEMP_LIMIT } from '../../../runtime/x86/layout.ts';
import { testOperations } from '../op.cases.ts';
import { BLOCK_RIP, HOST_PAGE, type OpBackend, type OpEnvironment, OpMachine } from '../op-machine.cases.ts';
import { webAssembly } from '../webassembly.ts';
import { FUSIONS, fuseBlock, UNFUSED } from './fusion.ts';
import { generateInterpreter } from './generate.ts';

function makeInterpreter(environment: OpEnvironment, fuse: boolean): OpBackend {
  const { memory, cpuBase } = environment;
  const wasm = webAssembly();
  const table = new wasm.Table({ element: 'anyfunc', initial: 1 });
  const module = new wasm.Module(generateInterpreter({ cpuBase, helpers: environment.helpers }));
  const instance = new wasm.Instance(module, { env: { memory, table }, runtime: environment.runtime });
  const enter = instance.exports['enter'] as () => number;
  const ir = new IrBuilder(memory.buffer, TEMP_BASE, TEMP_LIMIT);
  const view = new DataView(memory.buffer);
  const words = new Int32Array(memory.buffer);
  const tb = TB_ARENA;
  const code = tb + TB_DESCRIPTOR_SIZE;
  const low = Number(BLOCK_RIP & 0xffff_ffffn);
  const index = (low ^ Number((BLOCK_RIP >> BigInt(JC_BITS)) & 0xffff_ffffn)) & (JC_ENTRIES - 1);
  const entry = cpuBase + JC_BASE + (index << JC_ENTRY_SHIFT);
  return {
    name: fuse ? 'interpreter with fusion' : 'interpreter',
    run(emit) {
      ir.begin(code, code + 0x10000);
      emit(ir);
      if (fuse) fuseBlock(words, code, ir.address, TEMP_BASE);
      view.setBigUint64(tb + TB_RIP, BLOCK_RIP, true);
      view.setInt32(tb + TB_HOT, -1, true);
      view.setBigUint64(tb + TB_KEY, view.getBigUint64(cpuBase + SLOT_KEY, true), true);
      view.setUint32(tb + TB_FUNC, 0, true);
      view.setUint32(entry, tb, true);
      enter();
    },
  };
}

testOperations((environment) => makeInterpreter(environment, false));
testOperations((environment) => makeInterpreter(environment, true));

const REGISTERS = [RAX, RCX, RDX, RBX, RSI];
const MAPPED = 0xffff_8880_1234_5000n;

/** Appends one operation with operands picked by `pick`; a terminator after a comparison tests `condition`. */
function emitAny(ir: IrBuilder, opcode: number, pick: () => number, condition: number): void {
  const info = OP_INFO[opcode]!;
  const forwarded = condition >= 0;
  switch (info.format) {
    case 'dab':
      return ir.op(opcode, pick(), pick(), pick());
    case 'dai':
      return ir.imm(opcode, pick(), info.args === 0 ? 0 : pick(), pick() - 7);
    case 'dabc':
      return ir.op4(opcode, pick(), pick(), pick(), pick(), 2, 12);
    case 'mem':
      return ir.mem(opcode, pick(), RSI, 0, pick());
    case 'goto':
      return ir.goto(0x7000, 1);
    case 'end':
      ir.op(OP.mov, 0x100, RSI);
      return ir.op(opcode, 0, 0);
    case 'br':
      return ir.br(forwarded ? condition : pick(), 0x7000, 1, 0x8000, 2);
    default:
      throw new Error(`${info.name} in a fused sequence`);
  }
}

test('fused sequences do what their operations do', () => {
  const machine = new OpMachine();
  const plain = makeInterpreter(machine, false);
  const fused = makeInterpreter(machine, true);
  for (const fusion of FUSIONS) {
    const names = fusion.ops.map((op) => OP_INFO[op]!.name).join(' ');
    for (let seed = 1; seed < 12; seed++) {
      const results = [plain, fused].map((backend) => {
        let x = seed * 7919;
        const pick = (): number => {
          x = (Math.imul(x, 1103515245) + 12345) >>> 0;
          return REGISTERS[(x >>> 16) % (REGISTERS.length - 1)]!;
        };
        machine.reset();
        machine.map(0, true, true);
        new Uint8Array(machine.memory.buffer, HOST_PAGE, 4096).fill(seed);
        REGISTERS.forEach((r, i) => machine.set(r, BigInt((seed * i) % 3) * 0x1_0000_0001n));
        machine.set(RSI, MAPPED);
        backend.run((ir) => {
          fusion.ops.forEach((op, i) => {
            const d = i === fusion.forward ? TEMP_BASE : -1;
            if (d < 0) emitAny(ir, op, pick, fusion.forward >= 0 ? TEMP_BASE : -1);
            else if (OP_INFO[op]!.isImm) ir.imm(op, d, pick(), seed % 3);
            else ir.op(op, d, pick(), pick());
          });
          if (OP_INFO[fusion.ops.at(-1)!]!.effect !== 'control') ir.goto(0x7000, 1);
        });
        return [0x100, ...REGISTERS].map((r) => machine.get(r));
      });
      assert.deepEqual(results[1], results[0], names);
    }
  }
});

test('fusing a block only changes opcodes, and they map back', () => {
  const buffer = new ArrayBuffer(0x1000);
  const ir = new IrBuilder(buffer, TEMP_BASE, TEMP_LIMIT);
  const words = new Int32Array(buffer);
  ir.begin(0, 0x1000);
  ir.imm(OP.ne_i64_imm, TEMP_BASE, RAX, 0);
  ir.movi(RCX, 1);
  ir.imm(OP.sub_i64_imm, RAX, RAX, 1);
  ir.movi(RDX, 2);
  ir.br(TEMP_BASE, 1, 0, 2, 0);
  const before = words.slice();
  fuseBlock(words, 0, ir.address, TEMP_BASE);
  assert.notEqual(words[0], before[0]);
  assert.deepEqual(words.subarray(1), before.subarray(1));
  assert.equal(UNFUSED[words[0]! & 0xffff], before[0]! & 0xffff);
  // the result is not forwarded if it is not the condition, or if somebody else reads it
  for (const [word, slot] of [
    [17, RBX],
    [9, TEMP_BASE],
  ] as const) {
    words.set(before);
    words[word] = slot;
    fuseBlock(words, 0, ir.address, TEMP_BASE);
    assert.equal(words[0], before[0]);
  }
});
