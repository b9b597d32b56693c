/** A disk as a device uses it: a sequence of bytes behind asynchronous requests. */

/** Outcome of a request; the numbers are those of Linux' errno, 0 is success. */
export const BLOCK_OK = 0;
export const BLOCK_EIO = 5;
export const BLOCK_ENOMEDIUM = 123;
export const BLOCK_ENOSPC = 28;
export const BLOCK_EROFS = 30;
export const BLOCK_EINVAL = 22;
export const BLOCK_ENOTSUP = 95;

/** Called once for each request, on the machine thread, never before the call that made the request has returned. */
export type BlockCompletion = (error: number) => void;

/**
 * The host's end. Requests may complete in any order; those under way overlap without any promise of order, except that
 * `flush` covers every write that had completed when it was made. Data passes through views: views of the guest's RAM buffer are
 * read and written in place, any other memory may be copied. A caller leaves the views alone until completion, and reports
 * what was read into guest RAM itself (`GuestRam.notifyWrite`).
 */
export interface BlockBackend {
  /** Size of the medium in bytes, a multiple of 512; 0 without medium. */
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  /** Smallest unit that the host reads and writes without a read-modify-write: 512 or 4096. */
  readonly blockSizeBytes: number;
  /** The medium's first 512 bytes as they were when it was opened, if that is known. */
  readonly firstSector?: Uint8Array | undefined;
  /** The views' lengths add up to what is read; beyond the end of the medium the request fails with EIO. */
  read(offset: number, into: readonly Uint8Array[], done: BlockCompletion): void;
  write(offset: number, from: readonly Uint8Array[], done: BlockCompletion): void;
  /** Completed writes reach stable storage. */
  flush(done: BlockCompletion): void;
  /** The range's content is of no more interest; may do nothing. */
  discard(offset: number, sizeBytes: number, done: BlockCompletion): void;
  /** The range reads as zeroes afterwards; `mayUnmap`: it need not stay allocated. */
  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean, done: BlockCompletion): void;
  /** The medium was changed, removed, resized: the device hears of it. One device a backend. */
  onMediumChanged?: (() => void) | undefined;
}
