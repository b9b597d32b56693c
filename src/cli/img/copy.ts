/** Copies a disk into another: what is zero or missing is not read, what is zero is not written. */
import { type BlockNode, isZero } from '../../block/block-node.ts';
import { chainStatus } from '../../block/chain.ts';
import type { FormatNode } from '../../block/driver.ts';

export interface CopyOptions {
  readonly source: BlockNode;
  readonly target: FormatNode;
  /** Where the source's first byte goes. */
  readonly targetOffset: number;
  readonly isCompressed: boolean;
  /** The target reads as zeroes where nothing was written. */
  readonly isTargetZero: boolean;
  /** The target's backing image shows what this image of the source's chain and those below it hold: not copied. */
  readonly sharedBacking: BlockNode | undefined;
  /** Runs of zeroes of this size are not written; 0: everything is. */
  readonly sparseBytes: number;
  readonly parallel: number;
  readonly onProgress: (bytes: number) => void;
  /** Read errors give zeroes. */
  readonly salvage?: ((offset: number, message: string) => void) | undefined;
}

export const COPY_BYTES = 2 ** 21;

interface Extent {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly kind: 'data' | 'zero' | 'hole';
}

export async function copyDisk(options: CopyOptions): Promise<void> {
  const extents = mergedExtents(options);
  const work = extents[Symbol.asyncIterator]();
  // Several workers take extents in turn: while one reads another one writes or compresses.
  let next: Promise<IteratorResult<Extent>> = Promise.resolve({
    done: false,
    value: { offset: 0, sizeBytes: 0, kind: 'hole' },
  });
  const take = (): Promise<IteratorResult<Extent>> => (next = next.then(() => work.next()));
  const worker = async (): Promise<void> => {
    let buffer: Uint8Array | undefined;
    for (;;) {
      const { done, value } = await take();
      if (done === true) return;
      if (value.kind === 'data') {
        buffer ??= new Uint8Array(COPY_BYTES);
        await copyData(options, value, buffer.subarray(0, value.sizeBytes));
      } else if (value.kind === 'zero') await writeZeroes(options, value);
      options.onProgress(value.sizeBytes);
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
}

/** Pieces of at most COPY_BYTES; of whole target clusters when those are compressed. */
async function* mergedExtents(options: CopyOptions): AsyncGenerator<Extent> {
  const { source, target, isCompressed, sharedBacking } = options;
  const unit = isCompressed ? (target.clusterSizeBytes ?? 65536) : 1;
  const size = source.sizeBytes;
  // Looking for the end of an extent may take a file system long: it is done once for each.
  let status = { kind: 'data' as Extent['kind'], end: 0 };
  for (let offset = 0; offset < size; ) {
    if (offset >= status.end) {
      const found = await chainStatus(source, offset, Math.min(size - offset, 2 ** 40), sharedBacking);
      status = { kind: found.kind, end: offset + found.sizeBytes };
    }
    if (unit > 1) {
      const kind = await unitKind(source, offset, Math.min(unit, size - offset), sharedBacking);
      const sizeBytes = Math.min(unit, size - offset);
      yield { offset, sizeBytes, kind };
      offset += sizeBytes;
      continue;
    }
    const most =
      status.kind === 'data'
        ? Math.min(status.end - offset, COPY_BYTES - (offset % COPY_BYTES))
        : status.end - offset;
    yield { offset, sizeBytes: most, kind: status.kind };
    offset += most;
  }
}

async function unitKind(
  source: BlockNode,
  offset: number,
  sizeBytes: number,
  shared: BlockNode | undefined,
): Promise<Extent['kind']> {
  let kind: Extent['kind'] | undefined;
  for (let at = 0; at < sizeBytes; ) {
    const status = await chainStatus(source, offset + at, sizeBytes - at, shared);
    if (status.kind === 'data') return 'data';
    if (kind !== undefined && kind !== status.kind) return 'data';
    kind = status.kind;
    at += status.sizeBytes;
  }
  return kind ?? 'zero';
}

async function writeZeroes(
  { target, targetOffset, isTargetZero }: CopyOptions,
  extent: Extent,
): Promise<void> {
  if (isTargetZero) return;
  await target.writeZeroes(targetOffset + extent.offset, extent.sizeBytes, true);
}

async function copyData(options: CopyOptions, extent: Extent, bytes: Uint8Array): Promise<void> {
  const { source, target, targetOffset, isCompressed, isTargetZero, sparseBytes, salvage } = options;
  try {
    await source.read(extent.offset, bytes);
  } catch (error) {
    if (salvage === undefined) throw error;
    await salvageSectors(source, extent.offset, bytes, salvage);
  }
  const offset = targetOffset + extent.offset;
  if (isCompressed) {
    if (isZero(bytes)) await writeZeroes(options, extent);
    else await target.writeCompressed!(offset, bytes);
    return;
  }
  for (const { from, to, isZeroes } of runs(bytes, sparseBytes, offset)) {
    if (!isZeroes) await target.write(offset + from, bytes.subarray(from, to));
    else if (!isTargetZero) await target.writeZeroes(offset + from, to - from, true);
  }
}

async function salvageSectors(
  source: BlockNode,
  offset: number,
  bytes: Uint8Array,
  salvage: (offset: number, message: string) => void,
): Promise<void> {
  for (let at = 0; at < bytes.length; at += 512) {
    const sector = bytes.subarray(at, at + 512);
    try {
      await source.read(offset + at, sector);
    } catch (error) {
      sector.fill(0);
      salvage(offset + at, (error as Error).message);
    }
  }
}

interface Run {
  readonly from: number;
  to: number;
  readonly isZeroes: boolean;
}

/** Alternating runs of data and zeroes, in units aligned on the disk. */
function runs(bytes: Uint8Array, unit: number, offset: number): Run[] {
  if (unit === 0) return [{ from: 0, to: bytes.length, isZeroes: false }];
  const found: Run[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + unit - ((offset + at) % unit));
    const isZeroes = isZero(bytes.subarray(at, end));
    const last = found.at(-1);
    if (last?.isZeroes === isZeroes) last.to = end;
    else found.push({ from: at, to: end, isZeroes });
    at = end;
  }
  return found;
}
