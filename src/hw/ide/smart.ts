/** SMART, as much as monitoring programs want of a disk that never fails (ATA/ATAPI-6 8.55, annex on SMART data). */
import { SECTOR_BYTES } from './ata.ts';

const READ_DATA = 0xd0;
const READ_THRESHOLDS = 0xd1;
const ATTRIBUTE_AUTOSAVE = 0xd2;
const EXECUTE_OFFLINE = 0xd4;
const READ_LOG = 0xd5;
const ENABLE = 0xd8;
const DISABLE = 0xd9;
const RETURN_STATUS = 0xda;

/** The key in the LBA registers without which nothing happens. */
const KEY_MID = 0x4f;
const KEY_HIGH = 0xc2;

interface Registers {
  readonly feature: number;
  readonly count: number;
  readonly lbaLow: number;
  lbaMid: number;
  lbaHigh: number;
}

/** [id, flags, value, worst, raw, threshold] */
const ATTRIBUTES = [
  [0x01, 0x03, 100, 100, 0, 6],
  [0x03, 0x03, 100, 100, 16, 0],
  [0x05, 0x03, 100, 100, 0, 36],
  [0x09, 0x03, 100, 100, 1, 0],
  [0x0c, 0x03, 100, 100, 0, 0],
  [0xbe, 0x03, 69, 69, 31, 50],
] as const;

/** Registers are answered in place; the result is a sector of data, or how the command ends. */
export function smartCommand(s: Registers, mode: { smart: number }): Uint8Array | 'done' | 'abort' {
  if (s.lbaMid !== KEY_MID || s.lbaHigh !== KEY_HIGH) return 'abort';
  if (mode.smart === 0 && s.feature !== ENABLE) return 'abort';
  switch (s.feature) {
    case ENABLE:
    case DISABLE:
      mode.smart = s.feature === ENABLE ? 1 : 0;
      return 'done';
    case ATTRIBUTE_AUTOSAVE:
    case EXECUTE_OFFLINE:
    case RETURN_STATUS: // the key stays: no threshold exceeded
      return 'done';
    case READ_DATA:
      return attributeData();
    case READ_THRESHOLDS:
      return thresholds();
    case READ_LOG:
      return s.lbaLow <= 1 || s.lbaLow === 6 ? log(s.lbaLow) : 'abort';
    default:
      return 'abort';
  }
}

function seal(bytes: Uint8Array): Uint8Array {
  bytes[511] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

function attributeData(): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  bytes[0] = 1;
  ATTRIBUTES.forEach(([id, flags, value, worst, raw], i) => {
    bytes.set([id, flags, 0, value, worst, raw], 2 + 12 * i);
  });
  bytes[362] = 0x02; // off-line collection completed
  bytes[367] = 0x1d; // can run off-line collection and self-tests
  bytes[368] = 0x03;
  bytes[370] = 0x01; // error logging
  bytes[372] = 2; // minutes of a short self-test
  bytes[373] = 54;
  return seal(bytes);
}

function thresholds(): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  bytes[0] = 1;
  ATTRIBUTES.forEach(([id, , , , , threshold], i) => bytes.set([id, threshold], 2 + 12 * i));
  return seal(bytes);
}

/** 0: directory; 1: summary error log; 6: self-test log. Both logs are empty. */
function log(address: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  bytes[0] = 1;
  if (address === 0) bytes.set([1, 0, 1], 0);
  return address === 0 ? bytes : seal(bytes);
}
