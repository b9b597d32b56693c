/**
 * A folder of this host. Each node is held by a descriptor (O_PATH), and names are looked up one component at a time below
 * /proc/self/fd/N without following symbolic links: whatever a guest or anybody else renames or links meanwhile, nothing
 * outside the folder is ever reached.
 */
import * as fs from 'node:fs';
import * as share from '../../../fsdev/share.ts';
import {
  type NewNode,
  type Share,
  type ShareChanges,
  type ShareEntry,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareSpace,
  type ShareStat,
  type ShareTime,
} from '../../../fsdev/share.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';
import { loadPosixCalls, type PosixCalls } from './posix-calls.ts';
import {
  type AttributeStore,
  FileStore,
  isMappedAttribute,
  type MappedPlace,
  type MetaFiles,
  type SecurityModel,
  XattrStore,
} from './security-model.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } =
  fs.constants;
/** asm-generic/fcntl.h */
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const TYPE = fs.constants.S_IFMT;
const { S_IFREG, S_IFDIR, S_IFLNK } = fs.constants;

// Flags of 9P2000.L, which are those of Linux on x86
const P9_ACCESS = 3;
const P9_EXCL = 0o200;
const P9_TRUNC = 0o1000;
const P9_APPEND = 0o2000;
const P9_DSYNC = 0o10000;
const P9_SYNC = 0o4010000;

export interface LocalShareOptions {
  readonly path: string;
  readonly securityModel: SecurityModel;
  readonly isReadOnly: boolean;
  /** Permissions of what is created under a mapped model. */
  readonly fileMode: number;
  readonly folderMode: number;
}

/** Turns what Node throws into `ShareError`. */
function guard<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof ShareError) throw error;
    const { errno } = error as NodeJS.ErrnoException;
    throw new ShareError(errno === undefined ? share.EIO : Math.abs(errno), (error as Error).message);
  }
}

/** A path of one character a byte as the host takes it. */
const raw = (path: string): Buffer => Buffer.from(path, 'latin1');

