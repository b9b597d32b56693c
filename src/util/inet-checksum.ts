/** The Internet checksum (RFC 1071): one's complement sum of 16-bit big-endian words. */

/** Adds `length` bytes from `start` to a running sum; an odd last byte counts as the high half of a word. */
export function addToSum(sum: number, bytes: Uint8Array, start: number, length: number): number {
  const end = start + (length & ~1);
  const unrolled = start + (length & ~15);
  let total = sum;
  let at = start;
  while (at < unrolled) {
    total +=
      ((bytes[at]! + bytes[at + 2]! + bytes[at + 4]! + bytes[at + 6]!) << 8) +
      bytes[at + 1]! +
      bytes[at + 3]! +
      bytes[at + 5]! +
      bytes[at + 7]! +
      ((bytes[at + 8]! + bytes[at + 10]! + bytes[at + 12]! + bytes[at + 14]!) << 8) +
      bytes[at + 9]! +
      bytes[at + 11]! +
      bytes[at + 13]! +
      bytes[at + 15]!;
    at += 16;
  }
  for (; at < end; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  if ((length & 1) !== 0) total += bytes[end]! << 8;
  return total;
}

/** A running sum (below 2^53) folded to 16 bits. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** The checksum of a range with what `sum` brings along. */
export function inetChecksum(bytes: Uint8Array, start: number, length: number, sum = 0): number {
  return ~foldSum(addToSum(sum, bytes, start, length)) & 0xffff;
}
