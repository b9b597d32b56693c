import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { MemoryDisk } from '../virtio/memory-disk.cases.ts';
import { ScsiCdrom } from './scsi-cdrom.ts';
import * as codes from './scsi-codes.ts';
import { ScsiDisk, type ScsiDiskOptions } from './scsi-disk.ts';
import { ScsiBus } from './scsi-target.ts';
import type { ScsiResult, ScsiUnit } from './scsi-unit.ts';

const FACTS = {
  vendor: 'TESTS',
  product: 'UNIT',
  revision: '1',
  serial: 'ser-9',
  deviceId: 'disk-a',
  wwn: 0n,
};

function createDisk(disk: MemoryDisk, more: Partial<ScsiDiskOptions> = {}): ScsiDisk {
  return new ScsiDisk({
    ...FACTS,
    backend: disk,
    isRemovable: false,
    logicalBlock: 512,
    physicalBlock: 4096,
    discardGranularity: 4096,
    rotationRate: 1,
    minIoBytes: 0,
    optIoBytes: 0,
    writeCache: true,
    ...more,
  });
}

interface Answer extends ScsiResult {
  readonly data: Uint8Array;
}

/** Carries out a command with buffers in odd pieces; numbers beyond `cdb` are zero. */
function run(
  unit: ScsiUnit,
  disk: MemoryDisk,
  cdb: readonly number[],
  inBytes = 0,
  out = new Uint8Array(),
): Answer {
  const bytes = new Uint8Array(16);
  bytes.set(cdb);
  const data = new Uint8Array(inBytes);
  const pieces = (all: Uint8Array): Uint8Array[] =>
    all.length > 7 ? [all.subarray(0, 7), all.subarray(7)] : all.length > 0 ? [all] : [];
  const results: ScsiResult[] = [];
  const buffers = { out: pieces(out), outBytes: out.length, in: pieces(data), inBytes };
  unit.execute(bytes, buffers, [0], (result) => void results.push(result));
  disk.run();
  assert.equal(results.length, 1, 'one completion');
  return { ...results[0]!, data: data.subarray(0, results[0]!.bytes) };
}

const be32 = (value: number): number[] => [
  value >>> 24,
  (value >> 16) & 255,
  (value >> 8) & 255,
  value & 255,
];
const rw10 = (op: number, lba: number, count: number, flags = 0): number[] => [
  ...[op, flags, ...be32(lba), 0, count >> 8, count & 255, 0],
];

/** A disk whose first unit attention has been taken. */
function ready(sizeBytes: number, more: Partial<ScsiDiskOptions> = {}): [ScsiDisk, MemoryDisk] {
  const disk = new MemoryDisk(sizeBytes);
  const unit = createDisk(disk, more);
  const first = run(unit, disk, [codes.TEST_UNIT_READY]);
  assert.deepEqual(first.sense, codes.sense(6, codes.ASC_RESET));
  assert.equal(run(unit, disk, [codes.TEST_UNIT_READY]).status, 0);
  return [unit, disk];
}

test('a disk is found: INQUIRY, its pages, capacity, LUNs', () => {
  const disk = new MemoryDisk(2 ** 20);
  const unit = createDisk(disk, { wwn: 0x5000_1234_5678_9abcn });
  const inquiry = run(unit, disk, [codes.INQUIRY, 0, 0, 0, 36], 36);
  assert.equal(Buffer.from(inquiry.data).toString('latin1', 8, 32), 'TESTS   UNIT            ');
  assert.deepEqual(
    [...run(unit, disk, [codes.INQUIRY, 1, 0, 0, 255], 255).data.subarray(4)],
    [0, 0x80, 0x83, 0xb0, 0xb1, 0xb2],
  );
  assert.equal(
    Buffer.from(run(unit, disk, [codes.INQUIRY, 1, 0x80, 0, 64], 64).data).toString('latin1', 4),
    'ser-9',
  );
  const names = Buffer.from(run(unit, disk, [codes.INQUIRY, 1, 0x83, 0, 255], 255).data);
  assert.equal(names.toString('latin1', 8, 14), 'disk-a');
  assert.equal(names.readBigUInt64BE(18), 0x5000_1234_5678_9abcn);
  const limits = Buffer.from(run(unit, disk, [codes.INQUIRY, 1, 0xb0, 0, 64], 64).data);
  assert.equal(limits.readUInt32BE(4 + 24), 8, 'granularity of UNMAP');
  assert.equal(run(unit, disk, [codes.INQUIRY, 1, 0x99, 0, 64], 64).sense!.asc, codes.ASC_INVALID_FIELD);
  assert.equal(run(unit, disk, [codes.INQUIRY, 0, 0, 0, 5], 36).data.length, 5);
  // INQUIRY and REPORT LUNS leave the unit attention alone.
  assert.deepEqual(
    [...run(unit, disk, [codes.REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0, 16], 16).data],
    [0, 0, 0, 8, 0, 0, 0, 0, ...new Array<number>(8).fill(0)],
  );
  const sense = run(unit, disk, [codes.REQUEST_SENSE, 0, 0, 0, 18], 18).data;
  assert.deepEqual([sense[2], sense[12]], [6, codes.ASC_RESET]);
  const capacity = Buffer.from(run(unit, disk, [codes.READ_CAPACITY], 8).data);
  assert.deepEqual([capacity.readUInt32BE(0), capacity.readUInt32BE(4)], [2047, 512]);
  const long = Buffer.from(
    run(unit, disk, [codes.SERVICE_ACTION_IN_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], 32).data,
  );
  assert.deepEqual([long.readBigUInt64BE(0), long[13], long[14]], [2047n, 3, 0x80]);
});

