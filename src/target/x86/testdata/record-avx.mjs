// Records avx-vectors.txt on this machine's processor: every VEX row of the opcode tables, each length, register and memory
// operands. node src/target/x86/testdata/record-avx.mjs (needs gcc, a built dist/, AVX2, FMA, F16C, VAES, VPCLMULQDQ).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { X86_TABLES } from '../../../../dist/target/x86/handlers.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const PP = { none: 0, 66: 1, f3: 2, f2: 3 };
/** The processor has no GFNI; reciprocals are approximations. */
const SKIP = /^v(rcp|rsqrt|gf2p8)/;
const [D, V, M, L] = [1, 2, 11, 12];

function vex(map, row, w, l, reg, v, modrmRm, imm) {
  const isMem = modrmRm === 'mem' || modrmRm === 'vsib';
  const b = !isMem && modrmRm > 7 ? 0 : 1;
  const p1 = ((reg > 7 ? 0 : 1) << 7) | (1 << 6) | (b << 5) | map;
  const p2 = (w << 7) | ((~v & 15) << 3) | (l << 2) | PP[row.prefix];
  const field = (row.reg ?? reg & 7) << 3;
  const tail =
    modrmRm === 'mem'
      ? [0x47 | field, 0x20]
      : modrmRm === 'vsib'
        ? [0x44 | field, 0x5f, 0x10]
        : [0xc0 | field | (modrmRm & 7)];
  return [0xc4, p1, p2, row.op, ...tail, ...(imm === undefined ? [] : [imm])];
}

/** Registers named by operand letters that are general registers: RAX, RCX are safe. */
const isGeneral = (code) => /^[EGRB]/.test(code);

function* cases() {
  for (const [map, table] of X86_TABLES) {
    if (map < 5) continue;
    for (const row of table) {
      if (SKIP.test(row.name) || row.name.startsWith('vzero')) continue;
      const operands = row.operands ?? [];
      if (!operands.some((c) => /^[VHWULM]/.test(c) && c !== 'M')) continue;
      const hasImm = operands.includes('Ib');
      const is4 = operands.includes('Lx');
      const gather = operands.some((c) => c.startsWith('VM'));
      const memOk = operands.some((c) => /^[WME]/.test(c)) && row.form !== 'reg';
      const regOk = !operands.some((c) => c.startsWith('M') || c.startsWith('VM')) && row.form !== 'mem';
      const usesV = operands.some((c) => /^H/.test(c));
      const wide = operands.some((c) => /y$/.test(c));
      const imms = hasImm
        ? /cmp[ps][sd]/.test(row.name)
          ? [0, 5, 9, 14, 19, 28]
          : [0x1b, 0xe4, 0x8d, 0x31]
        : is4
          ? [L << 4]
          : [undefined];
      const kind = gather
        ? 'G'
        : /d$/.test(row.name) && !/^vp|^vmov[dq]|q[u]?d$/.test(row.name)
          ? 'D'
          : /(s|cvtdq2ps|ph)$/.test(row.name) && !/^vp/.test(row.name)
            ? 'S'
            : /cvt.*(sd|pd)2/.test(row.name)
              ? 'D'
              : /cvt.*(ss|ps)2|cvtph/.test(row.name)
                ? 'S'
                : /si$/.test(row.name)
                  ? 'D'
                  : 'I';
      for (const w of row.w === undefined ? (wide ? [0, 1] : [0]) : [row.w])
        for (const l of row.l === undefined ? [0, 1] : [row.l])
          for (const imm of imms) {
            const add = function* (d, v, m) {
              yield [kind, row.name, vex(map - 4, row, w, l, d, usesV ? v : 0, m, imm)];
            };
            const rm = operands.some((c) => /^E/.test(c)) ? 1 : M;
            const d = operands.some((c) => /^G/.test(c)) ? 2 : D;
            if (gather) yield* add(D, V, 'vsib');
            else {
              if (regOk) yield* add(d, V, rm);
              if (memOk) yield* add(d, V, 'mem');
              if (regOk && imm === imms[0] && !operands.some(isGeneral)) {
                yield* add(D, V, D);
                if (usesV) yield* add(D, D, M);
                if (usesV) yield* add(9, M, M);
              }
            }
          }
    }
  }
}

const work = mkdtempSync(join(tmpdir(), 'avx-'));
try {
  execFileSync(
    'gcc',
    [
      '-O1',
      '-mavx2',
      '-no-pie',
      '-Wl,-Ttext-segment=0x40000000',
      '-o',
      join(work, 'driver'),
      join(here, 'avx-driver.c'),
    ],
    { stdio: 'inherit' },
  );
  const list = [...cases()].map(([kind, name, bytes]) => [kind, name, Buffer.from(bytes).toString('hex')]);
  const input = list.map(([kind, , hex]) => `${kind} ${hex}\n`).join('');
  const lines = execFileSync(join(work, 'driver'), { input, encoding: 'utf8', maxBuffer: 1 << 26 })
    .trim()
    .split('\n');
  writeFileSync(
    join(here, 'avx-vectors.txt'),
    list
      .map(
        ([kind, name, hex], i) =>
          `${name.split('|').at(-1)}|${kind}|${hex}|${lines[i].replaceAll(' ', '')}\n`,
      )
      .join(''),
  );
  console.log(`${list.length} cases`);
} finally {
  rmSync(work, { recursive: true });
}
