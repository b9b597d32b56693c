// MMX and SSE instructions, translated and interpreted, against a real processor (tests/golden/fp).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { generateInterpreter } from '../../accel/tcg/interp/generate.ts';
import { RegionFormer } from '../../accel/tcg/region-form.ts';
import { RegionModuleBuilder } from '../../accel/tcg/region-module.ts';
import { webAssembly } from '../../accel/tcg/webassembly.ts';
import { IrBuilder } from '../../ir/builder.ts';
import {
  FAULT_NONE,
  JC_BASE,
  JC_BITS,
  JC_ENTRIES,
  JC_ENTRY_SHIFT,
  TB_ARENA,
  TB_DESCRIPTOR_SIZE,
  TB_FUNC,
  TB_HOT,
  TB_IR,
  TB_KEY,
  TB_RIP,
  TB_SIZE,
  TLB_ADDEND,
  TLB_AUX,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_READ,
  TLB_WRITE,
  VCPU_BASE,
} from '../../runtime/tcg/layout.ts';
import { Operands, Outcome } from '../../runtime/x86/fp-vectors.cases.ts';
import {
  CC_EFLAGS,
  CC_OP,
  CC_SRC,
  CR0,
  CR4,
  EXC_VECTOR,
  FAULT,
  FPR,
  FPU_CW,
  FPU_DP,
  FPU_IP,
  FPU_OPCODE,
  FPU_SW,
  FPU_TAGS,
  FPU_TOP,
  HF_CS_FLAT,
  HF_CS64,
  HF_FLAT,
  HF_LMA,
  HF_OSFXSR,
  HF_PE,
  KEY,
  LOCAL_SLOT_LIMIT,
  MXCSR,
  RAX,
  RCX,
  RDI,
  RDX,
  RIP,
  TEMP_BASE,
  TEMP_LIMIT,
  XMM,
} from '../../runtime/x86/layout.ts';
import { X86_FEATURES } from './features.ts';
import { buildX86Tables } from './handlers.ts';
import { X86_HELPERS } from './helpers.ts';
import { Translator } from './translator.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const CODE = 0x1d0_0000;
const DATA = 0x1d1_0000;
const DATA_VA = 0x40_0000;
const CODE_RIP = 0x1000;
const FLAGS = HF_CS64 | HF_LMA | HF_PE | HF_OSFXSR | HF_FLAT | HF_CS_FLAT;
/** Bytes of a digested record in vectors.bin in front of the SIMD section. */
const SIMD_START = 138984;
const SIMD_SECTION = 64;
const X87_START = 222344;
const X87_SECTION = 65;

class Machine {
  readonly view: DataView;
  private readonly enter: () => number;
  private readonly exports: Readonly<Record<string, (...a: never[]) => unknown>>;
  private readonly ir: IrBuilder;
  private readonly bytes: Uint8Array;
  private readonly translator: Translator;
  /** Compiles region 1 from the block at TB_ARENA. */
  private readonly compile: () => void;

  constructor() {
    const wasm = webAssembly();
    const memory = new wasm.Memory({ initial: 600, maximum: 65536, shared: true });
    const host = new Proxy({}, { get: () => () => 0 });
    const runtime = new wasm.Instance(
      new wasm.Module(readFileSync(process.env['LYREBIRD_RUNTIME'] ?? `${root}dist/runtime/x86.wasm`)),
      { env: { memory, cpu_base: VCPU_BASE, abort: () => undefined }, host },
    );
    this.exports = runtime.exports as Machine['exports'];
    const table = new wasm.Table({ element: 'anyfunc', initial: 2 });
    const module = new wasm.Module(generateInterpreter({ cpuBase: VCPU_BASE, helpers: X86_HELPERS }));
    const instance = new wasm.Instance(module, {
      env: { memory, table },
      runtime: { ...runtime.exports, tb_find: () => 0 },
    });
    this.enter = instance.exports['enter'] as () => number;
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.ir = new IrBuilder(memory.buffer, TEMP_BASE, TEMP_LIMIT);
    const { table: rows, handlers } = buildX86Tables(new Set(X86_FEATURES));
    this.translator = new Translator(rows, handlers);
    this.mapData();
    const words = new Int32Array(memory.buffer);
    const builder = new RegionModuleBuilder({
      words,
      cpuBase: VCPU_BASE,
      target: { helpers: X86_HELPERS, localSlotLimit: LOCAL_SLOT_LIMIT },
    });
    const former = new RegionFormer({
      words,
      peek: () => 0,
      maxInsns: 10,
      maxBlocks: 1,
      maxHotLeft: 0x7fffffff,
    });
    this.compile = () => {
      builder.add(former.form(TB_ARENA), 1);
      new wasm.Instance(new wasm.Module(builder.finish()), {
        env: { memory, table },
        runtime: runtime.exports,
      });
    };
  }

