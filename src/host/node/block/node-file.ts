/** Files of the host as the block layer uses them. */
import * as fs from 'node:fs';
import { BlockError, EFBIG, EIO } from '../../../block/block-node.ts';
import {
  type HostFile,
  type OpenFileOptions,
  PERM_CONSISTENT_READ,
  PERM_RESIZE,
  PERM_WRITE,
  PERM_WRITE_UNCHANGED,
} from '../../../block/host.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';
import { lockFile } from './file-lock.ts';
import {
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  libc,
  SEEK_DATA,
  SEEK_HOLE,
} from './libc.ts';

/** Requests of at least this many bytes go to the thread pool: others can pass meanwhile. */
const POOL_BYTES = 256 * 1024;
/** A small request that takes longer than this on average waits for a disk, not for the page cache. */
const SLOW_MS = 0.25;
const MAX_SAMPLE_MS = 1;
const PROBE_INTERVAL = 32;
const SEEK_END = 2;
/** No file is longer; sums with lengths of requests are still exact. */
const MAX_OFFSET = 2 ** 52;
const ENXIO = 6;

/** An error of the host as one of a request. */
export function blockErrorOf(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  const errno = Math.abs((error as NodeJS.ErrnoException).errno ?? EIO);
  return new BlockError(errno, errorReason(error));
}

/** Opens and locks. `UserError` if that is impossible. */
export function openNodeFile(path: string, options: OpenFileOptions): NodeFile {
  const { isReadOnly, create = false } = options;
  let flags = isReadOnly ? fs.constants.O_RDONLY : fs.constants.O_RDWR;
  if (create) flags |= fs.constants.O_CREAT;
  const fail = (reason: string): UserError =>
    new UserError(
      'FileOpenFailed',
      create ? `${path}: Could not create file: ${reason}` : `Could not open '${path}': ${reason}`,
    );
  let fd: number;
  try {
    fd = fs.openSync(path, flags | (fs.constants.O_NONBLOCK ?? 0), 0o644);
  } catch (error) {
    throw fail(sentence(errorReason(error)));
  }
  try {
    const stat = fs.fstatSync(fd);
    if (stat.isDirectory()) throw fail('Is a directory');
    const isDevice = stat.isBlockDevice() || stat.isCharacterDevice();
    if (!stat.isFile() && !isDevice) throw fail('neither a file nor a block device');
    if (options.kind === 'device' && !isDevice) throw fail('not a block device');
    lock(fd, path, options);
    if (create && !isDevice) fs.ftruncateSync(fd, 0);
    return new NodeFile(fd, path, isDevice, isReadOnly, options.ignoresFlush === true);
  } catch (error) {
    fs.closeSync(fd);
    throw error instanceof UserError ? error : fail(sentence(errorReason(error)));
  }
}

/** "no such file" as the C library writes it: "No such file". */
function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function lock(fd: number, path: string, options: OpenFileOptions): void {
  if (options.locking === 'off') return;
  const c = libc();
  if (c === undefined) {
    if (options.locking === 'on') throw new UserError('FileLocked', `${path}: this host has no file locks`);
    return;
  }
  if (options.forceShare === true && options.isReadOnly) return;
  const held = options.isReadOnly
    ? PERM_CONSISTENT_READ
    : PERM_CONSISTENT_READ | PERM_WRITE | (options.create === true ? PERM_RESIZE : 0);
  const writers = options.shareWrite === true || options.forceShare === true ? PERM_WRITE : 0;
  const shared = PERM_CONSISTENT_READ | PERM_WRITE_UNCHANGED | writers;
  lockFile(c, fd, path, held, shared);
}

export class NodeFile implements HostFile {
  readonly path: string;
  readonly isDevice: boolean;
  readonly isReadOnly: boolean;
  readonly #fd: number;
  readonly #ignoresFlush: boolean;
  #deletePath: string | undefined;
  #isClosed = false;
  #averageMs = 0;
  /** Small requests sent to the thread pool. */
  #pooled = 0;
  #canPunch = true;
  #canZero = true;

  constructor(fd: number, path: string, isDevice: boolean, isReadOnly: boolean, ignoresFlush: boolean) {
    this.#fd = fd;
    this.path = path;
    this.isDevice = isDevice;
    this.isReadOnly = isReadOnly;
    this.#ignoresFlush = ignoresFlush;
  }

  /** The file goes when it is closed. */
  deleteOnClose(): void {
    this.#deletePath = this.path;
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    if (offset > MAX_OFFSET) return Promise.resolve(0);
    return this.#usesPool(into.length) ? this.#readPooled(offset, into) : this.#readNow(offset, into);
  }

  write(offset: number, from: Uint8Array): Promise<void> {
    if (offset > MAX_OFFSET) return Promise.reject(new BlockError(EFBIG, 'File too large'));
    return this.#usesPool(from.length) ? this.#writePooled(offset, from) : this.#writeNow(offset, from);
  }

