/** RAM, ROM and the BIOS area of the board `pc`, and the memory map a guest is told. */
import { AddressSpace } from '../core/address-space.ts';
import { GuestRam } from '../core/guest-ram.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import type { ShadowSegment } from '../hw/pci/pci-host.ts';
import { UserError } from '../util/errors.ts';
import { type BootMemory, MEMORY_RESERVED, MEMORY_USABLE, type MemoryMapEntry } from './boot/boot.ts';
import * as map from './pc-map.ts';

const ADDRESS_SPACE_SIZE = 2 ** 40;
const IO_SPACE_SIZE = 0x1_0000;
const PAGE_SIZE = 4096;
export const MIN_MEMORY_BYTES = 2 ** 20;
const FIRMWARE_WINDOW = 0x2_0000;
const MAX_FIRMWARE = 16 * 2 ** 20;

export interface PcMemoryOptions {
  readonly memoryBytes: number;
  /** A ROM that ends at 4 GiB; its last 128 KiB show below 1 MiB. */
  readonly firmware: { readonly name: string; readonly bytes: Uint8Array } | undefined;
}

/** Bytes of the RAM buffer that such a board needs: RAM, then ROM. `UserError` for sizes that cannot be. */
export function pcRamBufferBytes(options: PcMemoryOptions): number {
  const { memoryBytes, firmware } = options;
  if (memoryBytes < MIN_MEMORY_BYTES) throw new UserError('BadMemorySize', '-m: less than 1 MiB of memory');
  if (memoryBytes % PAGE_SIZE !== 0) throw new UserError('BadMemorySize', '-m: not a multiple of 4 KiB');
  if (firmware === undefined) return memoryBytes;
  const size = firmware.bytes.length;
  if (size === 0 || size % PAGE_SIZE !== 0 || size > MAX_FIRMWARE) {
    throw new UserError(
      'BadFirmware',
      `-bios ${firmware.name}: ${size} bytes are not a ROM image (multiples of 4 KiB up to 16 MiB)`,
    );
  }
  return memoryBytes + size;
}

export class PcMemory implements BootMemory {
  readonly space: AddressSpace;
  readonly io: AddressSpace;
  readonly lowRamEnd: number;
  readonly highRamBytes: number;
  readonly map: readonly MemoryMapEntry[];
  readonly #ram: GuestRam;
  readonly #firmware: Uint8Array | undefined;
  readonly #segments: ReadonlyArray<{ rom: MemoryRegion | undefined; shadow: MemoryRegion }>;

