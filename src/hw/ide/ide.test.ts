import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { IrqLine } from '../../core/irq.ts';
import { MemoryBackend } from '../../core/memory-backend.cases.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { AtaDisk } from './ata-disk.ts';
import { AtapiCdrom } from './atapi-cdrom.ts';
import { guessGeometry } from './geometry.ts';
import { PiixIde } from './piix-ide.ts';

const RAM = 0x40000;
const BM = 0xc000;

function world(diskSectors = 4096) {
  const root = MemoryRegion.container('memory', 2 ** 32);
  const ram = new GuestRam(new Uint8Array(RAM));
  root.add(0, MemoryRegion.ram('ram', RAM, 0));
  const memory = new AddressSpace('memory', root, ram);
  const io = new AddressSpace('io', MemoryRegion.container('io', 65536), ram);
  const irq = IrqLine.unconnected();
  const ide = new PiixIde(memory, io.root, [
    { commandPort: 0x1f0, controlPort: 0x3f6, irq },
    { commandPort: 0x170, controlPort: 0x376, irq: IrqLine.unconnected() },
  ]);
  ide.pci.attach({ memory: root, io: io.root, setIntx: () => {} }, 1);
  ide.pci.writeConfig(0x20, 4, BM);
  ide.pci.writeConfig(4, 2, 5);
  const disk = new MemoryBackend(Uint8Array.from({ length: diskSectors * 512 }, (_, i) => (i >> 9) * 7 + i));
  const medium = new MemoryBackend(Uint8Array.from({ length: 64 * 2048 }, (_, i) => (i >> 11) + 3 * i));
  const hd = new AtaDisk(disk, { serial: 'S1' });
  const cd = new AtapiCdrom(medium, { serial: 'C1' });
  ide.channels[0]!.attach(0, hd);
  ide.channels[0]!.attach(1, cd);
  for (const device of [hd, cd]) device.reset();
  const out = (register: number, value: number, size: 1 | 2 | 4 = 1): void =>
    io.write(0x1f0 + register, size, value);
  const inp = (register: number, size: 1 | 2 | 4 = 1): number => io.read(0x1f0 + register, size);
  const command = (lba: number, count: number, code: number): void => {
    out(2, count & 0xff);
    out(3, lba & 0xff);
    out(4, (lba >> 8) & 0xff);
    out(5, (lba >> 16) & 0xff);
    out(6, 0xe0 | (lba >> 24));
    out(7, code);
    disk.settle();
  };
  const words = (count: number): Uint8Array => {
    const bytes = new Uint8Array(2 * count);
    for (let i = 0; i < count; i++) {
      const word = inp(0, 2);
      bytes[2 * i] = word;
      bytes[2 * i + 1] = word >> 8;
    }
    disk.settle();
    medium.settle();
    return bytes;
  };
  const packet = (bytes: readonly number[], dma = false, limit = 0xfffe): void => {
    out(6, 0xb0);
    out(1, dma ? 1 : 0);
    out(4, limit & 0xff);
    out(5, limit >> 8);
    out(7, 0xa0);
    const cdb = [...bytes, ...new Array<number>(12 - bytes.length).fill(0)];
    for (let i = 0; i < 12; i += 2) out(0, cdb[i]! | (cdb[i + 1]! << 8), 2);
    medium.settle();
  };
  /** Descriptor table at 0x100. */
  const prds = (...list: ReadonlyArray<readonly [number, number]>): void => {
    list.forEach(([addr, size], i) => {
      ram.view.setUint32(0x100 + 8 * i, addr, true);
      ram.view.setUint32(0x104 + 8 * i, (size & 0xffff) | (i === list.length - 1 ? 0x8000_0000 : 0), true);
    });
    io.write(BM + 4, 4, 0x100);
  };
  const start = (read: boolean): void => {
    io.write(BM, 1, (read ? 8 : 0) | 1);
    disk.settle();
    medium.settle();
  };
  return { ide, io, ram, disk, medium, hd, cd, irq, out, inp, command, words, packet, prds, start };
}

test('signatures, selection, and what an absent drive reads as', () => {
  const { out, inp, io } = world();
  assert.deepEqual([inp(7), inp(2), inp(3), inp(4), inp(5)], [0x50, 1, 1, 0, 0]);
  out(6, 0xb0);
  assert.deepEqual([inp(4), inp(5)], [0x14, 0xeb]);
  assert.equal(io.read(0x177, 1), 0, 'nothing on the second channel');
  io.write(0x3f6, 1, 4);
  assert.equal(inp(7) & 0x80, 0x80);
  io.write(0x3f6, 1, 0);
  assert.deepEqual([inp(7), inp(1), inp(6)], [0x50, 1, 0xa0]);
});

