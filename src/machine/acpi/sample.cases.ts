/** Tables' options of a board with a bit of everything, for tests. */
import type { PcAcpiOptions } from './pc-tables.ts';

export const SAMPLE_ACPI: PcAcpiOptions = {
  platform: {
    kind: 'pc',
    pmPort: 0x600,
    gpe0Port: 0xafe0,
    gpe0Length: 4,
    acpiEnable: 0xf1,
    acpiDisable: 0xf0,
    hotplugPort: 0xae00,
    hotplugGpe: 1,
  },
  highWindow: { first: 2 ** 35, last: 2 ** 36 - 1 },
  floppy: true,
  hotplugBuses: [{ selector: 0, bridge: undefined, slots: [3, 4, 31] }],
  s3: true,
  s4: true,
  lowRamEnd: 0x2000_0000,
  serialPorts: [0, 1],
  hpet: true,
  apicIds: [0],
  ioApicId: 0,
  hpetBlockId: 0x8086a201,
  vga: false,
};
