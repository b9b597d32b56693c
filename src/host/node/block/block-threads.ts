/** The main thread's hold on the I/O thread. */
import type { Worker } from 'node:worker_threads';
import type { BlockConfig, DriveConfig } from '../../../block/drive-config.ts';
import type { MediumInfo } from '../../../block/io/block-channel.ts';
import { createChannelBuffer } from '../../../block/io/channel-layout.ts';
import type {
  BlockInfo,
  BlockReply,
  BlockRequest,
  BlockStart,
  OpenedDrive,
  OpenedDrives,
  OpenedShare,
} from '../../../block/io/protocol.ts';
import type { NodeOptions } from '../../../block/node-options.ts';
import type { BlockPort, MachineWakeUp } from '../../../system/machine-client.ts';
import { AssertionError } from '../../../util/errors.ts';
import type { BlockWorkerData } from '../block-worker.ts';
import { startWorker } from '../start-worker.ts';
import { type WithoutId, WorkerRequests } from '../worker-requests.ts';

export class NodeBlockThread implements BlockPort {
  readonly start: BlockStart;
  readonly #warn: (text: string) => void;
  /** Started with the first request. */
  #worker: Worker | undefined;
  #machine: MachineWakeUp | undefined;
  readonly #words: Int32Array;
  readonly #requests = new WorkerRequests();
  #closing: Promise<void> | undefined;

  /** Opens all drives. `UserError` for the first that cannot be. Without drives the thread only starts when one is added. */
  static async open(config: BlockConfig, warn: (text: string) => void): Promise<NodeBlockThread> {
    const channel = createChannelBuffer();
    const thread = new NodeBlockThread(channel, warn);
    if (isEmpty(config)) return thread;
    try {
      const opened = (await thread.#request({ kind: 'open', config })) as OpenedDrives;
      const shares: OpenedShare[] = [];
      for (const share of config.shares ?? [])
        shares.push({ id: share.id, handle: (await thread.#request({ kind: 'share', share })) as number });
      return Object.assign(thread, { start: { channel, ...opened, shares } });
    } catch (error) {
      await thread.close().catch(() => {});
      throw error;
    }
  }

  private constructor(channel: SharedArrayBuffer, warn: (text: string) => void) {
    this.start = { channel, drives: [], nodes: [], shares: [] };
    this.#words = new Int32Array(channel, 0, 1);
    this.#warn = warn;
  }

  #startWorker(): Worker {
    const workerData: BlockWorkerData = { channel: this.start.channel };
    const worker = startWorker('block-worker', { workerData });
    worker.on('message', (reply: BlockReply) => this.#onReply(reply));
    worker.on('error', (error) => this.#requests.fail(error));
    worker.on('exit', () => this.#requests.fail(new AssertionError('the I/O thread has ended')));
    this.#worker = worker;
    if (this.#machine !== undefined) this.#attach(this.#machine);
    return worker;
  }

  attach(machine: MachineWakeUp): void {
    this.#machine = machine;
    if (this.#worker !== undefined) this.#attach(machine);
  }

  #attach({ ram, kick, control }: MachineWakeUp): void {
    void this.#request({ kind: 'attach', machine: { ram, doorbell: control, doorbellOffset: 0, kick } });
  }

  async openDrive(drive: DriveConfig): Promise<OpenedDrive> {
    return (await this.#request({ kind: 'drive', drive })) as OpenedDrive;
  }

  async release(handle: number): Promise<void> {
    await this.#request({ kind: 'release', handle });
  }

  async resize(handle: number, sizeBytes: number): Promise<MediumInfo> {
    return (await this.#request({ kind: 'resize', handle, sizeBytes })) as MediumInfo;
  }

  async info(): Promise<BlockInfo> {
    if (this.#worker === undefined) return { nodes: [], media: [] };
    return (await this.#request({ kind: 'info' })) as BlockInfo;
  }

  async addNode(node: NodeOptions, option: string): Promise<OpenedDrive> {
    return (await this.#request({ kind: 'add', node, option })) as OpenedDrive;
  }

  async removeNode(nodeName: string): Promise<void> {
    await this.#request({ kind: 'remove', nodeName });
  }

  /** Writes and closes everything. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#worker === undefined) return;
    try {
      await this.#request({ kind: 'close' });
    } finally {
      await this.#worker.terminate();
    }
  }

  #request(request: WithoutId<BlockRequest>): Promise<unknown> {
    const worker = this.#worker ?? this.#startWorker();
    return this.#requests.request((id) => {
      worker.postMessage({ ...request, id });
      Atomics.add(this.#words, 0, 1);
      Atomics.notify(this.#words, 0);
    });
  }

  #onReply(reply: BlockReply): void {
    if (reply.kind === 'warning') return this.#warn(reply.text);
    this.#requests.answer(reply);
  }
}

/** Nothing to open. */
export function isEmpty({ drives, blockdevs, shares = [] }: BlockConfig): boolean {
  return drives.length === 0 && blockdevs.length === 0 && shares.length === 0;
}
