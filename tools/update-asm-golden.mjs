// Regenerates tests/golden/asm/{16,32,64}.txt: one line of source per form of each instruction in the assembler's
// table, with the bytes that NASM makes of it. Needs nasm (apt-get install nasm) and a build.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { instructionTable } = await import(`${root}dist/testing/asm/table.js`);
const { assemble } = await import(`${root}dist/testing/asm/x86.js`);

const SIZE_WORD = {
  8: 'byte',
  16: 'word',
  32: 'dword',
  64: 'qword',
  80: 'tword',
  128: 'oword',
  256: 'yword',
};
const FIXED = {
  i8: ['0x12'],
  i16: ['0x1234'],
  i32: ['0x12345678'],
  i64: ['0x123456789abcdef0'],
  s8: ['-5'],
  s32: ['-0x12345678'],
  u32: ['0x89abcdef'],
  c32: ['-0x12345678'],
  one: ['1'],
  rel8: ['short $+5'],
  rel16: ['near $+0x100'],
  rel32: ['near $+0x1000'],
  ptr16: ['word 0x1234:0x5678'],
  ptr32: ['dword 0x1234:0x56789abc'],
  sreg: ['es', 'fs'],
  cr: ['cr3'],
  dr: ['dr7'],
  st: ['st3'],
  sto: ['to st5'],
  mm: ['mm3'],
  nmm: ['mm6'],
  x0: ['xmm0'],
};
const REG = { 8: 'bl', 16: 'si', 32: 'edx', 64: 'rbp' };
const HIGH_REG = { 8: 'r11b', 16: 'r9w', 32: 'r10d', 64: 'r12' };

/** Sample operands in source form for one operand of the table. */
function samples(kind, bits, mnemonic) {
  if (kind === 'rel8' && /^(loop|j\w*cxz)/.test(mnemonic)) return ['$+5'];
  if (kind === 'i16' && mnemonic === 'push') return ['0x1234'];
  if (FIXED[kind]) return FIXED[kind];
  const address = { 16: ['[bx+si+8]'], 32: ['[ebx+ecx*4+0x1234]'], 64: ['[r13+rcx*8-3]', '[rsp]'] }[bits];
  const memory = (size, far = '') =>
    address.map((a) => [SIZE_WORD[size] ?? '', far, a].filter(Boolean).join(' '));
  const [, letters, digits] = /^([a-z]+)(\d*)$/.exec(kind) ?? [];
  const size = Number(digits);
  const registers = bits === 64 ? [REG[size], HIGH_REG[size]] : [REG[size]];
  switch (letters) {
    case 'r':
    case 'n':
      return digits ? registers : [kind];
    case 'rm':
      return [...registers, ...memory(size)];
    case 'm':
      return /^(lgdt|lidt|sgdt|sidt|invlpg|lea|l[defgs]s|bound|f?x?(save|rstor)|fx.*|xsave.*|xrstor.*|f.*)$/.test(
        mnemonic,
      ) && !digits
        ? memory(0)
        : memory(size);
    case 'mmm':
      return ['mm1', ...memory(64)];
    case 'x':
      return bits === 64 ? ['xmm5', 'xmm9'] : ['xmm5'];
    case 'nx':
      return bits === 64 ? ['xmm2', 'xmm15'] : ['xmm2'];
    case 'y':
    case 'vy':
    case 'iy':
      return bits === 64 ? ['ymm5', 'ymm9'] : ['ymm5'];
    case 'vx':
    case 'ix':
      return bits === 64 ? ['xmm4', 'xmm12'] : ['xmm4'];
    case 'ym':
      return [...(bits === 64 ? ['ymm2', 'ymm15'] : ['ymm2']), ...memory(size)];
    case 'xm':
      return [...(bits === 64 ? ['xmm2', 'xmm15'] : ['xmm2']), ...memory(size)];
    case 'mfar':
      return memory(size, 'far');
    case 'moffs':
      return bits === 64 ? ['[qword 0x123456789abcdef0]'] : ['[0x1234]'];
    default:
      return [kind];
  }
}

