/** Where everything lies on the board `pc`: guest-physical addresses, I/O ports and interrupt inputs. */

/** RAM below 4 GiB ends here at the latest: what is above belongs to PCI and the controllers; more RAM continues at 4 GiB. */
export const LOW_RAM_LIMIT = 0xe000_0000;
/** With more RAM than that, this much lies below 4 GiB. */
export const LOW_RAM_SPLIT = 0xc000_0000;
export const HIGH_RAM_BASE = 0x1_0000_0000;

/** Conventional memory ends below the extended BIOS data area. */
export const EBDA_BASE = 0x9_fc00;
export const VGA_BASE = 0xa_0000;
export const VGA_SIZE = 0x2_0000;
/** Option ROM and BIOS area; RAM that firmware would write-protect. */
export const BIOS_AREA_BASE = 0xc_0000;
/** ACPI tables: the RSDP must lie in 0xe0000…0xfffff on a 16-byte boundary (ACPI 5.2.5.1). */
export const ACPI_TABLES_BASE = 0xe_0000;
export const ACPI_TABLES_LIMIT = 0x10_0000;
export const EXTENDED_MEMORY_BASE = 0x10_0000;

export const IO_APIC_BASE = 0xfec0_0000;
export const IO_APIC_SIZE = 0x1000;
export const HPET_BASE = 0xfed0_0000;
export const HPET_SIZE = 0x400;
export const LOCAL_APIC_BASE = 0xfee0_0000;
export const LOCAL_APIC_SIZE = 0x1000;
/** PCI memory window below 4 GiB: from the end of RAM to here. */
export const PCI_WINDOW_END = 0xfec0_0000;

export const PORT_DMA_FIRST = 0x00;
export const PORT_PIC_MASTER = 0x20;
export const PORT_PIT = 0x40;
export const PORT_I8042_DATA = 0x60;
export const PORT_SYSTEM_CONTROL_B = 0x61;
export const PORT_I8042_COMMAND = 0x64;
export const PORT_RTC = 0x70;
export const PORT_POST = 0x80;
export const PORT_DMA_PAGES = 0x80;
export const PORT_SYSTEM_CONTROL_A = 0x92;
export const PORT_PIC_SLAVE = 0xa0;
/** Writes end IRQ 13. */
export const PORT_FPU_ERROR = 0xf0;
export const PORT_DMA_SECOND = 0xc0;
export const PORT_SMI_COMMAND = 0xb2;
export const PORT_FLOPPY = 0x3f0;
export const PORT_FW_CFG = 0x510;
/** The debug console of firmware. */
export const PORT_DEBUGCON = 0x402;
export const PORT_PIC_ELCR = 0x4d0;
export const PORT_PCI_ADDRESS = 0xcf8;
export const PORT_RESET_CONTROL = 0xcf9;
export const PORT_PCI_DATA = 0xcfc;
/** Base of the PIIX4 power-management block, as firmware programs it (82371AB §7.1.10). */
export const PORT_PM = 0x600;
/** Ports of PCI devices from here on, where there is no firmware to place them. */
export const PCI_PORTS = 0xc000;
export const PORT_GPE0 = 0xafe0;
export const GPE0_LENGTH = 4;
export const PORT_PCI_HOTPLUG = 0xae00;
export const GPE_PCI_HOTPLUG = 1;

export interface SerialPortMap {
  readonly port: number;
  readonly irq: number;
}

/** COM1…COM4. */
export const SERIAL_PORTS: readonly SerialPortMap[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];

export const IRQ_PIT = 0;
export const IRQ_KEYBOARD = 1;
export const IRQ_FLOPPY = 6;
export const IRQ_RTC = 8;
export const IRQ_SCI = 9;
export const IRQ_MOUSE = 12;
export const IRQ_FPU = 13;
/** ISA interrupts that PCI interrupts may be routed to: level-triggered. */
export const PCI_IRQS: readonly number[] = [5, 10, 11];
/** The 8254 is wired to this input of the I/O APIC (MPS 5.1); the 8259 pair's output to input 0. */
export const GSI_PIT = 2;
export const IO_APIC_INPUTS = 24;
/** The ICH9's PIRQA…H have inputs of their own from here. */
export const GSI_PIRQ_A = 16;

export const DMA_FLOPPY = 2;

/** PCI device numbers on bus 0. */
export const PCI_SLOT_HOST = 0;
export const PCI_SLOT_ISA = 1;
export const PCI_SLOT_VGA = 2;
export const PCI_FUNCTION_PM = 3;
export const PCI_FUNCTION_IDE = 1;
export const PCI_FUNCTION_USB = 2;

/** The legacy channels of the PIIX3. */
export const IDE_CHANNELS: ReadonlyArray<{
  readonly command: number;
  readonly control: number;
  readonly irq: number;
}> = [
  { command: 0x1f0, control: 0x3f6, irq: 14 },
  { command: 0x170, control: 0x376, irq: 15 },
];
