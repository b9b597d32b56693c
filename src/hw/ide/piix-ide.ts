/** The IDE function of the 82371SB (PIIX3, order 290550, 2.3 and 2.6): two legacy channels and their bus masters. */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { BUS_MASTER_PORTS, BusMasterChannel } from './bus-master.ts';
import { IDE_COMMAND_MMIO, IDE_COMMAND_PORTS, IdeChannel } from './ide-channel.ts';

const IDETIM = 0x40;
const BUS_MASTER_BAR = 4;

export interface LegacyChannel {
  readonly commandPort: number;
  readonly controlPort: number;
  readonly irq: IrqLine;
}

export class PiixIde {
  readonly pci: PciFunction;
  readonly channels: readonly IdeChannel[];
  /** What the board registers for reset and snapshots, by name. */
  readonly devices: ReadonlyArray<readonly [string, Device]>;

  constructor(memory: AddressSpace, io: MemoryRegion, legacy: readonly LegacyChannel[]) {
    this.pci = new PciFunction({ vendorId: 0x8086, deviceId: 0x7010, classCode: 0x010180, revision: 0 });
    this.pci.allow(IDETIM, 4, 0xffffffff);
    this.pci.allow(0x44, 1, 0xff);
    this.pci.allow(0x48, 4, 0xffffffff);
    const container = MemoryRegion.container('piix-bmdma', 2 * BUS_MASTER_PORTS);
    const devices: Array<readonly [string, Device]> = [];
    this.channels = legacy.map(({ commandPort, controlPort, irq }, n) => {
      const channel = new IdeChannel(irq, memory);
      const busMaster = new BusMasterChannel(memory, () =>
        channel.drives.find((drive) => drive?.s.phase === 4),
      );
      busMaster.isEnabled = () => (this.pci.command & PCI_COMMAND_MASTER) !== 0;
      channel.busMaster = busMaster;
      io.add(commandPort, MemoryRegion.mmio(`ide${n}`, IDE_COMMAND_PORTS, channel.command, IDE_COMMAND_MMIO));
      io.add(
        controlPort,
        MemoryRegion.mmio(`ide${n}-control`, 1, channel.control, { impl: { min: 1, max: 1 } }),
      );
      container.add(n * BUS_MASTER_PORTS, MemoryRegion.mmio(`bmdma${n}`, BUS_MASTER_PORTS, busMaster));
      devices.push([`ide${n}`, channel], [`bmdma${n}`, busMaster]);
      return channel;
    });
    this.pci.addBar(BUS_MASTER_BAR, 'io', container);
    this.devices = devices;
  }
}
