// Faults of wide and masked accesses, and GFNI against the definition in SDM Vol. 2.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, RAX, RDI, VECTOR_HI, XCR0, XCR0_MASK, XMM } from '../../runtime/x86/layout.ts';
import { FlatMachine } from './flat-machine.cases.ts';

const CODE = 0x20_0000;
/** From here on nothing is mapped. */
const END = 0x40_0000;

function machine(): FlatMachine {
  const m = new FlatMachine();
  m.longMode();
  m.view.setBigUint64(0x3000 + (END >> 21) * 8, 0n, true);
  m.cpu.writeSlot(XCR0_MASK, 7n);
  m.cpu.writeSlot(XCR0, 7n);
  m.cpu.writeSlot(CR4, m.cpu.readSlot(CR4) | 0x4_0000n);
  m.cpu.runtime.update_hflags();
  m.cpu.runtime.tlb_flush();
  for (let n = 0; n < 16; n++)
    for (const at of [0, 8, VECTOR_HI, VECTOR_HI + 8])
      m.cpu.writeSlot(XMM + n * 16 + at, BigInt(n * 1000 + at + 1));
  return m;
}

/** Runs code with rdi; true if it reached HLT. */
function run(m: FlatMachine, hex: string, rdi: number): boolean {
  m.load(
    Uint8Array.from(`${hex}f4`.match(/../g)!, (b) => parseInt(b, 16)),
    CODE,
  );
  m.cpu.writeSlot(RDI, BigInt(rdi));
  return m.run(CODE);
}

function ymm(m: FlatMachine, n: number): bigint[] {
  return [0, 8, VECTOR_HI, VECTOR_HI + 8].map((at) => m.cpu.readSlot(XMM + n * 16 + at));
}

function setYmm(m: FlatMachine, n: number, words: readonly bigint[]): void {
  [0, 8, VECTOR_HI, VECTOR_HI + 8].forEach((at, i) => m.cpu.writeSlot(XMM + n * 16 + at, words[i]!));
}

test('a 32-byte access that faults in its second page changes nothing', () => {
  for (const distance of [1, 8, 16, 24, 31]) {
    const m = machine();
    m.ram.fill(0x55, END - 64, END);
    assert.equal(run(m, 'c5fe7f0f', END - distance), false, 'vmovdqu [rdi], ymm1');
    assert.ok(m.ram.subarray(END - 64, END).every((b) => b === 0x55));
    const load = machine();
    const before = ymm(load, 1);
    assert.equal(run(load, 'c5fe6f0f', END - distance), false, 'vmovdqu ymm1, [rdi]');
    assert.deepEqual(ymm(load, 1), before);
  }
  assert.equal(run(machine(), 'c5fe7f0f', END - 32), true);
});

test('VMOVDQA and VMOVAPS want alignment to their length, other VEX forms none', () => {
  for (const [hex, at, fine] of [
    ['c5fd6f0f', 16, false],
    ['c5fd7f0f', 16, false],
    ['c5fc280f', 16, false],
    ['c5fde70f', 16, false],
    ['c5fd6f0f', 32, true],
    ['c5f96f0f', 16, true],
    ['c5f96f0f', 8, false],
    ['c5f4580f', 1, true],
    ['c5f0580f', 1, true],
    ['c5f1fe0f', 3, true],
  ] as const)
    assert.equal(run(machine(), hex, 0x30_0000 + at), fine, `${hex} ${at}`);
});

test('masked moves touch only the selected elements', () => {
  const m = machine();
  const ones = 0xffff_ffff_ffff_ffffn;
  setYmm(m, 2, [ones, ones, 0n, 0n]);
  setYmm(m, 1, [1n, 2n, 3n, 4n]);
  assert.equal(run(m, 'c4e26d2e0f', END - 16), true, 'vmaskmovps [rdi], ymm2, ymm1');
  assert.equal(m.view.getBigUint64(END - 8, true), 2n);
  assert.equal(run(m, 'c4e26d2c1f', END - 16), true, 'vmaskmovps ymm3, ymm2, [rdi]');
  assert.deepEqual(ymm(m, 3), [1n, 2n, 0n, 0n]);
  setYmm(m, 2, [ones, ones, ones, 0n]);
  m.ram.fill(0x55, END - 16, END);
  assert.equal(run(m, 'c4e26d2e0f', END - 16), false);
  assert.equal(m.ram[END - 16], 0x55, 'nothing was stored');
});

