/**
 * Standard VGA (IBM VGA Technical Reference; register facts after Ferraro) with the Bochs VBE extensions ("VBE display
 * interface" of Bochs: index and data at 0x1ce/0x1cf, or 16-bit registers in a memory BAR), PCI id 1234:1111.
 *
 *     ports 0x3b0…0x3df; window 0xa0000…0xbffff; linear framebuffer: video memory itself
 */
import type { Device } from '../../core/device.ts';
import type { DirtyRect, DisplayDevice, DisplaySurface } from '../../core/display-surface.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import type { TimerService } from '../../core/timer.ts';
import { bool, bytes, defineState, stateful, u8, u16, u32, words } from '../../core/vmstate.ts';
import { VgaMemory } from './vga-memory.ts';
import * as reg from './vga-registers.ts';
import { VgaRenderer } from './vga-render.ts';

/** First of the ports, and how many. */
export const VGA_PORT_BASE = 0x3b0;
export const VGA_PORTS = 0x30;
/** 0x1ce, 0x1cf (and 0x1d0, where some write the data). */
export const VBE_PORTS = 3;
export const VGA_WINDOW_BYTES = 0x2_0000;
/** Extended registers: VGA ports at 0x400, VBE registers at 0x500, byte order at 0x600. */
export const VGA_MMIO_BYTES = 0x1000;
const MMIO_PORTS = 0x400;
const MMIO_VBE = 0x500;
const MMIO_EXTENSION = 0x600;

/** A frame at 70 Hz, and how long of it the vertical retrace lasts. */
const FRAME_NS = 14_285_714;
const RETRACE_NS = 1_000_000;
const LINE_NS = 31_778;
const BLANK_NS = 5_700;
const BANK_BYTES = 0x1_0000;

export const vgaSchema = defineState('vga', 1, {
  misc: u8(reg.MISC_COLOR),
  feature: u8(),
  sequencerIndex: u8(),
  sequencer: bytes(reg.SEQ_COUNT),
  graphicsIndex: u8(),
  graphics: bytes(reg.GFX_COUNT),
  crtcIndex: u8(),
  crtc: bytes(256),
  attributeIndex: u8(),
  /** The next write to 0x3c0 is data. */
  attributeFlip: bool(),
  attribute: bytes(32),
  palette: bytes(768),
  paletteWrite: u8(),
  paletteRead: u8(),
  paletteStep: u8(),
  dacState: u8(),
  dacMask: u8(0xff),
  latch: u32(),
  vbeIndex: u16(),
  vbe: words(reg.VBE_COUNT),
});

export type VgaState = ReturnType<typeof vgaSchema.create>;

export class Vga implements Device, DisplayDevice {
  readonly vmstate;
  readonly ports: MmioDevice;
  readonly vbePorts: MmioDevice;
  readonly window: MmioDevice;
  readonly mmio: MmioDevice;
  readonly video: Uint8Array;
  /** Told of the offset and size of every write through the window. */
  onVideoWrite: (offset: number, sizeBytes: number) => void = () => {};

  readonly #s = vgaSchema.create();
  readonly #timers: TimerService;
  readonly #memory: VgaMemory;
  readonly #renderer: VgaRenderer;

