/** Opening and making qcow2 images. */
import { UserError } from '../../util/errors.ts';
import { BlockError, type BlockNode, EINVAL, type Preallocation } from '../block-node.ts';
import type { CreateContext, DriverDefinition, OpenContext } from '../driver.ts';
import { Bitmaps } from './bitmaps.ts';
import { checkImage } from './check.ts';
import {
  AUTOCLEAR_BITMAPS,
  AUTOCLEAR_RAW_DATA,
  COMPATIBLE_LAZY_REFCOUNTS,
  type Extension,
  encodeHeader,
  INCOMPATIBLE_COMPRESSION,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
  INCOMPATIBLE_EXTENDED_L2,
  l1EntriesFor,
  MAGIC,
  MAX_L1_BYTES,
  parseHeader,
  type Qcow2Header,
} from './format.ts';
import { DEFAULT_CACHES, Image } from './image.ts';
import { Qcow2Node } from './qcow2-node.ts';
import { Snapshots } from './snapshots.ts';

async function open(context: OpenContext): Promise<BlockNode> {
  const { options, common } = context;
  const caches = readCaches(context);
  const file = await context.openChild('file');
  const opened: BlockNode[] = [file];
  try {
    const head = new Uint8Array(Math.min(2 ** 21, Math.max(4096, file.sizeBytes)));
    await file.read(0, head.subarray(0, 4096));
    const clusterBytes = 2 ** Math.min(21, new DataView(head.buffer).getUint32(20));
    await file.read(0, head.subarray(0, Math.max(4096, Math.min(clusterBytes, head.length))));
    const header = parseHeader(head.subarray(0, Math.max(4096, clusterBytes)), file.sizeBytes);
    const dataFile = await openDataFile(context, file, header);
    if (dataFile !== file) opened.push(dataFile);
    const isCorrupt = (header.incompatible & INCOMPATIBLE_CORRUPT) !== 0;
    if (isCorrupt && !common.isReadOnly && !common.isForCheck)
      throw new BlockError(EINVAL, 'Image is corrupt; cannot be opened read/write');
    const image = new Image(file, dataFile, header, caches);
    await image.load();
    const snapshots = new Snapshots(image);
    await snapshots.load();
    const bitmaps = await Bitmaps.load(image);
    if (!common.isReadOnly && !common.isForCheck) await prepareToWrite(image, snapshots, bitmaps);
    const backing = await context.openBacking(file.filename, header.backingName, header.backingFormat);
    options.text('overlap-check');
    return new Qcow2Node(image, backing, context.host.codec, bitmaps, snapshots);
  } catch (error) {
    for (const node of opened) await node.close();
    throw error;
  }
}

function readCaches({ options }: OpenContext): { l2Bytes: number; refcountBytes: number } {
  const total = options.size('cache-size');
  const l2 = options.size('l2-cache-size');
  const refcount = options.size('refcount-cache-size');
  options.size('l2-cache-entry-size');
  options.text('cache-clean-interval');
  options.flag('lazy-refcounts', false);
  options.flag('pass-discard-request', true);
  options.flag('pass-discard-snapshot', true);
  options.flag('pass-discard-other', true);
  return {
    l2Bytes: l2 ?? (total === undefined ? DEFAULT_CACHES.l2Bytes : Math.max(2 ** 18, total - 2 ** 18)),
    refcountBytes: refcount ?? DEFAULT_CACHES.refcountBytes,
  };
}

async function openDataFile(context: OpenContext, file: BlockNode, header: Qcow2Header): Promise<BlockNode> {
  if ((header.incompatible & INCOMPATIBLE_DATA_FILE) === 0) return file;
  if (context.options.has('data-file')) return context.openChild('data-file');
  if (header.dataFileName === undefined)
    throw new BlockError(EINVAL, "'data-file' is required for this image");
  return context.openReferenced(file.filename, header.dataFileName);
}

/** An image that was not closed is repaired first; features that writes would make wrong are dropped. */
async function prepareToWrite(image: Image, snapshots: Snapshots, bitmaps: Bitmaps): Promise<void> {
  const { header } = image;
  if ((header.incompatible & INCOMPATIBLE_DIRTY) !== 0) {
    const result = await checkImage(image, snapshots, bitmaps, 'all');
    if (result.corruptions > 0) throw new BlockError(EINVAL, 'Could not repair dirty image');
  }
  const known = header.autoclear & (AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW_DATA);
  if (known !== header.autoclear) {
    header.autoclear = known;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(4, known);
    await image.file.write(88, bytes);
    await image.file.flush();
  }
}

