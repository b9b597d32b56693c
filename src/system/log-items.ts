import { LOG_ITEMS } from '../accel/tcg/log.ts';
import { UserError } from '../util/errors.ts';

/** Bits of the `-d` items. `UserError` for an unknown one. */
export function logMask(items: readonly string[]): number {
  let mask = 0;
  for (const item of items) {
    const bit = LOG_ITEMS[item];
    if (bit === undefined) {
      throw new UserError(
        'UnknownLogItem',
        `-d: unknown item "${item}" (known: ${Object.keys(LOG_ITEMS).join(', ')})`,
      );
    }
    mask |= bit;
  }
  return mask;
}
