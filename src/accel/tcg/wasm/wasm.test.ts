import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webAssembly } from '../webassembly.ts';
import { WasmCode } from './code.ts';
import { INSTRUCTIONS } from './instructions.ts';
import { EXTERNAL_FUNCTION, WasmModule } from './module.ts';
import * as W from './opcodes.ts';
import { printCode } from './text.ts';

function leb(emit: (code: WasmCode) => void): number[] {
  const code = new WasmCode();
  emit(code);
  return [...code.bytes.subarray(0, code.pos)];
}

function reference(value: bigint): number[] {
  const out: number[] = [];
  for (let v = value; ; v >>= 7n) {
    const low = Number(v & 0x7fn);
    const rest = v >> 7n;
    if ((rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)) return [...out, low];
    out.push(low | 0x80);
  }
}

test('LEB128 of boundary values', () => {
  for (const v of [0, 1, 63, 64, -64, -65, 127, 128, 0x7fffffff, -0x80000000, 8191, 8192, -8192, -8193]) {
    assert.deepEqual(
      leb((c) => c.s32(v)),
      reference(BigInt(v)),
      `${v}`,
    );
  }
  for (let bit = 0n; bit < 64n; bit++) {
    for (const v of [1n << bit, (1n << bit) - 1n, -(1n << bit), ~(1n << bit)]) {
      const s = BigInt.asIntN(64, v);
      const lo = Number(BigInt.asIntN(32, s));
      const hi = Number(BigInt.asIntN(32, s >> 32n));
      assert.deepEqual(
        leb((c) => c.s64(lo, hi)),
        reference(s),
        `${s}`,
      );
    }
  }
  assert.deepEqual(
    leb((c) => c.u32(0xffffffff)),
    [0xff, 0xff, 0xff, 0xff, 0x0f],
  );
});

test('a module with two functions runs, and a reset module builds again', () => {
  const module = new WasmModule();
  const code = new WasmCode();
  const binary = module.type([W.I32, W.I32], [W.I32]);
  for (const [op, expected] of [
    [W.I32_ADD, 7],
    [W.I32_SUB, 1],
  ] as const) {
    module.reset();
    code.begin(2);
    const t = code.local(W.I32);
    code.local(W.I64);
    code.localGet(0);
    code.localGet(1);
    code.op(op);
    code.localTee(t);
    code.op(W.END);
    const f = module.addFunction(binary, code);
    code.begin(2);
    code.localGet(0);
    code.localGet(1);
    code.op1(W.RETURN_CALL, f);
    code.op(W.END);
    module.export('f', EXTERNAL_FUNCTION, module.addFunction(binary, code));
    const wasm = webAssembly();
    const instance = new wasm.Instance(new wasm.Module(module.build()), {});
    assert.equal((instance.exports['f'] as (a: number, b: number) => number)(4, 3), expected);
  }
});

test('text of nested code with every kind of immediate', () => {
  const code = new WasmCode();
  code.op1(W.BLOCK, W.VOID);
  code.op1(W.LOOP, W.I64);
  code.i64(-1, 0x7fffffff);
  code.f64(-0);
  code.mem(W.I64_ATOMIC_LOAD, 0x123456, 3);
  code.op1(W.LOCAL_GET, 300);
  code.op1(W.CALL, 5);
  code.op(W.I64X2_ADD);
  code.op(W.END);
  code.op(W.END);
  assert.deepEqual(
    printCode(code.bytes, 0, code.pos, { functionName: (i) => (i === 5 ? 'five' : undefined) }),
    [
      'block',
      '  loop (result i64)',
      '    i64.const 9223372036854775807',
      '    f64.const -0',
      '    i64.atomic.load offset=0x123456 align=8',
      '    local.get 300',
      '    call $five',
      '    i64x2.add',
      '  end',
      'end',
    ],
  );
});

test('every opcode constant has a text name', () => {
  const names = new Map<string, number>();
  for (const [code, [name]] of INSTRUCTIONS) names.set(name.toUpperCase().replaceAll('.', '_'), code);
  const constants = Object.entries(W).filter(
    ([k]) => !['I32', 'I64', 'F32', 'F64', 'V128', 'FUNCREF', 'VOID'].includes(k),
  );
  assert.equal(constants.length, names.size);
  for (const [name, code] of constants) assert.equal(names.get(name), code, name);
});
