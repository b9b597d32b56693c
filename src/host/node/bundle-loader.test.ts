import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { runBundle, saveCodeCache } from './bundle-loader.ts';

/** A bundle of its own directory. */
function script(
  t: TestContext,
  body: string,
): { file: string; run: () => unknown; caches: () => string[]; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'lyrebird-bundle-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'main.js');
  writeFileSync(file, `(function(require,module,url){${body}})`);
  return {
    file,
    directory,
    run: () => runBundle(file, pathToFileURL(file).href),
    caches: () => readdirSync(directory).filter((name) => name.endsWith('.code')),
  };
}

test('a bundle gets require, module and its URL', (t) => {
  const { run } = script(
    t,
    'module.exports = [require("node:path").basename(url), require("node:zlib").constants.Z_OK];',
  );
  assert.deepEqual(run(), ['main.js', 0]);
});

test('the first run leaves a cache, later runs use it and leave it alone', (t) => {
  const { file, run, caches } = script(t, 'module.exports = (x) => 2 * x;');
  const first = run() as (x: number) => number;
  assert.equal(first(21), 42);
  assert.deepEqual(caches(), []);
  saveCodeCache();
  assert.equal(caches().length, 1);
  assert.equal((run() as typeof first)(4), 8);
  rmSync(join(file, '..', caches()[0]!));
  saveCodeCache();
  assert.deepEqual(caches(), [], 'nothing to save after a run with a cache');
});

test('a damaged cache does no harm', (t) => {
  const { file, run, caches } = script(t, 'module.exports = 42;');
  run();
  saveCodeCache();
  writeFileSync(join(file, '..', caches()[0]!), Buffer.alloc(500, 0xa5));
  assert.equal(run(), 42);
});

test('a folder that cannot be written is no error', (t) => {
  const { run, directory } = script(t, 'module.exports = 42;');
  chmodSync(directory, 0o500);
  run();
  saveCodeCache();
  assert.equal(run(), 42);
});
