/** The machine thread and the ticker as `worker_threads`. */
import { Worker } from 'node:worker_threads';
import type { KickWord } from '../../accel/accelerator.ts';
import type { MachineThreads } from '../../system/machine-client.ts';
import type { MachineMessage, MachineStart } from '../../system/protocol.ts';
import { TickerChannel } from '../../system/ticker.ts';
import { workerUrl } from './dist-files.ts';
import type { MachineWorkerData } from './machine-worker.ts';
import { clockEpoch } from './monotonic-clock.ts';
import type { TickerData } from './ticker-worker.ts';

export class NodeMachineThreads implements MachineThreads {
  onMessage: ((message: MachineMessage) => void) | undefined;
  onError: ((error: Error) => void) | undefined;

  readonly #epoch = clockEpoch();
  readonly #machine: Worker;
  #ticker: Worker | undefined;
  #tickerWords: Int32Array | undefined;
  #terminated = false;

  /** Starts the machine thread at once: its modules load while the caller reads files. */
  constructor(logFd: number) {
    const workerData: MachineWorkerData = { epoch: this.#epoch, logFd };
    this.#machine = this.#spawn('machine-worker', workerData);
    this.#machine.on('message', (message: MachineMessage) => this.onMessage?.(message));
  }

  start(message: MachineStart): void {
    this.#machine.postMessage(message);
  }

  startTicker(words: Int32Array, kick: KickWord): void {
    if (this.#terminated) return;
    this.#tickerWords = words;
    const workerData: TickerData = { words, kick, epoch: this.#epoch };
    this.#ticker = this.#spawn('ticker-worker', workerData);
    this.#ticker.unref();
  }

  async terminate(): Promise<void> {
    this.#terminated = true;
    if (this.#tickerWords !== undefined) new TickerChannel(this.#tickerWords).stop();
    await Promise.all([this.#machine.terminate(), this.#ticker?.terminate()]);
  }

  setReferenced(referenced: boolean): void {
    if (referenced) this.#machine.ref();
    else this.#machine.unref();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  #spawn(name: string, workerData: unknown): Worker {
    const worker = new Worker(workerUrl(name), {
      workerData,
      stdin: false,
      // Flags of the main program (--input-type, --inspect) are not for these threads.
      execArgv: [],
      // Recursion over guest code is bounded; the heap holds no guest memory.
      resourceLimits: { stackSizeMb: 4 },
    });
    worker.on('error', (error) => {
      if (!this.#terminated) this.onError?.(error);
    });
    return worker;
  }
}
