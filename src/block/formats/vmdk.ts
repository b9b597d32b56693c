/**
 * Format `vmdk`: VMware's disk images ("Virtual Disk Format 5.0"): monolithicSparse, monolithicFlat, twoGbMaxExtentSparse,
 * twoGbMaxExtentFlat, streamOptimized. A descriptor (text) names extents; sparse extents have grain directories and tables.
 */
import { BlockError, type BlockNode, type BlockStatus, EINVAL, EIO, ENOTSUP, EROFS } from '../block-node.ts';
import type { CreateContext, DriverDefinition, FormatNode, OpenContext } from '../driver.ts';
import type { Codec } from '../host.ts';
import { RawNode } from '../raw-node.ts';
import { openOverFile } from './open-file.ts';
import { HOLE, type Place, SparseNode, ZERO } from './sparse-node.ts';

const MAGIC = 0x564d444b; // "KDMV"
const SECTOR = 512;
const FLAG_NEWLINES = 1;
const FLAG_REDUNDANT = 2;
const FLAG_ZERO_GRAINS = 4;
const FLAG_COMPRESSED = 0x10000;
const FLAG_MARKERS = 0x20000;
const GD_AT_END = 0xffffffffffffffffn;
const ENTRIES = 512;
const GRAIN_BYTES = 65536;
const MAX_GRAIN_BYTES = 2 ** 20;
const MAX_DIRECTORY = 2 ** 22;
const MAX_DESCRIPTOR = 2 ** 20;
const MAX_EXTENTS = 4096;
const SPLIT_BYTES = 2 ** 31 - 65536;
const MAX_TABLES = 1024;
const MAX_CACHED_GRAINS = 16;
const NO_PARENT = 'ffffffff';

const bad = (reason: string): BlockError => new BlockError(EINVAL, reason);

function ascii(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    out += String.fromCharCode(byte);
  }
  return out;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0) & 255);
}

interface SparseFacts {
  readonly capacityBytes: number;
  readonly grainBytes: number;
  readonly entries: number;
  readonly flags: number;
  readonly directoryOffset: number;
  readonly redundantOffset: number;
  readonly descriptor: string;
}

async function readSparseHeader(file: BlockNode, at = 0): Promise<SparseFacts> {
  const bytes = new Uint8Array(SECTOR);
  await file.read(at, bytes);
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0, true) !== MAGIC) throw bad('the VMDK header is damaged');
  const number = (offset: number): number => {
    const value = view.getBigUint64(offset, true);
    if (value > BigInt(2 ** 43)) throw bad('a number in the VMDK header is too large');
    return Number(value);
  };
  const version = view.getUint32(4, true);
  if (version < 1 || version > 3) throw new BlockError(ENOTSUP, `Unsupported VMDK version ${version}`);
  const flags = view.getUint32(8, true);
  if (view.getBigUint64(56, true) === GD_AT_END) {
    // streamOptimized: the footer before the end-of-stream marker has the offsets.
    if (at !== 0 || file.sizeBytes < 3 * SECTOR) throw bad('the VMDK footer is damaged');
    return readSparseHeader(file, Math.floor(file.sizeBytes / SECTOR) * SECTOR - 2 * SECTOR);
  }
  const grainBytes = number(20) * SECTOR;
  const entries = view.getUint32(44, true);
  if (grainBytes < 4096 || grainBytes > MAX_GRAIN_BYTES || !Number.isInteger(Math.log2(grainBytes)))
    throw bad('Invalid granularity of a VMDK image');
  if (entries === 0 || entries > 512) throw bad('the number of VMDK grain table entries is invalid');
  const capacityBytes = number(12) * SECTOR;
  if (Math.ceil(capacityBytes / grainBytes / entries) > MAX_DIRECTORY) throw bad('L1 size too big');
  const descriptorBytes = Math.min(number(36) * SECTOR, MAX_DESCRIPTOR);
  const descriptor = new Uint8Array(descriptorBytes);
  if (number(28) > 0) await file.read(number(28) * SECTOR, descriptor);
  return {
    capacityBytes,
    grainBytes,
    entries,
    flags,
    directoryOffset: number(56) * SECTOR,
    redundantOffset: (flags & FLAG_REDUNDANT) !== 0 ? number(48) * SECTOR : 0,
    descriptor: ascii(descriptor),
  };
}

