/** Debug console: each byte written goes to a character backend; reading gives `readback`, by which firmware finds it. */
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { byteList, defineState, stateful } from '../../core/vmstate.ts';
import { ByteFifo } from '../../util/fifo.ts';

export const DEBUGCON_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };
export const DEBUGCON_READBACK = 0xe9;

const QUEUE_SIZE = 65536;
const schema = defineState('isa-debugcon', 1, { queue: byteList(QUEUE_SIZE) });

export class DebugCon implements MmioDevice, CharFrontend, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #queue = new ByteFifo(QUEUE_SIZE);
  readonly #backend: CharBackend;
  readonly #readback: number;

  constructor(backend: CharBackend, readback = DEBUGCON_READBACK) {
    this.#backend = backend;
    this.#readback = readback & 0xff;
    this.vmstate = stateful(schema, this.#s, {
      preSave: () => {
        this.#s.queue = this.#queue.toArray();
      },
      postLoad: () => this.#queue.assign(this.#s.queue),
    });
    backend.connect(this);
  }

  reset(): void {}

  read(_offset: number, _size: AccessSize): number {
    return this.#readback;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    this.#queue.push(value & 0xff);
    this.onWritable();
  }

  canReceive(): number {
    return 0;
  }

  receive(_byte: number): void {}

  onWritable(): void {
    while (!this.#queue.isEmpty && this.#backend.write(this.#queue.peek())) this.#queue.shift();
  }
}
