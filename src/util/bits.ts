/** Bit arithmetic on 32-bit integers and on addresses (JS numbers, exact to 2^53). */

/** `value` as an unsigned 32-bit number. */
export function u32(value: number): number {
  return value >>> 0;
}

/** The lowest `size * 8` bits set (`size` in bytes, 1 to 4), as an unsigned number: what an open bus reads as. */
export function allOnes(size: number): number {
  return size >= 4 ? 0xffffffff : (1 << (size << 3)) - 1;
}

/** Keeps the lowest `size` bytes of `value` (`size` 1 to 4), unsigned. */
export function truncate(value: number, size: number): number {
  return size >= 4 ? value >>> 0 : value & ((1 << (size << 3)) - 1);
}

/** Sign-extends the lowest `bits` bits (1 to 32) of `value` to a signed 32-bit number. */
export function signExtend(value: number, bits: number): number {
  const shift = 32 - bits;
  return (value << shift) >> shift;
}

/** `value >>> low`, `width` bits of it. */
export function bitField(value: number, low: number, width: number): number {
  return width >= 32 ? value >>> low : (value >>> low) & ((1 << width) - 1);
}

/** Whether bit `n` is set. */
export function testBit(value: number, n: number): boolean {
  return ((value >>> n) & 1) !== 0;
}

/** Number of trailing zero bits of a 32-bit value; 32 for zero. */
export function countTrailingZeros(value: number): number {
  return value === 0 ? 32 : 31 - Math.clz32(value & -value);
}

/** Number of bits set in a 32-bit value. */
export function popCount(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

/** Whether a positive number below 2^53 is a power of two. */
export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value;
}

/** The smallest multiple of `alignment` that is not below `value`; exact for addresses up to 2^53. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** The largest multiple of `alignment` that is not above `value`. */
export function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}

/** Binary 0…99 to packed BCD. */
export function toBcd(value: number): number {
  return ((Math.floor(value / 10) << 4) | (value % 10)) & 0xff;
}

/** Packed BCD to binary; digits over 9 count as they stand (0x1f → 25), as adders in hardware do. */
export function fromBcd(value: number): number {
  return ((value >>> 4) & 15) * 10 + (value & 15);
}
