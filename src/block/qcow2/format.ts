/**
 * Layout of qcow2 images, versions 2 and 3 ("The qcow2 image format", docs/interop/qcow2.txt of the QEMU project).
 * All numbers are big-endian.
 */
import { BlockError, EINVAL } from '../block-node.ts';

export const MAGIC = 0x514649fb;
export const V2_HEADER_BYTES = 72;
export const V3_HEADER_BYTES = 104;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
export const MAX_L1_BYTES = 32 * 2 ** 20;
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
export const MAX_SNAPSHOTS = 65536;
export const MAX_SNAPSHOT_TABLE_BYTES = 64 * 2 ** 20;
export const MAX_BITMAPS = 65535;
export const MAX_BITMAP_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_BACKING_NAME = 1023;
const MAX_EXTENSIONS = 1000;

/** Offsets in the header. */
export const AT_BACKING = 8;
export const AT_BACKING_BYTES = 16;
export const AT_SIZE = 24;
export const AT_L1_SIZE = 36;
export const AT_L1 = 40;
export const AT_REFCOUNT_TABLE = 48;
export const AT_REFCOUNT_CLUSTERS = 56;
export const AT_SNAPSHOT_COUNT = 60;
export const AT_SNAPSHOTS = 64;
export const AT_INCOMPATIBLE = 72;
export const AT_COMPATIBLE = 80;
export const AT_AUTOCLEAR = 88;

export const INCOMPATIBLE_DIRTY = 1;
export const INCOMPATIBLE_CORRUPT = 2;
export const INCOMPATIBLE_DATA_FILE = 4;
export const INCOMPATIBLE_COMPRESSION = 8;
export const INCOMPATIBLE_EXTENDED_L2 = 16;
const INCOMPATIBLE_KNOWN = 31;
export const COMPATIBLE_LAZY_REFCOUNTS = 1;
export const AUTOCLEAR_BITMAPS = 1;
export const AUTOCLEAR_RAW_DATA = 2;

export const EXTENSION_END = 0;
export const EXTENSION_BACKING_FORMAT = 0xe2792aca;
export const EXTENSION_FEATURE_NAMES = 0x6803f857;
export const EXTENSION_BITMAPS = 0x23852875;
export const EXTENSION_CRYPTO = 0x0537be77;
export const EXTENSION_DATA_FILE = 0x44415441;

/** In the high words of L1 and L2 entries. */
export const HI_COPIED = 0x80000000;
export const HI_COMPRESSED = 0x40000000;
export const HI_OFFSET = 0x00ffffff;
/** In the low word: the cluster reads as zeroes (version 3). */
export const LO_ZERO = 1;
export const LO_OFFSET = 0xfffffe00;

export const SUBCLUSTERS = 32;

export type CompressionType = 'zlib' | 'zstd';

export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface Qcow2Header {
  version: number;
  clusterBits: number;
  sizeBytes: number;
  l1Size: number;
  l1Offset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  incompatible: number;
  compatible: number;
  autoclear: number;
  /** log2 of the width of a refcount in bits. */
  refcountOrder: number;
  headerBytes: number;
  compression: CompressionType;
  backingName: string | undefined;
  backingFormat: string | undefined;
  dataFileName: string | undefined;
  bitmaps: { count: number; directoryBytes: number; directoryOffset: number } | undefined;
  extensions: Extension[];
}

function bad(reason: string): BlockError {
  return new BlockError(EINVAL, reason);
}

/** A 64-bit number; `BlockError` if a double cannot hold it. */
export function readU64(view: DataView, at: number): number {
  const value = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  if (value > Number.MAX_SAFE_INTEGER) throw bad('a number in the image is too large');
  return value;
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}

/** 32 low bits of a feature mask; any of the high ones set makes it all ones. */
function readFeatures(view: DataView, at: number): number {
  return view.getUint32(at) !== 0 ? 0xffffffff : view.getUint32(at + 4);
}

const decodeText = (bytes: Uint8Array): string => {
  let text = '';
  for (const byte of bytes) text += `%${byte.toString(16).padStart(2, '0')}`;
  try {
    return decodeURIComponent(text);
  } catch {
    return String.fromCharCode(...bytes);
  }
};

export function encodeText(text: string): Uint8Array {
  const escaped = encodeURIComponent(text);
  const bytes: number[] = [];
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '%') {
      bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(escaped.charCodeAt(i));
  }
  return Uint8Array.from(bytes);
}

export { decodeText };

