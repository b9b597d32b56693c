import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HF_CS32, HF_CS64, HF_LMA, HF_PE } from '../../runtime/x86/layout.ts';
import { parseCpu } from './cpu-models.ts';
import { compileTables, OPCODE_INDEXES } from './decode-table.ts';
import { encodingFeatures, type FeatureSet, X86_FEATURES } from './features.ts';
import { buildX86Tables, X86_HANDLERS, X86_TABLES } from './handlers.ts';
import type { InsnTable } from './insn-row.ts';
import { createX86Target } from './x86-target.ts';

const all = new Set(X86_FEATURES);

/** Compiles every opcode; throws where the tables contradict themselves. */
function compileAll(tables: Parameters<typeof compileTables>[0], features: FeatureSet = all): void {
  for (const dispatch of compileTables(tables, features).dispatch)
    for (let index = 0; index < OPCODE_INDEXES; index++) dispatch.opcodeFlags(index);
}

test('the tables compile for every CPU model, every row has a handler', () => {
  for (const model of ['qemu64', 'Nehalem', 'max', 'qemu32']) {
    const features = encodingFeatures(parseCpu(model).features);
    compileAll(X86_TABLES, features);
    const { table, handlers } = buildX86Tables(features);
    table.rows.forEach((row, n) => assert.equal(typeof handlers[n], 'function', row.name));
  }
});

test('every handler is used by a row', () => {
  const used = new Set(X86_TABLES.flatMap(([, table]) => table.map((row) => row.as ?? row.name)));
  assert.deepEqual(
    Object.keys(X86_HANDLERS).filter((name) => !used.has(name)),
    [],
  );
});

test('every row can be reached', () => {
  const { table } = buildX86Tables(all);
  const reached = new Set<number>([0]);
  for (const d of table.dispatch) {
    for (let index = 0; index < OPCODE_INDEXES; index++) {
      for (let cell = 0; cell < 64; cell++) {
        for (let rm = 0; rm < 8; rm++)
          reached.add(d.findRow(index, cell >> 4, (cell >> 3) & 1, cell & 7, rm));
      }
    }
  }
  assert.deepEqual(
    table.rows.filter((_, n) => !reached.has(n)).map((row) => row.name),
    [],
  );
});

test('overlapping rows are refused', () => {
  const rows: readonly InsnTable[] = [
    [
      { op: 1, name: 'a' },
      { op: 1, name: 'b' },
    ],
    [
      { op: 1, name: 'a', operands: ['Eb'], reg: 1 },
      { op: 1, name: 'b', operands: ['Eb'] },
    ],
    [
      { op: 1, name: 'a', operands: ['M'], prefix: '66' },
      { op: 1, name: 'b', operands: ['Wdq'], prefix: '66' },
    ],
    [
      { op: 0, count: 8, name: 'a' },
      { op: 7, name: 'b' },
    ],
  ];
  for (const table of rows) assert.throws(() => compileAll([[0, table]]), /overlap/);
  compileAll([
    [
      0,
      [
        { op: 1, name: 'a', operands: ['Eb'] },
        { op: 1, name: 'b', operands: ['Eb'], prefix: 'f3' },
      ],
    ],
  ]);
  compileAll([
    [
      0,
      [
        { op: 1, name: 'a', mode: 'i64' },
        { op: 1, name: 'b', mode: 'o64' },
      ],
    ],
  ]);
});

test('a CPU without a feature decodes the instruction without the prefix', () => {
  const lzcnt = Uint8Array.from([0xf3, 0x0f, 0xbd, 0xc1]);
  const flags = HF_CS64 | HF_LMA | HF_PE;
  assert.equal(createX86Target(all).disassemble(lzcnt, 0n, flags).text, 'lzcnt eax, ecx');
  assert.equal(createX86Target(new Set()).disassemble(lzcnt, 0n, flags).text, 'bsr eax, ecx');
});

// testdata/lengths.txt: mode, bytes and text as recorded from binutils' objdump on Debian binaries, one example per encoding.
test('lengths agree with a recorded disassembler', () => {
  const target = createX86Target(all);
  const url = new URL('../../../src/target/x86/testdata/lengths.txt', import.meta.url);
  const wrong: string[] = [];
  let count = 0;
  for (const line of readFileSync(url, 'utf8').trim().split('\n')) {
    const [bits, hex, text] = line.split('|') as [string, string, string];
    const code = new Uint8Array(24);
    code.set(Uint8Array.from(hex.match(/../g)!, (b) => parseInt(b, 16)));
    const found = target.disassemble(code, 0n, bits === '64' ? HF_CS64 | HF_LMA | HF_PE : HF_CS32 | HF_PE);
    count++;
    if (found.length !== hex.length / 2) wrong.push(`${hex} ${text}: ${found.text}, ${found.length} bytes`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 1000);
});

test('disassembly', () => {
  const target = createX86Target(all);
  const cases: readonly (readonly [string, string])[] = [
    ['48 8b 43 08', 'mov rax, qword ptr [rbx+0x8]'],
    ['0f b6 04 b7', 'movzx eax, byte ptr [rdi+rsi*4]'],
    ['74 fe', 'je 0x1000'],
    ['48 8d 05 10 00 00 00', 'lea rax, [rip+0x10]'],
    ['65 48 8b 04 25 28 00 00 00', 'mov rax, qword ptr gs:[0x28]'],
    ['f0 48 0f b1 0f', 'lock cmpxchg qword ptr [rdi], rcx'],
    ['f3 48 ab', 'rep stosq'],
    ['90', 'nop'],
    ['48 98', 'cdqe'],
    ['66 0f 6f 07', 'movdqa xmm0, xmmword ptr [rdi]'],
    ['83 c0 ff', 'add eax, 0xffffffff'],
    ['48 83 c0 ff', 'add rax, 0xffffffffffffffff'],
    ['40 88 f4', 'mov spl, sil'],
    ['88 f4', 'mov ah, dh'],
    ['e3 fe', 'jrcxz 0x1000'],
    ['0f 22 d8', 'mov cr3, rax'],
    ['0f 0b', 'ud2'],
    ['06', '(bad)'],
  ];
  for (const [hex, text] of cases) {
    const code = Uint8Array.from(hex.split(' '), (b) => parseInt(b, 16));
    assert.equal(target.disassemble(code, 0x1000n, HF_CS64 | HF_LMA | HF_PE).text, text);
  }
});
