/** A guest with RAM, PCI and a clock that stands, for tests of USB controllers. */
import { AddressSpace } from '../../core/address-space.ts';
import { ManualClock } from '../../core/clock.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { TimerQueue } from '../../core/timer.ts';
import { InputCore } from '../input/input-core.ts';
import { PciBus } from '../pci/pci-bus.ts';
import type { PciFunction } from '../pci/pci-device.ts';
import { ScsiDisk } from '../scsi/scsi-disk.ts';
import { MemoryDisk } from '../virtio/memory-disk.cases.ts';
import { UsbStorage } from './usb-storage.ts';

export const RAM_BYTES = 2 ** 20;
export const IO_BASE = 0xc000;
export const MMIO_BASE = 0x8000_0000;
export const MSIX_BASE = 0x9000_0000;

export function createUsbGuest() {
  const ram = new GuestRam(new Uint8Array(RAM_BYTES));
  const root = MemoryRegion.container('memory', 2 ** 36);
  root.add(0, MemoryRegion.ram('ram', RAM_BYTES, 0));
  const memory = new AddressSpace('memory', root, ram);
  const io = new AddressSpace('io', MemoryRegion.container('io', 65536), ram);
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const input = new InputCore();
  const pin = { level: false };
  const messages: Array<[number, number]> = [];
  const errors: string[] = [];
  const bus = new PciBus(root, io.root, (_slot, _pin, level) => (pin.level = level));
  return {
    ...{ memory, io, ram, clock, timers, input, pin, messages, errors },
    msi: { sendMsi: (addr: number, data: number) => void messages.push([addr, data]) },
    guestError: (text: string) => void errors.push(text),
    /** Puts a controller on the bus with its BARs decoded. */
    plug: (pci: PciFunction): void => {
      bus.add(3, 0, pci);
      pci.writeConfig(0x20, 4, IO_BASE);
      pci.writeConfig(0x10, 4, MMIO_BASE);
      pci.writeConfig(0x18, 4, MSIX_BASE);
      pci.writeConfig(4, 2, 7);
    },
    /** Lets time pass, a millisecond at a time. */
    run: (milliseconds: number): void => {
      for (let i = 0; i < milliseconds; i++) {
        clock.advance(1e6);
        timers.runExpired();
      }
    },
  };
}

export type UsbGuest = ReturnType<typeof createUsbGuest>;

export function createStorage(sizeBytes = 65536): { disk: MemoryDisk; storage: UsbStorage } {
  const disk = new MemoryDisk(sizeBytes);
  const unit = new ScsiDisk({
    ...{ vendor: 'LYREBIRD', product: 'TEST', revision: '1', serial: '1', deviceId: '', wwn: 0n },
    ...{ backend: disk, isRemovable: false, logicalBlock: 512, physicalBlock: 512, discardGranularity: 4096 },
    ...{ rotationRate: 0, minIoBytes: 0, optIoBytes: 0, writeCache: true },
  });
  return { disk, storage: new UsbStorage(unit, '0123456789AB') };
}

/** A command block wrapper (BOT 5.1). */
export function wrapper(tag: number, bytes: number, toHost: boolean, cdb: readonly number[]): Uint8Array {
  const out = new Uint8Array(31);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x43425355, true);
  view.setUint32(4, tag, true);
  view.setUint32(8, bytes, true);
  out[12] = toHost ? 0x80 : 0;
  out[14] = cdb.length;
  out.set(cdb, 15);
  return out;
}

export const setup = (
  type: number,
  request: number,
  value: number,
  index: number,
  length: number,
): Uint8Array =>
  Uint8Array.of(
    type,
    request,
    value & 0xff,
    value >> 8,
    index & 0xff,
    index >> 8,
    length & 0xff,
    length >> 8,
  );
