/** The DSDT of a PC board: PCI root bridge, interrupt links, ISA devices, hot plug, sleep states. */
import * as map from '../pc-map.ts';
import type { Term } from './aml.ts';
import * as aml from './aml.ts';
import { hotplugEvent, hotplugRegisters, hotplugSlots, slotName } from './hotplug.ts';
import { isaDevices } from './isa.ts';
import { interruptRouting, routerDevice } from './links.ts';
import type { DsdtOptions, HotplugBus } from './platform.ts';

/** SLP_TYPa and SLP_TYPb of S3, S4, S5: QEMU's values for both chipsets (82371AB 7.2.2 has the first and the last). */
const SLEEP_TYPES = { S3: 1, S4: 2, S5: 0 } as const;

export function dsdt(options: DsdtOptions): Term {
  return [
    ...interruptModel(),
    ...aml.scope(
      '\\_SB',
      pciRoot(options),
      ...(options.hpet ? [hpetDevice()] : []),
      ...(options.platform.ecam === undefined ? [] : [ecamReservation(options.platform.ecam)]),
    ),
    ...hotplugEvent(options),
    ...(options.s3 ? sleepState('S3') : []),
    ...(options.s4 ? sleepState('S4') : []),
    ...sleepState('S5'),
  ];
}

/** ACPI 7.4.2. */
function sleepState(state: keyof typeof SLEEP_TYPES): Term {
  const type = aml.integer(SLEEP_TYPES[state]);
  return aml.name(`\\_${state}`, aml.pack(type, type, aml.integer(0), aml.integer(0)));
}

/** _PIC (5.8.1): which of the interrupt models the guest uses; `\PICF` keeps it for the routing table. */
function interruptModel(): Term {
  return [
    ...aml.name('\\PICF', aml.integer(0)),
    ...aml.method('\\_PIC', { args: 1 }, aml.store(aml.arg(0), aml.ref('\\PICF'))),
  ];
}

function pciRoot(options: DsdtOptions): Term {
  const isExpress = options.platform.ecam !== undefined;
  const root = options.hotplugBuses.find((bus) => bus.bridge === undefined);
  const bridges = options.hotplugBuses.filter((bus) => bus.bridge !== undefined);
  return aml.device(
    'PCI0',
    aml.name('_HID', aml.eisaId(isExpress ? 'PNP0A08' : 'PNP0A03')),
    ...(isExpress ? [aml.name('_CID', aml.eisaId('PNP0A03')), operatingSystemCapabilities()] : []),
    aml.name('_UID', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_CRS', rootResources(options)),
    interruptRouting(options.platform),
    routerDevice(options.platform, isaDevices(options)),
    hotplugRegisters(options),
    ...(root === undefined ? [] : [hotplugSlots(root)]),
    ...bridges.map(bridgeDevice),
    systemResources(options),
  );
}

function bridgeDevice(bus: HotplugBus): Term {
  const devfn = bus.bridge!;
  return aml.device(
    slotName(devfn >> 3, devfn & 7),
    aml.name('_ADR', aml.integer((devfn >> 3) * 0x10000 + (devfn & 7))),
    hotplugSlots(bus),
  );
}

/**
 * _OSC (PCI Firmware Specification 3.0, 4.5): native PME, error reporting and capability control are the guest's; hot plug stays
 * with these tables, and SHPC is not there.
 */
function operatingSystemCapabilities(): Term {
  const [status, support, control] = [aml.ref('OSCS'), aml.ref('OSCP'), aml.ref('OSCC')];
  return aml.method(
    '_OSC',
    { args: 4, serialized: true },
    aml.dwordField(aml.arg(3), 0, 'OSCS'),
    aml.when(
      aml.equal(aml.arg(0), aml.uuid('33db4d5b-1ff7-401c-9657-7441c03dd766')),
      aml.dwordField(aml.arg(3), 4, 'OSCP'),
      aml.dwordField(aml.arg(3), 8, 'OSCC'),
      aml.store(support, aml.local(1)),
      aml.and(control, aml.integer(0x1c), aml.local(0)),
      aml.when(aml.isNot(aml.equal(aml.arg(1), aml.integer(1))), aml.or(status, aml.integer(8), status)),
      aml.when(aml.isNot(aml.equal(control, aml.local(0))), aml.or(status, aml.integer(0x10), status)),
      aml.store(aml.local(0), control),
      aml.returns(aml.arg(3)),
    ),
    aml.or(status, aml.integer(4), status),
    aml.returns(aml.arg(3)),
  );
}

function rootResources({ lowRamEnd, highWindow, platform }: DsdtOptions): Term {
  const { ecam } = platform;
  const low =
    ecam === undefined || ecam.address < lowRamEnd
      ? [aml.memoryWindow(lowRamEnd, map.PCI_WINDOW_END - 1)]
      : [
          ...(lowRamEnd < ecam.address ? [aml.memoryWindow(lowRamEnd, ecam.address - 1)] : []),
          aml.memoryWindow(ecam.address + ecam.size, map.PCI_WINDOW_END - 1),
        ];
  return aml.resources(
    aml.busNumbers(0, ecam?.lastBus ?? 0xff),
    aml.ioPorts(map.PORT_PCI_ADDRESS, 8),
    aml.ioWindow(0, map.PORT_PCI_ADDRESS - 1),
    aml.ioWindow(0xd00, 0xffff),
    aml.memoryWindow(map.VGA_BASE, map.VGA_BASE + map.VGA_SIZE - 1, true),
    ...low,
    aml.memoryWindow(highWindow.first, highWindow.last),
  );
}

/** Ports that no device driver owns but PCI resources must keep clear of. */
function systemResources({ platform }: DsdtOptions): Term {
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
        aml.ioPorts(platform.pmPort, platform.kind === 'q35' ? 0x80 : 0x40),
        ...(platform.kind === 'pc' ? [aml.ioPorts(platform.gpe0Port, platform.gpe0Length)] : []),
        aml.ioPorts(platform.hotplugPort, 0x18),
      ),
    ),
  );
}

/** Memory-mapped configuration space must be a reserved resource (PCI Firmware Specification 3.0, 4.1.2). */
function ecamReservation({ address, size }: { readonly address: number; readonly size: number }): Term {
  return aml.device(
    'DRAC',
    aml.name('_HID', aml.eisaId('PNP0C01')),
    aml.name('_CRS', aml.resources(aml.memory32Fixed(address, size, false))),
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
