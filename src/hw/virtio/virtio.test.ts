import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import { TimerQueue } from '../../core/timer.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { splitRing } from './driver.cases.ts';
import { MemoryDisk } from './memory-disk.cases.ts';
import {
  bringUp,
  COMMON,
  CONFIG,
  createRig,
  ISR,
  kick,
  MSIX_TABLE,
  type PciRig,
} from './pci-driver.cases.ts';
import { VirtioBlk, type VirtioBlkOptions } from './virtio-blk.ts';
import { F_EVENT_IDX, F_RING_PACKED, F_VERSION_1 } from './virtio-core.ts';
import { VirtioRng } from './virtio-rng.ts';

function blk(disk: MemoryDisk, more: Partial<VirtioBlkOptions> = {}): VirtioBlk {
  return new VirtioBlk({
    backend: disk,
    serial: 'disk-7',
    queues: 1,
    queueSize: 64,
    logicalBlock: 512,
    physicalBlock: 4096,
    configWce: true,
    discard: true,
    writeZeroes: true,
    maxDiscardSectors: 1000,
    maxWriteZeroesSectors: 1000,
    segMaxAdjust: true,
    geometry: undefined,
    ...more,
  });
}

const HEADER = 0x80000;
const DATA = 0x81000;
const STATUS = 0x8f000;

/** Makes a block request available. */
function request(
  rig: PciRig,
  ring: ReturnType<typeof bringUp>['rings'][number],
  type: number,
  sector: number,
  data: ReadonlyArray<{ address: number; length: number; write: boolean }>,
  indirectAt?: number,
): void {
  const { view } = rig.ram;
  view.setUint32(HEADER, type, true);
  view.setBigUint64(HEADER + 8, BigInt(sector), true);
  rig.ram.bytes[STATUS] = 0xff;
  ring.add(
    [{ address: HEADER, length: 16 }, ...data, { address: STATUS, length: 1, write: true }],
    indirectAt,
  );
}

for (const packed of [false, true]) {
  for (const eventIndex of [false, true]) {
    const name = `${packed ? 'packed' : 'split'} ring${eventIndex ? ' with event index' : ''}`;
    test(`virtio-blk over a ${name}: writes, reads, flushes, identifies`, () => {
      const disk = new MemoryDisk(2 ** 20);
      const rig = createRig(blk(disk), { packed });
      const { rings, features } = bringUp(rig, 1, eventIndex ? 0n : F_EVENT_IDX);
      assert.equal((features & F_RING_PACKED) !== 0n, packed);
      const ring = rings[0]!;
      const run = (): number => {
        kick(rig, 0);
        disk.run();
        const used = ring.takeUsed();
        assert.equal(used.length, 1);
        assert.equal(rig.pin.level, true, 'interrupt');
        assert.equal(rig.memory.read(ISR, 1), 1);
        assert.equal(rig.pin.level, false);
        if (packed) rig.ram.view.setUint16(ring.driverArea + 2, 0, true);
        else
          rig.ram.view.setUint16(
            ring.driverArea + 4 + 2 * 16,
            rig.ram.view.getUint16(ring.deviceArea + 2, true),
            true,
          );
        return used[0]!.written;
      };
      for (let round = 0; round < 40; round++) {
        const pattern = (round * 7 + 1) & 0xff;
        rig.ram.bytes.fill(pattern, DATA, DATA + 1024);
        const indirect = round % 3 === 0 ? 0x90000 : undefined;
        request(rig, ring, 1, round, [{ address: DATA, length: 1024, write: false }], indirect);
        assert.equal(run(), 1);
        assert.equal(rig.ram.bytes[STATUS], 0);
        request(rig, ring, 0, round, [
          { address: DATA + 4096, length: 512, write: true },
          { address: DATA + 8192, length: 512, write: true },
        ]);
        assert.equal(run(), 1025);
        assert.equal(rig.ram.bytes[STATUS], 0);
        assert.equal(rig.ram.bytes[DATA + 4096 + 511], pattern);
        assert.equal(rig.ram.bytes[DATA + 8192], pattern);
      }
      request(rig, ring, 4, 0, []);
      run();
      request(rig, ring, 8, 0, [{ address: DATA, length: 20, write: true }]);
      assert.equal(run(), 21);
      assert.equal(String.fromCharCode(...rig.ram.bytes.subarray(DATA, DATA + 6)), 'disk-7');
      assert.equal(disk.log.at(-1), 'flush');
      assert.deepEqual(rig.errors, []);
    });
  }
}

