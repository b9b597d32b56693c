/** The board `q35`: MCH and ICH9 with PCI Express configuration space, AHCI and SMBus. */
import type { MsiSink } from '../core/cpu-ports.ts';
import { IrqLine } from '../core/irq.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import { ACPI_PM_MMIO, AcpiPm } from '../hw/acpi/acpi-pm.ts';
import { Ich9Smi, SMI_EN_APMC, SMI_EN_TCO, SMI_PORTS } from '../hw/acpi/ich9-smi.ts';
import { ApmPorts, ResetControl } from '../hw/acpi/piix4-pm.ts';
import { Ahci } from '../hw/ide/ahci.ts';
import { Ich9Smbus } from '../hw/misc/ich9-smbus.ts';
import { assignBars } from '../hw/pci/assign-bars.ts';
import { Ich9Lpc, programIch9, ROOT_COMPLEX_BYTES } from '../hw/pci/ich9-lpc.ts';
import { ECAM_MMIO, EcamWindow, PciBus } from '../hw/pci/pci-bus.ts';
import type { PciFunction } from '../hw/pci/pci-device.ts';
import { PCI_ADDRESS_MMIO, PciConfigPorts } from '../hw/pci/pci-host.ts';
import { createMch, programMch } from '../hw/pci/q35-mch.ts';
import { Ich9Tco, TCO_PORTS } from '../hw/watchdog/ich9-tco.ts';
import type { AcpiPlatform } from './acpi/platform.ts';
import { boardController, type Chipset, type ChipsetParts } from './chipset.ts';
import { BYTE_WIDE } from './device-slots.ts';
import * as map from './pc-map.ts';
import type { BoardIde } from './pc-storage.ts';
import * as q35 from './q35-map.ts';

/** The ICH9's values of SMI_CMD that switch ACPI mode, as QEMU's board has them. */
const ACPI_ENABLE = 2;
const ACPI_DISABLE = 3;
const PM_PORTS = 128;
const PM_FIXED_PORTS = 16;
const SMI_AT = 0x30;
const TCO_AT = 0x60;
const GPE0_AT = q35.PORT_GPE0 - q35.PORT_PM;
const GPE_PCI_HOTPLUG = 1;
/** As firmware routes PIRQA…H. */
const PIRQ_ROUTES = [10, 10, 11, 11, 10, 10, 11, 11];

const ACPI: AcpiPlatform = {
  kind: 'q35',
  pmPort: q35.PORT_PM,
  gpe0Port: q35.PORT_GPE0,
  gpe0Length: q35.GPE0_LENGTH,
  acpiEnable: ACPI_ENABLE,
  acpiDisable: ACPI_DISABLE,
  hotplugPort: q35.PORT_PCI_HOTPLUG,
  hotplugGpe: GPE_PCI_HOTPLUG,
  ecam: { address: q35.ECAM_BASE, size: q35.ECAM_SIZE, lastBus: q35.ECAM_LAST_BUS },
};

export class Q35Chipset implements Chipset {
  readonly kind = 'q35';
  readonly product = 'Standard PC (Q35 + ICH9, 2009)';
  readonly version = 'pc-q35-7.2';
  readonly pciBusName = 'pcie.0';
  readonly hasFloppy = false;
  readonly vgaSlot = q35.SLOT_VGA;
  readonly usbControllers = [0, 1, 2].map((n) =>
    boardController(`ich9-usb-uhci${n + 1}`, q35.SLOT_USB, n, { multifunction: n === 0 }),
  );
  readonly pci: PciBus;
  readonly acpiPm: AcpiPm;
  readonly ide: BoardIde;
  readonly #parts: ChipsetParts;
  readonly #mch: PciFunction;
  readonly #ich9: Ich9Lpc;
  readonly #smi: Ich9Smi;
  #sci: IrqLine;

