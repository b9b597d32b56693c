// Speed of the interpreter on small loops of IR, in ns per operation. Run: node bench/interp.bench.mjs (after npm run build)

import { fuseBlock } from '../dist/accel/tcg/interp/fusion.js';
import { generateInterpreter } from '../dist/accel/tcg/interp/generate.js';
import { IrBuilder } from '../dist/ir/builder.js';
import { OP } from '../dist/ir/ops.js';
import * as L from '../dist/runtime/tcg/layout.js';
import * as X from '../dist/runtime/x86/layout.js';

const memory = new WebAssembly.Memory({ initial: 2100, maximum: 65536, shared: true });
const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
const cpuBase = L.VCPU_BASE;
const view = new DataView(memory.buffer);
const words = new Int32Array(memory.buffer);
const helpers = [{ index: 0, name: 'noop', args: 2, result: true, doc: '' }];
const t0 = performance.now();
const bytes = generateInterpreter({ cpuBase, helpers });
const t1 = performance.now();
const module = new WebAssembly.Module(bytes);
const t2 = performance.now();
console.log(
  `module ${bytes.length} bytes, generated in ${(t1 - t0).toFixed(1)} ms, compiled in ${(t2 - t1).toFixed(1)} ms`,
);
const unexpected = () => {
  throw new Error('slow path');
};
const instance = new WebAssembly.Instance(module, {
  env: { memory, table },
  runtime: {
    ld_slow: unexpected,
    st_slow: unexpected,
    ld128_slow: unexpected,
    st128_slow: unexpected,
    tb_find: () => 0,
    noop: (a) => a,
  },
});
const PAGE = 0x40_0000;
for (const tag of [L.TLB_READ, L.TLB_WRITE])
  view.setBigInt64(cpuBase + L.TLB_BASE + (PAGE >> 12) * L.TLB_ENTRY_SIZE + tag, BigInt(PAGE), true);
view.setInt32(cpuBase + L.TLB_BASE + (PAGE >> 12) * L.TLB_ENTRY_SIZE + L.TLB_ADDEND, L.RAM_BASE - PAGE, true);

let next = L.TB_ARENA;
function block(rip, emit) {
  const tb = next;
  const ir = new IrBuilder(memory.buffer, X.TEMP_BASE, X.TEMP_LIMIT);
  ir.begin(tb + 64, tb + 0x4000);
  emit(ir);
  if (!process.argv.includes('--plain')) fuseBlock(words, tb + 64, ir.address, X.TEMP_BASE);
  next = (ir.address + 63) & ~63;
  view.setBigInt64(tb + L.TB_RIP, BigInt(rip), true);
  view.setInt32(tb + L.TB_HOT, -1, true);
  const e = cpuBase + L.JC_BASE + ((rip ^ (rip >>> L.JC_BITS)) & (L.JC_ENTRIES - 1)) * L.JC_ENTRY_SIZE;
  view.setBigInt64(e + L.JC_RIP, BigInt(rip), true);
  view.setBigInt64(e + L.JC_KEY, 0n, true);
  view.setUint32(e + L.JC_IR, tb + 64, true);
  view.setUint32(e + L.JC_TB, tb, true);
}

const { RAX, RCX, RDX, RBX, RSP, RSI, RDI, CC_DST, CC_SRC } = X;
const loops = {
  '12 integer operations, one block': (ir) => {
    ir.op(OP.add_i64, RCX, RCX, RDX);
    ir.op(OP.xor_i64, RDX, RDX, RCX);
    ir.imm(OP.shl_i64_imm, RBX, RCX, 3);
    ir.op(OP.add_i64, RBX, RBX, RDX);
    ir.imm(OP.and_i64_imm, RSI, RBX, 0xff8);
    ir.op(OP.mov, CC_DST, RSI);
    ir.imm(OP.shr_i64_imm, RSP, RBX, 7);
    ir.op(OP.sub_i64, RCX, RCX, RSP);
    ir.op(OP.or_i64, RDX, RDX, RSI);
    ir.imm(OP.add_i64_imm, RAX, RAX, -1);
    return 10;
  },
  'flags: x86 style arithmetic': (ir) => {
    for (const r of [RCX, RDX, RBX]) {
      ir.op(OP.add_i64, r, r, RAX);
      ir.op(OP.mov, CC_DST, r);
      ir.op(OP.mov, CC_SRC, RAX);
    }
    ir.imm(OP.add_i64_imm, RAX, RAX, -1);
    return 10;
  },
  'loads and stores': (ir) => {
    ir.movi(RDI, PAGE);
    for (const r of [RCX, RDX, RBX]) {
      ir.mem(OP.ld64, r, RDI, 0, 8);
      ir.op(OP.add_i64, r, r, RAX);
      ir.mem(OP.st64, r, RDI, 0, 16);
    }
    ir.imm(OP.add_i64_imm, RAX, RAX, -1);
    return 11;
  },
  'compare and branch': (ir) => {
    ir.imm(OP.add_i64_imm, RAX, RAX, -1);
    ir.movi(CC_SRC, 0);
    ir.imm(OP.sub_i64_imm, CC_DST, RAX, 0);
    ir.movi(X.CC_OP, 14);
    ir.imm(OP.ne_i64_imm, X.TEMP_BASE, RAX, 0);
    return 5;
  },
  'short block (2 operations)': (ir) => {
    ir.imm(OP.add_i64_imm, RAX, RAX, -1);
    return 1;
  },
};
let rip = 0x1000;
for (const [name, emit] of Object.entries(loops)) {
  let count = 0;
  const start = rip;
  block(start, (ir) => {
    count = emit(ir) + 1;
    ir.br(name === 'compare and branch' ? X.TEMP_BASE : RAX, start, 0, 0x9999, 0);
  });
  rip += 0x100;
  const iterations = 3_000_000;
  let best = Infinity;
  for (let round = 0; round < 12; round++) {
    view.setBigInt64(cpuBase + X.RIP, BigInt(start), true);
    view.setBigInt64(cpuBase + X.RAX, BigInt(iterations), true);
    const begin = performance.now();
    instance.exports.enter();
    best = Math.min(best, performance.now() - begin);
  }
  console.log(
    `${name}: ${((best * 1e6) / iterations / count).toFixed(2)} ns per operation (${count} operations a block)`,
  );
}
