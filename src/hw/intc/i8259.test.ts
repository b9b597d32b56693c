import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrqLine } from '../../core/irq.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { I8259Pair } from './i8259.ts';

function pair(icw4 = 1): { pic: I8259Pair; intr: IrqLine } {
  const intr = IrqLine.unconnected();
  const pic = new I8259Pair(intr);
  for (const [chip, base, cascade] of [
    [pic.master, 0x20, 4],
    [pic.slave, 0x28, 2],
  ] as const) {
    chip.write(0, 1, 0x11);
    chip.write(1, 1, base);
    chip.write(1, 1, cascade);
    chip.write(1, 1, icw4);
  }
  return { pic, intr };
}

test('edge: latched, served once, in order of priority', () => {
  const { pic, intr } = pair();
  pic.inputs[4]!.raise();
  pic.inputs[1]!.pulse();
  assert.ok(intr.level);
  assert.equal(pic.acknowledge(), 0x21);
  assert.ok(!pic.hasInterrupt(), 'IRQ 4 waits for the end of IRQ 1');
  pic.master.write(0, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x24);
  pic.master.write(0, 1, 0x64);
  assert.ok(!pic.hasInterrupt(), 'the line is still high, but there was no new edge');
  assert.equal(pic.acknowledge(), -1);
});

test('the slave: cascade, nesting, spurious IR7', () => {
  const { pic } = pair();
  pic.inputs[14]!.pulse();
  assert.equal(pic.acknowledge(), 0x2e);
  pic.inputs[8]!.pulse();
  assert.ok(!pic.hasInterrupt(), 'the master serves IR2 and is not specially nested');
  pic.slave.write(0, 1, 0x20);
  pic.master.write(0, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x28);
  pic.slave.write(0, 1, 0x20);
  pic.master.write(0, 1, 0x20);
  assert.ok(!pic.hasInterrupt());
});

test('special fully nested mode lets a higher slave input through', () => {
  const { pic } = pair(0x11);
  pic.inputs[14]!.pulse();
  assert.equal(pic.acknowledge(), 0x2e);
  pic.inputs[8]!.pulse();
  assert.equal(pic.acknowledge(), 0x28);
});

test('mask and level', () => {
  const { pic, intr } = pair();
  pic.elcrMaster.write(0, 1, 0xff);
  assert.equal(pic.elcrMaster.read(0, 1), 0xf8);
  pic.elcrSlave.write(0, 1, 0xff);
  assert.equal(pic.elcrSlave.read(0, 1), 0xde);
  pic.master.write(1, 1, 0x20);
  pic.inputs[5]!.raise();
  assert.ok(!intr.level);
  pic.master.write(1, 1, 0);
  assert.equal(pic.acknowledge(), 0x25);
  pic.master.write(0, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x25, 'the level is still there');
  pic.inputs[5]!.lower();
  pic.master.write(0, 1, 0x20);
  assert.ok(!intr.level);
});

test('Linux finds the chip: IMR reads back', () => {
  const { pic } = pair();
  pic.slave.write(1, 1, 0xff);
  pic.master.write(1, 1, 0xfb);
  assert.equal(pic.master.read(1, 1), 0xfb);
});

test('IRR and ISR read-back, poll, rotation, AEOI, special mask', () => {
  const { pic } = pair();
  pic.inputs[3]!.pulse();
  assert.equal(pic.master.read(0, 1), 8);
  pic.master.write(0, 1, 0x0c);
  assert.equal(pic.master.read(0, 1), 0x83);
  pic.master.write(0, 1, 0x0b);
  assert.equal(pic.master.read(0, 1), 8);
  pic.master.write(0, 1, 0xa0);
  pic.inputs[3]!.pulse();
  pic.inputs[4]!.pulse();
  assert.equal(pic.acknowledge(), 0x24, 'input 3 became the lowest');
  pic.inputs[5]!.pulse();
  assert.ok(!pic.hasInterrupt() || pic.acknowledge() !== 0x25);
  pic.master.write(1, 1, 0x10);
  pic.master.write(0, 1, 0x68);
  assert.equal(pic.acknowledge(), 0x25, 'masked in-service inputs do not block in special mask mode');

  const auto = pair(3).pic;
  auto.inputs[1]!.pulse();
  auto.inputs[6]!.pulse();
  assert.equal(auto.acknowledge(), 0x21);
  assert.equal(auto.acknowledge(), 0x26);
});

test('reset keeps the levels of the lines', () => {
  const { pic, intr } = pair();
  pic.inputs[5]!.raise();
  pic.reset();
  assert.ok(!intr.level);
  pic.inputs[5]!.raise();
  assert.ok(!intr.level, 'no new edge');
});

testStateRoundTrip('i8259', () => pair().pic);
testHostileInput('i8259', () => {
  const { pic } = pair();
  return {
    size: 6,
    maxAccess: 1,
    device: {
      read: (offset) => [pic.master, pic.slave, pic.elcrMaster][offset >> 1]!.read(offset & 1, 1),
      write: (offset, _size, value) => {
        pic.inputs[value & 15]!.set((value & 16) !== 0);
        [pic.master, pic.slave, pic.elcrMaster][offset >> 1]!.write(offset & 1, 1, value);
        if (pic.hasInterrupt()) pic.acknowledge();
      },
    },
  };
});
