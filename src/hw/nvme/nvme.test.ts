import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import type { GuestRam } from '../../core/guest-ram.ts';
import { TimerQueue } from '../../core/timer.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { createGuest, RAM_BYTES } from '../virtio/driver.cases.ts';
import { MemoryDisk } from '../virtio/memory-disk.cases.ts';
import { NVME_IDS, Nvme } from './nvme.ts';
import * as codes from './nvme-codes.ts';
import { NvmeNamespace } from './nvme-namespace.ts';

const BAR = 0x8000_0000;
const ASQ = 0x10000;
const ACQ = 0x11000;
const SQ = 0x12000;
const CQ = 0x13000;
const DATA = 0x20000;
const LIST = 0x40000;
const ENTRIES = 8;

function createNamespace(disk: MemoryDisk): NvmeNamespace {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
  const sizes = { logicalBlock: 512, physicalBlock: 4096, discardGranularity: 4096 };
  return new NvmeNamespace({ ...sizes, backend: disk, uuid, eui64: 0x0102_0304_0506_0708n });
}

interface Completion {
  readonly result: number;
  readonly sqHead: number;
  readonly id: number;
  readonly status: number;
}

/** A driver with an admin queue and, after `start`, one pair of I/O queues. */
class Rig {
  readonly disk = new MemoryDisk(2 ** 20);
  readonly clock = new ManualClock();
  readonly ram: GuestRam;
  readonly memory;
  readonly nvme: Nvme;
  readonly errors: string[] = [];
  readonly pin = { level: false };
  readonly #tails = [0, 0];
  readonly #heads = [0, 0];
  readonly #phases = [1, 1];

  constructor(vectors = 0) {
    const { memory, io, ram } = createGuest();
    this.ram = ram;
    this.memory = memory;
    const bus = new PciBus(memory.root, io.root, (_slot, _pin, level) => (this.pin.level = level));
    this.nvme = new Nvme({
      memory,
      msi: { sendMsi: () => {} },
      timers: new TimerQueue(this.clock),
      guestError: (text) => void this.errors.push(text),
      serial: 'ser-1',
      ids: NVME_IDS,
      queuePairs: 4,
      vectors,
      maxTransferShift: 7,
      eventLimit: 4,
    });
    this.nvme.attach(createNamespace(this.disk));
    bus.add(3, 0, this.nvme.pci);
    this.nvme.pci.writeConfig(0x10, 4, BAR);
    this.nvme.pci.writeConfig(4, 2, 7);
  }

  set(register: number, value: number): void {
    this.memory.write(BAR + register, 4, value);
  }

  get(register: number): number {
    return this.memory.read(BAR + register, 4);
  }