class SparseExtent extends SparseNode {
  readonly driver = 'vmdk';
  readonly sizeBytes: number;
  readonly #facts: SparseFacts;
  readonly #directory: DataView;
  readonly #redundant: DataView | undefined;
  readonly #codec: Codec;
  readonly #tables = new Map<number, DataView>();
  readonly #grains = new Map<number, Uint8Array>();
  #end: number;

  static async open(file: BlockNode, codec: Codec, backing: BlockNode | undefined): Promise<SparseExtent> {
    const facts = await readSparseHeader(file);
    const count = Math.ceil(facts.capacityBytes / facts.grainBytes / facts.entries);
    const read = async (offset: number): Promise<DataView> => {
      if (offset + count * 4 > file.sizeBytes + SECTOR)
        throw bad('the VMDK grain directory is outside the file');
      const bytes = new Uint8Array(count * 4);
      await file.read(offset, bytes);
      return new DataView(bytes.buffer);
    };
    const directory = await read(facts.directoryOffset);
    const redundant = facts.redundantOffset > 0 ? await read(facts.redundantOffset) : undefined;
    return new SparseExtent(file, facts, directory, redundant, codec, backing);
  }

  private constructor(
    file: BlockNode,
    facts: SparseFacts,
    directory: DataView,
    redundant: DataView | undefined,
    codec: Codec,
    backing: BlockNode | undefined,
  ) {
    super(file, facts.grainBytes, backing);
    this.sizeBytes = facts.capacityBytes;
    this.#facts = facts;
    this.#directory = directory;
    this.#redundant = redundant;
    this.#codec = codec;
    this.#end = Math.ceil(file.sizeBytes / facts.grainBytes) * facts.grainBytes;
  }

