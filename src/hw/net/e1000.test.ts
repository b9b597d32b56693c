import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_NEEDS_CHECKSUM, GSO_TCPV4, PLAIN_FRAME } from '../../core/net-backend.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { E1000 } from './e1000.ts';
import { createNicRig, MAC, type NicRig, testFrame } from './nic-rig.cases.ts';

const RX_RING = 0x10000;
const TX_RING = 0x20000;
const BUFFERS = 0x40000;
const RING = 8;

const createRig = (): NicRig<E1000> => createNicRig((parts) => new E1000(parts), 0);

/** What a driver does before its first packet. */
function bringUp(rig: NicRig<E1000>, rctl = 0x0400_8002): void {
  rig.write(0x2800, RX_RING);
  rig.write(0x2808, RING * 16);
  for (let n = 0; n < RING; n++) rig.ram.view.setUint32(RX_RING + 16 * n, BUFFERS + 2048 * n, true);
  rig.write(0x2810, 0);
  rig.write(0x2818, RING - 1);
  rig.write(0x3800, TX_RING);
  rig.write(0x3808, RING * 16);
  rig.write(0x100, rctl);
  rig.write(0x400, 2);
  rig.write(0xd0, 0x9d);
}

function descriptor(rig: NicRig<E1000>, n: number, address: number, lower: number, upper: number): void {
  const at = TX_RING + 16 * n;
  rig.ram.view.setUint32(at, address, true);
  rig.ram.view.setUint32(at + 4, 0, true);
  rig.ram.view.setUint32(at + 8, lower, true);
  rig.ram.view.setUint32(at + 12, upper, true);
}

test('e1000: the EEPROM gives the address, bit by bit and by EERD, and its sum is right', () => {
  const rig = createRig();
  const shift = (bits: number, count: number): void => {
    for (let i = count - 1; i >= 0; i--) {
      const value = 0x42 | (((bits >> i) & 1) << 2);
      rig.write(0x10, value);
      rig.write(0x10, value | 1);
      rig.write(0x10, value);
    }
  };
  const word = (n: number): number => {
    rig.write(0x10, 0x40);
    rig.write(0x10, 0x42);
    shift(6, 3);
    shift(n, 6);
    let value = 0;
    for (let i = 0; i < 16; i++) {
      rig.write(0x10, 0x43);
      value = (value << 1) | ((rig.read(0x10) >> 3) & 1);
      rig.write(0x10, 0x42);
    }
    return value;
  };
  let sum = 0;
  for (let n = 0; n < 64; n++) sum += word(n);
  assert.equal(sum & 0xffff, 0xbaba);
  assert.deepEqual([word(0), word(1), word(2)], [0x5452, 0x1200, 0x5634]);
  rig.write(0x14, 0x0201);
  assert.equal(rig.read(0x14) >>> 16, 0x5634);
});

test('e1000: the PHY is a gigabit one with a link', () => {
  const rig = createRig();
  const phy = (n: number): number => {
    rig.write(0x20, 0x0820_0000 | (n << 16));
    return rig.read(0x20) & 0xffff;
  };
  assert.equal((phy(2) << 16) | phy(3), 0x01410c20);
  assert.equal(phy(1) & 0x24, 0x24);
  assert.equal(rig.read(8) & 3, 3);
  rig.wire.isLinkUp = false;
  rig.write(0xd0, 4);
  rig.wire.frontend.linkChanged!(false);
  assert.equal(rig.read(8) & 2, 0);
  assert.equal(rig.pin.level, true);
  assert.equal(rig.read(0xc0) & 4, 4);
  assert.equal(rig.pin.level, false, 'reading ICR clears it');
});

test('e1000: a frame in two descriptors goes out, with status and interrupt', () => {
  const rig = createRig();
  bringUp(rig);
  rig.ram.bytes.set(testFrame(100), BUFFERS);
  descriptor(rig, 0, BUFFERS, 40, 0);
  descriptor(rig, 1, BUFFERS + 40, 60 | (9 << 24), 0);
  rig.wire.room = 0;
  rig.write(0x3818, 2);
  assert.equal(rig.read(0x3810), 1, 'no room: the last descriptor waits');
  rig.wire.room = 5;
  rig.wire.frontend.writable();
  assert.deepEqual(rig.wire.sent[0]!.frame, testFrame(100));
  assert.equal(rig.read(0x3810), 2);
  assert.equal(rig.ram.bytes[TX_RING + 16 + 12]! & 1, 1);
  assert.equal(rig.pin.level, true);
  assert.equal(rig.read(0xc0) & 3, 3);
});