  enable(): void {
    this.set(codes.REG_CC, 0);
    this.#tails.fill(0);
    this.#heads.fill(0);
    this.#phases.fill(1);
    this.ram.bytes.fill(0, ASQ, DATA);
    this.set(codes.REG_AQA, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
    this.set(codes.REG_ASQ, ASQ);
    this.set(codes.REG_ACQ, ACQ);
    this.set(codes.REG_CC, 0x00460001);
    assert.equal(this.get(codes.REG_CSTS), 1);
  }

  /** Puts a command into queue 0 or 1 and rings. */
  submit(
    queue: number,
    opcode: number,
    fields: {
      nsid?: number;
      prp1?: number;
      prp2?: number | bigint;
      d10?: number;
      d11?: number;
      d12?: number;
      flags?: number;
      id?: number;
    } = {},
  ): void {
    const at = (queue === 0 ? ASQ : SQ) + codes.COMMAND_BYTES * this.#tails[queue]!;
    const { view } = this.ram;
    this.ram.bytes.fill(0, at, at + 64);
    view.setUint32(at, opcode | ((fields.flags ?? 0) << 8) | ((fields.id ?? 5) << 16), true);
    view.setUint32(at + 4, fields.nsid ?? 0, true);
    view.setBigUint64(at + 24, BigInt(fields.prp1 ?? DATA), true);
    view.setBigUint64(at + 32, BigInt(fields.prp2 ?? 0), true);
    [fields.d10, fields.d11, fields.d12].forEach((value, i) =>
      view.setUint32(at + 40 + 4 * i, value ?? 0, true),
    );
    this.#tails[queue] = (this.#tails[queue]! + 1) % ENTRIES;
    this.set(codes.DOORBELLS + 8 * queue, this.#tails[queue]!);
  }

  /** The next completion, or undefined. */
  take(queue: number, ring = true): Completion | undefined {
    const at = (queue === 0 ? ACQ : CQ) + codes.COMPLETION_BYTES * this.#heads[queue]!;
    const { view } = this.ram;
    const status = view.getUint16(at + 14, true);
    if ((status & 1) !== this.#phases[queue]) return undefined;
    this.#heads[queue] = (this.#heads[queue]! + 1) % ENTRIES;
    if (this.#heads[queue] === 0) this.#phases[queue]! ^= 1;
    if (ring) this.set(codes.DOORBELLS + 8 * queue + 4, this.#heads[queue]!);
    return {
      result: view.getUint32(at, true),
      sqHead: view.getUint16(at + 8, true),
      id: view.getUint16(at + 12, true),
      status: status >> 1,
    };
  }

  run(queue: number, opcode: number, fields: Parameters<Rig['submit']>[2] = {}): Completion {
    this.submit(queue, opcode, fields);
    this.disk.run();
    const done = this.take(queue);
    assert.ok(done !== undefined, 'a completion');
    return done;
  }

  createQueues(): void {
    const entries = (ENTRIES - 1) << 16;
    assert.equal(this.run(0, codes.ADMIN_CREATE_CQ, { prp1: CQ, d10: entries | 1, d11: 3 }).status, 0);
    assert.equal(this.run(0, codes.ADMIN_CREATE_SQ, { prp1: SQ, d10: entries | 1, d11: 0x10001 }).status, 0);
  }
}

function started(): Rig {
  const rig = new Rig();
  rig.enable();
  rig.createQueues();
  return rig;
}

const status = (code: number): number => code | codes.DO_NOT_RETRY;

test('a controller is found and identified', () => {
  const rig = new Rig();
  assert.deepEqual([rig.get(0) & 0xffff, rig.get(8)], [0x7ff, 0x10400]);
  assert.equal((rig.get(4) >> 20) & 15, 4, 'largest page');
  rig.enable();
  assert.equal(rig.run(0, codes.ADMIN_IDENTIFY, { d10: 1 }).status, 0);
  const text = Buffer.from(rig.ram.bytes.subarray(DATA, DATA + 4096));
  assert.equal(text.toString('latin1', 4, 24), 'ser-1'.padEnd(20));
  assert.equal(text[77], 7);
  assert.equal(rig.run(0, codes.ADMIN_IDENTIFY, { nsid: 1 }).status, 0);
  assert.equal(rig.ram.view.getBigUint64(DATA, true), 2048n);
  assert.equal(rig.ram.bytes[DATA + 130], 9);
  rig.run(0, codes.ADMIN_IDENTIFY, { d10: 2 });
  assert.deepEqual([rig.ram.view.getUint32(DATA, true), rig.ram.view.getUint32(DATA + 4, true)], [1, 0]);
  rig.run(0, codes.ADMIN_IDENTIFY, { d10: 3, nsid: 1 });
  assert.deepEqual([rig.ram.bytes[DATA], rig.ram.bytes[DATA + 12], rig.ram.bytes[DATA + 17]], [1, 3, 1]);
  assert.equal(rig.run(0, codes.ADMIN_IDENTIFY, { d10: 0x77 }).status, status(codes.INVALID_FIELD));
  assert.equal(rig.run(0, 0xc0).status, status(codes.INVALID_OPCODE));
});

test('queues are created and deleted by the rules', () => {
  const rig = new Rig();
  rig.enable();
  const entries = (ENTRIES - 1) << 16;
  assert.equal(
    rig.run(0, codes.ADMIN_CREATE_SQ, { prp1: SQ, d10: entries | 1, d11: 0x10001 }).status,
    status(codes.INVALID_CQ),
  );
  assert.equal(
    rig.run(0, codes.ADMIN_CREATE_CQ, { prp1: CQ, d10: entries | 9, d11: 3 }).status,
    status(codes.INVALID_QUEUE_ID),
  );
  assert.equal(
    rig.run(0, codes.ADMIN_CREATE_CQ, { prp1: CQ + 8, d10: entries | 1, d11: 3 }).status,
    status(codes.INVALID_PRP_OFFSET),
  );
  assert.equal(
    rig.run(0, codes.ADMIN_CREATE_CQ, { prp1: CQ, d10: 1, d11: 3 }).status,
    status(codes.INVALID_QUEUE_SIZE),
  );
  assert.equal(
    rig.run(0, codes.ADMIN_CREATE_CQ, { prp1: CQ, d10: entries | 1, d11: 0x10003 }).status,
    status(codes.INVALID_VECTOR),
  );
  rig.createQueues();
  assert.equal(rig.run(0, codes.ADMIN_DELETE_CQ, { d10: 1 }).status, status(codes.INVALID_QUEUE_DELETION));
  assert.equal(rig.run(0, codes.ADMIN_DELETE_SQ, { d10: 1 }).status, 0);
  assert.equal(rig.run(0, codes.ADMIN_DELETE_CQ, { d10: 1 }).status, 0);
  assert.equal(rig.run(0, codes.ADMIN_DELETE_SQ, { d10: 1 }).status, status(codes.INVALID_QUEUE_ID));
  assert.equal(
    rig.run(0, codes.ADMIN_SET_FEATURES, { d10: codes.FEATURE_QUEUES, d11: 0x70007 }).result,
    0x30003,
  );
});

test('data goes through pages, lists of pages and scatter gather lists', () => {
  const rig = started();
  const { ram, disk } = rig;
  disk.bytes.forEach((_, i) => (disk.bytes[i] = (i * 13) >> 3));
  const compare = (at: number, from: number, bytes: number): void =>
    assert.deepEqual(ram.bytes.subarray(at, at + bytes), disk.bytes.subarray(from, from + bytes));
  // two entries, the first within its page
  assert.equal(
    rig.run(1, codes.NVM_READ, { nsid: 1, prp1: DATA + 512, prp2: DATA + 0x2000, d10: 3, d12: 13 }).status,
    0,
  );
  compare(DATA + 512, 3 * 512, 3584);
  compare(DATA + 0x2000, 3 * 512 + 3584, 3584);
  // a list that goes on in another: 20 pages, the first list with room for 3 entries
  const pages = Array.from({ length: 20 }, (_, i) => DATA + 0x1000 * ((i * 7) % 20));
  const second = LIST + 0x2000;
  ram.view.setBigUint64(LIST + 0x1000 - 24, BigInt(pages[1]!), true);
  ram.view.setBigUint64(LIST + 0x1000 - 16, BigInt(pages[2]!), true);
  ram.view.setBigUint64(LIST + 0x1000 - 8, BigInt(second), true);
  pages.slice(3).forEach((page, i) => ram.view.setBigUint64(second + 8 * i, BigInt(page), true));
  assert.equal(
    rig.run(1, codes.NVM_READ, { nsid: 1, prp1: pages[0]!, prp2: LIST + 0x1000 - 24, d10: 8, d12: 159 })
      .status,
    0,
  );
  pages.forEach((page, i) => compare(page, 4096 + 4096 * i, 4096));
  // a segment of two blocks and a last segment of one
  const descriptor = (at: number, addr: number, length: number, type: number): void => {
    ram.view.setBigUint64(at, BigInt(addr), true);
    ram.view.setUint32(at + 8, length, true);
    ram.view.setUint32(at + 12, type << 28, true);
  };
  descriptor(LIST, DATA + 5, 100, 0);
  descriptor(LIST + 16, LIST + 0x100, 16, 3);
  descriptor(LIST + 0x100, DATA + 0x3001, 924, 0);
  const sgl = { nsid: 1, flags: 0x40, prp1: LIST, prp2: 32n + (2n << 60n), d12: 1 };
  assert.equal(rig.run(1, codes.NVM_READ, sgl).status, 0);
  compare(DATA + 5, 0, 100);
  compare(DATA + 0x3001, 100, 924);
  descriptor(LIST + 0x100, DATA + 0x3001, 900, 0);
  assert.equal(rig.run(1, codes.NVM_READ, sgl).status, status(codes.INVALID_SGL_LENGTH));
  descriptor(LIST + 0x100, LIST + 0x100, 16, 2);
  assert.equal(rig.run(1, codes.NVM_READ, sgl).status, status(codes.INVALID_SGL_SEGMENT), 'a loop');
  assert.equal(
    rig.run(1, codes.NVM_READ, { nsid: 1, prp1: DATA + 1, d12: 0 }).status,
    status(codes.INVALID_PRP_OFFSET),
  );
});

test('the NVM commands do what they say', () => {
  const rig = started();
  const { ram, disk } = rig;
  ram.bytes.fill(0x5a, DATA, DATA + 1024);
  assert.equal(rig.run(1, codes.NVM_WRITE, { nsid: 1, d10: 10, d12: 1 }).status, 0);
  assert.equal(disk.bytes[11 * 512 + 511], 0x5a);
  assert.equal(rig.run(1, codes.NVM_COMPARE, { nsid: 1, d10: 10, d12: 1 }).status, 0);
  ram.bytes[DATA + 7] = 0;
  assert.equal(
    rig.run(1, codes.NVM_COMPARE, { nsid: 1, d10: 10, d12: 1 }).status,
    status(codes.COMPARE_FAILURE),
  );
  disk.log.length = 0;
  rig.run(1, codes.NVM_WRITE, { nsid: 1, d10: 10, d12: 1 << 30 });
  rig.run(1, codes.NVM_WRITE_ZEROES, { nsid: 1, d10: 8, d12: (1 << 25) | 7 });
  rig.run(1, codes.NVM_FLUSH, { nsid: codes.ALL_NAMESPACES });
  ram.view.setUint32(DATA + 4, 8, true);
  ram.view.setBigUint64(DATA + 8, 16n, true);
  rig.run(1, codes.NVM_DATASET, { nsid: 1, d10: 0, d11: 4 });
  rig.run(1, codes.NVM_VERIFY, { nsid: 1, d10: 0, d12: 3 });
  assert.deepEqual(disk.log, [
    'write 5120+512',
    'flush',
    'zero+unmap 4096+4096',
    'flush',
    'discard 8192+4096',
    'read 0+2048',
  ]);
  assert.equal(
    rig.run(1, codes.NVM_READ, { nsid: 1, d10: 2047, d12: 1 }).status,
    status(codes.LBA_OUT_OF_RANGE),
  );
  assert.equal(rig.run(1, codes.NVM_READ, { nsid: 9999 }).status, status(codes.INVALID_NAMESPACE));
  assert.equal(rig.run(1, codes.NVM_READ, { nsid: 1, d12: 0xffff }).status, status(codes.LBA_OUT_OF_RANGE));
});

test('a full completion queue holds completions back; the pin follows the queues', () => {
  const rig = started();
  for (let round = 0; round < 30; round++) {
    for (let i = 0; i < ENTRIES - 1; i++) rig.submit(1, codes.NVM_FLUSH, { nsid: 1, id: i });
    rig.disk.run();
    assert.equal(rig.pin.level, true);
    for (let i = 0; i < ENTRIES - 1; i++) assert.equal(rig.take(1, i === ENTRIES - 2)?.id, i);
    rig.disk.run();
    assert.equal(rig.pin.level, false);
  }
  rig.submit(1, codes.NVM_FLUSH, { nsid: 1 });
  rig.disk.run();
  rig.set(codes.REG_INTMS, 1);
  assert.equal(rig.pin.level, false);
  rig.set(codes.REG_INTMC, 1);
  assert.equal(rig.pin.level, true);
});

test('features, log pages, events and aborts', () => {
  const rig = started();
  const feature = (op: number, d10: number, d11 = 0): Completion => rig.run(0, op, { d10, d11 });
  assert.equal(feature(codes.ADMIN_GET_FEATURES, codes.FEATURE_WRITE_CACHE).result, 1);
  rig.disk.log.length = 0;
  feature(codes.ADMIN_SET_FEATURES, codes.FEATURE_WRITE_CACHE, 0);
  assert.deepEqual(rig.disk.log, ['flush']);
  rig.run(1, codes.NVM_WRITE, { nsid: 1 });
  assert.deepEqual(rig.disk.log, ['flush', 'write 0+512', 'flush'], 'write through');
  assert.equal(feature(codes.ADMIN_SET_FEATURES, 0x8000_0006, 1).status, status(codes.FEATURE_NOT_SAVEABLE));
  rig.ram.view.setBigUint64(DATA, 1_700_000_000_000n, true);
  feature(codes.ADMIN_SET_FEATURES, codes.FEATURE_TIMESTAMP);
  rig.clock.advance(5_000_000_000);
  feature(codes.ADMIN_GET_FEATURES, codes.FEATURE_TIMESTAMP);
  assert.equal(rig.ram.view.getBigUint64(DATA, true) & 0xffff_ffff_ffffn, 1_700_000_005_000n);
  // An event waits until somebody asks, and is not repeated before its log page was read.
  for (let id = 20; id < 24; id++) rig.submit(0, codes.ADMIN_ASYNC_EVENT, { id });
  assert.equal(rig.take(0), undefined);
  assert.equal(rig.run(0, codes.ADMIN_ASYNC_EVENT).status, status(codes.ASYNC_EVENT_LIMIT));
  rig.disk.onMediumChanged!();
  rig.disk.onMediumChanged!();
  const event = rig.take(0)!;
  assert.deepEqual([event.id, event.result], [20, 0x040002]);
  assert.equal(rig.take(0), undefined);
  rig.submit(0, codes.ADMIN_GET_LOG, {
    nsid: codes.ALL_NAMESPACES,
    d10: (1023 << 16) | codes.LOG_CHANGED_NAMESPACES,
  });
  assert.equal(rig.take(0)?.status, 0);
  assert.equal(rig.ram.view.getUint32(DATA, true), 1);
  const aborted = rig.run(0, codes.ADMIN_ABORT, { d10: 22 << 16, id: 30 });
  assert.deepEqual([aborted.id, aborted.status], [22, codes.ABORTED]);
  assert.deepEqual([rig.take(0)?.result], [0]);
  assert.equal(rig.run(0, codes.ADMIN_ABORT, { d10: 99 << 16 }).result, 1, 'not found');
  rig.run(0, codes.ADMIN_GET_LOG, { d10: (127 << 16) | codes.LOG_HEALTH });
  assert.equal(rig.ram.view.getUint16(DATA + 1, true), 0x143);
  assert.equal(rig.run(0, codes.ADMIN_GET_LOG, { d10: 0xee }).status, status(codes.INVALID_LOG_PAGE));
});

test('a reset ends when no back end uses memory any more; shutting down flushes', () => {
  const rig = started();
  rig.submit(1, codes.NVM_READ, { nsid: 1 });
  rig.set(codes.REG_CC, 0);
  assert.equal(rig.get(codes.REG_CSTS), 1);
  rig.disk.run();
  assert.equal(rig.get(codes.REG_CSTS), 0);
  rig.enable();
  rig.createQueues();
  rig.disk.log.length = 0;
  rig.set(codes.REG_CC, 0x00464001);
  assert.equal((rig.get(codes.REG_CSTS) >> 2) & 3, 1);
  rig.disk.run();
  assert.equal((rig.get(codes.REG_CSTS) >> 2) & 3, 2);
  assert.deepEqual(rig.disk.log, ['flush']);
});

test('random commands in both queues get one completion each', () => {
  const next = randomSource(0x17e);
  const rig = started();
  const word = (): number => (next() < 0.4 ? Math.floor(next() * 16) : Math.floor(next() * 2 ** 32));
  const place = (): number =>
    next() < 0.7 ? DATA + 4096 * Math.floor(next() * 8) : Math.floor(next() * 2 * RAM_BYTES);
  const admin = [
    codes.ADMIN_IDENTIFY,
    codes.ADMIN_GET_LOG,
    codes.ADMIN_GET_FEATURES,
    codes.ADMIN_ABORT,
    0x10,
    0x80,
  ];
  for (let i = 0; i < 4000; i++) {
    const queue = i & 1;
    const opcode = queue === 0 ? admin[Math.floor(next() * admin.length)]! : Math.floor(next() * 20);
    const fields = {
      nsid: next() < 0.8 ? 1 : word(),
      prp1: place(),
      prp2: place(),
      d10: word(),
      d11: word(),
      d12: word(),
    };
    rig.ram.bytes.fill(0, DATA, DATA + 0x8000);
    rig.submit(queue, opcode, { ...fields, flags: next() < 0.3 ? 0x40 : 0 });
    rig.disk.run();
    const lost = rig.take(queue) === undefined;
    // Data may have been read over the queues themselves.
    if (lost) {
      rig.enable();
      rig.createQueues();
    }
  }
});

testStateRoundTrip('nvme', () => new Rig(8).nvme);
testHostileInput('nvme', () => {
  const rig = new Rig();
  rig.enable();
  return { device: rig.nvme, size: 0x4000 };
});
