/** A folder of the host as a file server sees it. Calls are synchronous: they are made on a thread that may wait. */

/** Linux' errno numbers: 9P2000.L carries them as they are. */
export const EPERM = 1;
export const ENOENT = 2;
export const EIO = 5;
export const EBADF = 9;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const EMFILE = 24;
export const EFBIG = 27;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ELOOP = 40;
export const ENODATA = 61;
export const EPROTO = 71;
export const EOPNOTSUPP = 95;

export class ShareError extends Error {
  readonly errno: number;

  constructor(errno: number, message = `errno ${errno}`) {
    super(message);
    this.name = 'ShareError';
    this.errno = errno;
  }
}

export interface ShareTime {
  readonly seconds: bigint;
  readonly nanoseconds: bigint;
}

export interface ShareStat {
  readonly device: bigint;
  readonly inode: bigint;
  /** Type and permissions as in `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: bigint;
  readonly rdev: bigint;
  readonly sizeBytes: bigint;
  readonly blockBytes: bigint;
  readonly blocks: bigint;
  readonly accessed: ShareTime;
  readonly modified: ShareTime;
  readonly changed: ShareTime;
}

export interface ShareSpace {
  readonly type: number;
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly freeFiles: bigint;
}

/** What shall change; absent: stays. A time is `now` or given. */
export interface ShareChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: bigint;
  readonly accessed?: ShareTime | 'now';
  readonly modified?: ShareTime | 'now';
}

export interface NewNode {
  readonly mode: number;
  readonly gid: number;
}

export interface ShareEntry {
  readonly name: string;
  readonly inode: bigint;
  readonly device: bigint;
  readonly mode: number;
}

/** An open file. */
export interface ShareFile {
  /** How many bytes there were. */
  read(offset: number, into: Uint8Array): number;
  write(offset: number, from: Uint8Array): number;
  sync(dataOnly: boolean): void;
  close(): void;
}

/**
 * Something in the folder, whatever it is called by now. Names are single components, one character a byte; none leads out of the
 * folder, symbolic links are never followed. Every call may throw `ShareError`. A node is counted: `release` once for each time
 * it was handed out.
 */
export interface ShareNode {
  /** The folder it was found in; undefined: the shared folder itself. */
  readonly parent: ShareNode | undefined;
  /** What it was called when found, or was renamed to. */
  name: string;
  stat(): ShareStat;
  child(name: string): ShareNode;
  open(flags: number): ShareFile;
  create(name: string, flags: number, what: NewNode): { readonly node: ShareNode; readonly file: ShareFile };
  makeFolder(name: string, what: NewNode): ShareNode;
  makeLink(name: string, target: string, gid: number): ShareNode;
  makeSpecial(name: string, what: NewNode, rdev: number): ShareNode;
  /** Another name in this folder for `existing`. */
  link(name: string, existing: ShareNode): void;
  /** `from` in this folder becomes `to` in `folder`. */
  rename(from: string, folder: ShareNode, to: string): void;
  remove(name: string, isFolder: boolean): void;
  readLink(): string;
  change(changes: ShareChanges): void;
  list(): ShareEntry[];
  space(): ShareSpace;
  attribute(name: string): Uint8Array;
  attributes(): string[];
  /** `flags`: 1 must not exist, 2 must exist. Without value: removed. */
  setAttribute(name: string, value: Uint8Array | undefined, flags: number): void;
  moveTo(parent: ShareNode, name: string): void;
  retain(): ShareNode;
  release(): void;
}

export interface Share {
  readonly isReadOnly: boolean;
  /** The shared folder. */
  root(): ShareNode;
}
