/** Format `vpc`: VHD images, fixed and dynamic ("Virtual Hard Disk Image Format Specification", Microsoft 2006). Big-endian. */
import { BlockError, type BlockNode, EINVAL } from '../block-node.ts';
import type { CreateContext, DriverDefinition } from '../driver.ts';
import { RawNode } from '../raw-node.ts';
import { openOverFile } from './open-file.ts';
import { HOLE, type Place, SparseNode } from './sparse-node.ts';

const FOOTER_BYTES = 512;
const HEADER_BYTES = 1024;
const AT_DATA_OFFSET = 16;
const AT_CREATOR = 28;
const AT_SIZE = 48;
const AT_CYLINDERS = 56;
const AT_TYPE = 60;
const AT_CHECKSUM = 64;
const AT_TABLE = 16;
const AT_TABLE_ENTRIES = 28;
const AT_BLOCK_SIZE = 32;
const AT_HEADER_CHECKSUM = 36;
const TYPE_FIXED = 2;
const TYPE_DYNAMIC = 3;
const UNUSED = 0xffffffff;
const BLOCK_BYTES = 2 ** 21;
const MAX_ENTRIES = 2 ** 25;
const MAX_SIZE = 2040 * 2 ** 30;
/** 2000-01-01 in seconds since 1970. */
const EPOCH = 946_684_800;

/** Programs whose images are as large as their size field says, not as their geometry. */
const EXACT_CREATORS = new Set(['win ', 'qem2', 'd2v ', 'tap\0', 'vs  ', 'wa\0\0', 'lyre']);

function text(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
}

function diskSize(footer: DataView): number {
  const size = Number(footer.getBigUint64(AT_SIZE));
  const cylinders = footer.getUint16(AT_CYLINDERS);
  const heads = footer.getUint8(AT_CYLINDERS + 2);
  const sectors = footer.getUint8(AT_CYLINDERS + 3);
  const isLargest = cylinders === 65535 && heads === 16 && sectors === 255;
  if (isLargest || EXACT_CREATORS.has(text(footer, AT_CREATOR, 4))) return size;
  return cylinders * heads * sectors * 512;
}

function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < at || i >= at + 4) sum += bytes[i]!;
  return ~sum >>> 0;
}

class VpcNode extends SparseNode {
  readonly driver = 'vpc';
  readonly sizeBytes: number;
  readonly #footer: Uint8Array;
  readonly #table: DataView;
  readonly #tableOffset: number;
  readonly #bitmapBytes: number;
  readonly #blockBytes: number;
  /** Where the footer is: what is allocated next goes there. */
  #end: number;

  constructor(
    file: BlockNode,
    footer: Uint8Array,
    sizeBytes: number,
    table: DataView,
    tableOffset: number,
    blockBytes: number,
  ) {
    super(file, blockBytes);
    this.sizeBytes = sizeBytes;
    this.#footer = footer;
    this.#table = table;
    this.#tableOffset = tableOffset;
    this.#blockBytes = blockBytes;
    this.#bitmapBytes = Math.ceil(blockBytes / 512 / 8 / 512) * 512;
    this.#end = Math.ceil((tableOffset + table.byteLength) / 512) * 512;
    for (let i = 0; i < table.byteLength / 4; i++) {
      const sector = table.getUint32(i * 4);
      if (sector !== UNUSED) this.#end = Math.max(this.#end, sector * 512 + this.#bitmapBytes + blockBytes);
    }
  }

