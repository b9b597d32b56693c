/** A file server for one client: 9P2000.L (its messages as diod's protocol.md describes them; the rest as in 9P2000). */
import { binaryBytes, P9Reader, P9Writer, QID_BYTES } from './p9-codec.ts';
import * as share from './share.ts';
import { type Share, ShareError, type ShareFile, type ShareNode, type ShareTime } from './share.ts';

// Requests; a reply's type is one more.
const RLERROR = 7;
const TSTATFS = 8;
const TLOPEN = 12;
const TLCREATE = 14;
const TSYMLINK = 16;
const TMKNOD = 18;
const TRENAME = 20;
const TREADLINK = 22;
const TGETATTR = 24;
const TSETATTR = 26;
const TXATTRWALK = 30;
const TXATTRCREATE = 32;
const TREADDIR = 40;
const TFSYNC = 50;
const TLOCK = 52;
const TGETLOCK = 54;
const TLINK = 70;
const TMKDIR = 72;
const TRENAMEAT = 74;
const TUNLINKAT = 76;
const TVERSION = 100;
const TAUTH = 102;
const TATTACH = 104;
const TFLUSH = 108;
const TWALK = 110;
const TREAD = 116;
const TWRITE = 118;
const TCLUNK = 120;
const TREMOVE = 122;

const VERSION = '9P2000.L';
export const P9_HEADER_BYTES = 7;
/** Before the data of a read reply. */
const READ_HEADER = P9_HEADER_BYTES + 4;
const MIN_MESSAGE = 4096;
export const P9_MAX_MESSAGE = 2 ** 19;
const MAX_FIDS = 8192;
const MAX_WALK = 16;
const MAX_ATTRIBUTE = 65536;
const MAX_NAME = 255;

const MODE_TYPE = 0o170000;
const MODE_FOLDER = 0o040000;
const MODE_LINK = 0o120000;
const QID_FOLDER = 0x80;
const QID_LINK = 0x02;
const UNLINK_FOLDER = 0x200;

/** Bits of SETATTR's mask. */
const SET_MODE = 1;
const SET_UID = 2;
const SET_GID = 4;
const SET_SIZE = 8;
const SET_ATIME = 0x10;
const SET_MTIME = 0x20;
const SET_ATIME_GIVEN = 0x80;
const SET_MTIME_GIVEN = 0x100;
/** What GETATTR answers: all that a stat has. */
const ATTR_BASIC = 0x7ffn;

const GETLOCK_UNLOCKED = 2;

/** Requests that change nothing: all that a read-only share answers. */
const CHANGING = new Set([
  TLCREATE,
  TSYMLINK,
  TMKNOD,
  TRENAME,
  TSETATTR,
  TXATTRCREATE,
  TLINK,
  TMKDIR,
  TRENAMEAT,
  TUNLINKAT,
  TWRITE,
  TREMOVE,
]);
const EROFS = 30;
const O_ACCESS = 3;
const O_TRUNC = 0o1000;

interface Attribute {
  readonly name: string;
  readonly value: Uint8Array;
  /** Set when the fid is clunked, if all was written; undefined: it is read. */
  readonly flags: number | undefined;
  written: number;
}

interface Fid {
  readonly node: ShareNode;
  file?: ShareFile;
  entries?: ReadonlyArray<{
    readonly name: string;
    readonly mode: number;
    readonly inode: bigint;
    readonly device: bigint;
  }>;
  attribute?: Attribute;
}

export class P9Server {
  readonly #share: Share;
  readonly #fids = new Map<number, Fid>();
  #messageBytes = MIN_MESSAGE;
  #reply = new Uint8Array(MIN_MESSAGE);

  constructor(served: Share) {
    this.#share = served;
  }

