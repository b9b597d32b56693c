import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { findKey } from '../input/key-table.ts';
import { createStorage, createUsbGuest, setup, wrapper } from './usb.cases.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import { type HidKind, UsbHid } from './usb-hid.ts';
import { HUB_PORTS, UsbHub } from './usb-hub.ts';
import { rootPorts, UsbBus, type UsbPort } from './usb-port.ts';

function world() {
  const guest = createUsbGuest();
  const woken: Array<[UsbDevice, number]> = [];
  const owner = {
    attached: (_: UsbPort) => {},
    detached: (_: UsbPort) => {},
    wakeup: (device: UsbDevice, endpoint: number) => void woken.push([device, endpoint]),
  };
  const bus = new UsbBus();
  bus.addPorts(rootPorts(owner, 2, [usb.SPEED_LOW, usb.SPEED_FULL, usb.SPEED_HIGH]));
  return { ...guest, bus, woken };
}

/** A control transfer: the data, or undefined for a stall. */
function control(device: UsbDevice, packet: Uint8Array, out?: Uint8Array): Uint8Array | undefined {
  assert.equal(device.transact(usb.PID_SETUP, 0, packet), 8);
  const length = packet[6]! | (packet[7]! << 8);
  if ((packet[0]! & 0x80) !== 0) {
    const room = new Uint8Array(length);
    const count = device.transact(usb.PID_IN, 0, room);
    if (count < 0) return undefined;
    assert.equal(device.transact(usb.PID_OUT, 0, new Uint8Array(0)), 0);
    return room.subarray(0, count);
  }
  if (out !== undefined) assert.equal(device.transact(usb.PID_OUT, 0, out), out.length);
  return device.transact(usb.PID_IN, 0, new Uint8Array(0)) < 0 ? undefined : new Uint8Array(0);
}

const configure = (device: UsbDevice): void => {
  assert.ok(control(device, setup(0, usb.SET_ADDRESS, 5, 0, 0)));
  assert.ok(control(device, setup(0, usb.SET_CONFIGURATION, 1, 0, 0)));
};

const hid = (w: ReturnType<typeof world>, kind: HidKind): UsbHid => {
  const device = new UsbHid({ kind, input: w.input, timers: w.timers, usbVersion: 2 });
  assert.equal(w.bus.attach(device), undefined);
  return device;
};

const poll = (device: UsbDevice, bytes = 8): number[] | number => {
  const data = new Uint8Array(bytes);
  const count = device.transact(usb.PID_IN, 1, data);
  return count < 0 ? count : [...data.subarray(0, count)];
};

test('standard requests: descriptors whole and short, address, configuration, halts, what is unknown', () => {
  const w = world();
  const device = hid(w, 'tablet');
  assert.equal(device.speed, usb.SPEED_HIGH);
  const descriptor = control(device, setup(0x80, 6, 0x100, 0, 64))!;
  assert.equal(descriptor.length, 18);
  assert.deepEqual([...descriptor.subarray(8, 12)], [0x27, 0x06, 1, 0]);
  assert.equal(control(device, setup(0x80, 6, 0x100, 0, 8))!.length, 8);
  const configuration = control(device, setup(0x80, 6, 0x200, 0, 255))!;
  assert.equal(configuration[2], configuration.length);
  const report = control(device, setup(0x81, 6, 0x2200, 0, 255))!;
  assert.equal(report.length, configuration[9 + 9 + 7], 'the report descriptor as long as announced');
  assert.deepEqual([...control(device, setup(0x80, 6, 0x300, 0, 255))!], [4, 3, 9, 4]);
  assert.equal(control(device, setup(0x80, 6, 0x3ff, 0x409, 255)), undefined);
  assert.equal(poll(device), usb.USB_STALL, 'not configured');
  configure(device);
  assert.equal(device.address, 5);
  assert.equal(device.find(5), device);
  assert.equal(device.find(0), undefined);
  assert.equal(control(device, setup(0, usb.SET_CONFIGURATION, 7, 0, 0)), undefined);
  assert.ok(control(device, setup(2, usb.SET_FEATURE, 0, 0x81, 0)));
  assert.equal(poll(device), usb.USB_STALL);
  assert.ok(control(device, setup(2, usb.CLEAR_FEATURE, 0, 0x81, 0)));
  assert.equal(poll(device), usb.USB_NAK);
  assert.equal(control(device, setup(0x40, 0x77, 0, 0, 0)), undefined);
  device.busReset();
  assert.equal(device.address, 0);
});

