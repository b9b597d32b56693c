/**
 * Locks that QEMU and its tools understand: one byte for each permission somebody has (from 100) and one for each that
 * somebody does not share (from 200), read-locked by whoever has or refuses it.
 */
import { PERM_CONSISTENT_READ, PERM_RESIZE, PERM_WRITE, PERM_WRITE_UNCHANGED } from '../../../block/host.ts';
import { UserError } from '../../../util/errors.ts';
import { F_OFD_GETLK, F_OFD_SETLK, F_RDLCK, F_UNLCK, F_WRLCK, type LibC } from './libc.ts';

const HELD_BASE = 100;
const REFUSED_BASE = 200;
const NAMES = new Map([
  [PERM_CONSISTENT_READ, 'consistent read'],
  [PERM_WRITE, 'write'],
  [PERM_WRITE_UNCHANGED, 'write unchanged'],
  [PERM_RESIZE, 'resize'],
]);
const BITS = 5;

/** `UserError` if somebody else has or refuses what is asked for. `shared`: what others may do meanwhile. */
export function lockFile(libc: LibC, fd: number, path: string, held: number, shared: number): void {
  const bits = Array.from({ length: BITS }, (_, bit) => bit);
  for (const bit of bits) {
    if ((held & (1 << bit)) !== 0) libc.lock(fd, F_OFD_SETLK, F_RDLCK, HELD_BASE + bit, 1);
    if ((shared & (1 << bit)) === 0 && bit < 4) libc.lock(fd, F_OFD_SETLK, F_RDLCK, REFUSED_BASE + bit, 1);
  }
  for (const bit of bits.slice(0, 4)) {
    const perm = 1 << bit;
    if ((held & perm) !== 0 && isLocked(libc, fd, REFUSED_BASE + bit)) throw conflict(path, perm, false);
    if ((shared & perm) === 0 && isLocked(libc, fd, HELD_BASE + bit)) throw conflict(path, perm, true);
  }
}

function isLocked(libc: LibC, fd: number, byte: number): boolean {
  const { result, type } = libc.lock(fd, F_OFD_GETLK, F_WRLCK, byte, 1);
  return result === 0 && type !== F_UNLCK;
}

function conflict(path: string, perm: number, isShared: boolean): UserError {
  const what = isShared
    ? `Failed to get shared "${NAMES.get(perm)}" lock`
    : `Failed to get "${NAMES.get(perm)}" lock`;
  return new UserError('FileLocked', `${what}: Is another process using the image [${path}]?`);
}