  /** `video`: the video memory, which the guest also sees as linear framebuffer. */
  constructor(video: Uint8Array, timers: TimerService) {
    this.video = video;
    this.#timers = timers;
    this.#memory = new VgaMemory(video, this.#s);
    this.#memory.onWrite = (offset, sizeBytes) => this.onVideoWrite(offset, sizeBytes);
    this.#renderer = new VgaRenderer(video, this.#s);
    this.#initialVbe();
    this.vmstate = stateful(vgaSchema, this.#s, { postLoad: () => this.#sanitizeVbe() });
    this.ports = {
      read: (offset, size) => bytewise(size, (i) => this.#readPort(VGA_PORT_BASE + offset + i)),
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++)
          this.#writePort(VGA_PORT_BASE + offset + i, (value >>> (8 * i)) & 0xff);
      },
    };
    this.vbePorts = {
      read: (offset) => (offset === 0 ? this.#s.vbeIndex : this.#readVbe(this.#s.vbeIndex)),
      write: (offset, _size, value) => {
        if (offset === 0) this.#s.vbeIndex = value & 0xffff;
        else this.#writeVbe(this.#s.vbeIndex, value & 0xffff);
      },
    };
    this.window = {
      read: (offset, size) => bytewise(size, (i) => this.#memory.read(offset + i, this.#bank)),
      write: (offset, size, value) => {
        for (let i = 0; i < size; i++) this.#memory.write(offset + i, this.#bank, (value >>> (8 * i)) & 0xff);
      },
    };
    this.mmio = {
      read: (offset, size) => this.#readMmio(offset, size),
      write: (offset, size, value) => this.#writeMmio(offset, size, value),
    };
  }

  reset(): void {
    const s = this.#s;
    // The register arrays stay the same objects: memory and renderer hold them.
    for (const array of [s.sequencer, s.graphics, s.crtc, s.attribute, s.palette]) array.fill(0);
    s.vbe.fill(0);
    s.misc = reg.MISC_COLOR;
    s.feature = 0;
    s.sequencerIndex = 0;
    s.graphicsIndex = 0;
    s.crtcIndex = 0;
    s.attributeIndex = 0;
    s.attributeFlip = false;
    s.paletteWrite = 0;
    s.paletteRead = 0;
    s.paletteStep = 0;
    s.dacState = 0;
    s.dacMask = 0xff;
    s.latch = 0;
    s.vbeIndex = 0;
    this.#initialVbe();
    this.video.fill(0);
    this.onVideoWrite(0, this.video.length);
  }

  // --- DisplayDevice

  get surface(): DisplaySurface {
    return this.#renderer.surface;
  }

  update(): DirtyRect | undefined {
    return this.#renderer.update(this.#timers.nowNs());
  }

  text(): string[] | undefined {
    return this.#renderer.text();
  }

  // --- ports

  #readPort(port: number): number {
    const s = this.#s;
    if (this.#isOtherMode(port)) return 0xff;
    switch (port) {
      case 0x3c0:
        return s.attributeFlip ? 0 : s.attributeIndex;
      case 0x3c1:
        return s.attribute[s.attributeIndex & 31]!;
      case 0x3c2:
        return 0x10; // switch sense: a colour display
      case 0x3c4:
        return s.sequencerIndex;
      case 0x3c5:
        return s.sequencer[s.sequencerIndex]!;
      case 0x3c6:
        return s.dacMask;
      case 0x3c7:
        return s.dacState;
      case 0x3c8:
        return s.paletteWrite;
      case 0x3c9:
        return this.#readPalette();
      case 0x3ca:
        return s.feature;
      case 0x3cc:
        return s.misc;
      case 0x3ce:
        return s.graphicsIndex;
      case 0x3cf:
        return s.graphics[s.graphicsIndex]!;
      case 0x3b4:
      case 0x3d4:
        return s.crtcIndex;
      case 0x3b5:
      case 0x3d5:
        return s.crtc[s.crtcIndex]!;
      case 0x3ba:
      case 0x3da:
        s.attributeFlip = false;
        return this.#retrace();
      default:
        return 0xff;
    }
  }

  /** The CRT controller's ports move with the colour bit of miscellaneous output. */
  #isOtherMode(port: number): boolean {
    const isColor = (this.#s.misc & reg.MISC_COLOR) !== 0;
    return (port >= 0x3b0 && port <= 0x3bf && isColor) || (port >= 0x3d0 && port <= 0x3df && !isColor);
  }

  /** Bit 3: vertical retrace; bit 0: the display is blank. */
  #retrace(): number {
    const inFrame = this.#timers.nowNs() % FRAME_NS;
    if (inFrame >= FRAME_NS - RETRACE_NS) return 0x09;
    return inFrame % LINE_NS >= LINE_NS - BLANK_NS ? 0x01 : 0;
  }

  #writePort(port: number, value: number): void {
    const s = this.#s;
    if (this.#isOtherMode(port)) return;
    switch (port) {
      case 0x3c0:
        this.#writeAttribute(value);
        break;
      case 0x3c2:
        s.misc = value & ~0x10;
        break;
      case 0x3c4:
        s.sequencerIndex = value & 7;
        break;
      case 0x3c5:
        s.sequencer[s.sequencerIndex] = value & SEQUENCER_MASK[s.sequencerIndex]!;
        break;
      case 0x3c6:
        s.dacMask = value;
        break;
      case 0x3c7:
        s.paletteRead = value;
        s.paletteStep = 0;
        s.dacState = 3;
        break;
      case 0x3c8:
        s.paletteWrite = value;
        s.paletteStep = 0;
        s.dacState = 0;
        break;
      case 0x3c9:
        this.#writePalette(value);
        break;
      case 0x3ce:
        s.graphicsIndex = value & 15;
        break;
      case 0x3cf:
        s.graphics[s.graphicsIndex] = value & GRAPHICS_MASK[s.graphicsIndex]!;
        break;
      case 0x3b4:
      case 0x3d4:
        s.crtcIndex = value;
        break;
      case 0x3b5:
      case 0x3d5:
        this.#writeCrtc(value);
        break;
      case 0x3ba:
      case 0x3da:
        s.feature = value & 0x10;
        break;
      default: // nothing there
    }
  }

  #writeAttribute(value: number): void {
    const s = this.#s;
    s.attributeFlip = !s.attributeFlip;
    if (s.attributeFlip) {
      s.attributeIndex = value & 0x3f;
      return;
    }
    const index = s.attributeIndex & 31;
    if (index < reg.ATTR_COUNT) s.attribute[index] = value & (index < 16 ? 0x3f : 0xff);
  }

