/**
 * The PCI device 1b36:0005 that measures and tests accesses (QEMU docs/specs/pci-testdev.rst). BAR 0 is memory, BAR 1 is I/O; each
 * begins with the description of the test chosen last:
 *
 *   0x00 test number (write starts)   0x01 width of an access, 0: no such test   0x04 offset to write to   0x08 value to write
 *   0x0c number of writes so far   0x10 name
 *
 * BAR 2, if asked for, is memory of any size with nothing behind it.
 */
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PciFunction } from '../pci/pci-device.ts';

const MEMORY_BYTES = 4096;
const IO_BYTES = 256;
const COUNT_AT = 0x0c;
const NAME_AT = 0x10;
const NO_TEST = 0xff;
/** What a write means, in the order of the tests' numbers; the wildcard takes every value. */
const TESTS = [
  { name: 'no-eventfd', value: 0xfa },
  { name: 'wildcard-eventfd', value: undefined },
  { name: 'datamatch-eventfd', value: 0xfa },
] as const;
const ANY_VALUE = 0xff;

const schema = defineState('pci-testdev', 1, {
  /** Test chosen last, counted over both BARs; 255: none. */
  current: u32(NO_TEST),
  count: u32(),
});

export class PciTestDev implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();

  /** `extraBytes`: size of BAR 2, a power of two, or 0. */
  constructor(extraBytes = 0) {
    this.pci = new PciFunction({ vendorId: 0x1b36, deviceId: 0x0005, classCode: 0x00ff00 });
    this.pci.addBar(0, 'memory32', this.#bar('mmio', 0, MEMORY_BYTES));
    this.pci.addBar(1, 'io', this.#bar('portio', 1, IO_BYTES));
    if (extraBytes > 0) {
      const nothing: MmioDevice = { read: () => 0xffff_ffff, write: () => {} };
      this.pci.addBar(2, 'memory64', MemoryRegion.mmio('pci-testdev-membar', extraBytes, nothing), true);
    }
    this.vmstate = combineStates('pci-testdev', [
      ['pci', this.pci.vmstate],
      ['testdev', stateful(schema, this.#s)],
    ]);
  }

  reset(): void {
    this.pci.reset();
    schema.reset(this.#s);
  }

  #bar(kind: string, index: number, sizeBytes: number): MemoryRegion {
    const first = index * TESTS.length;
    const images = TESTS.map((test, n) =>
      image(`${kind}-${test.name}`, first + n, sizeBytes / 2, test.value),
    );
    const device: MmioDevice = {
      read: (offset, size) => this.#read(images[this.#s.current - first], offset, size),
      write: (offset, _size, value) => {
        if (offset === 0) this.#start(value < TESTS.length ? first + value : NO_TEST);
        else this.#count(this.#s.current - first, images, offset, value);
      },
    };
    return MemoryRegion.mmio(`pci-testdev-${kind}`, sizeBytes, device, { impl: { min: 1, max: 4 } });
  }

  #start(test: number): void {
    this.#s.current = test;
    this.#s.count = 0;
  }

  #read(test: Uint8Array | undefined, offset: number, size: AccessSize): number {
    if (test === undefined) return 0;
    new DataView(test.buffer).setUint32(COUNT_AT, this.#s.count, true);
    let value = 0;
    for (let i = 0; i < size; i++) value |= (test[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  #count(index: number, images: readonly Uint8Array[], offset: number, value: number): void {
    const test = TESTS[index];
    if (test === undefined || offset !== new DataView(images[index]!.buffer).getUint32(4, true)) return;
    if (test.value === undefined || test.value === value) this.#s.count++;
  }
}

/** What the guest reads about a test. */
function image(name: string, number: number, base: number, value: number | undefined): Uint8Array {
  const bytes = new Uint8Array(NAME_AT + name.length + 1);
  const view = new DataView(bytes.buffer);
  bytes[0] = number;
  bytes[1] = 1;
  view.setUint32(4, base + number, true);
  view.setUint32(8, value ?? ANY_VALUE, true);
  for (let i = 0; i < name.length; i++) bytes[NAME_AT + i] = name.charCodeAt(i);
  return bytes;
}
