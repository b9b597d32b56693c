/** The board `pc`: i440FX, PIIX3 and the power management of the PIIX4. */
import { MemoryRegion } from '../core/memory-region.ts';
import { ACPI_PM_MMIO, ACPI_PM_SIZE, AcpiPm, GPE0_SIZE } from '../hw/acpi/acpi-pm.ts';
import {
  ApmPorts,
  createPiix4Pm,
  piix4ApmRaisesSmi,
  piix4PmBase,
  programPiix4Pm,
  ResetControl,
} from '../hw/acpi/piix4-pm.ts';
import { PiixIde } from '../hw/ide/piix-ide.ts';
import { assignBars } from '../hw/pci/assign-bars.ts';
import { PciBus } from '../hw/pci/pci-bus.ts';
import type { PciFunction } from '../hw/pci/pci-device.ts';
import { createI440fx, PCI_ADDRESS_MMIO, PciConfigPorts, Piix3, smramOf } from '../hw/pci/pci-host.ts';
import type { AcpiPlatform } from './acpi/platform.ts';
import { boardController, type Chipset, type ChipsetParts } from './chipset.ts';
import { BYTE_WIDE } from './device-slots.ts';
import * as map from './pc-map.ts';
import type { BoardIde } from './pc-storage.ts';

/** PAM registers of the i440FX: all of the BIOS area is RAM, as firmware leaves it. */
const PAM = 0x59;
const PAM_COUNT = 7;
const PAM_ALL_RAM = 0x33;
const PIRQ_ROUTE = 0x60;
/** PIIX3 routes as firmware sets them: PIRQA…D to 10, 10, 11, 11. */
const PIRQ_ROUTES = [10, 10, 11, 11];
/** The PIIX4's values of SMI_CMD that switch ACPI mode. */
const ACPI_ENABLE = 0xf1;
const ACPI_DISABLE = 0xf0;

const ACPI: AcpiPlatform = {
  kind: 'pc',
  pmPort: map.PORT_PM,
  gpe0Port: map.PORT_GPE0,
  gpe0Length: map.GPE0_LENGTH,
  acpiEnable: ACPI_ENABLE,
  acpiDisable: ACPI_DISABLE,
  hotplugPort: map.PORT_PCI_HOTPLUG,
  hotplugGpe: map.GPE_PCI_HOTPLUG,
};

export class I440fxChipset implements Chipset {
  readonly kind = 'pc';
  readonly product = 'Standard PC (i440FX + PIIX, 1996)';
  readonly version = 'pc-i440fx-7.2';
  readonly pciBusName = 'pci.0';
  readonly hasFloppy = true;
  readonly vgaSlot = map.PCI_SLOT_VGA;
  readonly usbControllers = [boardController('piix3-usb-uhci', map.PCI_SLOT_ISA, map.PCI_FUNCTION_USB)];
  readonly pci: PciBus;
  readonly acpiPm: AcpiPm;
  readonly ide: BoardIde;
  readonly #parts: ChipsetParts;
  readonly #i440fx: PciFunction;
  readonly #piix3: Piix3;
  readonly #pmFunction: PciFunction;

  constructor(parts: ChipsetParts) {
    this.#parts = parts;
    const { slots, irqs, io, memory, power, timers } = parts;
    this.#piix3 = slots.add('piix3', new Piix3(Array.from({ length: 16 }, (_, n) => irqs.isaLine(n))));
    this.pci = new PciBus(memory.root, io.root, this.#piix3.route);
    this.#i440fx = slots.add(
      'i440fx',
      createI440fx(
        (segments) => parts.ram.setShadow(segments),
        () => parts.ram.setSmram(smramOf(this.#i440fx)),
      ),
    );
    this.pci.add(map.PCI_SLOT_HOST, 0, this.#i440fx);
    this.pci.add(map.PCI_SLOT_ISA, 0, this.#piix3.pci);
    const configPorts = slots.add('pci-config', new PciConfigPorts(this.pci));
    slots.mapPorts('pci-address', map.PORT_PCI_ADDRESS, 4, configPorts.address, PCI_ADDRESS_MMIO);
    slots.mapPorts('pci-data', map.PORT_PCI_DATA, 4, configPorts.data);
    this.ide = this.#addIde();
    this.acpiPm = slots.add('acpi-pm', new AcpiPm(irqs.isaLine(map.IRQ_SCI), power, timers));
    this.#pmFunction = this.#addPowerManagement();
  }

  get acpi(): AcpiPlatform {
    const base = piix4PmBase(this.#pmFunction);
    return base < 0 ? ACPI : { ...ACPI, pmPort: base };
  }

  #addIde(): BoardIde {
    const { slots, irqs, io, memory } = this.#parts;
    const ide = new PiixIde(
      memory,
      io.root,
      map.IDE_CHANNELS.map(({ command, control, irq }) => ({
        commandPort: command,
        controlPort: control,
        irq: irqs.isaLine(irq),
      })),
    );
    for (const [name, device] of ide.devices) slots.add(name, device);
    slots.add('piix3-ide', ide.pci);
    this.pci.add(map.PCI_SLOT_ISA, map.PCI_FUNCTION_IDE, ide.pci);
    return {
      buses: ide.channels,
      bootPath: (bus, unit) => `/pci@i0cf8/ide@1,1/drive@${bus}/disk@${unit}`,
    };
  }

  #addPowerManagement(): PciFunction {
    const { slots, io, power, smm, raiseSmi } = this.#parts;
    const region = MemoryRegion.mmio('acpi-pm', ACPI_PM_SIZE, this.acpiPm.pm, ACPI_PM_MMIO);
    const pci = slots.add('piix4-pm', createPiix4Pm(io.root, region, smm));
    this.pci.add(map.PCI_SLOT_ISA, map.PCI_FUNCTION_PM, pci);
    slots.mapPorts('gpe0', map.PORT_GPE0, GPE0_SIZE, this.acpiPm.gpe0);
    const apm = slots.add(
      'apm',
      new ApmPorts(this.acpiPm, () => {
        if (piix4ApmRaisesSmi(pci)) raiseSmi();
      }),
    );
    slots.mapPorts('apm', map.PORT_SMI_COMMAND, 2, apm, BYTE_WIDE);
    const resetControl = slots.add('reset-control', new ResetControl(power));
    slots.mapPorts('reset-control', map.PORT_RESET_CONTROL, 1, resetControl, BYTE_WIDE, 1);
    return pci;
  }

  standInForFirmware(): void {
    const { io } = this.#parts;
    for (let i = 0; i < PAM_COUNT; i++) this.#i440fx.writeConfig(PAM + i, 1, PAM_ALL_RAM);
    programPiix4Pm(this.#pmFunction, map.PORT_PM);
    this.#pmFunction.writeConfig(0x3c, 1, map.IRQ_SCI);
    assignBars(
      this.pci,
      { start: map.LOW_RAM_LIMIT, end: map.PCI_WINDOW_END },
      { start: map.PCI_PORTS, end: 0x1_0000 },
    );
    PIRQ_ROUTES.forEach((irq, n) => this.#piix3.pci.writeConfig(PIRQ_ROUTE + n, 1, irq));
    for (const irq of [...map.PCI_IRQS, map.IRQ_SCI]) {
      const port = map.PORT_PIC_ELCR + (irq >> 3);
      io.write(port, 1, io.read(port, 1) | (1 << (irq & 7)));
    }
  }
}