test('virtio-blk: limits, unknown requests, discard, write zeroes', () => {
  const disk = new MemoryDisk(64 * 512);
  const rig = createRig(blk(disk));
  const ring = bringUp(rig, 1).rings[0]!;
  const status = (type: number, sector: number, data: Parameters<typeof request>[4]): number => {
    request(rig, ring, type, sector, data);
    kick(rig, 0);
    disk.run();
    return rig.ram.bytes[STATUS]!;
  };
  const sectors = (length: number, write: boolean) => [{ address: DATA, length, write }];
  assert.equal(status(0, 63, sectors(1024, true)), 1, 'beyond the end');
  assert.equal(status(0, 2 ** 53, sectors(512, true)), 1, 'far beyond the end');
  assert.equal(status(1, 0, sectors(100, false)), 1, 'not whole sectors');
  assert.equal(status(99, 0, []), 2, 'unknown');
  const range = (sector: number, count: number, flags: number): void => {
    rig.ram.view.setBigUint64(DATA, BigInt(sector), true);
    rig.ram.view.setUint32(DATA + 8, count, true);
    rig.ram.view.setUint32(DATA + 12, flags, true);
  };
  range(8, 8, 1);
  disk.bytes.fill(1);
  assert.equal(status(13, 0, sectors(16, false)), 0);
  assert.equal(disk.log.at(-1), 'zero+unmap 4096+4096');
  assert.equal(disk.bytes[4096], 0);
  range(60, 8, 0);
  assert.equal(status(11, 0, sectors(16, false)), 1, 'beyond the end');
  range(0, 8, 0);
  assert.equal(status(11, 0, sectors(16, false)), 0);
  assert.equal(rig.memory.read(CONFIG, 4), 64);
  assert.equal(rig.memory.read(CONFIG + 20, 4), 512);
});

test('virtio-blk: a reset with requests under way shows complete when they are', () => {
  const disk = new MemoryDisk(2 ** 16);
  const rig = createRig(blk(disk));
  let ring = bringUp(rig, 1).rings[0]!;
  request(rig, ring, 0, 0, [{ address: DATA, length: 512, write: true }]);
  kick(rig, 0);
  assert.equal(disk.pending, 1);
  rig.memory.write(COMMON + 0x14, 1, 0);
  assert.notEqual(rig.memory.read(COMMON + 0x14, 1), 0);
  disk.run();
  assert.equal(rig.memory.read(COMMON + 0x14, 1), 0);
  assert.deepEqual(ring.takeUsed(), []);
  assert.equal(rig.ram.bytes[STATUS], 0xff);
  ring = bringUp(rig, 1).rings[0]!;
  request(rig, ring, 0, 0, [{ address: DATA, length: 512, write: true }]);
  kick(rig, 0);
  disk.run();
  assert.equal(rig.ram.bytes[STATUS], 0);
});

test('virtio-pci: MSI-X vectors, masking, pending bits', () => {
  const disk = new MemoryDisk(2 ** 16);
  const rig = createRig(blk(disk));
  const { memory, device, messages } = rig;
  const ring = bringUp(rig, 1, F_EVENT_IDX).rings[0]!;
  const capability = device.pci.config[0x34]!;
  assert.equal(device.pci.config[capability], 0x11 === device.pci.config[capability] ? 0x11 : 0x09);
  let at = capability;
  while (device.pci.config[at] !== 0x11) at = device.pci.config[at + 1]!;
  device.pci.writeConfig(at + 2, 2, 0x8000);
  memory.write(COMMON + 0x16, 2, 0);
  memory.write(COMMON + 0x1a, 2, 1);
  assert.equal(memory.read(COMMON + 0x1a, 2), 1);
  memory.write(COMMON + 0x10, 2, 77);
  assert.equal(memory.read(COMMON + 0x10, 2), 0xffff, 'no such vector');
  memory.write(MSIX_TABLE + 16, 4, 0xfee00000);
  memory.write(MSIX_TABLE + 24, 4, 0x4041);
  const once = (): void => {
    request(rig, ring, 4, 0, []);
    kick(rig, 0);
    disk.run();
  };
  once();
  assert.deepEqual(messages, []);
  assert.equal(memory.read(MSIX_TABLE + 2048, 4), 2, 'pending');
  memory.write(MSIX_TABLE + 28, 4, 0);
  assert.deepEqual(messages, [[0xfee00000, 0x4041]]);
  assert.equal(memory.read(MSIX_TABLE + 2048, 4), 0);
  once();
  assert.equal(messages.length, 2);
  assert.equal(rig.pin.level, false);
});

