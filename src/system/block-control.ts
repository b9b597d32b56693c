/** Commands about drives and nodes: the machine thread moves media in devices, the I/O thread opens and closes what is in them. */
import type { DriveConfig } from '../block/drive-config.ts';
import type { BlockInfo, NodeInfo } from '../block/io/protocol.ts';
import { type NodeOptions, parseByteSize } from '../block/node-options.ts';
import { UserError } from '../util/errors.ts';
import type { DriveFacts } from './drive-commands.ts';
import type { BlockPort, MachineControl } from './machine-client.ts';

type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [key: string]: Json | undefined;
}

const qmpError = (message: string): UserError => new UserError('GenericError', message);

export type { DriveConfig };

/** `UserError` for what is no size: a number with a suffix. */
export function parseSizeText(text: string): number {
  const size = parseByteSize(text);
  if (size === undefined) throw qmpError(`'${text}' is not a size`);
  return size;
}

/** What these functions need around them. */
export interface BlockContext {
  readonly machine: MachineControl;
}

async function onMachine<T>(c: BlockContext, command: string, args: JsonObject): Promise<T> {
  return (await c.machine.request('control', { command, args })) as T;
}

export function blockPort(c: BlockContext): BlockPort {
  const { block } = c.machine;
  if (block === undefined) throw qmpError('This machine has no block layer');
  return block;
}

function byName(info: BlockInfo): ReadonlyMap<string, NodeInfo> {
  return new Map(info.nodes.map((node) => [node.name, node]));
}

/** The nodes below the first, through filters and formats without name of their own. */
function backingOf(nodes: ReadonlyMap<string, NodeInfo>, node: NodeInfo): NodeInfo | undefined {
  return node.backing === undefined ? undefined : nodes.get(node.backing);
}

const MAX_DEPTH = 200;

function image(nodes: ReadonlyMap<string, NodeInfo>, node: NodeInfo, depth = 0): JsonObject {
  const backing = depth < MAX_DEPTH ? backingOf(nodes, node) : undefined;
  return {
    'virtual-size': node.sizeBytes,
    filename: node.filename,
    ...(node.clusterSizeBytes !== undefined && { 'cluster-size': node.clusterSizeBytes }),
    format: node.driver,
    ...(node.allocatedBytes !== undefined && { 'actual-size': node.allocatedBytes }),
    ...(node.specific !== undefined && {
      'format-specific': { type: node.driver, data: plain(node.specific) },
    }),
    ...(node.backingName !== undefined && { 'backing-filename': node.backingName }),
    ...(node.backingName !== undefined && { 'full-backing-filename': backing?.filename ?? node.backingName }),
    ...(node.backingFormat !== undefined && { 'backing-filename-format': node.backingFormat }),
    'dirty-flag': false,
    ...(backing !== undefined && { 'backing-image': image(nodes, backing, depth + 1) }),
  };
}

function plain(value: unknown): Json {
  return JSON.parse(
    JSON.stringify(value, (_key, v: unknown) => (typeof v === 'bigint' ? Number(v) : v)),
  ) as Json;
}

const NO_LIMITS = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };

/** `BlockDeviceInfo`. */
function deviceInfo(nodes: ReadonlyMap<string, NodeInfo>, node: NodeInfo, isReadOnly: boolean): JsonObject {
  let depth = 0;
  for (let n = backingOf(nodes, node); n !== undefined && depth < MAX_DEPTH; n = backingOf(nodes, n)) depth++;
  return {
    file: node.filename,
    'node-name': node.name,
    ro: isReadOnly,
    drv: node.driver,
    ...(node.backingName !== undefined && { backing_file: node.backingName }),
    backing_file_depth: depth,
    encrypted: false,
    detect_zeroes: 'off',
    ...NO_LIMITS,
    cache: { writeback: true, direct: false, 'no-flush': false },
    write_threshold: 0,
    image: image(nodes, node),
  };
}

async function driveList(c: BlockContext): Promise<DriveFacts[]> {
  return onMachine(c, 'x-drive-list', {});
}

function insertedNode(info: BlockInfo, drive: DriveFacts): NodeInfo | undefined {
  const name = info.media.find(([handle]) => handle === drive.handle)?.[1];
  return name === undefined ? undefined : info.nodes.find((node) => node.name === name);
}

