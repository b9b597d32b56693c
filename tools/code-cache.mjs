// Writes what V8 makes of every function of the bundles, for a machine that is never stopped in order (see
// src/host/node/bundle-loader.ts, which otherwise does so for the functions that ran). V8's flags must be those of the
// executables (src/cli/launch.ts), or it would refuse the result.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { setEngineFlags } from '../dist/cli/launch.js';
import { codeCachePath } from '../dist/host/node/bundle-loader.js';

const directory = fileURLToPath(new URL('../dist/bundle', import.meta.url));
setEngineFlags();
for (const name of readdirSync(directory).filter((entry) => entry.endsWith('.js'))) {
  const filename = join(directory, name);
  setFlagsFromString('--no-lazy');
  const script = new Script(readFileSync(filename, 'latin1'), { filename });
  setFlagsFromString('--lazy');
  writeFileSync(codeCachePath(filename), script.createCachedData());
}
