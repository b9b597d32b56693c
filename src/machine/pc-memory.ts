/** RAM, ROM and the BIOS area of the board `pc`, and the memory map a guest is told. */
import { AddressSpace } from '../core/address-space.ts';
import { GuestRam } from '../core/guest-ram.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../core/memory-region.ts';
import type { ShadowSegment, SmramState } from '../hw/pci/pci-host.ts';
import { allOnes } from '../util/bits.ts';
import { assert, UserError } from '../util/errors.ts';
import { type BootMemory, MEMORY_RESERVED, MEMORY_USABLE, type MemoryMapEntry } from './boot/boot.ts';
import * as map from './pc-map.ts';
import * as q35 from './q35-map.ts';

const ADDRESS_SPACE_SIZE = 2 ** 40;
const IO_SPACE_SIZE = 0x1_0000;
const PAGE_SIZE = 4096;
export const MIN_MEMORY_BYTES = 2 ** 20;
const FIRMWARE_WINDOW = 0x2_0000;
const MAX_FIRMWARE = 16 * 2 ** 20;
const MAX_FLASH = 8 * 2 ** 20;

export type BoardKind = 'pc' | 'q35';

export interface PcMemoryOptions {
  /** Default `pc`. */
  readonly board?: BoardKind;
  readonly memoryBytes: number;
  /** A ROM that ends at 4 GiB; its last 128 KiB show below 1 MiB. */
  readonly firmware: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  /** Sizes of flash units 0, 1, …: in place of `firmware`, the first ends at 4 GiB, each other below the one before. */
  readonly flashBytes?: readonly number[];
  /** Memory of devices (video RAM, option ROMs) behind RAM and ROM in the buffer; a multiple of 4 KiB. */
  readonly deviceBytes?: number;
}

/** Bytes of the RAM buffer that such a board needs: RAM, then ROM. `UserError` for sizes that cannot be. */
export function pcRamBufferBytes(options: PcMemoryOptions): number {
  const { memoryBytes, firmware, deviceBytes = 0 } = options;
  if (memoryBytes < MIN_MEMORY_BYTES) throw new UserError('BadMemorySize', '-m: less than 1 MiB of memory');
  if (memoryBytes % PAGE_SIZE !== 0) throw new UserError('BadMemorySize', '-m: not a multiple of 4 KiB');
  const flashBytes = flashSize(options.flashBytes ?? []);
  if (firmware === undefined || flashBytes > 0) return memoryBytes + flashBytes + deviceBytes;
  const size = firmware.bytes.length;
  if (size === 0 || size % PAGE_SIZE !== 0 || size > MAX_FIRMWARE) {
    throw new UserError(
      'BadFirmware',
      `-bios ${firmware.name}: ${size} bytes are not a ROM image (multiples of 4 KiB up to 16 MiB)`,
    );
  }
  return memoryBytes + size + deviceBytes;
}

function flashSize(units: readonly number[]): number {
  const total = units.reduce((sum, size) => sum + size, 0);
  units.forEach((size, unit) => {
    if (size === 0 || size % PAGE_SIZE !== 0)
      throw new UserError(
        'BadFirmware',
        `-drive if=pflash,unit=${unit}: ${size} bytes are no multiple of 4 KiB`,
      );
  });
  if (total > MAX_FLASH)
    throw new UserError(
      'BadFirmware',
      `-drive if=pflash: ${total} bytes of flash exceed the ${MAX_FLASH} possible`,
    );
  return total;
}

/**
 * RAM below 4 GiB: on `pc` all of it up to 3.5 GiB, else 3 GiB, so that the rest starts on a round address; on `q35`, where configuration
 * space lies lower, up to 2.75 GiB, else 2 GiB.
 */
export function lowRamEndOf(memoryBytes: number, board: BoardKind = 'pc'): number {
  const { LOW_RAM_LIMIT, LOW_RAM_SPLIT } = board === 'q35' ? q35 : map;
  return memoryBytes > LOW_RAM_LIMIT ? LOW_RAM_SPLIT : memoryBytes;
}

/** One of the 13 ranges that PAM registers govern: who answers there. */
interface BiosSegment {
  /** ROM of the firmware below 1 MiB; undefined: nothing is there but RAM. */
  readonly rom: MemoryRegion | undefined;
  /** RAM that ignores writes. */
  readonly shadow: MemoryRegion;
  /** Reads go to the bus, writes to RAM. */
  readonly writeThrough: MemoryRegion;
  /** Neither goes to RAM, and no ROM is there. */
  readonly empty: MemoryRegion;
}

export class PcMemory implements BootMemory {
  readonly space: AddressSpace;
  readonly io: AddressSpace;
  readonly lowRamEnd: number;
  readonly highRamBytes: number;
  readonly map: readonly MemoryMapEntry[];
  readonly #ram: GuestRam;
  readonly #firmware: Uint8Array | undefined;
  readonly #segments: readonly BiosSegment[];
  readonly #smram: MemoryRegion;
  #smramState: SmramState = { isOpen: false, isEnabled: false };
  #inSmm = false;
  #deviceAt: number;