  override get isReadOnly(): boolean {
    return this.file.isReadOnly || (this.#facts.flags & FLAG_COMPRESSED) !== 0;
  }

  protected override async place(block: number): Promise<Place> {
    const { entries, flags } = this.#facts;
    const sector = this.#directory.getUint32(Math.floor(block / entries) * 4, true);
    if (sector === 0) return HOLE;
    const table = await this.#table(sector);
    const entry = table.getUint32((block % entries) * 4, true);
    if (entry === 0) return HOLE;
    if (entry === 1 && (flags & FLAG_ZERO_GRAINS) !== 0) return ZERO;
    const kind = (flags & FLAG_COMPRESSED) !== 0 ? 'compressed' : 'data';
    if (entry * SECTOR >= this.file.sizeBytes)
      throw new BlockError(EIO, 'a VMDK grain lies outside the file');
    return { kind, hostOffset: entry * SECTOR };
  }

  async #table(sector: number): Promise<DataView> {
    const kept = this.#tables.get(sector);
    if (kept !== undefined) return kept;
    const bytes = new Uint8Array(this.#facts.entries * 4);
    await this.file.read(sector * SECTOR, bytes);
    const view = new DataView(bytes.buffer);
    this.#tables.set(sector, view);
    if (this.#tables.size > MAX_TABLES) this.#tables.delete(this.#tables.keys().next().value!);
    return view;
  }

  protected override async decompress(hostOffset: number): Promise<Uint8Array> {
    const kept = this.#grains.get(hostOffset);
    if (kept !== undefined) return kept;
    const { flags, grainBytes } = this.#facts;
    let length = grainBytes * 2;
    let at = hostOffset;
    if ((flags & FLAG_MARKERS) !== 0) {
      const marker = new Uint8Array(12);
      await this.file.read(hostOffset, marker);
      length = new DataView(marker.buffer).getUint32(8, true);
      at += 12;
    }
    if (length === 0 || length > grainBytes * 2)
      throw new BlockError(EIO, 'a compressed VMDK grain is damaged');
    const stream = new Uint8Array(length);
    await this.file.read(at, stream);
    const inflated = await this.#codec.inflate(stream, grainBytes);
    // The last grain of a disk may be short.
    const grain = new Uint8Array(grainBytes);
    grain.set(inflated);
    this.#grains.set(hostOffset, grain);
    if (this.#grains.size > MAX_CACHED_GRAINS) this.#grains.delete(this.#grains.keys().next().value!);
    return grain;
  }

  protected override async makeRoom(): Promise<number> {
    const offset = this.#end;
    this.#end += this.#facts.grainBytes;
    if (this.file.sizeBytes < this.#end) await this.file.resize(this.#end);
    return offset;
  }

  protected override async commit(block: number, hostOffset: number): Promise<void> {
    const { entries } = this.#facts;
    const index = Math.floor(block / entries);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, hostOffset / SECTOR, true);
    let sector = this.#directory.getUint32(index * 4, true);
    if (sector === 0) {
      sector = await this.#newTable();
      await this.#name(this.#directory, this.#facts.directoryOffset, index, sector);
    }
    const at = (block % entries) * 4;
    (await this.#table(sector)).setUint32(at, hostOffset / SECTOR, true);
    await this.file.write(sector * SECTOR + at, bytes);
    const copy = this.#redundant?.getUint32(index * 4, true) ?? 0;
    if (copy !== 0) await this.file.write(copy * SECTOR + at, bytes);
  }

  async #newTable(): Promise<number> {
    const offset = this.#end;
    this.#end += this.#facts.grainBytes;
    await this.file.resize(Math.max(this.file.sizeBytes, this.#end));
    return offset / SECTOR;
  }

  async #name(directory: DataView, offset: number, index: number, sector: number): Promise<void> {
    directory.setUint32(index * 4, sector, true);
    await this.file.write(offset + index * 4, new Uint8Array(directory.buffer, index * 4, 4));
  }
}

/** Extents one behind the other. */
class VmdkNode implements FormatNode {
  readonly driver = 'vmdk';
  readonly blockSizeBytes = SECTOR;
  readonly file: BlockNode;
  readonly backing: BlockNode | undefined;
  readonly backingName: string | undefined;
  readonly sizeBytes: number;
  readonly #extents: ReadonlyArray<{ readonly node: BlockNode; readonly start: number }>;
  readonly #type: string;

  constructor(
    file: BlockNode,
    extents: readonly BlockNode[],
    type: string,
    backing: BlockNode | undefined,
    backingName: string | undefined,
  ) {
    this.file = file;
    this.backing = backing;
    this.backingName = backingName;
    this.#type = type;
    let start = 0;
    this.#extents = extents.map((node) => {
      const extent = { node, start };
      start += node.sizeBytes;
      return extent;
    });
    this.sizeBytes = start;
  }

  get filename(): string {
    return this.file.filename;
  }

  get isReadOnly(): boolean {
    return this.#extents.some(({ node }) => node.isReadOnly);
  }

  get clusterSizeBytes(): number | undefined {
    const first = this.#extents[0]?.node;
    return first instanceof SparseExtent ? first.clusterSizeBytes : undefined;
  }

  formatInfo(): Readonly<Record<string, unknown>> {
    return { 'create type': this.#type };
  }

  async #each(
    offset: number,
    sizeBytes: number,
    visit: (node: BlockNode, at: number, from: number, count: number) => Promise<void>,
  ): Promise<void> {
    for (const { node, start } of this.#extents) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + sizeBytes, start + node.sizeBytes);
      if (from < to) await visit(node, from - start, from - offset, to - from);
    }
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#each(offset, into.length, (node, at, from, count) =>
      node.read(at, into.subarray(from, from + count)),
    );
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.isReadOnly) return Promise.reject(new BlockError(EROFS, 'the image is read-only'));
    return this.#each(offset, bytes.length, (node, at, from, count) =>
      node.write(at, bytes.subarray(from, from + count)),
    );
  }

  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    return this.#each(offset, sizeBytes, (node, at, _from, count) => node.writeZeroes(at, count, mayUnmap));
  }

  async discard(): Promise<void> {}

  async flush(): Promise<void> {
    for (const { node } of this.#extents) await node.flush();
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const { node, start } = [...this.#extents].reverse().find((extent) => extent.start <= offset)!;
    const status = await node.status(offset - start, Math.min(sizeBytes, start + node.sizeBytes - offset));
    // Offsets in other files than `file` say nothing to whoever asks.
    return this.#extents.length === 1 ? status : { ...status, hostOffset: undefined };
  }

  async resize(): Promise<void> {
    throw new BlockError(ENOTSUP, "Image format driver 'vmdk' does not support resize");
  }

  async close(): Promise<void> {
    for (const { node } of this.#extents) await node.close();
    await this.file.close();
    await this.backing?.close();
  }

  allocatedBytes(): Promise<number | undefined> {
    return this.file.allocatedBytes();
  }
}

function field(descriptor: string, name: string): string | undefined {
  return new RegExp(`^${name}\\s*=\\s*"?([^"\\r\\n]*)"?`, 'm').exec(descriptor)?.[1];
}

interface ExtentLine {
  readonly sectors: number;
  readonly type: string;
  readonly name: string;
  readonly offset: number;
}

function extentLines(descriptor: string): ExtentLine[] {
  const lines: ExtentLine[] = [];
  for (const match of descriptor.matchAll(
    /^(RW|RDONLY|NOACCESS) (\d+) ([A-Z]+)(?: "([^"\n]*)"(?: (\d+))?)?/gm,
  )) {
    if (lines.length === MAX_EXTENTS) throw bad('too many VMDK extents');
    const [, , sectors, type, name, offset] = match;
    if (Number(sectors) > 2 ** 43 || Number(offset ?? 0) > 2 ** 43) throw bad('a VMDK extent is too large');
    lines.push({ sectors: Number(sectors), type: type!, name: name ?? '', offset: Number(offset ?? 0) });
  }
  return lines;
}

async function openNode(context: OpenContext, file: BlockNode): Promise<BlockNode> {
  const head = new Uint8Array(4);
  await file.read(0, head);
  const { codec } = context.host;
  if (new DataView(head.buffer).getUint32(0, true) === MAGIC) {
    const { descriptor } = await readSparseHeader(file);
    const { backing, backingName } = await openParent(context, file, descriptor);
    const extent = await SparseExtent.open(file, codec, backing);
    const type = field(descriptor, 'createType') ?? 'monolithicSparse';
    return new VmdkNode(file, [new Borrowed(extent)], type, backing, backingName);
  }
  if (file.sizeBytes > MAX_DESCRIPTOR) throw bad('the VMDK descriptor is too long');
  const bytes = new Uint8Array(file.sizeBytes);
  await file.read(0, bytes);
  const descriptor = ascii(bytes);
  const lines = extentLines(descriptor);
  if (!descriptor.includes('# Disk DescriptorFile') || lines.length === 0)
    throw bad('Image not in VMDK format');
  const { backing, backingName } = await openParent(context, file, descriptor);
  const extents: BlockNode[] = [];
  try {
    for (const line of lines) extents.push(await openExtent(context, file, line, backing));
  } catch (error) {
    for (const extent of extents) await extent.close();
    throw error;
  }
  return new VmdkNode(file, extents, field(descriptor, 'createType') ?? '', backing, backingName);
}

/** The image's own extent: closing it is up to the image. */
class Borrowed implements BlockNode {
  readonly driver = 'vmdk';
  readonly blockSizeBytes = SECTOR;
  readonly #extent: SparseExtent;

  constructor(extent: SparseExtent) {
    this.#extent = extent;
  }
  get filename(): string {
    return this.#extent.filename;
  }
  get sizeBytes(): number {
    return this.#extent.sizeBytes;
  }
  get isReadOnly(): boolean {
    return this.#extent.isReadOnly;
  }
  get clusterSizeBytes(): number {
    return this.#extent.clusterSizeBytes;
  }
  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#extent.read(offset, into);
  }
  write(offset: number, from: Uint8Array): Promise<void> {
    return this.#extent.write(offset, from);
  }
  writeZeroes(offset: number, sizeBytes: number): Promise<void> {
    return this.#extent.writeZeroes(offset, sizeBytes);
  }
  async discard(): Promise<void> {}
  flush(): Promise<void> {
    return this.#extent.flush();
  }
  status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return this.#extent.status(offset, sizeBytes);
  }
  resize(sizeBytes: number): Promise<void> {
    return this.#extent.resize(sizeBytes);
  }
  async close(): Promise<void> {}
  allocatedBytes(): Promise<number | undefined> {
    return this.#extent.allocatedBytes();
  }
}

