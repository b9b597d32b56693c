/**
 * Accesses to the VGA's window at 0xa0000: four planes, read and write modes, chained and odd/even addressing (IBM VGA
 * Technical Reference, "Graphics Controller"). Byte n of plane p is byte 4n + p of video memory.
 */
import * as reg from './vga-registers.ts';

export interface PlaneRegisters {
  readonly sequencer: Uint8Array;
  readonly graphics: Uint8Array;
  /** Last bytes read from the four planes. */
  latch: number;
}

/** A byte for each of the four planes: bit p of the index gives 0xff in byte p. */
const SPREAD = Uint32Array.from({ length: 16 }, (_, i) => {
  return ((i & 1 && 0xff) | (i & 2 && 0xff00) | (i & 4 && 0xff0000) | (i & 8 && 0xff000000)) >>> 0;
});

const repeat = (byte: number): number => Math.imul(byte & 0xff, 0x01010101) >>> 0;

export class VgaMemory {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #r: PlaneRegisters;
  /** Told of each write: offset in video memory and number of bytes. */
  onWrite: (offset: number, sizeBytes: number) => void = () => {};

  constructor(bytes: Uint8Array, registers: PlaneRegisters) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#r = registers;
  }

  /** Offset within the window's 128 KiB as an address of the planes; −1: the window is elsewhere. */
  #windowOffset(addr: number, bank: number): number {
    switch ((this.#r.graphics[reg.GFX_MISC]! >> 2) & 3) {
      case 0:
        return addr;
      case 1:
        return addr < 0x10000 ? addr + bank : -1;
      case 2:
        return addr >= 0x10000 && addr < 0x18000 ? addr - 0x10000 : -1;
      default:
        return addr >= 0x18000 ? addr - 0x18000 : -1;
    }
  }

  read(addr: number, bank: number): number {
    const { sequencer, graphics } = this.#r;
    const offset = this.#windowOffset(addr, bank);
    if (offset < 0) return 0xff;
    if ((sequencer[reg.SEQ_MEMORY_MODE]! & reg.MEMORY_CHAIN4) !== 0) return this.#bytes[offset] ?? 0xff;
    if ((graphics[reg.GFX_MODE]! & reg.GFX_MODE_ODD_EVEN) !== 0) {
      const plane = (graphics[reg.GFX_READ_MAP]! & 2) | (offset & 1);
      return this.#bytes[((offset & ~1) << 1) | plane] ?? 0xff;
    }
    const at = offset * 4;
    if (at + 4 > this.#bytes.length) return 0xff;
    const latch = this.#view.getUint32(at, true);
    this.#r.latch = latch;
    if ((graphics[reg.GFX_MODE]! & reg.GFX_MODE_READ1) === 0) {
      return (latch >>> (8 * (graphics[reg.GFX_READ_MAP]! & 3))) & 0xff;
    }
    // Read mode 1: a bit is set where the pixel's colour matches in the planes that matter.
    const care = SPREAD[graphics[reg.GFX_COLOR_DONT_CARE]! & 15]!;
    const differs = (latch ^ SPREAD[graphics[reg.GFX_COLOR_COMPARE]! & 15]!) & care;
    const any = differs | (differs >>> 16);
    return ~(any | (any >>> 8)) & 0xff;
  }

  write(addr: number, bank: number, value: number): void {
    const { sequencer, graphics } = this.#r;
    const offset = this.#windowOffset(addr, bank);
    if (offset < 0) return;
    const mapMask = sequencer[reg.SEQ_MAP_MASK]! & 15;
    if ((sequencer[reg.SEQ_MEMORY_MODE]! & reg.MEMORY_CHAIN4) !== 0) {
      if ((mapMask & (1 << (offset & 3))) !== 0) this.#put(offset, value);
      return;
    }
    if ((graphics[reg.GFX_MODE]! & reg.GFX_MODE_ODD_EVEN) !== 0) {
      const plane = (graphics[reg.GFX_READ_MAP]! & 2) | (offset & 1);
      if ((mapMask & (1 << plane)) !== 0) this.#put(((offset & ~1) << 1) | plane, value);
      return;
    }
    const at = offset * 4;
    if (at + 4 > this.#bytes.length) return;
    this.#writePlanes(at, value, mapMask);
  }

  #put(at: number, value: number): void {
    if (at >= this.#bytes.length) return;
    this.#bytes[at] = value;
    this.onWrite(at, 1);
  }

  /** Write modes 0 to 3. */
  #writePlanes(at: number, value: number, mapMask: number): void {
    const { graphics, latch } = this.#r;
    const rotate = graphics[reg.GFX_ROTATE]! & 7;
    const rotated = ((value >>> rotate) | (value << (8 - rotate))) & 0xff;
    const setReset = SPREAD[graphics[reg.GFX_SET_RESET]! & 15]!;
    let bitMask = graphics[reg.GFX_BIT_MASK]!;
    let data: number;
    switch (graphics[reg.GFX_MODE]! & 3) {
      case 1:
        this.#store(at, latch, mapMask);
        return;
      case 0: {
        const enable = SPREAD[graphics[reg.GFX_ENABLE_SET_RESET]! & 15]!;
        data = (repeat(rotated) & ~enable) | (setReset & enable);
        break;
      }
      case 2:
        data = SPREAD[value & 15]!;
        break;
      default:
        bitMask &= rotated;
        data = setReset;
    }
    const mask = repeat(bitMask);
    this.#store(at, (this.#combine(data, latch) & mask) | (latch & ~mask), mapMask);
  }

  #combine(data: number, latch: number): number {
    switch ((this.#r.graphics[reg.GFX_ROTATE]! >> 3) & 3) {
      case 1:
        return data & latch;
      case 2:
        return data | latch;
      case 3:
        return data ^ latch;
      default:
        return data;
    }
  }

  #store(at: number, data: number, mapMask: number): void {
    const mask = SPREAD[mapMask]!;
    const old = this.#view.getUint32(at, true);
    this.#view.setUint32(at, ((old & ~mask) | (data & mask)) >>> 0, true);
    this.onWrite(at, 4);
  }
}