  /** The reply to a request, valid until the next; at most `room` bytes. Never throws for what a client sends. */
  handle(request: Uint8Array, room: number): Uint8Array {
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    if (request.length < P9_HEADER_BYTES) return new Uint8Array(0);
    const size = view.getUint32(0, true);
    const type = request[4]!;
    const tag = view.getUint16(5, true);
    const limit = Math.min(room, Math.max(this.#messageBytes, MIN_MESSAGE));
    const writer = new P9Writer(this.#reply.subarray(0, limit));
    writer.at = P9_HEADER_BYTES;
    let answered = type + 1;
    try {
      if (size > request.length || size < P9_HEADER_BYTES) throw new ShareError(share.EPROTO);
      if (this.#share.isReadOnly && CHANGING.has(type)) throw new ShareError(EROFS);
      this.#serve(type, new P9Reader(request.subarray(0, size), P9_HEADER_BYTES), writer);
    } catch (error) {
      answered = RLERROR;
      writer.at = P9_HEADER_BYTES;
      if (writer.room >= 4) writer.u32(error instanceof ShareError ? error.errno : share.EIO);
    }
    const out = writer.bytes.subarray(0, writer.at);
    if (out.length < P9_HEADER_BYTES) return new Uint8Array(0);
    const header = new DataView(out.buffer, out.byteOffset, P9_HEADER_BYTES);
    header.setUint32(0, out.length, true);
    header.setUint8(4, answered);
    header.setUint16(5, tag, true);
    return out;
  }

  /** The client is gone: everything is closed. */
  reset(): void {
    for (const id of [...this.#fids.keys()]) this.#clunk(id);
  }

  #serve(type: number, q: P9Reader, r: P9Writer): void {
    switch (type) {
      case TVERSION:
        return this.#version(q, r);
      case TAUTH:
        throw new ShareError(share.EOPNOTSUPP);
      case TFLUSH: // requests are answered in the order in which they come
        return;
      case TATTACH:
        return this.#attach(q, r);
      case TWALK:
        return this.#walk(q, r);
      case TCLUNK:
        return this.#clunk(q.u32());
      case TREMOVE:
        return this.#remove(q);
      case TSTATFS:
        return this.#statfs(q, r);
      case TGETATTR:
        return this.#getattr(q, r);
      case TSETATTR:
        return this.#setattr(q);
      case TREADLINK:
        r.text(this.#fid(q).node.readLink());
        return;
      case TLOPEN:
        return this.#open(q, r);
      case TLCREATE:
        return this.#create(q, r);
      case TREAD:
        return this.#read(q, r);
      case TWRITE:
        return this.#write(q, r);
      case TREADDIR:
        return this.#readdir(q, r);
      case TFSYNC:
        return this.#fsync(q);
      case TLOCK: // one client: nobody else to lock out
        this.#fid(q);
        r.u8(0);
        return;
      case TGETLOCK:
        return this.#getlock(q, r);
      case TXATTRWALK:
        return this.#xattrwalk(q, r);
      case TXATTRCREATE:
        return this.#xattrcreate(q);
      default:
        return this.#serveNames(type, q, r);
    }
  }

  /** Requests that make, move and remove names. */
  #serveNames(type: number, q: P9Reader, r: P9Writer): void {
    switch (type) {
      case TMKDIR: {
        const { node } = this.#fid(q);
        return this.#made(node.makeFolder(nameOf(q), { mode: q.u32(), gid: q.u32() }), r);
      }
      case TSYMLINK: {
        const { node } = this.#fid(q);
        const name = nameOf(q);
        return this.#made(node.makeLink(name, q.text(), q.u32()), r);
      }
      case TMKNOD: {
        const { node } = this.#fid(q);
        const name = nameOf(q);
        const mode = q.u32();
        const [major, minor] = [q.u32(), q.u32()];
        const rdev = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12);
        return this.#made(node.makeSpecial(name, { mode, gid: q.u32() }, rdev >>> 0), r);
      }
      case TLINK: {
        const folder = this.#fid(q);
        const existing = this.#fid(q);
        return folder.node.link(nameOf(q), existing.node);
      }
      case TRENAME: {
        const { node } = this.#fid(q);
        const folder = this.#fid(q);
        if (node.parent === undefined) throw new ShareError(share.EINVAL);
        return this.#rename(node.parent, node.name, folder.node, nameOf(q));
      }
      case TRENAMEAT: {
        const from = this.#fid(q).node;
        const name = nameOf(q);
        const to = this.#fid(q).node;
        return this.#rename(from, name, to, nameOf(q));
      }
      case TUNLINKAT: {
        const { node } = this.#fid(q);
        const name = nameOf(q);
        return node.remove(name, (q.u32() & UNLINK_FOLDER) !== 0);
      }
      default:
        throw new ShareError(share.EOPNOTSUPP);
    }
  }

  // --- fids

  #fid(q: P9Reader): Fid {
    const fid = this.#fids.get(q.u32());
    if (fid === undefined) throw new ShareError(share.EBADF);
    return fid;
  }

  /** Takes over the node. */
  #bind(id: number, fid: Fid): void {
    if (this.#fids.has(id) || this.#fids.size >= MAX_FIDS) {
      fid.node.release();
      throw new ShareError(this.#fids.has(id) ? share.EINVAL : share.EMFILE);
    }
    this.#fids.set(id, fid);
  }

  #clunk(id: number): void {
    const fid = this.#fids.get(id);
    if (fid === undefined) throw new ShareError(share.EBADF);
    this.#fids.delete(id);
    try {
      fid.file?.close();
      const { attribute } = fid;
      if (attribute?.flags !== undefined) {
        if (attribute.written !== attribute.value.length) throw new ShareError(share.EIO);
        fid.node.setAttribute(
          attribute.name,
          attribute.value.length === 0 ? undefined : attribute.value,
          attribute.flags,
        );
      }
    } finally {
      fid.node.release();
    }
  }

  // --- session

  #version(q: P9Reader, r: P9Writer): void {
    const wanted = q.u32();
    const version = q.text();
    this.reset();
    if (wanted < MIN_MESSAGE) throw new ShareError(share.EINVAL);
    this.#messageBytes = Math.min(wanted, P9_MAX_MESSAGE);
    if (this.#reply.length < this.#messageBytes) this.#reply = new Uint8Array(this.#messageBytes);
    r.u32(this.#messageBytes).text(version === VERSION ? VERSION : 'unknown');
  }

  #attach(q: P9Reader, r: P9Writer): void {
    const id = q.u32();
    const auth = q.u32();
    if (auth !== 0xffffffff) throw new ShareError(share.EINVAL);
    const node = this.#share.root();
    this.#bind(id, { node });
    putQid(r, node.stat());
  }

  /** Stops at the first name that is not there; the new fid exists only if all are (walk(5)). */
  #walk(q: P9Reader, r: P9Writer): void {
    const start = this.#fid(q);
    const id = q.u32();
    const count = q.u16();
    if (count > MAX_WALK || start.file !== undefined || start.entries !== undefined)
      throw new ShareError(share.EINVAL);
    const names = Array.from({ length: count }, () => q.text());
    let node = start.node.retain();
    const countAt = r.at;
    r.u16(0);
    let done = 0;
    try {
      for (const name of names) {
        const next = step(node, name);
        node.release();
        node = next;
        putQid(r, node.stat());
        done++;
      }
    } catch (error) {
      node.release();
      if (done === 0 || !(error instanceof ShareError)) throw error;
      new DataView(r.bytes.buffer, r.bytes.byteOffset).setUint16(countAt, done, true);
      return;
    }
    new DataView(r.bytes.buffer, r.bytes.byteOffset).setUint16(countAt, done, true);
    const isSame = this.#fids.get(id) === start;
    if (!isSame) this.#bind(id, { node });
    else {
      start.node.release();
      this.#fids.set(id, { node });
    }
  }

  // --- attributes

  #statfs(q: P9Reader, r: P9Writer): void {
    const s = this.#fid(q).node.space();
    r.u32(s.type).u32(s.blockBytes).u64(s.blocks).u64(s.free).u64(s.available).u64(s.files).u64(s.freeFiles);
    r.u64(0n).u32(MAX_NAME);
  }