/** Drives with a name, and those that a device uses. */
function visible(drives: readonly DriveFacts[]): DriveFacts[] {
  const nodesInDrives = new Set(drives.filter(({ kind }) => kind !== 'node').map(({ handle }) => handle));
  return drives.filter(({ kind, isUsed, handle }) =>
    kind === 'node' ? isUsed && !nodesInDrives.has(handle) : kind === 'drive' || isUsed,
  );
}

export async function queryBlock(c: BlockContext): Promise<JsonObject[]> {
  const drives = await driveList(c);
  const info = (await c.machine.block?.info()) ?? { nodes: [], media: [] };
  const nodes = byName(info);
  return visible(drives).map((drive) => {
    const node = insertedNode(info, drive);
    return {
      device: drive.name,
      ...(drive.qdev !== undefined && { qdev: drive.qdev }),
      type: 'unknown',
      removable: drive.isRemovable,
      locked: drive.isLocked,
      ...(drive.isTrayOpen !== undefined && { tray_open: drive.isTrayOpen }),
      ...(drive.isUsed && { 'io-status': 'ok' }),
      ...(node !== undefined && { inserted: deviceInfo(nodes, node, drive.isReadOnly) }),
    };
  });
}

export async function queryNodes(c: BlockContext, flat: boolean): Promise<JsonObject[]> {
  const info = (await c.machine.block?.info()) ?? { nodes: [], media: [] };
  const nodes = byName(info);
  return info.nodes.map((node) => {
    const all = deviceInfo(nodes, node, node.isReadOnly);
    if (!flat) return all;
    const { 'backing-image': _, ...own } = all['image'] as JsonObject;
    return { ...all, image: own };
  });
}

export async function queryBlockStats(c: BlockContext): Promise<JsonObject[]> {
  const drives = visible(await driveList(c));
  const info = (await c.machine.block?.info()) ?? { nodes: [], media: [] };
  return drives.map((drive) => {
    const node = insertedNode(info, drive);
    return {
      device: drive.name,
      ...(drive.qdev !== undefined && { qdev: drive.qdev }),
      ...(node !== undefined && { 'node-name': node.name }),
      stats: counters(drive),
    };
  });
}

const NOT_COUNTED = {
  rd_total_time_ns: 0,
  wr_total_time_ns: 0,
  flush_total_time_ns: 0,
  unmap_total_time_ns: 0,
  rd_merged: 0,
  wr_merged: 0,
  unmap_merged: 0,
  unmap_bytes: 0,
  wr_highest_offset: 0,
  failed_rd_operations: 0,
  failed_wr_operations: 0,
  failed_flush_operations: 0,
  failed_unmap_operations: 0,
  invalid_rd_operations: 0,
  invalid_wr_operations: 0,
  invalid_flush_operations: 0,
  invalid_unmap_operations: 0,
  account_invalid: false,
  account_failed: false,
  timed_stats: [],
};

function counters({ counters: counted }: DriveFacts): JsonObject {
  return {
    ...NOT_COUNTED,
    rd_bytes: counted['readBytes'] ?? 0,
    wr_bytes: counted['writtenBytes'] ?? 0,
    rd_operations: counted['readOps'] ?? 0,
    wr_operations: counted['writeOps'] ?? 0,
    flush_operations: counted['flushes'] ?? 0,
    unmap_operations: counted['discards'] ?? 0,
  };
}

const NODE_NAME = /^[A-Za-z][\w.-]*$/;

export async function blockdevAdd(c: BlockContext, args: JsonObject): Promise<Json> {
  const name = args['node-name'];
  if (name === undefined) throw qmpError("'node-name' must be specified for the root node");
  if (typeof name !== 'string' || !NODE_NAME.test(name))
    throw qmpError(`Invalid node-name: '${String(name as string)}'`);
  const port = blockPort(c);
  let opened: Awaited<ReturnType<BlockPort['addNode']>>;
  try {
    opened = await port.addNode(plain(args) as unknown as NodeOptions, 'blockdev-add');
  } catch (error) {
    throw qmpError((error as Error).message.replace(/^blockdev-add: /, ''));
  }
  try {
    await onMachine(c, 'x-drive-add', { drive: plain(opened), isNode: true });
  } catch (error) {
    await port.removeNode(name);
    throw error;
  }
  return {};
}

