/**
 * fw_cfg, through which firmware and kernels get data from the host (QEMU's published interface: docs/specs/fw_cfg).
 *
 *     +0 selector (16 bits, little-endian on PCs)   +1 data (bytes)   +4 DMA address (64 bits, big-endian)
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { defineState, stateful, u16, u32 } from '../../core/vmstate.ts';
import { assert } from '../../util/errors.ts';

export const FW_CFG_PORTS = 12;

export const FW_CFG_SIGNATURE = 0x00;
export const FW_CFG_ID = 0x01;
export const FW_CFG_UUID = 0x02;
export const FW_CFG_RAM_SIZE = 0x03;
export const FW_CFG_NOGRAPHIC = 0x04;
export const FW_CFG_CPU_COUNT = 0x05;
export const FW_CFG_KERNEL_ADDR = 0x07;
export const FW_CFG_KERNEL_SIZE = 0x08;
export const FW_CFG_INITRD_ADDR = 0x0a;
export const FW_CFG_INITRD_SIZE = 0x0b;
export const FW_CFG_BOOT_MENU = 0x0e;
export const FW_CFG_MAX_CPUS = 0x0f;
export const FW_CFG_KERNEL_DATA = 0x11;
export const FW_CFG_INITRD_DATA = 0x12;
export const FW_CFG_CMDLINE_ADDR = 0x13;
export const FW_CFG_CMDLINE_SIZE = 0x14;
export const FW_CFG_CMDLINE_DATA = 0x15;
export const FW_CFG_SETUP_ADDR = 0x16;
export const FW_CFG_SETUP_SIZE = 0x17;
export const FW_CFG_SETUP_DATA = 0x18;
export const FW_CFG_FILE_DIR = 0x19;
/** Items of one architecture have bit 15 set. */
export const FW_CFG_X86_ACPI_TABLES = 0x8000;
export const FW_CFG_X86_SMBIOS_ENTRIES = 0x8001;
export const FW_CFG_X86_IRQ0_OVERRIDE = 0x8002;
export const FW_CFG_X86_HPET = 0x8004;

const FILE_FIRST = 0x20;
const FILE_LIMIT = 0x100;
const NAME_BYTES = 56;
const DIR_ENTRY_BYTES = 64;
const NO_ITEM = 0xffff;
/** A selector's bits that name an item; bit 14 asks for writing, which only DMA can. */
const KEY_MASK = 0xbfff;

const ID_TRADITIONAL = 1;
const ID_DMA = 2;
/** "QEMU" and "QEMU CFG": what firmware looks for. */
const SIGNATURE = Uint8Array.of(0x51, 0x45, 0x4d, 0x55);
const DMA_SIGNATURE = Uint8Array.of(0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47);

const DMA_ERROR = 1;
const DMA_READ = 2;
const DMA_SKIP = 4;
const DMA_SELECT = 8;
const DMA_WRITE = 16;
const DMA_CHUNK = 65536;

const schema = defineState('fw-cfg', 1, {
  selected: u16(NO_ITEM),
  offset: u32(),
  dmaHigh: u32(),
});

interface Item {
  readonly bytes: Uint8Array;
  readonly onWritten: (() => void) | undefined;
  readonly onSelected?: (() => void) | undefined;
}

