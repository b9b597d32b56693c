import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AsmError } from './lexer.ts';
import { assemble, assembleWithSymbols } from './x86.ts';

const hex = (source: string, bits: 16 | 32 | 64 = 64, origin = 0): string =>
  Buffer.from(assemble(source, { bits, origin })).toString('hex');

test('labels, constants and data', () => {
  const source = `
    org 0x7c00
    size equ end - start
    start: dw size, end
    .loop: db 'ab', 0
    times 3 db 0xff
    end:`;
  const { code, symbols } = assembleWithSymbols(source, { bits: 16 });
  assert.equal(Buffer.from(code).toString('hex'), '0a000a7c616200ffffff');
  assert.equal(symbols.get('start.loop'), 0x7c04n);
});

test('a branch takes the short form only within reach', () => {
  assert.equal(hex('x: jmp x'), 'ebfe');
  assert.equal(hex('jmp x\nx:'), 'eb00');
  assert.equal(hex('jz x\ntimes 128 nop\nx:').slice(0, 12), '0f8480000000');
  assert.throws(() => hex('loop x\ntimes 128 nop\nx:'), /out of reach/);
});

test('macros', () => {
  const source = `
    %define PORT 0x80
    %macro report 1
      mov al, %1
      out PORT, al
      jmp %%done
      %%done:
    %endmacro
    report 1
    report 2`;
  assert.equal(hex(source, 32), 'b001e680eb00b002e680eb00');
});

test('mistakes name their line', () => {
  const fails = (source: string, reason: RegExp): void => {
    assert.throws(
      () => hex(source),
      (error) => error instanceof AsmError && error.line === 2 && reason.test(error.message),
    );
  };
  fails('nop\ninc [rax]', /size of the memory operand/);
  fails('nop\nmov eax, nowhere', /undefined symbol nowhere/);
  fails('nop\nfrobnicate eax', /unknown instruction frobnicate/);
  fails('nop\nmov al, 0x1ff', /no such form/);
  fails('nop\nmov ah, r8b', /REX/);
  fails('nop\nlea eax, [rsp*2]', /cannot be an index/);
});
