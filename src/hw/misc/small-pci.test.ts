import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { ManualClock } from '../../core/clock.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { TimerQueue } from '../../core/timer.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { parseGuid, VmGenId } from '../acpi/vmgenid.ts';
import { PciBus } from '../pci/pci-bus.ts';
import type { PciFunction } from '../pci/pci-device.ts';
import { I6300Esb } from '../watchdog/i6300esb.ts';
import { Edu } from './edu.ts';
import { PciTestDev } from './pci-testdev.ts';
import { PvPanic, PvPanicPci } from './pvpanic.ts';

const BAR = 0x8000_0000;

function world(): {
  memory: AddressSpace;
  clock: ManualClock;
  timers: TimerQueue;
  plug(pci: PciFunction): void;
  pass(ns: number): void;
  pin: { level: boolean };
} {
  const root = MemoryRegion.container('memory', 2 ** 36);
  root.add(0, MemoryRegion.ram('ram', 65536, 0));
  const memory = new AddressSpace('memory', root, new GuestRam(new Uint8Array(65536)));
  const io = MemoryRegion.container('io', 65536);
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const pin = { level: false };
  const bus = new PciBus(root, io, (_slot, _pin, level) => (pin.level = level));
  return {
    memory,
    clock,
    timers,
    pin,
    plug: (pci) => {
      bus.add(4, 0, pci);
      pci.writeConfig(0x10, 4, BAR);
      pci.writeConfig(4, 2, 6);
    },
    pass: (ns) => {
      clock.advance(ns);
      timers.runExpired();
    },
  };
}

type World = ReturnType<typeof world>;

function edu(w: World): Edu {
  const { memory, timers } = w;
  const errors = (): void => {};
  const device = new Edu({
    memory,
    timers,
    msi: { sendMsi: () => {} },
    dmaMask: 0xfffffffn,
    guestError: errors,
  });
  w.plug(device.pci);
  return device;
}

test('edu: liveness, factorial, interrupts, DMA both ways', () => {
  const w = world();
  edu(w);
  const { memory, pass, pin } = w;
  assert.equal(memory.read(BAR, 4), 0x010000ed);
  memory.write(BAR + 4, 4, 0x12345678);
  assert.equal(memory.read(BAR + 4, 4), 0xedcba987);
  memory.write(BAR + 0x20, 4, 0x80);
  memory.write(BAR + 8, 4, 10);
  assert.equal(memory.read(BAR + 0x20, 4) & 1, 1);
  pass(1e7);
  assert.equal(memory.read(BAR + 8, 4), 3628800);
  assert.equal(pin.level, true);
  memory.write(BAR + 0x64, 4, memory.read(BAR + 0x24, 4));
  assert.equal(pin.level, false);
  memory.writeBytes(0x1000, Uint8Array.of(1, 2, 3, 4));
  const dma = (source: number, destination: number, command: number): void => {
    memory.write(BAR + 0x80, 4, source);
    memory.write(BAR + 0x88, 4, destination);
    memory.write(BAR + 0x90, 4, 4);
    memory.write(BAR + 0x98, 4, command);
    assert.equal(memory.read(BAR + 0x98, 4) & 1, 1);
    pass(1e8);
    assert.equal(memory.read(BAR + 0x98, 4) & 1, 0);
  };
  dma(0x1000, 0x40000, 1);
  dma(0x40000, 0x2000, 7);
  assert.equal(memory.read(0x2000, 4), 0x04030201);
  assert.equal(memory.read(BAR + 0x24, 4), 0x100);
  dma(0x40ffe, 0x3000, 3);
  assert.equal(memory.read(0x3000, 4), 0, 'outside of the buffer');
});

test('edu, i6300esb: random accesses neither throw nor hang', () => {
  const next = randomSource(77);
  for (const make of [edu, watchdog]) {
    const w = world();
    make(w);
    for (let i = 0; i < 20000; i++) {
      const offset = Math.floor(next() * 0x100) & ~3;
      if (next() < 0.5) w.memory.write(BAR + offset, 4, Math.floor(next() * 2 ** 32));
      else w.memory.read(BAR + offset, 4);
      if (next() < 0.1) w.pass(Math.floor(next() * 1e9));
    }
  }
});