/** `head`: the image's first cluster, or as much of it as there is. */
export function parseHeader(head: Uint8Array, fileBytes: number): Qcow2Header {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < V3_HEADER_BYTES || view.getUint32(0) !== MAGIC) throw bad('Image is not in qcow2 format');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw bad(`Unsupported qcow2 version ${version}`);
  const clusterBits = view.getUint32(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS)
    throw bad(`Unsupported cluster size: 2^${clusterBits}`);
  const clusterBytes = 2 ** clusterBits;
  const isV3 = version === 3;
  const headerBytes = isV3 ? view.getUint32(100) : V2_HEADER_BYTES;
  if (isV3 && (headerBytes < V3_HEADER_BYTES || headerBytes > clusterBytes))
    throw bad('qcow2 header length is wrong');
  if (view.getUint32(32) !== 0) throw bad('Encrypted images are not supported');
  const incompatible = isV3 ? readFeatures(view, AT_INCOMPATIBLE) : 0;
  if ((incompatible & ~INCOMPATIBLE_KNOWN) !== 0)
    throw bad(`Unsupported qcow2 feature(s): 0x${(incompatible & ~INCOMPATIBLE_KNOWN).toString(16)}`);
  const refcountOrder = isV3 ? view.getUint32(96) : 4;
  if (refcountOrder > 6) throw bad('Reference count entry width too large; may not exceed 64 bits');
  const compressionByte = isV3 && headerBytes > V3_HEADER_BYTES ? head[104]! : 0;
  if (compressionByte > 1) throw bad(`Unknown compression type ${compressionByte}`);
  const header: Qcow2Header = {
    version,
    clusterBits,
    sizeBytes: readU64(view, AT_SIZE),
    l1Size: view.getUint32(AT_L1_SIZE),
    l1Offset: readU64(view, AT_L1),
    refcountTableOffset: readU64(view, AT_REFCOUNT_TABLE),
    refcountTableClusters: view.getUint32(AT_REFCOUNT_CLUSTERS),
    snapshotCount: view.getUint32(AT_SNAPSHOT_COUNT),
    snapshotsOffset: readU64(view, AT_SNAPSHOTS),
    incompatible,
    compatible: isV3 ? readFeatures(view, AT_COMPATIBLE) : 0,
    autoclear: isV3 ? readFeatures(view, AT_AUTOCLEAR) : 0,
    refcountOrder,
    headerBytes,
    compression: compressionByte === 1 ? 'zstd' : 'zlib',
    backingName: undefined,
    backingFormat: undefined,
    dataFileName: undefined,
    bitmaps: undefined,
    extensions: [],
  };
  validate(header, fileBytes);
  readExtensions(header, head, view);
  readBackingName(header, head, view);
  return header;
}

function validate(header: Qcow2Header, fileBytes: number): void {
  const clusterBytes = 2 ** header.clusterBits;
  const isAligned = (offset: number): boolean => offset % clusterBytes === 0;
  const extended = (header.incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0;
  if (extended && header.clusterBits < 14) throw bad('extended L2 entries need clusters of at least 16 KiB');
  if (header.sizeBytes > 2 ** 53 - clusterBytes) throw bad('Image size is too large');
  if (header.l1Size * 8 > MAX_L1_BYTES) throw bad('Active L1 table too large');
  if (!isAligned(header.l1Offset)) throw bad('Active L1 table offset invalid');
  if (header.l1Size < l1EntriesFor(header.sizeBytes, header)) throw bad('L1 table is too small');
  if (header.l1Size > 0 && header.l1Offset + header.l1Size * 8 > fileBytes + clusterBytes)
    throw bad('Active L1 table is beyond the end of the image');
  if (header.refcountTableClusters * clusterBytes > MAX_REFCOUNT_TABLE_BYTES)
    throw bad('Reference count table too large');
  if (header.refcountTableOffset === 0 || !isAligned(header.refcountTableOffset))
    throw bad('Reference count table offset invalid');
  if (header.refcountTableClusters === 0) throw bad('Image does not contain a reference count table');
  if (header.snapshotCount > MAX_SNAPSHOTS) throw bad('Too many snapshots');
  if (!isAligned(header.snapshotsOffset)) throw bad('Snapshot table offset invalid');
}

/** Entries that an L1 table needs for a disk. */
export function l1EntriesFor(
  sizeBytes: number,
  header: Pick<Qcow2Header, 'clusterBits' | 'incompatible'>,
): number {
  const entryBytes = (header.incompatible & INCOMPATIBLE_EXTENDED_L2) !== 0 ? 16 : 8;
  return Math.ceil(sizeBytes / (2 ** header.clusterBits * (2 ** header.clusterBits / entryBytes)));
}

function readExtensions(header: Qcow2Header, head: Uint8Array, view: DataView): void {
  const backingOffset = readU64(view, AT_BACKING);
  const end = backingOffset > 0 && backingOffset < head.length ? backingOffset : head.length;
  let at = header.headerBytes;
  for (let count = 0; at + 8 <= end; count++) {
    if (count > MAX_EXTENSIONS) throw bad('Too many header extensions');
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION_END) return;
    if (length > end - at - 8) throw bad('Header extension too large');
    const data = head.slice(at + 8, at + 8 + length);
    header.extensions.push({ type, data });
    readExtension(header, type, data);
    at += 8 + Math.ceil(length / 8) * 8;
  }
}

