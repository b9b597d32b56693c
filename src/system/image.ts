/** Pictures as files: PPM (Netpbm "P6") and PNG (ISO/IEC 15948). */
import type { DisplaySurface } from '../core/display-surface.ts';

export function encodePpm({ width, height, pixels }: DisplaySurface): Uint8Array {
  const header = `P6\n${width} ${height}\n255\n`;
  const out = new Uint8Array(header.length + 3 * pixels.length);
  for (let i = 0; i < header.length; i++) out[i] = header.charCodeAt(i);
  putRgb(pixels, out, header.length);
  return out;
}

function putRgb(pixels: Uint32Array, out: Uint8Array, at: number): void {
  let to = at;
  for (const pixel of pixels) {
    out[to++] = pixel >> 16;
    out[to++] = pixel >> 8;
    out[to++] = pixel;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = (c & 1) !== 0 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** `deflate` makes a zlib stream (RFC 1950). */
export function encodePng(surface: DisplaySurface, deflate: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const { width, height, pixels } = surface;
  const raw = new Uint8Array(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) {
    putRgb(pixels.subarray(y * width, (y + 1) * width), raw, y * (1 + 3 * width) + 1);
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits a sample
  header.setUint8(9, 2); // RGB
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('IDAT', deflate(raw)),
    chunk('IEND', new Uint8Array(0)),
  ];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + content.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(content, 8);
  view.setUint32(8 + content.length, crc32(out.subarray(4, 8 + content.length)));
  return out;
}
