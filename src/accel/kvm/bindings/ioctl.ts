/** How Linux encodes ioctl requests (include/uapi/asm-generic/ioctl.h): direction, size of the structure, type, number. */

const KVMIO = 0xae;
const WRITE = 1;
const READ = 2;

function encode(direction: number, number: number, sizeBytes: number): number {
  return ((direction << 30) | (sizeBytes << 16) | (KVMIO << 8) | number) >>> 0;
}

/** No structure. */
export function io(number: number): number {
  return encode(0, number, 0);
}

/** The kernel reads a structure. */
export function iow(number: number, sizeBytes: number): number {
  return encode(WRITE, number, sizeBytes);
}

/** The kernel fills a structure. */
export function ior(number: number, sizeBytes: number): number {
  return encode(READ, number, sizeBytes);
}

export function iowr(number: number, sizeBytes: number): number {
  return encode(READ | WRITE, number, sizeBytes);
}
