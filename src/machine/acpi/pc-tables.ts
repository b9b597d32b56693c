/** All ACPI tables of a PC board: placed at 0xe0000 for a kernel, or as blobs that firmware places and links. */
import { alignUp } from '../../util/bits.ts';
import { assert } from '../../util/errors.ts';
import * as map from '../pc-map.ts';
import { dsdt as dsdtTerms } from './dsdt.ts';
import type { DsdtOptions } from './platform.ts';
import * as tables from './tables.ts';

export interface PcAcpiOptions extends DsdtOptions {
  readonly apicIds: readonly number[];
  readonly ioApicId: number;
  readonly hpetBlockId: number;
  readonly vga: boolean;
}

/** 82371AB §7.2: registers of the power-management block. */
const PM1_EVENT = 0x00;
const PM1_CONTROL = 0x04;
const PM_TIMER = 0x08;
/** Full reset through the reset control register (82371SB §2.5.1). */
const RESET_VALUE = 0x0f;
const RSDP_SIZE = 36;
const TABLE_HEADER = 36;

export interface AcpiImage {
  /** Guest-physical address of `bytes` and of the RSDP. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** A field that holds an address within the tables. */
export interface AcpiPointer {
  readonly at: number;
  readonly size: 4 | 8;
}

/** Tables whose addresses count from the start of `bytes`, with what whoever places them must adjust. */
export interface AcpiBlobs {
  readonly bytes: Uint8Array;
  readonly pointers: readonly AcpiPointer[];
  /** Tables to give a checksum afterwards (their byte 9). */
  readonly tables: ReadonlyArray<{ readonly at: number; readonly size: number }>;
  readonly rsdp: Uint8Array;
}

/** Tables and RSDP in the BIOS area, where a kernel that firmware did not start looks for them. */
export function pcAcpiTables(options: PcAcpiOptions): AcpiImage {
  const layout = new TableLayout(options, map.ACPI_TABLES_BASE, RSDP_SIZE);
  const bytes = layout.bytes();
  assert(bytes.length <= map.ACPI_TABLES_LIMIT - map.ACPI_TABLES_BASE, 'ACPI tables exceed the BIOS area');
  bytes.set(tables.rsdp(layout.rsdtAddress, layout.xsdtAddress), 0);
  return { address: map.ACPI_TABLES_BASE, bytes };
}

/** The same for firmware's table loader. */
export function pcAcpiBlobs(options: PcAcpiOptions): AcpiBlobs {
  const layout = new TableLayout(options, 0, 0);
  return {
    bytes: layout.bytes(),
    pointers: layout.pointers,
    tables: layout.tables,
    rsdp: tables.rsdp(layout.rsdtAddress, layout.xsdtAddress),
  };
}

class TableLayout {
  readonly pointers: AcpiPointer[] = [];
  readonly tables: Array<{ at: number; size: number }> = [];
  readonly rsdtAddress: number;
  readonly xsdtAddress: number;
  readonly #base: number;
  readonly #parts: Array<{ at: number; bytes: Uint8Array }> = [];
  #end: number;

  constructor(options: PcAcpiOptions, base: number, start: number) {
    this.#base = base;
    this.#end = start;
    const facs = this.#place(tables.facs(), 64);
    const dsdt = this.#placeTable(tables.dsdt(dsdtTerms(options)));
    const fadt = this.#placeTable(tables.fadt(fadtOptions(options, facs, dsdt)));
    this.pointers.push(
      { at: fadt - base + 36, size: 4 },
      { at: fadt - base + 40, size: 4 },
      { at: fadt - base + 132, size: 8 },
      { at: fadt - base + 140, size: 8 },
    );
    const list = [fadt, this.#placeTable(tables.madt(madtOptions(options)))];
    const { ecam } = options.platform;
    if (ecam !== undefined) list.push(this.#placeTable(tables.mcfg(ecam.address, 0, ecam.lastBus)));
    if (options.hpet) list.push(this.#placeTable(tables.hpet(map.HPET_BASE, options.hpetBlockId)));
    this.rsdtAddress = this.#placeTable(tables.rsdt(list));
    this.xsdtAddress = this.#placeTable(tables.xsdt(list));
    list.forEach((_, i) => {
      this.pointers.push({ at: this.rsdtAddress - base + TABLE_HEADER + 4 * i, size: 4 });
      this.pointers.push({ at: this.xsdtAddress - base + TABLE_HEADER + 8 * i, size: 8 });
    });
  }

  bytes(): Uint8Array {
    const out = new Uint8Array(this.#end);
    for (const { at, bytes } of this.#parts) out.set(bytes, at);
    return out;
  }

  #placeTable(table: Uint8Array): number {
    const address = this.#place(table, 16);
    this.tables.push({ at: address - this.#base, size: table.length });
    return address;
  }

  #place(bytes: Uint8Array, alignment: number): number {
    const at = alignUp(this.#end, alignment);
    this.#parts.push({ at, bytes });
    this.#end = at + bytes.length;
    return this.#base + at;
  }
}

function fadtOptions(options: PcAcpiOptions, facsAddress: number, dsdtAddress: number): tables.FadtOptions {
  const { platform } = options;
  return {
    facsAddress,
    dsdtAddress,
    sciIrq: map.IRQ_SCI,
    smiCommandPort: map.PORT_SMI_COMMAND,
    acpiEnable: platform.acpiEnable,
    acpiDisable: platform.acpiDisable,
    pm1EventPort: platform.pmPort + PM1_EVENT,
    pm1ControlPort: platform.pmPort + PM1_CONTROL,
    pmTimerPort: platform.pmPort + PM_TIMER,
    gpe0Port: platform.gpe0Port,
    gpe0Length: platform.gpe0Length,
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
