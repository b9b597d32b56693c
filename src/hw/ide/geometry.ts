/** Cylinders, heads and sectors of a disk, physical (as IDENTIFY tells) and as firmware translates them. */

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** How firmware translates for INT 13h; the numbers are those of the CMOS byte 0x39. */
export const TRANSLATION_NONE = 0;
export const TRANSLATION_LBA = 1;
export const TRANSLATION_LARGE = 2;

/** ATA/ATAPI-6 C.2: 16 heads, 63 sectors, at most 16383 cylinders. */
export function defaultGeometry(totalSectors: number): Geometry {
  const cylinders = Math.floor(totalSectors / (16 * 63));
  return { cylinders: Math.max(2, Math.min(16383, cylinders)), heads: 16, sectors: 63 };
}

export function translationOf({ cylinders, heads, sectors }: Geometry): number {
  return cylinders <= 1024 && heads <= 16 && sectors <= 63 ? TRANSLATION_NONE : TRANSLATION_LBA;
}

const PARTITIONS = 0x1be;
const ENTRY_BYTES = 16;

/**
 * The geometry that a partition table was written with: the head and sector on which its partitions end. Undefined
 * without a table that says so.
 */
export function partitionedGeometry(mbr: Uint8Array, totalSectors: number): Geometry | undefined {
  if (mbr.length < 512 || mbr[510] !== 0x55 || mbr[511] !== 0xaa) return undefined;
  const view = new DataView(mbr.buffer, mbr.byteOffset, mbr.length);
  for (let i = 0; i < 4; i++) {
    const at = PARTITIONS + i * ENTRY_BYTES;
    const size = view.getUint32(at + 12, true);
    const lastHead = mbr[at + 5]!;
    if (size === 0 || lastHead === 0) continue;
    const heads = lastHead + 1;
    const sectors = mbr[at + 6]! & 63;
    if (sectors === 0) continue;
    const cylinders = Math.floor(totalSectors / (heads * sectors));
    if (cylinders < 1 || cylinders > 16383) continue;
    return { cylinders, heads, sectors };
  }
  return undefined;
}

/** Physical geometry and translation of a disk whose first sector is `mbr`. */
export function guessGeometry(
  mbr: Uint8Array,
  totalSectors: number,
): { readonly geometry: Geometry; readonly translation: number } {
  const logical = partitionedGeometry(mbr, totalSectors);
  const physical = defaultGeometry(totalSectors);
  if (logical === undefined) return { geometry: physical, translation: translationOf(physical) };
  if (logical.heads <= 16) return { geometry: logical, translation: TRANSLATION_NONE };
  const isLarge = physical.cylinders * physical.heads <= 131072;
  return { geometry: physical, translation: isLarge ? TRANSLATION_LARGE : TRANSLATION_LBA };
}