async function openParent(
  context: OpenContext,
  file: BlockNode,
  descriptor: string,
): Promise<{ backing: BlockNode | undefined; backingName: string | undefined }> {
  const parent = field(descriptor, 'parentCID');
  const hint = field(descriptor, 'parentFileNameHint');
  const hasParent = parent !== undefined && parent.toLowerCase() !== NO_PARENT;
  const backingName = hasParent ? hint : undefined;
  return { backing: await context.openBacking(file.filename, backingName, 'vmdk'), backingName };
}

async function openExtent(
  context: OpenContext,
  file: BlockNode,
  { sectors, type, name, offset }: ExtentLine,
  backing: BlockNode | undefined,
): Promise<BlockNode> {
  const sizeBytes = sectors * SECTOR;
  if (type === 'ZERO') {
    const { NullNode } = await import('../memory-node.ts');
    return new NullNode(sizeBytes, true);
  }
  // An extent lies beside its descriptor: a name that leads elsewhere is refused.
  if (name === '' || /^[a-z][a-z0-9+.-]*:/i.test(name)) throw bad(`Invalid VMDK extent name "${name}"`);
  if (type === 'FLAT' || type === 'VMFS') {
    const below = await context.openReferenced(file.filename, name);
    if (offset * SECTOR + sizeBytes > Math.ceil(below.sizeBytes / SECTOR) * SECTOR) {
      await below.close();
      throw bad(`the VMDK extent "${name}" is too short`);
    }
    return new RawNode(below, offset * SECTOR, sizeBytes);
  }
  if (type !== 'SPARSE') throw new BlockError(ENOTSUP, `Unsupported extent type '${type}'`);
  const below = await context.openReferenced(file.filename, name);
  try {
    return await SparseExtent.open(below, context.host.codec, backing);
  } catch (error) {
    await below.close();
    throw error;
  }
}

