/** What the block layer needs of the host. Node implements it over files and sockets, a browser over OPFS and Blobs. */

/** Who may do what with a file at the same time; the bits are those that QEMU's file locks stand for. */
export const PERM_CONSISTENT_READ = 1;
export const PERM_WRITE = 2;
export const PERM_WRITE_UNCHANGED = 4;
export const PERM_RESIZE = 8;
export const PERM_ALL = 15;

export interface OpenFileOptions {
  readonly isReadOnly: boolean;
  /** Makes or empties the file. */
  readonly create?: boolean;
  /** `on`: fail without locks; `auto`: lock where the host can. */
  readonly locking?: 'on' | 'off' | 'auto';
  /** Others may write at the same time (`force-share`). */
  readonly forceShare?: boolean;
  /** Others may write (`share-rw` of a device). */
  readonly shareWrite?: boolean;
  /** Bypass the host's page cache for requests that are aligned for it. */
  readonly isDirect?: boolean;
  /** A flush does nothing: what is written may be lost with the host (`cache=unsafe`). */
  readonly ignoresFlush?: boolean;
  /** Accept only a block device (`host_device`), only a regular file, or either. */
  readonly kind?: 'file' | 'device' | 'any';
}

/** An open file. Failures reject with `BlockError`. */
export interface HostFile {
  readonly path: string;
  readonly isDevice: boolean;
  readonly isReadOnly: boolean;
  /** Bytes read; fewer than asked for only at the end of the file. */
  read(offset: number, into: Uint8Array): Promise<number>;
  write(offset: number, from: Uint8Array): Promise<void>;
  /** Data and what is needed to find it reach stable storage. */
  sync(): Promise<void>;
  sizeBytes(): Promise<number>;
  truncate(sizeBytes: number): Promise<void>;
  /** Deallocates; the range reads as zeroes. False where the host cannot. */
  punchHole(offset: number, sizeBytes: number): Promise<boolean>;
  /** Reads as zeroes and stays allocated. False where the host cannot. */
  zeroRange(offset: number, sizeBytes: number): Promise<boolean>;
  /** Allocates without writing. False where the host cannot. */
  allocate(offset: number, sizeBytes: number): Promise<boolean>;
  /** Whether `offset` lies in data or a hole, and where that ends; undefined where the host cannot tell. */
  extent(offset: number): { readonly isData: boolean; readonly end: number } | undefined;
  allocatedBytes(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** A connection to a server. */
export interface HostStream {
  /** Reads exactly `into.length` bytes; rejects at the end of the stream. */
  read(into: Uint8Array): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
  /** Upgrades to TLS. */
  close(): void;
}

export type StreamAddress =
  | { readonly type: 'inet'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string };

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names. */
  header(name: string): string | undefined;
  /** Reads at most `limit` bytes of the body, rejects if there are more. */
  bytes(limit: number): Promise<Uint8Array>;
}

/** Compression of clusters. Each takes and gives whole buffers; damaged input rejects with `BlockError`. */
export interface Codec {
  /** Raw deflate (RFC 1951): exactly `size` bytes or fewer. */
  inflateRaw(bytes: Uint8Array, size: number): Promise<Uint8Array>;
  /** Window of `2 ** windowBits` bytes. */
  deflateRaw(bytes: Uint8Array, windowBits: number): Promise<Uint8Array>;
  /** Zlib stream (RFC 1950). */
  inflate(bytes: Uint8Array, size: number): Promise<Uint8Array>;
  deflate(bytes: Uint8Array): Promise<Uint8Array>;
  /** Absent where the host has none: the block layer's own are used. */
  zstdDecompress?(bytes: Uint8Array, size: number): Promise<Uint8Array>;
  zstdCompress?(bytes: Uint8Array): Promise<Uint8Array>;
}

export interface BlockHost {
  readonly codec: Codec;
  /** `UserError` if it cannot be opened. */
  openFile(path: string, options: OpenFileOptions): Promise<HostFile>;
  /** A file that vanishes when it is closed. */
  openTemporary(): Promise<HostFile>;
  deleteFile(path: string): Promise<void>;
  exists(path: string): boolean;
  /** Path of a file named in an image at `base`. */
  resolvePath(base: string, path: string): string;
  baseName(path: string): string;
  connect(address: StreamAddress): Promise<HostStream>;
  request(
    method: 'GET' | 'HEAD',
    url: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<HttpResponse>;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
  randomBytes(into: Uint8Array): void;
}
