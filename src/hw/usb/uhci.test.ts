import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { UHCI_KINDS, Uhci } from './uhci.ts';
import { createUsbGuest, IO_BASE, setup } from './usb.cases.ts';
import * as usb from './usb-codes.ts';
import { UsbHid } from './usb-hid.ts';

const FRAMES = 0x1000;
const QH = 0x2000;
const TD = 0x3000;
const DATA = 0x4000;
const ACTIVE = 1 << 23;
const IOC = 1 << 24;

function world() {
  const guest = createUsbGuest();
  const uhci = new Uhci(UHCI_KINDS['piix3-usb-uhci']!, guest);
  guest.plug(uhci.pci);
  const { view } = guest.ram;
  const td = (n: number, link: number, pid: number, bytes: number, data: number, flags = 0): void => {
    const at = TD + 32 * n;
    view.setUint32(at, link, true);
    view.setUint32(at + 4, ACTIVE | flags, true);
    view.setUint32(at + 8, pid | (((bytes - 1) & 0x7ff) << 21), true);
    view.setUint32(at + 12, data, true);
  };
  const start = (): void => {
    for (let i = 0; i < 1024; i++) view.setUint32(FRAMES + 4 * i, QH | 2, true);
    guest.io.write(IO_BASE + 8, 4, FRAMES);
    guest.io.write(IO_BASE + 4, 2, 0x0f);
    guest.io.write(IO_BASE, 2, 1);
  };
  return { ...guest, uhci, view, td, start, status: (n: number) => view.getUint32(TD + 32 * n + 4, true) };
}

test('a control transfer through queue and descriptors, with its interrupt', () => {
  const w = world();
  w.uhci.bus.attach(new UsbHid({ kind: 'tablet', input: w.input, timers: w.timers, usbVersion: 2 }));
  assert.equal(w.io.read(IO_BASE + 0x10, 2), 0x83, 'connected, changed');
  w.io.write(IO_BASE + 0x10, 2, 0x200);
  w.io.write(IO_BASE + 0x10, 2, 0x02);
  w.io.write(IO_BASE + 0x10, 2, 0x04);
  assert.equal(w.io.read(IO_BASE + 0x10, 2), 0x85);
  w.ram.bytes.set(setup(0x80, 6, 0x100, 0, 18), DATA);
  w.td(0, (TD + 32) | 4, usb.PID_SETUP, 8, DATA);
  for (let i = 0; i < 3; i++)
    w.td(1 + i, (TD + 64 + 32 * i) | 4, usb.PID_IN, i < 2 ? 8 : 2, DATA + 64 + 8 * i);
  w.td(4, 1, usb.PID_OUT, 0, 0, IOC);
  w.view.setUint32(QH, 1, true);
  w.view.setUint32(QH + 4, TD, true);
  w.start();
  assert.ok(!w.pin.level);
  w.run(2);
  assert.equal(w.status(4) & ACTIVE, 0);
  assert.equal(w.status(1) & 0x7ff, 7);
  assert.deepEqual([...w.ram.bytes.subarray(DATA + 64, DATA + 68)], [18, 1, 0, 2]);
  assert.ok(w.pin.level);
  assert.equal(w.io.read(IO_BASE + 2, 2), 1);
  w.io.write(IO_BASE + 2, 2, 1);
  assert.ok(!w.pin.level);
  assert.equal(w.io.read(IO_BASE + 6, 2), 2);
});

test('a missing device times out, a stall stalls, a descriptor that is none halts the controller', () => {
  const w = world();
  w.td(0, 1, usb.PID_IN, 8, DATA, IOC);
  w.view.setUint32(QH, 1, true);
  w.view.setUint32(QH + 4, TD, true);
  w.start();
  w.run(1);
  assert.equal(w.status(0) & (ACTIVE | (1 << 18) | (1 << 22)), (1 << 18) | (1 << 22));
  assert.equal(w.io.read(IO_BASE + 2, 2), 3);
  w.td(0, 1, 0x11, 8, DATA);
  w.run(1);
  assert.equal(w.io.read(IO_BASE + 2, 2) & 0x30, 0x30);
});

test('lists without an end cost a bounded time', () => {
  const w = world();
  w.view.setUint32(QH, QH | 2, true);
  w.view.setUint32(QH + 4, QH | 2, true);
  w.start();
  w.run(3);
  w.td(0, TD, usb.PID_IN, 8, DATA);
  w.view.setUint32(QH, TD, true);
  w.run(3);
  for (let i = 0; i < 1024; i++) w.view.setUint32(FRAMES + 4 * i, 0xfffffff2, true);
  w.run(3);
  assert.equal(w.io.read(IO_BASE + 6, 2), 9);
});

testStateRoundTrip('uhci', () => world().uhci);
