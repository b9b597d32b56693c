/** A small guest around a PCI network card, for tests. */
import { AddressSpace } from '../../core/address-space.ts';
import { ManualClock } from '../../core/clock.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { type AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import type { FrameMeta, NetBackend, NetFrontend } from '../../core/net-backend.ts';
import { TimerQueue } from '../../core/timer.ts';
import { PciBus } from '../pci/pci-bus.ts';
import type { PciFunction } from '../pci/pci-device.ts';

export const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const RAM_BYTES = 2 ** 20;

/** The other end of the cable. */
export class TestWire implements NetBackend {
  isLinkUp = true;
  room = Number.POSITIVE_INFINITY;
  resumed = 0;
  readonly sent: Array<{ frame: Uint8Array; meta: FrameMeta }> = [];
  frontend!: NetFrontend;

  connect(frontend: NetFrontend): void {
    this.frontend = frontend;
  }
  send(frame: Uint8Array, meta?: Readonly<FrameMeta>): boolean {
    if (this.room <= 0) return false;
    this.room--;
    this.sent.push({ frame: frame.slice(), meta: { ...meta! } });
    return true;
  }
  reserve(): undefined {
    return undefined;
  }
  commit(): void {}
  resume(): void {
    this.resumed++;
  }
  setOffloads(): void {}
}

export interface NicRig<T> {
  readonly card: T;
  readonly wire: TestWire;
  readonly ram: GuestRam;
  readonly clock: ManualClock;
  readonly timers: TimerQueue;
  readonly pin: { level: boolean };
  read(offset: number, size?: AccessSize): number;
  write(offset: number, value: number, size?: AccessSize): void;
}

/** BAR `bar` of the card lies at `base` in memory (or in I/O space). */
export function createNicRig<T extends { readonly pci: PciFunction }>(
  make: (parts: { memory: AddressSpace; timers: TimerQueue; backend: TestWire; mac: Uint8Array }) => T,
  bar: number,
  isIo = false,
): NicRig<T> {
  const ram = new GuestRam(new Uint8Array(RAM_BYTES));
  const root = MemoryRegion.container('memory', 2 ** 36);
  root.add(0, MemoryRegion.ram('ram', RAM_BYTES, 0));
  const memory = new AddressSpace('memory', root, ram);
  const io = new AddressSpace('io', MemoryRegion.container('io', 65536), ram);
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const wire = new TestWire();
  const pin = { level: false };
  const bus = new PciBus(memory.root, io.root, (_slot, _pin, level) => (pin.level = level));
  const card = make({ memory, timers, backend: wire, mac: MAC });
  bus.add(3, 0, card.pci);
  const base = isIo ? 0xc000 : 0x8000_0000;
  card.pci.writeConfig(0x10 + 4 * bar, 4, base);
  card.pci.writeConfig(4, 2, 7);
  const space = isIo ? io : memory;
  return {
    card,
    wire,
    ram,
    clock,
    timers,
    pin,
    read: (offset, size = 4) => space.read(base + offset, size),
    write: (offset, value, size = 4) => space.write(base + offset, size, value),
  };
}

/** A frame for everybody with counting bytes. */
export function testFrame(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => (n < 6 ? 0xff : n & 0xff));
}