  #readPalette(): number {
    const s = this.#s;
    const value = s.palette[s.paletteRead * 3 + s.paletteStep]!;
    if (++s.paletteStep === 3) {
      s.paletteStep = 0;
      s.paletteRead = (s.paletteRead + 1) & 0xff;
    }
    return value;
  }

  #writePalette(value: number): void {
    const s = this.#s;
    const isWide = (s.vbe[reg.VBE_ENABLE]! & reg.VBE_8BIT_DAC) !== 0;
    s.palette[s.paletteWrite * 3 + s.paletteStep] = isWide ? value : value & 0x3f;
    if (++s.paletteStep === 3) {
      s.paletteStep = 0;
      s.paletteWrite = (s.paletteWrite + 1) & 0xff;
    }
  }

  /** Registers 0…7 can be protected, but for bit 4 of the overflow register (bit 8 of line compare). */
  #writeCrtc(value: number): void {
    const { crtc, crtcIndex: index } = this.#s;
    if (index <= 7 && (crtc[reg.CRTC_V_RETRACE_END]! & reg.CRTC_PROTECT) !== 0) {
      if (index === reg.CRTC_OVERFLOW) crtc[index] = (crtc[index]! & ~0x10) | (value & 0x10);
      return;
    }
    crtc[index] = value;
  }

  // --- Bochs VBE

  get #bank(): number {
    return this.#s.vbe[reg.VBE_BANK]! * BANK_BYTES;
  }

  #initialVbe(): void {
    const { vbe } = this.#s;
    vbe[reg.VBE_ID] = reg.VBE_ID_NEWEST;
    vbe[reg.VBE_VIDEO_MEMORY_64K] = Math.min(0xffff, this.video.length / BANK_BYTES);
  }

  #readVbe(index: number): number {
    const { vbe } = this.#s;
    if (index >= reg.VBE_COUNT) return 0;
    if ((vbe[reg.VBE_ENABLE]! & reg.VBE_GET_CAPS) === 0) return vbe[index]!;
    if (index === reg.VBE_XRES) return reg.VBE_MAX_X;
    if (index === reg.VBE_YRES) return reg.VBE_MAX_Y;
    return index === reg.VBE_BPP ? 32 : vbe[index]!;
  }

  #writeVbe(index: number, value: number): void {
    const { vbe } = this.#s;
    switch (index) {
      case reg.VBE_ID:
        if (value >= reg.VBE_ID_BASE && value <= reg.VBE_ID_NEWEST) vbe[index] = value;
        break;
      case reg.VBE_XRES:
      case reg.VBE_YRES:
      case reg.VBE_BPP:
      case reg.VBE_VIRT_WIDTH:
      case reg.VBE_X_OFFSET:
      case reg.VBE_Y_OFFSET:
        vbe[index] = value;
        this.#sanitizeVbe();
        break;
      case reg.VBE_BANK:
        vbe[index] = value;
        this.#sanitizeVbe();
        break;
      case reg.VBE_ENABLE:
        this.#enableVbe(value);
        break;
      default: // read only, or not there
    }
  }

  #enableVbe(value: number): void {
    const { vbe } = this.#s;
    const starts = (value & reg.VBE_ENABLED) !== 0 && (vbe[reg.VBE_ENABLE]! & reg.VBE_ENABLED) === 0;
    if (starts) {
      vbe[reg.VBE_VIRT_WIDTH] = 0;
      vbe[reg.VBE_X_OFFSET] = 0;
      vbe[reg.VBE_Y_OFFSET] = 0;
    }
    vbe[reg.VBE_ENABLE] = value;
    this.#sanitizeVbe();
    if ((value & reg.VBE_ENABLED) === 0) {
      vbe[reg.VBE_BANK] = 0;
      return;
    }
    if (starts) this.#programForVbe();
    if (starts && (value & reg.VBE_NO_CLEAR) === 0) {
      const size = Math.min(this.video.length, this.#renderer.vbeLineBytes() * vbe[reg.VBE_YRES]!);
      this.video.fill(0, 0, size);
      this.onVideoWrite(0, size);
    }
  }

  /** Resolution and pitch fit video memory, whatever was written: 4, 8, 15, 16, 24 or 32 bits a pixel. */
  #sanitizeVbe(): void {
    const { vbe } = this.#s;
    if ((vbe[reg.VBE_ENABLE]! & reg.VBE_ENABLED) === 0) return;
    if (![4, 8, 15, 16, 24, 32].includes(vbe[reg.VBE_BPP]!)) vbe[reg.VBE_BPP] = 8;
    const bits = vbe[reg.VBE_BPP] === 15 ? 16 : vbe[reg.VBE_BPP]!;
    const x = Math.max(8, Math.min(reg.VBE_MAX_X, vbe[reg.VBE_XRES]! & ~7));
    let width = Math.max(x, Math.min(reg.VBE_MAX_X, vbe[reg.VBE_VIRT_WIDTH]! & ~7));
    const lineLimit = Math.floor((this.video.length * 8) / bits);
    width = Math.min(width, lineLimit & ~7);
    const height = Math.max(1, Math.min(0xffff, Math.floor((this.video.length * 8) / (width * bits))));
    vbe[reg.VBE_XRES] = Math.min(x, width);
    vbe[reg.VBE_VIRT_WIDTH] = width;
    vbe[reg.VBE_VIRT_HEIGHT] = height;
    vbe[reg.VBE_YRES] = Math.max(1, Math.min(reg.VBE_MAX_Y, vbe[reg.VBE_YRES]!, height));
    vbe[reg.VBE_X_OFFSET] = Math.min(vbe[reg.VBE_X_OFFSET]!, width - vbe[reg.VBE_XRES]!);
    vbe[reg.VBE_Y_OFFSET] = Math.min(vbe[reg.VBE_Y_OFFSET]!, height - vbe[reg.VBE_YRES]!);
    vbe[reg.VBE_BANK] = Math.min(vbe[reg.VBE_BANK]!, Math.max(0, this.video.length / BANK_BYTES - 1));
  }

  /** The window becomes linear, as a VGA BIOS expects after switching a VBE mode on. */
  #programForVbe(): void {
    const { graphics, sequencer, vbe } = this.#s;
    graphics[reg.GFX_MISC] = (graphics[reg.GFX_MISC]! & ~0x0c) | 0x05;
    if (vbe[reg.VBE_BPP] === 4) {
      graphics[reg.GFX_MODE] = graphics[reg.GFX_MODE]! & ~0x60;
      sequencer[reg.SEQ_MEMORY_MODE] = sequencer[reg.SEQ_MEMORY_MODE]! & ~reg.MEMORY_CHAIN4;
    } else {
      graphics[reg.GFX_MODE] = (graphics[reg.GFX_MODE]! & ~0x70) | reg.GFX_MODE_256;
      sequencer[reg.SEQ_MEMORY_MODE] = sequencer[reg.SEQ_MEMORY_MODE]! | reg.MEMORY_CHAIN4;
      sequencer[reg.SEQ_MAP_MASK] = 15;
    }
  }

  // --- memory BAR

  #readMmio(offset: number, size: AccessSize): number {
    if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + 0x20) {
      return bytewise(size, (i) => this.#readPort(0x3c0 + offset - MMIO_PORTS + i));
    }
    if (offset >= MMIO_VBE && offset + size <= MMIO_VBE + 2 * reg.VBE_COUNT) {
      const value = this.#readVbe((offset - MMIO_VBE) >> 1);
      return size === 1 ? (value >>> (8 * (offset & 1))) & 0xff : value;
    }
    return offset === MMIO_EXTENSION && size === 4
      ? 8
      : offset === MMIO_EXTENSION + 4 && size === 4
        ? LITTLE_ENDIAN
        : 0;
  }

  #writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + 0x20) {
      for (let i = 0; i < size; i++) {
        this.#writePort(0x3c0 + offset - MMIO_PORTS + i, (value >>> (8 * i)) & 0xff);
      }
    } else if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * reg.VBE_COUNT && size === 2) {
      this.#writeVbe((offset - MMIO_VBE) >> 1, value & 0xffff);
    }
  }
}

/** What the byte order register reads as. */
const LITTLE_ENDIAN = 0x1e1e_1e1e;
const SEQUENCER_MASK = Uint8Array.of(0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff);
const GRAPHICS_MASK = Uint8Array.of(
  0x0f,
  0x0f,
  0x0f,
  0x1f,
  0x03,
  0x7b,
  0x0f,
  0x0f,
  0xff,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
);

function bytewise(size: number, read: (i: number) => number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= read(i) << (8 * i);
  return value >>> 0;
}
