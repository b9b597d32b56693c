// The layers are TypeScript projects whose references are the imports they may use. This test proves that the
// compiler really refuses the others: it builds the real tsconfig files around small files of its own, first as they
// should be, then with one forbidden import planted.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsc = join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'tsc.cmd' : 'tsc');
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** The layers, as paths under the root, without the test project. */
const layers = readJson(join(root, 'tsconfig.json'))
  .references.map(({ path }) => join(path))
  .filter((path) => path.startsWith('src') && !path.endsWith('.json'));

let copy;

before(() => {
  copy = mkdtempSync(join(tmpdir(), 'lyrebird-layers-'));
  cpSync(join(root, 'tsconfig.base.json'), join(copy, 'tsconfig.base.json'));
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  for (const layer of layers) {
    mkdirSync(join(copy, layer), { recursive: true });
    cpSync(join(root, layer, 'tsconfig.json'), join(copy, layer, 'tsconfig.json'));
    write(layer, references(layer));
  }
});

after(() => rmSync(copy, { recursive: true, force: true }));

/** What a layer's tsconfig lets it import, as layers. */
function references(layer) {
  return readJson(join(root, layer, 'tsconfig.json')).references.map(({ path }) => join(layer, path));
}

/** The planted file; src/runtime shows the compiler nothing but its constants. */
function moduleName(layer) {
  return join(layer, layer === join('src', 'runtime') ? 'layout.ts' : 'planted.ts');
}

/** Gives `layer` one source file that imports from each of `imports` (layers, or `node:` modules). */
function write(layer, imports) {
  const lines = imports.map((from, i) => {
    const path = from.startsWith('node:') ? from : relative(dirname(moduleName(layer)), moduleName(from));
    const specifier = from.startsWith('node:') || path.startsWith('.') ? path : `./${path}`;
    return `import * as m${i} from '${specifier}';\nexport const used${i}: unknown = m${i};`;
  });
  writeFileSync(join(copy, moduleName(layer)), `${lines.join('\n')}\nexport const marker = 1;\n`);
}

function build(layer) {
  const run = spawnSync(tsc, ['-b', layer], { cwd: copy, encoding: 'utf8' });
  return { status: run.status, text: run.stdout + run.stderr };
}

test('every layer builds with the imports that its references allow', () => {
  const run = spawnSync(tsc, ['-b', ...layers], { cwd: copy, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stdout + run.stderr);
});

const FORBIDDEN = [
  ['src/util', 'src/core'],
  ['src/core', 'src/hw'],
  ['src/ir', 'src/target'],
  ['src/target', 'src/hw'],
  ['src/target', 'src/accel'],
  ['src/hw', 'src/target'],
  ['src/hw', 'src/accel'],
  ['src/hw', 'src/host/node'],
  ['src/chardev', 'src/accel'],
  ['src/accel', 'src/hw'],
  ['src/machine', 'src/accel'],
  ['src/machine', 'src/cli'],
  ['src/hw', 'src/testing'],
];

for (const [layer, from] of FORBIDDEN) {
  test(`${layer} cannot import ${from}`, () => {
    assert.ok(!references(layer).includes(from), `${layer}/tsconfig.json references ${from}`);
    write(layer, [...references(layer), from]);
    const { status, text } = build(layer);
    write(layer, references(layer));
    assert.notEqual(status, 0, 'the planted import compiled');
    assert.match(text, /TS6307|TS6059/);
  });
}

const PORTABLE = ['util', 'core', 'ir', 'target', 'hw', 'chardev', 'accel', 'machine', 'system', 'monitor'];

for (const name of PORTABLE) {
  test(`src/${name} sees neither Node nor the DOM`, () => {
    const layer = join('src', name);
    write(layer, ['node:fs']);
    const node = build(layer);
    writeFileSync(join(copy, moduleName(layer)), 'export const title: unknown = document.title;\n');
    const dom = build(layer);
    write(layer, references(layer));
    assert.match(node.text, /TS2591|TS2307/);
    assert.match(dom.text, /TS2584|TS2304/);
  });
}
