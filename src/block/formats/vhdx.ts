/**
 * Format `vhdx` ("VHDX Image Format Specification v1.00", Microsoft 2012): fixed and dynamic images without parents, with replay of
 * the log. Little-endian. Entries of the block table are written in place, one aligned word at a time, after the data they
 * refer to; the log is only replayed, never written.
 */
import { BlockError, type BlockNode, EINVAL, ENOTSUP } from '../block-node.ts';
import type { CreateContext, DriverDefinition, OpenContext } from '../driver.ts';
import { openOverFile } from './open-file.ts';
import { HOLE, type Place, SparseNode, ZERO } from './sparse-node.ts';

const KIB64 = 65536;
const MIB = 2 ** 20;
const HEADER_OFFSETS = [KIB64, 2 * KIB64];
const REGION_OFFSETS = [3 * KIB64, 4 * KIB64];
const LOG_SECTOR = 4096;
const MAX_LOG = 2 ** 26;
const MAX_SIZE = 64 * 2 ** 40;

const GUID_BAT = '2dc27766-f623-4200-9d64-115e9bfd4a08';
const GUID_METADATA = '8b7ca206-4790-4b9a-b8fe-575f050f886e';
const GUID_FILE_PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b';
const GUID_DISK_SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8';
const GUID_DISK_ID = 'beca12ab-b2e6-4523-93ef-c309e000c746';
const GUID_LOGICAL_SECTOR = '8141bf1d-a96f-4709-ba47-f233a8faab5f';
const GUID_PHYSICAL_SECTOR = 'cda348c7-445d-4471-9cc9-e9885251c556';
const GUID_PARENT = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c';
const KNOWN_ITEMS = new Set([
  GUID_FILE_PARAMETERS,
  GUID_DISK_SIZE,
  GUID_DISK_ID,
  GUID_LOGICAL_SECTOR,
  GUID_PHYSICAL_SECTOR,
  GUID_PARENT,
]);

const STATE_ZERO = 2;
const STATE_UNMAPPED = 3;
const STATE_PRESENT = 6;
const STATE_PARTIAL = 7;

const bad = (reason: string): BlockError => new BlockError(EINVAL, reason);

let crcTable: Uint32Array | undefined;

/** CRC-32C (Castagnoli) with the four bytes at `skip` taken as 0. */
function crc32c(bytes: Uint8Array, skip: number): number {
  if (crcTable === undefined) {
    crcTable = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      let value = i;
      for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
      crcTable[i] = value >>> 0;
    }
  }
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const byte = i >= skip && i < skip + 4 ? 0 : bytes[i]!;
    crc = (crcTable[(crc ^ byte) & 255]! ^ (crc >>> 8)) >>> 0;
  }
  return ~crc >>> 0;
}

function readGuid(bytes: Uint8Array, at: number): string {
  const hex = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
  const part = (...order: number[]): string => order.map((i) => hex[i]).join('');
  return `${part(3, 2, 1, 0)}-${part(5, 4)}-${part(7, 6)}-${part(8, 9)}-${part(10, 11, 12, 13, 14, 15)}`;
}

function writeGuid(bytes: Uint8Array, at: number, guid: string): void {
  const hex = guid.replaceAll('-', '');
  const raw = Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
  [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].forEach((from, i) => (bytes[at + i] = raw[from]!));
}

