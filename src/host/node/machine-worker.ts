/** Entry of the machine thread: reads the runtime while its other modules load, then waits for the one message that starts it. */
import { getRandomValues } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { checkHost, firstCause } from '../../accel/kvm/check/host-check.ts';
import type { VcpuThreadStart } from '../../accel/kvm/vcpu-thread.ts';
import type { WasmModuleHandle } from '../../accel/tcg/webassembly.ts';
import { compileRuntime, runMachineThread } from '../../system/machine-thread.ts';
import type { MachineMessage } from '../../system/protocol.ts';
import { saveCodeCache } from './bundle-loader.ts';
import { startCompileThread } from './compile-thread.ts';
import { distUrl } from './dist-files.ts';
import { collectHostFacts } from './host-facts.ts';
import { loadKvmSystem } from './kvm-system.ts';
import type { MachineWorkerData, MachineWorkerStart } from './machine-worker-start.ts';
import { monotonicClock, plainMonotonicClock } from './monotonic-clock.ts';
import { startWorker } from './start-worker.ts';

const { epoch, translates } = workerData as MachineWorkerData;
const port = parentPort!;

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      // A full pipe on standard error: wait a little rather than lose the log.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

let compiled: WasmModuleHandle | undefined;
const runtime = (): WasmModuleHandle => {
  compiled ??= compileRuntime(readFileSync(distUrl('runtime/x86.wasm')));
  return compiled;
};
if (translates) runtime();

function post(message: MachineMessage): void {
  // Whoever hears of the end may end this thread.
  if (message.kind === 'event' && message.event.kind === 'end') saveCodeCache();
  port.postMessage(message);
}

port.once('message', ({ start, logFd }: MachineWorkerStart) => {
  const host = {
    post,
    clock: translates ? monotonicClock(epoch) : plainMonotonicClock(epoch),
    startCompiler: startCompileThread,
    kvm: {
      system: loadKvmSystem,
      startVcpuThread: (vcpu: VcpuThreadStart) => {
        startWorker('vcpu-worker', { workerData: vcpu }).unref();
      },
      explain: () => firstCause(checkHost(collectHostFacts())),
    },
    utcNowMs: () => Date.now(),
    randomBytes: (bytes: Uint8Array<ArrayBuffer>) => void getRandomValues(bytes),
    writeLog:
      logFd >= 0 ? (text: string) => writeAll(logFd, text) : (text: string) => post({ kind: 'log', text }),
  };
  runMachineThread(start, host, runtime);
  port.close();
});
