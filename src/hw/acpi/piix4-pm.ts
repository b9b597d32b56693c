/**
 * Power-management function of the 82371AB (PIIX4, order 290562, chapter 7), function 3 of the ISA bridge, with the APM
 * ports 0xb2 and 0xb3 and the reset control register 0xcf9 of the PIIX3 (order 290550, 2.5.4).
 */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MemoryRegion, MmioDevice } from '../../core/memory-region.ts';
import type { PowerControl } from '../../core/reset.ts';
import { defineState, stateful, u8 } from '../../core/vmstate.ts';
import { PciFunction } from '../pci/pci-device.ts';
import { ACPI_DISABLE, ACPI_ENABLE, type AcpiPm } from './acpi-pm.ts';

const PM_BASE = 0x40;
const PM_REG_MISC = 0x80;
/** Device activity B (7.1.13); bit 25: a write to port 0xb2 raises an SMI. */
const DEVACTB = 0x58;
const DEVACTB_APMC_EN = 1 << 25;

/**
 * Creates the PCI function. It places `pmRegion` (64 ports) in `io` where PMBASE says while PMREGMISC bit 0 allows; the
 * board's firmware programs both. `smm`: the processors have system management mode.
 */
export function createPiix4Pm(io: MemoryRegion, pmRegion: MemoryRegion, smm = false): PciFunction {
  const pci = new PciFunction({
    vendorId: 0x8086,
    deviceId: 0x7113,
    classCode: 0x068000,
    revision: 3,
    interruptPin: 1,
  });
  pci.set(PM_BASE, 4, 1);
  pci.allow(PM_BASE, 4, 0xffc0);
  pci.allow(PM_REG_MISC, 1, 1);
  pci.allow(DEVACTB, 4, 0xffffffff);
  // Without system management mode: as if firmware had set it up already, so that it does not try.
  if (!smm) pci.set(DEVACTB, 4, DEVACTB_APMC_EN);
  pci.set(0x90, 4, 1);
  pci.allow(0x90, 4, 0xfff0);
  pci.allow(0xd2, 1, 0x0f);
  let mappedAt = -1;
  const map = (): void => {
    const addr = piix4PmBase(pci);
    if (addr === mappedAt) return;
    if (addr < 0) io.remove(pmRegion);
    else if (mappedAt < 0) io.add(addr, pmRegion);
    else io.move(pmRegion, addr);
    mappedAt = addr;
  };
  pci.onConfigWritten = map;
  pci.onReset = map;
  return pci;
}

/** Where the PM block lies; −1: nowhere. */
export function piix4PmBase(pci: PciFunction): number {
  const enabled = (pci.config[PM_REG_MISC]! & 1) !== 0;
  const base = (pci.config[PM_BASE]! & 0xc0) | (pci.config[PM_BASE + 1]! << 8);
  return enabled && base !== 0 ? base : -1;
}

/** Whether a write to port 0xb2 raises an SMI. */
export function piix4ApmRaisesSmi(pci: PciFunction): boolean {
  return (pci.readConfig(DEVACTB, 4) & DEVACTB_APMC_EN) !== 0;
}

/** What firmware does after each reset on a board without firmware: the PM block at `base`, enabled. */
export function programPiix4Pm(pci: PciFunction, base: number): void {
  pci.writeConfig(PM_BASE, 4, base | 1);
  pci.writeConfig(PM_REG_MISC, 1, 1);
}

/** Values of SMI_CMD that switch ACPI mode on and off. */
export interface AcpiCommands {
  readonly enable: number;
  readonly disable: number;
}

const PIIX4_COMMANDS: AcpiCommands = { enable: ACPI_ENABLE, disable: ACPI_DISABLE };

const apmSchema = defineState('piix4-apm', 1, { command: u8(), status: u8() });

/**
 * APM control and status, ports 0xb2 and 0xb3: the SMI command port. The device itself switches ACPI mode, so that it works without
 * firmware; `raiseSmi` is called for every command.
 */
export class ApmPorts implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = apmSchema.create();
  readonly #acpi: AcpiPm;
  readonly #raiseSmi: () => void;

  readonly #values: AcpiCommands;

  constructor(acpi: AcpiPm, raiseSmi: () => void = () => {}, values: AcpiCommands = PIIX4_COMMANDS) {
    this.#acpi = acpi;
    this.#values = values;
    this.#raiseSmi = raiseSmi;
    this.vmstate = stateful(apmSchema, this.#s);
  }

  reset(): void {
    apmSchema.reset(this.#s);
  }

  read(offset: number, _size: AccessSize): number {
    return offset === 0 ? this.#s.command : this.#s.status;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset !== 0) {
      this.#s.status = value & 0xff;
      return;
    }
    this.#s.command = value & 0xff;
    if (value === this.#values.enable) this.#acpi.setAcpiMode(true);
    else if (value === this.#values.disable) this.#acpi.setAcpiMode(false);
    this.#raiseSmi();
  }
}

const resetSchema = defineState('piix3-reset', 1, { control: u8() });
const RESET_CPU = 4;

/** Reset control register, port 0xcf9: a rising bit 2 resets. */
export class ResetControl implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = resetSchema.create();
  readonly #power: PowerControl;

  constructor(power: PowerControl) {
    this.#power = power;
    this.vmstate = stateful(resetSchema, this.#s);
  }

  reset(): void {
    this.#s.control = 0;
  }

  read(_offset: number, _size: AccessSize): number {
    return this.#s.control;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const rose = (value & ~this.#s.control & RESET_CPU) !== 0;
    this.#s.control = value & 0x06;
    if (rose) this.#power.requestReset('guest-reset');
  }
}
