// Records native-vectors.txt on this machine's processor: node src/target/x86/testdata/record-native.mjs (needs gcc and nasm).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeCases } from './native-cases.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'native-'));
try {
  execFileSync(
    'gcc',
    [
      '-O1',
      '-no-pie',
      '-Wl,-Ttext-segment=0x40000000',
      '-o',
      join(work, 'driver'),
      join(here, 'native-driver.c'),
    ],
    { stdio: 'inherit' },
  );
  for (const bits of [64, 32]) {
    const cases = nativeCases(bits).map(([text, mask]) => {
      writeFileSync(
        join(work, 'case.asm'),
        `bits ${bits}\norg 0x200000\n${text.replace(/^rep (cmps|scas)/gm, 'repe $1')}\n`,
      );
      execFileSync('nasm', ['-O1', '-f', 'bin', '-o', join(work, 'case.bin'), join(work, 'case.asm')], {
        stdio: 'inherit',
      });
      return { text, mask, hex: readFileSync(join(work, 'case.bin')).toString('hex') };
    });
    const input = cases.map((c) => `${c.mask.toString(16)} ${c.hex}\n`).join('');
    const hashes = execFileSync(join(work, 'driver'), [String(bits)], {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    })
      .trim()
      .split('\n');
    const lines = cases.map(
      (c, i) => `${c.text.replaceAll('\n', '; ')}|${c.hex}|${c.mask.toString(16)}|${hashes[i]}`,
    );
    writeFileSync(
      join(here, bits === 64 ? 'native-vectors.txt' : 'native-vectors-32.txt'),
      `${lines.join('\n')}\n`,
    );
    console.log(`${lines.length} cases of ${bits}-bit code`);
  }
} finally {
  rmSync(work, { recursive: true });
}
