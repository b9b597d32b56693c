import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_NEEDS_CHECKSUM, GSO_TCPV4, PLAIN_FRAME } from '../../core/net-backend.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { etherCrc } from './ether-crc.ts';
import { createNicRig, MAC, type NicRig, testFrame } from './nic-rig.cases.ts';
import { Rtl8139 } from './rtl8139.ts';

const RX = 0x10000;
const TX = 0x20000;
const DESCRIPTORS = 0x30000;
const BUFFERS = 0x40000;

const createRig = (): NicRig<Rtl8139> => createNicRig((parts) => new Rtl8139(parts), 1);

function bringUp(rig: NicRig<Rtl8139>): void {
  rig.write(0x37, 0x10, 1);
  assert.equal(rig.read(0x37, 1) & 0x10, 0, 'the reset is over');
  rig.write(0x30, RX);
  rig.write(0x37, 0x0c, 1);
  rig.write(0x44, 0x8a);
  rig.write(0x3c, 0xffff, 2);
}

function bringUpPlus(rig: NicRig<Rtl8139>): void {
  rig.write(0x37, 0x10, 1);
  rig.write(0xe0, 3, 2);
  for (let n = 0; n < 4; n++) {
    rig.ram.view.setUint32(
      DESCRIPTORS + 16 * n,
      (0x8000_0000 | (n === 3 ? 0x4000_0000 : 0) | 2048) >>> 0,
      true,
    );
    rig.ram.view.setUint32(DESCRIPTORS + 16 * n + 8, BUFFERS + 2048 * n, true);
  }
  rig.write(0xe4, DESCRIPTORS);
  rig.write(0x20, TX);
  rig.write(0x37, 0x0c, 1);
  rig.write(0x44, 0x8a);
  rig.write(0x3c, 0xffff, 2);
}

test('rtl8139: address in the registers and in the EEPROM', () => {
  const rig = createRig();
  for (let i = 0; i < 6; i++) assert.equal(rig.read(i, 1), MAC[i]);
  const word = (n: number): number => {
    rig.write(0x50, 0x80, 1);
    for (const bit of `110${n.toString(2).padStart(6, '0')}`) {
      const value = 0x88 | (bit === '1' ? 2 : 0);
      rig.write(0x50, value, 1);
      rig.write(0x50, value | 4, 1);
    }
    let value = 0;
    for (let i = 0; i < 16; i++) {
      rig.write(0x50, 0x88, 1);
      rig.write(0x50, 0x8c, 1);
      value = (value << 1) | (rig.read(0x50, 1) & 1);
    }
    return value;
  };
  assert.deepEqual([word(0), word(7), word(8), word(9)], [0x8129, 0x5452, 0x1200, 0x5634]);
});

test('rtl8139: four slots go out in turn', () => {
  const rig = createRig();
  bringUp(rig);
  for (let n = 0; n < 5; n++) {
    rig.ram.bytes.set(testFrame(60 + n), TX);
    rig.write(0x20 + 4 * (n & 3), TX);
    rig.write(0x10 + 4 * (n & 3), 60 + n);
    assert.equal(rig.read(0x10 + 4 * (n & 3)) & 0xa000, 0xa000);
  }
  assert.deepEqual(
    rig.wire.sent.map(({ frame }) => frame.length),
    [60, 61, 62, 63, 64],
  );
  assert.equal(rig.pin.level, true);
  rig.write(0x3e, 0xffff, 2);
  assert.equal(rig.pin.level, false);
});

test('rtl8139: frames lie in the ring behind a header, and wait when it is full', () => {
  const rig = createRig();
  bringUp(rig);
  assert.equal(rig.read(0x37, 1) & 1, 1, 'empty');
  assert.equal(rig.wire.frontend.receive(testFrame(100), PLAIN_FRAME), true);
  rig.wire.frontend.received!();
  assert.equal(rig.read(0x37, 1) & 1, 0);
  assert.equal(rig.ram.view.getUint16(RX, true), 0x2001);
  assert.equal(rig.ram.view.getUint16(RX + 2, true), 104);
  assert.deepEqual(rig.ram.bytes.slice(RX + 4, RX + 104), testFrame(100));
  let count = 1;
  while (rig.wire.frontend.receive(testFrame(1000), PLAIN_FRAME)) count++;
  assert.equal(count, 9, 'of 8 KiB');
  assert.equal(rig.read(0x3e, 2) & 0x10, 0x10);
  rig.write(0x38, ((rig.read(0x3a, 2) - 16) & 0xffff) % 8192, 2);
  assert.equal(rig.wire.frontend.receive(testFrame(1000), PLAIN_FRAME), true);
});

