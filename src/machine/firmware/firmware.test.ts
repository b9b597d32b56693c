import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pcAcpiBlobs } from '../acpi/pc-tables.ts';
import { SAMPLE_ACPI } from '../acpi/sample.cases.ts';
import { checksum } from '../acpi/tables.ts';
import { bootOrderNibbles } from './boot-options.ts';
import { BootOrder } from './boot-order.ts';
import { smbios } from './smbios.ts';
import { TableLoader, ZONE_HIGH } from './table-loader.ts';

test('boot order: letters as CMOS nibbles, indexes as sorted paths', () => {
  assert.equal(bootOrderNibbles('cad'), 0x312);
  assert.equal(bootOrderNibbles('d'), 0x3);
  const order = new BootOrder();
  order.add('/b', 2);
  order.add('/a', 1);
  assert.deepEqual(order.paths, ['/a', '/b']);
  assert.ok(order.has(2) && !order.has(0));
});

test('table loader: 128 bytes a command', () => {
  const loader = new TableLoader();
  loader.allocate('etc/x', 64, ZONE_HIGH);
  loader.addPointer('etc/x', 16, 8, 'etc/y');
  loader.addChecksum('etc/x', 9, 0, 36);
  const bytes = loader.bytes();
  const view = new DataView(bytes.buffer);
  assert.equal(bytes.length, 384);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(60, true), bytes[64]], [1, 64, 1]);
  assert.deepEqual(
    [view.getUint32(128, true), view.getUint32(128 + 116, true), bytes[128 + 120]],
    [2, 16, 8],
  );
  assert.equal(String.fromCharCode(...bytes.subarray(128 + 60, 128 + 65)), 'etc/y');
  assert.deepEqual(
    [60, 64, 68].map((at) => view.getUint32(256 + at, true)),
    [9, 0, 36],
  );
});

test('ACPI blobs: following the pointers reaches every table', () => {
  const blobs = pcAcpiBlobs({ ...SAMPLE_ACPI, apicIds: [0], vga: true });
  const view = new DataView(blobs.bytes.buffer);
  const signature = (at: number): string => String.fromCharCode(...blobs.bytes.subarray(at, at + 4));
  const targets = new Set(blobs.pointers.map(({ at }) => signature(view.getUint32(at, true))));
  assert.deepEqual([...targets].sort(), ['APIC', 'DSDT', 'FACP', 'FACS', 'HPET']);
  for (const { at, size } of blobs.tables) assert.equal(checksum(blobs.bytes.subarray(at, at + size)), 0);
  const rsdp = new DataView(blobs.rsdp.buffer);
  assert.equal(signature(rsdp.getUint32(16, true)), 'RSDT');
  assert.equal(signature(rsdp.getUint32(24, true)), 'XSDT');
});

test('SMBIOS: structures follow each other to the end, the anchor sums to zero', () => {
  const { tables, anchor } = smbios({
    product: 'PC',
    version: 'v',
    cpus: 2,
    memoryBytes: 2 ** 30,
    ranges: [[0, 2 ** 30 - 1]],
    uuid: new Uint8Array(16),
  });
  const types: number[] = [];
  for (let at = 0; at < tables.length; ) {
    types.push(tables[at]!);
    at += tables[at + 1]!;
    while (tables[at] !== 0 || tables[at + 1] !== 0) at++;
    at += 2;
  }
  assert.deepEqual(types, [1, 3, 4, 4, 16, 17, 19, 32, 127]);
  const view = new DataView(anchor.buffer);
  assert.equal(view.getUint16(22, true), tables.length);
  assert.equal(view.getUint16(28, true), types.length);
  assert.equal(anchor.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
});
