import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import * as codes from '../scsi/scsi-codes.ts';
import { ScsiDisk } from '../scsi/scsi-disk.ts';
import { MemoryDisk } from './memory-disk.cases.ts';
import { bringUp, CONFIG, createRig, kick, type PciRig } from './pci-driver.cases.ts';
import { VirtioScsi } from './virtio-scsi.ts';

const REQUEST = 0x80000;
const RESPONSE = 0x80100;
const DATA = 0x81000;
const RESPONSE_BYTES = 108;

function createController(): VirtioScsi {
  return new VirtioScsi({
    queues: 1,
    queueSize: 64,
    segMaxAdjust: true,
    maxSectors: 65535,
    commandsPerLun: 128,
    hotplug: true,
    parameterChange: true,
  });
}

function createDisk(backend: MemoryDisk): ScsiDisk {
  const facts = { vendor: 'TESTS', product: 'UNIT', revision: '1', serial: '', deviceId: '', wwn: 0n };
  const sizes = {
    logicalBlock: 512,
    physicalBlock: 512,
    discardGranularity: 0,
    minIoBytes: 0,
    optIoBytes: 0,
  };
  return new ScsiDisk({ ...facts, ...sizes, backend, isRemovable: false, rotationRate: 0, writeCache: true });
}

interface Rig {
  readonly rig: PciRig;
  readonly controller: VirtioScsi;
  readonly disk: MemoryDisk;
  readonly rings: ReturnType<typeof bringUp>['rings'];
}

function start(): Rig {
  const controller = createController();
  const disk = new MemoryDisk(2 ** 20);
  controller.attach({ target: 2, lun: 3 }, createDisk(disk));
  const rig = createRig(controller, { vectors: 0 });
  return { rig, controller, disk, rings: bringUp(rig, 3).rings };
}

function submit(
  { rig, rings }: Rig,
  place: readonly number[],
  cdb: readonly number[],
  inBytes = 0,
  outBytes = 0,
  tag = 7,
): void {
  const { ram } = rig;
  ram.bytes.fill(0, REQUEST, REQUEST + 51);
  ram.bytes.set([1, place[0]!, 0x40 | (place[1]! >> 8), place[1]! & 255], REQUEST);
  ram.view.setBigUint64(REQUEST + 8, BigInt(tag), true);
  ram.bytes.set(cdb, REQUEST + 19);
  ram.bytes.fill(0xee, RESPONSE, RESPONSE + RESPONSE_BYTES);
  rings[2]!.add([
    { address: REQUEST, length: 51 },
    ...(outBytes > 0 ? [{ address: DATA, length: outBytes }] : []),
    { address: RESPONSE, length: RESPONSE_BYTES, write: true },
    ...(inBytes > 0 ? [{ address: DATA, length: inBytes, write: true }] : []),
  ]);
  kick(rig, 2);
}

const response = ({
  rig,
}: Rig): { senseBytes: number; residual: number; status: number; response: number } => ({
  senseBytes: rig.ram.view.getUint32(RESPONSE, true),
  residual: rig.ram.view.getUint32(RESPONSE + 4, true),
  status: rig.ram.bytes[RESPONSE + 10]!,
  response: rig.ram.bytes[RESPONSE + 11]!,
});

function manage({ rig, rings }: Rig, kind: number, tag = 7, lun = 3): void {
  const at = 0x82000;
  rig.ram.bytes.fill(0, at, at + 32);
  rig.ram.view.setUint32(at + 4, kind, true);
  rig.ram.bytes.set([1, 2, 0x40, lun], at + 8);
  rig.ram.view.setBigUint64(at + 16, BigInt(tag), true);
  rig.ram.bytes[at + 24] = 0xee;
  rings[0]!.add([
    { address: at, length: 24 },
    { address: at + 24, length: 1, write: true },
  ]);
  kick(rig, 0);
}

test('virtio-scsi: sense data, data both ways, residuals, missing targets and units', () => {
  const all = start();
  const { rig, disk, rings } = all;
  submit(all, [2, 3], [codes.TEST_UNIT_READY]);
  assert.deepEqual(response(all), { senseBytes: 18, residual: 0, status: 2, response: 0 });
  assert.deepEqual([rig.ram.bytes[RESPONSE + 14], rig.ram.bytes[RESPONSE + 24]], [6, codes.ASC_RESET]);
  assert.equal(rings[2]!.takeUsed()[0]!.written, RESPONSE_BYTES);
  rig.ram.bytes.fill(0xa5, DATA, DATA + 1024);
  submit(all, [2, 3], [codes.WRITE_10, 0, 0, 0, 0, 4, 0, 0, 2], 0, 1024);
  disk.run();
  assert.deepEqual(response(all), { senseBytes: 0, residual: 0, status: 0, response: 0 });
  assert.equal(disk.bytes[4 * 512 + 1023], 0xa5);
  rig.ram.bytes.fill(0, DATA, DATA + 2048);
  submit(all, [2, 3], [codes.READ_10, 0, 0, 0, 0, 4, 0, 0, 2], 2048);
  disk.run();
  assert.equal(response(all).residual, 1024);
  assert.equal(rig.ram.bytes[DATA + 1023], 0xa5);
  assert.equal(rings[2]!.takeUsed().at(-1)!.written, RESPONSE_BYTES + 1024);
  submit(all, [2, 3], [codes.READ_10, 0, 0, 0, 0, 4, 0, 0, 2], 512);
  assert.equal(response(all).response, 1, 'overrun');
  submit(all, [1, 0], [codes.TEST_UNIT_READY]);
  assert.equal(response(all).response, 3, 'bad target');
  submit(all, [2, 0], [codes.REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0, 64], 64);
  assert.equal(rig.ram.bytes[DATA + 9], 3, 'the target answers for its units');
  submit(all, [2, 7], [codes.TEST_UNIT_READY]);
  assert.equal(rig.ram.bytes[RESPONSE + 24], codes.ASC_NO_SUCH_LUN);
});

