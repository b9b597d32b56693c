import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  CR2,
  IDT_BASE,
  IDT_LIMIT,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  TR,
} from '../../runtime/x86/layout.ts';
import { assemble } from '../../testing/asm/x86.ts';
import { FlatMachine } from './flat-machine.cases.ts';

// An instruction that faults leaves registers and flags as the instruction before it left them, and RIP on itself.

const CODE = 0x20_0000;
const HANDLER = 0x21_0000;
const IDT = 0x4000;
const GDT = 0x5000;
const TSS = 0x6000;
const STACK = 0x32_0000;
/** The first gigabyte is mapped. */
const UNMAPPED = 0x5000_1000n;
const PAGE_FAULT = 14;

const machine = new FlatMachine((process.env.TIER ?? 'interp') as 'interp' | 'jit' | 'auto');

function setUp(): void {
  const { cpu, view } = machine;
  cpu.reset();
  machine.longMode();
  view.setBigUint64(GDT + 0x10, 0x00af_9b00_0000_ffffn, true);
  view.setBigUint64(GDT + 0x18, 0x00cf_9300_0000_ffffn, true);
  cpu.writeSlot(0x300, BigInt(GDT));
  cpu.writeSlot(0x308, 0x7fn);
  view.setBigUint64(TSS + 36, BigInt(STACK), true);
  const tr = SEG + TR * SEG_STRIDE;
  cpu.writeSlot(tr + SEG_SELECTOR, 0x40n);
  cpu.writeSlot(tr + SEG_BASE, BigInt(TSS));
  cpu.writeSlot(tr + SEG_LIMIT, 0x67n);
  cpu.writeSlot(tr + SEG_ATTR, 0x8bn);
  for (let v = 0; v < 32; v++) {
    const target = HANDLER + v * 16;
    view.setUint32(IDT + v * 16, (target & 0xffff) | 0x10_0000, true);
    view.setUint32(IDT + v * 16 + 4, (target & 0xffff_0000) | 0x8e01, true);
    view.setBigUint64(IDT + v * 16 + 8, 0n, true);
  }
  cpu.writeSlot(IDT_BASE, BigInt(IDT));
  cpu.writeSlot(IDT_LIMIT, 0xfffn);
  machine.load(new Uint8Array(32 * 16).fill(0xf4), HANDLER);
}

/** Register values: nothing that could be an address. */
function setRegisters(pointer: bigint): void {
  const { cpu } = machine;
  for (let i = 0; i < 16; i++) cpu.writeSlot(i * 8, 0x1111_2222_0000_0003n * BigInt(i + 1));
  for (const n of [4, 5, 6, 7]) cpu.writeSlot(n * 8, pointer);
  cpu.writeSlot(1 * 8, 2n);
  cpu.rflags = (0x8d5n & ~0x41n) | 0x202n;
}

const registers = (): bigint[] => Array.from({ length: 16 }, (_, i) => machine.cpu.readSlot(i * 8));

/** Single instructions of the recorded cases that access memory. */
function memoryCases(): { text: string; insn: number[] }[] {
  const url = new URL('../../../src/target/x86/testdata/native-vectors.txt', import.meta.url);
  return readFileSync(url, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split('|'))
    .map(([text, hex]) => ({ text: text!, insn: hex!.match(/../g)!.map((b) => parseInt(b, 16)) }))
    .filter(
      ({ text }) =>
        !text.includes(';') &&
        (/\[r[ds]i/.test(text) || /^(movs|stos|lods|cmps|scas)[bwdq]$|^(push|pop)\b/.test(text)),
    )
    .filter(({ text }) => !/^(lea|nop|prefetch|push qword|j)/.test(text));
}

for (const [name, prefix] of [
  ['flags of an earlier block', ''],
  ['flags of an addition', 'add r14, r13'],
  ['flags of a decrement and a rotate', 'dec r14d; rol r13d, 5'],
  ['flags of a comparison', 'cmp r14b, 0x33'],
  ['flags of an adc', 'adc r14d, r15d'],
] as const) {
  test(`faulting instructions change nothing: ${name}`, () => {
    setUp();
    const { cpu, view } = machine;
    const before = prefix
      ? assemble(prefix.replaceAll('; ', '\n'), { bits: 64, origin: CODE })
      : new Uint8Array(0);
    machine.load(Uint8Array.from([...before, 0xf4]), CODE);
    setRegisters(UNMAPPED);
    assert.ok(machine.run(CODE));
    const expected = registers();
    const flags = cpu.rflags & 0x8d5n;
    const cases = memoryCases();
    assert.ok(cases.length > 100);
    for (const { text, insn } of cases) {
      machine.load(Uint8Array.from([...before, ...insn, 0xf4]), CODE);
      setRegisters(UNMAPPED);
      assert.ok(machine.run(CODE), text);
      assert.equal(cpu.readSlot(0x100), BigInt(HANDLER + PAGE_FAULT * 16 + 1), `${text}: page fault`);
      const frame = Array.from({ length: 6 }, (_, i) => view.getBigUint64(STACK - 48 + i * 8, true));
      assert.equal(frame[1], BigInt(CODE + before.length), `${text}: RIP`);
      assert.equal(frame[3]! & 0x8d5n, flags, `${text}: flags`);
      assert.equal(frame[4], UNMAPPED, `${text}: RSP`);
      assert.equal(
        (cpu.readSlot(CR2) >> 12n) << 12n === UNMAPPED ||
          (cpu.readSlot(CR2) >> 12n) << 12n === UNMAPPED - 0x1000n,
        true,
        `${text}: CR2`,
      );
      const after = registers();
      after[4] = UNMAPPED;
      assert.deepEqual(after, expected, text);
    }
  });
}

test('division errors leave the state and push no error code', () => {
  setUp();
  const { cpu, view } = machine;
  for (const text of ['div ebx', 'idiv bl', 'div rbx', 'idiv bx']) {
    machine.load(
      Uint8Array.from([...assemble(`add r14, r13\n${text}`, { bits: 64, origin: CODE }), 0xf4]),
      CODE,
    );
    setRegisters(UNMAPPED);
    cpu.writeSlot(3 * 8, 0n);
    assert.ok(machine.run(CODE));
    assert.equal(cpu.readSlot(0x100), BigInt(HANDLER + 1), text);
    assert.equal(view.getBigUint64(STACK - 40, true), BigInt(CODE + 3), text);
    assert.equal(cpu.readSlot(0), 0x1111_2222_0000_0003n, text);
  }
});
