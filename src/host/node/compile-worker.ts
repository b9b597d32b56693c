/** Entry of the thread that compiles regions in the background. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { type CompilerStart, runCompiler } from '../../accel/tcg/compile-channel.ts';

export interface CompileWorkerData {
  readonly start: CompilerStart;
  /** Where compiled modules go. */
  readonly modules: MessagePort;
}

const { start, modules } = workerData as CompileWorkerData;
runCompiler(start, (module) => modules.postMessage(module));
modules.close();
