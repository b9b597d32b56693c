import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { MemoryBackend } from '../../core/memory-backend.cases.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Ahci } from './ahci.ts';
import { AtaDisk } from './ata-disk.ts';
import { AtapiCdrom } from './atapi-cdrom.ts';

const RAM = 0x80000;
const ABAR = 0x1000_0000;
const LIST = 0x1000;
const RECEIVED = 0x2000;
const TABLE = 0x3000;
const DATA = 0x10000;

function world() {
  const root = MemoryRegion.container('memory', 2 ** 32);
  const ram = new GuestRam(new Uint8Array(RAM));
  root.add(0, MemoryRegion.ram('ram', RAM, 0));
  const memory = new AddressSpace('memory', root, ram);
  const pin = { level: false };
  const ahci = new Ahci(memory, { sendMsi: () => {} });
  const setIntx = (_slot: number, _pin: number, level: boolean): void => void (pin.level = level);
  ahci.pci.attach({ memory: root, io: MemoryRegion.container('io', 65536), setIntx }, 31);
  const disk = new MemoryBackend(Uint8Array.from({ length: 4096 * 512 }, (_, i) => (i >> 9) * 7 + i));
  const medium = new MemoryBackend(Uint8Array.from({ length: 64 * 2048 }, (_, i) => (i >> 11) + 3 * i));
  ahci.ports[0]!.attach(0, new AtaDisk(disk, { serial: 'S1' }));
  ahci.ports[1]!.attach(0, new AtapiCdrom(medium, { serial: 'C1' }));
  ahci.reset();
  ahci.pci.writeConfig(0x24, 4, ABAR);
  ahci.pci.writeConfig(4, 2, 6);
  const get = (at: number): number => memory.read(ABAR + at, 4);
  const put = (at: number, value: number): void => memory.write(ABAR + at, 4, value);
  put(4, 2);
  for (const port of [0x100, 0x180]) {
    put(port, LIST);
    put(port + 8, RECEIVED);
    put(port + 0x14, 0x7dc000ff);
    put(port + 0x18, 0x17);
  }
  const issue = (port: number, slot: number, fis: readonly number[], bytes: number, flags = 0): void => {
    const table = TABLE + slot * 0x100;
    memory.write(LIST + slot * 32, 4, 5 | flags | (1 << 16));
    memory.write(LIST + slot * 32 + 8, 4, table);
    memory.writeBytes(table, Uint8Array.from(fis));
    memory.write(table + 0x80, 4, DATA + slot * 0x4000);
    memory.write(table + 0x8c, 4, bytes - 1);
    put(0x100 + 0x80 * port + 0x38, 1 << slot);
    disk.settle();
    medium.settle();
  };
  const data = (slot: number, size: number): Uint8Array =>
    ram.bytes.slice(DATA + slot * 0x4000, DATA + slot * 0x4000 + size);
  return { ahci, memory, ram, disk, medium, get, put, issue, data, pin };
}

/** A register FIS that carries a 48-bit command. */
const h2d = (command: number, lba: number, count: number, feature = 0): number[] => [
  ...[0x27, 0x80, command, feature, lba & 0xff, (lba >> 8) & 0xff, (lba >> 16) & 0xff, 0x40],
  ...[0, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0],
];

test('ports show what is there, and its signature', () => {
  const { get } = world();
  assert.equal(get(0), 0xc014_1f05);
  assert.deepEqual([get(0x128), get(0x1a8), get(0x228)], [0x113, 0x113, 0]);
  assert.deepEqual([get(0x124), get(0x1a4)], [0x101, 0xeb140101]);
});

test('IDENTIFY by PIO, reads and writes by DMA, with their FISes and interrupts', () => {
  const { get, put, issue, data, disk, ram, pin } = world();
  put(0x110, 0xffffffff);
  put(8, 0xffffffff);
  issue(0, 0, h2d(0xec, 0, 0), 512);
  assert.equal(String.fromCharCode(...data(0, 512).subarray(20, 22)), '1S');
  assert.equal(get(0x110) & 3, 3, 'PIO setup and D2H');
  assert.equal(pin.level, true);
  assert.equal(ram.bytes[RECEIVED + 0x20], 0x5f);
  issue(0, 1, h2d(0x25, 9, 4), 2048);
  assert.deepEqual(data(1, 2048), disk.bytes.subarray(9 * 512, 13 * 512));
  assert.equal(new DataView(ram.bytes.buffer).getUint32(LIST + 32 + 4, true), 2048);
  ram.bytes.fill(0x5a, DATA + 2 * 0x4000, DATA + 2 * 0x4000 + 512);
  issue(0, 2, h2d(0x35, 20, 1), 512, 0x40);
  assert.ok(disk.bytes.subarray(20 * 512, 21 * 512).every((byte) => byte === 0x5a));
  assert.equal(get(0x138), 0);
});

test('queued commands complete by Set Device Bits', () => {
  const { get, put, issue, data, disk, ram } = world();
  put(0x134, 1 << 5);
  issue(0, 5, h2d(0x60, 100, 5 << 3, 2), 1024);
  assert.deepEqual(data(5, 1024), disk.bytes.subarray(100 * 512, 102 * 512));
  assert.deepEqual([get(0x134), get(0x138), get(0x110) & 8], [0, 0, 8]);
  assert.equal(ram.bytes[RECEIVED + 0x58], 0xa1);
});

test('errors stop the list until ST is cleared', () => {
  const { get, put, issue } = world();
  issue(0, 0, h2d(0x25, 5000, 1), 512);
  assert.equal((get(0x110) >>> 30) & 1, 1);
  assert.equal(get(0x138), 1);
  assert.equal(get(0x120) & 1, 1);
  put(0x118, 0x16);
  put(0x118, 0x17);
  issue(0, 1, h2d(0x25, 1, 4), 512);
  assert.equal((get(0x110) >>> 24) & 1, 1, 'a table that is too short overflows');
});

test('packet commands of a CD-ROM', () => {
  const { issue, data, medium, memory } = world();
  memory.writeBytes(TABLE + 0x40, Uint8Array.of(0x28, 0, 0, 0, 0, 3, 0, 0, 1, 0, 0, 0));
  issue(1, 0, h2d(0xa0, 0, 0, 1), 2048, 0x20);
  assert.deepEqual(data(0, 2048), medium.bytes.subarray(3 * 2048, 4 * 2048));
});

testHostileInput(
  'ahci',
  () => {
    const { memory } = world();
    return {
      device: {
        read: (offset, size) => memory.read(ABAR + offset, size),
        write: (offset, size, value) => memory.write(ABAR + offset, size, value),
      },
      size: 0x300,
      minAccess: 4,
    };
  },
  5000,
);
