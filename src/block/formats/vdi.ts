/** Format `vdi`: VirtualBox's disk image, dynamic and static. Little-endian. */
import { BlockError, type BlockNode, EINVAL } from '../block-node.ts';
import type { CreateContext, DriverDefinition } from '../driver.ts';
import { openOverFile } from './open-file.ts';
import { HOLE, type Place, SparseNode, ZERO } from './sparse-node.ts';

const SIGNATURE = 0xbeda107f;
const AT_SIGNATURE = 0x40;
const AT_VERSION = 0x44;
const AT_HEADER_SIZE = 0x48;
const AT_TYPE = 0x4c;
const AT_MAP = 0x154;
const AT_DATA = 0x158;
const AT_SECTOR_SIZE = 0x168;
const AT_DISK_SIZE = 0x170;
const AT_BLOCK_SIZE = 0x178;
const AT_BLOCKS = 0x180;
const AT_ALLOCATED = 0x184;
const AT_UUID = 0x188;
const AT_UUID_SNAPSHOT = 0x198;
const AT_UUID_PARENT = 0x1b8;
const HEADER_BYTES = 512;
const VERSION_1_1 = 0x10001;
const TYPE_DYNAMIC = 1;
const TYPE_STATIC = 2;
const UNALLOCATED = 0xffffffff;
const DISCARDED = 0xfffffffe;
const BLOCK_BYTES = 2 ** 20;
const MAX_BLOCKS = 2 ** 29 / 4;

class VdiNode extends SparseNode {
  readonly driver = 'vdi';
  readonly sizeBytes: number;
  readonly #map: DataView;
  readonly #mapOffset: number;
  readonly #dataOffset: number;
  readonly #blockBytes: number;
  #allocated: number;

  constructor(file: BlockNode, header: DataView, map: DataView) {
    const blockBytes = header.getUint32(AT_BLOCK_SIZE, true);
    super(file, blockBytes);
    this.#blockBytes = blockBytes;
    this.sizeBytes = Math.ceil(Number(header.getBigUint64(AT_DISK_SIZE, true)) / 512) * 512;
    this.#map = map;
    this.#mapOffset = header.getUint32(AT_MAP, true);
    this.#dataOffset = header.getUint32(AT_DATA, true);
    this.#allocated = header.getUint32(AT_ALLOCATED, true);
  }

