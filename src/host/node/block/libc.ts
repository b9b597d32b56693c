/** The few calls of the C library that Node lacks, through the optional package koffi. Linux only. */
import { createRequire } from 'node:module';

export interface LibC {
  /** Errno-style: -1 on failure. */
  lseek(fd: number, offset: number, whence: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  /** Sets or tests an open-file-description lock. Returns the holder's type for `F_OFD_GETLK`. */
  lock(
    fd: number,
    command: number,
    type: number,
    start: number,
    length: number,
  ): { result: number; type: number };
  errno(): number;
}

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

/** `struct flock` of 64-bit Linux: type and whence (16 bits each), start at 8, length at 16, pid at 24. */
const FLOCK_BYTES = 32;

type NativeFunction = (...args: unknown[]) => number;

interface Koffi {
  load(path: string | null): { func(prototype: string): NativeFunction };
  errno(): number;
}

let loaded: LibC | undefined | null = null;

/** Undefined where the package or the system lacks it. */
export function libc(): LibC | undefined {
  if (loaded === null) loaded = load();
  return loaded;
}

function load(): LibC | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch))
    return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const lib = koffi.load(null);
    const lseek = lib.func('int64_t lseek(int, int64_t, int)');
    const fallocate = lib.func('int fallocate(int, int, int64_t, int64_t)');
    const fcntl = lib.func('int fcntl(int, int, ...)');
    return {
      lseek: (fd, offset, whence) => Number(lseek(fd, offset, whence)),
      fallocate: (fd, mode, offset, length) => fallocate(fd, mode, offset, length),
      lock(fd, command, type, start, length) {
        const bytes = new Uint8Array(FLOCK_BYTES);
        const view = new DataView(bytes.buffer);
        view.setInt16(0, type, true);
        view.setBigInt64(8, BigInt(start), true);
        view.setBigInt64(16, BigInt(length), true);
        const result = fcntl(fd, command, 'void *', bytes);
        return { result, type: view.getInt16(0, true) };
      },
      errno: () => koffi.errno(),
    };
  } catch {
    return undefined;
  }
}
