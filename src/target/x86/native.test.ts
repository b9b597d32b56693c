import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CC_OP, EFLAGS, HALTED } from '../../runtime/x86/layout.ts';
import { FlatMachine } from './flat-machine.cases.ts';

// The layout and the inputs are those of testdata/native-driver.c.
const CODE = 0x20_0000;
const DATA = 0x30_1000;
const DATA_SIZE = 0x1000;
const INPUTS = 12;
const EDGE = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_fffen,
];

let seed = 0;
function next(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}

function value(): bigint {
  const kind = next() & 3;
  if (kind === 0) return EDGE[next() & 15]!;
  if (kind === 1) return BigInt(next() & 0xff);
  const high = BigInt(next());
  return (high << 32n) | BigInt(next());
}

function fnv(h: number, bytes: Uint8Array): number {
  for (const b of bytes) h = Math.imul(h ^ b, 16777619);
  return h;
}

type Bits = 64 | 32;
const machine = new FlatMachine((process.env.TIER ?? 'interp') as 'interp' | 'jit' | 'auto');

function enterMode(bits: Bits): void {
  machine.cpu.reset();
  if (bits === 64) machine.longMode();
  else machine.protectedMode();
}

/** Runs the code with the next random input; the hash of what it leaves. */
function run(bits: Bits, mask: bigint): string {
  const { cpu, ram, view } = machine;
  const out = new DataView(new ArrayBuffer(17 * 8));
  for (let i = 0; i < 16; i++)
    cpu.writeSlot(i * 8, bits === 64 ? value() : i < 8 ? BigInt.asUintN(32, value()) : 0n);
  cpu.writeSlot(7 * 8, BigInt(DATA));
  cpu.writeSlot(6 * 8, BigInt(DATA + 0x100));
  cpu.writeSlot(4 * 8, BigInt(DATA + DATA_SIZE));
  cpu.rflags = BigInt((next() & 0x8d5) | 0x202);
  for (let i = 0; i < 0x200; i += 4) view.setUint32(DATA + i, next(), true);
  ram.fill(0, DATA + 0x200, DATA + DATA_SIZE);
  let h = 0x811c9dc5 | 0;
  if (machine.run(CODE)) {
    for (let i = 0; i < 16; i++) out.setBigUint64(i * 8, cpu.readSlot(i * 8), true);
    out.setBigUint64(16 * 8, cpu.rflags & mask, true);
    h = fnv(h, new Uint8Array(out.buffer));
  } else {
    h = fnv(h, new TextEncoder().encode('fault'));
    enterMode(bits);
  }
  if (process.env.TRACE) {
    for (let i = 0; i < 16; i++) console.log(i, out.getBigUint64(i * 8, true).toString(16));
    console.log(
      'flags',
      (cpu.rflags & mask).toString(16),
      cpu.readSlot(CC_OP),
      cpu.readSlot(EFLAGS),
      cpu.readSlot(HALTED),
    );
  }
  h = fnv(h, ram.subarray(DATA, DATA + DATA_SIZE));
  return (h >>> 0).toString(16).padStart(8, '0');
}

const only = process.env.CASE;

for (const bits of [64, 32] as const)
  test(`${bits}-bit instructions leave what a real processor leaves`, () => {
    machine.ram.fill(0, DATA - 0x1000, DATA + 0x3000);
    enterMode(bits);
    const url = new URL(
      `../../../src/target/x86/testdata/native-vectors${bits === 64 ? '' : '-32'}.txt`,
      import.meta.url,
    );
    const wrong: string[] = [];
    for (const line of readFileSync(url, 'utf8').trim().split('\n')) {
      const [text, hex, mask, hashes] = line.split('|') as [string, string, string, string];
      if (only !== undefined && text !== only) continue;
      const code = Uint8Array.from(hex.match(/../g) ?? [], (b) => parseInt(b, 16));
      machine.load(Uint8Array.from([...code, 0xf4]), CODE);
      seed = 0x12345678;
      const got = Array.from({ length: INPUTS }, () => run(bits, BigInt(`0x${mask}`)));
      const expected = hashes.split(' ');
      const differs = got.flatMap((h, i) => (h === expected[i] ? [] : [i]));
      if (differs.length) wrong.push(`${text}: inputs ${differs.join(',')}`);
    }
    assert.deepEqual(wrong, []);
  });