function signature(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

function number(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw bad('a number in the VHDX image is too large');
  return Number(value);
}

interface Header {
  readonly bytes: Uint8Array;
  readonly sequence: bigint;
  readonly logGuid: string;
  readonly logOffset: number;
  readonly logBytes: number;
  /** Which of the two. */
  readonly index: number;
}

const NO_LOG = '00000000-0000-0000-0000-000000000000';

async function readHeader(file: BlockNode): Promise<Header> {
  let best: Header | undefined;
  for (const [index, offset] of HEADER_OFFSETS.entries()) {
    const bytes = new Uint8Array(4096);
    await file.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    const isSound = signature(bytes, 0, 4) === 'head' && crc32c(bytes, 4) === view.getUint32(4, true);
    if (!isSound || view.getUint16(66, true) !== 1) continue;
    const header: Header = {
      bytes,
      sequence: view.getBigUint64(8, true),
      logGuid: readGuid(bytes, 48),
      logBytes: view.getUint32(68, true),
      logOffset: number(view, 72),
      index,
    };
    if (best === undefined || header.sequence > best.sequence) best = header;
  }
  if (best === undefined) throw bad('No valid VHDX header found');
  return best;
}

interface Regions {
  readonly batOffset: number;
  readonly batBytes: number;
  readonly metadataOffset: number;
}

async function readRegions(file: BlockNode): Promise<Regions> {
  for (const offset of REGION_OFFSETS) {
    const bytes = new Uint8Array(KIB64);
    await file.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    const count = view.getUint32(8, true);
    if (signature(bytes, 0, 4) !== 'regi' || crc32c(bytes, 4) !== view.getUint32(4, true) || count > 2047)
      continue;
    const found = new Map<string, { offset: number; bytes: number }>();
    for (let i = 0; i < count; i++) {
      const at = 16 + i * 32;
      const guid = readGuid(bytes, at);
      const isKnown = guid === GUID_BAT || guid === GUID_METADATA;
      if (!isKnown && (view.getUint32(at + 28, true) & 1) !== 0)
        throw new BlockError(ENOTSUP, 'unknown VHDX region');
      found.set(guid, { offset: number(view, at + 16), bytes: view.getUint32(at + 24, true) });
    }
    const bat = found.get(GUID_BAT);
    const metadata = found.get(GUID_METADATA);
    if (bat === undefined || metadata === undefined) throw bad('the VHDX region table lacks a region');
    if (bat.offset % MIB !== 0 || metadata.offset % MIB !== 0) throw bad('a VHDX region is not aligned');
    return { batOffset: bat.offset, batBytes: bat.bytes, metadataOffset: metadata.offset };
  }
  throw bad('No valid VHDX region table found');
}

interface Facts {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly sectorBytes: number;
}

async function readMetadata(file: BlockNode, offset: number): Promise<Facts> {
  const bytes = new Uint8Array(KIB64);
  await file.read(offset, bytes);
  const view = new DataView(bytes.buffer);
  const count = view.getUint16(10, true);
  if (signature(bytes, 0, 8) !== 'metadata' || count > 2047) throw bad('the VHDX metadata table is damaged');
  const items = new Map<string, DataView>();
  for (let i = 0; i < count; i++) {
    const at = 32 + i * 32;
    const guid = readGuid(bytes, at);
    if (!KNOWN_ITEMS.has(guid)) {
      if ((view.getUint32(at + 24, true) & 4) !== 0) throw new BlockError(ENOTSUP, 'unknown VHDX metadata');
      continue;
    }
    const item = new Uint8Array(Math.min(64, Math.max(8, view.getUint32(at + 20, true))));
    await file.read(offset + view.getUint32(at + 16, true), item);
    items.set(guid, new DataView(item.buffer));
  }
  const parameters = items.get(GUID_FILE_PARAMETERS);
  const size = items.get(GUID_DISK_SIZE);
  const sector = items.get(GUID_LOGICAL_SECTOR);
  if (parameters === undefined || size === undefined || sector === undefined)
    throw bad('VHDX metadata are missing');
  if ((parameters.getUint32(4, true) & 2) !== 0)
    throw new BlockError(ENOTSUP, 'VHDX images with a parent are not supported');
  const blockBytes = parameters.getUint32(0, true);
  if (blockBytes < MIB || blockBytes > 256 * MIB || !Number.isInteger(Math.log2(blockBytes)))
    throw bad('the VHDX block size is invalid');
  const sectorBytes = sector.getUint32(0, true);
  if (sectorBytes !== 512 && sectorBytes !== 4096) throw bad('the VHDX sector size is invalid');
  const sizeBytes = number(size, 0);
  if (sizeBytes > MAX_SIZE || sizeBytes % sectorBytes !== 0) throw bad('the VHDX disk size is invalid');
  return { sizeBytes, blockBytes, sectorBytes };
}

// --- log (2.3 of the specification)

interface LogEntry {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly sequence: bigint;
  readonly tail: number;
}

/** Reads `length` bytes of the ring from `at` on. */
function ringBytes(log: Uint8Array, at: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  const first = Math.min(length, log.length - at);
  out.set(log.subarray(at, at + first));
  out.set(log.subarray(0, length - first), first);
  return out;
}

function logEntryAt(log: Uint8Array, at: number, guid: string): LogEntry | undefined {
  if (signature(log, at, 4) !== 'loge') return undefined;
  const view = new DataView(log.buffer, log.byteOffset + at);
  const length = view.getUint32(8, true);
  if (length === 0 || length % LOG_SECTOR !== 0 || length > log.length) return undefined;
  const bytes = ringBytes(log, at, length);
  const entry = new DataView(bytes.buffer);
  if (readGuid(bytes, 32) !== guid || crc32c(bytes, 4) !== entry.getUint32(4, true)) return undefined;
  return { offset: at, bytes, sequence: entry.getBigUint64(16, true), tail: entry.getUint32(12, true) };
}

/** The sequence of entries that ends with the highest number and reaches back to its tail. */
function activeSequence(log: Uint8Array, guid: string): LogEntry[] {
  let best: LogEntry[] = [];
  for (let at = 0; at < log.length; at += LOG_SECTOR) {
    const sequence: LogEntry[] = [];
    let covered = 0;
    for (let next = at; covered < log.length; ) {
      const entry = logEntryAt(log, next, guid);
      const last = sequence.at(-1);
      if (entry === undefined || (last !== undefined && entry.sequence !== last.sequence + 1n)) break;
      sequence.push(entry);
      covered += entry.bytes.length;
      next = (next + entry.bytes.length) % log.length;
    }
    const head = sequence.at(-1);
    const isWhole = head !== undefined && sequence.some((entry) => entry.offset === head.tail);
    if (isWhole && (best.length === 0 || head.sequence > best.at(-1)!.sequence))
      best = sequence.slice(sequence.findIndex((entry) => entry.offset === head.tail));
    // Within a sequence no other one can start: entries are looked at once.
    if (covered > LOG_SECTOR) at += covered - LOG_SECTOR;
  }
  return best;
}

async function replayEntry(file: BlockNode, { bytes, sequence }: LogEntry): Promise<void> {
  const view = new DataView(bytes.buffer);
  const count = view.getUint32(24, true);
  const descriptorBytes = Math.ceil((64 + count * 32) / LOG_SECTOR) * LOG_SECTOR;
  if (descriptorBytes > bytes.length) throw bad('the VHDX log is damaged');
  let dataAt = descriptorBytes;
  for (let i = 0; i < count; i++) {
    const at = 64 + i * 32;
    const kind = signature(bytes, at, 4);
    const target = number(view, at + 16);
    if (target % LOG_SECTOR !== 0 || view.getBigUint64(at + 24, true) !== sequence)
      throw bad('the VHDX log is damaged');
    if (kind === 'zero') {
      const length = number(view, at + 8);
      if (length % LOG_SECTOR !== 0 || length > MAX_LOG * 16) throw bad('the VHDX log is damaged');
      await file.writeZeroes(target, length, false);
    } else if (kind === 'desc') {
      if (dataAt + LOG_SECTOR > bytes.length || signature(bytes, dataAt, 4) !== 'data')
        throw bad('the VHDX log is damaged');
      const sector = bytes.slice(dataAt, dataAt + LOG_SECTOR);
      sector.set(bytes.subarray(at + 8, at + 16), 0);
      sector.set(bytes.subarray(at + 4, at + 8), LOG_SECTOR - 4);
      await file.write(target, sector);
      dataAt += LOG_SECTOR;
    } else throw bad('the VHDX log is damaged');
  }
}

async function replayLog(file: BlockNode, header: Header): Promise<void> {
  if (header.logGuid === NO_LOG) return;
  if (header.logBytes > MAX_LOG || header.logBytes % MIB !== 0 || header.logOffset % MIB !== 0)
    throw bad('the VHDX log is invalid');
  if (header.logOffset + header.logBytes > file.sizeBytes) throw bad('the VHDX log is outside the image');
  const log = new Uint8Array(header.logBytes);
  await file.read(header.logOffset, log);
  const entries = activeSequence(log, header.logGuid);
  if (entries.length === 0) return;
  if (file.isReadOnly)
    throw new BlockError(
      EINVAL,
      'the VHDX image has a log that must be replayed: open it once to write ("check -r all")',
    );
  const last = new DataView(entries.at(-1)!.bytes.buffer);
  const lastOffset = number(last, 56);
  if (lastOffset < MAX_SIZE * 2 && file.sizeBytes < lastOffset) await file.resize(lastOffset);
  for (const entry of entries) await replayEntry(file, entry);
  await file.flush();
}

/** The other header gets the next number, with what changed: new writes' identity, no log. */
async function updateHeader(file: BlockNode, header: Header, randomGuid: () => Uint8Array): Promise<Header> {
  const bytes = Uint8Array.from(header.bytes);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, header.sequence + 1n, true);
  bytes.set(randomGuid(), 16);
  bytes.set(randomGuid(), 32);
  bytes.fill(0, 48, 64);
  view.setUint32(4, crc32c(bytes, 4), true);
  const index = 1 - header.index;
  await file.write(HEADER_OFFSETS[index]!, bytes);
  await file.flush();
  return { ...header, bytes, index, sequence: header.sequence + 1n, logGuid: NO_LOG };
}