// --- creation

type Subformat =
  | 'monolithicSparse'
  | 'monolithicFlat'
  | 'twoGbMaxExtentSparse'
  | 'twoGbMaxExtentFlat'
  | 'streamOptimized';

function descriptorText(
  type: Subformat,
  id: string,
  lines: readonly string[],
  sizeBytes: number,
  adapter: string,
): string {
  const perTrack = adapter === 'ide' ? 63 : 63;
  const heads = adapter === 'ide' ? 16 : 255;
  return `# Disk DescriptorFile
version=1
CID=${id}
parentCID=${NO_PARENT}
createType="${type}"

# Extent description
${lines.join('\n')}

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "${Math.floor(sizeBytes / SECTOR / heads / perTrack)}"
ddb.geometry.heads = "${heads}"
ddb.geometry.sectors = "${perTrack}"
ddb.adapterType = "${adapter}"
`;
}

/** Header, descriptor, both directories and all tables (they take 1/16384 of the disk). */
async function writeSparse(file: BlockNode, sizeBytes: number, descriptor: string): Promise<void> {
  const grains = Math.ceil(sizeBytes / GRAIN_BYTES);
  const tables = Math.ceil(grains / ENTRIES);
  const tableSectors = (ENTRIES * 4) / SECTOR;
  const directorySectors = Math.ceil((tables * 4) / SECTOR);
  const descriptorSectors = 20;
  const redundantAt = 1 + descriptorSectors;
  const directoryAt = redundantAt + directorySectors + tables * tableSectors;
  const end = directoryAt + directorySectors + tables * tableSectors;
  const overhead = Math.ceil((end * SECTOR) / GRAIN_BYTES) * (GRAIN_BYTES / SECTOR);
  const header = new Uint8Array(SECTOR);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, 1, true);
  view.setUint32(8, FLAG_NEWLINES | FLAG_REDUNDANT, true);
  const put = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  put(12, sizeBytes / SECTOR);
  put(20, GRAIN_BYTES / SECTOR);
  put(28, descriptor === '' ? 0 : 1);
  put(36, descriptor === '' ? 0 : descriptorSectors);
  view.setUint32(44, ENTRIES, true);
  put(48, redundantAt);
  put(56, directoryAt);
  put(64, overhead);
  header.set([10, 32, 13, 10], 73);
  await file.write(0, header);
  await file.resize(overhead * SECTOR);
  if (descriptor !== '') await file.write(SECTOR, bytesOf(descriptor));
  for (const at of [redundantAt, directoryAt]) {
    const directory = new Uint8Array(directorySectors * SECTOR);
    const entries = new DataView(directory.buffer);
    for (let i = 0; i < tables; i++) entries.setUint32(i * 4, at + directorySectors + i * tableSectors, true);
    await file.write(at * SECTOR, directory);
  }
}

