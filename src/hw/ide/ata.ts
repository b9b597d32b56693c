/** Numbers of the ATA/ATAPI task file and commands (ATA/ATAPI-6, T13 1410D; ATA8-ACS). */

export const SECTOR_BYTES = 512;
/** Most sectors of a data block of READ MULTIPLE. */
export const MAX_MULTIPLE = 16;

// Status register
export const STATUS_BSY = 0x80;
export const STATUS_DRDY = 0x40;
export const STATUS_DF = 0x20;
export const STATUS_DSC = 0x10;
export const STATUS_DRQ = 0x08;
export const STATUS_ERR = 0x01;
export const STATUS_READY = STATUS_DRDY | STATUS_DSC;

// Error register
export const ERROR_UNC = 0x40;
export const ERROR_IDNF = 0x10;
export const ERROR_ABRT = 0x04;

// Device control register
export const CONTROL_NIEN = 0x02;
export const CONTROL_SRST = 0x04;
export const CONTROL_HOB = 0x80;

// Device register
export const DEVICE_SLAVE = 0x10;
export const DEVICE_LBA = 0x40;
export const DEVICE_ALWAYS = 0xa0;

// Interrupt reason (ATAPI, in the sector count register)
export const REASON_COMMAND = 0x01;
export const REASON_TO_HOST = 0x02;

export const CMD_DATA_SET_MANAGEMENT = 0x06;
export const CMD_DEVICE_RESET = 0x08;
export const CMD_READ = 0x20;
export const CMD_READ_EXT = 0x24;
export const CMD_READ_DMA_EXT = 0x25;
export const CMD_READ_NATIVE_MAX_EXT = 0x27;
export const CMD_READ_MULTIPLE_EXT = 0x29;
export const CMD_WRITE = 0x30;
export const CMD_WRITE_EXT = 0x34;
export const CMD_WRITE_DMA_EXT = 0x35;
export const CMD_WRITE_MULTIPLE_EXT = 0x39;
export const CMD_WRITE_DMA_FUA_EXT = 0x3d;
export const CMD_VERIFY = 0x40;
export const CMD_VERIFY_EXT = 0x42;
export const CMD_SEEK = 0x70;
export const CMD_DIAGNOSTIC = 0x90;
export const CMD_INITIALIZE_PARAMETERS = 0x91;
export const CMD_PACKET = 0xa0;
export const CMD_IDENTIFY_PACKET = 0xa1;
export const CMD_SMART = 0xb0;
export const CMD_READ_MULTIPLE = 0xc4;
export const CMD_WRITE_MULTIPLE = 0xc5;
export const CMD_SET_MULTIPLE = 0xc6;
export const CMD_READ_DMA = 0xc8;
export const CMD_WRITE_DMA = 0xca;
export const CMD_STANDBY_IMMEDIATE = 0xe0;
export const CMD_IDLE_IMMEDIATE = 0xe1;
export const CMD_STANDBY = 0xe2;
export const CMD_IDLE = 0xe3;
export const CMD_CHECK_POWER = 0xe5;
export const CMD_SLEEP = 0xe6;
export const CMD_FLUSH = 0xe7;
export const CMD_FLUSH_EXT = 0xea;
export const CMD_IDENTIFY = 0xec;
export const CMD_SET_FEATURES = 0xef;
export const CMD_READ_NATIVE_MAX = 0xf8;

/** Text of the IDENTIFY data: space-padded, the bytes of each word swapped. */
export function putIdentifyText(words: Uint16Array, word: number, count: number, text: string): void {
  const padded = text.padEnd(2 * count, ' ');
  for (let i = 0; i < count; i++) {
    words[word + i] = ((padded.charCodeAt(2 * i) & 0x7f) << 8) | (padded.charCodeAt(2 * i + 1) & 0x7f);
  }
}

/** The integrity word 255: signature 0xa5 and a checksum over all 512 bytes. */
export function sealIdentify(words: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  words.forEach((word, i) => {
    bytes[2 * i] = word;
    bytes[2 * i + 1] = word >> 8;
  });
  bytes[510] = 0xa5;
  bytes[511] = 0;
  bytes[511] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}
