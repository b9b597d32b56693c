// VEX-encoded instructions against a real processor: testdata/avx-vectors.txt, recorded by record-avx.mjs. Inputs are those of
// testdata/avx-driver.c.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TcgTier } from '../../accel/tcg/tcg-vcpu.ts';
import { VCPU_BASE } from '../../runtime/tcg/layout.ts';
import {
  CR4,
  MXCSR,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  VECTOR_HI,
  XCR0,
  XCR0_MASK,
  XMM,
} from '../../runtime/x86/layout.ts';
import { FlatMachine } from './flat-machine.cases.ts';

const CODE = 0x20_0000;
const DATA = 0x30_1000;
const INPUTS = 16;
const GPRS = [RAX, RCX, RDX, RBX];

const SPECIAL32 = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00123, 0xffc00456, 0x7f800001,
  0x00800000, 1, 0x807fffff, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x3f000000,
];
const SPECIAL64 = [
  0, 0x80000000, 0x3ff00000, 0xbff00000, 0x7ff00000, 0xfff00000, 0x7ff80123, 0xfff80456, 0x7ff00001,
  0x00100000, 1, 0x800fffff, 0x7fefffff, 0x41e00000, 0xc1e00000, 0x3fe00000,
];

let seed = 0;
function next(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}

function f32(): number {
  const k = next() & 7;
  const r = next();
  const m = next();
  if (k === 0) return SPECIAL32[r & 15]!;
  if (k === 1) return m;
  const sign = r & 0x80000000;
  if (k === 2) return sign | ((127 + (r & 7)) << 23) | ((m & 7) << 20);
  if (k === 3) return sign | ((100 + (r % 50)) << 23) | (m & 0x7fffff);
  return sign | ((123 + (r & 7)) << 23) | (m & 0x7fffff);
}

/** Low and high half. */
function f64(): [number, number] {
  const k = next() & 7;
  const r = next();
  const m = next();
  const l = next();
  const sign = r & 0x80000000;
  if (k === 0) return [0, SPECIAL64[r & 15]!];
  if (k === 1) return [l, m];
  if (k === 2) return [0, sign | ((1023 + (r & 7)) << 20) | ((m & 7) << 17)];
  if (k === 3) return [l, sign | ((900 + (r % 250)) << 20) | (m & 0xfffff)];
  return [l, sign | ((1019 + (r & 7)) << 20) | (m & 0xfffff)];
}

const w = new Int32Array(8);
function fill(kind: string): Int32Array {
  if (kind === 'S') {
    for (let i = 0; i < 8; i++) w[i] = f32();
  } else if (kind === 'D') {
    for (let i = 0; i < 8; i += 2) [w[i], w[i + 1]] = f64();
  } else if (kind === 'G') {
    for (let i = 0; i < 8; i++) {
      const r = next();
      w[i] = r & 1 ? r >>> 26 : -(r >>> 26);
    }
    if (next() & 1) for (let i = 0; i < 8; i += 2) w[i + 1] = w[i]! >> 31;
  } else {
    const mode = next() & 3;
    for (let i = 0; i < 8; i++) {
      const r = next();
      w[i] = mode === 0 ? r & 0x0f0f0f0f : mode === 1 ? (r & 0x80808080) | ((r & 0x01010101) * 0x7f) : r;
    }
  }
  return w;
}

function mxcsr(kind: string): number {
  const r = next();
  const q = next();
  let m = 0x1f80;
  if (kind !== 'S' && kind !== 'D') return m;
  if (r & 3) m |= 0x20;
  if (((r >>> 2) & 7) === 0) m |= (q & 3) << 13;
  if (((r >>> 5) & 7) === 0) m |= (((q >>> 2) & 1) << 6) | (((q >>> 3) & 1) << 15);
  if (((r >>> 8) & 7) === 0) m = (m & ~0x1f80) | (((q >>> 4) & 63) << 7);
  return m;
}

class Runner {
  private readonly machine: FlatMachine;
  private readonly state: DataView;
  private hash = 0;

  constructor(tier: TcgTier) {
    this.machine = new FlatMachine(tier);
    this.state = new DataView(this.machine.memory.memory.buffer, VCPU_BASE, 0x2000);
    this.enter();
  }

  private enter(): void {
    const { machine } = this;
    machine.cpu.reset();
    machine.longMode();
    machine.cpu.writeSlot(XCR0_MASK, 7n);
    machine.cpu.writeSlot(XCR0, 7n);
    machine.cpu.writeSlot(CR4, machine.cpu.readSlot(CR4) | 0x4_0000n);
    machine.cpu.runtime.update_hflags();
  }

  load(hex: string): void {
    this.machine.load(Uint8Array.from([...hex.match(/../g)!.map((b) => parseInt(b, 16)), 0xf4]), CODE);
  }

