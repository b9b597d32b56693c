/** The DSDT of the board `pc`: PCI root bridge, interrupt links of the PIIX3, ISA devices, sleep states. */
import * as map from '../pc-map.ts';
import type { Term } from './aml.ts';
import * as aml from './aml.ts';

export interface PcDsdtOptions {
  /** End of RAM below 4 GiB: the PCI memory window starts there. */
  readonly lowRamEnd: number;
  /** Indexes into `SERIAL_PORTS` of the ports present. */
  readonly serialPorts: readonly number[];
  readonly hpet: boolean;
}

const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'] as const;
const PCI_SLOTS = 32;

/** 82371SB §2.2.6: PIRQRC[A:D], bit 7 = not routed, bits 3…0 = ISA interrupt. */
const PIRQ_REGISTERS = 0x60;

export function pcDsdt(options: PcDsdtOptions): Term {
  return [
    ...aml.scope('\\_SB', pciRoot(options), ...(options.hpet ? [hpetDevice()] : [])),
    // ACPI 7.4.2: SLP_TYPa, SLP_TYPb; the PIIX4 encodes "soft off" as 0 (82371AB §7.2.2).
    ...aml.name('\\_S5', aml.pack(aml.integer(0), aml.integer(0), aml.integer(0), aml.integer(0))),
  ];
}

function pciRoot(options: PcDsdtOptions): Term {
  return aml.device(
    'PCI0',
    aml.name('_HID', aml.eisaId('PNP0A03')),
    aml.name('_UID', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_CRS', rootResources(options.lowRamEnd)),
    aml.name('_PRT', routingTable()),
    isaBridge(options),
    ...LINKS.map((link, n) => linkDevice(link, n)),
    systemResources(),
  );
}

function rootResources(lowRamEnd: number): Term {
  return aml.resources(
    aml.busNumbers(0, 0xff),
    aml.ioPorts(map.PORT_PCI_ADDRESS, 8),
    aml.ioWindow(0, map.PORT_PCI_ADDRESS - 1),
    aml.ioWindow(0xd00, 0xffff),
    aml.memoryWindow(map.VGA_BASE, map.VGA_BASE + map.VGA_SIZE - 1, true),
    aml.memoryWindow(lowRamEnd, map.PCI_WINDOW_END - 1),
  );
}

/** _PRT (6.2.13): pin n of slot s goes to link (s + n - 1) modulo 4, as the traces of the board run. */
function routingTable(): Term {
  const entries: Term[] = [];
  for (let slot = 0; slot < PCI_SLOTS; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const link = LINKS[(slot + pin + 3) & 3]!;
      const address = aml.integer(slot * 0x10000 + 0xffff);
      entries.push(aml.pack(address, aml.integer(pin), aml.ref(link), aml.integer(0)));
    }
  }
  return aml.pack(...entries);
}

/** A PCI interrupt link device (PNP0C0F) over one PIRQ route register. */
function linkDevice(path: string, n: number): Term {
  const route = aml.ref(`\\_SB.PCI0.ISA.PRQ${'ABCD'[n]}`);
  const disabled = aml.integer(0x80);
  return aml.device(
    path,
    aml.name('_HID', aml.eisaId('PNP0C0F')),
    aml.name('_UID', aml.integer(n + 1)),
    aml.name('_PRS', aml.resources(aml.sharedInterrupts(map.PCI_IRQS))),
    aml.method(
      '_STA',
      {},
      aml.when(aml.and(route, disabled), aml.returns(aml.integer(0x09))),
      aml.returns(aml.integer(0x0b)),
    ),
    aml.method('_DIS', {}, aml.or(route, disabled, route)),
    aml.method(
      '_CRS',
      { serialized: true },
      aml.name('PRR0', aml.resources(aml.sharedInterrupts([0]))),
      aml.dwordField(aml.ref('PRR0'), 5, 'PRRI'),
      aml.when(aml.less(route, disabled), aml.store(route, aml.ref('PRRI'))),
      aml.returns(aml.ref('PRR0')),
    ),
    aml.method('_SRS', { args: 1 }, aml.dwordField(aml.arg(0), 5, 'PRRI'), aml.store(aml.ref('PRRI'), route)),
  );
}

function isaBridge(options: PcDsdtOptions): Term {
  return aml.device(
    'ISA',
    aml.name('_ADR', aml.integer(map.PCI_SLOT_ISA * 0x10000)),
    aml.operationRegion('PCFG', aml.SPACE_PCI_CONFIG, PIRQ_REGISTERS, 4),
    aml.byteFields('PCFG', [
      ['PRQA', 8],
      ['PRQB', 8],
      ['PRQC', 8],
      ['PRQD', 8],
    ]),
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
    ...options.serialPorts.map((index) => serialPort(index)),
  );
}

function isaDevice(path: string, id: string, ...descriptors: readonly Term[]): Term {
  return aml.device(
    path,
    aml.name('_HID', aml.eisaId(id)),
    aml.name('_STA', aml.integer(0x0f)),
    aml.name('_CRS', aml.resources(...descriptors)),
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

/** Ports that no device driver owns but PCI resources must keep clear of. */
function systemResources(): Term {
  return aml.device(
    'SYSR',
    aml.name('_HID', aml.eisaId('PNP0C02')),
    aml.name('_UID', aml.integer(1)),
    aml.name(
      '_CRS',
      aml.resources(
        aml.ioPorts(map.PORT_SYSTEM_CONTROL_B, 1),
        aml.ioPorts(map.PORT_SYSTEM_CONTROL_A, 1),
        aml.ioPorts(map.PORT_SMI_COMMAND, 2),
        aml.ioPorts(map.PORT_PIC_ELCR, 2),
        aml.ioPorts(map.PORT_PM, 0x40),
        aml.ioPorts(map.PORT_GPE0, map.GPE0_LENGTH),
      ),
    ),
  );
}

function hpetDevice(): Term {
  return aml.device(
    'HPET',
    aml.name('_HID', aml.eisaId('PNP0103')),
    aml.name('_UID', aml.integer(0)),
    aml.name('_STA', aml.integer(0x0f)),
    aml.name('_CRS', aml.resources(aml.memory32Fixed(map.HPET_BASE, map.HPET_SIZE, false))),
  );
}