/** Largest reference count that `create` needs is 1. */
async function create(context: CreateContext): Promise<void> {
  const { options, filename, host } = context;
  const compat = options.choice('compat', ['0.10', 'v2', '1.1', 'v3'] as const, '1.1');
  const version = compat === '1.1' || compat === 'v3' ? 3 : 2;
  const extended = options.flag('extended_l2', false);
  const clusterBytes = options.size('cluster_size') ?? 65536;
  const clusterBits = Math.log2(clusterBytes);
  if (!Number.isInteger(clusterBits) || clusterBits < 9 || clusterBits > 21)
    throw options.error('Cluster size must be a power of two between 512 and 2048k');
  if (extended && clusterBits < 14)
    throw options.error('Extended L2 entries are only supported with cluster sizes of at least 16384 bytes');
  const refcountBits = options.size('refcount_bits') ?? 16;
  const refcountOrder = Math.log2(refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountOrder > 6)
    throw options.error('Refcount width must be a power of two and may not exceed 64 bits');
  const compression = options.choice('compression_type', ['zlib', 'zstd'] as const, 'zlib');
  const lazy = options.flag('lazy_refcounts', false);
  const backingName = options.text('backing_file');
  const backingFormat = options.text('backing_fmt');
  const dataFileName = options.text('data_file');
  const rawData = options.flag('data_file_raw', false);
  const preallocation = options.choice<Preallocation>(
    'preallocation',
    ['off', 'metadata', 'falloc', 'full'],
    'off',
  );
  options.finish();
  const needsV3 = { lazy_refcounts: lazy, extended_l2: extended, data_file: dataFileName !== undefined };
  for (const [name, isOn] of Object.entries(needsV3))
    if (isOn && version === 2)
      throw options.error(`${name} is only supported with compatibility level 1.1 and above`);
  if (version === 2 && refcountOrder !== 4)
    throw options.error('Different refcount widths than 16 bits require compatibility level 1.1 or above');
  if (version === 2 && compression !== 'zlib')
    throw options.error('Non-zlib compression type is only supported with compatibility level 1.1 and above');
  if (rawData && dataFileName === undefined) throw options.error('data-file-raw requires data-file');
  if (rawData && backingName !== undefined)
    throw options.error('Backing file and data-file-raw cannot be used at the same time');
  if (preallocation !== 'off' && backingName !== undefined && !extended)
    throw options.error(
      'Backing file and preallocation can only be used at the same time if extended_l2 is enabled',
    );
  const sizeBytes = Math.ceil(context.sizeBytes / 512) * 512;
  const header: Qcow2Header = {
    version,
    clusterBits,
    sizeBytes: 0,
    l1Size: 0,
    l1Offset: 0,
    refcountTableOffset: clusterBytes,
    refcountTableClusters: 1,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible:
      (compression === 'zstd' ? INCOMPATIBLE_COMPRESSION : 0) |
      (extended ? INCOMPATIBLE_EXTENDED_L2 : 0) |
      (dataFileName !== undefined ? INCOMPATIBLE_DATA_FILE : 0),
    compatible: lazy ? COMPATIBLE_LAZY_REFCOUNTS : 0,
    autoclear: rawData ? AUTOCLEAR_RAW_DATA : 0,
    refcountOrder,
    headerBytes: version === 3 ? 112 : 72,
    compression,
    backingName,
    backingFormat,
    dataFileName,
    bitmaps: undefined,
    extensions: [] satisfies Extension[],
  };
  if (l1EntriesFor(sizeBytes, header) * 8 > MAX_L1_BYTES)
    throw new UserError(
      'ImageTooLarge',
      `${filename}: Image size too large for file format (try using a larger cluster size)`,
    );
  const file = await context.createFile(filename);
  const dataFile =
    dataFileName === undefined ? file : await context.createFile(host.resolvePath(filename, dataFileName));
  // The image in its smallest form; its own code then makes it as large as it shall be.
  await file.write(0, encodeHeader(header));
  const start = new Uint8Array(2 * clusterBytes);
  const view = new DataView(start.buffer);
  view.setUint32(4, 2 * clusterBytes);
  for (let cluster = 0; cluster < 3; cluster++) setFirstCounts(view, clusterBytes, refcountOrder, cluster);
  await file.write(clusterBytes, start);
  const image = new Image(file, dataFile, header, DEFAULT_CACHES);
  await image.load();
  const node = new Qcow2Node(image, undefined, host.codec, await Bitmaps.load(image), new Snapshots(image));
  try {
    await node.resize(sizeBytes);
    if (preallocation !== 'off') await node.preallocate(0, sizeBytes, preallocation);
    else if (rawData) await dataFile.resize(sizeBytes);
  } finally {
    await node.close();
  }
}

/** Header, refcount table and the first block count themselves. */
function setFirstCounts(view: DataView, clusterBytes: number, order: number, cluster: number): void {
  const width = 2 ** order;
  const at = clusterBytes + Math.floor((cluster * width) / 8);
  if (width < 8) view.setUint8(at, view.getUint8(at) | (1 << ((cluster * width) % 8)));
  else view.setUint8(at + width / 8 - 1, 1);
}

export const QCOW2: DriverDefinition = {
  name: 'qcow2',
  kind: 'format',
  hasBacking: true,
  canCompress: true,
  probe: (head) => {
    const view = new DataView(head.buffer, head.byteOffset);
    return view.getUint32(0) === MAGIC && view.getUint32(4) >= 2 ? 100 : 0;
  },
  open,
  create,
  createOptions: [
    { name: 'backing_file', help: 'File name of a base image' },
    { name: 'backing_fmt', help: 'Image format of the base image' },
    { name: 'cluster_size', help: 'qcow2 cluster size' },
    { name: 'compat', help: 'Compatibility level (v2 [0.10] or v3 [1.1])' },
    { name: 'compression_type', help: 'Compression method used for image cluster compression' },
    { name: 'data_file', help: 'File name of an external data file' },
    { name: 'data_file_raw', help: 'The external data file must stay valid as a raw image' },
    { name: 'extended_l2', help: 'Extended L2 tables' },
    { name: 'lazy_refcounts', help: 'Postpone refcount updates' },
    { name: 'preallocation', help: 'Preallocation mode (allowed values: off, metadata, falloc, full)' },
    { name: 'refcount_bits', help: 'Width of a reference count entry in bits' },
    { name: 'size', help: 'Virtual disk size' },
  ],
};
