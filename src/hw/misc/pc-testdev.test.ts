import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrqLine } from '../../core/irq.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { PcTestDev, TESTDEV_MEMORY_SIZE } from './pc-testdev.ts';

function make() {
  const levels: string[] = [];
  const device = new PcTestDev(IrqLine.array(24, (n, level) => levels.push(`${n} ${level}`)));
  return { device, levels };
}

test('the ports drive interrupt lines, the registers keep what is written', () => {
  const { device, levels } = make();
  device.irqPorts.write(9, 1, 1);
  device.irqPorts.write(9, 1, 0);
  assert.deepEqual(levels, ['9 true', '9 false']);
  device.data.write(0, 4, 0x12345678);
  device.data.write(1, 1, 0xab);
  assert.equal(device.data.read(0, 4), 0x1234ab78);
  assert.equal(device.data.read(2, 2), 0x1234);
  device.data.write(0, 4, 0xffffffff);
  assert.equal(device.data.read(0, 4), 0xffffffff);
  device.memory.write(0x10, 4, 0xdeadbeef);
  assert.equal(device.memory.read(0x12, 2), 0xdead);
  assert.equal(device.flush.read(0, 4), 0);
});

testStateRoundTrip('pc-testdev', () => make().device);
testHostileInput(
  'pc-testdev memory',
  () => ({ device: make().device.memory, size: TESTDEV_MEMORY_SIZE }),
  2000,
);
testHostileInput('pc-testdev data', () => ({ device: make().device.data, size: 4 }), 2000);
