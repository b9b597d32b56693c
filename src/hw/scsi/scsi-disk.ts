/** A SCSI disk: the block commands of SBC-3 (T10 1799-D) on a `BlockBackend`. */
import { BLOCK_ENOSPC, BLOCK_EROFS, BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import { bool, defineState, type Stateful, stateful, struct } from '../../core/vmstate.ts';
import * as codes from './scsi-codes.ts';
import { changeModePages, type DiskMode, modeSense } from './scsi-mode.ts';
import {
  attentionFields,
  failed,
  firstBytes,
  GOOD,
  type InquiryFacts,
  received,
  reply,
  type ScsiCompletion,
  type ScsiData,
  ScsiUnit,
} from './scsi-unit.ts';

export interface ScsiDiskOptions extends Omit<InquiryFacts, 'type'> {
  readonly backend: BlockBackend;
  /** Bytes of a logical and of a physical block. */
  readonly logicalBlock: number;
  readonly physicalBlock: number;
  /** Bytes that a discard is aligned to; 0: none is possible. */
  readonly discardGranularity: number;
  /** Revolutions a minute; 1: does not rotate; 0: not told. */
  readonly rotationRate: number;
  readonly minIoBytes: number;
  readonly optIoBytes: number;
  readonly writeCache: boolean;
}

const schema = defineState('scsi-disk', 1, {
  attention: struct(attentionFields),
  writeCache: bool(true),
  isStopped: bool(),
  isLocked: bool(),
});

const MAX_UNMAP_DESCRIPTORS = 255;
const MAX_UNMAP_BYTES = 2 ** 30;
/** Largest WRITE SAME, and how much of a pattern is written at once. */
const MAX_SAME_BYTES = 2 ** 31 - 2 ** 20;
const SAME_CHUNK = 2 ** 19;
const VERIFY_CHUNK = 2 ** 20;

/** Flag bits of commands. */
const FUA = 0x08;
const WRITE_SAME_UNMAP = 0x08;
const WRITE_SAME_NO_DATA = 0x01;

export class ScsiDisk extends ScsiUnit {
  readonly vmstate: Stateful;
  protected readonly productPages = [0xb0, 0xb1, 0xb2];
  readonly #options: ScsiDiskOptions;
  readonly #backend: BlockBackend;
  readonly #s;

  constructor(options: ScsiDiskOptions) {
    const state = schema.create();
    super({ ...options, type: codes.TYPE_DISK }, state.attention);
    this.#s = state;
    this.#options = options;
    this.#backend = options.backend;
    this.vmstate = stateful(schema, state);
    this.#backend.onMediumChanged = () => this.#mediumChanged();
    this.reset();
  }

  override reset(): void {
    schema.reset(this.#s);
    this.#s.writeCache = this.#options.writeCache;
    super.reset();
  }

  #mediumChanged(): void {
    const asc = this.facts.isRemovable ? codes.ASC_MEDIUM_MAY_HAVE_CHANGED : codes.ASC_PARAMETERS_CHANGED;
    const ascq = this.facts.isRemovable ? 0 : 9; // capacity data has changed
    this.setAttention(codes.sense(codes.SENSE_UNIT_ATTENTION, asc, ascq));
    this.#s.isStopped = false;
    this.listener?.changed(asc, ascq);
  }

  get #blocks(): number {
    return Math.floor(this.#backend.sizeBytes / this.#options.logicalBlock);
  }

  protected override command(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const opcode = cdb[0]!;
    switch (opcode) {
      case codes.SEND_DIAGNOSTIC:
        // Only the default self-test, which always passes.
        done((cdb[1]! & 4) !== 0 || (cdb[3]! | cdb[4]!) === 0 ? GOOD : failed(codes.INVALID_FIELD));
        return;
      case codes.PREVENT_ALLOW_REMOVAL:
        this.#s.isLocked = (cdb[4]! & 1) !== 0;
        done(GOOD);
        return;
      case codes.START_STOP_UNIT:
        done(this.#startStop(cdb[4]!));
        return;
      case codes.MODE_SENSE_6:
      case codes.MODE_SENSE_10:
        done(modeSense(cdb, data, this.#mode()));
        return;
      case codes.MODE_SELECT_6:
      case codes.MODE_SELECT_10:
        this.#modeSelect(cdb, data, done);
        return;
      default:
    }
    if (!this.#isReady) {
      done(
        failed(
          codes.sense(
            codes.SENSE_NOT_READY,
            this.#s.isStopped ? 4 : codes.ASC_NO_MEDIUM,
            this.#s.isStopped ? 2 : 0,
          ),
        ),
      );
      return;
    }
    this.#mediumCommand(opcode, cdb, data, done);
  }

  get #isReady(): boolean {
    return this.#backend.sizeBytes > 0 && !this.#s.isStopped;
  }

  #mediumCommand(opcode: number, cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    switch (opcode) {
      case codes.TEST_UNIT_READY:
        done(GOOD);
        break;
      case codes.READ_CAPACITY:
        done(this.#capacity10(cdb, data));
        break;
      case codes.SERVICE_ACTION_IN_16:
        done(this.#capacity16(cdb, data));
        break;
      case codes.READ_6:
      case codes.READ_10:
      case codes.READ_12:
      case codes.READ_16:
        this.#read(cdb, data, done);
        break;
      case codes.WRITE_6:
      case codes.WRITE_10:
      case codes.WRITE_12:
      case codes.WRITE_16:
      case codes.WRITE_VERIFY_10:
      case codes.WRITE_VERIFY_12:
      case codes.WRITE_VERIFY_16:
        this.#write(cdb, data, done);
        break;
      case codes.VERIFY_10:
      case codes.VERIFY_12:
      case codes.VERIFY_16:
        this.#verify(cdb, data, done);
        break;
      case codes.SEEK_6:
      case codes.SEEK_10:
        done(extent(cdb).lba < this.#blocks ? GOOD : failed(codes.LBA_OUT_OF_RANGE));
        break;
      case codes.SYNCHRONIZE_CACHE:
      case codes.SYNCHRONIZE_CACHE_16:
        this.#backend.flush((error) => done(outcome(error, codes.ASC_WRITE_ERROR, 0)));
        break;
      case codes.WRITE_SAME_10:
      case codes.WRITE_SAME_16:
        this.#writeSame(cdb, data, done);
        break;
      case codes.UNMAP:
        this.#unmap(cdb, data, done);
        break;
      default:
        done(failed(codes.ILLEGAL_OPCODE));
    }
  }

  #startStop(flags: number): ReturnType<typeof failed> {
    if (flags >> 4 !== 0) return GOOD; // power conditions
    const start = (flags & 1) !== 0;
    if ((flags & 2) !== 0 && !start && this.#s.isLocked) {
      return failed(codes.sense(codes.SENSE_ILLEGAL_REQUEST, codes.ASC_REMOVAL_PREVENTED, 2));
    }
    if (this.facts.isRemovable || (flags & 2) === 0) this.#s.isStopped = !start;
    return GOOD;
  }

  // --- capacity

  #capacity10(cdb: Uint8Array, data: ScsiData): ReturnType<typeof failed> {
    if ((cdb[8]! & 1) === 0 && (cdb[2]! | cdb[3]! | cdb[4]! | cdb[5]!) !== 0)
      return failed(codes.INVALID_FIELD);
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, Math.min(this.#blocks - 1, 0xffffffff));
    view.setUint32(4, this.#options.logicalBlock);
    return reply(data, new Uint8Array(view.buffer), 8);
  }

  #capacity16(cdb: Uint8Array, data: ScsiData): ReturnType<typeof failed> {
    if ((cdb[1]! & 31) !== codes.SA_READ_CAPACITY_16) return failed(codes.ILLEGAL_OPCODE);
    const { logicalBlock, physicalBlock, discardGranularity } = this.#options;
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(this.#blocks - 1));
    view.setUint32(8, logicalBlock);
    bytes[13] = Math.log2(Math.max(1, physicalBlock / logicalBlock));
    bytes[14] = discardGranularity > 0 ? 0x80 : 0; // thin provisioning
    return reply(data, bytes, new DataView(cdb.buffer, cdb.byteOffset).getUint32(10));
  }

  protected override productPage(page: number): Uint8Array {
    const { logicalBlock, discardGranularity, rotationRate, minIoBytes, optIoBytes } = this.#options;
    const bytes = new Uint8Array(page === 0xb2 ? 4 : 60);
    const view = new DataView(bytes.buffer);
    const canDiscard = discardGranularity > 0;
    const blocks = (size: number): number => Math.floor(size / logicalBlock);
    if (page === 0xb0) {
      bytes[0] = 1; // WRITE SAME of zero blocks is refused
      view.setUint16(2, Math.min(0xffff, blocks(minIoBytes)));
      view.setUint32(4, blocks(MAX_SAME_BYTES));
      view.setUint32(8, blocks(optIoBytes));
      view.setUint32(16, canDiscard ? blocks(MAX_UNMAP_BYTES) : 0);
      view.setUint32(20, canDiscard ? MAX_UNMAP_DESCRIPTORS : 0);
      view.setUint32(24, blocks(discardGranularity));
      view.setBigUint64(32, BigInt(blocks(MAX_SAME_BYTES)));
    } else if (page === 0xb1) view.setUint16(0, rotationRate);
    else bytes.set([0, canDiscard ? 0xe0 : 0, canDiscard ? 2 : 1, 0]);
    return bytes;
  }

  // --- data

  /** Undefined: the range is not on the disk, or not in the buffers; `done` has been told. */
  #checked(
    cdb: Uint8Array,
    room: number,
    isWrite: boolean,
    done: ScsiCompletion,
  ): { offset: number; bytes: number } | undefined {
    const { lba, count } = extent(cdb);
    const bytes = count * this.#options.logicalBlock;
    if (isWrite && this.#backend.isReadOnly)
      done(failed(codes.sense(codes.SENSE_DATA_PROTECT, codes.ASC_WRITE_PROTECTED)));
    else if (cdb[0]! >= 0x20 && cdb[1]! >> 5 !== 0)
      done(failed(codes.INVALID_FIELD)); // protection information
    else if (lba + count > this.#blocks) done(failed(codes.LBA_OUT_OF_RANGE));
    else if (bytes > room) done({ ...GOOD, isOverrun: true });
    else if (count === 0) done(GOOD);
    else return { offset: lba * this.#options.logicalBlock, bytes };
    return undefined;
  }

  #read(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const at = this.#checked(cdb, data.inBytes, false, done);
    if (at === undefined) return;
    this.#backend.read(at.offset, firstBytes(data.in, at.bytes), (error) =>
      done(outcome(error, codes.ASC_READ_ERROR, at.bytes)),
    );
  }

  #write(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const at = this.#checked(cdb, data.outBytes, true, done);
    if (at === undefined) return;
    const isForced = cdb[0] !== codes.WRITE_6 && (cdb[1]! & FUA) !== 0;
    this.#backend.write(at.offset, firstBytes(data.out, at.bytes), (error) =>
      this.#settle(error, isForced, (final) => done(outcome(final, codes.ASC_WRITE_ERROR, at.bytes))),
    );
  }

  /** Without a write cache, what is written is on the medium. */
  #settle(error: number, isForced: boolean, done: (error: number) => void): void {
    if (error === BLOCK_OK && (isForced || !this.#s.writeCache)) this.#backend.flush(done);
    else done(error);
  }

  #verify(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const compare = (cdb[1]! >> 1) & 3;
    if (compare > 1) {
      done(failed(codes.INVALID_FIELD));
      return;
    }
    const at = this.#checked(cdb, compare === 0 ? Number.POSITIVE_INFINITY : data.outBytes, false, done);
    if (at === undefined) return;
    if (compare === 0) done(GOOD);
    else this.#compare(at.offset, firstBytes(data.out, at.bytes), 0, done);
  }

  /** Compares from `done` bytes on, a piece at a time. */
  #compare(offset: number, views: readonly Uint8Array[], index: number, done: ScsiCompletion): void {
    const view = views[index];
    if (view === undefined) {
      done({ ...GOOD, bytes: views.reduce((sum, v) => sum + v.length, 0) });
      return;
    }
    if (view.length > VERIFY_CHUNK) {
      const rest = [view.subarray(0, VERIFY_CHUNK), view.subarray(VERIFY_CHUNK), ...views.slice(index + 1)];
      this.#compare(offset, [...views.slice(0, index), ...rest], index, done);
      return;
    }
    const stored = new Uint8Array(view.length);
    this.#backend.read(offset, [stored], (error) => {
      if (error !== BLOCK_OK) done(outcome(error, codes.ASC_READ_ERROR, 0));
      else if (stored.some((byte, i) => byte !== view[i])) {
        done(failed(codes.sense(codes.SENSE_MISCOMPARE, codes.ASC_MISCOMPARE)));
      } else this.#compare(offset + view.length, views, index + 1, done);
    });
  }

  #writeSame(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const { logicalBlock, discardGranularity } = this.#options;
    const flags = cdb[1]!;
    const hasNoData = cdb[0] === codes.WRITE_SAME_16 && (flags & WRITE_SAME_NO_DATA) !== 0;
    const mayUnmap = (flags & WRITE_SAME_UNMAP) !== 0;
    const { count } = extent(cdb);
    if (
      count === 0 ||
      count * logicalBlock > MAX_SAME_BYTES ||
      (mayUnmap && discardGranularity === 0) ||
      (flags & 0x16) !== 0
    ) {
      done(failed(codes.INVALID_FIELD));
      return;
    }
    if (!hasNoData && data.outBytes < logicalBlock) {
      done({ ...GOOD, isOverrun: true });
      return;
    }
    const at = this.#checked(cdb, Number.POSITIVE_INFINITY, true, done);
    if (at === undefined) return;
    const block = hasNoData ? new Uint8Array(logicalBlock) : received(data, logicalBlock);
    const finish = (error: number): void =>
      this.#settle(error, false, (final) => done(outcome(final, codes.ASC_WRITE_ERROR, block.length)));
    if (block.every((byte) => byte === 0)) this.#backend.writeZeroes(at.offset, at.bytes, mayUnmap, finish);
    else this.#writePattern(at.offset, at.bytes, repeated(block, at.bytes), finish);
  }

  #writePattern(offset: number, left: number, chunk: Uint8Array, done: (error: number) => void): void {
    const count = Math.min(left, chunk.length);
    this.#backend.write(offset, [chunk.subarray(0, count)], (error) => {
      if (error !== BLOCK_OK || count === left) done(error);
      else this.#writePattern(offset + count, left - count, chunk, done);
    });
  }

  /** SBC-3 5.28: a list of ranges. */
  #unmap(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const { logicalBlock, discardGranularity } = this.#options;
    const length = (cdb[7]! << 8) | cdb[8]!;
    if (length === 0) return done(GOOD);
    if (length < 8) return done(failed(codes.sense(codes.SENSE_ILLEGAL_REQUEST, codes.ASC_PARAMETER_LENGTH)));
    if (discardGranularity === 0 || (cdb[1]! & 1) !== 0) return done(failed(codes.INVALID_FIELD));
    if (this.#backend.isReadOnly)
      return done(failed(codes.sense(codes.SENSE_DATA_PROTECT, codes.ASC_WRITE_PROTECTED)));
    const list = received(data, length);
    if (list.length < length) return done({ ...GOOD, isOverrun: true });
    const view = new DataView(list.buffer);
    const described = view.getUint16(2);
    if (described > length - 8 || described % 16 !== 0 || described / 16 > MAX_UNMAP_DESCRIPTORS)
      return done(failed(codes.sense(codes.SENSE_ILLEGAL_REQUEST, codes.ASC_INVALID_PARAMETER)));
    const ranges: Array<{ offset: number; bytes: number }> = [];
    for (let at = 8; at < 8 + described; at += 16) {
      const lba = Number(view.getBigUint64(at));
      const count = view.getUint32(at + 8);
      if (lba + count > this.#blocks) return done(failed(codes.LBA_OUT_OF_RANGE));
      if (count > 0) ranges.push({ offset: lba * logicalBlock, bytes: count * logicalBlock });
    }
    this.#discard(ranges, (error) => done(outcome(error, codes.ASC_WRITE_ERROR, length)));
  }

  #discard(ranges: ReadonlyArray<{ offset: number; bytes: number }>, done: (error: number) => void): void {
    const [first, ...rest] = ranges;
    if (first === undefined) done(BLOCK_OK);
    else {
      this.#backend.discard(first.offset, first.bytes, (error) => {
        if (error !== BLOCK_OK) done(error);
        else this.#discard(rest, done);
      });
    }
  }

  // --- mode pages

  #mode(): DiskMode {
    return {
      blocks: this.#blocks,
      blockBytes: this.#options.logicalBlock,
      isReadOnly: this.#backend.isReadOnly,
      writeCache: this.#s.writeCache,
      rotationRate: this.#options.rotationRate,
    };
  }

  #modeSelect(cdb: Uint8Array, data: ScsiData, done: ScsiCompletion): void {
    const change = changeModePages(cdb, data, this.#mode());
    if (change.sense !== undefined) {
      done(failed(change.sense));
      return;
    }
    const wasCached = this.#s.writeCache;
    this.#s.writeCache = change.writeCache ?? wasCached;
    const result = { ...GOOD, bytes: change.bytes };
    if (wasCached && !this.#s.writeCache)
      this.#backend.flush((error) =>
        done(error === BLOCK_OK ? result : outcome(error, codes.ASC_WRITE_ERROR, 0)),
      );
    else done(result);
  }
}