test('virtio-scsi: tasks are queried and aborted, a unit is reset', () => {
  const all = start();
  const { rig, disk, rings } = all;
  submit(all, [2, 3], [codes.TEST_UNIT_READY]);
  submit(all, [2, 3], [codes.READ_10, 0, 0, 0, 0, 0, 0, 0, 1], 512, 0, 99);
  manage(all, 6, 99);
  assert.equal(rig.ram.bytes[0x82018], 10, 'the task is there');
  manage(all, 0, 99);
  assert.equal(rig.ram.bytes[0x82018], 0xee, 'waits for the back end');
  disk.run();
  assert.equal(rig.ram.bytes[0x82018], 0);
  assert.equal(response(all).response, 2, 'aborted');
  manage(all, 6, 99);
  assert.equal(rig.ram.bytes[0x82018], 0, 'gone');
  manage(all, 5);
  submit(all, [2, 3], [codes.TEST_UNIT_READY]);
  assert.equal(rig.ram.bytes[RESPONSE + 24], codes.ASC_RESET);
  manage(all, 5, 0, 9);
  assert.equal(rig.ram.bytes[0x82018], 12, 'no such unit');
  assert.equal(rings[0]!.takeUsed().length, 5);
});

test('virtio-scsi: plugging, unplugging and missed events', () => {
  const all = start();
  const { rig, controller, rings } = all;
  const event = (): void => rings[1]!.add([{ address: 0x83000, length: 16, write: true }]);
  const words = (): number[] => [0, 4, 12].map((at) => rig.ram.view.getUint32(0x83000 + at, true));
  const added = createDisk(new MemoryDisk(4096));
  event();
  controller.attach({ target: 5, lun: 0x101 }, added);
  assert.deepEqual(words(), [1, 0x0141_0501, 1]);
  controller.detach(added);
  assert.deepEqual(words(), [1, 0x0141_0501, 1], 'no buffer: lost');
  event();
  kick(rig, 1);
  assert.equal(words()[0], 0x8000_0000, 'and told');
  event();
  controller.bus.find(2, 3)!.listener!.changed(codes.ASC_PARAMETERS_CHANGED, 9);
  assert.deepEqual(words(), [3, 0x0340_0201, 0x092a]);
});

test('virtio-scsi: a reset forgets requests under way; sizes are configurable', () => {
  const all = start();
  const { rig, disk, rings } = all;
  submit(all, [2, 3], [codes.TEST_UNIT_READY]);
  submit(all, [2, 3], [codes.READ_10, 0, 0, 0, 0, 0, 0, 0, 1], 512);
  rings[2]!.takeUsed();
  rig.device.core.writeStatus(0);
  disk.run();
  assert.equal(rings[2]!.takeUsed().length, 0);
  rig.memory.write(CONFIG + 20, 4, 18);
  assert.equal(rig.memory.read(CONFIG + 20, 4), 18);
  rig.memory.write(CONFIG + 20, 4, 5000);
  assert.equal(rig.memory.read(CONFIG + 20, 4), 18);
});

test('virtio-scsi: random requests neither throw nor get lost', () => {
  const next = randomSource(0x5c5c);
  const all = start();
  const { rig, disk, rings } = all;
  for (let i = 0; i < 3000; i++) {
    const cdb = Array.from({ length: 16 }, () => Math.floor(next() * 256) & (next() < 0.5 ? 0 : 255));
    submit(
      all,
      [next() < 0.8 ? 2 : Math.floor(next() * 256), next() < 0.8 ? 3 : 9],
      cdb,
      Math.floor(next() * 4096),
      Math.floor(next() * 4096),
    );
    if (next() < 0.2) manage(all, Math.floor(next() * 9));
    disk.run();
    rings[0]!.takeUsed();
    assert.equal(rings[2]!.takeUsed().length, 1);
  }
  assert.deepEqual(rig.errors, []);
});

testStateRoundTrip('virtio-scsi', createController);
