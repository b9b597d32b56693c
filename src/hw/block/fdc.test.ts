import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { IrqLine } from '../../core/irq.ts';
import { MemoryBackend } from '../../core/memory-backend.cases.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { I8237Pair } from '../dma/i8237.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { FloppyController } from './fdc.ts';
import { floppyGeometry } from './floppy-geometry.ts';

function world(sizeKiB = 1440) {
  const ram = new GuestRam(new Uint8Array(0x20000));
  const root = MemoryRegion.container('memory', 2 ** 32);
  root.add(0, MemoryRegion.ram('ram', 0x20000, 0));
  const dma = new I8237Pair(new AddressSpace('memory', root, ram));
  const irq = IrqLine.unconnected();
  const fdc = new FloppyController(irq, dma.channel(2));
  const disk = new MemoryBackend(Uint8Array.from({ length: sizeKiB * 1024 }, (_, i) => (i >> 9) + i));
  fdc.attach(0, disk);
  const send = (...bytes: readonly number[]): void => {
    for (const byte of bytes) {
      assert.equal(fdc.read(4) & 0xc0, 0x80);
      fdc.write(5, 1, byte);
    }
    disk.settle();
  };
  const result = (): number[] => {
    const out: number[] = [];
    while ((fdc.read(4) & 0xc0) === 0xc0) out.push(fdc.read(5));
    return out;
  };
  /** Channel 2: `mode` 0x46 writes to memory, 0x4a reads from it. */
  const program = (address: number, count: number, mode: number): void => {
    dma.first.write(12, 1, 0);
    dma.first.write(11, 1, mode);
    dma.first.write(4, 1, address & 0xff);
    dma.first.write(4, 1, (address >> 8) & 0xff);
    dma.first.write(5, 1, (count - 1) & 0xff);
    dma.first.write(5, 1, (count - 1) >> 8);
    dma.pages.write(1, 1, address >> 16);
    dma.first.write(10, 1, 2);
  };
  fdc.write(2, 1, 0);
  fdc.write(2, 1, 0x1c);
  for (let i = 0; i < 4; i++) {
    send(8);
    result();
  }
  send(3, 0xaf, 2);
  return { fdc, dma, disk, ram, irq, send, result, program };
}

test('reset owes four answers, recalibrate and seek one each', () => {
  const { fdc, irq, send, result } = world();
  fdc.write(2, 1, 0x08);
  fdc.write(2, 1, 0x1c);
  assert.ok(irq.level);
  for (let n = 0; n < 4; n++) {
    send(8);
    assert.deepEqual(result(), [0xc0 | n, 0]);
  }
  send(8);
  assert.deepEqual(result(), [0x80]);
  assert.equal(fdc.directionPort.read(0, 1) & 0x80, 0x80);
  send(0x0f, 0, 7);
  assert.ok(irq.level);
  send(8);
  assert.deepEqual(result(), [0x20, 7]);
  assert.equal(fdc.directionPort.read(0, 1) & 0x80, 0);
  send(7, 0);
  send(8);
  assert.deepEqual(result(), [0x20, 0]);
});

test('reads and writes by DMA, over both heads', () => {
  const { send, result, program, ram, disk, irq } = world();
  program(0x10000, 1536, 0x46);
  send(0xe6, 0, 0, 0, 17, 2, 18, 27, 0xff); // sectors 17, 18, then head 1 sector 1
  assert.ok(irq.level);
  assert.deepEqual(result(), [4, 0, 0, 0, 1, 2, 2]);
  assert.deepEqual(ram.bytes.subarray(0x10000, 0x10600), disk.bytes.subarray(16 * 512, 19 * 512));
  ram.bytes.fill(0x77, 0x4000, 0x4200);
  program(0x4000, 512, 0x4a);
  send(0x45, 4, 0, 1, 5, 2, 18, 27, 0xff);
  assert.equal(result()[0], 4);
  assert.equal(disk.bytes[(18 + 4) * 512 + 3], 0x77);
  disk.isReadOnly = true;
  program(0x4000, 512, 0x4a);
  send(0x45, 4, 0, 1, 5, 2, 18, 27, 0xff);
  assert.deepEqual(result().slice(0, 3), [0x44, 2, 0]);
});

test('programmed I/O, read id, errors', () => {
  const { fdc, send, result, disk } = world();
  send(3, 0xaf, 3);
  send(0x46, 0, 0, 0, 3, 2, 3, 27, 0xff);
  assert.equal(fdc.read(4), 0xf0);
  const bytes = Array.from({ length: 512 }, () => fdc.read(5));
  assert.deepEqual(bytes, [...disk.bytes.subarray(1024, 1536)]);
  assert.deepEqual(result().slice(0, 3), [0, 0, 0]);
  send(0x4a, 0);
  assert.deepEqual(result(), [0, 0, 0, 0, 0, 1, 2]);
  send(0x46, 0, 0, 0, 19, 2, 19, 27, 0xff);
  assert.deepEqual(result().slice(0, 3), [0x40, 4, 0]);
  send(0x46, 1, 0, 0, 1, 2, 1, 27, 0xff);
  assert.deepEqual(result().slice(0, 2), [0x41, 1]);
});

test('without DMA a multi-track transfer goes on over both heads and to the next cylinder', () => {
  const { fdc, send, result, disk, irq } = world();
  fdc.write(2, 1, 0x14); // DMA gated off
  send(0xe6, 0, 0, 0, 1, 2, 19, 27, 0xff);
  const bytes: number[] = [];
  for (let n = 0; n < 38 * 512; n++) {
    assert.equal(fdc.read(4), 0xf0);
    bytes.push(fdc.read(5));
  }
  assert.deepEqual(bytes, [...disk.bytes.subarray(0, 38 * 512)]);
  assert.ok(irq.level);
  assert.equal(result()[0], 0x20);
  assert.ok(!irq.level, 'the last result byte takes the interrupt back');
});

test('the change line stays until the head steps with a disk in the drive', () => {
  const { fdc, send, disk } = world();
  const changed = (): boolean => (fdc.directionPort.read(0, 1) & 0x80) !== 0;
  send(0x0f, 0, 1);
  assert.ok(!changed());
  const { bytes } = disk;
  disk.bytes = new Uint8Array(0);
  disk.onMediumChanged?.();
  send(0x0f, 0, 0);
  assert.ok(changed());
  disk.bytes = bytes;
  disk.onMediumChanged?.();
  send(0x0f, 0, 0);
  assert.ok(changed(), 'no step');
  send(0x0f, 0, 1);
  assert.ok(!changed());
});

test('formats by image size', () => {
  assert.equal(floppyGeometry(1440 * 1024).sectors, 18);
  assert.equal(floppyGeometry(360 * 1024).tracks, 40);
  assert.equal(floppyGeometry(2880 * 1024).drive, 5);
  assert.equal(floppyGeometry(12345 * 512).sectors, 18);
});

testStateRoundTrip('fdc', () => {
  const { fdc } = world(160);
  return fdc;
});
testStateRoundTrip('i8237', () => world(160).dma);
testHostileInput('fdc', () => {
  const { fdc, disk, dma } = world(160);
  return {
    size: 8,
    maxAccess: 1,
    device: {
      read: (offset) => (offset === 7 ? fdc.directionPort.read(0, 1) : fdc.read(offset)),
      write: (offset, size, value) => {
        fdc.write(offset, size, value);
        if ((value & 7) === 0) disk.settle();
        if ((value & 63) === 0) dma.first.write(10, 1, 2);
      },
    },
  };
});
testHostileInput('i8237', () => ({ device: world(160).dma.first, size: 16, maxAccess: 1 }));
