/** Gives base address registers their addresses, as firmware does (PCI Local Bus Specification 3.0, 6.2.5.1). */
import type { PciBus } from './pci-bus.ts';
import { PCI_BAR0, PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_MEMORY, type PciFunction } from './pci-device.ts';

/** The first address and the one behind the last. */
export interface BarWindow {
  readonly start: number;
  readonly end: number;
}

/** Functions for which there is no more room, and those whose decoders are on already, stay as they are. */
export function assignBars(bus: PciBus, memory: BarWindow, io: BarWindow): void {
  const next = { memory: memory.start, io: io.start };
  const limit = { memory: memory.end, io: io.end };
  const all = bus.functions.flatMap(([, pci]) => pci.regions.map((region) => ({ pci, region })));
  // Largest first: every BAR is aligned to its size.
  all.sort((a, b) => b.region.size - a.region.size);
  for (const { pci, region } of all) {
    if (region.address >= 0) continue;
    const address = Math.ceil(next[region.type] / region.size) * region.size;
    if (address + region.size > limit[region.type]) continue;
    next[region.type] = address + region.size;
    pci.writeConfig(PCI_BAR0 + 4 * region.bar, 4, address);
    enable(pci, region.type === 'io' ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
  }
}

function enable(pci: PciFunction, bit: number): void {
  pci.writeConfig(PCI_COMMAND, 2, pci.command | bit);
}