  /** Slot of byte i of vector register n. */
  private vectorSlot(n: number, i: number): number {
    return XMM + n * 16 + (i < 16 ? i : i - 16 + VECTOR_HI);
  }

  private put(bytes: DataView, at: number, length: number): void {
    let h = this.hash;
    for (let i = 0; i < length; i++) h = Math.imul(h ^ bytes.getUint8(at + i), 16777619);
    this.hash = h;
  }

  /** Digest of what the loaded code leaves for the next input. */
  run(kind: string): string {
    const { machine, state } = this;
    const { cpu, view, ram } = machine;
    for (let n = 0; n < 16; n++)
      fill(kind).forEach((x, i) => state.setInt32(this.vectorSlot(n, i * 4), x, true));
    if (kind === 'G')
      for (let i = 0; i < 32; i += 4) state.setUint8(this.vectorSlot(2, i + 3), next() >>> 24);
    for (const slot of GPRS) {
      const high = next();
      state.setUint32(slot + 4, high, true);
      state.setUint32(slot, next(), true);
    }
    if (next() & 1) {
      for (const slot of [RAX, RDX]) cpu.writeSlot(slot, cpu.readSlot(slot) & 15n);
    }
    cpu.writeSlot(RDI, BigInt(DATA + 0x400));
    const csr = mxcsr(kind);
    (cpu.runtime as unknown as { sse_ldmxcsr(v: bigint): void }).sse_ldmxcsr(BigInt(csr));
    ram.fill(0, DATA, DATA + 0x1000);
    for (let i = 0; i < 1024; i += 4) view.setUint32(DATA + 0x200 + i, next(), true);
    for (let i = 0; i < 4; i++)
      fill(kind === 'G' ? 'I' : kind).forEach((x, k) =>
        view.setInt32(DATA + 0x400 + i * 32 + k * 4, x, true),
      );
    cpu.rflags = 0x202n;
    this.hash = 0x811c9dc5 | 0;
    if (machine.run(CODE)) this.putState();
    else {
      this.put(state, MXCSR, 4);
      this.putData();
      this.enter();
      return this.digest();
    }
    this.putData();
    return this.digest();
  }

  private putState(): void {
    const { state } = this;
    for (const slot of GPRS) this.put(state, slot, 8);
    const flags = new DataView(new ArrayBuffer(8));
    flags.setBigUint64(0, this.machine.cpu.rflags & 0x8d5n, true);
    this.put(flags, 0, 8);
    this.put(state, MXCSR, 4);
    for (let n = 0; n < 16; n++) {
      this.put(state, XMM + n * 16, 16);
      this.put(state, XMM + n * 16 + VECTOR_HI, 16);
    }
  }

  private putData(): void {
    this.put(this.machine.view, DATA + 0x400, 128);
  }

  private digest(): string {
    return ((this.hash ^ (this.hash >>> 16)) & 0xffff).toString(16).padStart(4, '0');
  }

  dump(): string {
    const lines = [
      `mxcsr ${this.machine.cpu.readSlot(MXCSR).toString(16)} flags ${this.machine.cpu.rflags.toString(16)}`,
    ];
    for (let n = 0; n < 16; n++) {
      let text = '';
      for (let i = 31; i >= 0; i--)
        text += this.state.getUint8(this.vectorSlot(n, i)).toString(16).padStart(2, '0');
      lines.push(`ymm${n} ${text}`);
    }
    return lines.join('\n');
  }
}

const only = process.env['CASE'];

for (const tier of ['interp', 'jit'] as const) {
  test(`VEX-encoded instructions match the recorded processor, ${tier}`, () => {
    const url = new URL('../../../src/target/x86/testdata/avx-vectors.txt', import.meta.url);
    const runner = new Runner(tier);
    const wrong: string[] = [];
    const lines = readFileSync(url, 'utf8').trim().split('\n');
    for (const [n, line] of lines.entries()) {
      const [name, kind, hex, digests] = line.split('|') as [string, string, string, string];
      if (only !== undefined && only !== hex) continue;
      // the compiler takes longer to start: half of the cases
      if (tier === 'jit' && only === undefined && n % 2 !== 0) continue;
      if (process.env['TRACE']) console.log(name, hex);
      runner.load(hex);
      seed = 0x12345678;
      const bad: number[] = [];
      for (let i = 0; i < INPUTS; i++) {
        const before = only !== undefined ? runner.dump() : '';
        if (runner.run(kind) !== digests.slice(i * 4, i * 4 + 4)) bad.push(i);
        if (only !== undefined) console.log(i, before.length > 0 ? runner.dump() : '');
      }
      if (bad.length) wrong.push(`${name} ${kind} ${hex}: inputs ${bad.join()}`);
    }
    assert.equal(
      wrong.length,
      0,
      `${wrong.length} differ\n${wrong.slice(0, Number(process.env['BAD'] ?? 60)).join('\n')}`,
    );
  });
}
