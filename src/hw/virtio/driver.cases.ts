/** A driver for tests: sets up split or packed rings in a small guest and speaks to a device through a transport. */
import { AddressSpace } from '../../core/address-space.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { MemoryRegion } from '../../core/memory-region.ts';

export const RAM_BYTES = 2 ** 20;

export function createGuest(): { memory: AddressSpace; io: AddressSpace; ram: GuestRam } {
  const ram = new GuestRam(new Uint8Array(RAM_BYTES));
  const root = MemoryRegion.container('memory', 2 ** 36);
  root.add(0, MemoryRegion.ram('ram', RAM_BYTES, 0));
  const memory = new AddressSpace('memory', root, ram);
  const io = new AddressSpace('io', MemoryRegion.container('io', 65536), ram);
  return { memory, io, ram };
}

export interface TestBuffer {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

export interface TestRing {
  readonly descriptors: number;
  readonly driverArea: number;
  readonly deviceArea: number;
  /** Makes a chain available. */
  add(buffers: readonly TestBuffer[], indirectAt?: number): void;
  /** Chains the device has returned since the last call: bytes written of each. */
  takeUsed(): Array<{ id: number; written: number }>;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** A split ring of `size` at `base` (needs 16 × size + 4 KiB bytes). */
export function splitRing(ram: GuestRam, base: number, size: number): TestRing {
  const { view } = ram;
  const descriptors = base;
  const driverArea = base + 16 * size;
  const deviceArea = (driverArea + 6 + 2 * size + 3) & ~3;
  let free = 0;
  let used = 0;
  const descriptor = (at: number, b: TestBuffer, flags: number, next: number): void => {
    view.setBigUint64(at, BigInt(b.address), true);
    view.setUint32(at + 8, b.length, true);
    view.setUint16(at + 12, flags | (b.write === true ? WRITE : 0), true);
    view.setUint16(at + 14, next, true);
  };
  return {
    descriptors,
    driverArea,
    deviceArea,
    add(buffers, indirectAt) {
      const head = free;
      if (indirectAt !== undefined) {
        buffers.forEach((b, i) =>
          descriptor(indirectAt + 16 * i, b, i + 1 < buffers.length ? NEXT : 0, i + 1),
        );
        descriptor(
          descriptors + 16 * head,
          { address: indirectAt, length: 16 * buffers.length },
          INDIRECT,
          0,
        );
        free = (free + 1) % size;
      } else {
        for (const [i, b] of buffers.entries()) {
          const next = (free + 1) % size;
          descriptor(descriptors + 16 * free, b, i + 1 < buffers.length ? NEXT : 0, next);
          free = next;
        }
      }
      const index = view.getUint16(driverArea + 2, true);
      view.setUint16(driverArea + 4 + 2 * (index % size), head, true);
      view.setUint16(driverArea + 2, index + 1, true);
    },
    takeUsed() {
      const list: Array<{ id: number; written: number }> = [];
      for (; used !== view.getUint16(deviceArea + 2, true); used = (used + 1) & 0xffff) {
        const at = deviceArea + 4 + 8 * (used % size);
        list.push({ id: view.getUint32(at, true), written: view.getUint32(at + 4, true) });
      }
      return list;
    },
  };
}

/** A packed ring of `size` at `base`. */
export function packedRing(ram: GuestRam, base: number, size: number): TestRing {
  const { view } = ram;
  const driverArea = base + 16 * size;
  const deviceArea = driverArea + 4;
  let at = 0;
  let wrap = true;
  let usedAt = 0;
  let usedWrap = true;
  const entriesOf = new Map<number, number>();
  const put = (b: TestBuffer, flags: number, id: number): void => {
    const entry = base + 16 * at;
    view.setBigUint64(entry, BigInt(b.address), true);
    view.setUint32(entry + 8, b.length, true);
    view.setUint16(entry + 12, id, true);
    view.setUint16(entry + 14, flags | (b.write === true ? WRITE : 0) | (wrap ? 0x80 : 0x8000), true);
    if (++at === size) {
      at = 0;
      wrap = !wrap;
    }
  };
  return {
    descriptors: base,
    driverArea,
    deviceArea,
    add(buffers, indirectAt) {
      const id = at;
      if (indirectAt === undefined) {
        entriesOf.set(id, buffers.length);
        buffers.forEach((b, i) => put(b, i + 1 < buffers.length ? NEXT : 0, id));
        return;
      }
      buffers.forEach((b, i) => {
        view.setBigUint64(indirectAt + 16 * i, BigInt(b.address), true);
        view.setUint32(indirectAt + 16 * i + 8, b.length, true);
        view.setUint16(indirectAt + 16 * i + 14, b.write === true ? WRITE : 0, true);
      });
      entriesOf.set(id, 1);
      put({ address: indirectAt, length: 16 * buffers.length }, INDIRECT, id);
    },
    takeUsed() {
      const list: Array<{ id: number; written: number }> = [];
      for (;;) {
        const entry = base + 16 * usedAt;
        const flags = view.getUint16(entry + 14, true);
        if (((flags & 0x80) !== 0) !== usedWrap || ((flags & 0x8000) !== 0) !== usedWrap) return list;
        const id = view.getUint16(entry + 12, true);
        list.push({ id, written: view.getUint32(entry + 8, true) });
        usedAt += entriesOf.get(id)!;
        if (usedAt >= size) {
          usedAt -= size;
          usedWrap = !usedWrap;
        }
      }
    },
  };
}
