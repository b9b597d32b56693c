import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrBuilder } from '../builder.ts';
import { expandHelpers } from '../helper-table.ts';
import { parseIr } from '../parser.ts';
import { printIr } from '../printer.ts';
import { verifyIr } from '../verifier.ts';
import { PassContext } from './block.ts';
import { removeDeadStores } from './dead-stores.ts';

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
