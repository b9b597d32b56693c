/** Hot plug of PCI devices in the DSDT: a device for each slot, its ejection, and the event that tells of changes. */
import type { Term } from './aml.ts';
import * as aml from './aml.ts';
import type { DsdtOptions, HotplugBus } from './platform.ts';

/** Notification values (ACPI 5.6.6): look again; eject. */
const NOTIFY_DEVICE_CHECK = 1;
const NOTIFY_EJECT_REQUEST = 3;

const REGISTERS = 0x14;

export const slotName = (slot: number, functionNumber = 0): string =>
  `S${((slot << 3) | functionNumber).toString(16).toUpperCase().padStart(2, '0')}`;

/** The registers and what uses them, within `\_SB.PCI0`. */
export function hotplugRegisters({ platform }: DsdtOptions): Term {
  return [
    ...aml.operationRegion('HPRG', aml.SPACE_IO, platform.hotplugPort, REGISTERS),
    ...aml.dwordFields('HPRG', [
      ['HPUP', 32],
      ['HPDN', 32],
      ['HPEJ', 32],
      ['HPRM', 32],
      ['HPBS', 32],
    ]),
    ...aml.mutex('HPLK'),
    // Lets the slots of mask Arg1 on bus Arg0 go.
    ...aml.method(
      'HPGO',
      { args: 2 },
      aml.acquire('HPLK'),
      aml.store(aml.arg(0), aml.ref('HPBS')),
      aml.store(aml.arg(1), aml.ref('HPEJ')),
      aml.release('HPLK'),
    ),
  ];
}

/** Devices for the slots of a bus, and `HPEV` (Arg0: mask of slots, Arg1: notification), within the bus' own scope. */
export function hotplugSlots(bus: HotplugBus): Term {
  const devices = bus.slots.map((slot) =>
    aml.device(
      slotName(slot),
      aml.name('_ADR', aml.integer(slot * 0x10000)),
      aml.name('_SUN', aml.integer(slot)),
      aml.method('_EJ0', { args: 1 }, aml.call('HPGO', aml.integer(bus.selector), maskOf(slot))),
    ),
  );
  const notes = bus.slots.map((slot) =>
    aml.when(aml.and(aml.arg(0), maskOf(slot)), aml.notify(slotName(slot), aml.arg(1))),
  );
  return [...devices.flat(), ...aml.method('HPEV', { args: 2 }, ...notes)];
}

const maskOf = (slot: number): Term => aml.integer((1 << slot) >>> 0);

/** The event: every bus is asked what came and what is to go. */
export function hotplugEvent({ platform, hotplugBuses }: DsdtOptions): Term {
  const scan = hotplugBuses.flatMap((bus) => [
    aml.store(aml.integer(bus.selector), aml.ref('\\_SB.PCI0.HPBS')),
    aml.call(eventPath(bus), aml.ref('\\_SB.PCI0.HPUP'), aml.integer(NOTIFY_DEVICE_CHECK)),
    aml.call(eventPath(bus), aml.ref('\\_SB.PCI0.HPDN'), aml.integer(NOTIFY_EJECT_REQUEST)),
  ]);
  const number = platform.hotplugGpe.toString(16).toUpperCase().padStart(2, '0');
  return aml.scope(
    '\\_GPE',
    aml.method(`_E${number}`, {}, aml.acquire('\\_SB.PCI0.HPLK'), ...scan, aml.release('\\_SB.PCI0.HPLK')),
  );
}

function eventPath({ bridge }: HotplugBus): string {
  const within = bridge === undefined ? '' : `.${slotName(bridge >> 3, bridge & 7)}`;
  return `\\_SB.PCI0${within}.HPEV`;
}
