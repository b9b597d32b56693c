/** Gets a Linux configuration out of a file: text, gzip, or a kernel built with IKCONFIG. */
import { readFileSync } from 'node:fs';
import * as zlib from 'node:zlib';
import { isKernelConfig } from '../../accel/kvm/check/kernel-config.ts';
import { UserError } from '../../util/errors.ts';
import { errorReason } from './error-reason.ts';
import { lz4LegacyDecompress } from './lz4.ts';

const GZIP = Buffer.from([0x1f, 0x8b]);
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
/** Markers around the gzip-compressed configuration in a kernel with CONFIG_IKCONFIG. */
const IKCONFIG_START = Buffer.from('IKCFG_ST');
const IKCONFIG_END = Buffer.from('IKCFG_ED');
const BZIMAGE_MAGIC = 0x53726448; // "HdrS" at 0x202
const MAX_BYTES = 2 ** 30;

/** `UserError` naming what the file is not. */
export function readKernelConfig(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError('FileOpenFailed', `${path}: ${errorReason(error)}`);
  }
  const text = configOf(bytes, path);
  if (!isKernelConfig(text)) throw new UserError('NotAKernelConfig', `${path}: no Linux configuration in it`);
  return text;
}

function configOf(bytes: Buffer, path: string): string {
  if (bytes.length > 0x206 && bytes.readUInt32LE(0x202) === BZIMAGE_MAGIC)
    return embedded(payload(bytes, path), path);
  if (bytes.subarray(0, 4).equals(ELF)) return embedded(bytes, path);
  if (bytes.subarray(0, 2).equals(GZIP)) {
    const inner = gunzip(bytes, path);
    return inner.subarray(0, 4).equals(ELF) ? embedded(inner, path) : inner.toString('latin1');
  }
  return bytes.toString('latin1');
}

/** The compressed kernel in a bzImage (Linux x86 boot protocol 2.08: payload_offset, payload_length). */
function payload(image: Buffer, path: string): Buffer {
  const setupSectors = image[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const compressed = image.subarray(start, start + image.readUInt32LE(0x24c));
  const magic = compressed.length < 4 ? 0 : compressed.readUInt32BE(0);
  if (magic >>> 16 === 0x1f8b) return gunzip(compressed, path);
  if (magic === 0x02214c18) return Buffer.from(lz4LegacyDecompress(compressed, MAX_BYTES));
  const zstd = (zlib as { zstdDecompressSync?: (data: Buffer) => Buffer }).zstdDecompressSync;
  if (magic === 0x28b52ffd && zstd !== undefined) return zstd(compressed);
  const names: Readonly<Record<number, string>> = {
    0x28b52ffd: 'zstd',
    0xfd377a58: 'xz',
    0x425a6839: 'bzip2',
  };
  throw new UserError(
    'UnknownCompression',
    `${path}: compressed with ${names[magic] ?? 'an unknown method'}; run the kernel's scripts/extract-vmlinux and give its result`,
  );
}

function embedded(kernel: Buffer, path: string): string {
  const at = kernel.indexOf(IKCONFIG_START);
  if (at < 0) {
    throw new UserError(
      'NoEmbeddedConfig',
      `${path}: built without CONFIG_IKCONFIG; give the configuration itself (/boot/config-…)`,
    );
  }
  const end = kernel.indexOf(IKCONFIG_END, at);
  return gunzip(kernel.subarray(at + IKCONFIG_START.length, end < 0 ? undefined : end), path).toString(
    'latin1',
  );
}

function gunzip(bytes: Buffer, path: string): Buffer {
  try {
    return zlib.gunzipSync(bytes, { maxOutputLength: MAX_BYTES, finishFlush: zlib.constants.Z_SYNC_FLUSH });
  } catch (error) {
    throw new UserError('BadCompression', `${path}: ${(error as Error).message}`);
  }
}
