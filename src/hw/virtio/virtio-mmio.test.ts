import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrqLine } from '../../core/irq.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { createGuest, splitRing } from './driver.cases.ts';
import { MemoryDisk } from './memory-disk.cases.ts';
import { VirtioBlk } from './virtio-blk.ts';
import { DEFAULT_VIRTIO_OPTIONS } from './virtio-core.ts';
import { VIRTIO_MMIO_BYTES, VirtioMmio } from './virtio-mmio.ts';

function createRig(legacy: boolean, isEmpty = false) {
  const guest = createGuest();
  const disk = new MemoryDisk(2 ** 16);
  const line = { level: false };
  const backend = new VirtioBlk({
    backend: disk,
    serial: 's',
    queues: 1,
    queueSize: 64,
    logicalBlock: 512,
    physicalBlock: 512,
    configWce: true,
    discard: true,
    writeZeroes: true,
    maxDiscardSectors: 1000,
    maxWriteZeroesSectors: 1000,
    segMaxAdjust: true,
    geometry: undefined,
  });
  const irq = new IrqLine((_, level) => (line.level = level));
  const options = { ...DEFAULT_VIRTIO_OPTIONS, legacy };
  const device = new VirtioMmio(isEmpty ? undefined : backend, guest.memory, irq, options, () => {});
  return { ...guest, disk, line, device };
}

const HEADER = 0x8000;
const DATA = 0x9000;
const BASE = 0x10000;
const SIZE = 16;

for (const legacy of [false, true]) {
  test(`a driver of version ${legacy ? 1 : 2} reads a block`, () => {
    const { device, ram, disk, line } = createRig(legacy);
    const get = (at: number): number => device.read(at, 4);
    const set = (at: number, value: number): void => device.write(at, 4, value);
    assert.deepEqual([get(0), get(4), get(8)], [0x74726976, legacy ? 1 : 2, 2]);
    assert.equal(get(0x100), 128, 'capacity in sectors');
    set(0x70, 0);
    set(0x70, 3);
    // Without the event index, which this driver does not keep.
    for (const part of legacy ? [0] : [0, 1]) {
      set(0x14, part);
      set(0x24, part);
      set(0x20, part === 0 ? get(0x10) & ~(1 << 29) : get(0x10));
    }
    if (!legacy) {
      set(0x70, 11);
      assert.equal(get(0x70), 11);
    }
    set(0x30, 0);
    assert.equal(get(0x34), 64);
    set(0x38, SIZE);
    const ring = splitRing(ram, BASE, SIZE);
    let { deviceArea } = ring;
    if (legacy) {
      set(0x28, 4096);
      set(0x3c, 4096);
      set(0x40, BASE / 4096);
      assert.equal(get(0x40), BASE / 4096);
      deviceArea = BASE + 4096;
    } else {
      set(0x80, ring.descriptors);
      set(0x90, ring.driverArea);
      set(0xa0, ring.deviceArea);
      set(0x44, 1);
      assert.equal(get(0x44), 1);
    }
    set(0x70, legacy ? 7 : 15);
    disk.bytes.fill(0x77, 1024, 1536);
    ram.view.setBigUint64(HEADER + 8, 2n, true);
    ring.add([
      { address: HEADER, length: 16 },
      { address: DATA, length: 512, write: true },
      { address: DATA + 512, length: 1, write: true },
    ]);
    set(0x50, 0);
    assert.equal(line.level, false);
    disk.run();
    assert.equal(line.level, true);
    assert.equal(get(0x60), 1);
    set(0x64, 1);
    assert.equal(line.level, false);
    assert.deepEqual([ram.bytes[DATA], ram.bytes[DATA + 511], ram.bytes[DATA + 512]], [0x77, 0x77, 0]);
    assert.equal(ram.view.getUint16(deviceArea + 2, true), 1);
    set(0x70, 0);
    assert.equal(get(0x70), 0);
  });
}

test('an empty window shows that there is no device', () => {
  const { device } = createRig(false, true);
  assert.deepEqual(
    [device.read(0, 4), device.read(8, 4), device.read(0x10, 4), device.read(0x100, 1)],
    [0x74726976, 0, 0, 0],
  );
});

testStateRoundTrip('virtio-mmio', () => createRig(false).device);
testHostileInput('virtio-mmio', () => ({ device: createRig(false).device, size: VIRTIO_MMIO_BYTES }));
testHostileInput('virtio-mmio version 1', () => ({
  device: createRig(true).device,
  size: VIRTIO_MMIO_BYTES,
}));
