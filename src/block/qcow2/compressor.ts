/** Compressed clusters: streams, a few decompressed ones kept, and places packed one behind the other. */
import { BlockError, type BlockNode, EIO, ENOTSUP } from '../block-node.ts';
import type { Codec } from '../host.ts';
import { zstdDecompress } from '../zstd/decoder.ts';
import { zstdCompress } from '../zstd/encoder.ts';
import type { CompressionType } from './format.ts';
import type { Image } from './image.ts';

/** Deflate streams of qcow2 use a window of 4 KiB. */
const WINDOW_BITS = 12;
const KEPT = 16;

export class Compressor {
  readonly #codec: Codec;
  readonly #type: CompressionType;
  readonly #clusterBytes: number;
  /** By host offset, oldest first. */
  readonly #kept = new Map<number, Promise<Uint8Array>>();

  constructor(codec: Codec, type: CompressionType, clusterBytes: number) {
    this.#codec = codec;
    this.#type = type;
    this.#clusterBytes = clusterBytes;
  }

  read(file: BlockNode, hostOffset: number, streamBytes: number): Promise<Uint8Array> {
    const kept = this.#kept.get(hostOffset);
    if (kept !== undefined) return kept;
    const made = this.#decompress(file, hostOffset, streamBytes);
    this.#kept.set(hostOffset, made);
    made.catch(() => this.#kept.delete(hostOffset));
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value!);
    return made;
  }

  forget(hostOffset: number): void {
    this.#kept.delete(hostOffset);
  }

  async #decompress(file: BlockNode, hostOffset: number, streamBytes: number): Promise<Uint8Array> {
    const stream = new Uint8Array(streamBytes);
    await file.read(hostOffset, stream);
    const cluster = await this.#inflate(stream);
    if (cluster.length < this.#clusterBytes) throw new BlockError(EIO, 'a compressed cluster is damaged');
    return cluster;
  }

  #inflate(stream: Uint8Array): Promise<Uint8Array> {
    if (this.#type === 'zlib') return this.#codec.inflateRaw(stream, this.#clusterBytes);
    return Promise.resolve(zstdDecompress(stream, this.#clusterBytes));
  }

  /** Undefined when it would not become smaller. */
  async compress(cluster: Uint8Array): Promise<Uint8Array | undefined> {
    const stream =
      this.#type === 'zlib'
        ? await this.#codec.deflateRaw(cluster, WINDOW_BITS)
        : await (this.#codec.zstdCompress?.(cluster) ?? Promise.resolve(zstdCompress(cluster)));
    return stream.length < this.#clusterBytes ? stream : undefined;
  }

  /** Under the image's mutex: room for a stream, counted. */
  async place(image: Image, bytes: number): Promise<number> {
    if (bytes > this.#clusterBytes) throw new BlockError(ENOTSUP, 'a stream longer than a cluster');
    const next = image.packAt;
    const left = next === 0 ? 0 : this.#clusterBytes - (next % this.#clusterBytes);
    if (bytes <= left && (await image.refcounts.share(next))) {
      image.packAt = bytes === left ? 0 : next + bytes;
      return next;
    }
    const at = await image.refcounts.allocate(1);
    const continues = left > 0 && next + left === at && (await image.refcounts.share(next));
    const start = continues ? next : at;
    const end = start + bytes;
    image.packAt = end % this.#clusterBytes === 0 ? 0 : end;
    return start;
  }
}
