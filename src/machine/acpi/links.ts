/** Interrupt routing of PCI in the DSDT: link devices over the route registers of the south bridge, and the table of slots. */
import * as map from '../pc-map.ts';
import { q35Pirq } from '../q35-map.ts';
import type { Term } from './aml.ts';
import * as aml from './aml.ts';
import type { AcpiPlatform } from './platform.ts';

const PCI_SLOTS = 32;
/** Route registers (82371SB 2.2.6; ICH9 13.1.17, 13.1.19): bit 7 = not routed, bits 3…0 = ISA interrupt. */
const PIRQ_A = 0x60;

const LETTERS = 'ABCDEFGH';

/** Number of the PIRQ, from 0 for A, that pin 0…3 of a slot is wired to. */
function pirqOf({ kind }: AcpiPlatform, slot: number, pin: number): number {
  return kind === 'q35' ? q35Pirq(slot, pin) : (slot + pin + 3) & 3;
}

/** _PRT (6.2.13). With I/O APIC the PIRQs of the ICH9 have inputs of their own, 16 and up; those of the PIIX3 share the ISA's. */
export function interruptRouting(platform: AcpiPlatform): Term {
  const links = routingTable(platform, (pirq) => [aml.ref(`LNK${LETTERS[pirq]}`), aml.integer(0)]);
  if (platform.kind === 'pc') return aml.name('_PRT', links);
  const inputs = routingTable(platform, (pirq) => [aml.integer(0), aml.integer(map.GSI_PIRQ_A + pirq)]);
  return [
    ...aml.name('PRTP', links),
    ...aml.name('PRTA', inputs),
    ...aml.method(
      '_PRT',
      {},
      aml.when(aml.ref('\\PICF'), aml.returns(aml.ref('PRTA'))),
      aml.returns(aml.ref('PRTP')),
    ),
  ];
}

function routingTable(platform: AcpiPlatform, route: (pirq: number) => readonly [Term, Term]): Term {
  const entries: Term[] = [];
  for (let slot = 0; slot < PCI_SLOTS; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const address = aml.integer(slot * 0x10000 + 0xffff);
      entries.push(aml.pack(address, aml.integer(pin), ...route(pirqOf(platform, slot, pin))));
    }
  }
  return aml.pack(...entries);
}

/** The south bridge with its route registers and `isa` devices, and the link devices. */
export function routerDevice(platform: AcpiPlatform, isa: readonly Term[]): Term {
  const isQ35 = platform.kind === 'q35';
  const field = (n: number): readonly [string, number] => [`PRQ${LETTERS[n]}`, 8];
  const registers = isQ35
    ? [field(0), field(1), field(2), field(3), ['', 32] as const, field(4), field(5), field(6), field(7)]
    : [field(0), field(1), field(2), field(3)];
  const address = isQ35 ? 0x1f_0000 : map.PCI_SLOT_ISA * 0x10000;
  const links = Array.from({ length: isQ35 ? 8 : 4 }, (_, n) => linkDevice(n));
  return [
    ...aml.device(
      'ISA',
      aml.name('_ADR', aml.integer(address)),
      aml.operationRegion('PCFG', aml.SPACE_PCI_CONFIG, PIRQ_A, isQ35 ? 12 : 4),
      aml.byteFields('PCFG', registers),
      ...isa,
    ),
    ...links.flat(),
  ];
}

/** A PCI interrupt link device (PNP0C0F) over one PIRQ route register. */
function linkDevice(n: number): Term {
  const route = aml.ref(`\\_SB.PCI0.ISA.PRQ${LETTERS[n]}`);
  const disabled = aml.integer(0x80);
  return aml.device(
    `LNK${LETTERS[n]}`,
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
