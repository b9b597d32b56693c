/** MSI-X: a table of messages and their pending bits in a memory BAR (PCI Local Bus Specification 3.0, 6.8.2). */
import type { MsiSink } from '../../core/cpu-ports.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful, words } from '../../core/vmstate.ts';
import { PCI_COMMAND_MASTER, type PciFunction } from './pci-device.ts';

const CAPABILITY_ID = 0x11;
const CONTROL = 2;
const CONTROL_MASKED = 0x4000;
const CONTROL_ENABLED = 0x8000;
const ENTRY_BYTES = 16;
/** Word 3 of an entry, bit 0. */
const ENTRY_MASKED = 1;
const PBA_OFFSET = 2048;
const BAR_BYTES = 4096;

export class MsiX {
  readonly vectors: number;
  readonly vmstate: Stateful;
  readonly #pci: PciFunction;
  readonly #sink: MsiSink;
  readonly #capability: number;
  readonly #s: { table: Uint32Array; pending: Uint32Array };

  /** Adds the capability and BAR `bar` (4 KiB: table at 0, pending bits at 2048) to `pci`; up to 128 vectors. */
  constructor(pci: PciFunction, bar: number, vectors: number, sink: MsiSink, name = 'msix') {
    this.vectors = vectors;
    this.#pci = pci;
    this.#sink = sink;
    const schema = defineState('msix', 1, {
      table: words(vectors * 4),
      pending: words(Math.ceil(vectors / 32)),
    });
    this.#s = schema.create();
    pci.addBar(bar, 'memory32', MemoryRegion.mmio(name, BAR_BYTES, this.#device()));
    this.#capability = pci.addCapability(CAPABILITY_ID, 12);
    pci.set(this.#capability + CONTROL, 2, vectors - 1);
    pci.allow(this.#capability + CONTROL, 2, CONTROL_ENABLED | CONTROL_MASKED);
    pci.set(this.#capability + 4, 4, bar);
    pci.set(this.#capability + 8, 4, PBA_OFFSET | bar);
    this.vmstate = stateful(schema, this.#s);
    this.reset();
  }

  /** The driver uses MSI-X and not the interrupt pin. */
  get enabled(): boolean {
    return (this.#control & CONTROL_ENABLED) !== 0;
  }

  reset(): void {
    this.#s.table.fill(0);
    this.#s.pending.fill(0);
    for (let n = 0; n < this.vectors; n++) this.#s.table[4 * n + 3] = ENTRY_MASKED;
  }

  /** Sends vector `n`, or keeps it while it is masked. */
  notify(n: number): void {
    if (!this.enabled || n >= this.vectors) return;
    if (this.#isMasked(n)) {
      this.#s.pending[n >> 5]! |= 1 << (n & 31);
      return;
    }
    this.#send(n);
  }

  /** Called after the guest wrote the capability: what waited goes out. */
  configWritten(offset: number, size: number): void {
    const at = this.#capability + CONTROL;
    if (offset < at + 2 && offset + size > at) this.#flush();
  }

  get #control(): number {
    return this.#pci.readConfig(this.#capability + CONTROL, 2);
  }

  #isMasked(n: number): boolean {
    return (this.#control & CONTROL_MASKED) !== 0 || (this.#s.table[4 * n + 3]! & ENTRY_MASKED) !== 0;
  }

  /** A message is a write to memory: only a bus master makes it. */
  #send(n: number): void {
    if ((this.#pci.command & PCI_COMMAND_MASTER) === 0) return;
    const { table } = this.#s;
    this.#sink.sendMsi(table[4 * n + 1]! * 2 ** 32 + table[4 * n]!, table[4 * n + 2]!);
  }

  #flush(): void {
    if (!this.enabled) return;
    for (let n = 0; n < this.vectors; n++) {
      const bit = 1 << (n & 31);
      if ((this.#s.pending[n >> 5]! & bit) === 0 || this.#isMasked(n)) continue;
      this.#s.pending[n >> 5]! &= ~bit;
      this.#send(n);
    }
  }

  #device(): MmioDevice {
    return {
      read: (offset: number, size: AccessSize): number => {
        const { table, pending } = this.#s;
        const word =
          offset < this.vectors * ENTRY_BYTES ? table[offset >> 2] : pending[(offset - PBA_OFFSET) >> 2];
        const value = (word ?? 0) >>> (8 * (offset & 3));
        return size === 4 ? value >>> 0 : value & ((1 << (8 * size)) - 1);
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        if (offset >= this.vectors * ENTRY_BYTES) return;
        const shift = 8 * (offset & 3);
        const mask = size === 4 ? 0xffffffff : ((1 << (8 * size)) - 1) << shift;
        const { table } = this.#s;
        table[offset >> 2] = (table[offset >> 2]! & ~mask) | ((value << shift) & mask);
        if ((offset & 15) >= 12) this.#flush();
      },
    };
  }
}
