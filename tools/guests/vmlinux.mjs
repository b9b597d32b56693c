// Extracts the ELF kernel (vmlinux) from a bzImage.
// Header fields: Documentation/arch/x86/boot.rst in the Linux sources, "The Real-Mode Kernel Header".

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const HDR_MAGIC = 0x53726448; // "HdrS"
const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

/** The compressed kernel inside a bzImage, without the 4 bytes of unpacked size that follow it. */
export function bzImagePayload(image) {
  if (image.length < 0x250 || image.readUInt32LE(HEADER_MAGIC) !== HDR_MAGIC)
    throw new Error('not a bzImage: no HdrS signature');
  const setupSectors = image[SETUP_SECTS] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + image.readUInt32LE(PAYLOAD_LENGTH);
  if (end > image.length) throw new Error('truncated bzImage: the payload ends outside the file');
  return { data: image.subarray(start, end - 4), unpackedSize: image.readUInt32LE(end - 4) };
}

function copyMatch(out, to, distance, length) {
  if (distance === 0 || distance > to) throw new Error('corrupt LZ4 block: offset outside the output');
  for (let i = 0; i < length; i++) out[to + i] = out[to + i - distance];
}

/** Decodes one LZ4 block of `source` into `out` from `to` on; returns the end of what was written. */
function lz4Block(source, out, to) {
  let at = 0;
  const lengthFrom = (nibble) => {
    let length = nibble;
    if (nibble === 15) {
      let more = 255;
      while (more === 255) {
        more = source[at++];
        length += more;
      }
    }
    return length;
  };
  while (at < source.length) {
    const token = source[at++];
    const literals = lengthFrom(token >> 4);
    out.set(source.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= source.length) break;
    const distance = source[at] | (source[at + 1] << 8);
    at += 2;
    const length = lengthFrom(token & 15) + 4;
    copyMatch(out, to, distance, length);
    to += length;
  }
  return to;
}

/** Decodes the LZ4 "legacy frame" that the Linux build writes: magic, then blocks of up to 8 MiB each. */
export function unlz4Legacy(data, unpackedSize) {
  const out = new Uint8Array(unpackedSize);
  let at = 4;
  let to = 0;
  while (at + 4 <= data.length) {
    const size = data.readUInt32LE(at);
    to = lz4Block(data.subarray(at + 4, at + 4 + size), out, to);
    at += 4 + size;
  }
  return Buffer.from(out.subarray(0, to));
}

function arMember(name, data) {
  const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}`;
  const size = `${String(data.length).padEnd(10)}\`\n`;
  return Buffer.concat([Buffer.from(header + size), data, Buffer.alloc(data.length & 1, '\n')]);
}

/**
 * Unpacks xz or zstd with dpkg-deb, which every Debian has and which links the decoders (the xz program may be
 * missing): the data becomes the "data.tar" member of a package, and --fsys-tarfile prints that member unpacked.
 */
function unpackWithDpkg(data, suffix) {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-unpack-'));
  try {
    const packed = join(dir, 'x.deb');
    const empty = Buffer.alloc(1024);
    writeFileSync(
      packed,
      Buffer.concat([
        Buffer.from('!<arch>\n'),
        arMember('debian-binary', Buffer.from('2.0\n')),
        arMember('control.tar', empty),
        arMember(`data.tar${suffix}`, data),
      ]),
    );
    return execFileSync('dpkg-deb', ['--fsys-tarfile', packed], { maxBuffer: 1 << 30 });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const FORMATS = [
  { name: 'gzip', magic: [0x1f, 0x8b], unpack: (data) => gunzipSync(data) },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18], unpack: unlz4Legacy },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], unpack: (data) => unpackWithDpkg(data, '.xz') },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: (data) => unpackWithDpkg(data, '.zst') },
];

/** Returns `{ vmlinux, format }`: the ELF image inside `image` (a Buffer with a bzImage) and how it was packed. */
export function extractVmlinux(image) {
  const { data, unpackedSize } = bzImagePayload(image);
  const format = FORMATS.find(({ magic }) => magic.every((byte, i) => data[i] === byte));
  if (!format) throw new Error(`unknown kernel compression (starts ${data.subarray(0, 6).toString('hex')})`);
  const vmlinux = format.unpack(data, unpackedSize);
  if (vmlinux.readUInt32BE(0) !== 0x7f454c46) throw new Error(`the ${format.name} payload holds no ELF file`);
  return { vmlinux, format: format.name };
}
