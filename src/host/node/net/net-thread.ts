/** The main thread's hold on the network thread. */
import type { Worker } from 'node:worker_threads';
import type { KickWord } from '../../../accel/accelerator.ts';
import { cardNetdevs, type NetConfig, type NetStart } from '../../../net/net-config.ts';
import type { NetReply, NetRequest } from '../../../net/net-protocol.ts';
import type { NetDescription } from '../../../net/net-service.ts';
import { NetDoorbell, NicChannel } from '../../../net/nic-channel.ts';
import type { NetPort } from '../../../system/machine-client.ts';
import { AssertionError } from '../../../util/errors.ts';
import type { NetWorkerData } from '../net-worker.ts';
import { startWorker } from '../start-worker.ts';
import { type WithoutId, WorkerRequests } from '../worker-requests.ts';
import { type PolicyHandler, PolicyServer } from './policy-server.ts';

export class NodeNetThread implements NetPort {
  readonly start: NetStart;
  /** Resolves when all back ends are there; rejects with `UserError` for the first that cannot be had. */
  readonly opened: Promise<void>;
  readonly #worker: Worker;
  readonly #policy: PolicyServer | undefined;
  readonly #requests = new WorkerRequests();
  #closing: Promise<void> | undefined;

  constructor(config: NetConfig, policy?: PolicyHandler) {
    const doorbell = new SharedArrayBuffer(NetDoorbell.byteLength);
    const channels = cardNetdevs(config).map(({ id }) => [id, NicChannel.create().buffer] as const);
    this.start = { doorbell, channels };
    const workerData: NetWorkerData = { doorbell };
    this.#worker = startWorker('net-worker', { workerData });
    this.#worker.on('message', (reply: NetReply) => this.#onReply(reply));
    this.#worker.on('error', (error) => this.#requests.fail(error));
    this.#worker.on('exit', () => this.#requests.fail(new AssertionError('the network thread has ended')));
    this.#worker.unref();
    if (policy !== undefined)
      this.#policy = new PolicyServer(policy, (message) => void this.#request(message));
    this.opened = this.#request({
      kind: 'open',
      config,
      start: this.start,
      hasPolicy: policy !== undefined,
    }).then(() => {});
    this.opened.catch(() => {});
  }

  attach(machine: { readonly kick: KickWord; readonly control: SharedArrayBuffer }): void {
    void this.#request({ kind: 'attach', machine });
  }

  async describe(): Promise<NetDescription> {
    return (await this.#request({ kind: 'describe' })) as NetDescription;
  }

  async connections(): Promise<string> {
    return String(await this.#request({ kind: 'connections' }));
  }

  async addForward(netdev: string | undefined, rule: string): Promise<void> {
    await this.#request({ kind: 'addForward', netdev, rule });
  }

  async removeForward(netdev: string | undefined, rule: string): Promise<boolean> {
    return (await this.#request({ kind: 'removeForward', netdev, rule })) === true;
  }

  /** Closes everything. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#worker.ref();
    try {
      await this.#request({ kind: 'close' });
    } finally {
      await this.#worker.terminate();
    }
  }

  #request(request: WithoutId<NetRequest>): Promise<unknown> {
    return this.#requests.request((id) => this.#worker.postMessage({ ...request, id }));
  }

  #onReply(reply: NetReply): void {
    if (reply.kind !== 'done' && reply.kind !== 'failed') {
      this.#policy?.receive(reply);
      return;
    }
    this.#requests.answer(reply);
  }
}

/** Starts the thread and waits for what may fail (ports, devices of the host); undefined without network. */
export async function openNetwork(
  config: NetConfig,
  policy?: PolicyHandler,
): Promise<NodeNetThread | undefined> {
  if (config.netdevs.length === 0) return undefined;
  const thread = new NodeNetThread(config, policy);
  // The user-mode network with nothing to open cannot fail: the machine need not wait for the thread.
  const canFail = (n: NetConfig['netdevs'][number]): boolean =>
    !(n.kind === 'hubport' || (n.kind === 'user' && n.user.hostForwards.length === 0));
  if (config.filters.length === 0 && !config.netdevs.some(canFail)) return thread;
  try {
    await thread.opened;
    return thread;
  } catch (error) {
    await thread.close().catch(() => {});
    throw error;
  }
}
