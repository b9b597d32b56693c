/** All ACPI tables of the board `pc`, laid out for 0xe0000…0xfffff, the RSDP first. */
import { alignUp } from '../../util/bits.ts';
import { assert } from '../../util/errors.ts';
import * as map from '../pc-map.ts';
import { type PcDsdtOptions, pcDsdt } from './pc-dsdt.ts';
import * as tables from './tables.ts';

export interface PcAcpiOptions extends PcDsdtOptions {
  readonly apicIds: readonly number[];
  readonly ioApicId: number;
  readonly hpetBlockId: number;
  readonly vga: boolean;
}

/** 82371AB §7.2: registers of the power-management block. */
const PM1_EVENT = 0x00;
const PM1_CONTROL = 0x04;
const PM_TIMER = 0x08;
const ACPI_ENABLE = 0xf1;
const ACPI_DISABLE = 0xf0;
/** Full reset through the reset control register (82371SB §2.5.1). */
const RESET_VALUE = 0x0f;

export interface AcpiImage {
  /** Guest-physical address of `bytes` and of the RSDP. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

export function pcAcpiTables(options: PcAcpiOptions): AcpiImage {
  const image = new Uint8Array(map.ACPI_TABLES_LIMIT - map.ACPI_TABLES_BASE);
  const rsdpSize = 36;
  let end = rsdpSize;
  const place = (table: Uint8Array, alignment = 16): number => {
    const at = alignUp(end, alignment);
    assert(at + table.length <= image.length, 'ACPI tables exceed the BIOS area');
    image.set(table, at);
    end = at + table.length;
    return map.ACPI_TABLES_BASE + at;
  };
  const facsAddress = place(tables.facs(), 64);
  const dsdtAddress = place(tables.dsdt(pcDsdt(options)));
  const list = [place(tables.fadt(fadtOptions(options, facsAddress, dsdtAddress)))];
  list.push(place(tables.madt(madtOptions(options))));
  if (options.hpet) list.push(place(tables.hpet(map.HPET_BASE, options.hpetBlockId)));
  const rsdtAddress = place(tables.rsdt(list));
  const xsdtAddress = place(tables.xsdt(list));
  image.set(tables.rsdp(rsdtAddress, xsdtAddress), 0);
  return { address: map.ACPI_TABLES_BASE, bytes: image.slice(0, end) };
}

function fadtOptions(options: PcAcpiOptions, facsAddress: number, dsdtAddress: number): tables.FadtOptions {
  return {
    facsAddress,
    dsdtAddress,
    sciIrq: map.IRQ_SCI,
    smiCommandPort: map.PORT_SMI_COMMAND,
    acpiEnable: ACPI_ENABLE,
    acpiDisable: ACPI_DISABLE,
    pm1EventPort: map.PORT_PM + PM1_EVENT,
    pm1ControlPort: map.PORT_PM + PM1_CONTROL,
    pmTimerPort: map.PORT_PM + PM_TIMER,
    gpe0Port: map.PORT_GPE0,
    gpe0Length: map.GPE0_LENGTH,
    resetPort: map.PORT_RESET_CONTROL,
    resetValue: RESET_VALUE,
    vga: options.vga,
  };
}

function madtOptions(options: PcAcpiOptions): tables.MadtOptions {
  const level = [...map.PCI_IRQS, map.IRQ_SCI].sort((a, b) => a - b);
  return {
    localApicAddress: map.LOCAL_APIC_BASE,
    apicIds: options.apicIds,
    ioApicId: options.ioApicId,
    ioApicAddress: map.IO_APIC_BASE,
    overrides: [
      { irq: map.IRQ_PIT, gsi: map.GSI_PIT, flags: 0 },
      ...level.map((irq) => ({ irq, gsi: irq, flags: tables.INTI_LEVEL_HIGH })),
    ],
  };
}
