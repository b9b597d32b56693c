// Compiles the AssemblyScript runtime (src/runtime/<target>/index.ts) to dist/runtime/<target>.wasm.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
mkdirSync(`${root}dist/runtime`, { recursive: true });
for (const target of ['x86']) {
  const entry = `src/runtime/${target}/index.ts`;
  if (!existsSync(root + entry)) continue;
  execFileSync(
    process.execPath,
    [
      'node_modules/assemblyscript/bin/asc.js',
      entry,
      '-o',
      `dist/runtime/${target}.wasm`,
      '-O3',
      '--runtime',
      'stub',
      '--importMemory',
      '--sharedMemory',
      '--initialMemory',
      '2',
      '--maximumMemory',
      '65536',
      '--memoryBase',
      '65536',
      '--enable',
      'threads',
      '--enable',
      'simd',
      '--enable',
      'bulk-memory',
      '--noAssert',
      '--use',
      'abort=',
      '--debug',
    ],
    { cwd: root, stdio: 'inherit' },
  );
}