test('IDENTIFY: size, texts, checksum', () => {
  const { out, inp, words, irq } = world();
  out(7, 0xec);
  assert.ok(irq.level);
  assert.equal(inp(7), 0x58);
  assert.ok(!irq.level, 'reading status acknowledges');
  const data = words(256);
  const view = new DataView(data.buffer);
  assert.equal(view.getUint32(120, true), 4096);
  assert.equal(String.fromCharCode(data[21]!, data[20]!), 'S1');
  assert.equal(data.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  assert.equal(inp(7), 0x50);
});

test('programmed I/O: read, write, multiple, beyond the end', () => {
  const { command, words, disk, inp, out, irq } = world();
  command(5, 2, 0x20);
  assert.deepEqual(words(256), disk.bytes.subarray(5 * 512, 6 * 512));
  assert.ok(irq.level);
  assert.deepEqual(words(256), disk.bytes.subarray(6 * 512, 7 * 512));
  assert.equal(inp(7), 0x50);
  command(7, 1, 0x30);
  assert.equal(inp(7), 0x58);
  for (let i = 0; i < 128; i++) out(0, 0x01020304 + i, 4);
  disk.settle();
  assert.equal(inp(7), 0x50);
  assert.deepEqual([...disk.bytes.subarray(7 * 512, 7 * 512 + 5)], [4, 3, 2, 1, 5]);
  out(2, 4);
  out(7, 0xc6);
  command(0, 6, 0xc4);
  assert.deepEqual(words(1024), disk.bytes.subarray(0, 2048));
  assert.equal(inp(7), 0x58);
  assert.deepEqual(words(512), disk.bytes.subarray(2048, 3072));
  assert.equal(inp(7), 0x50);
  command(4095, 2, 0x20);
  assert.equal(inp(7) & 1, 1);
  assert.equal(inp(1), 0x10);
});

test('DMA: scattered read and write, 48 bits, interrupt and status', () => {
  const { command, prds, start, ram, disk, io, out, inp, irq } = world();
  prds([0x2000, 512], [0x3000, 1024]);
  command(9, 3, 0xc8);
  start(true);
  assert.deepEqual(ram.bytes.subarray(0x2000, 0x2200), disk.bytes.subarray(9 * 512, 10 * 512));
  assert.deepEqual(ram.bytes.subarray(0x3000, 0x3400), disk.bytes.subarray(10 * 512, 12 * 512));
  assert.ok(irq.level);
  assert.equal(io.read(BM + 2, 1) & 7, 4);
  assert.equal(inp(7), 0x50);
  io.write(BM, 1, 0);
  io.write(BM + 2, 1, 4);
  assert.equal(io.read(BM + 2, 1) & 7, 0);
  // LBA48: high bytes first
  ram.bytes.fill(0xa5, 0x4000, 0x4200);
  prds([0x4000, 512]);
  for (const [register, value] of [
    [2, 0],
    [3, 0],
    [4, 0],
    [5, 0],
  ] as const)
    out(register, value);
  command(20, 1, 0x35);
  start(false);
  assert.equal(disk.bytes[20 * 512], 0xa5);
  assert.equal(inp(7), 0x50);
});

test('DMA: a table too short moves nothing and leaves no interrupt; one too long stays active', () => {
  const { command, prds, start, ram, io, irq, inp } = world();
  prds([0x2000, 512]);
  command(0, 2, 0xc8);
  start(true);
  assert.equal(ram.bytes[0x2001], 0);
  assert.equal(io.read(BM + 2, 1) & 5, 0);
  assert.ok(!irq.level);
  io.write(BM, 1, 0);
  prds([0x2000, 512], [0x3000, 512]);
  command(0, 1, 0xc8);
  start(true);
  assert.equal(io.read(BM + 2, 1) & 5, 5);
  assert.equal(inp(7), 0x50);
});

test('TRIM, flush, SMART, features', () => {
  const { command, prds, start, ram, disk, out, inp } = world();
  ram.view.setUint32(0x2000, 16, true);
  ram.view.setUint16(0x2006, 8, true);
  prds([0x2000, 512]);
  out(1, 1);
  out(2, 0); // the high byte of the count
  command(0, 1, 0x06);
  start(false);
  assert.deepEqual(disk.log, ['discard 8192 4096']);
  command(0, 0, 0xe7);
  assert.equal(disk.log.at(-1), 'flush');
  assert.equal(inp(7), 0x50);
  out(1, 0xda);
  out(4, 0x4f);
  out(5, 0xc2);
  out(7, 0xb0);
  assert.deepEqual([inp(7), inp(4), inp(5)], [0x50, 0x4f, 0xc2]);
  out(1, 0x99);
  out(7, 0xef);
  assert.deepEqual([inp(7) & 1, inp(1)], [1, 4]);
});

test('CD-ROM: capacity, reading by programmed I/O in pieces and by DMA', () => {
  const { packet, words, inp, medium, prds, start, ram } = world();
  packet([0x00]);
  assert.equal(inp(7), 0x50);
  packet([0x25]);
  assert.deepEqual([...words(4)], [0, 0, 0, 63, 0, 0, 8, 0]);
  packet([0x28, 0, 0, 0, 0, 3, 0, 0, 2], false, 2048);
  assert.equal(inp(5) * 256 + inp(4), 2048);
  assert.equal(inp(2), 2);
  assert.deepEqual(words(1024), medium.bytes.subarray(3 * 2048, 4 * 2048));
  assert.deepEqual(words(1024), medium.bytes.subarray(4 * 2048, 5 * 2048));
  assert.deepEqual([inp(7), inp(2)], [0x50, 3]);
  prds([0x2000, 4096]);
  packet([0x28, 0, 0, 0, 0, 10, 0, 0, 2], true);
  start(true);
  assert.deepEqual(ram.bytes.subarray(0x2000, 0x3000), medium.bytes.subarray(10 * 2048, 12 * 2048));
  packet([0x28, 0, 0, 0, 0, 64, 0, 0, 1]);
  assert.equal(inp(1) >> 4, 5);
  packet([0x43, 0, 0, 0, 0, 0, 0, 0, 20]);
  assert.deepEqual([...words(10)].slice(0, 12), [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
});

test('CD-ROM: medium removed and changed', () => {
  const { packet, inp, medium } = world();
  packet([0x00]);
  const bytes = medium.bytes;
  medium.bytes = new Uint8Array(0);
  medium.onMediumChanged?.();
  packet([0x00]);
  assert.equal(inp(1) >> 4, 6);
  packet([0x00]);
  assert.equal(inp(1) >> 4, 2);
  medium.bytes = bytes;
  medium.onMediumChanged?.();
  packet([0x00]);
  packet([0x00]);
  assert.equal(inp(7), 0x50);
});

test('CD-ROM: the host opens the tray, changes the medium behind it and closes it', () => {
  const { packet, inp, medium, cd } = world();
  cd.unit.setTrayOpen(true);
  packet([0x00]);
  assert.equal(inp(1) >> 4, 6);
  packet([0x00]);
  assert.equal(inp(1) >> 4, 2, 'not ready');
  medium.onMediumChanged?.();
  packet([0x00]);
  assert.equal(inp(1) >> 4, 2, 'nothing is seen behind an open tray');
  cd.unit.setTrayOpen(false);
  packet([0x00]);
  assert.equal(inp(1) >> 4, 6);
  packet([0x00]);
  assert.equal(inp(7), 0x50);
});

test('geometry from partition tables', () => {
  const mbr = new Uint8Array(512);
  mbr.set([0x55, 0xaa], 510);
  const total = 200_000;
  assert.deepEqual(guessGeometry(mbr, total).geometry, { cylinders: 198, heads: 16, sectors: 63 });
  mbr.set([0x80, 1, 1, 0, 6, 7, 32, 100, 63, 0, 0, 0, 0, 16, 0, 0], 0x1be);
  assert.deepEqual(guessGeometry(mbr, total), {
    geometry: { cylinders: 781, heads: 8, sectors: 32 },
    translation: 0,
  });
  mbr[0x1be + 5] = 254;
  assert.equal(guessGeometry(mbr, total).translation, 2);
});

testStateRoundTrip('ata-disk', () => world(8).hd);
testStateRoundTrip('atapi-cdrom', () => world(8).cd);
testStateRoundTrip('ide-channel', () => world(8).ide.channels[0]!);
for (const unit of [0, 1]) {
  testHostileInput(
    `ide unit ${unit}`,
    () => {
      const { io, disk, medium, out } = world(64);
      out(6, 0xe0 | (unit << 4));
      const target = (offset: number): number =>
        offset < 8 ? 0x1f0 + offset : offset === 8 ? 0x3f6 : BM + (offset - 9);
      return {
        size: 16,
        device: {
          read: (offset, size) => io.read(target(offset), size),
          write: (offset, size, value) => {
            io.write(target(offset), size, value);
            if ((value & 3) === 0) {
              disk.settle();
              medium.settle();
            }
          },
        },
      };
    },
    6000,
  );
}
