/** Asynchronous events (NVMe 1.4, 5.2): requests that wait for something to report, and reports that wait for a request. */
import * as nvme from './nvme-codes.ts';

interface Event {
  readonly type: number;
  readonly info: number;
  readonly logPage: number;
}

/** Events kept while nobody asks. */
const MAX_QUEUED = 64;

export class NvmeEvents {
  /** Requests that may wait. */
  readonly limit: number;
  readonly #complete: (command: nvme.NvmeCommand, status: number, result: number) => void;
  #waiting: nvme.NvmeCommand[] = [];
  #queued: Event[] = [];
  /** Types not reported again until their log page was read. */
  #masked = 0;

  constructor(limit: number, complete: (command: nvme.NvmeCommand, status: number, result: number) => void) {
    this.limit = limit;
    this.#complete = complete;
  }

  reset(): void {
    this.#waiting = [];
    this.#queued = [];
    this.#masked = 0;
  }

  request(command: nvme.NvmeCommand): void {
    if (this.#waiting.length >= this.limit) {
      this.#complete(command, nvme.ASYNC_EVENT_LIMIT | nvme.DO_NOT_RETRY, 0);
      return;
    }
    this.#waiting.push(command);
    this.#deliver();
  }

  /** True: a request with this id waited and has been aborted. */
  abort(sqid: number, id: number): boolean {
    const index = this.#waiting.findIndex((command) => command.sqid === sqid && command.id === id);
    if (index < 0) return false;
    const [command] = this.#waiting.splice(index, 1);
    this.#complete(command!, nvme.ABORTED, 0);
    return true;
  }

  post(type: number, info: number, logPage: number): void {
    if ((this.#masked & (1 << type)) !== 0 || this.#queued.length >= MAX_QUEUED) return;
    this.#queued.push({ type, info, logPage });
    this.#deliver();
  }

  /** The log page that tells of a type's events was read: the next one is news again. */
  clear(type: number): void {
    this.#masked &= ~(1 << type);
    this.#deliver();
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      const index = this.#queued.findIndex(({ type }) => (this.#masked & (1 << type)) === 0);
      if (index < 0) return;
      const [event] = this.#queued.splice(index, 1);
      this.#masked |= 1 << event!.type;
      const result = event!.type | (event!.info << 8) | (event!.logPage << 16);
      this.#complete(this.#waiting.shift()!, nvme.SUCCESS, result);
    }
  }
}
