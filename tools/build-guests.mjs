// Assembles the guests of our own (tests/guests/*.asm) with the project's assembler into dist/guests/*.bin.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { assemble } = await import(`${root}dist/testing/asm/x86.js`);

mkdirSync(`${root}dist/guests`, { recursive: true });
for (const file of readdirSync(`${root}tests/guests`).filter((name) => name.endsWith('.asm'))) {
  try {
    const code = assemble(readFileSync(`${root}tests/guests/${file}`, 'utf8'), { bits: 32 });
    writeFileSync(`${root}dist/guests/${basename(file, '.asm')}.bin`, code);
  } catch (error) {
    console.error(`tests/guests/${file}: ${error.message}`);
    process.exitCode = 1;
  }
}
