/**
 * A node of the block graph: protocol nodes (a file, a device, a server) hold bytes, format nodes give them the meaning of a
 * disk, filter nodes change how requests pass. All of it runs on one thread, away from the machine's.
 */

/** A request that failed; `errno` has Linux' number. */
export class BlockError extends Error {
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.name = 'BlockError';
    this.errno = errno;
  }
}

export const EPERM = 1;
export const ENOENT = 2;
export const EIO = 5;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const ENOTSUP = 95;
export const ENOMEDIUM = 123;
export const ECANCELED = 125;

/** What lies at an offset. */
export interface BlockStatus {
  /** The answer holds for this many bytes (at least 1, at most what was asked for). */
  readonly sizeBytes: number;
  /** `hole`: nothing in this node; what is below it shows through, or zeroes if nothing is. */
  readonly kind: 'data' | 'zero' | 'hole';
  /** Offset in the file below, where the bytes lie there as they are read. */
  readonly hostOffset?: number | undefined;
  readonly isCompressed?: boolean;
  /** Allocated in the file although it reads as zeroes. */
  readonly isAllocated?: boolean;
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

/**
 * Requests are made within `sizeBytes`, except of protocol nodes: those read zeroes beyond their end and grow when written
 * there. Buffers belong to the node until the promise settles. Requests under way may complete in any order; overlapping
 * ones have no order. Failures reject with `BlockError`.
 */
export interface BlockNode {
  /** The driver's name: `qcow2`. */
  readonly driver: string;
  /** As messages show it. */
  readonly filename: string;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  /** Requests that are multiples of this need no read-modify-write. */
  readonly blockSizeBytes: number;
  read(offset: number, into: Uint8Array): Promise<void>;
  write(offset: number, from: Uint8Array): Promise<void>;
  /** `mayUnmap`: the range need not stay allocated. */
  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void>;
  /** May do nothing. */
  discard(offset: number, sizeBytes: number): Promise<void>;
  /** Completed writes reach stable storage. */
  flush(): Promise<void>;
  status(offset: number, sizeBytes: number): Promise<BlockStatus>;
  /** The new end reads as zeroes. */
  resize(sizeBytes: number, preallocation?: Preallocation): Promise<void>;
  /** Writes what is pending, releases the node and those below it. */
  close(): Promise<void>;
  /** Bytes that the node and its files take on the host; undefined: unknown. */
  allocatedBytes(): Promise<number | undefined>;
  /** The node directly below that holds this node's bytes. */
  readonly file?: BlockNode | undefined;
  /** What shows through where this node has nothing. */
  readonly backing?: BlockNode | undefined;
}

/** Largest size of anything: what a double counts exactly, rounded down to sectors. */
export const MAX_SIZE_BYTES = 2 ** 53 - 512;

export const SECTOR = 512;

/** Whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const { length } = bytes;
  let at = 0;
  while (at < length && ((bytes.byteOffset + at) & 3) !== 0) if (bytes[at++] !== 0) return false;
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, (length - at) >>> 2);
  let i = 0;
  for (; i + 8 <= words.length; i += 8) {
    const any =
      words[i]! |
      words[i + 1]! |
      words[i + 2]! |
      words[i + 3]! |
      words[i + 4]! |
      words[i + 5]! |
      words[i + 6]! |
      words[i + 7]!;
    if (any !== 0) return false;
  }
  for (; i < words.length; i++) if (words[i] !== 0) return false;
  for (at += words.length * 4; at < length; at++) if (bytes[at] !== 0) return false;
  return true;
}
