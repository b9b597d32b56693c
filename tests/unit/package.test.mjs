// What "npm pack" would publish.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const packed = JSON.parse(
  execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error'], {
    cwd: root,
    encoding: 'utf8',
  }),
)[0];
const files = new Set(packed.files.map(({ path }) => path));

test('the package holds programs, library, runtime, guests and legal texts', () => {
  const wanted = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).flatMap((target) =>
      Object.values(target).map((path) => path.slice(2)),
    ),
    ...[
      'dist/runtime/x86.wasm',
      'dist/guests/selftest.bin',
      'LICENSE',
      'NOTICE',
      'README.md',
      'CHANGELOG.md',
    ],
  ];
  assert.deepEqual(
    wanted.filter((path) => !files.has(path)),
    [],
  );
});

test('the package holds no tests, test support, sources or build records', () => {
  const unwanted = [...files].filter((path) =>
    /\.(test|cases|bench)\.|^dist\/(testing|tests)\/|\.tsbuildinfo$|\.map$|^(src|tests|bench|tools|\.)/.test(
      path,
    ),
  );
  assert.deepEqual(unwanted, []);
});

test('the package stays small', () => {
  assert.ok(packed.unpackedSize < 8 << 20, `${packed.unpackedSize} bytes unpacked`);
});

test('every file the published modules import is published', () => {
  const missing = [];
  for (const path of files) {
    if (!path.startsWith('dist/') || !path.endsWith('.js')) continue;
    const source = readFileSync(join(root, path), 'utf8');
    for (const [, specifier] of source.matchAll(/^(?:import|export)\b[^'"]*?from\s+['"](\.[^'"]+)['"]/gm)) {
      const target = fileURLToPath(new URL(specifier, pathToFileURL(join(root, path)))).slice(root.length);
      if (!files.has(target)) missing.push(`${path} imports ${specifier}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('the library can be imported under its own name', async () => {
  const api = await import(manifest.name);
  assert.equal(typeof api.createMachine, 'function');
});

test('nothing is needed at run time but Node', () => {
  assert.deepEqual(Object.keys(manifest.dependencies ?? {}), []);
});