test('keyboard: a report for each change, boot form, roll-over, LEDs, idle', () => {
  const w = world();
  const device = hid(w, 'keyboard');
  configure(device);
  const key = (name: string, down: boolean): void =>
    w.input.send([{ type: 'key', key: findKey(name)!, down }]);
  key('shift', true);
  key('a', true);
  key('a', false);
  key('shift', false);
  assert.deepEqual(w.woken.at(-1), [device, 0x81]);
  assert.deepEqual(poll(device), [2, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(poll(device), [2, 0, 4, 0, 0, 0, 0, 0]);
  assert.deepEqual(poll(device), [2, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(poll(device), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(poll(device), usb.USB_NAK);
  for (const name of 'abcdefg') key(name, true);
  let last: unknown;
  for (let i = 0; i < 7; i++) last = poll(device);
  assert.deepEqual(last, [0, 0, 1, 1, 1, 1, 1, 1]);
  assert.ok(control(device, setup(0x21, 9, 0x200, 0, 1), Uint8Array.of(5)));
  assert.ok(control(device, setup(0x21, 0x0a, 0x0200, 0, 0)));
  assert.equal(poll(device), usb.USB_NAK);
  w.run(9);
  assert.deepEqual(poll(device), [0, 0, 1, 1, 1, 1, 1, 1], 'repeated after 8 ms');
  for (let i = 0; i < 1000; i++) key('x', i % 2 === 0);
});

test('pointers: nothing of a movement is lost, the last absolute one wins', () => {
  const w = world();
  const [mouse, tablet] = [hid(w, 'mouse'), hid(w, 'tablet')];
  configure(mouse);
  configure(tablet);
  assert.equal(poll(mouse, 4), usb.USB_NAK);
  w.input.send([
    { type: 'relative', axis: 'x', value: 300 },
    { type: 'relative', axis: 'y', value: -5 },
    { type: 'button', button: 'left', down: true },
  ]);
  assert.deepEqual(poll(mouse, 4), [1, 127, 251, 0]);
  assert.deepEqual(poll(mouse, 4), [1, 127, 0, 0]);
  assert.deepEqual(poll(mouse, 4), [1, 46, 0, 0]);
  assert.equal(poll(mouse, 4), usb.USB_NAK);
  w.input.send([{ type: 'button', button: 'wheel-up', down: true }]);
  assert.deepEqual(poll(mouse, 4), [1, 0, 0, 1]);
  assert.equal(w.input.mice[0]!.name, 'QEMU HID Mouse');
  assert.equal(poll(tablet), usb.USB_NAK);
  assert.equal(w.input.mice[0]!.name, 'QEMU HID Tablet');
  w.input.send([
    { type: 'absolute', axis: 'x', value: 0x1234 },
    { type: 'absolute', axis: 'y', value: 0x7fff },
    { type: 'button', button: 'right', down: true },
  ]);
  assert.deepEqual(poll(tablet), [2, 0x34, 0x12, 0xff, 0x7f, 0]);
  for (let i = 0; i < 100; i++) w.input.send([{ type: 'relative', axis: 'x', value: 1 }]);
  let sum = 0;
  for (let r = poll(mouse, 4); typeof r !== 'number'; r = poll(mouse, 4)) sum += r[1]!;
  assert.equal(sum, 100);
  tablet.dispose();
  assert.equal(w.input.mice.length, 1);
});

test('storage: read, write, padding, residue, sense data, errors of the transport', () => {
  const w = world();
  const { disk, storage } = createStorage();
  w.bus.attach(storage);
  configure(storage);
  const out = (bytes: Uint8Array): number => storage.transact(usb.PID_OUT, 2, bytes);
  const into = (bytes: number): Uint8Array | number => {
    const data = new Uint8Array(bytes);
    const count = storage.transact(usb.PID_IN, 1, data);
    return count < 0 ? count : data.subarray(0, count);
  };
  const status = (): number[] => [...(into(13) as Uint8Array)].slice(4);
  assert.deepEqual([...control(storage, setup(0xa1, 0xfe, 0, 0, 1))!], [0]);
  assert.equal(out(wrapper(1, 0, false, [0, 0, 0, 0, 0, 0])), 31);
  assert.deepEqual(status(), [1, 0, 0, 0, 0, 0, 0, 0, 1], 'the unit attention after power-on');
  out(wrapper(2, 64, true, [3, 0, 0, 0, 18, 0]));
  const sense = into(64) as Uint8Array;
  assert.equal(sense[2]! & 15, 6);
  assert.equal(sense.length, 64);
  assert.deepEqual(status(), [2, 0, 0, 0, 46, 0, 0, 0, 0]);
  // write two blocks at 3, in two pieces; then read them back
  const blocks = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  out(wrapper(3, 1024, false, [0x2a, 0, 0, 0, 0, 3, 0, 0, 2, 0]));
  out(blocks.subarray(0, 512));
  out(blocks.subarray(512));
  assert.equal(into(13), usb.USB_NAK);
  disk.run();
  assert.deepEqual(w.woken.at(-1), [storage, 0x81]);
  assert.deepEqual(status(), [3, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(disk.bytes.slice(1536, 2560), blocks);
  out(wrapper(4, 1024, true, [0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0]));
  assert.equal(into(512), usb.USB_NAK);
  disk.run();
  assert.deepEqual(into(4096), blocks);
  assert.deepEqual(status(), [4, 0, 0, 0, 0, 0, 0, 0, 0]);
  // nonsense stalls until the transport is reset
  assert.equal(out(new Uint8Array(31)), usb.USB_STALL);
  assert.equal(out(wrapper(5, 0, false, [0])), usb.USB_STALL);
  assert.ok(control(storage, setup(0x21, 0xff, 0, 0, 0)));
  assert.ok(control(storage, setup(2, usb.CLEAR_FEATURE, 0, 2, 0)));
  // a length far beyond the command's
  out(wrapper(6, 0xffffffff, true, [0x12, 0, 0, 0, 36, 0]));
  assert.equal((into(36) as Uint8Array).length, 36);
  storage.busReset();
});

test('hub: ports show what is plugged, behind them devices are found; leaving takes them along', () => {
  const w = world();
  const hub = new UsbHub();
  w.bus.attach(hub);
  hub.join(w.bus);
  configure(hub);
  assert.equal(w.bus.ports.length, 2 + HUB_PORTS);
  const mouse = new UsbHid({ kind: 'mouse', input: w.input, timers: w.timers, usbVersion: 2 });
  assert.equal(w.bus.attach(mouse, '1.3'), undefined);
  assert.equal(mouse.speed, usb.SPEED_FULL);
  assert.match(w.bus.attach(new UsbHub(), '1.3')!, /in use/);
  assert.deepEqual(poll(hub, 2), [8, 0]);
  const state = (): number[] => [...control(hub, setup(0xa3, 0, 0, 3, 4))!];
  assert.deepEqual(state(), [1, 1, 1, 0]);
  assert.equal(hub.find(0), undefined, 'not enabled yet');
  assert.ok(control(hub, setup(0x23, 3, 4, 3, 0)));
  assert.deepEqual(state(), [3, 1, 0x11, 0]);
  assert.equal(hub.find(0), mouse);
  for (const feature of [16, 20]) assert.ok(control(hub, setup(0x23, 1, feature, 3, 0)));
  assert.equal(poll(hub, 2), usb.USB_NAK);
  w.bus.detach(mouse);
  assert.deepEqual(state(), [0, 1, 3, 0]);
  assert.equal(control(hub, setup(0xa3, 0, 0, 99, 4)), undefined);
});

testStateRoundTrip('usb-kbd', () => hid(world(), 'keyboard'));
testStateRoundTrip('usb-mouse', () => hid(world(), 'mouse'));
testStateRoundTrip('usb-hub', () => new UsbHub());
