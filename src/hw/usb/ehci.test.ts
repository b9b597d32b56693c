import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { EHCI_KINDS, Ehci } from './ehci.ts';
import { createStorage, createUsbGuest, MMIO_BASE, setup } from './usb.cases.ts';

const OP = MMIO_BASE + 0x20;
const QUEUE = 0x2000;
const TDS = 0x3000;
const DATA = 0x8000;

function world() {
  const guest = createUsbGuest();
  const ehci = new Ehci(EHCI_KINDS['usb-ehci']!, guest);
  guest.plug(ehci.pci);
  const { view } = guest.ram;
  const put = (at: number, ...words: number[]): void =>
    words.forEach((word, n) => view.setUint32(at + 4 * n, word >>> 0, true));
  /** PID code 0 out, 1 in, 2 setup. */
  const td = (n: number, next: number, pid: number, bytes: number, data: number, ioc = false): void =>
    put(TDS + 64 * n, next, 1, (bytes << 16) | (ioc ? 0x8000 : 0) | (pid << 8) | 0x80, data);
  const start = (): void => {
    put(QUEUE, QUEUE | 2, 0x8000 | (64 << 16) | (2 << 12) | 0x4000, 1 << 30, 0, TDS, 1, 0, 0);
    guest.memory.write(OP + 0x18, 4, QUEUE);
    guest.memory.write(OP + 0x08, 4, 0x3f);
    guest.memory.write(OP + 0x00, 4, 0x80021);
  };
  return {
    ...guest,
    ehci,
    view,
    put,
    td,
    start,
    token: (n: number) => view.getUint32(TDS + 64 * n + 8, true),
  };
}

test('a control transfer through the asynchronous schedule, its interrupt, the doorbell', () => {
  const w = world();
  w.ehci.bus.attach(createStorage().storage);
  assert.equal(w.memory.read(OP + 0x44, 4) & 0x2001, 0x2000, 'not configured: the port is not ours');
  w.memory.write(OP + 0x40, 4, 1);
  assert.equal(w.memory.read(OP + 0x44, 4), 0x1003);
  w.memory.write(OP + 0x44, 4, 0x1100);
  w.memory.write(OP + 0x44, 4, 0x1000);
  assert.equal(w.memory.read(OP + 0x44, 4) & 4, 4);
  w.ram.bytes.set(setup(0x80, 6, 0x100, 0, 64), DATA);
  w.td(0, TDS + 64, 2, 8, DATA);
  w.td(1, TDS + 128, 1, 64, DATA + 64);
  w.td(2, 1, 0, 0, 0, true);
  w.memory.write(OP + 0x04, 4, 0x3f);
  w.start();
  w.run(2);
  assert.equal(w.token(2) & 0xff, 0);
  assert.equal((w.token(1) >>> 16) & 0x7fff, 64 - 18);
  assert.equal(w.ram.bytes[DATA + 64], 18);
  assert.ok(w.pin.level);
  w.memory.write(OP + 0x04, 4, 0x3f);
  assert.ok(!w.pin.level);
  w.memory.write(OP, 4, 0x80061);
  w.run(1);
  assert.equal(w.memory.read(OP + 0x04, 4) & 0x20, 0x20);
  w.td(3, 1, 1, 13, DATA);
  w.put(QUEUE, QUEUE | 2, 0x8000 | (64 << 16) | 0x4009, 1 << 30, 0, TDS + 192, 1, 0, 0);
  w.run(1);
  assert.equal(w.token(3) & 0xff, 0x48, 'nobody at that address');
});

test('lists without an end cost a bounded time', () => {
  const w = world();
  w.memory.write(OP + 0x40, 4, 1);
  w.start();
  w.put(QUEUE + 64, QUEUE | 2);
  w.put(QUEUE, (QUEUE + 64) | 2);
  for (let i = 0; i < 1024; i++) w.put(0x1000 + 4 * i, QUEUE | 2);
  w.memory.write(OP + 0x14, 4, 0x1000);
  w.memory.write(OP, 4, 0x80031);
  w.td(0, TDS, 1, 0x7fff, 0xfffff000);
  w.run(5);
  assert.equal(w.memory.read(OP + 0x0c, 4), 40);
});

testStateRoundTrip('ehci', () => world().ehci);
testHostileInput('ehci', () => {
  const w = world();
  w.ehci.bus.attach(createStorage().storage);
  for (let i = 0; i < w.ram.bytes.length; i++) w.ram.bytes[i] = (i * 2654435761) >>> 24;
  return { device: w.ehci, size: 0x100, timers: w.timers, clock: w.clock };
});