test('a disk reads and writes in every command length, and forces to the medium what it must', () => {
  const [unit, disk] = ready(2 ** 20);
  const block = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  assert.equal(run(unit, disk, [codes.WRITE_6, 0, 0, 3, 2], 0, block).bytes, 1024);
  assert.deepEqual(run(unit, disk, rw10(codes.READ_10, 3, 2), 1024).data, block);
  assert.deepEqual(run(unit, disk, [codes.READ_12, 0, ...be32(3), ...be32(2)], 1024).data, block);
  assert.deepEqual(run(unit, disk, [codes.READ_16, 0, 0, 0, 0, 0, ...be32(3), ...be32(2)], 1024).data, block);
  disk.log.length = 0;
  run(unit, disk, rw10(codes.WRITE_10, 9, 1, 8), 0, block.subarray(0, 512));
  assert.deepEqual(disk.log, ['write 4608+512', 'flush']);
  assert.equal(run(unit, disk, rw10(codes.READ_10, 2047, 2), 1024).sense!.asc, codes.ASC_LBA_OUT_OF_RANGE);
  assert.equal(
    run(unit, disk, [codes.READ_16, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1], 512).sense!.asc,
    codes.ASC_LBA_OUT_OF_RANGE,
  );
  assert.equal(run(unit, disk, rw10(codes.READ_10, 0, 2), 512).isOverrun, true);
  assert.equal(run(unit, disk, rw10(codes.READ_10, 0, 0)).status, 0);
  assert.equal(run(unit, disk, rw10(codes.VERIFY_10, 3, 2, 2), 0, block).status, 0);
  block[1000]! ^= 1;
  assert.equal(run(unit, disk, rw10(codes.VERIFY_10, 3, 2, 2), 0, block).sense!.key, codes.SENSE_MISCOMPARE);
});

test('a disk unmaps and writes patterns', () => {
  const [unit, disk] = ready(2 ** 21);
  const list = Buffer.alloc(8 + 32);
  list.writeUInt16BE(38, 0);
  list.writeUInt16BE(32, 2);
  list.writeBigUInt64BE(8n, 8);
  list.writeUInt32BE(16, 16);
  list.writeBigUInt64BE(64n, 24);
  list.writeUInt32BE(8, 32);
  disk.log.length = 0;
  assert.equal(run(unit, disk, [codes.UNMAP, 0, 0, 0, 0, 0, 0, 0, 40], 0, list).status, 0);
  assert.deepEqual(disk.log, ['discard 4096+8192', 'discard 32768+4096']);
  list.writeUInt16BE(48, 2);
  assert.equal(
    run(unit, disk, [codes.UNMAP, 0, 0, 0, 0, 0, 0, 0, 40], 0, list).sense!.asc,
    codes.ASC_INVALID_PARAMETER,
  );
  disk.log.length = 0;
  run(unit, disk, rw10(codes.WRITE_SAME_10, 8, 16, 8), 0, new Uint8Array(512));
  assert.deepEqual(disk.log, ['zero+unmap 4096+8192']);
  const pattern = Uint8Array.from({ length: 512 }, (_, i) => i ^ 0x5a);
  assert.equal(run(unit, disk, rw10(codes.WRITE_SAME_10, 1, 2000), 0, pattern).status, 0);
  assert.deepEqual(disk.bytes.subarray(512 * 1999, 512 * 2000), pattern);
  assert.equal(disk.bytes[512 * 2001], 0);
  assert.equal(
    run(unit, disk, rw10(codes.WRITE_SAME_10, 1, 0), 0, pattern).sense!.asc,
    codes.ASC_INVALID_FIELD,
  );
});