  protected override place(block: number): Place {
    const sector = this.#table.getUint32(block * 4);
    return sector === UNUSED ? HOLE : { kind: 'data', hostOffset: sector * 512 + this.#bitmapBytes };
  }

  /** The footer moves behind the new block before anything else is written there. */
  protected override async makeRoom(): Promise<number> {
    const start = this.#end;
    const end = start + this.#bitmapBytes + this.#blockBytes;
    await this.file.write(end, this.#footer);
    await this.file.write(start, new Uint8Array(this.#bitmapBytes).fill(255));
    await this.file.write(start + this.#bitmapBytes, new Uint8Array(FOOTER_BYTES));
    this.#end = end;
    return start + this.#bitmapBytes;
  }

  protected override async commit(block: number, hostOffset: number): Promise<void> {
    this.#table.setUint32(block * 4, (hostOffset - this.#bitmapBytes) / 512);
    const entry = new Uint8Array(this.#table.buffer, this.#table.byteOffset + block * 4, 4);
    await this.file.write(this.#tableOffset + block * 4, entry);
  }
}

async function openNode(file: BlockNode): Promise<BlockNode> {
  const bad = (reason: string): BlockError => new BlockError(EINVAL, reason);
  const footer = new Uint8Array(FOOTER_BYTES);
  await file.read(0, footer);
  let view = new DataView(footer.buffer);
  if (text(view, 0, 8) !== 'conectix') {
    if (file.sizeBytes < FOOTER_BYTES) throw bad('File too small for a VHD header');
    await file.read(file.sizeBytes - FOOTER_BYTES, footer);
    view = new DataView(footer.buffer);
    if (text(view, 0, 8) !== 'conectix') throw bad('invalid VPC image');
  }
  const type = view.getUint32(AT_TYPE);
  const sizeBytes = Math.floor(diskSize(view) / 512) * 512;
  if (sizeBytes > MAX_SIZE * 2) throw bad('the VHD image is too large');
  if (type === TYPE_FIXED) {
    if (sizeBytes > file.sizeBytes) throw bad('the VHD image is truncated');
    return new FixedVpcNode(file, sizeBytes);
  }
  if (type !== TYPE_DYNAMIC) throw bad(`unsupported VHD image type ${type}`);
  const dataOffset = Number(view.getBigUint64(AT_DATA_OFFSET));
  if (dataOffset > file.sizeBytes) throw bad('the VHD header is outside the image');
  const bytes = new Uint8Array(HEADER_BYTES);
  await file.read(dataOffset, bytes);
  const header = new DataView(bytes.buffer);
  if (text(header, 0, 8) !== 'cxsparse') throw bad('the VHD header is damaged');
  const blockBytes = header.getUint32(AT_BLOCK_SIZE);
  if (blockBytes < 512 || blockBytes > 2 ** 28 || !Number.isInteger(Math.log2(blockBytes)))
    throw bad(`Invalid block size ${blockBytes}`);
  const entries = header.getUint32(AT_TABLE_ENTRIES);
  const tableOffset = Number(header.getBigUint64(AT_TABLE));
  if (entries > MAX_ENTRIES || entries * blockBytes < sizeBytes) throw bad('Page Table too small');
  if (tableOffset % 512 !== 0 || tableOffset + entries * 4 > file.sizeBytes)
    throw bad('the VHD table is outside the image');
  const table = new Uint8Array(entries * 4);
  await file.read(tableOffset, table);
  return new VpcNode(file, footer, sizeBytes, new DataView(table.buffer), tableOffset, blockBytes);
}

/** The disk, then the footer. */
class FixedVpcNode extends RawNode {
  override readonly driver: string = 'vpc';

  constructor(file: BlockNode, sizeBytes: number) {
    super(file, 0, sizeBytes);
  }
}

/** Appendix "CHS Calculation" of the specification. */
function geometry(sectors: number): { cylinders: number; heads: number; perTrack: number } {
  const total = Math.min(sectors, 65535 * 16 * 255);
  let perTrack = 17;
  let tracks = Math.floor(total / 17);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (total > 65535 * 16 * 63) [perTrack, heads, tracks] = [255, 16, Math.floor(total / 255)];
  else {
    if (tracks >= heads * 1024 || heads > 16) [perTrack, heads, tracks] = [31, 16, Math.floor(total / 31)];
    if (tracks >= heads * 1024) [perTrack, heads, tracks] = [63, 16, Math.floor(total / 63)];
  }
  return { cylinders: Math.floor(tracks / heads), heads, perTrack };
}

function put(bytes: Uint8Array, at: number, ascii: string): void {
  for (let i = 0; i < ascii.length; i++) bytes[at + i] = ascii.charCodeAt(i);
}

async function create({ options, createFile, filename, sizeBytes, host }: CreateContext): Promise<void> {
  const isFixed = options.choice('subformat', ['dynamic', 'fixed'] as const, 'dynamic') === 'fixed';
  options.flag('force_size', true);
  options.finish();
  if (sizeBytes > MAX_SIZE) throw options.error('The requested size is too large for this format');
  const size = Math.ceil(sizeBytes / 512) * 512;
  const footer = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(footer.buffer);
  const { cylinders, heads, perTrack } = geometry(size / 512);
  put(footer, 0, 'conectix');
  view.setUint32(8, 2);
  view.setUint32(12, 0x10000);
  view.setBigUint64(AT_DATA_OFFSET, isFixed ? (1n << 64n) - 1n : BigInt(FOOTER_BYTES));
  view.setUint32(24, Math.max(0, Math.floor(Date.now() / 1000) - EPOCH));
  put(footer, AT_CREATOR, 'qem2'); // the size field counts
  view.setUint32(32, 0x50003);
  put(footer, 36, 'Wi2k');
  view.setBigUint64(40, BigInt(size));
  view.setBigUint64(AT_SIZE, BigInt(size));
  view.setUint16(AT_CYLINDERS, cylinders);
  view.setUint8(AT_CYLINDERS + 2, heads);
  view.setUint8(AT_CYLINDERS + 3, perTrack);
  view.setUint32(AT_TYPE, isFixed ? TYPE_FIXED : TYPE_DYNAMIC);
  host.randomBytes(footer.subarray(68, 84));
  view.setUint32(AT_CHECKSUM, checksum(footer, AT_CHECKSUM));
  const file = await createFile(filename);
  if (isFixed) {
    await file.resize(size);
    await file.write(size, footer);
  } else await writeDynamic(file, footer, size);
  await file.close();
}

async function writeDynamic(file: BlockNode, footer: Uint8Array, size: number): Promise<void> {
  const entries = Math.ceil(size / BLOCK_BYTES);
  const tableBytes = Math.ceil((entries * 4) / 512) * 512;
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  put(header, 0, 'cxsparse');
  view.setBigUint64(8, (1n << 64n) - 1n);
  view.setBigUint64(AT_TABLE, BigInt(FOOTER_BYTES + HEADER_BYTES));
  view.setUint32(24, 0x10000);
  view.setUint32(AT_TABLE_ENTRIES, entries);
  view.setUint32(AT_BLOCK_SIZE, BLOCK_BYTES);
  view.setUint32(AT_HEADER_CHECKSUM, checksum(header, AT_HEADER_CHECKSUM));
  await file.write(0, footer);
  await file.write(FOOTER_BYTES, header);
  await file.write(FOOTER_BYTES + HEADER_BYTES, new Uint8Array(tableBytes).fill(255));
  await file.write(FOOTER_BYTES + HEADER_BYTES + tableBytes, footer);
}

export const VPC: DriverDefinition = {
  name: 'vpc',
  kind: 'format',
  probe: (head) => (text(new DataView(head.buffer, head.byteOffset), 0, 8) === 'conectix' ? 100 : 0),
  async open(context) {
    context.options.text('force_size_calc');
    return openOverFile(context, openNode);
  },
  create,
  createOptions: [
    { name: 'subformat', help: 'Type of virtual hard disk format: dynamic (default) or fixed' },
    { name: 'force_size', help: 'Always: the disk has exactly the size given' },
  ],
};
