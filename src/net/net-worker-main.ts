/** The network thread's loop and its conversation with the main thread. Portable; the thread comes from the host. */
import { UserError } from '../util/errors.ts';
import { Doorbell } from '../util/ring.ts';
import type { NetHost } from './host.ts';
import type { NetAttachment, NetReply, NetRequest } from './net-protocol.ts';
import { NetService } from './net-service.ts';
import type { NetDoorbell } from './nic-channel.ts';
import { RemotePolicy } from './remote-policy.ts';

export interface NetWorkerPorts {
  readonly host: NetHost;
  readonly doorbell: NetDoorbell;
  reply(message: NetReply): void;
  nowUs(): number;
  /** Resolves after one turn of the event loop. */
  turn(): Promise<void>;
}

interface WaitAsync {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
  ): { readonly async: boolean; readonly value: string | Promise<string> };
}

export class NetWorkerMain {
  readonly #ports: NetWorkerPorts;
  readonly #policy: RemotePolicy;
  #service: NetService | undefined;
  #isEnding = false;

  constructor(ports: NetWorkerPorts) {
    this.#ports = ports;
    this.#policy = new RemotePolicy((message) => ports.reply(message));
  }

  /** Sleeps in the event loop until a card has sent something; ends after a `close` request. */
  async run(): Promise<void> {
    const { doorbell } = this.#ports;
    while (!this.#isEnding) {
      if (this.#service?.poll() === true) {
        await this.#ports.turn();
        continue;
      }
      const seen = doorbell.announceSleep();
      if (this.#service?.poll() === true) continue;
      this.#service?.idle();
      const waiting = (Atomics as unknown as WaitAsync).waitAsync(doorbell.words, 0, seen);
      if (waiting.async) await waiting.value;
      else await this.#ports.turn();
    }
  }

  /** True: that was the last request. */
  async receive(request: NetRequest): Promise<boolean> {
    const { id } = request;
    try {
      this.#ports.reply({ kind: 'done', id, value: (await this.#carryOut(request)) ?? null });
    } catch (error) {
      const { message } = error as Error;
      const code = error instanceof UserError ? error.code : 'Bug';
      this.#ports.reply({
        kind: 'failed',
        id,
        code,
        message: code === 'Bug' ? String((error as Error).stack) : message,
      });
    }
    return request.kind === 'close';
  }

  async #carryOut(request: NetRequest): Promise<unknown> {
    switch (request.kind) {
      case 'open': {
        const service = new NetService({
          host: this.#ports.host,
          policy: request.hasPolicy ? (query) => this.#policy.ask(query) : undefined,
          nowUs: () => this.#ports.nowUs(),
          defer: (flush) => void Promise.resolve().then(flush),
        });
        this.#service = service;
        return service.open(request.config, request.start.channels);
      }
      case 'attach':
        return this.#service?.attach(wakeUp(request.machine));
      case 'describe':
        return this.#service?.describe();
      case 'connections':
        return this.#service?.connections();
      case 'addForward':
        return this.#service?.addForward(request.netdev, request.rule);
      case 'removeForward':
        return this.#service?.removeForward(request.netdev, request.rule);
      case 'close':
        this.#service?.close();
        this.#isEnding = true;
        this.#ports.doorbell.ring();
        return undefined;
      default:
        return this.#policy.receive(request);
    }
  }
}

function wakeUp({ control, kick }: NetAttachment): () => void {
  const word = new Int32Array(kick.buffer, kick.byteOffset, 1);
  const doorbell = new Doorbell(new Int32Array(control), 0);
  return () => {
    doorbell.ring();
    Atomics.or(word, 0, kick.bits);
  };
}
