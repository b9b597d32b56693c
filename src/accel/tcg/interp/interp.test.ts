import { IrBuilder } from '../../../ir/builder.ts';
import {
  JC_BASE, JC_BITS, JC_ENTRIES, JC_ENTRY_SIZE, JC_FUNC, JC_IR, JC_KEY, JC_RIP, JC_TB, SLOT_KEY, TB_ARENA, TB_DESCRIPTOR_SIZE,
  TB_HOT, TB_RIP,
} from '../../../runtime/tcg/layout.ts';
import { TEMP_BASE, TEMP_LIMIT } from '../../../runtime/x86/layout.ts';
import { BLOCK_RIP, testOperations, type OpBackend, type OpEnvironment } from '../op.cases.ts';
import { webAssembly } from '../webassembly.ts';
import { generateInterpreter } from './generate.ts';

function makeInterpreter(environment: OpEnvironment): OpBackend {
  const { memory, cpuBase } = environment;
  const wasm = webAssembly();
  const table = new wasm.Table({ element: 'anyfunc', initial: 1 });
  const module = new wasm.Module(generateInterpreter({ cpuBase, helpers: environment.helpers }));
  const instance = new wasm.Instance(module, { env: { memory, table }, runtime: environment.runtime });
  const enter = instance.exports['enter'] as () => number;
  const ir = new IrBuilder(memory.buffer, TEMP_BASE, TEMP_LIMIT);
  const view = new DataView(memory.buffer);
  const tb = TB_ARENA;
  const code = tb + TB_DESCRIPTOR_SIZE;
  const low = Number(BLOCK_RIP & 0xffff_ffffn);
  const index = (low ^ Number((BLOCK_RIP >> BigInt(JC_BITS)) & 0xffff_ffffn)) & (JC_ENTRIES - 1);
  const entry = cpuBase + JC_BASE + index * JC_ENTRY_SIZE;
  return {
    name: 'interpreter',
    run(emit) {
      ir.begin(code, code + 0x10000);
      emit(ir);
      view.setBigUint64(tb + TB_RIP, BLOCK_RIP, true);
      view.setInt32(tb + TB_HOT, -1, true);
      view.setBigUint64(entry + JC_RIP, BLOCK_RIP, true);
      view.setBigUint64(entry + JC_KEY, view.getBigUint64(cpuBase + SLOT_KEY, true), true);
      view.setUint32(entry + JC_FUNC, 0, true);
      view.setUint32(entry + JC_IR, code, true);
      view.setUint32(entry + JC_TB, tb, true);
      enter();
    },
  };
}

testOperations(makeInterpreter);
