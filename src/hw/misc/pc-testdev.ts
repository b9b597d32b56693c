/**
 * pc-testdev, the device by which test programs for processors reach what firmware and drivers hide (ports as QEMU's
 * `pc-testdev` has them):
 *
 *     port 0x2000 + n   write: level of global system interrupt n
 *     port 0xe0…0xe3    remembers what is written, bytes in any grouping; 0xe8…0xeb: the same register, by bytes
 *     port 0xe4         write: number of a page whose host mapping is dropped and made anew; nothing to see for the guest
 *     0xff000000        64 KiB of registers that keep their value
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { bytes, defineState, stateful, u32 } from '../../core/vmstate.ts';

export const TESTDEV_IRQ_PORT = 0x2000;
export const TESTDEV_DATA_PORT = 0xe0;
export const TESTDEV_FLUSH_PORT = 0xe4;
export const TESTDEV_BYTES_PORT = 0xe8;
export const TESTDEV_MEMORY = 0xff00_0000;
export const TESTDEV_MEMORY_SIZE = 0x1_0000;

const schema = defineState('pc-testdev', 1, { data: u32(), memory: bytes(TESTDEV_MEMORY_SIZE) });

export class PcTestDev implements Device {
  readonly vmstate;
  readonly irqPorts: MmioDevice;
  readonly data: MmioDevice;
  readonly flush: MmioDevice = { read: () => 0, write: () => {} };
  readonly memory: MmioDevice;
  readonly #s = schema.create();

  /** One line for each port from 0x2000 on. */
  constructor(lines: readonly IrqLine[]) {
    this.vmstate = stateful(schema, this.#s);
    this.irqPorts = { read: () => 0, write: (offset, _size, value) => lines[offset]?.set(value !== 0) };
    this.data = {
      read: (offset, size) => ((this.#s.data >>> (8 * offset)) & mask(size)) >>> 0,
      write: (offset, size, value) => this.#write(8 * offset, mask(size), value),
    };
    this.memory = {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#store(offset, size, value),
    };
  }

  reset(): void {
    schema.reset(this.#s);
  }

  #write(shift: number, bits: number, value: number): void {
    const at = bits << shift;
    this.#s.data = ((this.#s.data & ~at) | ((value << shift) & at)) >>> 0;
  }

  #read(offset: number, size: AccessSize): number {
    const view = viewOf(this.#s.memory);
    return size === 1
      ? view.getUint8(offset)
      : size === 2
        ? view.getUint16(offset, true)
        : view.getUint32(offset, true);
  }

  #store(offset: number, size: AccessSize, value: number): void {
    const view = viewOf(this.#s.memory);
    if (size === 1) view.setUint8(offset, value);
    else if (size === 2) view.setUint16(offset, value, true);
    else view.setUint32(offset, value, true);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function mask(size: AccessSize): number {
  return size === 4 ? -1 : (1 << (8 * size)) - 1;
}