function readExtension(header: Qcow2Header, type: number, data: Uint8Array): void {
  switch (type) {
    case EXTENSION_BACKING_FORMAT:
      header.backingFormat = decodeText(data.subarray(0, 64));
      break;
    case EXTENSION_DATA_FILE:
      header.dataFileName = decodeText(data.subarray(0, MAX_BACKING_NAME));
      break;
    case EXTENSION_BITMAPS: {
      if ((header.autoclear & AUTOCLEAR_BITMAPS) === 0) return;
      if (data.length !== 24) throw bad('bitmaps_ext: Invalid extension length');
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      const count = view.getUint32(0);
      const directoryBytes = readU64(view, 8);
      const directoryOffset = readU64(view, 16);
      const isSound =
        count > 0 &&
        count <= MAX_BITMAPS &&
        directoryBytes <= MAX_BITMAP_DIRECTORY_BYTES &&
        directoryOffset > 0 &&
        directoryOffset % 2 ** header.clusterBits === 0;
      if (!isSound) throw bad('bitmaps_ext: the bitmap directory is invalid');
      header.bitmaps = { count, directoryBytes, directoryOffset };
      break;
    }
  }
}

function readBackingName(header: Qcow2Header, head: Uint8Array, view: DataView): void {
  const offset = readU64(view, AT_BACKING);
  const length = view.getUint32(AT_BACKING_BYTES);
  if (offset === 0) return;
  if (length > MAX_BACKING_NAME || offset + length > head.length) throw bad('Backing file name too long');
  header.backingName = decodeText(head.subarray(offset, offset + length));
}

const FEATURES: ReadonlyArray<readonly [number, number, string]> = [
  [0, 0, 'dirty bit'],
  [0, 1, 'corrupt bit'],
  [0, 2, 'external data file'],
  [0, 3, 'compression type'],
  [0, 4, 'extended L2 entries'],
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
  [2, 1, 'raw external data'],
];

function featureNames(): Uint8Array {
  const table = new Uint8Array(FEATURES.length * 48);
  FEATURES.forEach(([type, bit, name], i) => {
    table[i * 48] = type;
    table[i * 48 + 1] = bit;
    table.set(encodeText(name), i * 48 + 2);
  });
  return table;
}

/** The first cluster as the header says; `BlockError` if the names do not fit. */
export function encodeHeader(header: Qcow2Header): Uint8Array {
  const isV3 = header.version === 3;
  const bytes = new Uint8Array(2 ** header.clusterBits);
  const view = new DataView(bytes.buffer);
  const headerBytes = isV3 ? Math.max(header.headerBytes, 112) : V2_HEADER_BYTES;
  view.setUint32(0, MAGIC);
  view.setUint32(4, header.version);
  view.setUint32(20, header.clusterBits);
  writeU64(view, AT_SIZE, header.sizeBytes);
  view.setUint32(AT_L1_SIZE, header.l1Size);
  writeU64(view, AT_L1, header.l1Offset);
  writeU64(view, AT_REFCOUNT_TABLE, header.refcountTableOffset);
  view.setUint32(AT_REFCOUNT_CLUSTERS, header.refcountTableClusters);
  view.setUint32(AT_SNAPSHOT_COUNT, header.snapshotCount);
  writeU64(view, AT_SNAPSHOTS, header.snapshotsOffset);
  if (isV3) {
    view.setUint32(AT_INCOMPATIBLE + 4, header.incompatible);
    view.setUint32(AT_COMPATIBLE + 4, header.compatible);
    view.setUint32(AT_AUTOCLEAR + 4, header.autoclear);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, headerBytes);
    bytes[104] = header.compression === 'zstd' ? 1 : 0;
  }
  let at = headerBytes;
  const put = (type: number, data: Uint8Array): void => {
    const next = at + 8 + Math.ceil(data.length / 8) * 8;
    if (next + 8 > bytes.length) throw bad('the header does not fit into a cluster');
    view.setUint32(at, type);
    view.setUint32(at + 4, data.length);
    bytes.set(data, at + 8);
    at = next;
  };
  if (header.backingFormat !== undefined) put(EXTENSION_BACKING_FORMAT, encodeText(header.backingFormat));
  if (header.dataFileName !== undefined) put(EXTENSION_DATA_FILE, encodeText(header.dataFileName));
  if (isV3 && bytes.length >= 4096) put(EXTENSION_FEATURE_NAMES, featureNames());
  const written = new Set([
    EXTENSION_BACKING_FORMAT,
    EXTENSION_DATA_FILE,
    EXTENSION_FEATURE_NAMES,
    EXTENSION_END,
  ]);
  for (const { type, data } of header.extensions) if (!written.has(type)) put(type, data);
  at += 8; // end of extensions
  if (header.backingName !== undefined && header.backingName !== '') {
    const name = encodeText(header.backingName);
    if (name.length > MAX_BACKING_NAME || at + name.length > bytes.length)
      throw bad('Backing file name too long');
    writeU64(view, AT_BACKING, at);
    view.setUint32(AT_BACKING_BYTES, name.length);
    bytes.set(name, at);
  }
  return bytes;
}
