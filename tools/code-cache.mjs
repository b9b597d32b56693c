// Writes what V8 makes of every function of these bundles (see src/host/node/bundle-loader.ts). Its flags must be those of the
// executables (src/cli/launch.ts), or V8 would refuse the result.

import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { setEngineFlags } from '../dist/cli/launch.js';
import { bundleScript, codeCachePath } from '../dist/host/node/bundle-loader.js';

setEngineFlags();
for (const name of process.argv.slice(2)) {
  setFlagsFromString('--no-lazy');
  const script = bundleScript(name);
  setFlagsFromString('--lazy');
  writeFileSync(codeCachePath(name), script.createCachedData());
}