test('virtio-pci: the legacy registers serve a driver without VERSION_1', () => {
  const disk = new MemoryDisk(2 ** 16);
  disk.bytes.fill(0x5a);
  const rig = createRig(blk(disk));
  const { io, ram } = rig;
  const base = 0xc000;
  io.write(base + 18, 1, 0);
  io.write(base + 18, 1, 3);
  io.write(base + 4, 4, io.read(base, 4) & ~(1 << 29));
  io.write(base + 14, 2, 0);
  const size = io.read(base + 12, 2);
  assert.equal(size, 64);
  const ring = splitRing(ram, 0x10000, size);
  io.write(base + 8, 4, 0x10);
  io.write(base + 18, 1, 7);
  assert.equal(io.read(base + 20, 4), 128, 'capacity');
  request(rig, ring, 0, 3, [{ address: DATA, length: 512, write: true }]);
  io.write(base + 16, 2, 0);
  disk.run();
  assert.equal(ram.bytes[DATA + 511], 0x5a);
  assert.equal(ram.view.getUint16(0x11000 + 2, true), 1, 'used index on the next page');
  assert.equal(io.read(base + 19, 1), 1, 'ISR');
});

test('virtio-pci: registers through configuration space', () => {
  const rig = createRig(blk(new MemoryDisk(2 ** 16)));
  const { pci } = rig.device;
  let at = pci.config[0x34]!;
  while (pci.config[at] !== 9 || pci.config[at + 3] !== 5) at = pci.config[at + 1]!;
  pci.writeConfig(at + 4, 1, 4);
  pci.writeConfig(at + 8, 4, 0x2000);
  pci.writeConfig(at + 12, 4, 4);
  assert.equal(pci.readConfig(at + 16, 4), 128, 'capacity');
  pci.writeConfig(at + 8, 4, 0x14);
  pci.writeConfig(at + 12, 4, 1);
  pci.writeConfig(at + 16, 4, 3);
  assert.equal(rig.memory.read(COMMON + 0x14, 1), 3);
});

test('virtqueue: hostile rings break the queue, in bounded time, and a reset mends it', () => {
  const cases: ReadonlyArray<readonly [string, (rig: PciRig, ring: ReturnType<typeof splitRing>) => void]> = [
    [
      'loop',
      ({ ram }) => {
        for (let i = 0; i < 16; i++) {
          ram.view.setBigUint64(0x10000 + 16 * i, 0x80000n, true);
          ram.view.setUint32(0x10000 + 16 * i + 8, 1, true);
          ram.view.setUint16(0x10000 + 16 * i + 12, 1, true);
          ram.view.setUint16(0x10000 + 16 * i + 14, (i + 1) % 16, true);
        }
        ram.view.setUint16(0x10000 + 256 + 2, 1, true);
      },
    ],
    ['index runs away', ({ ram }) => ram.view.setUint16(0x10000 + 256 + 2, 500, true)],
    [
      'head out of range',
      ({ ram }, ring) => {
        ram.view.setUint16(ring.driverArea + 4, 99, true);
        ram.view.setUint16(ring.driverArea + 2, 1, true);
      },
    ],
    ['buffer beyond RAM', (_rig, ring) => ring.add([{ address: 2 ** 30, length: 16 }])],
    ['buffer on a device', (_rig, ring) => ring.add([{ address: COMMON, length: 16 }])],
    ['huge buffer', (_rig, ring) => ring.add([{ address: 0, length: 0xffffffff }])],
    [
      'indirect within indirect',
      ({ ram }, ring) => {
        ring.add([{ address: 0x80000, length: 16 }], 0x90000);
        ram.view.setUint16(0x90000 + 12, 4, true);
      },
    ],
    ['indirect table beyond RAM', (_rig, ring) => ring.add([{ address: 0x80000, length: 16 }], 0x90000)],
    [
      'read after write',
      (_rig, ring) =>
        ring.add([
          { address: 0x80000, length: 16, write: true },
          { address: 0x80000, length: 16 },
        ]),
    ],
    [
      'no header',
      (_rig, ring) =>
        ring.add([
          { address: 0x80000, length: 3 },
          { address: 0x81000, length: 1, write: true },
        ]),
    ],
  ];
  for (const [name, prepare] of cases) {
    const disk = new MemoryDisk(2 ** 16);
    const rig = createRig(blk(disk));
    const ring = bringUp(rig, 1).rings[0]!;
    prepare(rig, ring);
    if (name === 'indirect table beyond RAM') rig.ram.view.setBigUint64(0x10000, 2n ** 40n, true);
    kick(rig, 0);
    disk.run();
    assert.equal(rig.errors.length, 1, name);
    assert.deepEqual(ring.takeUsed(), [], name);
    const again = bringUp(rig, 1).rings[0]!;
    request(rig, again, 4, 0, []);
    kick(rig, 0);
    disk.run();
    assert.equal(again.takeUsed().length, 1, `${name}: after a reset`);
  }
});

