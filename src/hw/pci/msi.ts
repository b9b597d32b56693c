/** MSI with one message and a 64-bit address (PCI Local Bus Specification 3.0, 6.8.1). */
import type { MsiSink } from '../../core/cpu-ports.ts';
import { PCI_COMMAND_MASTER, type PciFunction } from './pci-device.ts';

const CAPABILITY_ID = 5;
const ENABLED = 1;
const ADDRESS_64 = 0x80;

export class Msi {
  readonly #pci: PciFunction;
  readonly #sink: MsiSink;
  readonly #at: number;

  /** `at`: where in configuration space; default the next free place. */
  constructor(pci: PciFunction, sink: MsiSink, at?: number) {
    this.#pci = pci;
    this.#sink = sink;
    this.#at = pci.addCapability(CAPABILITY_ID, 14, at);
    pci.set(this.#at + 2, 2, ADDRESS_64);
    pci.allow(this.#at + 2, 2, ENABLED);
    pci.allow(this.#at + 4, 4, 0xfffffffc);
    pci.allow(this.#at + 8, 4, 0xffffffff);
    pci.allow(this.#at + 12, 2, 0xffff);
  }

  /** The driver uses messages and not the interrupt pin. */
  get enabled(): boolean {
    return (this.#pci.readConfig(this.#at + 2, 2) & ENABLED) !== 0;
  }

  notify(): void {
    if (!this.enabled || (this.#pci.command & PCI_COMMAND_MASTER) === 0) return;
    const high = this.#pci.readConfig(this.#at + 8, 4);
    this.#sink.sendMsi(
      high * 2 ** 32 + this.#pci.readConfig(this.#at + 4, 4),
      this.#pci.readConfig(this.#at + 12, 2),
    );
  }
}
