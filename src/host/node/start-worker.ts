/** Starts a thread of ours. */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { distUrl, isBundled } from './dist-files.ts';

/** `name` is that of the entry module in this directory. Flags of the main program (--input-type, --inspect) are not for these threads. */
export function startWorker(name: string, options: WorkerOptions): Worker {
  const common: WorkerOptions = { ...options, stdin: false, execArgv: [] };
  return isBundled()
    ? new Worker(distUrl('bundle/worker.cjs'), { ...common, argv: [name] })
    : new Worker(distUrl(`host/node/${name}.js`), common);
}