test('virtio-blk: random registers and rings neither throw nor hang', { timeout: 20000 }, () => {
  const next = randomSource(0x5eed);
  for (const packed of [false, true]) {
    const disk = new MemoryDisk(2 ** 16);
    const rig = createRig(blk(disk), { packed });
    for (let round = 0; round < 150; round++) {
      bringUp(rig, 1);
      for (let i = 0; i < 60; i++) {
        const at = 0x10000 + Math.floor(next() * 700);
        const value = next() < 0.5 ? Math.floor(next() * 20) : Math.floor(next() * 2 ** 32);
        rig.memory.write(at & ~3, 4, value >>> 0);
      }
      for (let i = 0; i < 20; i++) {
        const offset = Math.floor(next() * 0x3100);
        if (next() < 0.7) kick(rig, 0);
        else if (next() < 0.5) rig.memory.write(COMMON + (offset & 0x3f), 2, Math.floor(next() * 65536));
        else rig.memory.read(COMMON + offset, 4);
        if (next() < 0.5) rig.io.write(0xc000 + Math.floor(next() * 64), 1, Math.floor(next() * 256));
      }
      disk.run();
    }
  }
});

test('virtio-rng: fills buffers, within its quota', () => {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const rng = new VirtioRng({ timers, fill: (b) => b.fill(0xab), maxBytes: 100, periodMs: 1000 });
  const rig = createRig(rng);
  const ring = bringUp(rig, 1, 0n, 8).rings[0]!;
  ring.add([{ address: DATA, length: 64, write: true }]);
  ring.add([{ address: DATA + 64, length: 64, write: true }]);
  ring.add([{ address: DATA + 128, length: 64, write: true }]);
  kick(rig, 0);
  assert.deepEqual(
    ring.takeUsed().map((u) => u.written),
    [64, 36],
  );
  assert.equal(rig.ram.bytes[DATA + 99], 0xab);
  assert.equal(rig.ram.bytes[DATA + 100], 0);
  clock.advance(1e9);
  timers.runExpired();
  assert.deepEqual(
    ring.takeUsed().map((u) => u.written),
    [64],
  );
});

test('virtqueue: with the event index a driver is told to ring for every chain', () => {
  const timers = new TimerQueue(new ManualClock());
  const rng = new VirtioRng({ timers, fill: () => {}, maxBytes: Number.POSITIVE_INFINITY, periodMs: 1 });
  const rig = createRig(rng);
  const ring = bringUp(rig, 1, 0n, 8).rings[0]!;
  for (let n = 1; n < 20; n++) {
    ring.add([{ address: DATA, length: 1, write: true }]);
    kick(rig, 0);
    assert.equal(rig.ram.view.getUint16(ring.deviceArea + 4 + 8 * 8, true), n, 'avail_event');
  }
});

test('virtio-pci: a modern-only device has no legacy BAR and a modern id', () => {
  const rig = createRig(blk(new MemoryDisk(2 ** 16)), { legacy: false });
  assert.equal(rig.device.pci.readConfig(2, 2), 0x1042);
  assert.equal(rig.device.pci.readConfig(0x10, 4), 0);
  assert.equal((bringUp(rig, 1).features & F_VERSION_1) !== 0n, true);
});

testStateRoundTrip('virtio-blk over PCI', () => createRig(blk(new MemoryDisk(2 ** 16))).device);
testStateRoundTrip('virtio-rng over PCI', () => {
  const timers = new TimerQueue(new ManualClock());
  return createRig(new VirtioRng({ timers, fill: () => {}, maxBytes: 10, periodMs: 1 })).device;
});