  private mapData(): void {
    const entry = VCPU_BASE + TLB_BASE + ((DATA_VA >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    this.view.setBigInt64(entry + TLB_READ, BigInt(DATA_VA), true);
    this.view.setBigInt64(entry + TLB_WRITE, BigInt(DATA_VA), true);
    this.view.setInt32(entry + TLB_ADDEND, DATA - DATA_VA, true);
    this.view.setInt32(entry + TLB_AUX, DATA, true);
  }

  get(slot: number): bigint {
    return this.view.getBigUint64(VCPU_BASE + slot, true);
  }

  set(slot: number, value: bigint | number): void {
    this.view.setBigUint64(VCPU_BASE + slot, BigInt.asUintN(64, BigInt(value)), true);
  }

  flags(): bigint {
    return (this.exports['cc_all'] as () => bigint)();
  }

  tagWord(): number {
    return (this.exports['fpu_tag_word'] as () => number)();
  }

  /** Translates one instruction into the block at CODE_RIP, to be interpreted or compiled. */
  translate(code: Uint8Array, compiled = false): void {
    this.bytes.fill(0x90, CODE, CODE + 32);
    this.bytes.set(code, CODE);
    const { ir, view } = this;
    const block = TB_ARENA + TB_DESCRIPTOR_SIZE;
    ir.begin(block, block + 0x10000);
    const window = { bytes: this.bytes, start: CODE, end: CODE + 4096, nextPage: () => -1 };
    const result = { sizeBytes: 0, insns: 0, crossesPage: false };
    this.translator.translate(
      { ripLo: CODE_RIP, ripHi: 0, flags: FLAGS, csBase: 0, maxInsns: 1, code: window },
      ir,
      result,
    );
    assert.equal(result.sizeBytes, code.length, `length of ${Buffer.from(code).toString('hex')}`);
    view.setBigUint64(TB_ARENA + TB_RIP, BigInt(CODE_RIP), true);
    view.setInt32(TB_ARENA + TB_HOT, -1, true);
    const index = (CODE_RIP ^ (CODE_RIP >> JC_BITS)) & (JC_ENTRIES - 1);
    view.setUint32(VCPU_BASE + JC_BASE + (index << JC_ENTRY_SHIFT), TB_ARENA, true);
    view.setBigUint64(TB_ARENA + TB_KEY, BigInt(FLAGS), true);
    view.setUint32(TB_ARENA + TB_FUNC, compiled ? 1 : 0, true);
    if (!compiled) return;
    view.setInt32(TB_ARENA + TB_IR, block, true);
    view.setInt32(TB_ARENA + TB_SIZE, code.length | (1 << 16), true);
    this.compile();
  }

  run(): void {
    this.set(KEY, FLAGS);
    this.set(RIP, CODE_RIP);
    this.set(FAULT, FAULT_NONE);
    this.enter();
  }
}

// ---- operands, as in generate-sse.h

const T8 = [0, 1, 0x7f, 0x80, 0x81, 0xff, 0xfe, 0x40];
const T16 = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0xfffe, 0x4000];
const T32 = [0, 1, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 0x40000000];
const TEXT = [0, 97, 98, 99, 65, 122, 0x80, 0xff, 97, 98, 99, 97, 98, 97, 109, 48];

function lanes(mode: number, a: bigint): bigint {
  if (mode === 0) return a;
  const [table, width] = [
    [T8, 8],
    [T8, 8],
    [T16, 16],
    [T32, 32],
    [TEXT, 8],
  ][mode]! as [number[], number];
  let r = 0n;
  for (let i = 0; i < 64; i += width)
    r |= BigInt(table[low(a >> BigInt(i), 4) & (table.length - 1)]!) << BigInt(i);
  return r;
}

/** `Number` of a bigint above 2^53 would round: only the low bits are wanted. */
function low(a: bigint, bits: number): number {
  return Number(BigInt.asUintN(bits, a));
}

function half(c: string, g: Operands): bigint {
  switch (c) {
    case 'S':
    case 'P': {
      const lo = BigInt(g.f32());
      return lo | (BigInt(g.f32()) << 32n);
    }
    case 'D':
    case 'Q':
      return g.f64();
    case 'J':
    case 'O':
      return g.int();
    case 'T':
      return lanes(4, g.next());
    default: {
      const mode = low(g.next(), 2);
      return lanes(mode, g.next());
    }
  }
}

function mxcsr(c: string, g: Operands): number {
  const r = g.next();
  if (!'SDJPQO'.includes(c)) return 0x1f80;
  const flags = ((r >> 16n) & 1n ? 0x20 : 0) | (((r >> 17n) & 3n) === 0n ? low(r >> 20n, 6) : 0);
  if ((r >> 26n) & 1n) return 0x1f80 | flags;
  const masks = (r & 7n) < 6n ? 63 : low(r >> 32n, 6);
  const modes = (((r >> 12n) & 3n) === 0n ? 0x40 : 0) | (((r >> 14n) & 3n) === 0n ? 0x8000 : 0);
  return (masks << 7) | (low(r >> 8n, 2) << 13) | modes | flags;
}

function counts(c: string): number {
  return 'SDPQ'.includes(c) ? 150 : 'JO'.includes(c) ? 60 : c === 'T' ? 40 : 16;
}

const machine = new Machine();

function setUp(c: string, g: Operands): void {
  const m = machine;
  const xmm = [0, 1, 2, 3, 4, 5].map(() => half(c, g));
  const mm = [0, 1].map(() => half(c === 'P' || c === 'Q' ? 'I' : c, g));
  let rax = g.int();
  const rcx = g.next();
  let rdx = g.int();
  const count = g.next();
  if (c === 'H') xmm[4] = count % 70n;
  if (c === 'N') mm[1] = count % 70n;
  if (c === 'T') {
    rax = (count % 41n) - 20n;
    rdx = ((count >> 32n) % 41n) - 20n;
  }
  const csr = mxcsr(c, g);
  xmm.forEach((x, i) => m.set(XMM + i * 8, x));
  for (let i = 0; i < 8; i++) m.set(FPR + i * 16 + 8, 0xffff);
  m.set(FPR + 16, mm[0]!);
  m.set(FPR + 32, mm[1]!);
  m.set(FPU_TOP, 0);
  m.set(FPU_TAGS, 0);
  m.set(FPU_SW, 0);
  m.set(FPU_CW, 0x37f);
  m.set(RAX, rax);
  m.set(RCX, rcx);
  m.set(RDX, rdx);
  m.set(RDI, DATA_VA);
  m.set(CC_OP, CC_EFLAGS);
  m.set(CC_SRC, 0);
  m.set(CR0, 0x80000031);
  m.set(CR4, 0x620);
  (m as unknown as { exports: { sse_ldmxcsr(v: bigint): void } }).exports.sse_ldmxcsr(BigInt(csr));
  m.view.setBigUint64(DATA, 'MNO'.includes(c) ? mm[1]! : xmm[4]!, true);
  m.view.setBigUint64(DATA + 8, xmm[5]!, true);
  for (let i = 16; i < 32; i++) m.view.setUint8(DATA + i, (i * 37) & 255);
}

function outcome(c: string): Outcome {
  const m = machine;
  const out = new Outcome();
  if (m.get(FAULT) !== 0n)
    return out
      .put(1, 1)
      .put(m.get(XMM + 16), 8)
      .put(m.get(XMM + 24), 8)
      .put(m.get(MXCSR), 2);
  out.put(0, 1);
  for (let i = 0; i < 4; i++) out.put(m.get(XMM + i * 8), 8);
  out.put(m.get(RAX), 8).put(m.get(RCX), 8).put(m.flags(), 2).put(m.get(MXCSR), 2);
  for (let i = 0; i < 32; i++) out.put(m.view.getUint8(DATA + i), 1);
  if (!'MNPQO'.includes(c)) return out;
  let tags = 0;
  for (let i = 0; i < 8; i++) if (m.view.getUint8(VCPU_BASE + FPU_TAGS + i) === 0) tags |= 1 << i;
  return out.put(m.get(FPR + 16), 8).put(tags, 1);
}

for (const compiled of [false, true]) {
  test(`MMX and SSE instructions match the recorded processor, ${compiled ? 'compiled' : 'interpreted'}`, () => {
    compareSimd(compiled);
  });
}

function compareSimd(compiled: boolean): void {
  const vectors = readFileSync(`${root}tests/golden/fp/vectors.bin`);
  const list = readFileSync(`${root}tests/golden/fp/simd-instructions.txt`, 'utf8').trim().split('\n');
  const bad: string[] = [];
  let at = SIMD_START;
  list.forEach((line, op) => {
    const [c, hex] = line.split(' ') as [string, string];
    const g = new Operands(SIMD_SECTION, op);
    machine.translate(Buffer.from(hex, 'hex'), compiled);
    for (let i = 0; i < counts(c); i++, at += 2) {
      setUp(c, g);
      machine.run();
      const out = outcome(c);
      if (out.digest() !== vectors.readUInt16LE(at))
        bad.push(`${op} ${i}: ${line}: ${Buffer.from(out.bytes).toString('hex')}`);
    }
  });
  assert.equal(
    bad.length,
    0,
    `${bad.length} differ\n${bad.slice(0, Number(process.env['BAD'] ?? 40)).join('\n')}`,
  );
  assert.equal(at, X87_START);
}

/** x87 state and registers, as x87Case in generate-x87.h. */
function setUpX87(g: Operands): void {
  const m = machine;
  for (let i = 0; i < 8; i++) {
    const x = g.f80();
    m.set(FPR + i * 16, x.m);
    m.set(FPR + i * 16 + 8, x.se);
  }
  m.set(RAX, g.next());
  m.set(CC_OP, CC_EFLAGS);
  m.set(CC_SRC, g.next() & 0x8d5n);
  m.set(FPU_CW, 0x37f | (low(g.next(), 2) << 10));
  m.set(FPU_SW, 0);
  m.set(FPU_TOP, 0);
  m.set(FPU_TAGS, 0x0101010100000000n);
  m.set(RDI, DATA_VA);
  m.set(CR0, 0x80000031);
  for (let i = 0; i < 4; i++) {
    const v = i > 0 ? g.next() : g.next() & 1n ? g.f64() : g.int();
    m.view.setBigUint64(DATA + i * 8, v, true);
  }
  if (g.next() & 1n) m.view.setUint32(DATA, g.f32(), true);
  [0x72, 0x03, 0x65, 0x43, 0x21, 0x98, 0x76, 0x54, 0x32, 0x80].forEach((b, i) =>
    m.view.setUint8(DATA + 16 + i, b),
  );
}

function outcomeX87(): Outcome {
  const m = machine;
  const out = new Outcome().put(m.get(RAX), 8).put(m.flags(), 2).put(m.get(FPU_CW), 2);
  const top = Number(m.get(FPU_TOP));
  out.put(Number(m.get(FPU_SW)) | (top << 11), 2).put(m.tagWord(), 2);
  for (let i = 0; i < 8; i++) {
    const p = FPR + ((top + i) & 7) * 16;
    out.put(m.get(p), 8).put(m.get(p + 8) & 0xffffn, 2);
  }
  for (let i = 0; i < 32; i++) out.put(m.view.getUint8(DATA + i), 1);
  return out;
}

test('x87 instructions match the recorded processor', () => {
  const vectors = readFileSync(`${root}tests/golden/fp/vectors.bin`);
  const list = readFileSync(`${root}tests/golden/fp/x87-instructions.txt`, 'utf8').trim().split('\n');
  const bad: string[] = [];
  let at = X87_START;
  list.forEach((line, op) => {
    const hex = line.split(' ')[1]!;
    const g = new Operands(X87_SECTION, op);
    machine.translate(Buffer.from(hex, 'hex'));
    for (let i = 0; i < 60; i++, at += 2) {
      setUpX87(g);
      machine.run();
      const out = outcomeX87();
      if (out.digest() !== vectors.readUInt16LE(at))
        bad.push(`${op} ${i}: ${line}: ${Buffer.from(out.bytes).toString('hex')}`);
    }
  });
  assert.equal(
    bad.length,
    0,
    `${bad.length} differ\n${bad.slice(0, Number(process.env['BAD'] ?? 40)).join('\n')}`,
  );
  assert.equal(at, vectors.length);
});

function runCode(hex: string): void {
  machine.translate(Buffer.from(hex, 'hex'));
  machine.run();
}

test('16-byte operands must be aligned, but for MOVUPS, MOVDQU, LDDQU and the string instructions', () => {
  machine.set(CR0, 0x80000031);
  for (const [hex, faults] of [
    ['0f280f', true],
    ['0f290f', true],
    ['660f6f0f', true],
    ['660fe70f', true],
    ['660ffc0f', true],
    ['660f38000f', true],
    ['0f580f', true],
    ['0f100f', false],
    ['0f110f', false],
    ['f30f6f0f', false],
    ['f30f7f0f', false],
    ['f20ff00f', false],
    ['660f3a630f00', false],
    ['f30f580f', false],
  ] as const) {
    machine.set(RDI, DATA_VA + 8);
    machine.set(EXC_VECTOR, 0);
    runCode(hex);
    assert.equal(machine.get(FAULT) !== 0n, faults, hex);
    if (faults) assert.equal(machine.get(EXC_VECTOR), 13n, hex);
    machine.set(RDI, DATA_VA + 32);
    runCode(hex);
    assert.equal(machine.get(FAULT), 0n, hex);
  }
});

/** Random x87 and SSE state; returns the bytes of the register file that hold it. */
function randomState(g: Operands): void {
  for (let i = 0; i < 8; i++) {
    const x = g.f80();
    machine.set(FPR + i * 16, x.m);
    machine.set(FPR + i * 16 + 8, x.se);
    machine.view.setUint8(VCPU_BASE + FPU_TAGS + i, low(g.next(), 1));
  }
  for (let i = 0; i < 32; i++) machine.set(XMM + i * 8, g.next());
  machine.set(FPU_TOP, low(g.next(), 3));
  machine.set(FPU_SW, low(g.next(), 16) & 0x477f);
  machine.set(FPU_CW, 0x37f);
  machine.set(FPU_IP, low(g.next(), 32));
  machine.set(FPU_DP, low(g.next(), 32));
  machine.set(FPU_OPCODE, low(g.next(), 11));
  machine.set(MXCSR, 0x1fa0);
  machine.set(CR0, 0x80000031);
  machine.set(RDI, DATA_VA);
}

const STATE_SLOTS = [FPU_TOP, FPU_SW, FPU_CW, FPU_IP, FPU_DP, FPU_OPCODE];

function snapshot(withXmm: boolean): string {
  const parts = STATE_SLOTS.map((s) => machine.get(s).toString(16));
  parts.push(machine.get(FPU_TAGS).toString(16));
  for (let i = 0; i < 8; i++)
    parts.push(
      machine.get(FPR + i * 16).toString(16),
      (machine.get(FPR + i * 16 + 8) & 0xffffn).toString(16),
    );
  if (withXmm) for (let i = 0; i < 32; i++) parts.push(machine.get(XMM + i * 8).toString(16));
  return parts.join(' ');
}

test('FXSAVE64 and FXRSTOR64 carry the state, in the layout of SDM Vol. 1 table 10-2', () => {
  const g = new Operands(1, 1);
  randomState(g);
  const before = snapshot(true);
  const sw = Number(machine.get(FPU_SW)) | (Number(machine.get(FPU_TOP)) << 11);
  const { view } = machine;
  runCode('480fae07');
  assert.equal(machine.get(FAULT), 0n);
  assert.equal(view.getUint16(DATA, true), 0x37f);
  assert.equal(view.getUint16(DATA + 2, true), sw);
  assert.equal(view.getUint16(DATA + 6, true), Number(machine.get(FPU_OPCODE)));
  assert.equal(view.getBigUint64(DATA + 8, true), machine.get(FPU_IP));
  assert.equal(view.getUint32(DATA + 24, true), 0x1fa0);
  assert.equal(view.getUint32(DATA + 28, true), 0xffff);
  assert.equal(view.getBigUint64(DATA + 32, true), machine.get(FPR + Number(machine.get(FPU_TOP)) * 16));
  assert.equal(view.getBigUint64(DATA + 160 + 15 * 16, true), machine.get(XMM + 240));
  randomState(g);
  assert.notEqual(snapshot(true), before);
  runCode('480fae0f');
  assert.equal(machine.get(FAULT), 0n);
  assert.equal(snapshot(true), before);
  view.setUint32(DATA + 24, 0x1_1f80, true);
  runCode('480fae0f');
  assert.equal(machine.get(EXC_VECTOR), 13n, 'reserved MXCSR bits');
});

test('FNSAVE and FRSTOR, FNSTENV and FLDENV', () => {
  const g = new Operands(1, 2);
  const { view } = machine;
  randomState(g);
  const before = snapshot(false);
  const tags = machine.tagWord();
  runCode('dd37');
  assert.equal(view.getUint16(DATA + 8, true), tags);
  assert.equal(view.getUint32(DATA + 12, true), Number.parseInt(before.split(' ')[3]!, 16));
  assert.equal(machine.get(FPU_CW), 0x37fn, 'FNSAVE initialises');
  assert.equal(machine.get(FPU_TAGS), 0x0101010101010101n);
  randomState(g);
  runCode('dd27');
  assert.equal(snapshot(false), before);
  machine.set(FPU_CW, 0x340);
  machine.set(FPU_SW, 0x4500);
  runCode('d937');
  assert.equal(view.getUint16(DATA, true), 0x340);
  assert.equal(machine.get(FPU_CW), 0x37fn, 'FNSTENV masks all exceptions');
  runCode('d927');
  assert.equal(machine.get(FPU_CW), 0x340n);
});

test('a pending unmasked x87 exception is delivered by the next waiting instruction', () => {
  const g = new Operands(1, 3);
  randomState(g);
  machine.set(FPU_SW, 0);
  machine.set(FPU_TAGS, 0x0101010101010101n);
  machine.set(FPU_CW, 0x37e);
  runCode('d9fa');
  assert.equal(machine.get(FAULT), 0n, 'FSQRT of an empty register: recorded only');
  assert.equal(machine.get(FPU_SW), 0x80c1n);
  runCode('dfe0');
  assert.equal(machine.get(FAULT), 0n, 'FNSTSW does not wait');
  for (const hex of ['9b', 'd9e8', 'd9d0', '0f6fca', 'd82f', '0f77']) {
    machine.set(EXC_VECTOR, 0);
    runCode(hex);
    assert.equal(machine.get(EXC_VECTOR), 16n, hex);
    assert.equal(machine.get(FAULT), 1n, hex);
  }
  runCode('dbe2');
  runCode('d9e8');
  assert.equal(machine.get(FAULT), 0n, 'after FNCLEX');
});
