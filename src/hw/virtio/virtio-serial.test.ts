import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import { ManualClock } from '../../core/clock.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { bringUp, CONFIG, createRig, kick, type PciRig } from './pci-driver.cases.ts';
import { VirtioBalloon } from './virtio-balloon.ts';
import { SerialPort, VirtioSerial } from './virtio-serial.ts';

class Host implements CharBackend {
  text = '';
  room = Number.POSITIVE_INFINITY;
  frontend!: CharFrontend;
  write(byte: number): boolean {
    if (this.room <= 0) return false;
    this.room--;
    this.text += String.fromCharCode(byte);
    return true;
  }
  connect(frontend: CharFrontend): void {
    this.frontend = frontend;
  }
  send(text: string): void {
    for (const char of text) {
      assert.ok(this.frontend.canReceive() > 0);
      this.frontend.receive(char.charCodeAt(0));
    }
  }
}

const MESSAGE = 0x80000;
const TEXT = 0x90000;

function serialRig(): {
  rig: PciRig;
  serial: VirtioSerial;
  host: Host;
  port: SerialPort;
  opens: boolean[];
  settle(): void;
} {
  const timers = new TimerQueue(new ManualClock());
  const opens: boolean[] = [];
  const serial = new VirtioSerial({
    maxPorts: 4,
    emergencyWrite: true,
    timers,
    onPortOpen: (_port, open) => opens.push(open),
  });
  const rig = createRig(serial);
  const host = new Host();
  const port = new SerialPort({ isConsole: false, name: 'org.test.0', chardev: host });
  assert.equal(serial.attach(port, undefined), true);
  return { rig, serial, host, port, opens, settle: () => void timers.runExpired() };
}

function tell(
  rig: PciRig,
  ring: ReturnType<typeof bringUp>['rings'][number],
  port: number,
  event: number,
  value: number,
): void {
  rig.ram.view.setUint32(MESSAGE, port, true);
  rig.ram.view.setUint16(MESSAGE + 4, event, true);
  rig.ram.view.setUint16(MESSAGE + 6, value, true);
  ring.add([{ address: MESSAGE, length: 8 }]);
  kick(rig, 3);
}

test('virtio-serial: a driver finds, opens and uses a named port', () => {
  const { rig, host, port, opens, settle } = serialRig();
  assert.equal(port.number, 1);
  const { rings } = bringUp(rig, 6);
  assert.equal(rig.memory.read(CONFIG + 4, 4), 4);
  const heard: string[] = [];
  const listen = (): void => {
    for (const { written } of rings[2]!.takeUsed()) {
      const at = TEXT + 64 * heard.length;
      const name = String.fromCharCode(...rig.ram.bytes.subarray(at + 8, at + written));
      heard.push(`${rig.ram.view.getUint32(at, true)}:${rig.ram.view.getUint16(at + 4, true)}${name}`);
    }
  };
  for (let i = 0; i < 8; i++) rings[2]!.add([{ address: TEXT + 64 * i, length: 64, write: true }]);
  tell(rig, rings[3]!, 0, 0, 1);
  listen();
  assert.deepEqual(heard, ['1:1']);
  tell(rig, rings[3]!, 1, 3, 1);
  listen();
  assert.deepEqual(heard.slice(1), ['1:7org.test.0', '1:6']);
  assert.equal(host.frontend.canReceive(), 0, 'closed');
  tell(rig, rings[3]!, 1, 6, 1);
  assert.deepEqual(opens, [true]);

  rig.ram.bytes.set([104, 101, 108, 108, 111], 0xa0000);
  host.room = 2;
  rings[5]!.add([{ address: 0xa0000, length: 5 }]);
  kick(rig, 5);
  assert.equal(host.text, 'he');
  assert.deepEqual(rings[5]!.takeUsed(), []);
  host.room = 10;
  host.frontend.onWritable();
  assert.equal(host.text, 'hello');
  assert.equal(rings[5]!.takeUsed().length, 1);

  host.send('abcdef');
  settle();
  rings[4]!.add([{ address: 0xb0000, length: 4, write: true }]);
  rings[4]!.add([{ address: 0xb0004, length: 4, write: true }]);
  kick(rig, 4);
  assert.deepEqual(
    rings[4]!.takeUsed().map((u) => u.written),
    [4, 2],
  );
  assert.equal(String.fromCharCode(...rig.ram.bytes.subarray(0xb0000, 0xb0006)), 'abcdef');

  tell(rig, rings[3]!, 7, 6, 1);
  assert.equal(rig.errors.length, 1, 'no such port');
  rig.device.reset();
  assert.deepEqual(opens, [true, false]);
});

test('virtio-serial: ports have places, emergency writes reach the console', () => {
  const { rig, serial } = serialRig();
  const host = new Host();
  assert.equal(serial.attach(new SerialPort({ isConsole: true, name: '', chardev: host }), undefined), true);
  assert.equal(serial.attach(new SerialPort({ isConsole: false, name: '', chardev: undefined }), 0), false);
  assert.equal(serial.attach(new SerialPort({ isConsole: false, name: '', chardev: undefined }), 4), false);
  rig.memory.write(CONFIG + 8, 4, 0x21);
  assert.equal(host.text, '!');
});

test('virtio-balloon: target, actual size, statistics', () => {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const actual: number[] = [];
  const balloon = new VirtioBalloon({
    deflateOnOom: false,
    timers,
    onActual: (pages) => actual.push(pages),
    nowMs: () => 5000,
  });
  const rig = createRig(balloon);
  const { rings } = bringUp(rig, 3);
  balloon.setTarget(100);
  assert.equal(rig.pin.level, true);
  assert.equal(rig.memory.read(CONFIG, 4), 100);
  rings[0]!.add([{ address: 0x80000, length: 400 }]);
  kick(rig, 0);
  assert.equal(rings[0]!.takeUsed().length, 1);
  rig.memory.write(CONFIG + 4, 4, 100);
  assert.deepEqual(actual, [100]);
  rig.ram.view.setUint16(0x80000, 4, true);
  rig.ram.view.setBigUint64(0x80002, 12345n, true);
  rings[2]!.add([{ address: 0x80000, length: 10 }]);
  kick(rig, 2);
  assert.equal(balloon.statistics.stats['stat-free-memory'], 12345);
  assert.equal(balloon.statistics['last-update'], 5);
  balloon.setInterval(2);
  clock.advance(2e9);
  timers.runExpired();
  assert.equal(rings[2]!.takeUsed().length, 1, 'asked again');
});

testStateRoundTrip('virtio-serial over PCI', () => serialRig().rig.device);
testStateRoundTrip('virtio-balloon over PCI', () => {
  const timers = new TimerQueue(new ManualClock());
  return createRig(new VirtioBalloon({ deflateOnOom: true, timers, onActual: () => {}, nowMs: () => 0 }))
    .device;
});
