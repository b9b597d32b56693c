import { UserError } from '../util/errors.ts';

const SUFFIXES: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `512`, `1.5G`, `64k` as bytes; without a suffix the unit is MiB. `what` begins the message of the `UserError`. */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)$/i.exec(text);
  const bytes = match === null ? Number.NaN : Number(match[1]) * SUFFIXES[(match[2] || 'm').toLowerCase()]!;
  if (!Number.isSafeInteger(bytes)) throw new UserError('BadSize', `${what}: "${text}" is not a size`);
  return bytes;
}
