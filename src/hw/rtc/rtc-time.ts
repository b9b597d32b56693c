/** The ten time bytes of an MC146818 and their coding (data sheet, table 3). */
import { fromBcd, toBcd } from '../../util/bits.ts';

export const REG_SECONDS = 0;
export const REG_SECONDS_ALARM = 1;
export const REG_MINUTES = 2;
export const REG_MINUTES_ALARM = 3;
export const REG_HOURS = 4;
export const REG_HOURS_ALARM = 5;
export const REG_WEEKDAY = 6;
export const REG_DAY = 7;
export const REG_MONTH = 8;
export const REG_YEAR = 9;
/** Where PCs keep the century; ACPI's FADT names it. */
export const REG_CENTURY = 0x32;

/** Register B: binary instead of BCD, 24 instead of 12 hours. */
export const B_BINARY = 4;
export const B_24_HOURS = 2;

const DAY_SECONDS = 86400;

function encode(value: number, regB: number): number {
  return (regB & B_BINARY) !== 0 ? value : toBcd(value);
}

function decode(value: number, regB: number): number {
  return (regB & B_BINARY) !== 0 ? value : fromBcd(value);
}

function encodeHours(hours: number, regB: number): number {
  if ((regB & B_24_HOURS) !== 0) return encode(hours, regB);
  const pm = hours >= 12 ? 0x80 : 0;
  return encode(hours % 12 === 0 ? 12 : hours % 12, regB) | pm;
}

function decodeHours(value: number, regB: number): number {
  if ((regB & B_24_HOURS) !== 0) return decode(value, regB);
  return (decode(value & 0x7f, regB) % 12) + ((value & 0x80) !== 0 ? 12 : 0);
}

/** Writes the time bytes for a count of seconds since 1970 into `cmos`. */
export function secondsToRegisters(seconds: number, cmos: Uint8Array, regB: number): void {
  const date = new Date(Math.max(0, Math.min(seconds, 8.64e12)) * 1000);
  cmos[REG_SECONDS] = encode(date.getUTCSeconds(), regB);
  cmos[REG_MINUTES] = encode(date.getUTCMinutes(), regB);
  cmos[REG_HOURS] = encodeHours(date.getUTCHours(), regB);
  cmos[REG_WEEKDAY] = encode(date.getUTCDay() + 1, regB);
  cmos[REG_DAY] = encode(date.getUTCDate(), regB);
  cmos[REG_MONTH] = encode(date.getUTCMonth() + 1, regB);
  cmos[REG_YEAR] = encode(date.getUTCFullYear() % 100, regB);
  cmos[REG_CENTURY] = encode(Math.floor(date.getUTCFullYear() / 100) % 100, regB);
}

/** The count of seconds since 1970 that the time bytes show; nonsense in them gives some time, never NaN. */
export function registersToSeconds(cmos: Uint8Array, regB: number): number {
  const century = decode(cmos[REG_CENTURY]!, regB) % 100;
  const year = century * 100 + (decode(cmos[REG_YEAR]!, regB) % 100);
  const month = decode(cmos[REG_MONTH]!, regB) - 1;
  const date = new Date(0);
  date.setUTCFullYear(year, month, decode(cmos[REG_DAY]!, regB));
  const hours = decodeHours(cmos[REG_HOURS]!, regB);
  return (
    date.getTime() / 1000 +
    hours * 3600 +
    decode(cmos[REG_MINUTES]!, regB) * 60 +
    decode(cmos[REG_SECONDS]!, regB)
  );
}

/** A field of the alarm: 0xc0…0xff matches any value (data sheet, "Alarm"). */
function matches(alarm: number, value: number): boolean {
  return alarm >= 0xc0 || alarm === value;
}

/**
 * The first second after `seconds` at which the alarm of `cmos` goes off, within the next day; Infinity if none (a value
 * no clock shows).
 */
export function nextAlarm(seconds: number, cmos: Uint8Array, regB: number): number {
  const [secondAlarm, minuteAlarm, hourAlarm] = [
    cmos[REG_SECONDS_ALARM]!,
    cmos[REG_MINUTES_ALARM]!,
    cmos[REG_HOURS_ALARM]!,
  ];
  let at = seconds + 1;
  while (at <= seconds + DAY_SECONDS) {
    if (!matches(hourAlarm, encodeHours(Math.floor(at / 3600) % 24, regB)))
      at = (Math.floor(at / 3600) + 1) * 3600;
    else if (!matches(minuteAlarm, encode(Math.floor(at / 60) % 60, regB)))
      at = (Math.floor(at / 60) + 1) * 60;
    else if (!matches(secondAlarm, encode(at % 60, regB))) at++;
    else return at;
  }
  return Number.POSITIVE_INFINITY;
}
