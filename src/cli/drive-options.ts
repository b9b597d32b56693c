/** `-drive`, `-blockdev`, `-hda`…`-hdd`, `-cdrom`, `-fda`, `-fdb`, `-snapshot`. */
import type { BlockConfig, BlockdevConfig, DriveConfig, ErrorAction } from '../block/drive-config.ts';
import {
  NodeOptionReader,
  type NodeOptions,
  parseJsonOptions,
  textOf,
  unflatten,
} from '../block/node-options.ts';
import type { DriveInterface } from '../core/drive.ts';
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';

const INTERFACES: readonly DriveInterface[] = [
  'ide',
  'scsi',
  'virtio',
  'floppy',
  'pflash',
  'sd',
  'mtd',
  'none',
];

/** Units on a bus; undefined: as many as there are. */
const UNITS: Readonly<Partial<Record<DriveInterface, number>>> = { scsi: 7, floppy: 2 };

interface CacheMode {
  readonly isWritethrough: boolean;
  readonly direct: boolean;
  readonly noFlush: boolean;
}

const CACHE_MODES: Readonly<Record<string, CacheMode>> = {
  writeback: { isWritethrough: false, direct: false, noFlush: false },
  none: { isWritethrough: false, direct: true, noFlush: false },
  off: { isWritethrough: false, direct: true, noFlush: false },
  writethrough: { isWritethrough: true, direct: false, noFlush: false },
  directsync: { isWritethrough: true, direct: true, noFlush: false },
  unsafe: { isWritethrough: false, direct: false, noFlush: true },
};

/** Names that `-drive` had before `throttling.*`. */
const LEGACY_LIMITS: Readonly<Record<string, string>> = {
  bps: 'bps-total',
  bps_rd: 'bps-read',
  bps_wr: 'bps-write',
  iops: 'iops-total',
  iops_rd: 'iops-read',
  iops_wr: 'iops-write',
};

interface Pending {
  readonly config: Omit<DriveConfig, 'bus' | 'unit' | 'id'>;
  readonly id: string | undefined;
  readonly index: number | undefined;
  readonly bus: number | undefined;
  readonly unit: number | undefined;
  readonly snapshotGiven: boolean;
}

/** Collects drives in the order given; `finish` gives each its place. */
export class DriveOptions {
  /** Of a `-drive` without `if=`. */
  readonly #defaultInterface: DriveInterface;
  readonly #pending: Pending[] = [];
  readonly #blockdevs: BlockdevConfig[] = [];
  #snapshot = false;

  constructor(defaultInterface: DriveInterface = 'ide') {
    this.#defaultInterface = defaultInterface;
  }

  snapshot(): void {
    this.#snapshot = true;
  }

  /** `-hda FILE` and the like. */
  addFile(option: string, file: string, kind: DriveInterface, index: number, media: 'disk' | 'cdrom'): void {
    this.#pending.push({
      config: {
        option: `-${option} ${file}`,
        interface: kind,
        media,
        node: { filename: file },
        isReadOnly: media === 'cdrom',
        isSnapshot: false,
        isWritethrough: false,
        readError: 'report',
        writeError: 'enospc',
      },
      id: undefined,
      index,
      bus: undefined,
      unit: undefined,
      snapshotGiven: false,
    });
  }

  addDrive(text: string): void {
    const what = `-drive ${text}`;
    // "file=" is the file's name here, beside "file.…", which are options of the node below.
    const flat = new OptionList(text, what, 'file')
      .rest()
      .map(([key, value]) => [key === 'file' ? 'filename' : key, value] as const);
    const reader = new NodeOptionReader(unflatten(flat, what), what);
    const kind = reader.choice('if', INTERFACES, this.#defaultInterface);
    const media = reader.choice('media', ['disk', 'cdrom'] as const, 'disk');
    const number = (key: string): number | undefined => reader.size(key);
    const index = number('index');
    const bus = number('bus');
    const unit = number('unit');
    if (index !== undefined && (bus !== undefined || unit !== undefined))
      throw reader.error('index cannot be used with bus and unit');
    const id = reader.text('id');
    const writeError = errorAction(reader, 'werror', 'enospc');
    const readError = errorAction(reader, 'rerror', 'report');
    if (readError === 'enospc') throw reader.error("'enospc' is not a policy for rerror");
    const readOnlyGiven = reader.has('readonly') || reader.has('read-only');
    const isReadOnly = reader.flag('readonly', reader.flag('read-only', media === 'cdrom'));
    if (media === 'cdrom' && readOnlyGiven && !isReadOnly) throw reader.error('a CD-ROM is read-only');
    const snapshotGiven = reader.has('snapshot');
    const isSnapshot = reader.flag('snapshot', false);
    reader.flag('copy-on-read', false);
    const { isWritethrough, cache } = readCache(reader);
    this.#pending.push({
      config: {
        option: what,
        interface: kind,
        media,
        node: readNode(reader, cache),
        isReadOnly,
        isSnapshot,
        isWritethrough,
        readError,
        writeError,
      },
      id,
      index,
      bus,
      unit,
      snapshotGiven,
    });
  }

  addBlockdev(text: string): void {
    const option = `-blockdev ${text}`;
    const isJson = text.trimStart().startsWith('{');
    const node = isJson
      ? parseJsonOptions(text, option)
      : unflatten(new OptionList(text, option, 'driver').rest(), option);
    for (const key of ['driver', 'node-name']) {
      if (typeof node[key] !== 'string') throw new UserError('BadOption', `${option}: "${key}=" is missing`);
    }
    this.#blockdevs.push({ option, node });
  }

  /** `ideUnits`: how many drives each IDE bus of the board takes. */
  finish(ideUnits = 2): BlockConfig {
    const drives: DriveConfig[] = [];
    for (const pending of this.#pending) drives.push(this.#place(pending, drives, ideUnits));
    const ids = [
      ...drives.map((drive) => drive.id),
      ...this.#blockdevs.map(({ node }) => textOf(node['node-name'])),
    ];
    const twice = ids.find((id, at) => ids.indexOf(id) !== at);
    if (twice !== undefined) throw new UserError('DuplicateId', `-drive id=${twice}: the id is taken`);
    return { drives, blockdevs: this.#blockdevs };
  }

  #place(pending: Pending, before: readonly DriveConfig[], ideUnits: number): DriveConfig {
    const { config } = pending;
    const units = config.interface === 'ide' ? ideUnits : UNITS[config.interface];
    const isTaken = (bus: number, unit: number): boolean =>
      before.some(
        (drive) => drive.interface === config.interface && drive.bus === bus && drive.unit === unit,
      );
    let bus = pending.bus ?? 0;
    let unit = pending.unit ?? 0;
    if (pending.index !== undefined) {
      bus = units === undefined ? 0 : Math.floor(pending.index / units);
      unit = units === undefined ? pending.index : pending.index % units;
    } else if (pending.unit === undefined && config.interface !== 'none') {
      while (isTaken(bus, unit)) {
        unit++;
        if (units !== undefined && unit >= units) {
          unit = 0;
          bus++;
        }
      }
    }
    const place = `bus=${bus},unit=${unit}`;
    if (units !== undefined && unit >= units)
      throw new UserError('BadOption', `${config.option}: unit ${unit} too big (max is ${units - 1})`);
    if (config.interface !== 'none' && isTaken(bus, unit))
      throw new UserError('DuplicateId', `${config.option}: drive with ${place} exists`);
    const id = pending.id ?? defaultId(config, bus, unit, before);
    const canSnapshot = config.media === 'disk' && config.node !== undefined;
    const isSnapshot = pending.snapshotGiven ? config.isSnapshot : this.#snapshot && canSnapshot;
    return { ...config, id, bus, unit, isSnapshot };
  }
}

