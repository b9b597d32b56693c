/**
 * Runs the files that `tools/bundle.mjs` makes. Each is a script of one function expression, and beside it may lie what V8 made of its
 * functions (`NAME.js.code`): with that, starting takes no parsing and no compiling. V8 refuses such a file if it comes from
 * another version, or from other flags; then the functions are compiled one by one when they are first called, as always.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { distUrl } from './dist-files.ts';

type BundleFunction = (require: (name: string) => unknown, module: { exports: unknown }, url: string) => void;

/** Modules of Node.js that take long to load and are not always needed: loaded at their first use. */
const LAZY: ReadonlySet<string> = new Set([
  'node:child_process',
  'node:crypto',
  'node:http',
  'node:https',
  'node:net',
  'node:os',
  'node:readline',
  'node:tls',
  'node:zlib',
]);

/** Where the compiled functions of a bundle are kept. */
export function codeCachePath(name: string): string {
  return `${bundlePath(name)}.code`;
}

function bundlePath(name: string): string {
  return fileURLToPath(distUrl(`bundle/${name}.js`));
}

/** The script of a bundle. Bundles are plain ASCII, which V8 keeps as it is. */
export function bundleScript(name: string, cachedData: Uint8Array | undefined): Script {
  const filename = bundlePath(name);
  return new Script(readFileSync(filename, 'latin1'), { filename, ...(cachedData && { cachedData }) });
}

/** Runs a bundle and returns what it exports. */
export function loadBundle(name: string): unknown {
  const run = bundleScript(name, readCodeCache(name)).runInThisContext() as BundleFunction;
  const url = distUrl(`bundle/${name}.js`).href;
  const require = createRequire(url);
  const module = { exports: {} };
  run((id) => (LAZY.has(id) ? loadedOnUse(() => require(id) as object) : require(id)), module, url);
  return module.exports;
}

function readCodeCache(name: string): Uint8Array | undefined {
  try {
    return readFileSync(codeCachePath(name));
  } catch {
    return undefined;
  }
}

function loadedOnUse(load: () => object): object {
  let loaded: object | undefined;
  const target = (): object => (loaded ??= load());
  return new Proxy(
    {},
    {
      get: (_, key) => Reflect.get(target(), key),
      has: (_, key) => Reflect.has(target(), key),
      ownKeys: () => Reflect.ownKeys(target()),
      getOwnPropertyDescriptor: (_, key) => {
        const found = Reflect.getOwnPropertyDescriptor(target(), key);
        return found && { ...found, configurable: true };
      },
    },
  );
}
