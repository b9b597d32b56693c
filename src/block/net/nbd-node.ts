/** Protocol `nbd`: a disk of a network block device server (NBD project, doc/proto.md): fixed newstyle, simple replies. */
import {
  BlockError,
  type BlockNode,
  type BlockStatus,
  EINVAL,
  EIO,
  ENOSPC,
  ENOTSUP,
  EPERM,
  EROFS,
} from '../block-node.ts';
import type { BlockHost, HostStream, StreamAddress } from '../host.ts';
import { Mutex } from '../mutex.ts';

const INIT_MAGIC = 0x4e42444d41474943n;
const OPTION_MAGIC = 0x49484156454f5054n;
const OLDSTYLE_MAGIC = 0x00420281861253n;
const REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const OPT_EXPORT_NAME = 1;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const REP_ERROR = 0x80000000;
const INFO_EXPORT = 0;
const FLAG_FIXED = 1;
const FLAG_NO_ZEROES = 2;
const EXPORT_READ_ONLY = 2;
const EXPORT_FLUSH = 4;
const EXPORT_TRIM = 32;
const EXPORT_WRITE_ZEROES = 64;
const CMD_READ = 0;
const CMD_WRITE = 1;
const CMD_DISC = 2;
const CMD_FLUSH = 3;
const CMD_TRIM = 4;
const CMD_WRITE_ZEROES = 6;
const CMD_FLAG_NO_HOLE = 2;
const MAX_TRANSFER = 2 ** 25;
const MAX_REPLY = 65536;

interface Pending {
  readonly into: Uint8Array | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const ERRORS: ReadonlyMap<number, number> = new Map([
  [1, EPERM],
  [5, EIO],
  [12, 12],
  [22, EINVAL],
  [28, ENOSPC],
  [95, ENOTSUP],
]);

export class NbdNode implements BlockNode {
  readonly driver = 'nbd';
  readonly filename: string;
  readonly blockSizeBytes = 512;
  readonly isReadOnly: boolean;
  readonly sizeBytes: number;
  readonly #stream: HostStream;
  readonly #flags: number;
  readonly #pending = new Map<number, Pending>();
  readonly #sending = new Mutex();
  #next = 1;
  #failure: Error | undefined;

