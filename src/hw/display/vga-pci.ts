/** The VGA as PCI function 1234:1111: BAR 0 video memory, BAR 2 registers, legacy ports and window, ROM. */
import type { GuestRam } from '../../core/guest-ram.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import type { TimerService } from '../../core/timer.ts';
import { PciFunction } from '../pci/pci-device.ts';
import { VBE_PORTS, VGA_MMIO_BYTES, VGA_PORT_BASE, VGA_PORTS, VGA_WINDOW_BYTES, Vga } from './vga.ts';

export const VIDEO_MEMORY_BYTES = 16 * 2 ** 20;
const VBE_PORT_BASE = 0x1ce;
const WINDOW_BASE = 0xa_0000;

export interface VgaPlaces {
  readonly ram: GuestRam;
  readonly memory: MemoryRegion;
  readonly io: MemoryRegion;
  readonly timers: TimerService;
  /** Offsets in the RAM buffer of `VIDEO_MEMORY_BYTES` and of the ROM's. */
  readonly videoOffset: number;
  readonly romOffset: number;
  readonly rom: Uint8Array | undefined;
}

/** Bytes of the RAM buffer that a ROM takes: the next power of two. */
export function romBytes(rom: Uint8Array | undefined): number {
  return rom === undefined || rom.length === 0 ? 0 : Math.max(4096, 2 ** Math.ceil(Math.log2(rom.length)));
}

export function createVga(places: VgaPlaces): { readonly vga: Vga; readonly pci: PciFunction } {
  const { ram, memory, io, videoOffset, romOffset, rom } = places;
  const video = ram.bytes.subarray(videoOffset, videoOffset + VIDEO_MEMORY_BYTES);
  const vga = new Vga(video, places.timers);
  vga.onVideoWrite = (offset, sizeBytes) => ram.notifyWrite(videoOffset + offset, sizeBytes);
  const pci = new PciFunction({ vendorId: 0x1234, deviceId: 0x1111, classCode: 0x030000, revision: 2 });
  pci.addBar(0, 'memory32', MemoryRegion.ram('vga.vram', VIDEO_MEMORY_BYTES, videoOffset), true);
  pci.addBar(2, 'memory32', MemoryRegion.mmio('vga.mmio', VGA_MMIO_BYTES, vga.mmio));
  if (rom !== undefined && rom.length > 0) {
    ram.bytes.set(rom, romOffset);
    pci.addRom(MemoryRegion.rom('vga.rom', romBytes(rom), romOffset));
  }
  memory.add(WINDOW_BASE, MemoryRegion.mmio('vga-window', VGA_WINDOW_BYTES, vga.window), 1);
  io.add(VGA_PORT_BASE, MemoryRegion.mmio('vga', VGA_PORTS, vga.ports));
  const vbe = MemoryRegion.mmio('vbe', VBE_PORTS, vga.vbePorts, {
    impl: { min: 2, max: 2 },
    unaligned: true,
  });
  io.add(VBE_PORT_BASE, vbe);
  return { vga, pci };
}