test('rtl8139: C+ descriptors both ways, large send', () => {
  const rig = createRig();
  bringUpPlus(rig);
  assert.equal(rig.wire.frontend.receive(testFrame(100), PLAIN_FRAME), true);
  rig.wire.frontend.received!();
  assert.equal(rig.ram.view.getUint32(DESCRIPTORS, true) & 0x8000_1fff, 104);
  assert.deepEqual(rig.ram.bytes.slice(BUFFERS, BUFFERS + 100), testFrame(100));
  for (let n = 0; n < 3; n++) assert.equal(rig.wire.frontend.receive(testFrame(100), PLAIN_FRAME), true);
  assert.equal(rig.wire.frontend.receive(testFrame(100), PLAIN_FRAME), false);
  const frame = testFrame(3054);
  frame.set([8, 0, 0x45, 0, 0, 0], 12);
  frame[23] = 6;
  frame[46] = 0x50;
  rig.ram.bytes.set(frame, BUFFERS);
  rig.ram.view.setUint32(TX, 0xf800_0000 + (1460 << 16) + 3054, true);
  rig.ram.view.setUint32(TX + 8, BUFFERS, true);
  rig.write(0xd9, 0x40, 1);
  const { meta } = rig.wire.sent[0]!;
  assert.deepEqual(
    [meta.flags, meta.gsoType, meta.gsoSize, meta.headerBytes],
    [FRAME_NEEDS_CHECKSUM, GSO_TCPV4, 1460, 54],
  );
  assert.equal(rig.ram.view.getUint32(TX, true) >>> 31, 0);
});

test('rtl8139: multicast by hash', () => {
  const rig = createRig();
  bringUp(rig);
  rig.write(0x44, 0x8e);
  const frame = testFrame(60);
  frame.set([1, 0, 0x5e, 0, 0, 0xfb]);
  rig.wire.frontend.receive(frame, PLAIN_FRAME);
  assert.equal(rig.read(0x37, 1) & 1, 1);
  const hash = etherCrc(frame, 6) >>> 26;
  rig.write(8 + (hash >> 3), 1 << (hash & 7), 1);
  rig.wire.frontend.receive(frame, PLAIN_FRAME);
  assert.equal(rig.read(0x37, 1) & 1, 0);
});

test('rtl8139: rings full of nonsense neither throw nor hang', () => {
  const next = randomSource(8139);
  const rig = createRig();
  for (let round = 0; round < 400; round++) {
    if (next() < 0.5) bringUp(rig);
    else bringUpPlus(rig);
    for (let n = 0; n < 64; n++) rig.ram.bytes[TX + n] = next() * 256;
    for (let n = 0; n < 20; n++) rig.write(Math.floor(next() * 0x100) & ~3, next() * 2 ** 32, 4);
    rig.write(0xd9, 0x40, 1);
    rig.write(0x10, next() * 2 ** 32);
    for (let n = 0; n < 5; n++)
      rig.wire.frontend.receive(testFrame(14 + Math.floor(next() * 60000)), PLAIN_FRAME);
    rig.wire.frontend.received!();
    rig.clock.advance(1e6);
    rig.timers.runExpired();
  }
});

testHostileInput('rtl8139', () => {
  const rig = createRig();
  return {
    device: {
      read: (offset, size) => rig.read(offset, size),
      write: (offset, size, value) => rig.write(offset, value, size),
    },
    size: 256,
    timers: rig.timers,
    clock: rig.clock,
  };
});
testStateRoundTrip('rtl8139', () => createRig().card);