class VhdxNode extends SparseNode {
  readonly driver = 'vhdx';
  readonly sizeBytes: number;
  readonly #bat: DataView;
  readonly #batOffset: number;
  readonly #blockBytes: number;
  /** Blocks between two entries of sector bitmaps. */
  readonly #ratio: number;
  readonly #prepare: () => Promise<void>;
  #isPrepared = false;

  constructor(file: BlockNode, facts: Facts, bat: DataView, batOffset: number, prepare: () => Promise<void>) {
    super(file, facts.blockBytes);
    this.sizeBytes = facts.sizeBytes;
    this.#blockBytes = facts.blockBytes;
    this.#ratio = chunkRatio(facts);
    this.#bat = bat;
    this.#batOffset = batOffset;
    this.#prepare = prepare;
  }

  #index(block: number): number {
    return block + Math.floor(block / this.#ratio);
  }

  protected override place(block: number): Place {
    const at = this.#index(block) * 8;
    const low = this.#bat.getUint32(at, true);
    const state = low & 7;
    if (state === STATE_ZERO || state === STATE_UNMAPPED) return ZERO;
    if (state !== STATE_PRESENT) return HOLE;
    const megabytes = this.#bat.getUint32(at + 4, true) * 2 ** 12 + (low >>> 20);
    return { kind: 'data', hostOffset: megabytes * MIB };
  }

