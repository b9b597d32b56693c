/** Turns the VGA's memory and registers into pixels (IBM VGA Technical Reference; Ferraro). */
import { type DirtyRect, DisplaySurface, putRow, unite } from '../../core/display-surface.ts';
import type { VgaState } from './vga.ts';
import * as reg from './vga-registers.ts';

/** No mode can be larger; registers may say anything. */
const MAX_PIXELS = 2 ** 24;
const BLINK_CURSOR_NS = 228_000_000;
const BLINK_TEXT_NS = 457_000_000;
/** Text rows and columns beyond what any real mode has. */
const MAX_COLUMNS = 256;

type Mode = 'blank' | 'text' | 'graphics' | 'vbe';

export class VgaRenderer {
  surface = new DisplaySurface(720, 400);
  readonly #video: Uint8Array;
  readonly #view: DataView;
  readonly #s: VgaState;
  readonly #colors = new Uint32Array(256);
  readonly #attributes = new Uint32Array(16);
  #row = new Uint32Array(720);

  constructor(video: Uint8Array, state: VgaState) {
    this.#video = video;
    this.#view = new DataView(video.buffer, video.byteOffset, video.length);
    this.#s = state;
  }

  update(nowNs: number): DirtyRect | undefined {
    const { width, height } = this.#size();
    const isNew = width !== this.surface.width || height !== this.surface.height;
    if (isNew) {
      this.surface = new DisplaySurface(width, height);
      this.#row = new Uint32Array(width);
    }
    this.#loadPalette();
    const dirty = this.#draw(nowNs);
    return isNew ? { x: 0, y: 0, width, height } : dirty;
  }