  #getattr(q: P9Reader, r: P9Writer): void {
    const s = this.#fid(q).node.stat();
    r.u64(ATTR_BASIC);
    putQid(r, s);
    r.u32(s.mode)
      .u32(s.uid)
      .u32(s.gid)
      .u64(s.links)
      .u64(s.rdev)
      .u64(s.sizeBytes)
      .u64(s.blockBytes)
      .u64(s.blocks);
    for (const time of [s.accessed, s.modified, s.changed]) r.u64(time.seconds).u64(time.nanoseconds);
    r.u64(0n).u64(0n).u64(0n).u64(0n);
  }

  #setattr(q: P9Reader): void {
    const { node } = this.#fid(q);
    const mask = q.u32();
    const [mode, uid, gid, sizeBytes] = [q.u32(), q.u32(), q.u32(), q.u64()];
    const time = (): ShareTime => ({ seconds: q.u64(), nanoseconds: q.u64() });
    const [accessed, modified] = [time(), time()];
    if (sizeBytes > 2n ** 53n) throw new ShareError(share.EFBIG);
    node.change({
      ...((mask & SET_MODE) !== 0 && { mode }),
      ...((mask & SET_UID) !== 0 && { uid }),
      ...((mask & SET_GID) !== 0 && { gid }),
      ...((mask & SET_SIZE) !== 0 && { sizeBytes }),
      ...((mask & SET_ATIME) !== 0 && {
        accessed: (mask & SET_ATIME_GIVEN) !== 0 ? accessed : ('now' as const),
      }),
      ...((mask & SET_MTIME) !== 0 && {
        modified: (mask & SET_MTIME_GIVEN) !== 0 ? modified : ('now' as const),
      }),
    });
  }

  // --- open files

  #open(q: P9Reader, r: P9Writer): void {
    const fid = this.#fid(q);
    const flags = q.u32();
    if (fid.file !== undefined || fid.entries !== undefined || fid.attribute !== undefined)
      throw new ShareError(share.EINVAL);
    const isWrite = (flags & O_ACCESS) !== 0 || (flags & O_TRUNC) !== 0;
    if (this.#share.isReadOnly && isWrite) throw new ShareError(EROFS);
    const before = fid.node.stat();
    if ((before.mode & MODE_TYPE) === MODE_FOLDER) {
      if (isWrite) throw new ShareError(share.EISDIR);
      fid.entries = listing(fid.node);
    } else fid.file = fid.node.open(flags);
    putQid(r, fid.node.stat());
    r.u32(this.#messageBytes - READ_HEADER - 13);
  }

  /** The fid stands for the new file from then on. */
  #create(q: P9Reader, r: P9Writer): void {
    const id = q.u32();
    const fid = this.#fids.get(id);
    if (fid === undefined) throw new ShareError(share.EBADF);
    if (fid.file !== undefined || fid.entries !== undefined) throw new ShareError(share.EINVAL);
    const name = nameOf(q);
    const [flags, mode, gid] = [q.u32(), q.u32(), q.u32()];
    const { node, file } = fid.node.create(name, flags, { mode, gid });
    fid.node.release();
    this.#fids.set(id, { node, file });
    putQid(r, node.stat());
    r.u32(this.#messageBytes - READ_HEADER - 13);
  }

  #read(q: P9Reader, r: P9Writer): void {
    const { file, attribute } = this.#fid(q);
    const offset = q.u64();
    const count = Math.min(q.u32(), r.room - 4);
    const countAt = r.at;
    r.u32(0);
    if (offset > 2n ** 53n) throw new ShareError(share.EINVAL);
    let done: number;
    if (attribute !== undefined) {
      const part = attribute.value.subarray(Number(offset), Number(offset) + count);
      r.bytes.set(part, r.at);
      done = part.length;
    } else {
      if (file === undefined) throw new ShareError(share.EBADF);
      done = file.read(Number(offset), r.bytes.subarray(r.at, r.at + count));
    }
    new DataView(r.bytes.buffer, r.bytes.byteOffset).setUint32(countAt, done, true);
    r.at += done;
  }

  #write(q: P9Reader, r: P9Writer): void {
    const { file, attribute } = this.#fid(q);
    const offset = q.u64();
    const bytes = q.bytes(q.u32());
    if (offset > 2n ** 53n) throw new ShareError(share.EFBIG);
    if (attribute?.flags !== undefined) {
      if (Number(offset) !== attribute.written || attribute.written + bytes.length > attribute.value.length)
        throw new ShareError(share.EINVAL);
      attribute.value.set(bytes, attribute.written);
      attribute.written += bytes.length;
      r.u32(bytes.length);
      return;
    }
    if (file === undefined) throw new ShareError(share.EBADF);
    r.u32(file.write(Number(offset), bytes));
  }

  /** An entry's cookie is the number of the one after it. */
  #readdir(q: P9Reader, r: P9Writer): void {
    const fid = this.#fid(q);
    const offset = Number(q.u64());
    const limit = Math.min(q.u32(), r.room - 4);
    if (fid.entries === undefined) throw new ShareError(share.EBADF);
    if (offset === 0) fid.entries = listing(fid.node);
    const countAt = r.at;
    r.u32(0);
    const start = r.at;
    for (let i = offset; i < fid.entries.length; i++) {
      const entry = fid.entries[i]!;
      if (r.at - start + QID_BYTES + 11 + entry.name.length > limit) break;
      putQid(r, entry);
      r.u64(BigInt(i + 1))
        .u8((entry.mode & MODE_TYPE) >> 12)
        .text(entry.name);
    }
    new DataView(r.bytes.buffer, r.bytes.byteOffset).setUint32(countAt, r.at - start, true);
  }

  #fsync(q: P9Reader): void {
    const { file } = this.#fid(q);
    file?.sync(q.u32() !== 0);
  }

  #getlock(q: P9Reader, r: P9Writer): void {
    this.#fid(q);
    q.u8();
    const [start, length, process] = [q.u64(), q.u64(), q.u32()];
    r.u8(GETLOCK_UNLOCKED).u64(start).u64(length).u32(process).text(q.text());
  }

  // --- extended attributes

  #xattrwalk(q: P9Reader, r: P9Writer): void {
    const { node } = this.#fid(q);
    const id = q.u32();
    const name = q.text();
    const value =
      name === ''
        ? binaryBytes(
            node
              .attributes()
              .map((one) => `${one}\0`)
              .join(''),
          )
        : node.attribute(name);
    if (value.length > MAX_ATTRIBUTE) throw new ShareError(share.ERANGE);
    this.#bind(id, { node: node.retain(), attribute: { name, value, flags: undefined, written: 0 } });
    r.u64(BigInt(value.length));
  }

  #xattrcreate(q: P9Reader): void {
    const fid = this.#fid(q);
    const name = q.text();
    const size = q.u64();
    const flags = q.u32();
    if (fid.file !== undefined || fid.attribute !== undefined || name === '')
      throw new ShareError(share.EINVAL);
    if (size > BigInt(MAX_ATTRIBUTE)) throw new ShareError(share.ERANGE);
    fid.attribute = { name, value: new Uint8Array(Number(size)), flags: flags & 3, written: 0 };
  }

  // --- names

  #made(node: ShareNode, r: P9Writer): void {
    try {
      putQid(r, node.stat());
    } finally {
      node.release();
    }
  }

  /** Fids of what was renamed know its new name. */
  #rename(from: ShareNode, name: string, to: ShareNode, newName: string): void {
    const key = (node: ShareNode): string => {
      const { device, inode } = node.stat();
      return `${device}:${inode}`;
    };
    const folder = key(from);
    from.rename(name, to, newName);
    for (const { node } of this.#fids.values()) {
      if (node.parent !== undefined && node.name === name && key(node.parent) === folder)
        node.moveTo(to, newName);
    }
  }

  /** The fid is gone in any case (remove(5)). */
  #remove(q: P9Reader): void {
    const id = q.u32();
    const fid = this.#fids.get(id);
    if (fid === undefined) throw new ShareError(share.EBADF);
    try {
      const { node } = fid;
      if (node.parent === undefined) throw new ShareError(share.EPERM);
      node.parent.remove(node.name, (node.stat().mode & MODE_TYPE) === MODE_FOLDER);
    } finally {
      this.#clunk(id);
    }
  }
}

