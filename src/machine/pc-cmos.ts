/** What firmware leaves in the CMOS RAM of a PC: memory sizes, equipment, boot order. */

import { bootOrderNibbles } from './firmware/boot-options.ts';

/** The RTC as the board sees it. */
export interface CmosRam {
  poke(index: number, value: number): void;
}

const KIB = 1024;
const BASE_MEMORY = 0x15;
const EXTENDED_MEMORY = 0x17;
const EXTENDED_MEMORY_COPY = 0x30;
const MEMORY_ABOVE_16M = 0x34;
const MEMORY_ABOVE_4G = 0x5b;
const BOOT_ORDER = 0x3d;
/** Third boot device in the high nibble; bit 0: a floppy's boot signature is not checked. */
const BOOT_ORDER_THIRD = 0x38;
/** Processors beyond the first. */
export const CMOS_CPU_COUNT = 0x5f;

/** `order` is that of `-boot order=`. */
export function fillCmos(
  cmos: CmosRam,
  lowRamEnd: number,
  highRamBytes: number,
  order: string,
  checksFloppy = true,
): void {
  const word = (index: number, value: number): void => {
    cmos.poke(index, value & 0xff);
    cmos.poke(index + 1, (value >>> 8) & 0xff);
  };
  const limited = (value: number): number => Math.max(0, Math.min(65535, Math.floor(value)));
  word(BASE_MEMORY, 640);
  const extendedKiB = limited((lowRamEnd - 2 ** 20) / KIB);
  word(EXTENDED_MEMORY, extendedKiB);
  word(EXTENDED_MEMORY_COPY, extendedKiB);
  word(MEMORY_ABOVE_16M, limited((lowRamEnd - 16 * 2 ** 20) / (64 * KIB)));
  const above4G = Math.floor(highRamBytes / (64 * KIB));
  word(MEMORY_ABOVE_4G, above4G & 0xffff);
  cmos.poke(MEMORY_ABOVE_4G + 2, (above4G >>> 16) & 0xff);
  const nibbles = bootOrderNibbles(order);
  cmos.poke(BOOT_ORDER, nibbles & 0xff);
  cmos.poke(BOOT_ORDER_THIRD, ((nibbles >>> 4) & 0xf0) | (checksFloppy ? 0 : 1));
}
