/**
 * Paravirtualised panic notification (QEMU docs/specs/pvpanic.rst): one register, read for the events that can be told, written with
 * those that happened. As an ISA device at port 0x505 or as PCI device 1b36:0011 with the register in BAR 0.
 */
import type { Device } from '../../core/device.ts';
import {
  type AccessSize,
  MemoryRegion,
  type MmioDevice,
  type MmioOptions,
} from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful } from '../../core/vmstate.ts';
import { PciFunction } from '../pci/pci-device.ts';

export const PVPANIC_PANICKED = 1;
export const PVPANIC_CRASH_LOADED = 2;
export const PVPANIC_MMIO: MmioOptions = { impl: { min: 1, max: 1 } };

export interface PanicSink {
  /** The guest's kernel gave up. */
  panicked(): void;
  /** It loaded its crash kernel. */
  crashLoaded(): void;
}

const schema = defineState('pvpanic', 1, {});

export class PvPanic implements MmioDevice, Device {
  readonly vmstate = stateful(schema, schema.create());
  readonly #events: number;
  readonly #sink: PanicSink;

  /** `events`: bits of what is told. */
  constructor(events: number, sink: PanicSink) {
    this.#events = events;
    this.#sink = sink;
  }

  reset(): void {}

  read(_offset: number, _size: AccessSize): number {
    return this.#events & 0xff;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const events = value & this.#events;
    if ((events & PVPANIC_PANICKED) !== 0) this.#sink.panicked();
    else if ((events & PVPANIC_CRASH_LOADED) !== 0) this.#sink.crashLoaded();
  }
}

const BAR_BYTES = 16;
/** The register proper is 2 bytes wide; what is beyond reads as zero. */
const REGISTER_BYTES = 2;

export class PvPanicPci implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;

  constructor(events: number, sink: PanicSink) {
    const panic = new PvPanic(events, sink);
    this.pci = new PciFunction({
      vendorId: 0x1b36,
      deviceId: 0x0011,
      classCode: 0x088000,
      revision: 1,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
    });
    const device: MmioDevice = {
      read: (offset, size) => (offset < REGISTER_BYTES && offset === 0 ? panic.read(0, size) : 0),
      write: (offset, size, value) => {
        if (offset === 0) panic.write(0, size, value);
      },
    };
    this.pci.addBar(0, 'memory32', MemoryRegion.mmio('pvpanic', BAR_BYTES, device, PVPANIC_MMIO));
    this.vmstate = this.pci.vmstate;
  }

  reset(): void {
    this.pci.reset();
  }
}