let expiries = 0;
function watchdog(w: World): I6300Esb {
  const device = new I6300Esb(w.timers, () => expiries++);
  w.plug(device.pci);
  return device;
}

test('i6300esb: two stages, kept alive by reloads, flag after a time-out', () => {
  const w = world();
  const { pci } = watchdog(w);
  expiries = 0;
  const unlocked = (offset: number, value: number): void => {
    w.memory.write(BAR + 12, 2, 0x80);
    w.memory.write(BAR + 12, 2, 0x86);
    w.memory.write(BAR + offset, 4, value);
  };
  const second = Math.round(1e9 / (32768 * 30));
  unlocked(0, second);
  unlocked(4, second);
  pci.writeConfig(0x68, 1, 2);
  assert.equal(pci.readConfig(0x68, 1), 2);
  for (let i = 0; i < 5; i++) {
    w.pass(0.9e9);
    unlocked(12, 0x100);
  }
  w.pass(1.1e9);
  assert.equal(expiries, 0, 'the first stage');
  w.pass(1.1e9);
  assert.equal(expiries, 1);
  assert.equal(w.memory.read(BAR + 12, 4), 0x200);
  unlocked(12, 0x200);
  assert.equal(w.memory.read(BAR + 12, 4), 0);
});

test('pvpanic: events that are told, on both buses', () => {
  const log: string[] = [];
  const sink = { panicked: () => void log.push('panic'), crashLoaded: () => void log.push('crash') };
  const isa = new PvPanic(1, sink);
  assert.equal(isa.read(0, 1), 1);
  isa.write(0, 1, 2);
  isa.write(0, 1, 1);
  const w = world();
  w.plug(new PvPanicPci(3, sink).pci);
  assert.equal(w.memory.read(BAR, 1), 3);
  w.memory.write(BAR, 1, 2);
  assert.deepEqual(log, ['panic', 'crash']);
});

test('vmgenid: the identifier lies in memory in its own byte order', () => {
  const { memory } = world();
  const text = '324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87';
  const device = new VmGenId(parseGuid(text)!, memory);
  assert.equal(device.guidText, text);
  assert.deepEqual([...device.page().subarray(40, 44)], [0xaf, 0x6e, 0x4e, 0x32]);
  new DataView(device.address.buffer).setBigUint64(0, 0x5000n, true);
  device.publish();
  assert.equal(memory.read(0x5028, 4), 0x324e6eaf);
  assert.equal(parseGuid('324e6eaf'), undefined);
});

testStateRoundTrip('edu', () => edu(world()));
testStateRoundTrip('pci-testdev', () => {
  const device = new PciTestDev(65536);
  world().plug(device.pci);
  return device;
});
testStateRoundTrip('i6300esb', () => watchdog(world()));
testStateRoundTrip('vmgenid', () => new VmGenId(new Uint8Array(16), world().memory));

test('pci-testdev counts the writes that a test asks for', () => {
  const w = world();
  const device = new PciTestDev();
  w.plug(device.pci);
  const at = (offset: number): number => w.memory.read(BAR + offset, 4);
  w.memory.write(BAR, 1, 2);
  assert.equal(w.memory.read(BAR + 1, 1), 1);
  assert.equal(at(12), 0);
  const target = BAR + at(4);
  w.memory.write(target, 1, at(8));
  w.memory.write(target, 1, at(8) ^ 1);
  assert.equal(at(12), 1);
  const name = Array.from({ length: 22 }, (_, i) => w.memory.read(BAR + 16 + i, 1));
  assert.equal(String.fromCharCode(...name), 'mmio-datamatch-eventfd');
  w.memory.write(BAR, 1, 3);
  assert.equal(w.memory.read(BAR + 1, 1), 0, 'no such test');
});