/** `UserError` when the folder cannot be shared. */
export function openLocalShare(options: LocalShareOptions, what: string): Share {
  if (process.platform !== 'linux')
    throw new UserError('NotSupported', `${what}: sharing a folder needs a Linux host`);
  const calls = loadPosixCalls();
  const store = createStore(options.securityModel, calls, what);
  let fd: number;
  try {
    fd = fs.openSync(options.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } catch (error) {
    throw new UserError('FileOpenFailed', `${what}: cannot open '${options.path}': ${errorReason(error)}`);
  }
  const context: ShareContext = { options, store, calls };
  const root = new LocalNode(context, fd, undefined, '');
  return { isReadOnly: options.isReadOnly, root: () => root.retain() };
}

function createStore(
  model: SecurityModel,
  calls: PosixCalls | undefined,
  what: string,
): AttributeStore | undefined {
  if (model === 'none' || model === 'passthrough') return undefined;
  if (model === 'mapped-file') return new FileStore(metaFiles);
  if (calls === undefined)
    throw new UserError(
      'NotSupported',
      `${what}: security_model=${model} needs the npm package "koffi": npm install koffi`,
    );
  return new XattrStore(calls);
}

const metaFiles: MetaFiles = {
  read: (path) =>
    guard(() => {
      let fd: number;
      try {
        fd = fs.openSync(raw(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      } catch {
        return undefined;
      }
      try {
        const bytes = Buffer.alloc(4096);
        return bytes.toString('latin1', 0, fs.readSync(fd, bytes));
      } finally {
        fs.closeSync(fd);
      }
    }),
  write: (path, text) =>
    guard(() => {
      const fd = fs.openSync(raw(path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
      try {
        fs.writeSync(fd, text);
      } finally {
        fs.closeSync(fd);
      }
    }),
  makeFolder: (path) =>
    guard(() => {
      if (!fs.existsSync(raw(path))) fs.mkdirSync(raw(path), 0o700);
      if (!fs.lstatSync(raw(path)).isDirectory()) throw new ShareError(share.ENOTDIR);
    }),
  rename: (from, to) => guard(() => fs.renameSync(raw(from), raw(to))),
  remove: (path) => guard(() => fs.unlinkSync(raw(path))),
};

interface ShareContext {
  readonly options: LocalShareOptions;
  readonly store: AttributeStore | undefined;
  readonly calls: PosixCalls | undefined;
}

class LocalNode implements ShareNode {
  parent: LocalNode | undefined;
  name: string;
  readonly #context: ShareContext;
  readonly #fd: number;
  #count = 1;

  /** Takes over `fd`; keeps `parent`. */
  constructor(context: ShareContext, fd: number, parent: LocalNode | undefined, name: string) {
    this.#context = context;
    this.#fd = fd;
    this.parent = parent?.retain();
    this.name = name;
  }

  retain(): LocalNode {
    this.#count++;
    return this;
  }

  release(): void {
    if (--this.#count > 0) return;
    fs.closeSync(this.#fd);
    this.parent?.release();
  }

  moveTo(parent: ShareNode, name: string): void {
    const before = this.parent;
    this.parent = (parent as LocalNode).retain();
    this.name = name;
    before?.release();
  }

  // --- paths

  /** The node itself, wherever it is. */
  get #self(): string {
    return `/proc/self/fd/${this.#fd}`;
  }

  /** A name in this folder: the last component is not followed by the calls that are made with it. */
  #in(name: string): string {
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
      throw new ShareError(share.EINVAL);
    if (this.#context.store?.isHidden(name) === true) throw new ShareError(share.ENOENT);
    return `${this.#self}/${name}`;
  }

  /** By its name: for what has no call that takes the node itself. */
  get #named(): string {
    if (this.parent === undefined) throw new ShareError(share.EINVAL);
    return this.parent.#in(this.name);
  }

  get #place(): MappedPlace {
    return {
      self: this.#self,
      folder: this.parent === undefined ? this.#self : this.parent.#self,
      name: this.parent === undefined ? '.' : this.name,
    };
  }

  child(name: string): LocalNode {
    return guard(() => {
      const fd = fs.openSync(raw(this.#in(name)), O_PATH | O_NOFOLLOW | O_CLOEXEC);
      return new LocalNode(this.#context, fd, this, name);
    });
  }

  // --- attributes

  #hostStat(): fs.BigIntStats {
    return guard(() => fs.fstatSync(this.#fd, { bigint: true }));
  }

  stat(): ShareStat {
    return this.#mapped(this.#hostStat(), this.#place);
  }

  #mapped(s: fs.BigIntStats, place: MappedPlace): ShareStat {
    const mapped = this.#context.store?.read(place) ?? {};
    return {
      device: s.dev,
      inode: s.ino,
      mode: mapped.mode ?? Number(s.mode),
      uid: mapped.uid ?? Number(s.uid),
      gid: mapped.gid ?? Number(s.gid),
      links: s.nlink,
      rdev: mapped.rdev === undefined ? s.rdev : BigInt(mapped.rdev),
      sizeBytes: s.size,
      blockBytes: s.blksize,
      blocks: s.blocks,
      accessed: timeOf(s.atimeNs),
      modified: timeOf(s.mtimeNs),
      changed: timeOf(s.ctimeNs),
    };
  }

  get #hostType(): number {
    return Number(this.#hostStat().mode) & TYPE;
  }

  change(changes: ShareChanges): void {
    guard(() => {
      const { mode, uid, gid, sizeBytes, accessed, modified } = changes;
      const { store } = this.#context;
      const isLink = this.#hostType === S_IFLNK;
      if (sizeBytes !== undefined) this.#truncate(Number(sizeBytes));
      if (store !== undefined) {
        const before = this.stat().mode;
        store.write(this.#place, {
          ...(mode !== undefined && { mode: (before & TYPE) | (mode & 0o7777) }),
          ...(uid !== undefined && { uid }),
          ...(gid !== undefined && { gid }),
        });
      } else {
        if (uid !== undefined || gid !== undefined) this.#changeOwner(uid, gid, isLink);
        if (mode !== undefined) fs.chmodSync(isLink ? raw(this.#named) : this.#self, mode & 0o7777);
      }
      if (accessed !== undefined || modified !== undefined) this.#setTimes(accessed, modified, isLink);
    });
  }

  #truncate(sizeBytes: number): void {
    if (this.#hostType !== S_IFREG) throw new ShareError(share.EINVAL);
    fs.truncateSync(this.#self, sizeBytes);
  }

  /** 0xffffffff leaves as it is. Without the right to give files away, `none` lets it be. */
  #changeOwner(uid: number | undefined, gid: number | undefined, isLink: boolean): void {
    const s = this.#hostStat();
    const owner = uid === undefined || uid === 0xffffffff ? Number(s.uid) : uid;
    const group = gid === undefined || gid === 0xffffffff ? Number(s.gid) : gid;
    try {
      if (isLink) fs.lchownSync(raw(this.#named), owner, group);
      else fs.chownSync(this.#self, owner, group);
    } catch (error) {
      if (this.#context.options.securityModel !== 'none') throw error;
    }
  }

  #setTimes(
    accessed: ShareTime | 'now' | undefined,
    modified: ShareTime | 'now' | undefined,
    isLink: boolean,
  ): void {
    const s = this.#hostStat();
    const seconds = (time: ShareTime | 'now' | undefined, before: bigint): number => {
      if (time === 'now') return Date.now() / 1000;
      const { seconds: whole, nanoseconds } = time ?? timeOf(before);
      return Number(BigInt.asIntN(64, whole)) + Number(nanoseconds) / 1e9;
    };
    const [atime, mtime] = [seconds(accessed, s.atimeNs), seconds(modified, s.mtimeNs)];
    if (isLink) fs.lutimesSync(raw(this.#named), atime, mtime);
    else fs.utimesSync(this.#self, atime, mtime);
  }

  space(): ShareSpace {
    return guard(() => {
      const s = fs.statfsSync(this.#self, { bigint: true });
      return {
        type: Number(s.type) >>> 0,
        blockBytes: Number(s.bsize),
        blocks: s.blocks,
        free: s.bfree,
        available: s.bavail,
        files: s.files,
        freeFiles: s.ffree,
      };
    });
  }

  // --- content

  /** Only plain files: opening a device or a pipe would do something to the host. */
  open(flags: number): ShareFile {
    return guard(() => {
      const type = this.#hostType;
      if (type === S_IFLNK) throw new ShareError(share.ELOOP);
      if (type !== S_IFREG || (this.stat().mode & TYPE) !== S_IFREG) throw new ShareError(share.ENODEV);
      return new LocalFile(fs.openSync(this.#self, hostFlags(flags) | O_NONBLOCK | O_CLOEXEC));
    });
  }

  create(name: string, flags: number, what: NewNode): { node: LocalNode; file: LocalFile } {
    return guard(() => {
      const { store, options } = this.#context;
      const path = raw(this.#in(name));
      const exclusive = (flags & P9_EXCL) !== 0 ? O_EXCL : 0;
      // Something of another kind may have the name: it must not be opened.
      const existing = this.#typeOf(name);
      if (existing !== undefined && existing !== S_IFREG && exclusive === 0)
        throw new ShareError(share.EEXIST);
      const mode = store === undefined ? what.mode & 0o7777 : options.fileMode;
      const hostwards = hostFlags(flags) | exclusive | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
      const file = new LocalFile(fs.openSync(path, hostwards, mode));
      try {
        if (existing === undefined) this.#finish(name, { ...what, mode: S_IFREG | (what.mode & 0o7777) });
        return { node: this.child(name), file };
      } catch (error) {
        file.close();
        throw error;
      }
    });
  }

  #typeOf(name: string): number | undefined {
    try {
      return fs.lstatSync(raw(this.#in(name))).mode & TYPE;
    } catch {
      return undefined;
    }
  }

  /** Owner and permissions of something just made: the mask of this process is not the guest's. */
  #finish(name: string, what: NewNode & { rdev?: number }): void {
    const { store, options } = this.#context;
    const node = this.child(name);
    try {
      if (store !== undefined) {
        const { mode, gid, rdev } = what;
        store.write(node.#place, { uid: 0, gid, mode, ...(rdev !== undefined && { rdev }) });
        return;
      }
      const isLink = (what.mode & TYPE) === S_IFLNK;
      if (options.securityModel === 'passthrough' || process.getuid?.() === 0)
        node.#changeOwner(undefined, what.gid, isLink);
      if (!isLink) fs.chmodSync(node.#self, what.mode & 0o7777);
    } finally {
      node.release();
    }
  }

  readLink(): string {
    return guard(() => {
      if ((this.stat().mode & TYPE) !== S_IFLNK) throw new ShareError(share.EINVAL);
      if (this.#context.store === undefined) return fs.readlinkSync(raw(this.#named), 'latin1');
      const fd = fs.openSync(this.#self, O_RDONLY | O_NONBLOCK);
      try {
        const bytes = Buffer.alloc(4096);
        return bytes.toString('latin1', 0, fs.readSync(fd, bytes));
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  // --- names

  makeFolder(name: string, what: NewNode): LocalNode {
    return guard(() => {
      const { store, options } = this.#context;
      fs.mkdirSync(raw(this.#in(name)), store === undefined ? what.mode & 0o7777 : options.folderMode);
      this.#finish(name, { ...what, mode: S_IFDIR | (what.mode & 0o7777) });
      return this.child(name);
    });
  }

  makeLink(name: string, target: string, gid: number): LocalNode {
    return guard(() => {
      const path = raw(this.#in(name));
      if (target === '' || target.includes('\0')) throw new ShareError(share.EINVAL);
      if (this.#context.store === undefined) fs.symlinkSync(raw(target), path);
      else this.#makeFile(path, raw(target));
      this.#finish(name, { mode: S_IFLNK | 0o777, gid });
      return this.child(name);
    });
  }

  makeSpecial(name: string, what: NewNode, rdev: number): LocalNode {
    return guard(() => {
      const { store, calls } = this.#context;
      const type = what.mode & TYPE;
      const path = this.#in(name);
      if (store !== undefined || type === S_IFREG || type === 0) this.#makeFile(raw(path), new Uint8Array());
      else if (calls === undefined) throw new ShareError(share.EOPNOTSUPP);
      else calls.mknod(path, what.mode, rdev);
      this.#finish(name, { ...what, mode: (type === 0 ? S_IFREG : type) | (what.mode & 0o7777), rdev });
      return this.child(name);
    });
  }

  #makeFile(path: Buffer, content: Uint8Array): void {
    const fd = fs.openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, this.#context.options.fileMode);
    try {
      fs.writeSync(fd, content);
    } finally {
      fs.closeSync(fd);
    }
  }

  link(name: string, existing: ShareNode): void {
    guard(() => {
      const source = existing as LocalNode;
      fs.linkSync(raw(source.#named), raw(this.#in(name)));
      const { store } = this.#context;
      if (store === undefined) return;
      const node = this.child(name);
      store.write(node.#place, store.read(source.#place));
      node.release();
    });
  }

  rename(from: string, folder: ShareNode, to: string): void {
    guard(() => {
      const target = folder as LocalNode;
      fs.renameSync(raw(this.#in(from)), raw(target.#in(to)));
      const place = (node: LocalNode, name: string): MappedPlace => ({ self: '', folder: node.#self, name });
      this.#context.store?.renamed(place(this, from), place(target, to));
    });
  }

  remove(name: string, isFolder: boolean): void {
    guard(() => {
      const path = raw(this.#in(name));
      const { store } = this.#context;
      if (!isFolder) fs.unlinkSync(path);
      else {
        if (store?.isHidden('.virtfs_metadata') === true) this.#removeEmptyMetadata(path);
        fs.rmdirSync(path);
      }
      store?.removed({ self: '', folder: this.#self, name });
    });
  }

  /** A folder that holds nothing but the store's own is empty for the guest. */
  #removeEmptyMetadata(path: Buffer): void {
    const names = fs.readdirSync(path, { encoding: 'latin1' });
    if (names.length !== 1 || names[0] !== '.virtfs_metadata') return;
    const inner = Buffer.concat([path, raw('/.virtfs_metadata')]);
    for (const name of fs.readdirSync(inner))
      fs.unlinkSync(Buffer.concat([inner, raw('/'), Buffer.from(name)]));
    fs.rmdirSync(inner);
  }

  list(): ShareEntry[] {
    return guard(() => {
      const { store } = this.#context;
      const entries: ShareEntry[] = [];
      for (const name of fs.readdirSync(this.#self, { encoding: 'latin1' })) {
        if (store?.isHidden(name) === true) continue;
        try {
          const s = fs.lstatSync(raw(`${this.#self}/${name}`), { bigint: true });
          entries.push({ name, inode: s.ino, device: s.dev, mode: this.#entryMode(name, Number(s.mode)) });
        } catch {
          // gone meanwhile
        }
      }
      return entries;
    });
  }

  #entryMode(name: string, mode: number): number {
    const { store } = this.#context;
    if (store === undefined || (mode & TYPE) === S_IFLNK) return mode;
    return store.read({ self: `${this.#self}/${name}`, folder: this.#self, name }).mode ?? mode;
  }

  // --- extended attributes: of plain files and folders; the store's own are nobody else's

  get #attributePath(): string {
    const type = this.#hostType;
    if (type !== S_IFREG && type !== S_IFDIR) throw new ShareError(share.EOPNOTSUPP);
    return this.#self;
  }

  #checkedCalls(name: string): PosixCalls {
    const { calls, store } = this.#context;
    if (calls === undefined) throw new ShareError(share.EOPNOTSUPP);
    if (store !== undefined && isMappedAttribute(name)) throw new ShareError(share.EPERM);
    return calls;
  }

  attribute(name: string): Uint8Array {
    return guard(() => this.#checkedCalls(name).getXattr(this.#attributePath, name));
  }

  attributes(): string[] {
    return guard(() => {
      const { calls, store } = this.#context;
      if (calls === undefined) throw new ShareError(share.EOPNOTSUPP);
      const names = calls.listXattr(this.#attributePath);
      return store === undefined ? names : names.filter((name) => !isMappedAttribute(name));
    });
  }

  setAttribute(name: string, value: Uint8Array | undefined, flags: number): void {
    guard(() => {
      const calls = this.#checkedCalls(name);
      if (value === undefined) calls.removeXattr(this.#attributePath, name);
      else calls.setXattr(this.#attributePath, name, value, flags);
    });
  }
}

class LocalFile implements ShareFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(offset: number, into: Uint8Array): number {
    return guard(() => fs.readSync(this.#fd, into, 0, into.length, offset));
  }

  write(offset: number, from: Uint8Array): number {
    return guard(() => fs.writeSync(this.#fd, from, 0, from.length, offset));
  }

  sync(dataOnly: boolean): void {
    guard(() => (dataOnly ? fs.fdatasyncSync(this.#fd) : fs.fsyncSync(this.#fd)));
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/** Access and what else may pass; the guest's other wishes are its own affair. */
function hostFlags(flags: number): number {
  const access = [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR][flags & P9_ACCESS]!;
  return (
    access |
    ((flags & P9_TRUNC) !== 0 ? O_TRUNC : 0) |
    ((flags & P9_APPEND) !== 0 ? fs.constants.O_APPEND : 0) |
    ((flags & P9_SYNC) === P9_SYNC
      ? fs.constants.O_SYNC
      : (flags & P9_DSYNC) !== 0
        ? fs.constants.O_DSYNC
        : 0)
  );
}

function timeOf(ns: bigint): ShareTime {
  const seconds = ns / 1_000_000_000n - (ns % 1_000_000_000n < 0n ? 1n : 0n);
  return { seconds, nanoseconds: ns - seconds * 1_000_000_000n };
}
