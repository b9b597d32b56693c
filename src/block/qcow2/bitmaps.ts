/**
 * Persistent dirty bitmaps. They are preserved and shown; those that record writes by themselves are marked as inconsistent before
 * the first write, because nobody here records.
 */
import { BlockError, EINVAL } from '../block-node.ts';
import { decodeText, readU64 } from './format.ts';
import type { Image } from './image.ts';

const FLAG_IN_USE = 1;
const FLAG_AUTO = 2;
const ENTRY_BYTES = 24;

export interface Bitmap {
  readonly name: string;
  readonly granularityBits: number;
  readonly tableOffset: number;
  readonly tableEntries: number;
  flags: number;
  /** Of the flags in the directory. */
  readonly at: number;
}

export class Bitmaps {
  readonly #image: Image;
  readonly list: readonly Bitmap[];
  #isMarked = false;

  static async load(image: Image): Promise<Bitmaps> {
    const { bitmaps } = image.header;
    if (bitmaps === undefined) return new Bitmaps(image, []);
    const bytes = new Uint8Array(bitmaps.directoryBytes);
    await image.file.read(bitmaps.directoryOffset, bytes);
    return new Bitmaps(image, parseDirectory(bytes, bitmaps.count));
  }

  private constructor(image: Image, list: readonly Bitmap[]) {
    this.#image = image;
    this.list = list;
  }

  get count(): number {
    return this.list.length;
  }

  /** Nothing to do after the first time. */
  beforeWrite(): Promise<void> | undefined {
    if (this.#isMarked || this.list.length === 0) return undefined;
    return this.#mark();
  }

  async #mark(): Promise<void> {
    this.#isMarked = true;
    const { directoryOffset } = this.#image.header.bitmaps!;
    for (const bitmap of this.list) {
      if ((bitmap.flags & FLAG_AUTO) === 0 || (bitmap.flags & FLAG_IN_USE) !== 0) continue;
      bitmap.flags |= FLAG_IN_USE;
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, bitmap.flags);
      await this.#image.file.write(directoryOffset + bitmap.at, bytes);
    }
    await this.#image.file.flush();
  }

  info(): ReadonlyArray<Readonly<Record<string, unknown>>> {
    return this.list.map(({ name, granularityBits, flags }) => ({
      flags: [
        ...((flags & FLAG_IN_USE) !== 0 ? ['in-use'] : []),
        ...((flags & FLAG_AUTO) !== 0 ? ['auto'] : []),
      ],
      name,
      granularity: 2 ** granularityBits,
    }));
  }
}

function parseDirectory(bytes: Uint8Array, count: number): Bitmap[] {
  const view = new DataView(bytes.buffer);
  const list: Bitmap[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > bytes.length) throw new BlockError(EINVAL, 'the bitmap directory is truncated');
    const nameBytes = view.getUint16(at + 18);
    const extraBytes = view.getUint32(at + 20);
    const end = at + ENTRY_BYTES + extraBytes + nameBytes;
    if (end > bytes.length) throw new BlockError(EINVAL, 'the bitmap directory is truncated');
    list.push({
      tableOffset: readU64(view, at),
      tableEntries: view.getUint32(at + 8),
      flags: view.getUint32(at + 12),
      granularityBits: view.getUint8(at + 17),
      name: decodeText(bytes.subarray(end - nameBytes, end)),
      at: at + 12,
    });
    at = Math.ceil(end / 8) * 8;
  }
  return list;
}
