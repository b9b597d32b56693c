/** The fixed ACPI tables as bytes (ACPI Specification 6.5, chapter 5). Addresses are guest-physical, below 4 GiB. */
import { assert } from '../../util/errors.ts';

const OEM_ID = 'LYREBD';
const OEM_TABLE_ID = 'LYREBIRD';
const CREATOR_ID = 'LYRE';
const HEADER_SIZE = 36;

/** The byte that makes the sum of `bytes` zero modulo 256. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const b of bytes) sum += b;
  return -sum & 0xff;
}

function putText(into: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i);
}

/** A table with its header (5.2.6); `fill` gets the view of the whole table, `size` bytes with the header. */
function table(
  signature: string,
  revision: number,
  size: number,
  fill: (view: DataView) => void,
): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, signature);
  view.setUint32(4, size, true);
  bytes[8] = revision;
  putText(bytes, 10, OEM_ID);
  putText(bytes, 16, OEM_TABLE_ID);
  view.setUint32(24, 1, true);
  putText(bytes, 28, CREATOR_ID);
  view.setUint32(32, 1, true);
  fill(view);
  bytes[9] = checksum(bytes);
  return bytes;
}

/** Root System Description Pointer, revision 2 (5.2.5.3). */
export function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const bytes = new Uint8Array(36);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, 'RSD PTR ');
  putText(bytes, 9, OEM_ID);
  bytes[15] = 2;
  view.setUint32(16, rsdtAddress, true);
  view.setUint32(20, bytes.length, true);
  view.setBigUint64(24, BigInt(xsdtAddress), true);
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

export function rsdt(tables: readonly number[]): Uint8Array {
  return table('RSDT', 1, HEADER_SIZE + 4 * tables.length, (view) => {
    tables.forEach((address, i) => view.setUint32(HEADER_SIZE + 4 * i, address, true));
  });
}

export function xsdt(tables: readonly number[]): Uint8Array {
  return table('XSDT', 1, HEADER_SIZE + 8 * tables.length, (view) => {
    tables.forEach((address, i) => view.setBigUint64(HEADER_SIZE + 8 * i, BigInt(address), true));
  });
}

/** Differentiated System Description Table: a block of AML. Revision 2: 64-bit integers. */
export function dsdt(aml: readonly number[]): Uint8Array {
  return table('DSDT', 2, HEADER_SIZE + aml.length, (view) => {
    new Uint8Array(view.buffer).set(aml, HEADER_SIZE);
  });
}

/** Firmware ACPI Control Structure (5.2.10); 64-byte aligned, no checksum. */
export function facs(): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, 'FACS');
  view.setUint32(4, bytes.length, true);
  bytes[32] = 1;
  return bytes;
}

export interface FadtOptions {
  readonly facsAddress: number;
  readonly dsdtAddress: number;
  readonly sciIrq: number;
  readonly smiCommandPort: number;
  readonly acpiEnable: number;
  readonly acpiDisable: number;
  readonly pm1EventPort: number;
  readonly pm1ControlPort: number;
  readonly pmTimerPort: number;
  readonly gpe0Port: number;
  readonly gpe0Length: number;
  readonly resetPort: number;
  readonly resetValue: number;
  /** Whether the guest finds VGA at its legacy addresses. */
  readonly vga: boolean;
}

const SPACE_SYSTEM_IO = 1;

/** Generic Address Structure (5.2.3.2). */
function putGas(
  view: DataView,
  at: number,
  space: number,
  bits: number,
  accessSize: number,
  address: number,
): void {
  view.setUint8(at, space);
  view.setUint8(at + 1, bits);
  view.setUint8(at + 3, accessSize);
  view.setBigUint64(at + 4, BigInt(address), true);
}

