/** The typed form of `-boot`. */
export interface BootOptions {
  /** Drive letters in the order to try: a, b floppies, c disk, d CD-ROM, n network; up to three count. */
  readonly order: string;
  /** As `order`, for the first start only. */
  readonly once: string | undefined;
  readonly menu: boolean;
  /** How long the menu's prompt stays. */
  readonly splashTimeMs: number | undefined;
  /** Waits this long and restarts when nothing boots; undefined: stays. */
  readonly rebootTimeoutMs: number | undefined;
  /** Boots from nothing that the order does not name. */
  readonly strict: boolean;
  /** Firmware looks for the signature of a floppy's boot sector. */
  readonly checksFloppy: boolean;
}

export const DEFAULT_BOOT: BootOptions = {
  order: 'cad',
  once: undefined,
  menu: false,
  splashTimeMs: undefined,
  rebootTimeoutMs: undefined,
  strict: false,
  checksFloppy: true,
};

/** CMOS codes of drive letters as PC firmware of this kind reads them. */
const CODES: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 3, n: 4 };

/** The three nibbles of the boot order, first device in the lowest. */
export function bootOrderNibbles(order: string): number {
  let value = 0;
  [...order].slice(0, 3).forEach((letter, i) => {
    value |= (CODES[letter] ?? 0) << (4 * i);
  });
  return value;
}
