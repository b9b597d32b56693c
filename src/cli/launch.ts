/** What the executables load first: chooses the bundle or, in a checkout with newer modules, the modules. */
import { setFlagsFromString } from 'node:v8';
import { loadBundle, saveCodeCache } from '../host/node/bundle-loader.ts';
import { distUrl, isBundleFresh } from '../host/node/dist-files.ts';
import { startMachineWorker } from '../host/node/machine-worker-start.ts';
import type * as Img from './img/main.ts';
import type * as Main from './main.ts';

/**
 * V8 optimises a wasm function once it has executed about this many bytes of code (its own default is 1 800 000). A kernel's boot
 * touches thousands of regions for a moment each: with the default their optimisation takes a quarter of the boot's CPU time, while
 * a loop that matters reaches the larger budget within some ten milliseconds.
 */
const TIERING_BUDGET = 30_000_000;

/** V8's flags for a machine. */
export function setEngineFlags(): void {
  setFlagsFromString(`--wasm-tiering-budget=${TIERING_BUDGET}`);
  // Node.js 20 knows the fused multiply-add of the relaxed vector instructions, but not by default
  if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');
  setFlagsFromString(`--min-semi-space-size=${NEW_SPACE_MIB}`);
}

/** The heap of a thread starts with 1 MiB for new objects, which a machine's start fills a dozen times. */
const NEW_SPACE_MIB = 8;

/** Runs `lyrebird` or a machine of an architecture; resolves with the exit status. */
export async function launch(
  program: 'lyrebird' | 'x86_64' | 'i386' | 'kvm',
  args: readonly string[],
): Promise<number> {
  setEngineFlags();
  // The machine thread loads its modules while this thread loads the command line's.
  const usesKvm = program === 'kvm' || args.some((arg) => /\bkvm\b/.test(arg));
  const needsNone = program === 'lyrebird' || args.some(asksForText) || args.some(isNoMachine);
  const worker = needsNone ? undefined : startMachineWorker(!usesKvm);
  const main = (await load('main', 'cli/main.js')) as typeof Main;
  if (program === 'lyrebird') return main.lyrebirdMain(args);
  return program === 'kvm'
    ? main.systemMain('x86_64', args, 'kvm', worker)
    : main.systemMain(program, args, 'tcg', worker);
}

/** Runs `lyrebird-img`; resolves with the exit status. */
export async function launchImg(args: readonly string[]): Promise<number> {
  setEngineFlags();
  const { imgMain } = (await load('img-main', 'cli/img/main.js')) as typeof Img;
  return imgMain(args);
}

/** Arguments that make the program print something and end. */
function asksForText(arg: string): boolean {
  return /^--?(h|help|version)$|(^|,)(help|\?)$/.test(arg);
}

/** The value of `-machine none`, which has no machine thread. */
function isNoMachine(arg: string, n: number, args: readonly string[]): boolean {
  return /^--?(M|machine)$/.test(args[n - 1] ?? '') && /^(type=)?none(,|$)/.test(arg);
}

async function load(bundle: string, path: string): Promise<unknown> {
  if (!isBundleFresh()) return import(distUrl(path).href);
  process.once('exit', saveCodeCache);
  return loadBundle(bundle);
}