  static async open(
    host: BlockHost,
    address: StreamAddress,
    name: string,
    isReadOnly: boolean,
  ): Promise<NbdNode> {
    const stream = await host.connect(address);
    const where = address.type === 'unix' ? `unix:${address.path}` : `${address.host}:${address.port}`;
    try {
      const { sizeBytes, flags } = await negotiate(stream, name);
      if (!isReadOnly && (flags & EXPORT_READ_ONLY) !== 0)
        throw new BlockError(EROFS, 'request on denied: the export is read-only');
      return new NbdNode(stream, `nbd://${where}/${name}`, sizeBytes, flags, isReadOnly);
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  private constructor(
    stream: HostStream,
    filename: string,
    sizeBytes: number,
    flags: number,
    isReadOnly: boolean,
  ) {
    this.#stream = stream;
    this.filename = filename;
    this.sizeBytes = sizeBytes;
    this.#flags = flags;
    this.isReadOnly = isReadOnly;
    void this.#receive();
  }

  // --- replies

  async #receive(): Promise<void> {
    const header = new Uint8Array(16);
    const view = new DataView(header.buffer);
    try {
      for (;;) {
        await this.#stream.read(header);
        const pending = this.#pending.get(view.getUint32(12));
        if (view.getUint32(0) !== SIMPLE_REPLY_MAGIC || pending === undefined)
          throw new BlockError(EIO, 'the NBD server sent what nobody asked for');
        const error = view.getUint32(4);
        if (error === 0 && pending.into !== undefined) await this.#stream.read(pending.into);
        this.#pending.delete(view.getUint32(12));
        if (error === 0) pending.resolve();
        else
          pending.reject(
            new BlockError(ERRORS.get(error) ?? EIO, `the NBD server answers with error ${error}`),
          );
      }
    } catch (error) {
      this.#failure = error as Error;
      for (const pending of this.#pending.values()) pending.reject(this.#failure);
      this.#pending.clear();
      this.#stream.close();
    }
  }

  #request(
    command: number,
    flags: number,
    offset: number,
    size: number,
    data?: Uint8Array,
    into?: Uint8Array,
  ): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#next;
    this.#next = (id % 0xffffffff) + 1;
    const header = new Uint8Array(28);
    const view = new DataView(header.buffer);
    view.setUint32(0, REQUEST_MAGIC);
    view.setUint16(4, flags);
    view.setUint16(6, command);
    view.setUint32(12, id);
    view.setBigUint64(16, BigInt(offset));
    view.setUint32(24, size);
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { into, resolve, reject });
      this.#sending
        .run(async () => {
          await this.#stream.write(header);
          // The socket may keep the bytes after this returns; guest memory may change then.
          if (data !== undefined) await this.#stream.write(Uint8Array.from(data));
        })
        .catch(reject);
    });
  }

  // --- requests

  async #pieces(
    offset: number,
    size: number,
    send: (at: number, from: number, count: number) => Promise<void>,
  ): Promise<void> {
    for (let from = 0; from < size; from += MAX_TRANSFER) {
      const count = Math.min(MAX_TRANSFER, size - from);
      await send(offset + from, from, count);
    }
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const available = Math.max(0, Math.min(into.length, this.sizeBytes - offset));
    into.fill(0, available);
    await this.#pieces(offset, available, (at, from, count) =>
      this.#request(CMD_READ, 0, at, count, undefined, into.subarray(from, from + count)),
    );
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#assertWritable(offset, bytes.length);
    await this.#pieces(offset, bytes.length, (at, from, count) =>
      this.#request(CMD_WRITE, 0, at, count, bytes.subarray(from, from + count)),
    );
  }

  async writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    this.#assertWritable(offset, sizeBytes);
    const isOffered = (this.#flags & EXPORT_WRITE_ZEROES) !== 0;
    const zeroes = isOffered ? undefined : new Uint8Array(Math.min(sizeBytes, MAX_TRANSFER));
    await this.#pieces(offset, sizeBytes, (at, _from, count) =>
      zeroes === undefined
        ? this.#request(CMD_WRITE_ZEROES, mayUnmap ? 0 : CMD_FLAG_NO_HOLE, at, count)
        : this.#request(CMD_WRITE, 0, at, count, zeroes.subarray(0, count)),
    );
  }

  async discard(offset: number, sizeBytes: number): Promise<void> {
    if ((this.#flags & EXPORT_TRIM) === 0) return;
    await this.#pieces(offset, sizeBytes, (at, _from, count) => this.#request(CMD_TRIM, 0, at, count));
  }

  async flush(): Promise<void> {
    if ((this.#flags & EXPORT_FLUSH) !== 0 && !this.isReadOnly) await this.#request(CMD_FLUSH, 0, 0, 0);
  }

  async status(offset: number, sizeBytes: number): Promise<BlockStatus> {
    return { sizeBytes, kind: 'data', hostOffset: offset };
  }

  #assertWritable(offset: number, sizeBytes: number): void {
    if (this.isReadOnly) throw new BlockError(EROFS, 'read-only');
    if (offset + sizeBytes > this.sizeBytes) throw new BlockError(ENOSPC, 'an NBD export cannot grow');
  }

  async resize(): Promise<void> {
    throw new BlockError(ENOTSUP, 'Cannot resize NBD nodes');
  }

  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#failure = new BlockError(EIO, 'closed');
    const bye = new Uint8Array(28);
    const view = new DataView(bye.buffer);
    view.setUint32(0, REQUEST_MAGIC);
    view.setUint16(6, CMD_DISC);
    await this.#stream.write(bye).catch(() => {});
    this.#stream.close();
  }

  async allocatedBytes(): Promise<undefined> {
    return undefined;
  }
}

async function readView(stream: HostStream, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  await stream.read(bytes);
  return new DataView(bytes.buffer);
}

async function negotiate(stream: HostStream, name: string): Promise<{ sizeBytes: number; flags: number }> {
  const hello = await readView(stream, 16);
  if (hello.getBigUint64(0) !== INIT_MAGIC) throw new BlockError(EINVAL, 'not an NBD server');
  if (hello.getBigUint64(8) === OLDSTYLE_MAGIC) {
    const rest = await readView(stream, 8 + 4 + 124);
    return checked(rest.getBigUint64(0), rest.getUint32(8) & 0xffff);
  }
  if (hello.getBigUint64(8) !== OPTION_MAGIC) throw new BlockError(EINVAL, 'not an NBD server');
  const serverFlags = (await readView(stream, 2)).getUint16(0);
  if ((serverFlags & FLAG_FIXED) === 0) throw new BlockError(ENOTSUP, 'the NBD server is too old');
  const flags = new Uint8Array(4);
  flags[3] = serverFlags & (FLAG_FIXED | FLAG_NO_ZEROES);
  await stream.write(flags);
  return (await go(stream, name)) ?? exportName(stream, name, (serverFlags & FLAG_NO_ZEROES) !== 0);
}

function checked(size: bigint, flags: number): { sizeBytes: number; flags: number } {
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new BlockError(EINVAL, 'the NBD export is too large');
  return { sizeBytes: Number(size), flags };
}

async function sendOption(stream: HostStream, option: number, data: Uint8Array): Promise<void> {
  const header = new Uint8Array(16 + data.length);
  const view = new DataView(header.buffer);
  view.setBigUint64(0, OPTION_MAGIC);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  header.set(data, 16);
  await stream.write(header);
}

function nameBytes(name: string): Uint8Array {
  const escaped = encodeURIComponent(name).replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Uint8Array.from(escaped, (char) => char.charCodeAt(0));
}

/** Undefined: the server does not know the option. */
async function go(
  stream: HostStream,
  name: string,
): Promise<{ sizeBytes: number; flags: number } | undefined> {
  const text = nameBytes(name);
  const data = new Uint8Array(4 + text.length + 2);
  new DataView(data.buffer).setUint32(0, text.length);
  data.set(text, 4);
  await sendOption(stream, OPT_GO, data);
  let found: { sizeBytes: number; flags: number } | undefined;
  for (;;) {
    const reply = await readView(stream, 20);
    if (reply.getBigUint64(0) !== REPLY_MAGIC)
      throw new BlockError(EINVAL, 'the NBD server answers nonsense');
    const type = reply.getUint32(12);
    const length = reply.getUint32(16);
    if (length > MAX_REPLY) throw new BlockError(EINVAL, 'the NBD server answers nonsense');
    const body = await readView(stream, length);
    if (type === REP_ACK) {
      if (found === undefined)
        throw new BlockError(EINVAL, 'the NBD server does not say how large the export is');
      return found;
    }
    if (type === REP_INFO && length >= 12 && body.getUint16(0) === INFO_EXPORT)
      found = checked(body.getBigUint64(2), body.getUint16(10));
    else if (type >= REP_ERROR) {
      if (type === REP_ERROR + 1) return undefined;
      throw new BlockError(EINVAL, `the NBD server refuses the export '${name}'`);
    }
  }
}

async function exportName(
  stream: HostStream,
  name: string,
  noZeroes: boolean,
): Promise<{ sizeBytes: number; flags: number }> {
  await sendOption(stream, OPT_EXPORT_NAME, nameBytes(name));
  const view = await readView(stream, noZeroes ? 10 : 134);
  return checked(view.getBigUint64(0), view.getUint16(8));
}
