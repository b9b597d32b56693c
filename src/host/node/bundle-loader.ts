/**
 * Runs the files that `tools/bundle.mjs` makes, each a script of one function expression, with V8's code cache: functions that ran in
 * an earlier process need not be parsed and compiled again. The cache lies beside the script, so whoever can change it could change
 * the script; where that folder cannot be written there is none, and functions are compiled when they are first called. V8 refuses
 * a cache of other flags by itself.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { threadId } from 'node:worker_threads';
import { distUrl } from './dist-files.ts';

type BundleFunction = (require: (name: string) => unknown, module: { exports: unknown }, url: string) => void;

/** Where a thread keeps what saves the cache of its script: the script's own copy of this module must find it. */
const SAVE = Symbol.for('lyrebird.saveCodeCache');
const thread = globalThis as { [SAVE]?: () => void };

/** Modules of Node.js that take long to load and are not always needed: loaded at their first use. */
const LAZY: ReadonlySet<string> = new Set([
  'node:child_process',
  'node:crypto',
  'node:http',
  'node:https',
  'node:net',
  'node:os',
  'node:perf_hooks',
  'node:readline',
  'node:tls',
  'node:zlib',
]);

/** Runs a bundle of `dist/bundle` and returns what it exports. */
export function loadBundle(name: string): unknown {
  return runBundle(fileURLToPath(distUrl(`bundle/${name}.js`)), distUrl(`bundle/${name}.js`).href);
}

/** `file` is plain ASCII, which V8 keeps as it is; `url` is what it knows as its own. */
export function runBundle(file: string, url: string): unknown {
  const cacheFile = codeCachePath(file);
  const cachedData = readCache(cacheFile);
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    ...(cachedData && { cachedData }),
  });
  if (cachedData === undefined) thread[SAVE] = () => writeCache(cacheFile, script.createCachedData());
  const require = createRequire(url);
  const module = { exports: {} };
  const run = script.runInThisContext() as BundleFunction;
  run((id) => (LAZY.has(id) ? loadedOnUse(() => require(id) as object) : require(id)), module, url);
  return module.exports;
}

/** Writes the cache of this thread's script, with every function compiled so far, unless it had one when it started. */
export function saveCodeCache(): void {
  thread[SAVE]?.();
  delete thread[SAVE];
}

/** Where the code cache of a bundle is. V8 compares no more of the source than its length: a file built anew has a cache of its own. */
export function codeCachePath(file: string): string {
  const modified = Math.floor(statSync(file).mtimeMs / 1000).toString(36);
  return `${file}.${modified}-${process.version}-${process.arch}.code`;
}

function readCache(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

/** Whole or not at all: another process may read it at the same time. */
function writeCache(file: string, data: Uint8Array): void {
  const temporary = `${file}.${process.pid}-${threadId}`;
  try {
    writeFileSync(temporary, data);
    renameSync(temporary, file);
  } catch {
    // A folder that cannot be written: the next start is as slow as this one.
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
