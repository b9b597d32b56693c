/** The machine thread and the ticker as `worker_threads`. */
import type { Worker } from 'node:worker_threads';
import type { KickWord } from '../../accel/accelerator.ts';
import { KvmThreads } from '../../accel/kvm/kvm-threads.ts';
import type { MachineThreads } from '../../system/machine-client.ts';
import type { MachineMessage, MachineStart } from '../../system/protocol.ts';
import { kicker } from '../../system/protocol.ts';
import { TickerChannel } from '../../system/ticker.ts';
import { loadKvmSystem } from './kvm-system.ts';
import type { MachineWorkerData } from './machine-worker.ts';
import { clockEpoch } from './monotonic-clock.ts';
import { startWorker } from './start-worker.ts';
import type { TickerData } from './ticker-worker.ts';

export class NodeMachineThreads implements MachineThreads {
  onMessage: ((message: MachineMessage) => void) | undefined;
  onError: ((error: Error) => void) | undefined;

  readonly #epoch = clockEpoch();
  readonly #machine: Worker;
  #ticker: Worker | undefined;
  #tickerWords: Int32Array | undefined;
  #terminated = false;
  /** Gets every vCPU out of the guest for good. */
  #stopVcpus: () => void = () => {};

  /** Starts the machine thread at once: its modules load while the caller reads files; `translates`: it will need the translator. */
  constructor(logFd: number, translates = true) {
    const workerData: MachineWorkerData = { epoch: this.#epoch, logFd, translates };
    this.#machine = this.#spawn('machine-worker', workerData);
    this.#machine.on('message', (message: MachineMessage) => this.onMessage?.(message));
  }

  start(message: MachineStart): void {
    this.#machine.postMessage(message);
  }

  kicker(kick: KickWord): () => void {
    process.off('exit', this.#stopVcpus);
    this.#stopVcpus = () => {};
    if (kick.thread === undefined) return kicker(kick);
    const threads = new KvmThreads(kick.buffer, loadKvmSystem());
    this.#stopVcpus = () => threads.stop();
    process.on('exit', this.#stopVcpus);
    return () => {
      threads.request(kick.bits);
      threads.kick(0);
    };
  }

  startTicker(words: Int32Array, kick: KickWord): void {
    if (this.#terminated) return;
    this.#tickerWords = words;
    if (this.#ticker !== undefined) new TickerChannel(words).restart();
    this.#ticker = undefined;
    if (kick.thread === 'kvm') return; // it has timers of the kernel's
    const workerData: TickerData = { words, kick, epoch: this.#epoch };
    this.#ticker = this.#spawn('ticker-worker', workerData);
    this.#ticker.unref();
  }

  async terminate(): Promise<void> {
    this.#terminated = true;
    // A thread inside KVM_RUN hears of nothing else.
    this.#stopVcpus();
    process.off('exit', this.#stopVcpus);
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
    const worker = startWorker(name, {
      workerData,
      // Recursion over guest code is bounded; the heap holds no guest memory.
      resourceLimits: { stackSizeMb: 4 },
    });
    worker.on('error', (error) => {
      if (!this.#terminated) this.onError?.(error);
    });
    return worker;
  }
}
