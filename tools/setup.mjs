// Installs the development dependencies when they are not those of package-lock.json.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const packagesIn = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;

/** True when node_modules holds what package-lock.json asks for. */
function installed() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return false;
  const have = packagesIn('node_modules/.package-lock.json');
  return Object.entries(packagesIn('package-lock.json')).every(
    ([path, wanted]) => path === '' || (have[path] ? have[path].version === wanted.version : wanted.optional),
  );
}

/** Runs `npm ci` if need be; returns an error message or undefined. */
export function installDependencies(log = console.log) {
  if (installed()) return undefined;
  log('installing the development dependencies (npm ci)');
  const run = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return run.status === 0 ? undefined : 'npm ci failed: see its output above (is there a network?)';
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const problem = installDependencies();
  if (problem !== undefined) {
    console.error(problem);
    process.exitCode = 1;
  }
}