/** Names that only this assembler knows. */
const OWN = new Set(['sysexitq', 'sysretq', 'retfq']);

function* forms(bits) {
  for (const [mnemonic, variants] of instructionTable()) {
    if (OWN.has(mnemonic)) continue;
    for (const variant of variants) {
      if (bits === 64 ? variant.not64 : variant.only64) continue;
      const choices = variant.operands.map((kind) => samples(kind, bits, mnemonic));
      const rows = Math.max(1, ...choices.map((c) => c.length));
      for (let i = 0; i < rows; i++) {
        const operands = choices.map((c) => c[i % c.length]);
        yield `${mnemonic} ${operands.join(', ')}`.trim();
      }
    }
  }
}

/** The bytes NASM makes of each line; undefined where it refuses. */
function nasm(dir, lines, bits) {
  const source = join(dir, 'in.asm');
  const bytes = lines.map(() => undefined);
  let live = lines.map((_, i) => i);
  for (;;) {
    writeFileSync(source, [`bits ${bits}`, ...live.map((i) => lines[i])].join('\n'));
    const run = spawnSync(
      'nasm',
      ['-f', 'bin', '-w-all', '-l', join(dir, 'out.lst'), '-o', join(dir, 'out.bin'), source],
      { encoding: 'utf8' },
    );
    if (run.error) throw run.error;
    const bad = new Set([...run.stderr.matchAll(/:(\d+): error/g)].map((m) => Number(m[1]) - 2));
    if (bad.size === 0) break;
    live = live.filter((_, i) => !bad.has(i));
  }
  const out = readFileSync(join(dir, 'out.bin'));
  const offsets = new Map();
  for (const line of readFileSync(join(dir, 'out.lst'), 'utf8').split('\n')) {
    const match = /^\s*(\d+) ([0-9A-F]{8}) /.exec(line);
    if (match && !offsets.has(Number(match[1]))) offsets.set(Number(match[1]), Number.parseInt(match[2], 16));
  }
  live.forEach((index, i) => {
    bytes[index] = out.subarray(offsets.get(i + 2), offsets.get(i + 3) ?? out.length).toString('hex');
  });
  return bytes;
}

const dir = mkdtempSync(join(tmpdir(), 'lyrebird-nasm-'));
try {
  for (const bits of [16, 32, 64]) {
    // Where NASM wants no size before a memory operand, the form is tried again without one.
    const first = [...new Set(forms(bits))];
    const refused = nasm(dir, first, bits).map((bytes) => bytes === undefined);
    const bare = (line) => line.replace(/\b(byte|word|dword|qword|tword|oword) (?=\[)/, '');
    const lines = [...new Set(first.map((line, i) => (refused[i] ? bare(line) : line)))];
    const want = nasm(dir, lines, bits);
    let differ = 0;
    lines.forEach((line, i) => {
      if (want[i] === undefined) return console.log(`bits ${bits}: nasm refuses: ${line}`);
      let got;
      try {
        got = Buffer.from(assemble(line, { bits })).toString('hex');
      } catch (error) {
        got = error.message;
      }
      if (got === want[i]) return;
      differ++;
      console.log(`bits ${bits}: ${line}: nasm ${want[i]}, ours ${got}`);
    });
    // NASM cuts this constant short instead of refusing it.
    if (bits === 16) want[lines.indexOf('push 0x12345678')] = undefined;
    const golden = lines.flatMap((line, i) => (want[i] === undefined ? [] : [`${want[i]}\t${line}`]));
    writeFileSync(`${root}tests/golden/asm/${bits}.txt`, `${golden.join('\n')}\n`);
    console.log(`bits ${bits}: ${golden.length} forms, ${differ} differ`);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