  sync(): Promise<void> {
    if (this.#ignoresFlush) return Promise.resolve();
    return this.#call((done) => fs.fdatasync(this.#fd, (error) => done(error, undefined)));
  }

  async sizeBytes(): Promise<number> {
    if (!this.isDevice) return fs.fstatSync(this.#fd).size;
    const end = libc()?.lseek(this.#fd, 0, SEEK_END);
    if (end !== undefined && end >= 0) return end;
    return this.#deviceSizeBySearch();
  }

  truncate(sizeBytes: number): Promise<void> {
    if (sizeBytes > MAX_OFFSET) return Promise.reject(new BlockError(EFBIG, 'File too large'));
    return this.#call((done) => fs.ftruncate(this.#fd, sizeBytes, (error) => done(error, undefined)));
  }

  async punchHole(offset: number, sizeBytes: number): Promise<boolean> {
    if (!this.#canPunch || sizeBytes <= 0) return sizeBytes <= 0;
    this.#canPunch = this.#fallocate(FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, sizeBytes);
    return this.#canPunch;
  }

  async zeroRange(offset: number, sizeBytes: number): Promise<boolean> {
    if (!this.#canZero) return false;
    this.#canZero = this.#fallocate(FALLOC_ZERO_RANGE, offset, sizeBytes);
    return this.#canZero;
  }

  async allocate(offset: number, sizeBytes: number): Promise<boolean> {
    return this.#fallocate(0, offset, sizeBytes);
  }

  extent(offset: number): { isData: boolean; end: number } | undefined {
    const c = libc();
    if (c === undefined || this.isDevice || offset > MAX_OFFSET) return undefined;
    const data = c.lseek(this.#fd, offset, SEEK_DATA);
    if (data < 0) return c.errno() === ENXIO ? { isData: false, end: Number.MAX_SAFE_INTEGER } : undefined;
    if (data > offset) return { isData: false, end: data };
    const hole = c.lseek(this.#fd, offset, SEEK_HOLE);
    return hole <= offset ? undefined : { isData: true, end: hole };
  }

  async allocatedBytes(): Promise<number> {
    return fs.fstatSync(this.#fd).blocks * 512;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    fs.closeSync(this.#fd);
    if (this.#deletePath !== undefined) fs.rmSync(this.#deletePath, { force: true });
  }

  /** Small requests are served from the page cache: a thread would cost more than the copy. */
  #usesPool(sizeBytes: number): boolean {
    if (sizeBytes >= POOL_BYTES) return true;
    // Now and then one is done here, to see whether the file has become fast.
    return this.#averageMs > SLOW_MS && ++this.#pooled % PROBE_INTERVAL !== 0;
  }

  async #readNow(offset: number, into: Uint8Array): Promise<number> {
    const started = performance.now();
    try {
      let at = 0;
      while (at < into.length) {
        const count = fs.readSync(this.#fd, into, at, into.length - at, offset + at);
        if (count === 0) break;
        at += count;
      }
      return at;
    } catch (error) {
      throw blockErrorOf(error);
    } finally {
      this.#measure(started);
    }
  }

  async #writeNow(offset: number, from: Uint8Array): Promise<void> {
    const started = performance.now();
    try {
      for (let at = 0; at < from.length; )
        at += fs.writeSync(this.#fd, from, at, from.length - at, offset + at);
    } catch (error) {
      throw blockErrorOf(error);
    } finally {
      this.#measure(started);
    }
  }

  async #readPooled(offset: number, into: Uint8Array): Promise<number> {
    let at = 0;
    while (at < into.length) {
      const from = at;
      const count = await this.#call<number>((done) =>
        fs.read(this.#fd, into, from, into.length - from, offset + from, done),
      );
      if (count === 0) break;
      at += count;
    }
    return at;
  }

  async #writePooled(offset: number, from: Uint8Array): Promise<void> {
    for (let at = 0; at < from.length; ) {
      const start = at;
      at += await this.#call<number>((done) =>
        fs.write(this.#fd, from, start, from.length - start, offset + start, done),
      );
    }
  }

  #measure(startedMs: number): void {
    // One long wait (for a processor, say) does not make a slow file.
    const ms = Math.min(MAX_SAMPLE_MS, performance.now() - startedMs);
    this.#averageMs += (ms - this.#averageMs) / 32;
  }

  #call<T>(start: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) =>
      start((error, value) => (error === null ? resolve(value) : reject(blockErrorOf(error)))),
    );
  }

  #fallocate(mode: number, offset: number, sizeBytes: number): boolean {
    return offset + sizeBytes <= MAX_OFFSET && libc()?.fallocate(this.#fd, mode, offset, sizeBytes) === 0;
  }

  /** Size of a device without lseek: the last sector that can be read, by bisection. */
  #deviceSizeBySearch(): number {
    const sector = new Uint8Array(512);
    const isThere = (at: number): boolean => {
      try {
        return fs.readSync(this.#fd, sector, 0, 512, at * 512) > 0;
      } catch {
        return false;
      }
    };
    let low = 0;
    let high = 2 ** 43;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isThere(middle)) low = middle + 1;
      else high = middle;
    }
    return low * 512;
  }
}
