/** What distinguishes the boards of a PC: host bridge, south bridge and what they bring. `pc.ts` and `q35.ts` have one each. */
import type { AddressSpace } from '../core/address-space.ts';
import type { PowerControl } from '../core/reset.ts';
import type { TimerService } from '../core/timer.ts';
import type { AcpiPm } from '../hw/acpi/acpi-pm.ts';
import type { PciBus } from '../hw/pci/pci-bus.ts';
import type { AcpiPlatform } from './acpi/platform.ts';
import type { DeviceSlots } from './device-slots.ts';
import type { DeviceSpec } from './device-spec.ts';
import type { PcInterrupts } from './pc-interrupts.ts';
import type { BoardKind, PcMemory } from './pc-memory.ts';
import type { BoardIde } from './pc-storage.ts';

/** What a chipset is wired to. */
export interface ChipsetParts {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  /** RAM and ROM, whose windows the host bridge governs. */
  readonly ram: PcMemory;
  readonly irqs: PcInterrupts;
  readonly slots: DeviceSlots;
  readonly timers: TimerService;
  readonly power: PowerControl;
  /** The processors have system management mode. */
  readonly smm: boolean;
  /** Sends a system management interrupt; does nothing without that mode. */
  readonly raiseSmi: () => void;
}

export interface Chipset {
  readonly kind: BoardKind;
  /** As SMBIOS shows the machine. */
  readonly product: string;
  readonly version: string;
  readonly pci: PciBus;
  readonly pciBusName: string;
  readonly acpiPm: AcpiPm;
  readonly ide: BoardIde;
  /** A floppy controller is there without drives, too. */
  readonly hasFloppy: boolean;
  readonly vgaSlot: number;
  /** What `-usb` adds. */
  readonly usbControllers: readonly DeviceSpec[];
  /** What the ACPI tables say of it. */
  readonly acpi: AcpiPlatform;
  /** Without firmware: what firmware would have set up. */
  standInForFirmware(): void;
}

/** A controller of the chipset's own, at its slot and function. */
export function boardController(
  driver: string,
  slot: number,
  fn: number,
  properties: DeviceSpec['properties'] = {},
): DeviceSpec {
  return {
    driver,
    id: undefined,
    bus: undefined,
    properties: { ...properties, addr: (slot << 3) | fn },
    what: '-usb',
  };
}
