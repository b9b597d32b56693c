/** What the executables load first: chooses the bundle or, in a checkout with newer modules, the modules. */
import { distUrl, isBundleFresh } from '../host/node/dist-files.ts';
import type * as Main from './main.ts';

/** Runs `lyrebird` or a machine of an architecture; resolves with the exit status. */
export async function launch(
  program: 'lyrebird' | 'x86_64' | 'i386',
  args: readonly string[],
): Promise<number> {
  const path = isBundleFresh() ? 'bundle/main.js' : 'cli/main.js';
  const main = (await import(distUrl(path).href)) as typeof Main;
  return program === 'lyrebird' ? main.lyrebirdMain(args) : main.systemMain(program, args);
}