test('a gather that faults keeps what it has loaded and clears those masks', () => {
  const m = machine();
  for (let i = 0; i < 16; i++) m.view.setUint32(END - 64 + i * 4, 100 + i, true);
  const ones = 0xffff_ffff_ffff_ffffn;
  setYmm(m, 3, [(1n << 32n) | 0n, (16n << 32n) | 2n, 0n, 0n]);
  setYmm(m, 2, [ones, ones, 0n, 0n]);
  setYmm(m, 1, [0n, 0n, 0n, 0n]);
  assert.equal(run(m, 'c4e26d900c9f', END - 64), false, 'vpgatherdd ymm1, [rdi+ymm3*4], ymm2');
  assert.deepEqual(ymm(m, 1).slice(0, 2), [(101n << 32n) | 100n, 102n]);
  assert.deepEqual(ymm(m, 2), [0n, 0xffff_ffffn << 32n, 0n, 0n]);
  // destination, index and mask must differ
  for (const hex of ['c4e26d900c97', 'c4e275900c9f', 'c4e26d900c8f'])
    assert.equal(run(machine(), hex, END - 64), false, hex);
});

test('VPEXTRW and other lanes reach general registers, L = 1 of 128-bit instructions is undefined', () => {
  const m = machine();
  setYmm(m, 1, [0x8888_7777_6666_5555n, 0n, 0n, 0n]);
  assert.equal(run(m, 'c5f9c5c102', END), true, 'vpextrw eax, xmm1, 2');
  assert.equal(m.cpu.readSlot(RAX), 0x7777n);
  assert.equal(run(machine(), 'c5fdc5c102', END), false);
});

/** Product in GF(2^8) by x^8 + x^4 + x^3 + x + 1. */
function multiply(a: number, b: number): number {
  let r = 0;
  for (let i = 0; i < 8; i++) {
    if ((b >> i) & 1) r ^= a;
    a = a & 0x80 ? ((a << 1) ^ 0x11b) & 255 : a << 1;
  }
  return r;
}

test('GF2P8MULB multiplies bytes', () => {
  const a = Array.from({ length: 32 }, (_, i) => (i * 37 + 5) & 255);
  const b = Array.from({ length: 32 }, (_, i) => (i * 91 + 200) & 255);
  const words = (bytes: readonly number[]): bigint[] =>
    [0, 8, 16, 24].map((at) => bytes.slice(at, at + 8).reduceRight((w, x) => (w << 8n) | BigInt(x), 0n));
  const expected = words(a.map((x, i) => multiply(x, b[i]!)));
  const m = machine();
  setYmm(m, 2, words(a));
  setYmm(m, 3, words(b));
  assert.equal(run(m, 'c4e26dcfcb', END), true, 'vgf2p8mulb ymm1, ymm2, ymm3');
  assert.deepEqual(ymm(m, 1), expected);
  assert.equal(run(m, '660f38cfd3', END), true, 'gf2p8mulb xmm2, xmm3');
  assert.deepEqual(ymm(m, 2), [...expected.slice(0, 2), ...words(a).slice(2)]);
});

test('GF2P8AFFINEQB and GF2P8AFFINEINVQB', () => {
  const identity = 0x0102_0408_1020_4080n;
  const bytes = 0xff53_1001_00ab_cdefn;
  const m = machine();
  setYmm(m, 2, [bytes, bytes, bytes, bytes]);
  setYmm(m, 3, [identity, identity, identity, identity]);
  assert.equal(run(m, 'c4e3edcecb0f', END), true, 'vgf2p8affineqb ymm1, ymm2, ymm3, 15');
  assert.equal(ymm(m, 1)[3], bytes ^ 0x0f0f_0f0f_0f0f_0f0fn);
  assert.equal(run(m, 'c4e3edcfcb00', END), true, 'vgf2p8affineinvqb ymm1, ymm2, ymm3, 0');
  for (let i = 0n; i < 64n; i += 8n) {
    const x = Number((bytes >> i) & 255n);
    const inverse = Number((ymm(m, 1)[2]! >> i) & 255n);
    assert.equal(multiply(x, inverse), x === 0 ? 0 : 1);
  }
  // the S-box of AES is an affine map of the inverse (FIPS 197 5.1.1)
  const sbox = 0xf1e3_c78f_1f3e_7cf8n;
  setYmm(m, 3, [sbox, sbox, sbox, sbox]);
  assert.equal(run(m, 'c4e3edcfcb63', END), true);
  assert.equal(ymm(m, 1)[0]! >> 24n, 0x16_edca_7c63n, 'FF 53 10 01 00');
});
