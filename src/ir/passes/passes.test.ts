import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from '../builder.ts';
import { expandHelpers } from '../helper-table.ts';
import { parseIr } from '../parser.ts';
import { printIr } from '../printer.ts';
import { verifyIr } from '../verifier.ts';
import { PassContext } from './block.ts';
import { removeDeadStores } from './dead-stores.ts';
import { foldConstants, propagateCopies } from './propagate.ts';

const TEMP_BASE = 0x8000;
const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx'];
const helpers = expandHelpers({
  plain: { args: 1, result: true, doc: '' },
  reads: { args: 0, result: true, reads: true, doc: '' },
  writes: { args: 0, writes: true, doc: '' },
  pure: { args: 1, result: true, reads: true, pure: true, doc: '' },
});
const names = {
  tempBase: TEMP_BASE,
  helpers,
  slotName: (offset: number) => REGISTERS[offset / 8],
  slotOf: (name: string) => (REGISTERS.includes(name) ? REGISTERS.indexOf(name) * 8 : undefined),
};
const limits = {
  localSlotLimit: 0x100,
  stateSize: 0x2000,
  tempBase: TEMP_BASE,
  tempLimit: 0xfff0,
  mmuIndexes: 3,
  helpers,
};

type Pass = (cx: PassContext, start: number, end: number) => number;

/** Applies a pass to text, verifies the result and compares it. */
function check(pass: Pass, before: string, after: string): void {
  const buffer = new ArrayBuffer(0x4000);
  const ir = new IrBuilder(buffer, TEMP_BASE, 0x10000);
  const words = new Int32Array(buffer);
  ir.begin(0x40, 0x4000);
  parseIr(before, ir, names);
  assert.deepEqual(verifyIr(words, 0x40, ir.address, limits), []);
  const cx = new PassContext(buffer, TEMP_BASE, 0x100, helpers);
  const end = pass(cx, 0x40, ir.address);
  const clean = (text: string): string =>
    text
      .split('\n')
      .map((l) => l.trim())
      .join('\n');
  assert.equal(printIr(words, 0x40, end, names), clean(after));
  assert.deepEqual(verifyIr(words, 0x40, end, limits), []);
}

const copies: Pass = (cx, start, end) => {
  propagateCopies(cx, start, end);
  return end;
};
const fold: Pass = (cx, start, end) => foldConstants(cx, start, end, 0x4000);

test('a store overwritten before anybody can see it is removed', () => {
  check(
    removeDeadStores,
    'mov rax, rcx\nadd_i64 rax, rdx, rbx\nmovi t0, 5\nmovi t1, 6\nmov rcx, t1\nexit',
    'add_i64 rax, rdx, rbx\nmovi t1, 6\nmov rcx, t1\nexit',
  );
});

test('what feeds only dead operations is dead too', () => {
  check(
    removeDeadStores,
    'movi t0, 1\nadd_i64 t1, t0, rcx\nmov rax, t1\nmov rax, rcx\nexit',
    'mov rax, rcx\nexit',
  );
});

test('faults, helpers that read state and the end of the block keep stores to promoted slots', () => {
  const text = [
    'mov rax, rcx',
    'ld64 rdx, [rbx], mmu0 !0',
    'mov rax, rdx',
    'call reads, rcx, -, -, - !0',
    'mov rax, rbx',
    'call writes, -, -, -, - !0',
    'movi rax, 7',
    'fadd_f64 s1400, s1410, s1420 !0',
    'movi rax, 8',
    'goto 0x1000',
  ].join('\n');
  check(removeDeadStores, text, text);
  check(
    removeDeadStores,
    'mov rax, rcx\ncall plain, rcx, rdx, -, - !0\nmov rax, rbx\nexit',
    'call plain, rcx, rdx, -, - !0\nmov rax, rbx\nexit',
  );
});

test('a pure call without use goes, an impure one stays', () => {
  check(
    removeDeadStores,
    'call pure, t0, rcx, -, - !0\ncall plain, t1, rcx, -, - !0\nexit',
    'call plain, t1, rcx, -, - !0\nexit',
  );
});

test('vector operands keep temporaries alive', () => {
  const text = 'movi t0, 1\nvzext64 t1, t0\nvmov s1400, t1\nst64 rax, [rcx], mmu0 !0\nexit';
  check(removeDeadStores, text, text);
});

test('copies are read from their source until either changes', () => {
  check(
    copies,
    'mov t0, rax\nadd_i64 rcx, t0, t0\nst64 t0, [t0], mmu0 !0\nmovi rax, 1\nmov rdx, t0\nmov rbx, rcx\nmovi rbx, 2\nmov rax, rbx\nexit',
    'mov t0, rax\nadd_i64 rcx, rax, rax\nst64 rax, [rax], mmu0 !0\nmovi rax, 1\nmov rdx, t0\nmov rbx, rcx\nmovi rbx, 2\nmov rax, rbx\nexit',
  );
});

test('a helper that changes state ends what is known of promoted slots', () => {
  check(
    copies,
    'mov t0, rax\nmov t1, t0\ncall writes, -, -, -, - !0\nmov rcx, t1\nexit',
    'mov t0, rax\nmov t1, rax\ncall writes, -, -, -, - !0\nmov rcx, t1\nexit',
  );
  check(
    fold,
    'movi rax, 1\nmovi t0, 2\ncall writes, -, -, -, - !0\nadd_i64 rcx, rdx, rax\nadd_i64 rcx, rdx, t0\nexit',
    'movi rax, 1\nmovi t0, 2\ncall writes, -, -, -, - !0\nadd_i64 rcx, rdx, rax\nadd_i64_imm rcx, rdx, 2\nexit',
  );
});

test('constant operands become immediates', () => {
  check(
    fold,
    'movi t0, -3\nadd_i64 rax, rcx, t0\nadd_i32 rax, t0, rcx\nsub_i64 rax, t0, rcx\nmovi t1, 0x123456789a\nltu_i64 rdx, rax, t1\nmov t1, rax\nxor_i64 rax, rax, t1\nexit',
    'movi t0, -3\nadd_i64_imm rax, rcx, -3\nadd_i32_imm rax, rcx, -3\nsub_i64 rax, t0, rcx\nmovi t1, 0x123456789a\nltu_i64_imm rdx, rax, 0x123456789a\nmov t1, rax\nxor_i64 rax, rax, t1\nexit',
  );
});

test('a vector written over a temporary ends what was known of it', () => {
  const text =
    'mov t0, rax\nmovi t1, 1\nvzext64 t0, rcx\nvzext64 t1, rcx\nmov rdx, t0\nadd_i64 rbx, rbx, t1\nexit';
  check(copies, text, text);
  check(fold, text, text);
});

test('together: propagation makes the copies dead', () => {
  check(
    (cx, start, end) => {
      propagateCopies(cx, start, end);
      return removeDeadStores(cx, start, foldConstants(cx, start, end, 0x4000));
    },
    'mov t0, rax\nmovi t1, 4\nadd_i64 t2, t0, t1\nmov t3, t2\nmov rax, t3\nexit',
    'add_i64_imm t2, rax, 4\nmov rax, t2\nexit',
  );
});

test('a block with no room to grow is left alone', () => {
  check(
    (cx, start, end) => foldConstants(cx, start, end, end),
    'movi t0, 1\nadd_i64 rax, rcx, t0\nexit',
    'movi t0, 1\nadd_i64 rax, rcx, t0\nexit',
  );
});
