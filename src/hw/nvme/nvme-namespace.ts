/** A namespace: its identity and the NVM command set (NVMe 1.4, chapter 6) on a `BlockBackend`. */
import { BLOCK_ENOSPC, BLOCK_EROFS, BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { DmaBuffer } from '../../core/dma.ts';
import * as nvme from './nvme-codes.ts';

export interface NamespaceOptions {
  readonly backend: BlockBackend;
  readonly logicalBlock: number;
  readonly physicalBlock: number;
  readonly discardGranularity: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** Zero: none. */
  readonly eui64: bigint;
}

/** How a namespace gets at the data of a command: the buffer, or a status. */
export type BufferOf = (bytes: number, toMemory: boolean) => DmaBuffer | number;
export type NvmeCompletion = (status: number) => void;

const FORCE_UNIT_ACCESS = 1 << 30;
const DEALLOCATE = 1 << 25;
const DATASET_DEALLOCATE = 4;
const RANGE_BYTES = 16;
const BOUNDED_CHUNK = 2 ** 20;

export class NvmeNamespace {
  readonly options: NamespaceOptions;
  readonly #backend: BlockBackend;

  constructor(options: NamespaceOptions) {
    this.options = options;
    this.#backend = options.backend;
  }

  get blocks(): number {
    return Math.floor(this.#backend.sizeBytes / this.options.logicalBlock);
  }

  set onChanged(listener: (() => void) | undefined) {
    this.#backend.onMediumChanged = listener;
  }

  flush(done: NvmeCompletion): void {
    this.#backend.flush((error) => done(statusOf(error, true)));
  }

  /** `isForced`: what is written goes to stable storage, whatever the command says. */
  execute(command: nvme.NvmeCommand, isForced: boolean, bufferOf: BufferOf, done: NvmeCompletion): void {
    switch (command.opcode) {
      case nvme.NVM_FLUSH:
        this.flush(done);
        break;
      case nvme.NVM_READ:
        this.#read(command, bufferOf, done);
        break;
      case nvme.NVM_WRITE:
        this.#write(command, isForced, bufferOf, done);
        break;
      case nvme.NVM_COMPARE:
        this.#compare(command, bufferOf, done);
        break;
      case nvme.NVM_WRITE_ZEROES:
        this.#writeZeroes(command, isForced, done);
        break;
      case nvme.NVM_DATASET:
        this.#manageDataset(command, bufferOf, done);
        break;
      case nvme.NVM_VERIFY:
        this.#verify(command, done);
        break;
      default:
        done(nvme.INVALID_OPCODE | nvme.DO_NOT_RETRY);
    }
  }

  /** Starting block and number of blocks as bytes; a status if that is not on the medium. */
  #extent(command: nvme.NvmeCommand): { offset: number; bytes: number } | number {
    const lba = Number(command.view.getBigUint64(40, true));
    const count = (nvme.dword(command, 12) & 0xffff) + 1;
    if (lba + count > this.blocks) return nvme.LBA_OUT_OF_RANGE | nvme.DO_NOT_RETRY;
    const { logicalBlock } = this.options;
    return { offset: lba * logicalBlock, bytes: count * logicalBlock };
  }

  #read(command: nvme.NvmeCommand, bufferOf: BufferOf, done: NvmeCompletion): void {
    const at = this.#extent(command);
    if (typeof at === 'number') return done(at);
    const buffer = bufferOf(at.bytes, true);
    if (typeof buffer === 'number') return done(buffer);
    this.#backend.read(at.offset, buffer.views, (error) => {
      buffer.commit();
      done(statusOf(error, false));
    });
  }

  #write(command: nvme.NvmeCommand, isForced: boolean, bufferOf: BufferOf, done: NvmeCompletion): void {
    const at = this.#extent(command);
    if (typeof at === 'number') return done(at);
    if (this.#backend.isReadOnly) return done(nvme.READ_ONLY_NAMESPACE | nvme.DO_NOT_RETRY);
    const buffer = bufferOf(at.bytes, false);
    if (typeof buffer === 'number') return done(buffer);
    const mustFlush = isForced || (nvme.dword(command, 12) & FORCE_UNIT_ACCESS) !== 0;
    this.#backend.write(at.offset, buffer.views, (error) => this.#settle(error, mustFlush, done));
  }

  #settle(error: number, mustFlush: boolean, done: NvmeCompletion): void {
    if (error === BLOCK_OK && mustFlush) this.flush(done);
    else done(statusOf(error, true));
  }

  #compare(command: nvme.NvmeCommand, bufferOf: BufferOf, done: NvmeCompletion): void {
    const at = this.#extent(command);
    if (typeof at === 'number') return done(at);
    const buffer = bufferOf(at.bytes, false);
    if (typeof buffer === 'number') return done(buffer);
    const [stored, given] = [new Uint8Array(at.bytes), new Uint8Array(at.bytes)];
    this.#backend.read(at.offset, [stored], (error) => {
      buffer.read(given);
      const isSame = stored.every((byte, i) => byte === given[i]);
      done(
        error !== BLOCK_OK
          ? statusOf(error, false)
          : isSame
            ? nvme.SUCCESS
            : nvme.COMPARE_FAILURE | nvme.DO_NOT_RETRY,
      );
    });
  }

  #writeZeroes(command: nvme.NvmeCommand, isForced: boolean, done: NvmeCompletion): void {
    const at = this.#extent(command);
    if (typeof at === 'number') return done(at);
    if (this.#backend.isReadOnly) return done(nvme.READ_ONLY_NAMESPACE | nvme.DO_NOT_RETRY);
    const flags = nvme.dword(command, 12);
    this.#backend.writeZeroes(at.offset, at.bytes, (flags & DEALLOCATE) !== 0, (error) =>
      this.#settle(error, isForced || (flags & FORCE_UNIT_ACCESS) !== 0, done),
    );
  }

  /** Reads what shall be readable, in pieces. */
  #verify(command: nvme.NvmeCommand, done: NvmeCompletion): void {
    const at = this.#extent(command);
    if (typeof at === 'number') return done(at);
    const end = at.offset + at.bytes;
    const step = (offset: number): void => {
      const count = Math.min(BOUNDED_CHUNK, end - offset);
      if (count === 0) return done(nvme.SUCCESS);
      this.#backend.read(offset, [new Uint8Array(count)], (error) => {
        if (error === BLOCK_OK) step(offset + count);
        else done(statusOf(error, false));
      });
    };
    step(at.offset);
  }

  /** 6.7: up to 256 ranges; only the wish to deallocate is acted upon. */
  #manageDataset(command: nvme.NvmeCommand, bufferOf: BufferOf, done: NvmeCompletion): void {
    const count = (nvme.dword(command, 10) & 0xff) + 1;
    if ((nvme.dword(command, 11) & DATASET_DEALLOCATE) === 0) return done(nvme.SUCCESS);
    const buffer = bufferOf(count * RANGE_BYTES, false);
    if (typeof buffer === 'number') return done(buffer);
    if (this.#backend.isReadOnly) return done(nvme.READ_ONLY_NAMESPACE | nvme.DO_NOT_RETRY);
    const list = new Uint8Array(count * RANGE_BYTES);
    buffer.read(list);
    const view = new DataView(list.buffer);
    const { logicalBlock } = this.options;
    const step = (i: number): void => {
      if (i === count) return done(nvme.SUCCESS);
      const blocks = view.getUint32(RANGE_BYTES * i + 4, true);
      const lba = Number(view.getBigUint64(RANGE_BYTES * i + 8, true));
      if (lba + blocks > this.blocks) return done(nvme.LBA_OUT_OF_RANGE | nvme.DO_NOT_RETRY);
      if (blocks === 0) return step(i + 1);
      this.#backend.discard(lba * logicalBlock, blocks * logicalBlock, (error) => {
        if (error === BLOCK_OK) step(i + 1);
        else done(statusOf(error, true));
      });
    };
    step(0);
  }
}

function statusOf(error: number, isWrite: boolean): number {
  switch (error) {
    case BLOCK_OK:
      return nvme.SUCCESS;
    case BLOCK_ENOSPC:
      return nvme.CAPACITY_EXCEEDED;
    case BLOCK_EROFS:
      return nvme.READ_ONLY_NAMESPACE | nvme.DO_NOT_RETRY;
    default:
      return isWrite ? nvme.WRITE_FAULT : nvme.READ_ERROR;
  }
}
