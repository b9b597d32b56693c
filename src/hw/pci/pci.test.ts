import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { IrqLine } from '../../core/irq.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { EcamWindow, PciBus } from './pci-bus.ts';
import { PciFunction } from './pci-device.ts';
import {
  createI440fx,
  PCI_ADDRESS_MMIO,
  PciConfigPorts,
  Piix3,
  type ShadowSegment,
  smramOf,
} from './pci-host.ts';

function world() {
  const memory = MemoryRegion.container('memory', 2 ** 52);
  const io = MemoryRegion.container('io', 65536);
  const ram = new GuestRam(new Uint8Array(0x10000));
  const as = new AddressSpace('memory', memory, ram);
  const ports = new AddressSpace('io', io, ram);
  const isa = Array.from({ length: 16 }, () => IrqLine.unconnected());
  const piix3 = new Piix3(isa);
  const bus = new PciBus(memory, io, piix3.route);
  const shadows: ShadowSegment[][] = [];
  const host = createI440fx((segments) => shadows.push([...segments]));
  bus.add(0, 0, host);
  bus.add(1, 0, piix3.pci);
  const config = new PciConfigPorts(bus);
  io.add(0xcf8, MemoryRegion.mmio('conf1-address', 4, config.address, PCI_ADDRESS_MMIO));
  io.add(0xcfc, MemoryRegion.mmio('conf1-data', 4, config.data));
  const select = (slot: number, fn: number, offset: number): void =>
    ports.write(0xcf8, 4, 0x80000000 + (slot << 11) + (fn << 8) + (offset & ~3));
  const get = (slot: number, fn: number, offset: number, size: 1 | 2 | 4 = 4): number => {
    select(slot, fn, offset);
    return ports.read(0xcfc + (offset & 3), size);
  };
  const set = (slot: number, fn: number, offset: number, size: 1 | 2 | 4, value: number): void => {
    select(slot, fn, offset);
    ports.write(0xcfc + (offset & 3), size, value);
  };
  return { memory, io, as, ports, isa, piix3, bus, host, config, get, set, shadows };
}

function device(): PciFunction {
  return new PciFunction({ vendorId: 0x1af4, deviceId: 0x1000, classCode: 0x020000, interruptPin: 1 });
}

test('mechanism #1: the probe of Linux, ids, absent functions', () => {
  const { ports, get } = world();
  ports.write(0xcf8, 4, 0x80000000);
  assert.equal(ports.read(0xcf8, 4), 0x80000000);
  assert.equal(ports.read(0xcfb, 1), 0xff, 'only 32-bit accesses reach CONFIG_ADDRESS');
  assert.equal(get(0, 0, 0), 0x12378086);
  assert.equal(get(0, 0, 8), 0x06000002);
  assert.equal(get(1, 0, 0), 0x70008086);
  assert.equal(get(1, 0, 0x0e, 1), 0x80);
  assert.equal(get(1, 0, 0x0a, 2), 0x0601);
  assert.equal(get(5, 0, 0), 0xffffffff);
  ports.write(0xcf8, 4, 0);
  assert.equal(ports.read(0xcfc, 4), 0xffffffff);
});

test('BARs: sizing, mapping with the command register, moving', () => {
  const { bus, get, set, as, ports } = world();
  const nic = device();
  const regs = { read: () => 0x5a, write: () => {} };
  nic.addBar(0, 'io', MemoryRegion.mmio('io-bar', 32, regs));
  nic.addBar(1, 'memory32', MemoryRegion.mmio('mem-bar', 4096, regs));
  nic.addBar(4, 'memory64', MemoryRegion.mmio('big-bar', 16384, regs), true);
  bus.add(3, 0, nic);
  for (const offset of [0x10, 0x14, 0x18, 0x20, 0x24]) set(3, 0, offset, 4, 0xffffffff);
  assert.deepEqual(
    [0x10, 0x14, 0x18, 0x20, 0x24].map((o) => get(3, 0, o)),
    [0xffffffe1, 0xfffff000, 0, 0xffffc00c, 0xffffffff],
  );
  set(3, 0, 0x10, 4, 0xc001);
  set(3, 0, 0x14, 4, 0xfebf0000);
  set(3, 0, 0x20, 4, 0x00004000);
  set(3, 0, 0x24, 4, 0x8);
  assert.equal(as.find(0xfebf0000), undefined);
  set(3, 0, 4, 2, 3);
  assert.equal(ports.read(0xc005, 1), 0x5a);
  assert.equal(as.read(0xfebf0010, 1), 0x5a);
  assert.equal(as.find(0x8_0000_4000)?.region.name, 'big-bar');
  set(3, 0, 0x14, 4, 0xfec00000);
  assert.equal(as.find(0xfebf0000), undefined);
  assert.equal(as.find(0xfec00fff)?.region.name, 'mem-bar');
  set(3, 0, 0x14, 4, 0xffffffff);
  assert.equal(as.find(0xfffff000), undefined, 'being sized with decoding on');
  nic.reset();
  assert.equal(as.find(0x8_0000_4000), undefined);
  assert.equal(get(3, 0, 4, 2), 0);
});

