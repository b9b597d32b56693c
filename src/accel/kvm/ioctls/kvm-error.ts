/** System errors of KVM calls, in words. */

/** Linux error numbers that KVM calls give (include/uapi/asm-generic/errno-base.h, errno.h). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EINTR: 4,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
} as const;

const REASONS: Readonly<Record<number, string>> = {
  1: 'operation not permitted',
  2: 'no such file or device',
  4: 'interrupted',
  5: 'input/output error',
  6: 'no such device or address',
  7: 'the list is too long',
  9: 'bad file descriptor',
  11: 'resource temporarily unavailable',
  12: 'out of memory',
  13: 'permission denied',
  14: 'bad address',
  16: 'device or resource busy',
  17: 'exists already',
  19: 'no such device',
  22: 'invalid argument',
  24: 'too many open files',
  25: 'not supported by this kernel',
  28: 'no space left',
  38: 'not implemented by this kernel',
  95: 'operation not supported',
};

/** The name of an error number, as `errno` lists it. */
export function errnoName(errno: number): string {
  const found = Object.entries(ERRNO).find(([, value]) => value === errno);
  return found === undefined ? `error ${errno}` : found[0];
}

export function errnoReason(errno: number): string {
  return REASONS[errno] ?? `error ${errno}`;
}

/** A call that KVM refused. `operation` is the ioctl's name in the kernel's documentation. */
export class KvmError extends Error {
  readonly operation: string;
  readonly errno: number;

  constructor(operation: string, errno: number) {
    super(`${operation}: ${errnoReason(errno)} (${errnoName(errno)})`);
    this.name = 'KvmError';
    this.operation = operation;
    this.errno = errno;
  }
}

/** Passes a result on, or throws `KvmError` for a negated error number. */
export function checked(result: number, operation: string): number {
  if (result < 0) throw new KvmError(operation, -result);
  return result;
}
