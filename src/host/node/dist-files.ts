/** Where the built files lie, and whether the bundle of `tools/bundle.mjs` stands for the modules it was made of. */
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = import.meta.url;
const dist = here.slice(0, here.lastIndexOf('/dist/') + '/dist/'.length);

/** A file below `dist`. */
export function distUrl(path: string): URL {
  return new URL(path, dist);
}

/**
 * A bundle counts unless something was compiled after it was made: the compiler leaves a `.tsbuildinfo` per project (those
 * of tests do not matter). A published package has none.
 */
export function isBundleFresh(): boolean {
  try {
    const madeMs = statSync(distUrl('bundle/main.js')).mtimeMs;
    const directory = fileURLToPath(dist);
    return readdirSync(directory)
      .filter((name) => name.endsWith('.tsbuildinfo') && !name.startsWith('test'))
      .every((name) => statSync(directory + name).mtimeMs <= madeMs);
  } catch {
    return false;
  }
}

/** Whether threads run from the bundle. */
export function isBundled(): boolean {
  return here.includes('/dist/bundle/') || isBundleFresh();
}
