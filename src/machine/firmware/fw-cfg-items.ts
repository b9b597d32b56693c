/** What firmware reads through fw_cfg about a PC: memory, processors, boot options, tables, a kernel. */
import * as fwcfg from '../../hw/nvram/fw-cfg.ts';
import type { AcpiBlobs } from '../acpi/pc-tables.ts';
import type { BootOptions } from './boot-options.ts';
import type { SmbiosImage } from './smbios.ts';
import { TableLoader, ZONE_FSEG, ZONE_HIGH } from './table-loader.ts';

export const ACPI_TABLES_FILE = 'etc/acpi/tables';
export const ACPI_RSDP_FILE = 'etc/acpi/rsdp';

/** A range of guest-physical memory by its E820 type. */
export interface E820Range {
  readonly address: number;
  readonly size: number;
  readonly type: number;
}

export interface FirmwareFacts {
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Highest APIC id + 1 that firmware must be ready for. */
  readonly apicIdLimit: number;
  /** RAM and what is reserved beyond what firmware knows itself. */
  readonly e820: readonly E820Range[];
  readonly uuid: Uint8Array;
  /** No display: firmware also talks to the first serial port. */
  readonly noGraphic: boolean;
  readonly boot: BootOptions;
  /** Gives the tables as the chipset's registers stand; always the same sizes. */
  readonly acpi: (() => AcpiBlobs) | undefined;
  readonly smbios: SmbiosImage;
}

export function addFirmwareFacts(fw: fwcfg.FwCfg, facts: FirmwareFacts): void {
  fw.addBytes(fwcfg.FW_CFG_UUID, facts.uuid);
  fw.addU64(fwcfg.FW_CFG_RAM_SIZE, facts.memoryBytes);
  fw.addU16(fwcfg.FW_CFG_NOGRAPHIC, facts.noGraphic ? 1 : 0);
  fw.addU16(fwcfg.FW_CFG_CPU_COUNT, facts.cpus);
  fw.addU16(fwcfg.FW_CFG_MAX_CPUS, facts.apicIdLimit);
  fw.addU32(fwcfg.FW_CFG_X86_IRQ0_OVERRIDE, 1);
  fw.addFile('etc/e820', e820Bytes(facts.e820));
  // ACPI sleep states: bit 7 says that S0, S3, S4, S5 exist; S4 has type 2. Neither S3 nor S4 is offered.
  fw.addFile('etc/system-states', Uint8Array.of(0x80, 0, 0, 0x01, 0x02, 0x80));
  fw.addFile('etc/smbios/smbios-tables', facts.smbios.tables);
  fw.addFile('etc/smbios/smbios-anchor', facts.smbios.anchor);
  addBootOptions(fw, facts.boot);
  if (facts.acpi !== undefined) addAcpi(fw, facts.acpi);
}

function e820Bytes(ranges: readonly E820Range[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(20 * ranges.length));
  ranges.forEach(({ address, size, type }, i) => {
    view.setBigUint64(20 * i, BigInt(address), true);
    view.setBigUint64(20 * i + 8, BigInt(size), true);
    view.setUint32(20 * i + 16, type, true);
  });
  return new Uint8Array(view.buffer);
}

function addBootOptions(fw: fwcfg.FwCfg, boot: BootOptions): void {
  fw.addU16(fwcfg.FW_CFG_BOOT_MENU, boot.menu ? 1 : 0);
  const timeout = boot.rebootTimeoutMs ?? -1;
  fw.addFile('etc/boot-fail-wait', Uint8Array.of(timeout, timeout >> 8, timeout >> 16, timeout >> 24));
  if (boot.splashTimeMs !== undefined) {
    fw.addFile('etc/boot-menu-wait', Uint8Array.of(boot.splashTimeMs, boot.splashTimeMs >> 8));
  }
}

/** Open Firmware paths in the order in which firmware shall try them. */
export function addBootOrder(fw: fwcfg.FwCfg, paths: readonly string[], strict = false): void {
  if (paths.length === 0) return;
  const list = strict ? [...paths, 'HALT'] : paths;
  const text = list.join('\n');
  fw.addFile('bootorder', Uint8Array.from([...text].map((c) => c.charCodeAt(0)).concat(0)));
}

function addAcpi(fw: fwcfg.FwCfg, current: () => AcpiBlobs): void {
  const blobs = current();
  const loader = new TableLoader();
  loader.allocate(ACPI_RSDP_FILE, 16, ZONE_FSEG);
  loader.allocate(ACPI_TABLES_FILE, 64, ZONE_HIGH);
  for (const { at, size } of blobs.pointers) loader.addPointer(ACPI_TABLES_FILE, at, size, ACPI_TABLES_FILE);
  const tables = withoutChecksums(blobs);
  for (const { at, size } of blobs.tables) loader.addChecksum(ACPI_TABLES_FILE, at + 9, at, size);
  const rsdp = blobs.rsdp.slice();
  rsdp[8] = 0;
  rsdp[32] = 0;
  loader.addPointer(ACPI_RSDP_FILE, 16, 4, ACPI_TABLES_FILE);
  loader.addPointer(ACPI_RSDP_FILE, 24, 8, ACPI_TABLES_FILE);
  loader.addChecksum(ACPI_RSDP_FILE, 8, 0, 20);
  loader.addChecksum(ACPI_RSDP_FILE, 32, 0, rsdp.length);
  // Firmware places the chipset's registers before it reads the tables, and not where other firmware does.
  const refresh = (): void => {
    const now = withoutChecksums(current());
    if (now.length === tables.length) tables.set(now);
  };
  fw.addFile(ACPI_TABLES_FILE, tables, undefined, refresh);
  fw.addFile(ACPI_RSDP_FILE, rsdp);
  fw.addFile('etc/table-loader', loader.bytes());
}

function withoutChecksums({ bytes, tables }: AcpiBlobs): Uint8Array {
  const out = bytes.slice();
  for (const { at } of tables) out[at + 9] = 0;
  return out;
}