/** First block and number of blocks, by the command's group (SPC-4 4.3). */
export function extent(cdb: Uint8Array): { lba: number; count: number } {
  const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.length);
  switch (cdb[0]! >> 5) {
    case 0:
      return { lba: view.getUint32(0) & 0x1fffff, count: cdb[4]! === 0 ? 256 : cdb[4]! };
    case 4:
      return { lba: Number(view.getBigUint64(2)), count: view.getUint32(10) };
    case 5:
      return { lba: view.getUint32(2), count: view.getUint32(6) };
    default:
      return { lba: view.getUint32(2), count: view.getUint16(7) };
  }
}

function repeated(block: Uint8Array, bytes: number): Uint8Array {
  const chunk = new Uint8Array(Math.max(block.length, Math.min(bytes, SAME_CHUNK)));
  for (let at = 0; at < chunk.length; at += block.length) chunk.set(block, at);
  return chunk;
}

function outcome(error: number, asc: number, bytes: number): ReturnType<typeof failed> {
  if (error === BLOCK_OK) return { ...GOOD, bytes };
  if (error === BLOCK_EROFS) return failed(codes.sense(codes.SENSE_DATA_PROTECT, codes.ASC_WRITE_PROTECTED));
  if (error === BLOCK_ENOSPC)
    return failed(codes.sense(codes.SENSE_DATA_PROTECT, codes.ASC_WRITE_PROTECTED, 7));
  return failed(codes.sense(codes.SENSE_MEDIUM_ERROR, asc));
}
