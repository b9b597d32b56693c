import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrqLine } from '../../core/irq.ts';
import { PLAIN_FRAME } from '../../core/net-backend.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Ne2000Pci } from './ne2000.ts';
import { createNicRig, MAC, type NicRig, testFrame } from './nic-rig.cases.ts';

const createRig = (): NicRig<Ne2000Pci> =>
  createNicRig((parts) => new Ne2000Pci(parts, (set) => new IrqLine((_, level) => set(level))), 0, true);

function bringUp(rig: NicRig<Ne2000Pci>): void {
  const set = (n: number, value: number): void => rig.write(n, value, 1);
  set(0, 0x21);
  set(14, 0x49);
  set(12, 0x04);
  set(13, 0);
  set(1, 0x4c);
  set(2, 0x80);
  set(3, 0x4c);
  set(4, 0x40);
  set(15, 0x1f);
  set(0, 0x61);
  for (let i = 0; i < 6; i++) set(1 + i, MAC[i]!);
  set(7, 0x4d);
  set(0, 0x22);
  set(7, 0xff);
}

function remote(rig: NicRig<Ne2000Pci>, address: number, count: number, command: number): void {
  for (const [n, value] of [
    [8, address & 0xff],
    [9, address >> 8],
    [10, count & 0xff],
    [11, count >> 8],
  ] as const)
    rig.write(n, value, 1);
  rig.write(0, command, 1);
}

test('ne2000: the PROM has the address and the mark of a 16-bit card', () => {
  const rig = createRig();
  rig.write(14, 0x49, 1);
  remote(rig, 0, 32, 0x0a);
  const bytes = Array.from({ length: 16 }, () => rig.read(0x10, 1));
  assert.deepEqual(bytes.slice(0, 6), [...MAC]);
  assert.deepEqual(bytes.slice(14), [0x57, 0x57]);
});

test('ne2000: a frame is written by remote DMA and sent', () => {
  const rig = createRig();
  bringUp(rig);
  remote(rig, 0x4000, 60, 0x12);
  const frame = testFrame(60);
  for (let i = 0; i < 60; i += 4) rig.write(0x10, new DataView(frame.buffer).getUint32(i, true), 4);
  assert.equal(rig.read(7, 1) & 0x40, 0x40);
  rig.write(5, 60, 1);
  rig.write(6, 0, 1);
  rig.wire.room = 0;
  rig.write(0, 0x26, 1);
  assert.equal(rig.read(0, 1) & 4, 4, 'under way');
  rig.wire.room = 1;
  rig.wire.frontend.writable();
  assert.deepEqual(rig.wire.sent[0]!.frame, frame);
  assert.equal(rig.read(0, 1) & 4, 0);
  assert.equal(rig.pin.level, true);
});

test('ne2000: frames come in behind a header, around the ring, until it is full', () => {
  const rig = createRig();
  bringUp(rig);
  rig.wire.frontend.receive(testFrame(100), PLAIN_FRAME);
  rig.wire.frontend.received!();
  assert.equal(rig.pin.level, true);
  remote(rig, 0x4d00, 104, 0x0a);
  assert.equal(rig.read(0x10, 4), 0x00684e21);
  assert.equal(rig.read(0x10, 4), 0xffffffff);
  let count = 1;
  while (rig.wire.frontend.receive(testFrame(1514), PLAIN_FRAME)) count++;
  assert.ok(count >= 8 && count < 11);
  assert.equal(rig.read(7, 1) & 0x10, 0x10);
});

test('ne2000: nonsense in its registers', () => {
  const next = randomSource(2000);
  const rig = createRig();
  for (let round = 0; round < 2000; round++) {
    for (let i = 0; i < 12; i++) rig.write(Math.floor(next() * 24), next() * 256, 1);
    rig.wire.frontend.receive(testFrame(14 + Math.floor(next() * 3000)), PLAIN_FRAME);
    rig.wire.frontend.received!();
  }
});

testHostileInput('ne2k_pci', () => {
  const rig = createRig();
  return {
    device: {
      read: (offset, size) => rig.read(offset, size),
      write: (offset, size, value) => rig.write(offset, value, size),
    },
    size: 256,
  };
});
testStateRoundTrip('ne2k_pci', () => createRig().card);