/** A name for something new, renamed or removed: one component, and none that means a folder itself. */
function nameOf(q: P9Reader): string {
  const name = q.text();
  if (name === '' || name.includes('/') || name.includes('\0')) throw new ShareError(share.ENOENT);
  if (name === '.' || name === '..') throw new ShareError(share.EEXIST);
  if (name.length > MAX_NAME) throw new ShareError(share.ENAMETOOLONG);
  return name;
}

function step(node: ShareNode, name: string): ShareNode {
  if (name === '..') return (node.parent ?? node).retain();
  if (name === '' || name === '.' || name.includes('/') || name.includes('\0'))
    throw new ShareError(share.ENOENT);
  if (name.length > MAX_NAME) throw new ShareError(share.ENAMETOOLONG);
  return node.child(name);
}

function listing(node: ShareNode): NonNullable<Fid['entries']> {
  const self = { name: '.', ...node.stat() };
  const up = { name: '..', ...(node.parent ?? node).stat() };
  return [self, up, ...node.list()];
}

/** The path of a qid is unique in the share: inodes of other devices are told apart by theirs. */
function putQid(r: P9Writer, s: { mode: number; inode: bigint; device: bigint }): void {
  const type = s.mode & MODE_TYPE;
  r.u8(type === MODE_FOLDER ? QID_FOLDER : type === MODE_LINK ? QID_LINK : 0);
  r.u32(0).u64(s.inode ^ ((s.device & 0xffffn) << 48n));
}
