/** The main thread's hold on the I/O thread. */
import type { Worker } from 'node:worker_threads';
import type { BlockConfig, DriveConfig } from '../../../block/drive-config.ts';
import type { MediumInfo } from '../../../block/io/block-channel.ts';
import { createChannelBuffer } from '../../../block/io/channel-layout.ts';
import type {
  BlockReply,
  BlockRequest,
  BlockStart,
  OpenedDrive,
  OpenedShare,
} from '../../../block/io/protocol.ts';
import type { NodeOptions } from '../../../block/node-options.ts';
import type { BlockPort, MachineWakeUp } from '../../../system/machine-client.ts';
import { AssertionError, UserError } from '../../../util/errors.ts';
import type { BlockWorkerData } from '../block-worker.ts';
import { startWorker } from '../start-worker.ts';

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

export class NodeBlockThread implements BlockPort {
  readonly start: BlockStart;
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closing: Promise<void> | undefined;

  /** Opens all drives. `UserError` for the first that cannot be. */
  static async open(config: BlockConfig, warn: (text: string) => void): Promise<NodeBlockThread> {
    const channel = createChannelBuffer();
    const thread = new NodeBlockThread(channel, warn);
    try {
      const drives = (await thread.#request({ kind: 'open', config })) as OpenedDrive[];
      const shares: OpenedShare[] = [];
      for (const share of config.shares ?? [])
        shares.push({ id: share.id, handle: (await thread.#request({ kind: 'share', share })) as number });
      return Object.assign(thread, { start: { channel, drives, shares } });
    } catch (error) {
      await thread.close().catch(() => {});
      throw error;
    }
  }

  private constructor(channel: SharedArrayBuffer, warn: (text: string) => void) {
    this.start = { channel, drives: [], shares: [] };
    this.#words = new Int32Array(channel, 0, 1);
    const workerData: BlockWorkerData = { channel };
    this.#worker = startWorker('block-worker', { workerData });
    this.#worker.on('message', (reply: BlockReply) => this.#onReply(reply, warn));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new AssertionError('the I/O thread has ended')));
  }

  attach(machine: MachineWakeUp): void {
    const { kick, control } = machine;
    void this.#request({
      kind: 'attach',
      machine: { ram: kick.buffer, doorbell: control, doorbellOffset: 0, kick },
    });
  }

  /** Another medium for a drive, `node` undefined: none. Resolves with what the machine thread must be told. */
  async change(drive: DriveConfig, handle: number | undefined): Promise<MediumInfo | undefined> {
    return (await this.#request({ kind: 'change', drive, handle })) as MediumInfo | undefined;
  }

  async addNode(node: NodeOptions, option: string): Promise<void> {
    await this.#request({ kind: 'add', node, option });
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
    try {
      await this.#request({ kind: 'close' });
    } finally {
      await this.#worker.terminate();
    }
  }

  #request(request: WithoutId<BlockRequest>): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id });
      Atomics.add(this.#words, 0, 1);
      Atomics.notify(this.#words, 0);
    });
  }

  #onReply(reply: BlockReply, warn: (text: string) => void): void {
    if (reply.kind === 'warning') return warn(reply.text);
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.kind === 'done') waiting?.resolve(reply.value as never);
    else if (reply.code === 'Bug') waiting?.reject(new AssertionError(reply.message));
    else waiting?.reject(new UserError(reply.code, reply.message));
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
