import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from './builder.ts';
import { expandHelpers } from './helper-table.ts';
import { OP_INFO } from './ops.ts';
import { IrSyntaxError, parseIr } from './parser.ts';
import { printIr } from './printer.ts';
import { type IrLimits, verifyIr } from './verifier.ts';

const TEMP_BASE = 0x8000;
const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx'];
const helpers = expandHelpers({
  none: { args: 0, doc: '' },
  two: { args: 2, result: true, faults: true, doc: '' },
});
const names = {
  tempBase: TEMP_BASE,
  helpers,
  slotName: (offset: number) => REGISTERS[offset / 8],
  slotOf: (name: string) => (REGISTERS.includes(name) ? REGISTERS.indexOf(name) * 8 : undefined),
};
const limits: IrLimits = {
  localSlotLimit: 0x100,
  stateSize: 0x2000,
  tempBase: TEMP_BASE,
  tempLimit: 0xfff0,
  mmuIndexes: 3,
  helpers,
  blockBytes: 64,
};

function assemble(text: string): { words: Int32Array; end: number } {
  const buffer = new ArrayBuffer(0x4000);
  const ir = new IrBuilder(buffer, TEMP_BASE, 0x10000);
  ir.begin(0, 0x4000);
  parseIr(text, ir, names);
  return { words: new Int32Array(buffer), end: ir.address };
}

const SAMPLE = `movi t0, -5
movi t1, 0xfedcba9876543210
add_i64 rax, rax, t1
add_i32_imm rcx, rax, 0x12345678
lea_i64 rdx, rax, rcx, 3, -16
select rbx, rax, rcx, rdx
ld64 t2, [rbx + 0x10], mmu1 rmw stack !120004
st8 t2, [rbx - 0x8], mmu0 !5
ld128 s1400, [rbx], mmu2 align !5
vconst t3, 0x1 0x2 0xffffffff 0x0
vshuffle t3, t3, s1400, 0x3020100 0x10 0x0 0x1f
vshl16 s1410, t3, 4
fadd_f32 t3+4, t3, t3+8 !6
vmask8 rax, t3
get8u rax, s201
put16 s1912, rax
call two, rcx, rax, rdx, - !0
br rax, 0xffff800000001000, 0x1002`;

test('text, words and text again', () => {
  const { words, end } = assemble(SAMPLE.replace('- !0', '- !7'));
  assert.equal(printIr(words, 0, end, names), SAMPLE.replace('- !0', '- !7'));
  assert.deepEqual(verifyIr(words, 0, end, limits), []);
});

test('every operation survives printing and parsing', () => {
  const buffer = new ArrayBuffer(64);
  const words = new Int32Array(buffer);
  for (const info of OP_INFO) {
    const plain = info.format === 'dab' || info.format === 'dabc';
    const fill = { dab: 2, dai: 4, dabc: 4, mem: 4, dab128: 6, call: 4, goto: 4, br: 6, end: 2 }[info.format];
    words.fill(0);
    words[0] =
      info.opcode |
      (info.format === 'goto' || info.format === 'br' || info.format === 'end' ? 0 : 0x1420 << 16);
    if (info.args > 0) words[1] = 0x18;
    if (info.args > 1) words[1]! |= 0x8010 << 16;
    if (info.format === 'mem') words[1] = 0x18 | (0x5 << 16);
    if (info.format === 'call') words[2] = 0xfff8;
    else if (!plain) for (let i = 2; i < fill; i++) words[i] = 0x12345 * i;
    const text = printIr(words, 0, info.size, names);
    const again = assemble(text);
    assert.equal(again.end, info.size, text);
    assert.deepEqual([...again.words.subarray(0, fill)], [...words.subarray(0, fill)], text);
  }
});

test('syntax errors name the line', () => {
  for (const bad of [
    'bogus rax',
    'mov rax',
    'mov rax, q',
    'movi rax, 1z',
    'call x, -, -, -, -',
    'ld64 rax, rbx, mmu0',
    'ld64 rax, [rbx], x',
  ]) {
    assert.throws(
      () => assemble(`movi rax, 1\n${bad}`),
      (e) => e instanceof IrSyntaxError && e.line === 2,
      bad,
    );
  }
});

test('the verifier reports each broken invariant', () => {
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ['movi rax, 1', /no terminator/],
    ['exit\nmovi rax, 1\nexit', /follows a terminator/],
    ['mov rax, t0\nexit', /a: temporary read before/],
    ['movi t0, 1\nvmov t1, t0\nexit', /a: temporary read before/],
    ['movi s2004, 1\nexit', /outside the state/],
    ['movi s4, 1\nexit', /promoted slots/],
    ['vmov s80, s1400\nexit', /promoted slots/],
    ['get8u rax, s18\nexit', /not an unpromoted/],
    ['put8 s18, rax\nexit', /not an unpromoted/],
    ['movi t0+8, 1\nexit', /not a whole temporary/],
    ['mov rax, -\nexit', /not a slot/],
    ['call #9, -, -, -, -\nexit', /unknown helper/],
    ['call two, -, rax, -, -\nexit', /b: not a slot/],
    ['call none, rax, -, -, -\nexit', /no result/],
    ['call none, -, rax, -, -\nexit', /takes 0 arguments/],
    ['ld8u rax, [rbx], mmu0 !5\nld8u rax, [rbx], mmu0 !4\nexit', /goes backwards/],
    ['ld8u rax, [rbx], mmu0 !40\nexit', /outside the block/],
    ['ld8u rax, [rbx], mmu3\nexit', /bad access info/],
    ['ld64 rax, [rbx], mmu0 align\nexit', /MEM_ALIGN/],
    ['vshl16 s1400, s1400, 16\nexit', /shift count/],
    ['lea_i64 rax, rax, rax, 4, 0\nexit', /scale/],
    ['vshuffle s1400, s1400, s1400, 0x20 0 0 0\nexit', /lane index/],
  ];
  for (const [text, message] of cases) {
    const { words, end } = assemble(text);
    const errors = verifyIr(words, 0, end, limits);
    assert.equal(errors.length, 1, `${text}: ${errors.join('; ')}`);
    assert.match(errors[0]!, message, text);
  }
  const { words } = assemble('exit');
  words[0] = 0xfff0;
  assert.match(verifyIr(words, 0, 8, limits)[0]!, /unknown opcode/);
  const long = assemble('movi rax, 1');
  assert.match(verifyIr(long.words, 0, 8, limits)[0]!, /beyond the end/);
});