export async function blockdevDel(c: BlockContext, name: string): Promise<Json> {
  const { nodes } = (await c.machine.block?.info()) ?? { nodes: [] };
  if (!nodes.some((node) => node.name === name && node.isNamed))
    throw qmpError(`Failed to find node with node-name='${name}'`);
  await onMachine(c, 'x-node-remove', { name });
  await blockPort(c).removeNode(name);
  return {};
}

/** `blockdev-change-medium`; `readOnly`: what becomes of write access. */
export async function changeMedium(
  c: BlockContext,
  args: JsonObject,
  filename: string,
  format: string | undefined,
): Promise<Json> {
  const { device, id, force = false } = args;
  const which = { ...(device !== undefined && { device }), ...(id !== undefined && { id }) };
  const drive = await onMachine<DriveFacts>(c, 'x-drive-find', which);
  const mode = args['read-only-mode'] ?? 'retain';
  const isReadOnly =
    mode === 'read-only' || (mode === 'retain' && (drive.media === 'cdrom' || drive.isReadOnly));
  const config: DriveConfig = {
    option: 'blockdev-change-medium',
    id: drive.id,
    interface: 'none',
    bus: 0,
    unit: 0,
    media: drive.media,
    node: { filename, ...(format !== undefined && { driver: format }) },
    isReadOnly,
    isSnapshot: false,
    isWritethrough: false,
    readError: 'report',
    writeError: 'enospc',
  };
  const port = blockPort(c);
  const { medium } = await port.openDrive(config).catch((error: Error) => {
    throw qmpError(error.message.replace(/^blockdev-change-medium: /, ''));
  });
  try {
    await onMachine(c, 'x-drive-change', { ...which, force, medium: plain(medium) });
  } catch (error) {
    if (medium !== undefined) await port.release(medium.handle);
    throw error;
  }
  return {};
}

export async function blockResize(c: BlockContext, args: JsonObject): Promise<Json> {
  const { device, 'node-name': name } = args;
  const size = Number(args['size'] as number);
  if (!(size >= 0)) throw qmpError("Parameter 'size' expects a >0 size");
  const drives = await driveList(c);
  const found =
    device !== undefined
      ? drives.find((drive) => drive.name === device)
      : drives.find((drive) => drive.kind === 'node' && drive.id === name);
  if (found?.handle === undefined)
    throw qmpError(
      device !== undefined
        ? `Cannot find device='${device as string}' nor node-name=''`
        : `Cannot find device='' nor node-name='${String(name as string)}'`,
    );
  const medium = await blockPort(c).resize(found.handle, Math.ceil(size / 512) * 512);
  await onMachine(c, 'x-drive-resized', { handle: found.handle, medium: plain(medium) });
  return {};
}

/** A drive as `-drive` describes it, opened and offered to devices. */
export async function addDrive(c: BlockContext, config: DriveConfig): Promise<void> {
  const port = blockPort(c);
  const opened = await port.openDrive(config);
  try {
    await onMachine(c, 'x-drive-add', { drive: plain(opened), isNode: false });
  } catch (error) {
    if (opened.medium !== undefined) await port.release(opened.medium.handle);
    throw error;
  }
}

/** `info block`. */
export async function blockText(c: BlockContext): Promise<string> {
  const rows = (await queryBlock(c)).map((row) => {
    const inserted = row['inserted'] as JsonObject | undefined;
    const name = (row['device'] as string) || (row['qdev'] as string);
    const head =
      inserted === undefined
        ? `${name}: [not inserted]`
        : `${name} (${inserted['node-name'] as string}): ${inserted['file'] as string} (${inserted['drv'] as string}${inserted['ro'] === true ? ', read-only' : ''})`;
    const lines = [head];
    if (row['qdev'] !== undefined) lines.push(`    Attached to:      ${row['qdev'] as string}`);
    if (row['removable'] === true) {
      const tray =
        row['tray_open'] === undefined ? '' : `, tray ${row['tray_open'] === true ? 'open' : 'closed'}`;
      lines.push(`    Removable device: ${row['locked'] === true ? '' : 'not '}locked${tray}`);
    }
    if (inserted !== undefined) lines.push('    Cache mode:       writeback');
    if (inserted?.['backing_file'] !== undefined) {
      const depth = inserted['backing_file_depth'] as number;
      lines.push(`    Backing file:     ${inserted['backing_file'] as string} (chain depth: ${depth})`);
    }
    return lines.join('\n');
  });
  return rows.join('\n\n');
}
