/**
 * What a share does with owners, permissions and special files (`security_model=`): the host's own, or kept beside the files, whose
 * own attributes then stay those of the process.
 */
import { ENODATA, ENOENT, EOPNOTSUPP, ShareError } from '../../../fsdev/share.ts';
import type { PosixCalls } from './posix-calls.ts';

export const SECURITY_MODELS = ['none', 'passthrough', 'mapped', 'mapped-xattr', 'mapped-file'] as const;
export type SecurityModel = (typeof SECURITY_MODELS)[number];

export interface MappedAttributes {
  uid?: number;
  gid?: number;
  mode?: number;
  rdev?: number;
}

/** A file as the store of attributes names it: itself, and by its name in its folder. Paths are one character a byte. */
export interface MappedPlace {
  readonly self: string;
  readonly folder: string;
  readonly name: string;
}

export interface AttributeStore {
  read(place: MappedPlace): MappedAttributes;
  write(place: MappedPlace, attributes: MappedAttributes): void;
  renamed(from: MappedPlace, to: MappedPlace): void;
  removed(place: MappedPlace): void;
  /** A name of the store's own, which guests neither see nor reach. */
  isHidden(name: string): boolean;
}

const PREFIX = 'user.virtfs.';
const FIELDS = ['uid', 'gid', 'mode', 'rdev'] as const;

/** Extended attributes `user.virtfs.*`: 32-bit numbers, `rdev` 64-bit, little-endian. */
export class XattrStore implements AttributeStore {
  readonly #calls: PosixCalls;

  constructor(calls: PosixCalls) {
    this.#calls = calls;
  }

  read({ self }: MappedPlace): MappedAttributes {
    const found: MappedAttributes = {};
    for (const field of FIELDS) {
      try {
        const value = Buffer.from(this.#calls.getXattr(self, PREFIX + field));
        if (value.length >= 4) found[field] = value.readUInt32LE(0);
      } catch (error) {
        const { errno } = error as ShareError;
        if (errno !== ENODATA && errno !== EOPNOTSUPP && errno !== 1 && errno !== 13) throw error;
      }
    }
    return found;
  }

  write({ self }: MappedPlace, attributes: MappedAttributes): void {
    for (const field of FIELDS) {
      const value = attributes[field];
      if (value === undefined) continue;
      const bytes = Buffer.alloc(field === 'rdev' ? 8 : 4);
      bytes.writeUInt32LE(value);
      this.#calls.setXattr(self, PREFIX + field, bytes, 0);
    }
  }

  renamed(): void {}
  removed(): void {}

  isHidden(): boolean {
    return false;
  }
}

export const isMappedAttribute = (name: string): boolean => name.startsWith(PREFIX);

const META_FOLDER = '.virtfs_metadata';
/** Attributes of the shared folder itself. */
const META_ROOT = '.virtfs_metadata_root';

export interface MetaFiles {
  /** Undefined: no such file. Symbolic links are not followed. */
  read(path: string): string | undefined;
  write(path: string, text: string): void;
  makeFolder(path: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
}

/** A file for each in a folder `.virtfs_metadata` beside it, with lines `virtfs.uid=…`. */
export class FileStore implements AttributeStore {
  readonly #files: MetaFiles;

  constructor(files: MetaFiles) {
    this.#files = files;
  }

  read(place: MappedPlace): MappedAttributes {
    const found: MappedAttributes = {};
    for (const line of (this.#files.read(pathOf(place)) ?? '').split('\n')) {
      const match = /^virtfs\.(uid|gid|mode|rdev)=(\d{1,10})$/.exec(line);
      if (match !== null) found[match[1] as (typeof FIELDS)[number]] = Number(match[2]);
    }
    return found;
  }

  write(place: MappedPlace, attributes: MappedAttributes): void {
    const all = { ...this.read(place), ...attributes };
    const lines = FIELDS.flatMap((field) =>
      all[field] === undefined ? [] : [`virtfs.${field}=${all[field]}\n`],
    );
    if (place.name !== '.') this.#files.makeFolder(`${place.folder}/${META_FOLDER}`);
    this.#files.write(pathOf(place), lines.join(''));
  }

  renamed(from: MappedPlace, to: MappedPlace): void {
    this.removed(to);
    this.#files.makeFolder(`${to.folder}/${META_FOLDER}`);
    this.#quietly(() => this.#files.rename(pathOf(from), pathOf(to)));
  }

  removed(place: MappedPlace): void {
    this.#quietly(() => this.#files.remove(pathOf(place)));
  }

  isHidden(name: string): boolean {
    return name === META_FOLDER || name === META_ROOT;
  }

  #quietly(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ShareError) || error.errno !== ENOENT) throw error;
    }
  }
}

const pathOf = ({ folder, name }: MappedPlace): string =>
  name === '.' ? `${folder}/${META_ROOT}` : `${folder}/${META_FOLDER}/${name}`;
