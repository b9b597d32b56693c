/** Starts the machine thread. Imports next to nothing: the command starts it before it has loaded anything else. */
import type { Worker } from 'node:worker_threads';
import type { MachineStart } from '../../system/protocol.ts';
import { startWorker } from './start-worker.ts';

export interface MachineWorkerData {
  /** Of the clock that all threads share (`monotonicClock`). */
  readonly epoch: bigint;
  /** The translator's runtime is compiled at once, not when it is asked for. */
  readonly translates: boolean;
}

/** The one message that the machine thread waits for. */
export interface MachineWorkerStart {
  readonly start: MachineStart;
  /** File descriptor of `-D`; -1: log text goes to the main thread. */
  readonly logFd: number;
}

/** A machine thread that loads its modules and waits. */
export interface MachineWorker {
  readonly epoch: bigint;
  readonly worker: Worker;
}

/** `translates`: it will need the translator. */
export function startMachineWorker(translates: boolean): MachineWorker {
  const epoch = process.hrtime.bigint();
  const workerData: MachineWorkerData = { epoch, translates };
  return { epoch, worker: startWorker('machine-worker', { workerData, resourceLimits: STACK }) };
}

/** Recursion over guest code is bounded; the heap holds no guest memory. */
export const STACK = { stackSizeMb: 4 };