async function create(context: CreateContext): Promise<void> {
  const { options, filename, host, createFile } = context;
  const type = options.choice<Subformat>(
    'subformat',
    ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'],
    'monolithicSparse',
  );
  const adapter = options.choice(
    'adapter_type',
    ['ide', 'buslogic', 'lsilogic', 'legacyESX'] as const,
    'ide',
  );
  options.text('hwversion');
  options.finish();
  if (type === 'streamOptimized') throw options.error('streamOptimized images can be read, not made');
  const sizeBytes = Math.ceil(context.sizeBytes / SECTOR) * SECTOR;
  const idBytes = new Uint8Array(4);
  host.randomBytes(idBytes);
  const id = [...idBytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const base = host.baseName(filename);
  if (type === 'monolithicSparse') {
    const line = `RW ${sizeBytes / SECTOR} SPARSE "${base}"`;
    const file = await createFile(filename);
    await writeSparse(file, sizeBytes, descriptorText(type, id, [line], sizeBytes, adapter));
    await file.close();
    return;
  }
  const stem = base.replace(/\.vmdk$/i, '');
  const isFlat = type.endsWith('Flat');
  const partBytes = type === 'monolithicFlat' ? sizeBytes : SPLIT_BYTES;
  const lines: string[] = [];
  for (let start = 0, i = 1; start < sizeBytes; start += partBytes, i++) {
    const length = Math.min(partBytes, sizeBytes - start);
    const number = String(i).padStart(3, '0');
    const name =
      type === 'monolithicFlat' ? `${stem}-flat.vmdk` : `${stem}-${isFlat ? 'f' : 's'}${number}.vmdk`;
    lines.push(`RW ${length / SECTOR} ${isFlat ? 'FLAT' : 'SPARSE'} "${name}"${isFlat ? ' 0' : ''}`);
    const part = await createFile(host.resolvePath(filename, name));
    if (isFlat) await part.resize(length);
    else await writeSparse(part, length, '');
    await part.close();
  }
  const file = await createFile(filename);
  await file.write(0, bytesOf(descriptorText(type, id, lines, sizeBytes, adapter)));
  await file.close();
}

export const VMDK: DriverDefinition = {
  name: 'vmdk',
  kind: 'format',
  probe: (head) => {
    if (new DataView(head.buffer, head.byteOffset).getUint32(0, true) === MAGIC) return 100;
    return ascii(head.subarray(0, 200)).trimStart().startsWith('# Disk DescriptorFile') ? 100 : 0;
  },
  async open(context) {
    return openOverFile(context, (file) => openNode(context, file));
  },
  create,
  createOptions: [
    { name: 'adapter_type', help: 'Virtual adapter type: ide (default), lsilogic, buslogic or legacyESX' },
    {
      name: 'subformat',
      help: 'monolithicSparse, monolithicFlat, twoGbMaxExtentSparse or twoGbMaxExtentFlat',
    },
  ],
};
