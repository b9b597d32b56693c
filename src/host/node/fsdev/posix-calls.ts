/** System calls that Node has no functions for, through the optional npm package `koffi`; undefined where it is missing. */
import { createRequire } from 'node:module';
import { ShareError } from '../../../fsdev/share.ts';

export interface PosixCalls {
  mknod(path: string, mode: number, rdev: number): void;
  getXattr(path: string, name: string): Uint8Array;
  listXattr(path: string): string[];
  setXattr(path: string, name: string, value: Uint8Array, flags: number): void;
  removeXattr(path: string, name: string): void;
}

interface Koffi {
  load(path: string | null): {
    func(name: string, result: string, parameters: readonly string[]): (...args: unknown[]) => number;
  };
  errno(): number;
}

const MAX_VALUE = 65536;

export function loadPosixCalls(): PosixCalls | undefined {
  if (process.platform !== 'linux') return undefined;
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    return undefined;
  }
  const libc = koffi.load(null);
  const mknod = libc.func('mknod', 'int', ['const uint8_t *', 'uint32_t', 'uint64_t']);
  const get = libc.func('getxattr', 'int64_t', ['const uint8_t *', 'const uint8_t *', 'uint8_t *', 'size_t']);
  const list = libc.func('listxattr', 'int64_t', ['const uint8_t *', 'uint8_t *', 'size_t']);
  const set = libc.func('setxattr', 'int', [
    'const uint8_t *',
    'const uint8_t *',
    'const uint8_t *',
    'size_t',
    'int',
  ]);
  const remove = libc.func('removexattr', 'int', ['const uint8_t *', 'const uint8_t *']);
  const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'latin1');
  const checked = (result: number): number => {
    if (Number(result) < 0) throw new ShareError(koffi.errno());
    return Number(result);
  };
  return {
    mknod: (path, mode, rdev) => void checked(mknod(text(path), mode, rdev)),
    getXattr(path, name) {
      const value = Buffer.alloc(MAX_VALUE);
      return value.subarray(0, checked(get(text(path), text(name), value, value.length)));
    },
    listXattr(path) {
      const value = Buffer.alloc(MAX_VALUE);
      const bytes = checked(list(text(path), value, value.length));
      return value
        .toString('latin1', 0, bytes)
        .split('\0')
        .filter((name) => name !== '');
    },
    setXattr: (path, name, value, flags) =>
      void checked(set(text(path), text(name), value, value.length, flags)),
    removeXattr: (path, name) => void checked(remove(text(path), text(name))),
  };
}
