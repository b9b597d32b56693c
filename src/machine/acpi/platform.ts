/** What ACPI tables say of a board and its chipset. */

/** A PCI bus with slots whose devices come and go. */
export interface HotplugBus {
  /** Value of the bus selector (`hw/acpi/pci-hotplug.ts`). */
  readonly selector: number;
  /** Slot << 3 | function of the bridge on bus 0 that leads there; undefined: bus 0 itself. */
  readonly bridge: number | undefined;
  /** Slots that can be emptied or filled. */
  readonly slots: readonly number[];
}

export interface AcpiPlatform {
  readonly kind: 'pc' | 'q35';
  /** PM1 event block; the control block and the timer follow at 4 and 8. */
  readonly pmPort: number;
  readonly gpe0Port: number;
  readonly gpe0Length: number;
  /** Values of SMI_CMD. */
  readonly acpiEnable: number;
  readonly acpiDisable: number;
  /** Registers of hot plug (`hw/acpi/pci-hotplug.ts`) and the general-purpose event they raise. */
  readonly hotplugPort: number;
  readonly hotplugGpe: number;
  /** Configuration space in memory. */
  readonly ecam?: { readonly address: number; readonly size: number; readonly lastBus: number };
}

export interface DsdtOptions {
  readonly platform: AcpiPlatform;
  /** End of RAM below 4 GiB: the PCI memory window starts there. */
  readonly lowRamEnd: number;
  /** Window for 64-bit BARs above RAM. */
  readonly highWindow: { readonly first: number; readonly last: number };
  /** Indexes into `SERIAL_PORTS` of the ports present. */
  readonly serialPorts: readonly number[];
  readonly hpet: boolean;
  readonly floppy: boolean;
  readonly hotplugBuses: readonly HotplugBus[];
  /** Sleep states that the user did not switch off. */
  readonly s3: boolean;
  readonly s4: boolean;
}
