/** The thread that compiles regions in the background, as a `Worker`. */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { CompilerStart, ReceiveModule } from '../../accel/tcg/compile-channel.ts';
import type { WasmModuleHandle } from '../../accel/tcg/webassembly.ts';
import type { CompileWorkerData } from './compile-worker.ts';
import { startWorker } from './start-worker.ts';

/** Modules come through a port that needs no event loop to be read. The thread ends when its channel is stopped. */
export function startCompileThread(start: CompilerStart): ReceiveModule {
  const { port1, port2 } = new MessageChannel();
  const data: CompileWorkerData = { start, modules: port1 };
  startWorker('compile-worker', { workerData: data, transferList: [port1] }).unref();
  port2.unref();
  return () => receiveMessageOnPort(port2)?.message as WasmModuleHandle | undefined;
}