  /** `ramBuffer` has `pcRamBufferBytes` bytes. */
  constructor(options: PcMemoryOptions, ramBuffer: Uint8Array) {
    const { memoryBytes, firmware } = options;
    this.lowRamEnd = lowRamEndOf(memoryBytes, options.board);
    this.highRamBytes = memoryBytes - this.lowRamEnd;
    this.map = memoryMap(this.lowRamEnd, this.highRamBytes, options.board === 'q35');
    this.#ram = new GuestRam(ramBuffer);
    this.#firmware = options.flashBytes === undefined ? firmware?.bytes : undefined;
    const flashBytes = options.flashBytes ?? [];
    const romBytes = flashBytes[0] ?? firmware?.bytes.length ?? 0;
    this.#deviceAt = memoryBytes + (flashBytes.length > 0 ? flashSize(flashBytes) : romBytes);
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
    this.#smram = MemoryRegion.alias('smram', ram, map.VGA_BASE, map.VGA_SIZE);
    this.#smram.enabled = false;
    root.add(map.VGA_BASE, this.#smram, 3);
    const rom = romBytes === 0 ? undefined : MemoryRegion.rom('pc.bios', romBytes, memoryBytes);
    if (rom !== undefined && flashBytes.length === 0) root.add(map.HIGH_RAM_BASE - rom.size, rom);
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
        const { readsRam, writesRam } = segment;
        regions.shadow.enabled = readsRam && !writesRam;
        regions.writeThrough.enabled = !readsRam && writesRam;
        const onBus = !readsRam && !writesRam;
        if (regions.rom !== undefined) regions.rom.enabled = onBus;
        regions.empty.enabled = onBus && regions.rom === undefined;
      }
    });
  }

  /** The host bridge's SMRAM register changed. */
  setSmram(state: SmramState): void {
    this.#smramState = state;
    this.#updateSmram();
  }

  /** The vCPU whose turn it is has entered or left system management mode. */
  setSmm(active: boolean): void {
    this.#inSmm = active;
    this.#updateSmram();
  }

  /** 0xa0000…0xbffff is RAM in system management mode, or while it is set up, instead of video memory. */
  #updateSmram(): void {
    const { isOpen, isEnabled } = this.#smramState;
    this.#smram.enabled = isOpen || (isEnabled && this.#inSmm);
  }

  /** RAM as the address space shows it, without the holes below 1 MiB. */
  get ramRanges(): ReadonlyArray<{ readonly address: number; readonly size: number }> {
    const low = { address: 0, size: this.lowRamEnd };
    if (this.highRamBytes === 0) return [low];
    return [low, { address: map.HIGH_RAM_BASE, size: this.highRamBytes }];
  }

  /** Memory for a device, whose place in the RAM buffer is the result. Together no more than `deviceBytes`. */
  allocate(sizeBytes: number): number {
    const at = this.#deviceAt;
    this.#deviceAt += sizeBytes;
    assert(this.#deviceAt <= this.#ram.bytes.length, 'device memory exceeds the RAM buffer');
    return at;
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
  ): BiosSegment {
    const shadow = MemoryRegion.alias('shadow', ram, addr, size);
    shadow.readOnly = true;
    const fromEnd = map.EXTENDED_MEMORY_BASE - addr;
    const hasRom = rom !== undefined && fromEnd <= Math.min(FIRMWARE_WINDOW, rom.size);
    const low = hasRom ? MemoryRegion.alias('isa-bios', rom, rom.size - fromEnd, size) : undefined;
    const empty = MemoryRegion.mmio('pam-empty', size, NOTHING);
    const device = this.#writeThrough(addr, hasRom ? rom.ramOffset + rom.size - fromEnd : -1);
    const writeThrough = MemoryRegion.mmio('pam-write-only', size, device, { unaligned: true });
    for (const region of [shadow, empty, writeThrough]) {
      region.enabled = false;
      root.add(addr, region, 1);
    }
    if (low !== undefined) root.add(addr, low, 2);
    return { rom: low, shadow, writeThrough, empty };
  }

  /** Reads come from the ROM at `romOffset` of the buffer (−1: from nowhere), writes go to RAM at `addr`. */
  #writeThrough(addr: number, romOffset: number): MmioDevice {
    const ram = this.#ram;
    return {
      read: (offset, size) => {
        if (romOffset < 0) return allOnes(size);
        let value = 0;
        for (let i = 0; i < size; i++) value |= ram.bytes[romOffset + offset + i]! << (8 * i);
        return value >>> 0;
      },
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++) ram.bytes[addr + offset + i] = value >>> (8 * i);
        ram.notifyWrite(addr + offset, size);
      },
    };
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
  read: (_offset: number, size: AccessSize): number => allOnes(size),
  write: (): void => {},
};

function memoryMap(lowRamEnd: number, highRamBytes: number, hasEcam: boolean): MemoryMapEntry[] {
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
  if (hasEcam) entries.push({ address: q35.ECAM_BASE, size: q35.ECAM_SIZE, type: MEMORY_RESERVED });
  if (highRamBytes > 0) entries.push({ address: map.HIGH_RAM_BASE, size: highRamBytes, type: MEMORY_USABLE });
  return entries;
}