  override async write(offset: number, from: Uint8Array): Promise<void> {
    if (!this.#isPrepared && !this.isReadOnly) {
      this.#isPrepared = true;
      await this.#prepare();
    }
    await super.write(offset, from);
  }

  protected override async makeRoom(): Promise<number> {
    const offset = Math.ceil(this.file.sizeBytes / MIB) * MIB;
    await this.file.resize(offset + this.#blockBytes);
    return offset;
  }

  protected override async commit(block: number, hostOffset: number): Promise<void> {
    const at = this.#index(block) * 8;
    const megabytes = hostOffset / MIB;
    this.#bat.setUint32(at, (((megabytes % 2 ** 12) << 20) | STATE_PRESENT) >>> 0, true);
    this.#bat.setUint32(at + 4, Math.floor(megabytes / 2 ** 12), true);
    await this.file.write(
      this.#batOffset + at,
      new Uint8Array(this.#bat.buffer, this.#bat.byteOffset + at, 8),
    );
  }
}

function chunkRatio({ sectorBytes, blockBytes }: Facts): number {
  return (2 ** 23 * sectorBytes) / blockBytes;
}

function batEntries(facts: Facts): number {
  const blocks = Math.ceil(facts.sizeBytes / facts.blockBytes);
  return blocks + Math.floor(Math.max(0, blocks - 1) / chunkRatio(facts));
}

async function openNode({ host }: OpenContext, file: BlockNode): Promise<BlockNode> {
  const head = new Uint8Array(8);
  await file.read(0, head);
  if (signature(head, 0, 8) !== 'vhdxfile') throw bad('Image not in VHDX format');
  const header = await readHeader(file);
  await replayLog(file, header);
  const regions = await readRegions(file);
  const facts = await readMetadata(file, regions.metadataOffset);
  const entries = batEntries(facts);
  if (entries * 8 > regions.batBytes || regions.batOffset + entries * 8 > file.sizeBytes)
    throw bad('the VHDX block table is too small');
  const bytes = new Uint8Array(entries * 8);
  await file.read(regions.batOffset, bytes);
  const bat = new DataView(bytes.buffer);
  checkBat(bat, facts, file.sizeBytes);
  const guid = (): Uint8Array => {
    const random = new Uint8Array(16);
    host.randomBytes(random);
    return random;
  };
  return new VhdxNode(file, facts, bat, regions.batOffset, async () => {
    // Twice, so that neither header names a log that was replayed.
    await updateHeader(file, await updateHeader(file, header, guid), guid);
  });
}

function checkBat(bat: DataView, facts: Facts, fileBytes: number): void {
  const ratio = chunkRatio(facts);
  const blocks = Math.ceil(facts.sizeBytes / facts.blockBytes);
  for (let block = 0; block < blocks; block++) {
    const at = (block + Math.floor(block / ratio)) * 8;
    const low = bat.getUint32(at, true);
    const state = low & 7;
    if (state === STATE_PARTIAL) throw new BlockError(ENOTSUP, 'VHDX images with a parent are not supported');
    if (state !== STATE_PRESENT) continue;
    const offset = (bat.getUint32(at + 4, true) * 2 ** 12 + (low >>> 20)) * MIB;
    if (offset < MIB || offset >= fileBytes)
      throw bad(`block ${block} of the VHDX image lies outside the file`);
  }
}

// --- creation

async function create({ options, createFile, filename, sizeBytes, host }: CreateContext): Promise<void> {
  const isFixed = options.choice('subformat', ['dynamic', 'fixed'] as const, 'dynamic') === 'fixed';
  const blockBytes = options.size('block_size') || defaultBlock(sizeBytes);
  const logBytes = options.size('log_size') || MIB;
  options.flag('block_state_zero', true);
  options.finish();
  if (!Number.isInteger(Math.log2(blockBytes)) || blockBytes < MIB || blockBytes > 256 * MIB)
    throw options.error('Block size must be a power of two from 1 MiB to 256 MiB');
  if (logBytes % MIB !== 0 || logBytes > MAX_LOG) throw options.error('Log size must be a multiple of 1 MiB');
  if (sizeBytes > MAX_SIZE) throw options.error('Image size too large; max of 64TB');
  const facts: Facts = { sizeBytes: Math.ceil(sizeBytes / 512) * 512, blockBytes, sectorBytes: 512 };
  const batBytes = Math.ceil((batEntries(facts) * 8) / MIB) * MIB || MIB;
  const metadataOffset = MIB + logBytes;
  const batOffset = metadataOffset + MIB;
  const guid = (): Uint8Array => {
    const random = new Uint8Array(16);
    host.randomBytes(random);
    return random;
  };
  const file = await createFile(filename);
  const start = new Uint8Array(MIB);
  for (const [i, char] of [...'vhdxfile'].entries()) start[i] = char.charCodeAt(0);
  for (const [i, char] of [...'Lyrebird'].entries()) start[8 + i * 2] = char.charCodeAt(0);
  for (const [index, at] of HEADER_OFFSETS.entries())
    start.set(makeHeader(BigInt(index + 1), logBytes, guid), at);
  for (const at of REGION_OFFSETS) start.set(makeRegions(batOffset, batBytes, metadataOffset), at);
  await file.write(0, start);
  await file.write(metadataOffset, makeMetadata(facts, isFixed, guid));
  const dataOffset = batOffset + batBytes;
  const bat = new Uint8Array(batBytes);
  const blocks = Math.ceil(facts.sizeBytes / blockBytes);
  if (isFixed) {
    const view = new DataView(bat.buffer);
    const ratio = chunkRatio(facts);
    for (let block = 0; block < blocks; block++) {
      const megabytes = (dataOffset + block * blockBytes) / MIB;
      const at = (block + Math.floor(block / ratio)) * 8;
      view.setUint32(at, (((megabytes % 2 ** 12) << 20) | STATE_PRESENT) >>> 0, true);
      view.setUint32(at + 4, Math.floor(megabytes / 2 ** 12), true);
    }
  }
  await file.write(batOffset, bat);
  await file.resize(dataOffset + (isFixed ? blocks * blockBytes : 0));
  await file.close();
}

function defaultBlock(sizeBytes: number): number {
  if (sizeBytes > 32 * 2 ** 40) return 64 * MIB;
  if (sizeBytes > 100 * 2 ** 30) return 32 * MIB;
  return sizeBytes > 2 ** 30 ? 16 * MIB : 8 * MIB;
}

function makeHeader(sequence: bigint, logBytes: number, guid: () => Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  bytes.set([0x68, 0x65, 0x61, 0x64]);
  view.setBigUint64(8, sequence, true);
  bytes.set(guid(), 16);
  bytes.set(guid(), 32);
  view.setUint16(66, 1, true);
  view.setUint32(68, logBytes, true);
  view.setBigUint64(72, BigInt(MIB), true);
  view.setUint32(4, crc32c(bytes, 4), true);
  return bytes;
}

function makeRegions(batOffset: number, batBytes: number, metadataOffset: number): Uint8Array {
  const bytes = new Uint8Array(KIB64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x72, 0x65, 0x67, 0x69]);
  view.setUint32(8, 2, true);
  const put = (at: number, guid: string, offset: number, length: number): void => {
    writeGuid(bytes, at, guid);
    view.setBigUint64(at + 16, BigInt(offset), true);
    view.setUint32(at + 24, length, true);
    view.setUint32(at + 28, 1, true);
  };
  put(16, GUID_BAT, batOffset, batBytes);
  put(48, GUID_METADATA, metadataOffset, MIB);
  view.setUint32(4, crc32c(bytes, 4), true);
  return bytes;
}

const IS_USER = 1;
const IS_DISK = 2;
const IS_REQUIRED = 4;

function makeMetadata(facts: Facts, isFixed: boolean, guid: () => Uint8Array): Uint8Array {
  const bytes = new Uint8Array(MIB);
  const view = new DataView(bytes.buffer);
  for (const [i, char] of [...'metadata'].entries()) bytes[i] = char.charCodeAt(0);
  const items: Array<[string, number, number, (at: number) => void]> = [
    [
      GUID_FILE_PARAMETERS,
      8,
      IS_REQUIRED,
      (at) => {
        view.setUint32(at, facts.blockBytes, true);
        view.setUint32(at + 4, isFixed ? 1 : 0, true);
      },
    ],
    [GUID_DISK_SIZE, 8, IS_REQUIRED | IS_DISK, (at) => view.setBigUint64(at, BigInt(facts.sizeBytes), true)],
    [GUID_DISK_ID, 16, IS_REQUIRED | IS_DISK, (at) => bytes.set(guid(), at)],
    [GUID_LOGICAL_SECTOR, 4, IS_REQUIRED | IS_DISK, (at) => view.setUint32(at, facts.sectorBytes, true)],
    [GUID_PHYSICAL_SECTOR, 4, IS_REQUIRED | IS_DISK, (at) => view.setUint32(at, 512, true)],
  ];
  view.setUint16(10, items.length, true);
  let at = KIB64;
  items.forEach(([id, length, flags, fill], i) => {
    const entry = 32 + i * 32;
    writeGuid(bytes, entry, id);
    view.setUint32(entry + 16, at, true);
    view.setUint32(entry + 20, length, true);
    view.setUint32(entry + 24, flags & ~IS_USER, true);
    fill(at);
    at += length;
  });
  return bytes;
}

export const VHDX: DriverDefinition = {
  name: 'vhdx',
  kind: 'format',
  probe: (head) => (signature(head, 0, 8) === 'vhdxfile' ? 100 : 0),
  async open(context) {
    return openOverFile(context, (file) => openNode(context, file));
  },
  create,
  createOptions: [
    {
      name: 'block_size',
      help: 'Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.',
    },
    { name: 'log_size', help: 'Log size; min 1MB.' },
    { name: 'subformat', help: 'VHDX format type, can be either dynamic or fixed' },
  ],
};