/** Fixed ACPI Description Table, revision 3 (ACPI 2.0c layout; 5.2.9). */
export function fadt(o: FadtOptions): Uint8Array {
  return table('FACP', 3, 244, (view) => {
    view.setUint32(36, o.facsAddress, true);
    view.setUint32(40, o.dsdtAddress, true);
    view.setUint16(46, o.sciIrq, true);
    view.setUint32(48, o.smiCommandPort, true);
    view.setUint8(52, o.acpiEnable);
    view.setUint8(53, o.acpiDisable);
    view.setUint32(56, o.pm1EventPort, true);
    view.setUint32(64, o.pm1ControlPort, true);
    view.setUint32(76, o.pmTimerPort, true);
    view.setUint32(80, o.gpe0Port, true);
    view.setUint8(88, 4); // PM1_EVT_LEN
    view.setUint8(89, 2); // PM1_CNT_LEN
    view.setUint8(91, 4); // PM_TMR_LEN
    view.setUint8(92, o.gpe0Length);
    view.setUint16(96, 0xfff, true); // P_LVL2_LAT: no C2
    view.setUint16(98, 0xfff, true); // P_LVL3_LAT: no C3
    view.setUint8(108, 0x32); // CENTURY: its CMOS index
    // IAPC_BOOT_ARCH (5.2.9.3): legacy devices, 8042; "VGA not present" otherwise
    view.setUint16(109, 0b11 | (o.vga ? 0 : 0b100), true);
    // WBINVD, PROC_C1, SLP_BUTTON (control method), RTC_S4, RESET_REG_SUP
    view.setUint32(112, (1 << 0) | (1 << 2) | (1 << 5) | (1 << 7) | (1 << 10), true);
    putGas(view, 116, SPACE_SYSTEM_IO, 8, 1, o.resetPort);
    view.setUint8(128, o.resetValue);
    view.setBigUint64(132, BigInt(o.facsAddress), true);
    view.setBigUint64(140, BigInt(o.dsdtAddress), true);
    putGas(view, 148, SPACE_SYSTEM_IO, 32, 0, o.pm1EventPort);
    putGas(view, 172, SPACE_SYSTEM_IO, 16, 0, o.pm1ControlPort);
    putGas(view, 208, SPACE_SYSTEM_IO, 32, 0, o.pmTimerPort);
    putGas(view, 220, SPACE_SYSTEM_IO, o.gpe0Length * 8, 0, o.gpe0Port);
  });
}

/** MPS INTI flags of an interrupt source override (table 5.26): active high, level-triggered. */
export const INTI_LEVEL_HIGH = 0x0d;

export interface InterruptOverride {
  readonly irq: number;
  readonly gsi: number;
  readonly flags: number;
}

export interface MadtOptions {
  readonly localApicAddress: number;
  readonly apicIds: readonly number[];
  readonly ioApicId: number;
  readonly ioApicAddress: number;
  readonly overrides: readonly InterruptOverride[];
}

/** Multiple APIC Description Table (5.2.12), with the 8259 pair present. */
export function madt(o: MadtOptions): Uint8Array {
  const size = HEADER_SIZE + 8 + 8 * o.apicIds.length + 12 + 10 * o.overrides.length + 6;
  return table('APIC', 3, size, (view) => {
    view.setUint32(36, o.localApicAddress, true);
    view.setUint32(40, 1, true); // PCAT_COMPAT
    let at = 44;
    o.apicIds.forEach((id, n) => {
      view.setUint8(at, 0);
      view.setUint8(at + 1, 8);
      view.setUint8(at + 2, n);
      view.setUint8(at + 3, id);
      view.setUint32(at + 4, 1, true);
      at += 8;
    });
    view.setUint8(at, 1);
    view.setUint8(at + 1, 12);
    view.setUint8(at + 2, o.ioApicId);
    view.setUint32(at + 4, o.ioApicAddress, true);
    at += 12;
    for (const override of o.overrides) {
      view.setUint8(at, 2);
      view.setUint8(at + 1, 10);
      view.setUint8(at + 3, override.irq);
      view.setUint32(at + 4, override.gsi, true);
      view.setUint16(at + 8, override.flags, true);
      at += 10;
    }
    view.setUint8(at, 4); // local APIC NMI: every processor, LINT1
    view.setUint8(at + 1, 6);
    view.setUint8(at + 2, 0xff);
    view.setUint8(at + 5, 1);
    assert(at + 6 === size);
  });
}

/** IA-PC HPET table (HPET specification 1.0a, 3.2.4). `blockId` is the low half of the capabilities register. */
export function hpet(address: number, blockId: number): Uint8Array {
  return table('HPET', 1, 56, (view) => {
    view.setUint32(36, blockId, true);
    putGas(view, 40, 0, 0, 0, address);
    view.setUint16(53, 0, true);
  });
}

/** PCI Express memory-mapped configuration space (PCI Firmware Specification 3.0, 4.1.2). */
export function mcfg(address: number, firstBus: number, lastBus: number): Uint8Array {
  return table('MCFG', 1, HEADER_SIZE + 8 + 16, (view) => {
    view.setBigUint64(44, BigInt(address), true);
    view.setUint8(54, firstBus);
    view.setUint8(55, lastBus);
  });
}
