import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACPI_TABLES_BASE } from '../pc-map.ts';
import * as aml from './aml.ts';
import { pcAcpiTables } from './pc-tables.ts';
import { SAMPLE_ACPI } from './sample.cases.ts';
import { checksum, mcfg } from './tables.ts';

const image = pcAcpiTables(SAMPLE_ACPI);

function tableAt(address: number): { signature: string; bytes: Uint8Array; view: DataView } {
  const at = address - ACPI_TABLES_BASE;
  const head = new DataView(image.bytes.buffer, image.bytes.byteOffset + at);
  const bytes = image.bytes.subarray(at, at + head.getUint32(4, true));
  const signature = String.fromCharCode(...bytes.subarray(0, 4));
  return { signature, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

test('the RSDP leads to tables with good checksums', () => {
  const rsdp = image.bytes.subarray(0, 36);
  assert.equal(String.fromCharCode(...rsdp.subarray(0, 8)), 'RSD PTR ');
  assert.equal(checksum(rsdp.subarray(0, 20)), 0);
  assert.equal(checksum(rsdp), 0);
  assert.equal(image.address % 16, 0);
  const view = new DataView(rsdp.buffer, rsdp.byteOffset);
  const rsdt = tableAt(view.getUint32(16, true));
  const xsdt = tableAt(Number(view.getBigUint64(24, true)));
  const addresses = Array.from({ length: (rsdt.bytes.length - 36) / 4 }, (_, i) =>
    rsdt.view.getUint32(36 + 4 * i, true),
  );
  assert.deepEqual(
    addresses,
    Array.from({ length: (xsdt.bytes.length - 36) / 8 }, (_, i) =>
      Number(xsdt.view.getBigUint64(36 + 8 * i, true)),
    ),
  );
  const all = [rsdt, xsdt, ...addresses.map(tableAt)];
  assert.deepEqual(
    all.map((t) => t.signature),
    ['RSDT', 'XSDT', 'FACP', 'APIC', 'HPET'],
  );
  for (const t of all) assert.equal(checksum(t.bytes), 0, t.signature);
  const fadt = all[2]!;
  const dsdt = tableAt(fadt.view.getUint32(40, true));
  assert.equal(dsdt.signature, 'DSDT');
  assert.equal(checksum(dsdt.bytes), 0);
  const facs = fadt.view.getUint32(36, true);
  assert.equal(facs % 64, 0);
  assert.equal(tableAt(facs).signature, 'FACS');
  assert.equal(fadt.view.getUint32(56, true), 0x600);
});

test('AML encodings', () => {
  assert.deepEqual(aml.nameString('\\_SB.PCI0.ISA'), [0x5c, 0x2f, 3, ...Buffer.from('_SB_PCI0ISA_')]);
  assert.deepEqual(aml.nameString('^A'), [0x5e, ...Buffer.from('A___')]);
  assert.deepEqual(aml.pkgLength(62), [63]);
  assert.deepEqual(aml.pkgLength(63), [0x41, 4]); // 65 = 4 * 16 + 1
  assert.deepEqual(aml.pkgLength(0x1000), [0x83, 0x00, 0x01]);
  assert.deepEqual(aml.integer(0xff), [0x0a, 0xff]);
  assert.deepEqual(aml.integer(2n ** 32n), [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]);
  assert.deepEqual(aml.eisaId('PNP0501'), [0x0c, 0x41, 0xd0, 0x05, 0x01]);
  assert.throws(() => aml.name('TOOLONG', aml.integer(1)));
});

test('MCFG describes one segment', () => {
  const bytes = mcfg(0xb000_0000, 0, 255);
  assert.equal(bytes.length, 60);
  assert.equal(checksum(bytes), 0);
});
