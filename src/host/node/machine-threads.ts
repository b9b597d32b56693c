/** The machine thread and the ticker as `worker_threads`. */
import type { Worker } from 'node:worker_threads';
import type { KickWord } from '../../accel/accelerator.ts';
import type { KvmSystem } from '../../accel/kvm/kvm-system.ts';
import { KvmThreads } from '../../accel/kvm/kvm-threads.ts';
import type { MachineThreads } from '../../system/machine-client.ts';
import type { MachineMessage, MachineStart } from '../../system/protocol.ts';
import { kicker } from '../../system/protocol.ts';
import { TickerChannel } from '../../system/ticker.ts';
import { loadKvmSystem } from './kvm-system.ts';
import {
  type MachineWorker,
  type MachineWorkerStart,
  STACK,
  startMachineWorker,
} from './machine-worker-start.ts';
import { startWorker } from './start-worker.ts';
import type { TickerData } from './ticker-worker.ts';

export class NodeMachineThreads implements MachineThreads {
  onMessage: ((message: MachineMessage) => void) | undefined;
  onError: ((error: Error) => void) | undefined;

  readonly #epoch: bigint;
  readonly #machine: Worker;
  readonly #logFd: number;
  #ticker: Worker | undefined;
  #tickerWords: Int32Array | undefined;
  #terminated = false;
  /** Gets every vCPU out of the guest for good. */
  #stopVcpus: () => void = () => {};

  /** `logFd`: file descriptor of the log, -1: log text comes as messages. The machine thread may be loading its modules already. */
  constructor(logFd: number, { epoch, worker }: MachineWorker = startMachineWorker(true)) {
    this.#epoch = epoch;
    this.#logFd = logFd;
    this.#machine = worker;
    this.#watch(worker);
    worker.on('message', (message: MachineMessage) => this.onMessage?.(message));
  }

  start(message: MachineStart): void {
    const machineStart: MachineWorkerStart = { start: message, logFd: this.#logFd };
    this.#machine.postMessage(machineStart);
  }

  kicker(kick: KickWord): () => void {
    process.off('exit', this.#stopVcpus);
    this.#stopVcpus = () => {};
    if (kick.thread === undefined) return kicker(kick);
    let system: KvmSystem | undefined;
    const threads = new KvmThreads(kick.buffer, () => (system ??= loadKvmSystem()));
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
    this.#ticker = startWorker('ticker-worker', { workerData, resourceLimits: STACK });
    this.#watch(this.#ticker);
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

  #watch(worker: Worker): void {
    worker.on('error', (error) => {
      if (!this.#terminated) this.onError?.(error);
    });
  }
}