  /** `ramBuffer` has `pcRamBufferBytes` bytes. */
  constructor(options: PcMemoryOptions, ramBuffer: Uint8Array) {
    const { memoryBytes, firmware } = options;
    this.lowRamEnd = Math.min(memoryBytes, map.LOW_RAM_LIMIT);
    this.highRamBytes = memoryBytes - this.lowRamEnd;
    this.map = memoryMap(this.lowRamEnd, this.highRamBytes);
    this.#ram = new GuestRam(ramBuffer);
    this.#firmware = firmware?.bytes;
    const root = MemoryRegion.container('system', ADDRESS_SPACE_SIZE);
    const ram = MemoryRegion.ram('pc.ram', memoryBytes, 0);
    this.space = new AddressSpace('memory', root, this.#ram);
    this.io = new AddressSpace('I/O', MemoryRegion.container('io', IO_SPACE_SIZE), this.#ram);
    const low = MemoryRegion.alias('ram-below-4g', ram, 0, this.lowRamEnd);
    root.add(0, low, -1);
    if (this.highRamBytes > 0) {
      root.add(
        map.HIGH_RAM_BASE,
        MemoryRegion.alias('ram-above-4g', ram, this.lowRamEnd, this.highRamBytes),
        -1,
      );
    }
    root.add(map.VGA_BASE, MemoryRegion.mmio('vga-hole', map.VGA_SIZE, NOTHING));
    const rom =
      firmware === undefined ? undefined : MemoryRegion.rom('pc.bios', firmware.bytes.length, memoryBytes);
    if (rom !== undefined) root.add(map.HIGH_RAM_BASE - rom.size, rom);
    this.#segments = biosSegments().map(({ addr, size }) => this.#addSegment(root, ram, rom, addr, size));
  }

  /** The i440FX's PAM registers changed. */
  setShadow(segments: readonly ShadowSegment[]): void {
    this.space.batch(() => {
      const layout = biosSegments();
      for (const segment of segments) {
        const index = layout.findIndex((s) => s.addr === segment.addr);
        const regions = this.#segments[index];
        if (regions === undefined) continue;
        if (regions.rom !== undefined) regions.rom.enabled = !segment.readsRam;
        regions.shadow.enabled = segment.readsRam && !segment.writesRam;
      }
    });
  }

  /** ROM content again: a guest cannot change it, but a loader may have. */
  reset(memoryBytes: number): void {
    if (this.#firmware !== undefined) this.#ram.bytes.set(this.#firmware, memoryBytes);
  }

  write(address: number, bytes: Uint8Array): void {
    this.space.writeBytes(address, bytes);
  }

  zero(address: number, sizeBytes: number): void {
    const offset = this.space.ramOffsetOf(address, sizeBytes);
    if (offset < 0) return;
    this.#ram.bytes.fill(0, offset, offset + sizeBytes);
    this.#ram.notifyWrite(offset, sizeBytes);
  }

  #addSegment(
    root: MemoryRegion,
    ram: MemoryRegion,
    rom: MemoryRegion | undefined,
    addr: number,
    size: number,
  ): { rom: MemoryRegion | undefined; shadow: MemoryRegion } {
    const shadow = MemoryRegion.alias('shadow', ram, addr, size);
    shadow.readOnly = true;
    shadow.enabled = false;
    root.add(addr, shadow, 1);
    const fromEnd = map.EXTENDED_MEMORY_BASE - addr;
    if (rom === undefined || fromEnd > Math.min(FIRMWARE_WINDOW, rom.size)) return { rom: undefined, shadow };
    const low = MemoryRegion.alias('isa-bios', rom, rom.size - fromEnd, size);
    root.add(addr, low, 2);
    return { rom: low, shadow };
  }
}

/** The 13 ranges that PAM registers govern: 0xc0000…0xeffff in steps of 16 KiB, and 0xf0000 (82441FX §3.2.14). */
function biosSegments(): Array<{ addr: number; size: number }> {
  const segments = Array.from({ length: 12 }, (_, i) => ({
    addr: map.BIOS_AREA_BASE + i * 0x4000,
    size: 0x4000,
  }));
  return [...segments, { addr: 0xf_0000, size: 0x1_0000 }];
}

/** Empty bus: a guest that probes for VGA memory finds none. Not an error worth a log line. */
const NOTHING = {
  read: (_offset: number, size: number): number => (size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff),
  write: (): void => {},
};

function memoryMap(lowRamEnd: number, highRamBytes: number): MemoryMapEntry[] {
  const entries = [
    { address: 0, size: map.EBDA_BASE, type: MEMORY_USABLE },
    { address: map.EBDA_BASE, size: map.VGA_BASE - map.EBDA_BASE, type: MEMORY_RESERVED },
    {
      address: map.ACPI_TABLES_BASE,
      size: map.ACPI_TABLES_LIMIT - map.ACPI_TABLES_BASE,
      type: MEMORY_RESERVED,
    },
  ];
  if (lowRamEnd > map.EXTENDED_MEMORY_BASE) {
    entries.push({
      address: map.EXTENDED_MEMORY_BASE,
      size: lowRamEnd - map.EXTENDED_MEMORY_BASE,
      type: MEMORY_USABLE,
    });
  }
  if (highRamBytes > 0) entries.push({ address: map.HIGH_RAM_BASE, size: highRamBytes, type: MEMORY_USABLE });
  return entries;
}
