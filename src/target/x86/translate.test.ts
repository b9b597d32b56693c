import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { IrBuilder } from '../../ir/builder.ts';
import { printIr } from '../../ir/printer.ts';
import { verifyIr } from '../../ir/verifier.ts';
import {
  HF_CS_FLAT,
  HF_CS32,
  HF_CS64,
  HF_FLAT,
  HF_LMA,
  HF_ONE_INSN,
  HF_OSFXSR,
  HF_PE,
  HF_SS32,
  HF_TF,
  LOCAL_SLOT_LIMIT,
  STATE_SIZE,
  TEMP_BASE,
  TEMP_LIMIT,
} from '../../runtime/x86/layout.ts';
import { assemble } from '../../testing/asm/x86.ts';
import type { TranslatedBlock } from '../target.ts';
import { X86_FEATURES } from './features.ts';
import { X86_HELPERS } from './helpers.ts';
import { slotName } from './slot-names.ts';
import { createX86Target } from './x86-target.ts';

const target = createX86Target(new Set(X86_FEATURES));
const buffer = new ArrayBuffer(0x10_0000);
const words = new Int32Array(buffer);
const ir = new IrBuilder(buffer, TEMP_BASE, TEMP_LIMIT);
const IR = 0x1000;
const ORIGIN = 0x1000;
const PAGE = 4096;
const FLAGS = {
  64: HF_CS64 | HF_LMA | HF_PE | HF_FLAT | HF_OSFXSR,
  32: HF_CS32 | HF_SS32 | HF_PE | HF_FLAT | HF_CS_FLAT | HF_OSFXSR,
  16: 0,
} as const;
type Bits = keyof typeof FLAGS;
const names = { tempBase: TEMP_BASE, slotName, helpers: X86_HELPERS };
const limits = {
  ...names,
  localSlotLimit: LOCAL_SLOT_LIMIT,
  stateSize: STATE_SIZE,
  tempLimit: TEMP_LIMIT,
  mmuIndexes: 4,
};

interface Options {
  readonly flags?: number;
  readonly maxInsns?: number;
  /** Bytes of code in the first page, the rest in the second; absent: all in the first. */
  readonly split?: number;
  readonly fetchable?: boolean;
}

function translate(
  code: Uint8Array,
  flags: number,
  options: Options = {},
): { lines: string[]; block: TranslatedBlock } {
  const bytes = new Uint8Array(4 * PAGE);
  const split = options.split ?? code.length;
  bytes.set(code.subarray(0, split), PAGE - split);
  bytes.set(code.subarray(split), 2 * PAGE);
  const block = { sizeBytes: 0, insns: 0, crossesPage: false };
  ir.begin(IR, buffer.byteLength);
  target.translateBlock(
    {
      ripLo: ORIGIN,
      ripHi: 0,
      flags,
      csBase: 0,
      maxInsns: options.maxInsns ?? 64,
      code: {
        bytes,
        start: PAGE - split,
        end: PAGE,
        nextPage: () => (options.fetchable === false ? -1 : 2 * PAGE),
      },
    },
    ir,
    block,
  );
  if (block.insns === 0) return { lines: [], block };
  assert.deepEqual(verifyIr(words, IR, ir.address, { ...limits, blockBytes: block.sizeBytes }), []);
  return { lines: printIr(words, IR, ir.address, names).split('\n'), block };
}

function translateSource(
  source: string,
  bits: Bits,
  options: Options = {},
): { lines: string[]; block: TranslatedBlock } {
  const code = assemble(source.replaceAll('; ', '\n'), { bits, origin: ORIGIN });
  return translate(code, options.flags ?? FLAGS[bits], options);
}

// ---- golden: guest code → IR, with the number of operations

const goldenUrl = new URL('../../../src/target/x86/testdata/translate.golden.txt', import.meta.url);
const update = process.env.UPDATE_GOLDEN === '1';

