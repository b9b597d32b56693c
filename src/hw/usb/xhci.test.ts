import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { findKey } from '../input/key-table.ts';
import { createStorage, createUsbGuest, MMIO_BASE, setup } from './usb.cases.ts';
import { UsbHid } from './usb-hid.ts';
import { XHCI_KINDS, Xhci } from './xhci.ts';
import * as xhci from './xhci-codes.ts';

const OP = MMIO_BASE + 0x40;
const PORTS = OP + 0x400;
const RUNTIME = MMIO_BASE + 0x1000;
const DOORBELL = MMIO_BASE + 0x2000;
const CONTEXTS = 0x1000;
const COMMANDS = 0x2000;
const TABLE = 0x3000;
const EVENTS = 0x4000;
const INPUT = 0x5000;
const OUTPUT = 0x6000;
const RING = 0x7000;
const DATA = 0x9000;

function world() {
  const guest = createUsbGuest();
  const kind = XHCI_KINDS['qemu-xhci']!;
  const device = new Xhci(kind, {
    ...guest,
    ports2: 4,
    ports3: 4,
    slots: 32,
    interrupters: 16,
    hasMsix: true,
  });
  guest.plug(device.pci);
  const { view } = guest.ram;
  const { memory } = guest;
  const put = (at: number, ...words: number[]): void =>
    words.forEach((word, n) => view.setUint32(at + 4 * n, word, true));
  let command = 0;
  let event = 0;
  let ring = 0;
  const start = (): void => {
    put(TABLE, EVENTS, 0, 64, 0);
    memory.write(OP + xhci.CONFIG, 4, 8);
    memory.write(OP + xhci.DCBAAP, 4, CONTEXTS);
    memory.write(OP + xhci.DCBAAP + 4, 4, 0);
    memory.write(OP + xhci.CRCR, 4, COMMANDS | 1);
    memory.write(OP + xhci.CRCR + 4, 4, 0);
    memory.write(RUNTIME + 0x20, 4, 2);
    memory.write(RUNTIME + 0x28, 4, 1);
    memory.write(RUNTIME + 0x38, 4, EVENTS);
    memory.write(RUNTIME + 0x3c, 4, 0);
    memory.write(RUNTIME + 0x30, 4, TABLE);
    memory.write(RUNTIME + 0x34, 4, 0);
    memory.write(OP, 4, xhci.CMD_RUN | xhci.CMD_INTE);
  };
  /** The next event: type, completion code, length, slot; undefined: none. */
  const next = () => {
    const at = EVENTS + 16 * event;
    const control = view.getUint32(at + 12, true);
    if ((control & 1) === 0) return undefined;
    event++;
    const status = view.getUint32(at + 8, true);
    return {
      type: xhci.trbType(control),
      code: status >>> 24,
      length: status & 0xffffff,
      slot: control >>> 24,
    };
  };
  const execute = (type: number, parameter = 0, more = 0) => {
    put(COMMANDS + 16 * command++, parameter, 0, 0, ((type << 10) | more | 1) >>> 0);
    memory.write(DOORBELL, 4, 0);
    return next();
  };
  const trb = (parameter: number, high: number, status: number, control: number): void =>
    put(RING + 16 * ring++, parameter, high, status, (control | 1) >>> 0);
  return {
    ...guest,
    device,
    view,
    put,
    start,
    next,
    execute,
    trb,
    ring: (n: number) => memory.write(DOORBELL + 4, 4, n),
  };
}

type World = ReturnType<typeof world>;

/** Slot 1 with an address and, of endpoint 1 to the host, a ring behind the control endpoint's. */
function addressed(w: World, rootPort: number): void {
  assert.equal(w.execute(xhci.CR_ENABLE_SLOT)!.slot, 1);
  w.put(CONTEXTS + 8, OUTPUT, 0);
  w.put(INPUT, 0, 3);
  w.put(INPUT + 32, 1 << 27, rootPort << 16);
  w.put(INPUT + 64, 0, (4 << 3) | (64 << 16), RING | 1, 0);
  assert.equal(w.execute(xhci.CR_ADDRESS_DEVICE, INPUT, 1 << 24)!.code, xhci.CC_SUCCESS);
}

function control(w: World, packet: Uint8Array): ReturnType<World['next']> {
  const view = new DataView(packet.buffer);
  const length = view.getUint16(6, true);
  w.trb(view.getUint32(0, true), view.getUint32(4, true), 8, (xhci.TR_SETUP << 10) | xhci.TRB_IMMEDIATE);
  if (length > 0) w.trb(DATA, 0, length, (xhci.TR_DATA << 10) | (1 << 16));
  w.trb(0, 0, 0, (xhci.TR_STATUS << 10) | xhci.TRB_IOC | (length > 0 ? 0 : 1 << 16));
  w.ring(1);
  return w.next();
}

