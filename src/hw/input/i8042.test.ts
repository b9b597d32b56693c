import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IrqLine } from '../../core/irq.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { recordingPower } from '../power.cases.ts';
import { I8042 } from './i8042.ts';

function world() {
  const kbd = IrqLine.unconnected();
  const aux = IrqLine.unconnected();
  const a20 = IrqLine.unconnected();
  const power = recordingPower();
  const i8042 = new I8042(kbd, aux, a20, power);
  const command = (value: number): void => i8042.command.write(0, 1, value);
  const write = (value: number): void => i8042.data.write(0, 1, value);
  const status = (): number => i8042.command.read(0, 1);
  const read = (): number => i8042.data.read(0, 1);
  const drain = (): number[] => {
    const out: number[] = [];
    while ((status() & 1) !== 0) out.push(read());
    return out;
  };
  return { i8042, kbd, aux, a20, power, command, write, status, read, drain };
}

test('what Linux does to find the controller and the AUX port', () => {
  const { command, write, status, drain, aux } = world();
  assert.equal(status() & 1, 0);
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  command(0x20);
  assert.deepEqual(drain(), [0x45]);
  command(0x60);
  write(0x74);
  command(0xd3);
  write(0x5a);
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(drain(), [0x5a]);
  command(0xa9);
  assert.deepEqual(drain(), [0]);
  command(0xa7);
  command(0x20);
  assert.equal(drain()[0]! & 0x20, 0x20);
  command(0xa8);
  command(0x20);
  assert.equal(drain()[0]! & 0x20, 0);
  command(0x60);
  write(0x46);
  command(0xd3);
  write(0xa5);
  assert.ok(aux.level);
  drain();
  assert.ok(!aux.level);
});

test('keyboard: reset, identify with and without translation, LEDs, echo', () => {
  const { command, write, drain } = world();
  write(0xff);
  assert.deepEqual(drain(), [0xfa, 0xaa]);
  write(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x41]);
  command(0x60);
  write(0x05);
  write(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x83]);
  write(0xed);
  write(0x07);
  assert.deepEqual(drain(), [0xfa, 0xfa]);
  write(0xee);
  assert.deepEqual(drain(), [0xee]);
  write(0xf0);
  write(0);
  assert.deepEqual(drain(), [0xfa, 0xfa, 2]);
  write(0x12);
  assert.deepEqual(drain(), [0xfe]);
});

test('keys arrive as set 1 with an edge each', () => {
  const { i8042, kbd, read, status, drain, command, write } = world();
  i8042.keyboard.sendKey(0x1c, true);
  assert.ok(kbd.level);
  assert.equal(read(), 0x1e);
  assert.ok(!kbd.level);
  i8042.keyboard.sendKey(0x1c, false);
  i8042.keyboard.sendKey(0xe075, true);
  assert.deepEqual(drain(), [0x9e, 0xe0, 0x48]);
  command(0xad);
  i8042.keyboard.sendKey(0x1c, true);
  assert.equal(status() & 1, 0);
  command(0xae);
  assert.deepEqual(drain(), [0x1e]);
  for (let i = 0; i < 100; i++) i8042.keyboard.sendKey(0x1c, true);
  assert.ok(drain().length <= 17);
  write(0xf5);
  drain();
  i8042.keyboard.sendKey(0x1c, true);
  assert.equal(status() & 1, 0);
});

test('mouse: wheel knock, stream of packets', () => {
  const { i8042, command, write, drain, aux } = world();
  command(0x60);
  write(0x47);
  const mouse = (...values: number[]): number[] => {
    for (const value of values) {
      command(0xd4);
      write(value);
    }
    return drain();
  };
  assert.deepEqual(mouse(0xff), [0xfa, 0xaa, 0]);
  mouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
  assert.deepEqual(mouse(0xf2), [0xfa, 3]);
  assert.deepEqual(mouse(0xe9), [0xfa, 0, 2, 80]);
  i8042.mouse.move(1, 1, 0, 0);
  assert.deepEqual(drain(), []);
  mouse(0xf4);
  i8042.mouse.move(-5, 300, -1, 1);
  assert.ok(aux.level);
  assert.deepEqual(drain(), [0x19, 0xfb, 0xff, 0xff, 0x09, 0, 45, 0]);
});

test('reset and A20', () => {
  const { command, write, a20, power, i8042 } = world();
  i8042.reset();
  assert.ok(a20.level);
  command(0xdd);
  assert.ok(!a20.level);
  command(0xd1);
  write(0xdf);
  assert.ok(a20.level);
  assert.deepEqual(power.log, []);
  command(0xfe);
  command(0xff);
  command(0xd1);
  write(0xfe);
  assert.deepEqual(power.log, ['reset guest-reset', 'reset guest-reset']);
});

testStateRoundTrip('i8042', () => world().i8042);
testHostileInput('i8042', () => {
  const { i8042 } = world();
  return {
    size: 2,
    maxAccess: 1,
    device: {
      read: (offset) => (offset === 0 ? i8042.data : i8042.command).read(0, 1),
      write: (offset, _size, value) => {
        i8042.keyboard.sendKey(value, (value & 1) === 0);
        i8042.mouse.move(value, -value, value, value);
        (offset === 0 ? i8042.data : i8042.command).write(0, 1, value);
      },
    },
  };
});