test('translations match the golden file (UPDATE_GOLDEN=1 rewrites it)', () => {
  const wrong: string[] = [];
  const output: string[] = [];
  for (const section of readFileSync(goldenUrl, 'utf8').split(/^(?=# (?:16|32|64): )/m)) {
    const header = /^# (16|32|64): (.*)$/m.exec(section);
    if (!header) {
      output.push(section);
      continue;
    }
    const { lines } = translateSource(header[2]!, Number(header[1]) as Bits);
    const text = `${header[0]}\n# operations: ${lines.length}\n${lines.join('\n')}\n\n`;
    output.push(text);
    if (text.trim() !== section.trim()) wrong.push(`--- golden\n${section}\n--- now\n${text}`);
  }
  if (update) writeFileSync(goldenUrl, `${output.join('').trim()}\n`);
  else assert.equal(wrong.join('\n'), '');
});

// ---- block ends

test('a block ends at the page end and says when it crosses', () => {
  const nops = new Uint8Array(20).fill(0x90);
  assert.deepEqual(translate(nops, FLAGS[64]).block, { sizeBytes: 20, insns: 20, crossesPage: false });
  const code = assemble('nop\nmov eax, 0x12345678\nnop', { bits: 64 });
  assert.deepEqual(translate(code, FLAGS[64], { split: 3 }).block, {
    sizeBytes: 6,
    insns: 2,
    crossesPage: true,
  });
  assert.deepEqual(translate(code, FLAGS[64], { split: 6 }).block, {
    sizeBytes: 6,
    insns: 2,
    crossesPage: false,
  });
});

test('a fetch fault on a later instruction ends the block before it', () => {
  const code = assemble('nop\nmov eax, 0x12345678', { bits: 64 });
  assert.deepEqual(translate(code, FLAGS[64], { split: 3, fetchable: false }).block, {
    sizeBytes: 1,
    insns: 1,
    crossesPage: false,
  });
  assert.deepEqual(translate(code.subarray(1), FLAGS[64], { split: 2, fetchable: false }).block.sizeBytes, 0);
});

test('maxInsns and single-instruction modes', () => {
  const nops = new Uint8Array(20).fill(0x90);
  assert.equal(translate(nops, FLAGS[64], { maxInsns: 5 }).block.insns, 5);
  for (const flag of [HF_TF, HF_ONE_INSN]) {
    const { lines, block } = translate(nops, FLAGS[64] | flag);
    assert.equal(block.insns, 1);
    assert.ok(lines.some((l) => l.startsWith('call end_of_insn')));
    assert.equal(lines.at(-1), 'goto_ind');
  }
});

test('rip wraps in 16-bit code', () => {
  const bytes = Uint8Array.from([0xe9, 0x00, 0xf0]);
  assert.equal(translate(bytes, FLAGS[16]).lines.at(-1), 'goto 0x3');
});

// ---- undefined encodings

const undefinedCode: readonly (readonly [string, Bits])[] = [
  ['0f0b', 64],
  ['06', 64],
  ['d4 0a', 64],
  ['ea 00 00 00 00 00 00', 64],
  ['f0 01 c0', 64],
  ['f0 3b 03', 64],
  ['f0 90', 32],
  ['8d c0', 64],
  ['0f ff c0', 64],
  ['c4 c0', 32],
  ['fe f8', 64],
  ['0f c7 c8', 64],
  ['8e c8', 64],
  ['8c f0', 64],
  ['0f 20 c8', 64],
  ['ff f8', 64],
  ['c6 c8 00', 64],
  ['0f 00 f0', 64],
  ['0f 00 c0', 16],
  ['63 c0', 16],
  ['62 c0', 32],
  ['0f 3a ff 00', 64],
  ['0f 38 ff c0', 64],
];

for (const [hex, bits] of undefinedCode) {
  test(`${hex} in ${bits}-bit code is undefined`, () => {
    const code = Uint8Array.from(hex.replaceAll(' ', '').match(/../g)!, (b) => parseInt(b, 16));
    const { lines } = translate(Uint8Array.from([...code, ...new Array<number>(8).fill(0)]), FLAGS[bits]);
    assert.match(lines.join('\n'), /^call raise_ud/m);
  });
}

test('16 bytes are too many', () => {
  const code = Uint8Array.from([...new Array<number>(14).fill(0x66), 0x90]);
  assert.equal(translate(code, FLAGS[64]).lines[0], 'goto 0x100f');
  const long = Uint8Array.from([...new Array<number>(15).fill(0x66), 0x90]);
  assert.match(translate(long, FLAGS[64]).lines.join('\n'), /^call raise_gp/m);
});

test('privileged instructions fault outside CPL 0', () => {
  for (const source of [
    'hlt',
    'mov cr0, rax',
    'lgdt [rax]',
    'wrmsr',
    'invlpg [rax]',
    'swapgs',
    'clts',
    'mov rax, dr7',
    'ltr ax',
  ]) {
    assert.match(
      translateSource(source, 64, { flags: FLAGS[64] | 3 }).lines.join('\n'),
      /^call raise_gp/m,
      source,
    );
    assert.doesNotMatch(translateSource(source, 64).lines.join('\n'), /^call raise_gp/m, source);
  }
});

// ---- arbitrary bytes

test('any bytes translate to valid IR in every mode', () => {
  let seed = 12345;
  const next = (): number => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 0;
  };
  const modes = [
    FLAGS[64],
    FLAGS[32],
    FLAGS[16],
    HF_CS32 | HF_SS32 | HF_PE,
    FLAGS[64] | 3,
    FLAGS[64] | HF_TF,
  ];
  for (let i = 0; i < 20000; i++) {
    const code = Uint8Array.from({ length: 40 }, next);
    if (i & 1) code[0] = 0x0f;
    // Vector instructions are the business of their own tests: they may use halves of temporaries.
    const bytes = new Uint8Array(2 * PAGE);
    bytes.set(code);
    const block = { sizeBytes: 0, insns: 0, crossesPage: false };
    ir.begin(IR, buffer.byteLength);
    target.translateBlock(
      {
        ripLo: ORIGIN,
        ripHi: 0,
        flags: modes[next() % modes.length]!,
        csBase: 0,
        maxInsns: 4,
        code: { bytes, start: 0, end: 32, nextPage: () => (next() & 1 ? PAGE : -1) },
      },
      ir,
      block,
    );
    if (block.insns === 0) continue;
    const errors = verifyIr(words, IR, ir.address, { ...limits, blockBytes: block.sizeBytes });
    assert.deepEqual(
      errors.filter((e) => !/whole temporary|before it is written/.test(e)),
      [],
      Buffer.from(code).toString('hex'),
    );
  }
});
