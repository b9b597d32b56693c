/** Compression of clusters with zlib, and with zstd where Node has it (22.15 and newer). */
import * as zlib from 'node:zlib';
import { BlockError, EIO } from '../../../block/block-node.ts';
import type { Codec } from '../../../block/host.ts';

type Done = (error: Error | null, result: Buffer) => void;

function run(start: (done: Done) => void): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    start((error, result) => (error === null ? resolve(result) : reject(new BlockError(EIO, error.message)))),
  );
}

/** What newer versions of node:zlib have beyond the types of Node 20. */
interface ZstdFunctions {
  zstdCompress?(bytes: Uint8Array, options: object, done: Done): void;
  zstdDecompress?(bytes: Uint8Array, options: object, done: Done): void;
}

/** Small buffers are quicker done at once than sent to a thread of the pool. */
const POOL_BYTES = 4096;

/**
 * The input may be followed by other bytes (clusters are padded to sectors): what comes after the end of the stream is
 * ignored, and a stream that goes on beyond `size` bytes is cut there.
 */
function inflater(sync: typeof zlib.inflateRawSync, pooled: typeof zlib.inflateRaw) {
  return async (bytes: Uint8Array, size: number): Promise<Uint8Array> => {
    const options = { maxOutputLength: Math.max(1, size), finishFlush: zlib.constants.Z_SYNC_FLUSH };
    if (bytes.length > POOL_BYTES) return run((done) => pooled(bytes, options, done));
    try {
      return sync(bytes, options);
    } catch (error) {
      throw new BlockError(EIO, (error as Error).message);
    }
  };
}

export function createCodec(): Codec {
  const { zstdCompress, zstdDecompress } = zlib as unknown as ZstdFunctions;
  return {
    inflateRaw: inflater(zlib.inflateRawSync, zlib.inflateRaw),
    inflate: inflater(zlib.inflateSync, zlib.inflate),
    deflateRaw: (bytes, windowBits) => run((done) => zlib.deflateRaw(bytes, { windowBits }, done)),
    deflate: (bytes) => run((done) => zlib.deflate(bytes, done)),
    ...(zstdDecompress && {
      zstdDecompress: (bytes: Uint8Array, size: number) =>
        run((done) => zstdDecompress(bytes, { maxOutputLength: size }, done)),
    }),
    ...(zstdCompress && {
      zstdCompress: (bytes: Uint8Array) => run((done) => zstdCompress(bytes, {}, done)),
    }),
  };
}
