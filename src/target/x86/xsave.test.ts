import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CR0,
  CR4,
  EXC_VECTOR,
  FPU_CW,
  FPU_TAGS,
  HF_CS32,
  HF_CS64,
  HF_LMA,
  HF_PE,
  MXCSR,
  RAX,
  RCX,
  RDI,
  RDX,
  VECTOR_HI,
  XCR0,
  XCR0_MASK,
  XMM,
} from '../../runtime/x86/layout.ts';
import { X86_FEATURES } from './features.ts';
import { FlatMachine } from './flat-machine.cases.ts';
import { createX86Target } from './x86-target.ts';

const CODE = 0x20_0000;
const AREA = 0x30_0000;
const OSXSAVE = 0x4_0000n;

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!, (b) => parseInt(b, 16));
}

function machine(xcr0 = 7n): FlatMachine {
  const m = new FlatMachine();
  m.longMode();
  m.cpu.writeSlot(XCR0_MASK, 7n);
  m.cpu.writeSlot(XCR0, xcr0);
  m.cpu.writeSlot(CR4, m.cpu.readSlot(CR4) | OSXSAVE);
  m.cpu.runtime.update_hflags();
  m.cpu.writeSlot(RDI, BigInt(AREA));
  m.cpu.writeSlot(RAX, 7n);
  m.cpu.writeSlot(RDX, 0n);
  m.cpu.writeSlot(MXCSR, 0x1f80n);
  m.cpu.writeSlot(FPU_CW, 0x37fn);
  m.cpu.writeSlot(FPU_TAGS, 0x0101_0101_0101_0101n);
  return m;
}

/** Runs code up to HLT; the vector of the exception that ended it, -1 for none. */
function run(m: FlatMachine, hex: string): number {
  m.load(bytes(`${hex}f4`), CODE);
  m.cpu.writeSlot(EXC_VECTOR, 99n);
  if (m.run(CODE)) return -1;
  const vector = Number(m.cpu.readSlot(EXC_VECTOR));
  return vector;
}

function fill(m: FlatMachine, seed: bigint): void {
  for (let i = 0; i < 32; i++) {
    m.cpu.writeSlot(XMM + i * 8, seed * BigInt(i + 3));
    m.cpu.writeSlot(XMM + VECTOR_HI + i * 8, seed * BigInt(i + 71));
  }
}

function vectors(m: FlatMachine): string {
  return Array.from({ length: 64 }, (_, i) =>
    m.cpu.readSlot(XMM + (i < 32 ? 0 : VECTOR_HI - 256) + i * 8),
  ).join();
}

const XSAVE = '480fae27';
const XRSTOR = '480fae2f';
const XSAVEC = '480fc727';
const XSAVES = '480fc72f';
const XRSTORS = '480fc71f';

for (const [save, restore] of [
  [XSAVE, XRSTOR],
  ['480fae37', XRSTOR],
  [XSAVEC, XRSTOR],
  [XSAVES, XRSTORS],
] as const)
  test(`${save} and ${restore} carry vector state`, () => {
    const m = machine();
    fill(m, 0x1234_5678_9abcn);
    const before = vectors(m);
    assert.equal(run(m, save), -1);
    assert.equal(m.view.getBigUint64(AREA + 512, true), 6n, 'x87 state is initial');
    fill(m, 5n);
    assert.equal(run(m, restore), -1);
    assert.equal(vectors(m), before);
    // components that are not in the image become initial
    m.view.setBigUint64(AREA + 512, 2n, true);
    assert.equal(run(m, restore), -1);
    assert.equal(m.cpu.readSlot(XMM), 0x1234_5678_9abcn * 3n);
    assert.equal(m.cpu.readSlot(XMM + VECTOR_HI), 0n);
  });

test('XRSTOR refuses bad headers', () => {
  for (const [offset, value] of [
    [512, 0x10n],
    [520, 1n],
    [528, 1n],
    [520, 0x8000_0000_0000_0010n],
  ] as const) {
    const m = machine();
    m.view.setBigUint64(AREA + offset, value, true);
    assert.notEqual(run(m, XRSTOR), -1, `${offset}`);
  }
  const m = machine();
  m.cpu.writeSlot(RDI, BigInt(AREA + 16));
  assert.notEqual(run(m, XSAVE), -1, 'alignment');
});

test('XGETBV and XSETBV', () => {
  const m = machine(1n);
  m.cpu.writeSlot(RCX, 0n);
  assert.equal(run(m, '0f01d1'), -1);
  assert.equal(run(m, '31c00f01d0'), -1);
  assert.equal(m.cpu.readSlot(RAX), 7n);
  m.cpu.writeSlot(RCX, 1n);
  fill(m, 0n);
  assert.equal(run(m, '0f01d0'), -1);
  assert.equal(m.cpu.readSlot(RAX), 0n, 'nothing in use');
  for (const value of [0n, 5n, 2n, 0xfn]) {
    const n = machine(1n);
    n.cpu.writeSlot(RCX, 0n);
    n.cpu.writeSlot(RAX, value);
    assert.notEqual(run(n, '0f01d1'), -1, `${value}`);
  }
});

test('VZEROUPPER and VZEROALL need XCR0 and CR4.OSXSAVE', () => {
  const m = machine();
  fill(m, 77n);
  assert.equal(run(m, 'c5f877'), -1);
  assert.equal(m.cpu.readSlot(XMM), 77n * 3n);
  assert.equal(m.cpu.readSlot(XMM + VECTOR_HI + 248), 0n);
  assert.equal(run(m, 'c5fc77'), -1);
  assert.equal(m.cpu.readSlot(XMM + 248), 0n);
  assert.notEqual(run(machine(3n), 'c5f877'), -1);
  const ts = machine();
  ts.cpu.writeSlot(CR0, ts.cpu.readSlot(CR0) | 8n);
  ts.cpu.runtime.update_hflags();
  assert.notEqual(run(ts, 'c5f877'), -1);
});

test('VEX prefixes: what may not stand before them, vvvv, LES and LDS', () => {
  const target = createX86Target(new Set(X86_FEATURES));
  const text = (hex: string, flags = HF_CS64 | HF_LMA | HF_PE): string =>
    target.disassemble(bytes(hex), 0n, flags).text;
  assert.equal(text('c5f877'), 'vzeroupper');
  assert.equal(text('c4e17877'), 'vzeroupper');
  for (const hex of [
    'f0c5f877',
    '66c5f877',
    'f2c5f877',
    'f3c5f877',
    '48c5f877',
    'c5f077',
    'c5f977',
    'c4e07877',
  ])
    assert.equal(text(hex), '(bad)', hex);
  assert.equal(text('c5f877', HF_CS32 | HF_PE), 'vzeroupper');
  assert.equal(text('c508', HF_CS32 | HF_PE), 'lds ecx, [eax]');
  assert.equal(text('c5f877', 0), '(bad)', 'real mode');
});
