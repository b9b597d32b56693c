// Compiles the AssemblyScript runtime (src/runtime/<target>/index.ts) to dist/runtime/<target>.wasm, unless nothing it is made of
// has changed since: sources, compiler version and this file, by their hash.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const asc = 'node_modules/assemblyscript/bin/asc.js';
const options = [
  ...['-O3', '--runtime', 'stub', '--noAssert', '--use', 'abort=', '--debug'],
  ...['--importMemory', '--sharedMemory', '--initialMemory', '2', '--maximumMemory', '65536'],
  ...['--memoryBase', '65536'],
  ...['--enable', 'threads', '--enable', 'simd', '--enable', 'bulk-memory'],
];

/** Hash of everything the result depends on. */
function inputHash() {
  const hash = createHash('sha256');
  const sources = readdirSync(join(root, 'src/runtime'), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !/\.(test|cases)\.ts$/.test(name))
    .sort();
  for (const name of sources) hash.update(`${name}\0`).update(readFileSync(join(root, 'src/runtime', name)));
  hash.update(readFileSync(join(root, 'node_modules/assemblyscript/package.json')));
  hash.update(readFileSync(fileURLToPath(import.meta.url)));
  return hash.digest('hex');
}

mkdirSync(`${root}dist/runtime`, { recursive: true });
const hash = inputHash();
for (const target of ['x86']) {
  const output = `dist/runtime/${target}.wasm`;
  const stamp = `${root}dist/runtime/${target}.hash`;
  const isFresh = existsSync(root + output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
  if (isFresh) continue;
  const entry = `src/runtime/${target}/index.ts`;
  execFileSync(process.execPath, [asc, entry, '-o', output, ...options], { cwd: root, stdio: 'inherit' });
  writeFileSync(stamp, hash);
}