  constructor(parts: ChipsetParts) {
    this.#parts = parts;
    const { slots, irqs, io, memory, power, timers } = parts;
    this.#sci = irqs.isaLine(map.IRQ_SCI);
    const sci = new IrqLine((_, level) => this.#sci.set(level));
    this.acpiPm = slots.add('acpi-pm', new AcpiPm(sci, power, timers, q35.GPE0_LENGTH));
    this.#smi = slots.add('ich9-smi', new Ich9Smi(() => parts.raiseSmi()));
    this.#ich9 = this.#createIch9();
    this.pci = new PciBus(memory.root, io.root, this.#ich9.route);
    this.#mch = slots.add('mch', this.#createMch());
    this.pci.add(q35.SLOT_HOST, 0, this.#mch);
    this.pci.add(q35.SLOT_ICH9, q35.FUNCTION_LPC, this.#ich9.pci);
    const configPorts = slots.add('pci-config', new PciConfigPorts(this.pci));
    slots.mapPorts('pci-address', map.PORT_PCI_ADDRESS, 4, configPorts.address, PCI_ADDRESS_MMIO);
    slots.mapPorts('pci-data', map.PORT_PCI_DATA, 4, configPorts.data);
    this.ide = this.#addAhci(irqs.apicBus);
    this.#addSmbus();
    const apm = new ApmPorts(this.acpiPm, () => this.#smi.request(SMI_EN_APMC), {
      enable: ACPI_ENABLE,
      disable: ACPI_DISABLE,
    });
    slots.mapPorts('apm', map.PORT_SMI_COMMAND, 2, slots.add('apm', apm), BYTE_WIDE);
    const resetControl = slots.add('reset-control', new ResetControl(power));
    slots.mapPorts('reset-control', map.PORT_RESET_CONTROL, 1, resetControl, BYTE_WIDE, 1);
  }

  #createIch9(): Ich9Lpc {
    const { slots, irqs, io, memory } = this.#parts;
    const pm = this.#createPmBlock();
    const rootComplex = MemoryRegion.mmio('ich9-root-complex', ROOT_COMPLEX_BYTES, {
      read: (offset, size) => ich9.rootComplex.read(offset, size),
      write: (offset, size, value) => ich9.rootComplex.write(offset, size, value),
    });
    const ich9: Ich9Lpc = new Ich9Lpc({
      isaIrqs: Array.from({ length: 16 }, (_, n) => irqs.isaLine(n)),
      gsis: Array.from({ length: 8 }, (_, n) => irqs.gsiLine(map.GSI_PIRQ_A + n)),
      onPmBase: placer(io.root, pm),
      onRootComplexBase: placer(memory.root, rootComplex),
      onSciRoute: (gsi) => this.#routeSci(gsi),
    });
    return slots.add('ich9-lpc', ich9);
  }

  get acpi(): AcpiPlatform {
    const base = this.#ich9.pmBase;
    return base < 0 ? ACPI : { ...ACPI, pmPort: base, gpe0Port: base + GPE0_AT };
  }

  #routedSci = map.IRQ_SCI;

  #routeSci(gsi: number): void {
    if (gsi === this.#routedSci) return;
    this.#routedSci = gsi;
    this.#sci.lower();
    this.#sci = this.#parts.irqs.gsiLine(gsi);
    this.acpiPm.driveSci();
  }

  /** The 128 ports at PMBASE. */
  #createPmBlock(): MemoryRegion {
    const { slots, timers, power } = this.#parts;
    const block = MemoryRegion.container('ich9-pm', PM_PORTS);
    block.add(0, MemoryRegion.mmio('acpi-pm', PM_FIXED_PORTS, this.acpiPm.pm, ACPI_PM_MMIO));
    block.add(GPE0_AT, MemoryRegion.mmio('gpe0', q35.GPE0_LENGTH, this.acpiPm.gpe0));
    block.add(SMI_AT, MemoryRegion.mmio('ich9-smi', SMI_PORTS, this.#smi));
    const tco = slots.add(
      'ich9-tco',
      new Ich9Tco({
        timers,
        requestSmi: () => this.#smi.request(SMI_EN_TCO),
        onExpired: () => power.requestReset('guest-reset'),
        isRebootAllowed: () => this.#ich9.isRebootAllowed,
      }),
    );
    block.add(TCO_AT, MemoryRegion.mmio('ich9-tco', TCO_PORTS, tco, { impl: { min: 1, max: 2 } }));
    return block;
  }

  #createMch(): PciFunction {
    const { memory, ram } = this.#parts;
    const ecam = new EcamWindow(this.pci);
    let window: MemoryRegion | undefined;
    return createMch({
      onShadowChanged: (segments) => ram.setShadow(segments),
      onSmramChanged: (state) => ram.setSmram(state),
      onEcamChanged: (place) => {
        if (window !== undefined) memory.root.remove(window);
        window = undefined;
        if (place === undefined) return;
        window = MemoryRegion.mmio('pcie-ecam', place.size, ecam, ECAM_MMIO);
        memory.root.add(place.address, window, 0);
      },
    });
  }

  #addAhci(msi: MsiSink): BoardIde {
    const { slots, memory } = this.#parts;
    const ahci = slots.add('ich9-ahci', new Ahci(memory, msi));
    ahci.pci.set(0x0e, 1, 0x80);
    this.pci.add(q35.SLOT_ICH9, q35.FUNCTION_SATA, ahci.pci);
    return {
      buses: ahci.ports,
      bootPath: (bus) => `/pci@i0cf8/pci8086,2922@1f,2/drive@${bus}/disk@0`,
    };
  }

  #addSmbus(): void {
    const { slots } = this.#parts;
    const smbus = slots.add('ich9-smbus', new Ich9Smbus());
    slots.add('ich9-smbus-pci', smbus.pci);
    this.pci.add(q35.SLOT_ICH9, q35.FUNCTION_SMBUS, smbus.pci);
  }

  standInForFirmware(): void {
    const { io } = this.#parts;
    programMch(this.#mch, q35.ECAM_BASE);
    programIch9(this.#ich9.pci, { pmBase: q35.PORT_PM, rootComplexBase: q35.ROOT_COMPLEX_BASE }, PIRQ_ROUTES);
    assignBars(
      this.pci,
      { start: q35.ECAM_BASE + q35.ECAM_SIZE, end: map.PCI_WINDOW_END },
      { start: map.PCI_PORTS, end: 0x1_0000 },
    );
    for (const irq of [...map.PCI_IRQS, map.IRQ_SCI]) {
      const port = map.PORT_PIC_ELCR + (irq >> 3);
      io.write(port, 1, io.read(port, 1) | (1 << (irq & 7)));
    }
  }
}

/** Puts `region` where it is told to, or nowhere (−1). */
function placer(container: MemoryRegion, region: MemoryRegion): (address: number) => void {
  let isThere = false;
  return (address) => {
    if (address < 0) {
      if (isThere) container.remove(region);
    } else if (isThere) container.move(region, address);
    else container.add(address, region, 1);
    isThere = address >= 0;
  };
}