test('from reset to a configured keyboard, and a key through the interrupt endpoint', () => {
  const w = world();
  const keyboard = new UsbHid({ kind: 'keyboard', input: w.input, timers: w.timers, usbVersion: 2 });
  w.device.bus.attach(keyboard);
  assert.equal(w.memory.read(MMIO_BASE, 1), 0x40);
  const port = PORTS + 4 * 16;
  assert.equal(w.memory.read(port, 4) & 0x203, 0x201);
  w.start();
  w.memory.write(port, 4, 0x210);
  assert.equal((w.memory.read(port, 4) >> 10) & 15, 3, 'high speed');
  assert.equal(w.memory.read(port, 4) & 2, 2);
  w.memory.write(port, 4, 0x200 | xhci.PORT_CHANGES);
  while (w.next() !== undefined);
  addressed(w, 5);
  assert.equal(keyboard.address, 1);
  assert.equal(control(w, setup(0x80, 6, 0x100, 0, 18))!.code, xhci.CC_SUCCESS);
  assert.deepEqual([...w.ram.bytes.subarray(DATA, DATA + 4)], [18, 1, 0, 2]);
  assert.ok(w.pin.level);
  w.put(INPUT, 0, 1 | (1 << 3));
  w.put(INPUT + 32, 3 << 27, 5 << 16);
  w.put(INPUT + 32 * 4, 0, (7 << 3) | (8 << 16), (RING + 0x1000) | 1, 0);
  assert.equal(w.execute(xhci.CR_CONFIGURE_ENDPOINT, INPUT, 1 << 24)!.code, xhci.CC_SUCCESS);
  assert.equal(control(w, setup(0, 9, 1, 0, 0))!.code, xhci.CC_SUCCESS);
  w.put(RING + 0x1000, DATA, 0, 16, (xhci.TR_NORMAL << 10) | xhci.TRB_IOC | xhci.TRB_ISP | 1);
  w.ring(3);
  assert.equal(w.next(), undefined, 'nothing to report yet');
  w.input.send([{ type: 'key', key: findKey('z')!, down: true }]);
  const event = w.next()!;
  assert.deepEqual([event.type, event.code, event.length], [xhci.ER_TRANSFER, xhci.CC_SHORT_PACKET, 8]);
  assert.equal(w.ram.bytes[DATA + 2], 0x1d);
  assert.equal(control(w, setup(0x80, 6, 0x9900, 0, 18))!.code, xhci.CC_STALL);
});

test('a stall halts the endpoint until it is reset; commands in the wrong state are refused', () => {
  const w = world();
  const { storage } = createStorage();
  w.device.bus.attach(storage);
  w.start();
  assert.equal(w.memory.read(PORTS, 4) & 0x3c03, (4 << 10) | 3, 'SuperSpeed, enabled by itself');
  addressed(w, 1);
  w.trb(0x06008000 | 0x80, 0x120000, 8, (xhci.TR_SETUP << 10) | xhci.TRB_IMMEDIATE);
  w.trb(DATA, 0, 18, (xhci.TR_DATA << 10) | (1 << 16) | xhci.TRB_IOC);
  w.ring(1);
  assert.equal(w.next()!.code, xhci.CC_STALL);
  assert.equal(w.view.getUint32(OUTPUT + 32, true) & 7, xhci.EP_HALTED);
  assert.equal(w.execute(xhci.CR_STOP_ENDPOINT, 0, (1 << 24) | (1 << 16))!.code, xhci.CC_CONTEXT_STATE_ERROR);
  assert.equal(w.execute(xhci.CR_RESET_ENDPOINT, 0, (1 << 24) | (1 << 16))!.code, xhci.CC_SUCCESS);
  assert.equal(
    w.execute(xhci.CR_SET_DEQUEUE, (RING + 0x100) | 1, (1 << 24) | (1 << 16))!.code,
    xhci.CC_SUCCESS,
  );
  assert.equal(w.execute(xhci.CR_ADDRESS_DEVICE, INPUT, 9 << 24)!.code, xhci.CC_SLOT_NOT_ENABLED);
  assert.equal(w.execute(63)!.code, xhci.CC_TRB_ERROR);
  w.device.bus.detach(storage);
  assert.equal(w.execute(xhci.CR_DISABLE_SLOT, 0, 1 << 24)!.code, xhci.CC_SUCCESS);
});

test('rings without an end cost a bounded time', () => {
  const w = world();
  w.device.bus.attach(new UsbHid({ kind: 'mouse', input: w.input, timers: w.timers, usbVersion: 1 }));
  w.start();
  // no-ops, and a link back that keeps the cycle bit
  w.put(COMMANDS, 0, 0, 0, (xhci.CR_NOOP << 10) | 1, COMMANDS, 0, 0, (xhci.TR_LINK << 10) | 1);
  w.memory.write(DOORBELL, 4, 0);
  w.run(3);
  w.put(COMMANDS, COMMANDS, 0, 0, (xhci.TR_LINK << 10) | 1);
  w.memory.write(DOORBELL, 4, 0);
  w.memory.write(OP, 4, 0);
  w.memory.write(OP, 4, xhci.CMD_RESET);
  w.start();
  addressed(w, 5);
  for (const type of [xhci.TR_NOOP, xhci.TR_STATUS, xhci.TR_NORMAL]) {
    w.put(RING, 0, 0, 0xffff, (type << 10) | 1, RING, 0, 0, (xhci.TR_LINK << 10) | 1);
    w.ring(1);
    w.run(2);
    w.put(RING, 0, 0, 0x1ffff, (type << 10) | xhci.TRB_CHAIN | 1);
    w.ring(1);
    w.run(2);
  }
});

testStateRoundTrip('xhci', () => world().device);
testHostileInput('xhci', () => {
  const w = world();
  w.device.bus.attach(createStorage().storage);
  for (let i = 0; i < w.ram.bytes.length; i++) w.ram.bytes[i] = (i * 2654435761) >>> 24;
  return { device: w.device, size: 0x4000, timers: w.timers, clock: w.clock };
});