  protected override place(block: number): Place {
    const entry = this.#map.getUint32(block * 4, true);
    if (entry === UNALLOCATED) return HOLE;
    if (entry === DISCARDED) return ZERO;
    return { kind: 'data', hostOffset: this.#dataOffset + entry * this.#blockBytes };
  }

  protected override async makeRoom(): Promise<number> {
    const offset = this.#dataOffset + this.#allocated * this.#blockBytes;
    if (this.file.sizeBytes < offset + this.#blockBytes) await this.file.resize(offset + this.#blockBytes);
    this.#allocated++;
    const count = new Uint8Array(4);
    new DataView(count.buffer).setUint32(0, this.#allocated, true);
    await this.file.write(AT_ALLOCATED, count);
    return offset;
  }

  protected override async commit(block: number, hostOffset: number): Promise<void> {
    this.#map.setUint32(block * 4, (hostOffset - this.#dataOffset) / this.#blockBytes, true);
    const entry = new Uint8Array(this.#map.buffer, this.#map.byteOffset + block * 4, 4);
    await this.file.write(this.#mapOffset + block * 4, entry);
  }
}

async function openNode(file: BlockNode): Promise<BlockNode> {
  const bytes = new Uint8Array(HEADER_BYTES);
  await file.read(0, bytes);
  const header = new DataView(bytes.buffer);
  const bad = (reason: string): BlockError => new BlockError(EINVAL, reason);
  if (header.getUint32(AT_SIGNATURE, true) !== SIGNATURE) throw bad('Image not in VDI format');
  if (header.getUint32(AT_VERSION, true) !== VERSION_1_1) throw bad('unsupported VDI image version');
  const type = header.getUint32(AT_TYPE, true);
  if (type !== TYPE_DYNAMIC && type !== TYPE_STATIC) throw bad(`unsupported VDI image type ${type}`);
  const isNull = (at: number): boolean => bytes.subarray(at, at + 16).every((byte) => byte === 0);
  if (!isNull(AT_UUID_PARENT)) throw bad('unsupported VDI image (non-NULL parent UUID)');
  const blockBytes = header.getUint32(AT_BLOCK_SIZE, true);
  if (blockBytes !== BLOCK_BYTES)
    throw bad(`unsupported VDI image (block size ${blockBytes} is not 1048576)`);
  if (header.getUint32(AT_SECTOR_SIZE, true) !== 512)
    throw bad('unsupported VDI image (sector size is not 512)');
  const blocks = header.getUint32(AT_BLOCKS, true);
  const size = Number(header.getBigUint64(AT_DISK_SIZE, true));
  if (blocks > MAX_BLOCKS || size > blocks * blockBytes)
    throw bad('unsupported VDI image (disk size is wrong)');
  if (header.getUint32(AT_MAP, true) % 512 !== 0 || header.getUint32(AT_DATA, true) % 512 !== 0)
    throw bad('unsupported VDI image (unaligned offsets)');
  if (header.getUint32(AT_MAP, true) + blocks * 4 > file.sizeBytes + 512)
    throw bad('the VDI block map is truncated');
  if (header.getUint32(AT_ALLOCATED, true) > blocks) throw bad('the VDI header counts too many blocks');
  const map = new Uint8Array(blocks * 4);
  await file.read(header.getUint32(AT_MAP, true), map);
  const view = new DataView(map.buffer);
  const last = header.getUint32(AT_ALLOCATED, true);
  for (let block = 0; block < blocks; block++) {
    const entry = view.getUint32(block * 4, true);
    if (entry < DISCARDED && entry >= last)
      throw bad(`block ${block} of the VDI image lies behind the allocated ones`);
  }
  return new VdiNode(file, header, view);
}

async function create({ options, createFile, filename, sizeBytes, host }: CreateContext): Promise<void> {
  const isStatic = options.choice('preallocation', ['off', 'metadata'] as const, 'off') === 'metadata';
  const isStaticFlag = options.flag('static', isStatic);
  options.finish();
  const blocks = Math.ceil(sizeBytes / BLOCK_BYTES);
  if (blocks > MAX_BLOCKS) throw options.error('Unsupported VDI image size');
  const mapBytes = Math.ceil((blocks * 4) / 512) * 512;
  const bytes = new Uint8Array(HEADER_BYTES + mapBytes);
  const view = new DataView(bytes.buffer);
  for (const [i, char] of [...'<<< Lyrebird VM Virtual Disk Image >>>\n'].entries())
    bytes[i] = char.charCodeAt(0);
  view.setUint32(AT_SIGNATURE, SIGNATURE, true);
  view.setUint32(AT_VERSION, VERSION_1_1, true);
  view.setUint32(AT_HEADER_SIZE, 0x180, true);
  view.setUint32(AT_TYPE, isStaticFlag ? TYPE_STATIC : TYPE_DYNAMIC, true);
  view.setUint32(AT_MAP, HEADER_BYTES, true);
  view.setUint32(AT_DATA, HEADER_BYTES + mapBytes, true);
  view.setUint32(AT_SECTOR_SIZE, 512, true);
  view.setBigUint64(AT_DISK_SIZE, BigInt(sizeBytes), true);
  view.setUint32(AT_BLOCK_SIZE, BLOCK_BYTES, true);
  view.setUint32(AT_BLOCKS, blocks, true);
  view.setUint32(AT_ALLOCATED, isStaticFlag ? blocks : 0, true);
  host.randomBytes(bytes.subarray(AT_UUID, AT_UUID + 16));
  host.randomBytes(bytes.subarray(AT_UUID_SNAPSHOT, AT_UUID_SNAPSHOT + 16));
  for (let block = 0; block < blocks; block++)
    view.setUint32(HEADER_BYTES + block * 4, isStaticFlag ? block : UNALLOCATED, true);
  const file = await createFile(filename);
  await file.write(0, bytes);
  if (isStaticFlag) await file.resize(bytes.length + blocks * BLOCK_BYTES);
  await file.close();
}

export const VDI: DriverDefinition = {
  name: 'vdi',
  kind: 'format',
  probe: (head) =>
    new DataView(head.buffer, head.byteOffset).getUint32(AT_SIGNATURE, true) === SIGNATURE ? 100 : 0,
  async open(context) {
    return openOverFile(context, openNode);
  },
  create,
  createOptions: [
    { name: 'preallocation', help: 'Preallocation mode (allowed values: off, metadata)' },
    { name: 'static', help: 'VDI static (pre-allocated) image' },
  ],
};