test('e1000: context and data descriptors ask for segments and checksums', () => {
  const rig = createRig();
  bringUp(rig);
  const frame = testFrame(3054);
  frame.set([8, 0, 0x45, 0, 0, 0], 12);
  rig.ram.bytes.set(frame, BUFFERS);
  const context = TX_RING;
  rig.ram.view.setUint32(context, 14 | (24 << 8) | (33 << 16), true);
  rig.ram.view.setUint32(context + 4, 34 | (50 << 8), true);
  rig.ram.view.setUint32(context + 8, (0x27 << 24) | 3000, true);
  rig.ram.view.setUint32(context + 12, (1448 << 16) | (54 << 8), true);
  descriptor(rig, 1, BUFFERS, (0x2f << 24) | (1 << 20) | 3054, 0x300);
  rig.write(0x3818, 2);
  const { meta, frame: sent } = rig.wire.sent[0]!;
  assert.deepEqual(
    [meta.flags, meta.gsoType, meta.gsoSize, meta.checksumStart, meta.checksumOffset, meta.headerBytes],
    [FRAME_NEEDS_CHECKSUM, GSO_TCPV4, 1448, 34, 16, 54],
  );
  assert.equal((sent[16]! << 8) | sent[17]!, 3040);
});

test('e1000: frames come in, over several buffers when they must, and wait when there are none', () => {
  const rig = createRig();
  bringUp(rig, 0x0402_8022); // 512-byte buffers, long packets
  const frame = testFrame(1200);
  assert.equal(rig.wire.frontend.receive(frame, PLAIN_FRAME), true);
  rig.wire.frontend.received!();
  assert.equal(rig.read(0x2810), 3);
  const status = [0, 1, 2].map((n) => rig.ram.bytes[RX_RING + 16 * n + 12]! & 3);
  assert.deepEqual(status, [1, 1, 3]);
  assert.deepEqual(rig.ram.bytes.slice(BUFFERS, BUFFERS + 512), frame.slice(0, 512));
  assert.equal(rig.read(0xc0) & 0x80, 0x80);
  rig.wire.frontend.receive(frame, PLAIN_FRAME);
  assert.equal(rig.wire.frontend.receive(frame, PLAIN_FRAME), false);
  const before = rig.wire.resumed;
  rig.write(0x2818, 5);
  assert.ok(rig.wire.resumed > before);
  assert.equal(rig.wire.frontend.receive(frame, PLAIN_FRAME), true);
});

test('e1000: address filters', () => {
  const rig = createRig();
  bringUp(rig, 2);
  const arrives = (...mac: number[]): boolean => {
    const frame = testFrame(60);
    frame.set(mac);
    const before = rig.read(0x2810);
    rig.write(0x2818, (before + RING - 1) % RING);
    rig.wire.frontend.receive(frame, PLAIN_FRAME);
    return rig.read(0x2810) !== before;
  };
  assert.equal(arrives(...MAC), true);
  assert.equal(arrives(2, 0, 0, 0, 0, 1), false);
  assert.equal(arrives(255, 255, 255, 255, 255, 255), false);
  rig.write(0x100, 0x8002);
  assert.equal(arrives(255, 255, 255, 255, 255, 255), true);
  const group = [1, 0, 0x5e, 0, 0, 0xfb] as const;
  assert.equal(arrives(...group), false);
  const hash = (((0xfb << 8) | 0) >> 4) & 0xfff;
  rig.write(0x5200 + 4 * (hash >> 5), 2 ** (hash & 31));
  assert.equal(arrives(...group), true);
  rig.write(0x100, 0xa);
  assert.equal(arrives(2, 0, 0, 0, 0, 1), true);
});

test('e1000: ITR keeps interrupts apart', () => {
  const rig = createRig();
  bringUp(rig);
  rig.write(0xc4, 1000); // 256 µs
  rig.write(0xc8, 0x80);
  assert.equal(rig.pin.level, true);
  rig.read(0xc0);
  rig.write(0xc8, 0x80);
  assert.equal(rig.pin.level, false);
  rig.clock.advance(256_000);
  rig.timers.runExpired();
  assert.equal(rig.pin.level, true);
});

test('e1000: descriptors full of nonsense neither throw nor hang', () => {
  const next = randomSource(4242);
  const rig = createRig();
  for (let round = 0; round < 300; round++) {
    bringUp(rig, next() * 2 ** 32);
    for (let n = 0; n < RING * 16; n++) {
      if (next() < 0.5) rig.ram.bytes[TX_RING + n] = next() * 256;
      if (next() < 0.1) rig.ram.bytes[RX_RING + n] = next() * 256;
    }
    if (next() < 0.3)
      rig.write([0x2800, 0x2804, 0x2808, 0x3800, 0x3808][Math.floor(next() * 5)]!, next() * 2 ** 32);
    if (next() < 0.3) rig.wire.room = next() * 10;
    rig.write(0x3818, next() * 20);
    rig.wire.frontend.receive(testFrame(14 + Math.floor(next() * 65000)), PLAIN_FRAME);
    rig.wire.frontend.received!();
    rig.wire.frontend.writable();
  }
});

testHostileInput('e1000', () => {
  const rig = createRig();
  return {
    device: {
      read: (offset, size) => rig.read(offset, size),
      write: (offset, size, value) => rig.write(offset, value, size),
    },
    size: 0x6000,
    timers: rig.timers,
    clock: rig.clock,
  };
});
testStateRoundTrip('e1000', () => createRig().card);
