import { webAssembly } from '../webassembly.ts';
import { WasmCode } from './code.ts';
import { EXTERNAL_FUNCTION, WasmModule } from './module.ts';
import * as W from './opcodes.ts';

type Multiply = (a: number, b: number, c: number) => number;

/** (a, b, c) → lane 0 of a relaxed a × b + c. */
function probe(): Multiply {
  const module = new WasmModule();
  const code = new WasmCode();
  const index = module.declare(module.type([W.F64, W.F64, W.F64], [W.F64]));
  code.begin(3);
  for (let i = 0; i < 3; i++) {
    code.localGet(i);
    code.op(W.F64X2_SPLAT);
  }
  code.op(W.F64X2_RELAXED_MADD);
  code.op(W.F64X2_EXTRACT_LANE);
  code.byte(0);
  code.op(W.END);
  module.addBody(code);
  module.export('multiply', EXTERNAL_FUNCTION, index);
  const { Instance, Module } = webAssembly();
  return new Instance(new Module(module.build().slice()), {}).exports['multiply'] as Multiply;
}

let known: boolean | undefined;

/**
 * Whether the host has the relaxed vector instructions and a relaxed multiply-add rounds once here. Where it rounds twice, or the
 * instruction is unknown, fused operations are the runtime's.
 */
export function hasFusedMultiplyAdd(): boolean {
  if (known === undefined) {
    try {
      const tiny = 2 ** -30;
      known = probe()(1 + tiny, 1 - tiny, -1) === -(tiny ** 2);
    } catch {
      known = false;
    }
  }
  return known;
}
