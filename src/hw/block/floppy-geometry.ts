/** Formats of floppy disks by the size of their image. */

export interface FloppyGeometry {
  readonly tracks: number;
  readonly heads: number;
  readonly sectors: number;
  /** Type of the drive that the format is made for, as CMOS byte 0x10 has it: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M. */
  readonly drive: number;
}

export const FLOPPY_SECTOR_BYTES = 512;

/** [tracks, heads, sectors, drive] */
const FORMATS = [
  [80, 2, 18, 4],
  [80, 2, 36, 5],
  [80, 2, 15, 2],
  [80, 2, 9, 3],
  [40, 2, 9, 1],
  [40, 2, 8, 1],
  [40, 1, 9, 1],
  [40, 1, 8, 1],
  [80, 2, 20, 4],
  [80, 2, 21, 4],
  [82, 2, 21, 4],
  [83, 2, 21, 4],
  [80, 2, 22, 4],
  [80, 2, 23, 4],
  [80, 2, 24, 4],
  [80, 2, 39, 5],
  [80, 2, 40, 5],
  [80, 2, 44, 5],
  [80, 2, 48, 5],
  [80, 2, 8, 2],
  [80, 2, 10, 3],
] as const;

export const DEFAULT_FLOPPY: FloppyGeometry = { tracks: 80, heads: 2, sectors: 18, drive: 4 };

/** The format of an image; an odd size is a 1.44 MB disk that ends early. */
export function floppyGeometry(sizeBytes: number): FloppyGeometry {
  const total = sizeBytes / FLOPPY_SECTOR_BYTES;
  const found = FORMATS.find(([tracks, heads, sectors]) => tracks * heads * sectors === total);
  if (found === undefined) return DEFAULT_FLOPPY;
  const [tracks, heads, sectors, drive] = found;
  return { tracks, heads, sectors, drive };
}