test('mode pages: the write cache is shown and can be switched off', () => {
  const [unit, disk] = ready(2 ** 20);
  const page = run(unit, disk, [codes.MODE_SENSE_6, 8, 8, 0, 255], 255).data;
  assert.deepEqual([page[4], page[5], page[6]! & 4], [8, 18, 4]);
  assert.equal(run(unit, disk, [codes.MODE_SENSE_10, 0, 0x3f, 0, 0, 0, 0, 1, 0], 256).status, 0);
  assert.equal(
    run(unit, disk, [codes.MODE_SENSE_6, 0, 0xc8, 0, 255], 255).sense!.asc,
    codes.ASC_SAVING_NOT_SUPPORTED,
  );
  const list = Uint8Array.from([0, 0, 0, 0, 8, 18, ...new Array<number>(18).fill(0)]);
  disk.log.length = 0;
  assert.equal(run(unit, disk, [codes.MODE_SELECT_6, 0x10, 0, 0, list.length], 0, list).status, 0);
  assert.deepEqual(disk.log, ['flush'], 'what was cached goes to the medium');
  run(unit, disk, rw10(codes.WRITE_10, 0, 1), 0, new Uint8Array(512));
  assert.equal(disk.log.at(-1), 'flush');
  list[7] = 1;
  assert.equal(
    run(unit, disk, [codes.MODE_SELECT_6, 0x10, 0, 0, list.length], 0, list).sense!.asc,
    codes.ASC_INVALID_PARAMETER,
  );
});

test('a read-only disk refuses writes; a medium that changes is an attention', () => {
  const disk = new MemoryDisk(2 ** 20, true);
  const unit = createDisk(disk);
  const changes: number[] = [];
  unit.listener = { changed: (asc, ascq) => void changes.push(asc, ascq) };
  run(unit, disk, [codes.TEST_UNIT_READY]);
  assert.equal(
    run(unit, disk, rw10(codes.WRITE_10, 0, 1), 0, new Uint8Array(512)).sense!.key,
    codes.SENSE_DATA_PROTECT,
  );
  disk.onMediumChanged!();
  assert.deepEqual(changes, [codes.ASC_PARAMETERS_CHANGED, 9]);
  assert.deepEqual(
    run(unit, disk, [codes.TEST_UNIT_READY]).sense,
    codes.sense(6, codes.ASC_PARAMETERS_CHANGED, 9),
  );
});

test('a CD-ROM drive: identity, contents, sectors raw and cooked', () => {
  const disk = new MemoryDisk(64 * 2048, true);
  disk.bytes.forEach((_, i) => (disk.bytes[i] = i >> 11));
  const unit = new ScsiCdrom(disk, FACTS);
  const inquiry = run(unit, disk, [codes.INQUIRY, 0, 0, 0, 36], 36).data;
  assert.deepEqual([inquiry[0], inquiry[1]], [5, 0x80]);
  assert.equal(run(unit, disk, [codes.TEST_UNIT_READY]).sense!.asc, codes.ASC_RESET);
  assert.equal(run(unit, disk, [codes.TEST_UNIT_READY]).status, 0);
  assert.deepEqual(run(unit, disk, rw10(codes.READ_10, 5, 2), 4096).data, disk.bytes.subarray(10240, 14336));
  const raw = run(unit, disk, [codes.READ_CD, 0, ...be32(7), 0, 0, 1, 0xf8], 2352).data;
  assert.deepEqual([raw.length, raw[16]], [2352, 7]);
  const mode = run(unit, disk, [codes.MODE_SENSE_6, 0, 0x2a, 0, 255], 255).data;
  assert.equal(mode[4], 0x2a);
  assert.equal(mode[0], mode.length - 1);
  assert.equal(
    run(unit, disk, [codes.WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1], 0, new Uint8Array(2048)).sense!.asc,
    codes.ASC_ILLEGAL_OPCODE,
  );
});

test('places: the first free target, then the first free unit of a given target', () => {
  const bus = new ScsiBus({ maxTarget: 2, maxLun: 300 });
  const unit = (): ScsiDisk => createDisk(new MemoryDisk(4096));
  for (const expected of [0, 1, 2]) {
    const place = bus.choose(undefined, undefined);
    assert.deepEqual(place, { target: expected, lun: 0 });
    bus.add(place as { target: number; lun: number }, unit());
  }
  assert.equal(bus.choose(undefined, undefined), 'no free target');
  assert.deepEqual(bus.choose(1, undefined), { target: 1, lun: 1 });
  assert.equal(bus.choose(1, 0), 'lun already used');
  assert.match(bus.choose(3, 0) as string, /bad scsi device id/);
  bus.add({ target: 1, lun: 300 }, unit());
  assert.deepEqual(bus.luns(1), [0, 300]);
});

test('random commands neither throw nor leave a unit silent', () => {
  const next = randomSource(0x5c51);
  const disk = new MemoryDisk(2 ** 18);
  const units: ScsiUnit[] = [createDisk(disk), new ScsiCdrom(disk, FACTS)];
  for (let i = 0; i < 20000; i++) {
    const cdb = Array.from({ length: 16 }, () => (next() < 0.6 ? 0 : Math.floor(next() * 256)));
    cdb[0] = Math.floor(next() * 256);
    const out = Uint8Array.from({ length: Math.floor(next() * 600) }, () => Math.floor(next() * 256));
    const answer = run(units[i & 1]!, disk, cdb, Math.floor(next() * 2000), out);
    assert.ok(answer.status === 0 || answer.sense !== undefined);
  }
});

testStateRoundTrip('scsi-disk', () => createDisk(new MemoryDisk(4096)));
testStateRoundTrip('scsi-cd', () => new ScsiCdrom(new MemoryDisk(4096), FACTS));
