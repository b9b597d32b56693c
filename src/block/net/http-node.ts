/** Protocol `http`/`https`: a file on a web server, read by ranges (RFC 9110, 14). */
import { BlockError, type BlockNode, type BlockStatus, EIO } from '../block-node.ts';
import type { BlockHost } from '../host.ts';
import { ReadOnlyNode } from '../read-only-node.ts';

/** Read at once, and kept, around what is asked for. */
const READ_AHEAD = 256 * 1024;
const KEPT = 64;
const TRIES = 3;
const SUCCESS_PARTIAL = 206;

export interface HttpOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly readAheadBytes: number | undefined;
}

export class HttpNode extends ReadOnlyNode implements BlockNode {
  readonly driver: string;
  readonly filename: string;
  readonly blockSizeBytes = 512;
  readonly sizeBytes: number;
  readonly #host: BlockHost;
  readonly #options: HttpOptions;
  readonly #pieceBytes: number;
  readonly #pieces = new Map<number, Promise<Uint8Array>>();

  static async open(host: BlockHost, options: HttpOptions): Promise<HttpNode> {
    // A range of one byte says the length and whether ranges work, also where HEAD is forbidden.
    const response = await host.request('GET', options.url, { ...options.headers, range: 'bytes=0-0' });
    const total = /^bytes 0-0\/(\d+)$/.exec(response.header('content-range') ?? '')?.[1];
    if (response.status !== SUCCESS_PARTIAL || total === undefined) {
      const reason =
        response.status >= 400 ? `status ${response.status}` : 'the server does not serve ranges';
      throw new BlockError(EIO, `${options.url}: ${reason}`);
    }
    await response.bytes(1);
    return new HttpNode(host, options, Number(total));
  }

  private constructor(host: BlockHost, options: HttpOptions, sizeBytes: number) {
    super('web servers are read-only');
    this.#host = host;
    this.#options = options;
    this.sizeBytes = sizeBytes;
    this.filename = options.url;
    this.driver = options.url.startsWith('https:') ? 'https' : 'http';
    this.#pieceBytes = Math.max(512, Math.ceil((options.readAheadBytes ?? READ_AHEAD) / 512) * 512);
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    if (offset + into.length > this.sizeBytes) into.fill(0, Math.max(0, this.sizeBytes - offset));
    const end = Math.min(offset + into.length, this.sizeBytes);
    for (let at = offset; at < end; ) {
      const piece = Math.floor(at / this.#pieceBytes);
      const from = at - piece * this.#pieceBytes;
      const bytes = await this.#piece(piece);
      const count = Math.min(end - at, bytes.length - from);
      into.set(bytes.subarray(from, from + count), at - offset);
      at += count;
    }
  }

  #piece(index: number): Promise<Uint8Array> {
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      piece = this.#fetch(index);
      piece.catch(() => this.#pieces.delete(index));
    } else this.#pieces.delete(index);
    this.#pieces.set(index, piece);
    if (this.#pieces.size > KEPT) this.#pieces.delete(this.#pieces.keys().next().value!);
    return piece;
  }

  async #fetch(index: number): Promise<Uint8Array> {
    const from = index * this.#pieceBytes;
    const to = Math.min(from + this.#pieceBytes, this.sizeBytes) - 1;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#request(from, to);
      } catch (error) {
        if (attempt === TRIES) throw error;
        await this.#host.sleep(100 * attempt);
      }
    }
  }

  async #request(from: number, to: number): Promise<Uint8Array> {
    const { url, headers } = this.#options;
    const response = await this.#host.request('GET', url, { ...headers, range: `bytes=${from}-${to}` });
    const range = response.header('content-range') ?? '';
    if (response.status !== SUCCESS_PARTIAL || !range.startsWith(`bytes ${from}-${to}/`))
      throw new BlockError(EIO, `${url}: status ${response.status}, not the range asked for`);
    const bytes = await response.bytes(to - from + 1);
    if (bytes.length !== to - from + 1) throw new BlockError(EIO, `${url}: the answer is too short`);
    return bytes;
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return { sizeBytes, kind: 'data', hostOffset: offset };
  }

  async allocatedBytes(): Promise<undefined> {
    return undefined;
  }
}
