/** virtio 9P transport (virtio 1.2, 5.9; the messages are the file server's affair): one queue of requests with their replies. */

import type { AccessSize } from '../../core/memory-region.ts';
import type { ShareBackend } from '../../core/share-backend.ts';
import { defineState, stateful } from '../../core/vmstate.ts';
import { VIRTIO_ID_9P, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, segmentViews, type VirtQueue } from './virtqueue.ts';

const F_MOUNT_TAG = 1n;
const QUEUE_SIZE = 128;
const HEADER_BYTES = 7;
/** Largest message of either direction. */
const MAX_MESSAGE = 2 ** 19;
export const MAX_MOUNT_TAG = 31;

const schema = defineState('virtio-9p', 1, {});

export class Virtio9p implements VirtioBackend {
  readonly id = VIRTIO_ID_9P;
  readonly features = F_MOUNT_TAG;
  readonly queueSizes = [QUEUE_SIZE];
  readonly configSize: number;
  readonly vmstate = stateful(schema, schema.create());
  readonly #config: Uint8Array;
  readonly #share: ShareBackend;
  #port!: VirtioPort;
  #epoch = 0;
  /** The server has heard something since it was last told to forget. */
  #isUsed = false;

  /** `mountTag`: up to 31 characters of ASCII. */
  constructor(share: ShareBackend, mountTag: string) {
    this.#share = share;
    this.#config = Uint8Array.from([mountTag.length, 0, ...Array.from(mountTag, (c) => c.charCodeAt(0))]);
    this.configSize = this.#config.length;
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  reset(): void {
    this.#epoch++;
    if (this.#isUsed) this.#share.reset();
    this.#isUsed = false;
  }

  readConfig(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#config[offset + i]! << (8 * i);
    return value >>> 0;
  }

  writeConfig(): void {}

  queueNotified(index: number): void {
    const queue = this.#port.queues[index]!;
    do {
      queue.setNotification(false);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) this.#send(queue, chain);
    } while (queue.setNotification(true));
  }

  #send(queue: VirtQueue, chain: Chain): void {
    if (chain.outBytes < HEADER_BYTES || chain.inBytes < HEADER_BYTES) {
      this.#port.guestError('virtio-9p: a request without room for its header');
      queue.s.broken = true;
      return;
    }
    const out = segmentViews(queue.ram, chain.out, 0, MAX_MESSAGE);
    const into = segmentViews(queue.ram, chain.in, 0, MAX_MESSAGE);
    const epoch = this.#epoch;
    this.#isUsed = true;
    this.#port.hold();
    this.#share.request(out, into, (replyBytes) => {
      this.#port.release();
      if (epoch !== this.#epoch) return;
      queue.push(chain, replyBytes);
      this.#port.notifyQueue(queue.index);
    });
  }
}
