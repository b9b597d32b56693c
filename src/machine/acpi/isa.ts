/** ISA devices of a PC board in the DSDT. */
import * as map from '../pc-map.ts';
import type { Term } from './aml.ts';
import * as aml from './aml.ts';
import type { DsdtOptions } from './platform.ts';

export function isaDevices(options: DsdtOptions): readonly Term[] {
  return [
    isaDevice(
      'PIC',
      'PNP0000',
      aml.ioPorts(map.PORT_PIC_MASTER, 2),
      aml.ioPorts(map.PORT_PIC_SLAVE, 2),
      aml.irq(2),
    ),
    isaDevice('TIMR', 'PNP0100', aml.ioPorts(map.PORT_PIT, 4), aml.irq(map.IRQ_PIT)),
    isaDevice('RTC', 'PNP0B00', aml.ioPorts(map.PORT_RTC, 2), aml.irq(map.IRQ_RTC)),
    isaDevice(
      'KBD',
      'PNP0303',
      aml.ioPorts(map.PORT_I8042_DATA, 1),
      aml.ioPorts(map.PORT_I8042_COMMAND, 1),
      aml.irq(map.IRQ_KEYBOARD),
    ),
    isaDevice('MOU', 'PNP0F13', aml.irq(map.IRQ_MOUSE)),
    ...(options.floppy ? [floppyController()] : []),
    ...options.serialPorts.map((index) => serialPort(index)),
  ];
}

function isaDevice(path: string, id: string, ...descriptors: readonly Term[]): Term {
  return aml.device(
    path,
    aml.name('_HID', aml.eisaId(id)),
    aml.name('_STA', aml.integer(0x0f)),
    aml.name('_CRS', aml.resources(...descriptors)),
  );
}

function floppyController(): Term {
  return isaDevice(
    'FDC0',
    'PNP0700',
    aml.ioPorts(map.PORT_FLOPPY + 2, 4),
    aml.ioPorts(map.PORT_FLOPPY + 7, 1),
    aml.irq(map.IRQ_FLOPPY),
    aml.dma(map.DMA_FLOPPY),
  );
}

function serialPort(index: number): Term {
  const { port, irq } = map.SERIAL_PORTS[index]!;
  return aml.device(
    `COM${index + 1}`,
    aml.name('_HID', aml.eisaId('PNP0501')),
    aml.name('_UID', aml.integer(index + 1)),
    aml.name('_STA', aml.integer(0x0f)),
    aml.name('_CRS', aml.resources(aml.ioPorts(port, 8), aml.irq(irq))),
  );
}
