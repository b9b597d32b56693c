/** IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data (ATA/ATAPI-6 8.15, 8.16). */
import * as ata from './ata.ts';
import type { Geometry } from './geometry.ts';

export interface DiskIdentity {
  readonly geometry: Geometry;
  readonly totalSectors: number;
  readonly options: { readonly serial: string; readonly model?: string; readonly firmware?: string };
  readonly backend: { readonly blockSizeBytes: number };
  readonly host: { readonly isSerial?: boolean } | undefined;
}

interface DiskModes {
  readonly multiple: number;
  readonly heads: number;
  readonly sectors: number;
  readonly multiwordDma: number;
  readonly ultraDma: number;
  readonly writeCache: number;
  readonly smart: number;
}

/** Commands that a Serial ATA host can queue. */
const QUEUE_DEPTH = 32;
const MODEL = 'LYREBIRD HARDDISK';
const CD_MODEL = 'LYREBIRD CD-ROM';
export const FIRMWARE_REVISION = '1.0';

const put32 = (words: Uint16Array, at: number, value: number): void => {
  words[at] = value & 0xffff;
  words[at + 1] = (value >>> 16) & 0xffff;
};

export function identifyDisk(disk: DiskIdentity, modes: DiskModes): Uint8Array {
  const words = new Uint16Array(256);
  const { geometry, options, totalSectors } = disk;
  words[0] = 0x0040; // fixed disk
  words[1] = geometry.cylinders;
  words[3] = geometry.heads;
  words[4] = 512 * geometry.sectors;
  words[5] = 512;
  words[6] = geometry.sectors;
  ata.putIdentifyText(words, 10, 10, options.serial);
  words[20] = 3;
  words[21] = 512; // buffer size in sectors
  words[22] = 4;
  ata.putIdentifyText(words, 23, 4, options.firmware ?? FIRMWARE_REVISION);
  ata.putIdentifyText(words, 27, 20, options.model ?? MODEL);
  words[47] = 0x8000 | ata.MAX_MULTIPLE;
  words[48] = 1; // 32-bit data port
  words[49] = (1 << 11) | (1 << 9) | (1 << 8); // IORDY, LBA, DMA
  words[50] = 0x4000;
  words[51] = 0x200;
  words[52] = 0x200;
  words[53] = 7; // words 54-58, 64-70 and 88 are valid
  const cylinders = Math.min(
    65535,
    Math.floor(Math.min(totalSectors, 16_514_064) / (modes.heads * modes.sectors || 1)),
  );
  words[54] = cylinders;
  words[55] = modes.heads;
  words[56] = modes.sectors;
  put32(words, 57, cylinders * modes.heads * modes.sectors);
  words[59] = modes.multiple === 0 ? 0 : 0x100 | modes.multiple;
  put32(words, 60, Math.min(totalSectors, 2 ** 28 - 1));
  words[63] = 0x07 | (modes.multiwordDma << 8);
  words[64] = 3;
  for (let i = 65; i <= 68; i++) words[i] = 120; // nanoseconds a word
  words[69] = 1 << 14; // TRIM is deterministic
  if (disk.host?.isSerial === true) {
    words[75] = QUEUE_DEPTH - 1;
    words[76] = (1 << 8) | (1 << 1); // native command queueing, generation 1
  }
  words[80] = 0xf0; // ATA-4 to ATA-7
  words[81] = 0x16;
  words[82] = (1 << 14) | (1 << 5) | 1; // NOP, write cache, SMART
  words[83] = (1 << 14) | (1 << 13) | (1 << 12) | (1 << 10); // flushes, 48-bit addresses
  words[84] = (1 << 14) | (1 << 6) | (1 << 1); // FUA; SMART self-test
  words[85] = (1 << 14) | (modes.writeCache << 5) | modes.smart;
  words[86] = (1 << 13) | (1 << 12) | (1 << 10);
  words[87] = (1 << 14) | (1 << 6) | (1 << 1);
  words[88] = 0x3f | (modes.ultraDma << 8);
  if (disk.host?.isSerial !== true) words[93] = 1 | (1 << 14) | 0x2000; // reset result; 80-conductor cable
  put32(words, 100, totalSectors % 2 ** 32);
  words[102] = Math.floor(totalSectors / 2 ** 32);
  words[105] = 1; // sectors of a TRIM list
  const physicalExponent = disk.backend.blockSizeBytes === 4096 ? 3 : 0;
  if (physicalExponent > 0) words[106] = 0x6000 | physicalExponent;
  words[169] = 1; // TRIM
  words[217] = 1; // does not rotate
  return ata.sealIdentify(words);
}

export function identifyCdrom(serial: string, multiwordDma: number, ultraDma: number): Uint8Array {
  const words = new Uint16Array(256);
  words[0] = 0x85c0; // removable, 50 µs, 12-byte packets, CD-ROM
  ata.putIdentifyText(words, 10, 10, serial);
  words[20] = 3;
  words[21] = 512;
  words[22] = 4;
  ata.putIdentifyText(words, 23, 4, FIRMWARE_REVISION);
  ata.putIdentifyText(words, 27, 20, CD_MODEL);
  words[48] = 1;
  words[49] = (1 << 9) | (1 << 8);
  words[53] = 7;
  words[63] = 0x07 | (multiwordDma << 8);
  words[64] = 3;
  for (let i = 65; i <= 66; i++) words[i] = 0xb4;
  words[67] = 0x12c;
  words[68] = 0xb4;
  words[71] = 30;
  words[72] = 30;
  words[80] = 0x1e;
  words[88] = 0x3f | (ultraDma << 8);
  return ata.sealIdentify(words);
}