  text(): string[] | undefined {
    if (this.#mode !== 'text') return undefined;
    const { columns, rows } = this.#textSize();
    const lines: string[] = [];
    for (let row = 0; row < rows; row++) {
      let line = '';
      let at = this.#startByte + row * this.#pitch;
      for (let column = 0; column < columns; column++, at += 4) {
        line += CODE_PAGE_437[this.#video[at % this.#video.length]!]!;
      }
      lines.push(line.trimEnd());
    }
    return lines;
  }

  /** Bytes from one line to the next in a VBE mode. */
  vbeLineBytes(): number {
    const { vbe } = this.#s;
    const bits = vbe[reg.VBE_BPP] === 15 ? 16 : vbe[reg.VBE_BPP]!;
    return (vbe[reg.VBE_VIRT_WIDTH]! * bits) >> 3;
  }

  // --- what mode it is

  get #mode(): Mode {
    const { vbe, attributeIndex, sequencer, graphics } = this.#s;
    if ((vbe[reg.VBE_ENABLE]! & reg.VBE_ENABLED) !== 0) return 'vbe';
    if ((attributeIndex & 0x20) === 0 || (sequencer[reg.SEQ_CLOCKING]! & reg.CLOCKING_SCREEN_OFF) !== 0)
      return 'blank';
    return (graphics[reg.GFX_MISC]! & reg.GFX_MISC_GRAPHICS) !== 0 ? 'graphics' : 'text';
  }

  #size(): { width: number; height: number } {
    const { vbe, sequencer } = this.#s;
    const mode = this.#mode;
    if (mode === 'blank') return this.surface;
    if (mode === 'vbe') return { width: vbe[reg.VBE_XRES]!, height: vbe[reg.VBE_YRES]! };
    if (mode === 'text') {
      const { columns, rows } = this.#textSize();
      return { width: columns * this.#cellWidth, height: rows * this.#cellHeight };
    }
    const halfClock = (sequencer[reg.SEQ_CLOCKING]! & 8) !== 0 && !this.#is256;
    const width = this.#columns * 8 * (halfClock ? 2 : 1);
    return { width, height: Math.max(1, Math.min(this.#lines, Math.floor(MAX_PIXELS / width))) };
  }

  get #columns(): number {
    return this.#s.crtc[reg.CRTC_H_DISPLAY_END]! + 1;
  }

  /** Scan lines: vertical display end with its two overflow bits. */
  get #lines(): number {
    const { crtc } = this.#s;
    const overflow = crtc[reg.CRTC_OVERFLOW]!;
    return (crtc[reg.CRTC_V_DISPLAY_END]! | ((overflow & 2) << 7) | ((overflow & 0x40) << 3)) + 1;
  }

  get #cellWidth(): number {
    return (this.#s.sequencer[reg.SEQ_CLOCKING]! & reg.CLOCKING_8_DOTS) !== 0 ? 8 : 9;
  }

  get #cellHeight(): number {
    return (this.#s.crtc[reg.CRTC_MAX_SCAN_LINE]! & 0x1f) + 1;
  }

  #textSize(): { columns: number; rows: number } {
    const isDoubled = (this.#s.crtc[reg.CRTC_MAX_SCAN_LINE]! & reg.MAX_SCAN_DOUBLE) !== 0;
    const lines = isDoubled ? this.#lines >> 1 : this.#lines;
    const rows = Math.max(1, Math.floor(lines / this.#cellHeight));
    return { columns: Math.min(MAX_COLUMNS, this.#columns), rows };
  }

  get #startByte(): number {
    const { crtc } = this.#s;
    return 4 * ((crtc[reg.CRTC_START_HIGH]! << 8) | crtc[reg.CRTC_START_LOW]!);
  }

  /** Bytes of video memory from one line (or text row) to the next. */
  get #pitch(): number {
    return this.#s.crtc[reg.CRTC_OFFSET]! << 3;
  }

  get #is256(): boolean {
    return (this.#s.graphics[reg.GFX_MODE]! & reg.GFX_MODE_256) !== 0;
  }

  #loadPalette(): void {
    const { palette, dacMask, vbe, attribute } = this.#s;
    const isWide = (vbe[reg.VBE_ENABLE]! & reg.VBE_8BIT_DAC) !== 0;
    const level = (v: number): number => (isWide ? v : ((v & 63) << 2) | ((v & 63) >> 4));
    for (let i = 0; i < 256; i++) {
      const at = (i & dacMask) * 3;
      this.#colors[i] =
        (level(palette[at]!) << 16) | (level(palette[at + 1]!) << 8) | level(palette[at + 2]!);
    }
    const select = attribute[reg.ATTR_COLOR_SELECT]!;
    const isP54 = (attribute[reg.ATTR_MODE]! & reg.ATTR_MODE_P54) !== 0;
    for (let i = 0; i < 16; i++) {
      const value = attribute[i]!;
      const index = isP54 ? ((select & 15) << 4) | (value & 15) : ((select & 12) << 4) | (value & 63);
      this.#attributes[i] = this.#colors[index]!;
    }
  }

  // --- drawing

  #draw(nowNs: number): DirtyRect | undefined {
    switch (this.#mode) {
      case 'blank':
        return this.#drawLines(() => this.#row.fill(0));
      case 'text':
        return this.#drawText(nowNs);
      case 'vbe':
        return this.#drawVbe();
      case 'graphics':
        return this.#drawGraphics();
    }
  }

  #drawLines(line: (y: number) => void): DirtyRect | undefined {
    let dirty: DirtyRect | undefined;
    for (let y = 0; y < this.surface.height; y++) {
      line(y);
      dirty = unite(dirty, putRow(this.surface, y, this.#row));
    }
    return dirty;
  }

  #drawText(nowNs: number): DirtyRect | undefined {
    const { columns } = this.#textSize();
    const { crtc, attribute } = this.#s;
    const height = this.#cellHeight;
    const cursorAt = 4 * ((crtc[reg.CRTC_CURSOR_HIGH]! << 8) | crtc[reg.CRTC_CURSOR_LOW]!);
    const cursorFirst = crtc[reg.CRTC_CURSOR_START]! & 31;
    const cursorLast = crtc[reg.CRTC_CURSOR_END]! & 31;
    const isCursorOn =
      (crtc[reg.CRTC_CURSOR_START]! & reg.CURSOR_OFF) === 0 && Math.floor(nowNs / BLINK_CURSOR_NS) % 2 === 0;
    const blinks = (attribute[reg.ATTR_MODE]! & reg.ATTR_MODE_BLINK) !== 0;
    const isBlinkedOff = blinks && Math.floor(nowNs / BLINK_TEXT_NS) % 2 === 1;
    return this.#drawLines((y) => {
      const scan = y % height;
      const start = this.#startByte + Math.floor(y / height) * this.#pitch;
      for (let column = 0; column < columns; column++) {
        const at = (start + 4 * column) % this.#video.length;
        const attr = this.#video[at + 1]!;
        const isCursor = isCursorOn && at === cursorAt && scan >= cursorFirst && scan <= cursorLast;
        const background = blinks ? (attr >> 4) & 7 : attr >> 4;
        const isHidden = isBlinkedOff && attr >= 0x80;
        const bits = isCursor ? 0xff : isHidden ? 0 : this.#glyphRow(this.#video[at]!, attr, scan);
        this.#putCell(
          column,
          this.#video[at]!,
          bits,
          this.#attributes[attr & 15]!,
          this.#attributes[background]!,
        );
      }
    });
  }

  /** A line of a character's picture from plane 2; bit 3 of the attribute chooses the character map. */
  #glyphRow(code: number, attr: number, scan: number): number {
    const maps = this.#s.sequencer[reg.SEQ_CHARACTER_MAP]!;
    const map =
      (attr & 8) !== 0 ? ((maps >> 1) & 6) | ((maps >> 5) & 1) : ((maps << 1) & 6) | ((maps >> 4) & 1);
    return this.#video[(map * 8192 + code * 32 + scan) * 4 + 2] ?? 0;
  }

  #putCell(column: number, code: number, bits: number, foreground: number, background: number): void {
    const row = this.#row;
    const width = this.#cellWidth;
    const x = column * width;
    for (let i = 0; i < 8; i++) row[x + i] = (bits & (0x80 >> i)) !== 0 ? foreground : background;
    if (width === 8) return;
    const joins = (this.#s.attribute[reg.ATTR_MODE]! & reg.ATTR_MODE_LINE_GRAPHICS) !== 0;
    const isLine = joins && code >= 0xc0 && code <= 0xdf;
    row[x + 8] = isLine && (bits & 1) !== 0 ? foreground : background;
  }

  #drawGraphics(): DirtyRect | undefined {
    const { crtc, graphics, sequencer } = this.#s;
    const overflow = crtc[reg.CRTC_OVERFLOW]!;
    const maxScan = crtc[reg.CRTC_MAX_SCAN_LINE]!;
    const repeat = ((maxScan & 0x1f) + 1) * ((maxScan & reg.MAX_SCAN_DOUBLE) !== 0 ? 2 : 1);
    const compare = crtc[reg.CRTC_LINE_COMPARE]! | ((overflow & 0x10) << 4) | ((maxScan & 0x40) << 3);
    const draw = this.#is256
      ? (at: number) => this.#line256(at)
      : (graphics[reg.GFX_MODE]! & reg.GFX_MODE_SHIFT_INTERLEAVE) !== 0
        ? (at: number) => this.#lineInterleaved(at)
        : (at: number) => this.#linePlanar(at, (sequencer[reg.SEQ_CLOCKING]! & 8) !== 0);
    let previous = -1;
    return this.#drawLines((y) => {
      const isBelow = y > compare;
      const line = Math.floor((isBelow ? y - compare - 1 : y) / repeat);
      const at = this.#lineAddress((isBelow ? 0 : this.#startByte) + line * this.#pitch, line, repeat);
      if (at !== previous || y === 0) draw(at);
      previous = at;
    });
  }

  /** CGA and Hercules banks: low bits of the line replace address bits unless the mode register says otherwise. */
  #lineAddress(at: number, line: number, repeat: number): number {
    const mode = this.#s.crtc[reg.CRTC_MODE]!;
    if ((mode & 1) !== 0) return at;
    const shift = 14 + ((mode >> 6) & 1);
    // In these modes the character row is two lines high, so `pitch` is that of a pair.
    const pair = repeat > 1 && (this.#s.crtc[reg.CRTC_MAX_SCAN_LINE]! & 0x1f) > 0;
    return pair ? at : (at & ~(1 << shift)) | ((line & 1) << shift);
  }

  #line256(start: number): void {
    const row = this.#row;
    const size = this.#video.length;
    for (let x = 0; x < row.length; x++) row[x] = this.#colors[this.#video[(start + (x >> 1)) % size]!]!;
  }

  /** Four planes, eight pixels a byte; `doubled`: a pixel is two dots wide. */
  #linePlanar(start: number, doubled: boolean): void {
    const row = this.#row;
    const enabled = this.#s.attribute[reg.ATTR_PLANE_ENABLE]! & 15;
    const shift = doubled ? 1 : 0;
    const limit = this.#video.length - 4;
    for (let x = 0; x < row.length; x++) {
      const pixel = x >> shift;
      const at = (start + ((pixel >> 3) << 2)) % this.#video.length;
      const planes = this.#view.getUint32(Math.min(at, limit), true) >>> (7 - (pixel & 7));
      const color = (planes & 1) | ((planes >> 7) & 2) | ((planes >> 14) & 4) | ((planes >> 21) & 8);
      row[x] = this.#attributes[color & enabled]!;
    }
  }

  /** Two bits a pixel in planes 0 and 1 (four pixels each), two more in planes 2 and 3. */
  #lineInterleaved(start: number): void {
    const row = this.#row;
    const enabled = this.#s.attribute[reg.ATTR_PLANE_ENABLE]! & 15;
    const shift = (this.#s.sequencer[reg.SEQ_CLOCKING]! & 8) !== 0 ? 1 : 0;
    for (let x = 0; x < row.length; x++) {
      const pixel = x >> shift;
      const at = (start + ((pixel >> 3) << 2) + ((pixel >> 2) & 1)) % (this.#video.length - 2);
      const bits = 6 - 2 * (pixel & 3);
      const color = ((this.#video[at]! >> bits) & 3) | (((this.#video[at + 2]! >> bits) & 3) << 2);
      row[x] = this.#attributes[color & enabled]!;
    }
  }

  #drawVbe(): DirtyRect | undefined {
    const { vbe } = this.#s;
    const bits = vbe[reg.VBE_BPP]!;
    const pitch = this.vbeLineBytes();
    if (bits === 4) {
      const start = vbe[reg.VBE_Y_OFFSET]! * pitch * 4 + ((vbe[reg.VBE_X_OFFSET]! >> 3) << 2);
      return this.#drawLines((y) => this.#linePlanar(start + y * pitch * 4, false));
    }
    const bytesPerPixel = (bits + 7) >> 3;
    const start = vbe[reg.VBE_Y_OFFSET]! * pitch + vbe[reg.VBE_X_OFFSET]! * bytesPerPixel;
    return this.#drawLines((y) => this.#lineVbe(start + y * pitch, bits, bytesPerPixel));
  }

  #lineVbe(start: number, bits: number, bytesPerPixel: number): void {
    const row = this.#row;
    const view = this.#view;
    const limit = this.#video.length - 4;
    for (let x = 0; x < row.length; x++) {
      const at = Math.min(start + x * bytesPerPixel, limit);
      if (bits === 32 || bits === 24) row[x] = view.getUint32(at, true) & 0xffffff;
      else if (bits === 8) row[x] = this.#colors[view.getUint8(at)]!;
      else row[x] = fromHighColor(view.getUint16(at, true), bits === 15 ? 5 : 6);
    }
  }
}

/** 5 bits red, `greenBits` green, 5 blue. */
function fromHighColor(value: number, greenBits: number): number {
  const widen = (v: number, bits: number): number => (v << (8 - bits)) | (v >> (2 * bits - 8));
  const red = widen((value >> (5 + greenBits)) & 31, 5);
  const green = widen((value >> 5) & ((1 << greenBits) - 1), greenBits);
  return (red << 16) | (green << 8) | widen(value & 31, 5);
}

/** What the characters of a PC's text mode look like. */
const CODE_PAGE_437: readonly string[] = [
  ...' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼',
  ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)),
  ...'⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ',
];