export class FwCfg implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #memory: AddressSpace;
  readonly #items = new Map<number, Item>();
  readonly #files: Array<{ name: string; size: number; key: number }> = [];

  constructor(memory: AddressSpace) {
    this.#memory = memory;
    this.addBytes(FW_CFG_SIGNATURE, SIGNATURE);
    this.addU32(FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    this.#updateDirectory();
    this.vmstate = stateful(schema, this.#s);
  }

  addBytes(key: number, bytes: Uint8Array): void {
    this.#items.set(key, { bytes, onWritten: undefined });
  }

  addU16(key: number, value: number): void {
    this.addBytes(key, Uint8Array.of(value, value >> 8));
  }

  addU32(key: number, value: number): void {
    this.addBytes(key, Uint8Array.of(value, value >> 8, value >> 16, value >> 24));
  }

  addU64(key: number, value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
    this.addBytes(key, bytes);
  }

  /**
   * Adds or replaces a named file; with `onWritten` the guest may write it by DMA, `onSelected` may bring `bytes` up to date before they
   * are read. Names are ASCII, up to 55 long.
   */
  addFile(name: string, bytes: Uint8Array, onWritten?: () => void, onSelected?: () => void): void {
    assert(name.length < NAME_BYTES, `fw_cfg file name too long: ${name}`);
    let file = this.#files.find((f) => f.name === name);
    if (file === undefined) {
      assert(FILE_FIRST + this.#files.length < FILE_LIMIT, 'too many fw_cfg files');
      file = { name, size: 0, key: FILE_FIRST + this.#files.length };
      this.#files.push(file);
    }
    file.size = bytes.length;
    this.#items.set(file.key, { bytes, onWritten, onSelected });
    this.#updateDirectory();
  }

  reset(): void {
    schema.reset(this.#s);
  }

  read(offset: number, size: AccessSize): number {
    if (offset === 1 && size === 1) return this.#nextByte();
    if (offset === 0 && size === 2) return this.#s.selected;
    if (offset < 4) return 0;
    let value = 0;
    for (let i = 0; i < size; i++) value |= (DMA_SIGNATURE[offset - 4 + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    const s = this.#s;
    if (offset === 0 && size === 2) this.#select(value);
    else if (offset === 4 && size === 4) s.dmaHigh = swap32(value);
    else if (offset === 8 && size === 4) {
      const addr = s.dmaHigh * 2 ** 32 + swap32(value);
      s.dmaHigh = 0;
      if (addr < 2 ** 52) this.#runDma(addr);
    }
  }

  #select(key: number): void {
    this.#s.selected = key & KEY_MASK;
    this.#s.offset = 0;
    this.#items.get(this.#s.selected)?.onSelected?.();
  }

  /** Past the end, or of what does not exist, zero. */
  #nextByte(): number {
    const byte = this.#items.get(this.#s.selected)?.bytes[this.#s.offset];
    if (byte === undefined) return 0;
    this.#s.offset++;
    return byte;
  }

  #runDma(addr: number): void {
    const memory = this.#memory;
    const control = swap32(memory.read(addr, 4));
    const length = swap32(memory.read(addr + 4, 4));
    const target = swap32(memory.read(addr + 8, 4)) * 2 ** 32 + swap32(memory.read(addr + 12, 4));
    if ((control & DMA_SELECT) !== 0) this.#select(control >>> 16);
    let failed = false;
    if ((control & DMA_READ) !== 0) this.#dmaRead(target, length);
    else if ((control & DMA_WRITE) !== 0) failed = !this.#dmaWrite(target, length);
    else if ((control & DMA_SKIP) !== 0) this.#skip(length);
    memory.write(addr, 4, failed ? swap32(DMA_ERROR) : 0);
  }

  #dmaRead(target: number, length: number): void {
    const s = this.#s;
    const bytes = this.#items.get(s.selected)?.bytes ?? new Uint8Array(0);
    const available = bytes.subarray(s.offset, s.offset + length);
    this.#memory.writeBytes(target, available);
    s.offset += available.length;
    // The rest reads as zeros. Only RAM is filled, so a wild length costs no more than the memory there is.
    const zeros = new Uint8Array(Math.min(DMA_CHUNK, length - available.length));
    let at = target + available.length;
    for (let left = length - available.length; left > 0; ) {
      const count = Math.min(left, zeros.length);
      if (this.#memory.ramOffsetOf(at, count) < 0) break;
      this.#memory.writeBytes(at, zeros.subarray(0, count));
      at += count;
      left -= count;
    }
  }

  #dmaWrite(source: number, length: number): boolean {
    const s = this.#s;
    const item = this.#items.get(s.selected);
    if (item?.onWritten === undefined || s.offset + length > item.bytes.length) return false;
    this.#memory.readBytes(source, item.bytes.subarray(s.offset, s.offset + length));
    s.offset += length;
    item.onWritten();
    return true;
  }

  #skip(length: number): void {
    const size = this.#items.get(this.#s.selected)?.bytes.length ?? 0;
    this.#s.offset = Math.min(size, this.#s.offset + length);
  }

  /** The directory: count, then size, key, name of each file, big-endian, sorted by name as QEMU has it. */
  #updateDirectory(): void {
    const sorted = [...this.#files].sort((a, b) => (a.name < b.name ? -1 : 1));
    const bytes = new Uint8Array(4 + DIR_ENTRY_BYTES * sorted.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, sorted.length);
    sorted.forEach((file, i) => {
      const at = 4 + DIR_ENTRY_BYTES * i;
      view.setUint32(at, file.size);
      view.setUint16(at + 4, file.key);
      for (let c = 0; c < file.name.length; c++) bytes[at + 8 + c] = file.name.charCodeAt(c);
    });
    this.addBytes(FW_CFG_FILE_DIR, bytes);
  }
}

function swap32(value: number): number {
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