test('INTx reaches the ISA interrupt of its PIRQ', () => {
  const { bus, set, isa, get } = world();
  const nic = device();
  bus.add(3, 0, nic);
  set(1, 0, 0x62, 1, 11);
  nic.setIntx(true);
  assert.ok(isa[11]!.level);
  assert.equal(get(3, 0, 6, 2) & 8, 8);
  set(3, 0, 4, 2, 0x400);
  assert.ok(!isa[11]!.level);
  set(3, 0, 4, 2, 0);
  set(1, 0, 0x62, 1, 10);
  assert.ok(!isa[11]!.level && isa[10]!.level);
  nic.setIntx(false);
  assert.ok(!isa[10]!.level);
});

test('capabilities, ECAM, PAM', () => {
  const { bus, get, set, shadows } = world();
  const nic = device();
  const at = nic.addCapability(9, 16);
  const next = nic.addCapability(0x11, 12);
  bus.add(4, 0, nic);
  assert.equal(get(4, 0, 0x34, 1), next);
  assert.equal(get(4, 0, next + 1, 1), at);
  assert.equal(get(4, 0, 6, 2) & 0x10, 0x10);
  const ecam = new EcamWindow(bus);
  assert.equal(ecam.read(4 * 8 * 4096, 4), 0x10001af4);
  assert.equal(ecam.read(4 * 8 * 4096 + 0x100, 4), 0xffffffff);
  assert.equal(ecam.read(2 ** 20, 4), 0xffffffff);
  set(0, 0, 0x59, 1, 0x30);
  set(0, 0, 0x5a, 1, 0x21);
  const last = shadows.at(-1)!;
  assert.deepEqual(last[0], { addr: 0xf0000, size: 0x10000, readsRam: true, writesRam: true });
  assert.deepEqual(last[1], { addr: 0xc0000, size: 0x4000, readsRam: true, writesRam: false });
  assert.deepEqual(last[2], { addr: 0xc4000, size: 0x4000, readsRam: false, writesRam: true });
});

testStateRoundTrip('pci-function', () => {
  const { bus } = world();
  const nic = device();
  nic.addBar(1, 'memory32', MemoryRegion.mmio('bar', 4096, { read: () => 0, write: () => {} }));
  bus.add(3, 0, nic);
  return nic;
});
testStateRoundTrip('pci-config', () => world().config);
testStateRoundTrip('piix3-pirq', () => world().piix3);
testHostileInput('pci', () => {
  const { bus, ports } = world();
  const nic = device();
  nic.addBar(0, 'io', MemoryRegion.mmio('io-bar', 32, { read: () => 0, write: () => {} }));
  nic.addBar(4, 'memory64', MemoryRegion.mmio('bar', 4096, { read: () => 0, write: () => {} }));
  bus.add(0x1f, 7, nic);
  return {
    size: 8,
    device: {
      read: (offset, size) => ports.read(0xcf8 + offset, size),
      write: (offset, size, value) => {
        ports.write(0xcf8, 4, (0x8000ff00 + (value & 0xfc)) >>> 0);
        ports.write(0xcfc, 4, value);
        ports.write(0xcf8 + offset, size, value);
        nic.setIntx((value & 1) !== 0);
      },
    },
  };
});

test('i440FX: SMRAM opens, is enabled, and stays shut once locked', () => {
  let changes = 0;
  const bridge = createI440fx(undefined, () => changes++);
  bridge.writeConfig(0x72, 1, 0x4a);
  assert.deepEqual(smramOf(bridge), { isOpen: true, isEnabled: true });
  bridge.writeConfig(0x70, 4, 0x005a_0000);
  assert.deepEqual(smramOf(bridge), { isOpen: false, isEnabled: true });
  bridge.writeConfig(0x72, 1, 0x42);
  assert.deepEqual(smramOf(bridge), { isOpen: false, isEnabled: true });
  assert.equal(changes, 3);
  bridge.reset();
  assert.deepEqual(smramOf(bridge), { isOpen: false, isEnabled: false });
  bridge.writeConfig(0x72, 1, 0x42);
  assert.equal(smramOf(bridge).isOpen, true);
});
