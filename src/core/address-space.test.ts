import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace, type UnassignedAccess } from './address-space.ts';
import { DIRTY_DISPLAY, GuestRam } from './guest-ram.ts';
import { type AccessSize, MemoryRegion, type MmioDevice, type MmioOptions } from './memory-region.ts';
import { randomSource } from './vmstate-roundtrip.cases.ts';

class Probe implements MmioDevice {
  readonly log: string[] = [];

  read(offset: number, size: AccessSize): number {
    this.log.push(`r${size}@${offset.toString(16)}`);
    let value = 0;
    for (let i = 0; i < size; i++) value |= ((offset + i) & 0xff) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.log.push(`w${size}@${offset.toString(16)}=${value.toString(16)}`);
  }
}

function space(size = 2 ** 40): {
  root: MemoryRegion;
  as: AddressSpace;
  ram: GuestRam;
  errors: UnassignedAccess[];
} {
  const root = MemoryRegion.container('system', size);
  const ram = new GuestRam(new Uint8Array(0x10000));
  const errors: UnassignedAccess[] = [];
  const as = new AddressSpace('memory', root, ram, { onUnassigned: (access) => errors.push(access) });
  return { root, as, ram, errors };
}

test('RAM, little-endian, unaligned, and where it ends', () => {
  const { root, as, ram, errors } = space();
  root.add(0x1000, MemoryRegion.ram('ram', 0x2000, 0x4000));
  as.write(0x1001, 4, 0xdeadbeef);
  assert.equal(as.read(0x1001, 4), 0xdeadbeef);
  assert.equal(as.read(0x1003, 2), 0xdead);
  assert.equal(ram.bytes[0x4001], 0xef);
  as.write(0x2ffe, 4, 0x11223344);
  assert.equal(as.read(0x2ffe, 4), 0xffff3344);
  assert.deepEqual(
    errors.map((e) => e.addr),
    [0x3000, 0x3001, 0x3000, 0x3001],
  );
  as.writeU64(0x1ff8, 0x1122334455667788n);
  assert.equal(as.readU64(0x1ff8), 0x1122334455667788n);
  assert.equal(as.ramOffsetOf(0x1800, 0x800), 0x4800);
  assert.equal(as.ramOffsetOf(0x2800, 0x801), -1);
});

test('unassigned reads are all ones', () => {
  const { as, errors } = space();
  assert.equal(as.read(0x1234, 1), 0xff);
  assert.equal(as.read(0x1234, 2), 0xffff);
  assert.equal(as.read(0x1234, 4), 0xffffffff);
  as.write(0x1234, 4, 1);
  assert.deepEqual(errors.at(-1), { space: 'memory', addr: 0x1234, size: 4, value: 1 });
});

test('priorities, holes, enabling and moving', () => {
  const { root, as } = space();
  const low = new Probe();
  const high = new Probe();
  root.add(0x1000, MemoryRegion.mmio('low', 0x3000, low));
  const window = MemoryRegion.mmio('high', 0x1000, high);
  root.add(0x2000, window, 1);
  as.read(0x1ffc, 4);
  as.read(0x2004, 4);
  as.read(0x3008, 4);
  assert.deepEqual(low.log, ['r4@ffc', 'r4@2008']);
  assert.deepEqual(high.log, ['r4@4']);
  window.enabled = false;
  as.read(0x2004, 4);
  assert.equal(low.log.at(-1), 'r4@1004');
  window.enabled = true;
  root.move(window, 0x3000);
  as.read(0x3008, 4);
  assert.equal(high.log.at(-1), 'r4@8');
  root.remove(window);
  as.read(0x3008, 4);
  assert.equal(low.log.at(-1), 'r4@2008');
  assert.equal(as.flatView.ranges.length, 1);
});

test('aliases, nested containers and read-only shadows', () => {
  const { root, as, ram } = space();
  const block = MemoryRegion.ram('pc.ram', 0x8000, 0);
  root.add(0, MemoryRegion.alias('below', block, 0, 0x4000));
  root.add(2 ** 32, MemoryRegion.alias('above-4g', block, 0x4000, 0x4000));
  as.write(2 ** 32 + 8, 4, 77);
  assert.equal(ram.view.getUint32(0x4008, true), 77);
  const shadow = MemoryRegion.alias('shadow', block, 0x2000, 0x1000);
  root.add(0x2000, shadow, 1);
  assert.equal(as.flatView.ranges.length, 2, 'the same bytes at the same place: one range');
  shadow.readOnly = true;
  assert.equal(as.flatView.ranges.length, 4);
  as.write(0x2000, 1, 5);
  assert.equal(as.read(0x2000, 1), 0);
  as.write(0x1fff, 2, 0x0606);
  assert.equal(as.read(0x1fff, 2), 0x0006);
  as.writeBytes(0x2000, Uint8Array.of(9));
  assert.equal(as.read(0x2000, 1), 0);
  as.writeBytes(0x2000, Uint8Array.of(9), true);
  assert.equal(as.read(0x2000, 1), 9);
  const inner = MemoryRegion.container('inner', 0x1000);
  inner.add(0x800, MemoryRegion.rom('rom', 0x1000, 0x1000));
  root.add(0x9000, inner);
  const rom = as.find(0x9800)!;
  assert.equal(rom.end, 0xa000);
  assert.ok(rom.readOnly);
});