/** One drive, as `drive_add` takes it. */
export function parseDriveOption(text: string): DriveConfig {
  const options = new DriveOptions();
  options.addDrive(text);
  return options.finish().drives[0]!;
}

/** As QEMU names drives that have no id: ide0-hd1, ide1-cd0, floppy0, none0. */
function defaultId(
  config: Pending['config'],
  bus: number,
  unit: number,
  before: readonly DriveConfig[],
): string {
  const { interface: kind, media } = config;
  if (kind === 'none') return `none${before.filter((drive) => drive.interface === 'none').length}`;
  if (kind === 'ide' || kind === 'scsi') return `${kind}${bus}-${media === 'cdrom' ? 'cd' : 'hd'}${unit}`;
  return `${kind}${unit}`;
}

function errorAction(reader: NodeOptionReader, key: string, fallback: ErrorAction): ErrorAction {
  return reader.choice(key, ['report', 'ignore', 'stop', 'enospc'] as const, fallback);
}

/** What is left of `-drive`'s options describes the node. */
function readNode(reader: NodeOptionReader, cache: NodeOptions): NodeOptions | undefined {
  const throttling: Record<string, string | number> = {};
  for (const [legacy, name] of Object.entries(LEGACY_LIMITS)) {
    for (const suffix of ['', '_max', '_max_length']) {
      const value = reader.text(legacy + suffix);
      if (value !== undefined) throttling[name + suffix.replaceAll('_', '-')] = value;
    }
  }
  const iopsSize = reader.text('iops_size');
  if (iopsSize !== undefined) throttling['iops-size'] = iopsSize;
  const group = reader.text('group');
  const given = reader.child('throttling');
  Object.assign(throttling, typeof given === 'object' ? given : {});
  if (group !== undefined) throttling['group'] = group;
  const format = reader.text('format');
  const driver = reader.text('driver') ?? format;
  const aio = reader.choice('aio', ['threads', 'native', 'io_uring'] as const, 'threads');
  void aio; // all of them mean the same here
  const rest = reader.rest();
  const isEmpty = (rest['filename'] ?? '') === '' && rest['file'] === undefined && driver === undefined;
  if (isEmpty) return undefined;
  return {
    ...rest,
    ...(driver !== undefined && { driver }),
    ...(Object.keys(cache).length > 0 && { cache }),
    ...(Object.keys(throttling).length > 0 && { throttling }),
  };
}

function readCache(reader: NodeOptionReader): { isWritethrough: boolean; cache: NodeOptions } {
  const given = reader.take('cache');
  if (given === undefined) return { isWritethrough: false, cache: {} };
  if (typeof given === 'string') {
    const mode = Object.hasOwn(CACHE_MODES, given) ? CACHE_MODES[given]! : undefined;
    if (mode === undefined) throw reader.error(`invalid cache option "${given}"`);
    return {
      isWritethrough: mode.isWritethrough,
      cache: { ...(mode.direct && { direct: true }), ...(mode.noFlush && { 'no-flush': true }) },
    };
  }
  const inner = new NodeOptionReader(given as NodeOptions, reader.what);
  const isWritethrough = !inner.flag('writeback', true);
  const cache = { direct: inner.flag('direct', false), 'no-flush': inner.flag('no-flush', false) };
  inner.finish();
  return { isWritethrough, cache };
}
