/** Protocol nodes without a file: `null-co`/`null-aio` (reads zeroes, forgets writes) and `memory`. */
import { type BlockNode, type BlockStatus, isZero, SECTOR } from './block-node.ts';

export class NullNode implements BlockNode {
  readonly driver: string;
  readonly filename: string;
  readonly isReadOnly = false;
  readonly blockSizeBytes = SECTOR;
  readonly #readZeroes: boolean;
  #sizeBytes: number;

  constructor(sizeBytes: number, readZeroes: boolean, driver = 'null-co') {
    this.driver = driver;
    this.filename = `${driver}://`;
    this.#sizeBytes = sizeBytes;
    this.#readZeroes = readZeroes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  // The buffer may be guest memory with old content: zeroes in any case, so that nothing leaks through.
  async read(_offset: number, into: Uint8Array): Promise<void> {
    into.fill(0);
  }

  async write(): Promise<void> {}
  async writeZeroes(): Promise<void> {}
  async discard(): Promise<void> {}
  async flush(): Promise<void> {}

  async status(_offset: number, sizeBytes: number): Promise<BlockStatus> {
    return { sizeBytes, kind: this.#readZeroes ? 'zero' : 'data' };
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#sizeBytes = sizeBytes;
  }

  async close(): Promise<void> {}

  async allocatedBytes(): Promise<number> {
    return 0;
  }
}

const CHUNK = 65536;

/** Bytes in memory, allocated in chunks where they are not zero. Also what tests build images in. */
export class MemoryNode implements BlockNode {
  readonly driver = 'memory';
  readonly filename: string;
  readonly isReadOnly: boolean;
  readonly blockSizeBytes = SECTOR;
  readonly #chunks = new Map<number, Uint8Array>();
  #sizeBytes: number;

  constructor(sizeBytes = 0, filename = 'memory://', isReadOnly = false) {
    this.#sizeBytes = sizeBytes;
    this.filename = filename;
    this.isReadOnly = isReadOnly;
  }

  static async of(bytes: Uint8Array, isReadOnly = false): Promise<MemoryNode> {
    const node = new MemoryNode(bytes.length, 'memory://', isReadOnly);
    await node.write(0, bytes);
    return node;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (const [chunk, from, at, count] of pieces(offset, into.length)) {
      const bytes = this.#chunks.get(chunk);
      if (bytes === undefined) into.fill(0, at, at + count);
      else into.set(bytes.subarray(from, from + count), at);
    }
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.#sizeBytes = Math.max(this.#sizeBytes, offset + from.length);
    for (const [chunk, into, at, count] of pieces(offset, from.length)) {
      const part = from.subarray(at, at + count);
      let bytes = this.#chunks.get(chunk);
      if (bytes === undefined) {
        if (isZero(part)) continue;
        this.#chunks.set(chunk, (bytes = new Uint8Array(CHUNK)));
      }
      bytes.set(part, into);
    }
  }

  async writeZeroes(offset: number, sizeBytes: number): Promise<void> {
    this.#sizeBytes = Math.max(this.#sizeBytes, offset + sizeBytes);
    this.#clear(offset, sizeBytes);
  }

  async discard(offset: number, sizeBytes: number): Promise<void> {
    this.#clear(offset, sizeBytes);
  }

  async flush(): Promise<void> {}

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    const chunk = Math.floor(offset / CHUNK);
    const length = Math.min(sizeBytes, (chunk + 1) * CHUNK - offset);
    return { sizeBytes: length, kind: this.#chunks.has(chunk) ? 'data' : 'zero', hostOffset: offset };
  }

  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes < this.#sizeBytes) this.#clear(sizeBytes, this.#sizeBytes - sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  async close(): Promise<void> {}

  async allocatedBytes(): Promise<number> {
    return this.#chunks.size * CHUNK;
  }

  #clear(offset: number, sizeBytes: number): void {
    // A range may be far larger than what is there.
    for (const [chunk, bytes] of this.#chunks) {
      const start = Math.max(0, offset - chunk * CHUNK);
      const end = Math.min(CHUNK, offset + sizeBytes - chunk * CHUNK);
      if (start >= end) continue;
      if (start === 0 && end === CHUNK) this.#chunks.delete(chunk);
      else bytes.fill(0, start, end);
    }
  }
}

/** Yields chunk number, offset in it, offset in the request, count. */
function* pieces(offset: number, length: number): Generator<[number, number, number, number]> {
  for (let at = 0; at < length; ) {
    const chunk = Math.floor((offset + at) / CHUNK);
    const from = offset + at - chunk * CHUNK;
    const count = Math.min(CHUNK - from, length - at);
    yield [chunk, from, at, count];
    at += count;
  }
}
