// Bundles the executables' modules (dist/cli, the worker entries) into dist/bundle: a machine of 150 small modules would
// spend most of its start-up time in the module loader. src/host/node/dist-files.ts ignores a bundle older than the build.
// Each bundle is a script of one function expression, which src/host/node/bundle-loader.ts runs.

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const BUNDLES = {
  main: 'dist/cli/main.js',
  'img-main': 'dist/cli/img/main.js',
  'machine-worker': 'dist/host/node/machine-worker.js',
  'ticker-worker': 'dist/host/node/ticker-worker.js',
  'compile-worker': 'dist/host/node/compile-worker.js',
  'block-worker': 'dist/host/node/block-worker.js',
  'net-worker': 'dist/host/node/net-worker.js',
  'vcpu-worker': 'dist/host/node/vcpu-worker.js',
};
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  outdir: 'dist/bundle',
  sourcemap: true,
  sourcesContent: false,
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
};

rmSync(`${root}dist/bundle`, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: BUNDLES,
  define: { 'import.meta.url': '__url' },
  banner: { js: '(function(require,module,__url){' },
  footer: { js: '})' },
});
await build({
  ...common,
  sourcemap: false,
  entryPoints: { worker: 'dist/host/node/bundle-entry.js', launch: 'dist/cli/launch.js' },
  define: { 'import.meta.url': '__url' },
  banner: { js: 'const __url=require("node:url").pathToFileURL(__filename).href;' },
  outExtension: { '.js': '.cjs' },
});
