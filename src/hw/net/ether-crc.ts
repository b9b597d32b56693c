/** CRC-32 of IEEE 802.3, most significant bit first, as multicast filters use it. */
export function etherCrc(bytes: Uint8Array, length: number): number {
  let crc = 0xffffffff;
  for (let n = 0; n < length; n++) {
    for (let bit = 0, byte = bytes[n]!; bit < 8; bit++, byte >>= 1) {
      const carry = (crc >>> 31) ^ (byte & 1);
      crc = (crc << 1) >>> 0;
      if (carry !== 0) crc = (crc ^ 0x04c11db7) >>> 0;
    }
  }
  return crc >>> 0;
}
