// Bundles the executables' modules (dist/cli, the worker entries) into dist/bundle: a machine of 150 small modules would
// spend most of its start-up time in the module loader. src/host/node/dist-files.ts ignores a bundle older than the build.

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  outdir: 'dist/bundle',
  sourcemap: true,
  sourcesContent: false,
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
};

rmSync(`${root}dist/bundle`, { recursive: true, force: true });

// What is loaded lazily (the monitor, back ends) stays in files of its own.
await build({
  ...common,
  entryPoints: { main: 'dist/cli/main.js', 'img-main': 'dist/cli/img/main.js' },
  splitting: true,
  chunkNames: 'main-[hash]',
});
for (const worker of ['machine-worker', 'ticker-worker', 'compile-worker', 'block-worker', 'vcpu-worker']) {
  await build({ ...common, entryPoints: { [worker]: `dist/host/node/${worker}.js` } });
}