function device(options: MmioOptions): { probe: Probe; as: AddressSpace } {
  const { root, as } = space();
  const probe = new Probe();
  root.add(0x100, MemoryRegion.mmio('probe', 0x20, probe, options));
  return { probe, as };
}

test('sizes: splitting, widening, refusing, alignment', () => {
  const bytewise = device({ impl: { min: 1, max: 1 } });
  assert.equal(bytewise.as.read(0x104, 4), 0x07060504);
  bytewise.as.write(0x104, 2, 0xbbaa);
  assert.deepEqual(bytewise.probe.log.slice(-2), ['w1@4=aa', 'w1@5=bb']);

  const wide = device({ impl: { min: 4, max: 4 } });
  assert.equal(wide.as.read(0x106, 2), 0x0706);
  wide.as.write(0x107, 1, 0xcc);
  assert.deepEqual(wide.probe.log, ['r4@4', 'w4@4=cc000000']);

  const strict = device({ valid: { min: 4, max: 4 } });
  assert.equal(strict.as.read(0x104, 1), 0xff);
  strict.as.write(0x104, 2, 1);
  assert.deepEqual(strict.probe.log, []);

  const plain = device({});
  assert.equal(plain.as.read(0x105, 4), 0x08070605);
  assert.deepEqual(plain.probe.log, ['r1@5', 'r1@6', 'r1@7', 'r1@8']);
  const unaligned = device({ unaligned: true });
  assert.equal(unaligned.as.read(0x105, 4), 0x08070605);
  assert.deepEqual(unaligned.probe.log, ['r4@5']);
  assert.equal(plain.as.read(0x11e, 4), 0xffff1f1e, 'an access across the end of a region');
});

test('an access belongs to the device at its first byte, also where another one overlaps the rest', () => {
  const { root, as } = space(65536);
  const address = new Probe();
  const reset = new Probe();
  root.add(0xcf8, MemoryRegion.mmio('pci-conf', 8, address));
  root.add(0xcf9, MemoryRegion.mmio('reset', 1, reset), 1);
  as.write(0xcf8, 4, 0x80000000);
  as.write(0xcf9, 1, 6);
  assert.deepEqual(address.log, ['w4@0=80000000']);
  assert.deepEqual(reset.log, ['w1@0=6']);
  assert.equal(as.read(0xffff, 2), 0xffff);
});

test('change notification: once per change or batch, and only after the last view was looked at', () => {
  const { root, as } = space();
  let calls = 0;
  as.flatView;
  const sub = as.onChanged(() => {
    calls++;
    as.flatView;
  });
  const region = MemoryRegion.ram('ram', 0x1000, 0);
  root.add(0, region);
  assert.equal(calls, 1);
  as.batch(() => {
    region.enabled = false;
    root.move(region, 0x5000);
    region.enabled = true;
  });
  assert.equal(calls, 2);
  assert.equal(as.find(0x5000)?.ramOffset, 0);
  sub.dispose();
  region.enabled = false;
  assert.equal(calls, 2);
  assert.equal(as.find(0x5000), undefined);
});

test('writes to RAM are announced, pages become dirty per client', () => {
  const { root, as, ram } = space();
  root.add(0, MemoryRegion.ram('ram', 0x8000, 0x1000));
  const seen: Array<[number, number]> = [];
  const sub = ram.onWrite((offset, size) => seen.push([offset, size]));
  ram.setDirtyClient(DIRTY_DISPLAY, true);
  as.write(0x10, 2, 1);
  as.writeBytes(0x1ffe, new Uint8Array(0x1004));
  assert.deepEqual(seen, [
    [0x1010, 2],
    [0x2ffe, 0x1004],
  ]);
  const pages: number[] = [];
  ram.takeDirty(DIRTY_DISPLAY, 0x1000, 0x8000, (page) => pages.push(page));
  assert.deepEqual(pages, [0x1000, 0x2000, 0x3000, 0x4000]);
  ram.takeDirty(DIRTY_DISPLAY, 0x1000, 0x8000, () => assert.fail('taken twice'));
  sub.dispose();
  const into = new Uint8Array(4);
  as.readBytes(0x7ffe, into);
  assert.deepEqual([...into], [0, 0, 0xff, 0xff]);
});

test('a random tree flattens to what a search by priority finds', () => {
  const next = randomSource(42);
  for (let round = 0; round < 50; round++) {
    const { root, as } = space(256);
    const placed: Array<{ region: MemoryRegion; at: number; priority: number }> = [];
    for (let i = 0; i < 12; i++) {
      const region = MemoryRegion.ram(`r${i}`, 1 + Math.floor(next() * 60), i * 256);
      const at = Math.floor(next() * 250);
      const priority = Math.floor(next() * 4);
      root.add(at, region, priority);
      region.enabled = next() < 0.8;
      placed.unshift({ region, at, priority });
    }
    for (let addr = 0; addr < 256; addr++) {
      const hits = placed.filter((p) => p.region.enabled && addr >= p.at && addr < p.at + p.region.size);
      hits.sort((a, b) => b.priority - a.priority);
      const range = as.find(addr);
      assert.equal(range?.region.name, hits[0]?.region.name, `address ${addr}`);
      if (range !== undefined)
        assert.equal(range.ramOffset + addr - range.start, range.region.ramOffset + addr - hits[0]!.at);
    }
  }
});
