import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { FW_CFG_CPU_COUNT, FW_CFG_FILE_DIR, FW_CFG_ID, FW_CFG_SIGNATURE, FwCfg } from './fw-cfg.ts';

function world() {
  const root = MemoryRegion.container('memory', 2 ** 52);
  const ram = new GuestRam(new Uint8Array(0x10000));
  root.add(0, MemoryRegion.ram('ram', 0x10000, 0));
  const memory = new AddressSpace('memory', root, ram);
  const fw = new FwCfg(memory);
  const take = (key: number, count: number): number[] => {
    fw.write(0, 2, key);
    return Array.from({ length: count }, () => fw.read(1, 1));
  };
  const dma = (control: number, length: number, addr: number): number => {
    ram.view.setUint32(0x100, control);
    ram.view.setUint32(0x104, length);
    ram.view.setBigUint64(0x108, BigInt(addr));
    fw.write(4, 4, 0);
    fw.write(8, 4, 0x00010000);
    return ram.view.getUint32(0x100);
  };
  return { fw, ram, take, dma };
}

test('signature, id, values, and the end of an item', () => {
  const { fw, take } = world();
  assert.equal(String.fromCharCode(...take(FW_CFG_SIGNATURE, 4)), 'QEMU');
  assert.deepEqual(take(FW_CFG_ID, 5), [3, 0, 0, 0, 0]);
  fw.addU16(FW_CFG_CPU_COUNT, 0x0102);
  assert.deepEqual(take(FW_CFG_CPU_COUNT, 3), [2, 1, 0]);
  assert.deepEqual(take(0x999, 2), [0, 0]);
  assert.equal(fw.read(4, 4), 0x554d4551);
  assert.equal(fw.read(8, 4), 0x47464320);
});

test('directory of files, sorted', () => {
  const { fw, take } = world();
  fw.addFile('etc/b', Uint8Array.of(1, 2, 3));
  fw.addFile('etc/a', Uint8Array.of(9));
  fw.addFile('etc/b', Uint8Array.of(4, 5));
  const dir = Uint8Array.from(take(FW_CFG_FILE_DIR, 4 + 128));
  const view = new DataView(dir.buffer);
  assert.equal(view.getUint32(0), 2);
  assert.equal(view.getUint32(4), 1);
  assert.equal(view.getUint32(68), 2);
  assert.equal(String.fromCharCode(...dir.subarray(76, 81)), 'etc/b');
  assert.deepEqual(take(view.getUint16(72), 3), [4, 5, 0]);
});

test('DMA: select and read, skip, write where allowed', () => {
  const { fw, ram, dma } = world();
  const file = Uint8Array.of(1, 2, 3, 4, 5);
  let written = 0;
  fw.addFile('etc/x', file, () => written++);
  const key = 0x20;
  assert.equal(dma((key << 16) | 8 | 2, 7, 0x200), 0);
  assert.deepEqual([...ram.bytes.subarray(0x200, 0x207)], [1, 2, 3, 4, 5, 0, 0]);
  assert.equal(dma((key << 16) | 8 | 4, 3, 0), 0);
  assert.equal(dma(2, 1, 0x300), 0);
  assert.equal(ram.bytes[0x300], 4);
  ram.bytes[0x300] = 77;
  assert.equal(dma((key << 16) | 8 | 16, 1, 0x300), 0);
  assert.equal(file[0], 77);
  assert.equal(written, 1);
  assert.equal(dma((key << 16) | 8 | 16, 6, 0x300), 1, 'beyond the end');
  assert.equal(dma((FW_CFG_SIGNATURE << 16) | 8 | 16, 1, 0x300), 1, 'not writable');
  assert.equal(dma((key << 16) | 8 | 2, 0xffffffff, 2 ** 40), 0, 'nowhere');
});

testStateRoundTrip('fw-cfg', () => world().fw);
testHostileInput('fw-cfg', () => {
  const { fw, dma } = world();
  return {
    size: 12,
    device: {
      read: (offset, size) => fw.read(offset, size),
      write: (offset, size, value) => {
        if ((value & 15) === 0) dma(value, value, value);
        fw.write(offset, size, value);
      },
    },
  };
});
