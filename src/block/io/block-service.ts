/** What the I/O thread does for the main thread: opens, changes and closes drives. Portable; the thread comes from the host. */
import type { ShareConfig } from '../../core/share-backend.ts';
import { UserError } from '../../util/errors.ts';
import { Doorbell } from '../../util/ring.ts';
import { type BlockNode, SECTOR } from '../block-node.ts';
import type { BlockConfig, DriveConfig } from '../drive-config.ts';
import { ThrottleNode } from '../filter/throttle.ts';
import { ThrottleOptions } from '../filter/throttle-options.ts';
import type { BlockHost } from '../host.ts';
import { NodeOptionReader, type NodeOptions, textOf } from '../node-options.ts';
import { BlockGraph } from '../open.ts';
import { openOverlay } from '../overlay.ts';
import type { MediumInfo } from './block-channel.ts';
import {
  type BlockExport,
  BlockServer,
  type ExportOptions,
  type MessageHandler,
  type ServerHost,
} from './block-server.ts';
import { describeGraph, NodeNames } from './graph-info.ts';
import type { BlockReply, BlockRequest, MachineAttachment, OpenedDrive, OpenedDrives } from './protocol.ts';

export interface ServicePorts extends ServerHost {
  reply(message: BlockReply): void;
  /** Everything is closed; the answer that says so comes next. */
  closed(): void;
  /** A file server for a folder; `UserError` where it cannot be. */
  openShare(config: ShareConfig): MessageHandler;
}

export class BlockService {
  readonly #server: BlockServer;
  readonly #graph: BlockGraph;
  readonly #ports: ServicePorts;
  readonly #host: BlockHost;
  readonly #opened = new Set<BlockNode>();
  /** Nodes that `-blockdev` and `blockdev-add` made: they stay when nobody uses them. */
  readonly #blockdevs = new Set<BlockNode>();
  readonly #names: NodeNames;

  constructor(channel: SharedArrayBuffer, host: BlockHost, ports: ServicePorts) {
    this.#server = new BlockServer(channel, ports);
    this.#graph = new BlockGraph(host, (text) => ports.reply({ kind: 'warning', text }));
    this.#names = new NodeNames(this.#graph);
    this.#host = host;
    this.#ports = ports;
  }

  /** Returns when a `close` request has been carried out. */
  run(): Promise<void> {
    return this.#server.run();
  }

  receive(request: BlockRequest): void {
    void this.#server.hold(this.#answer(request));
  }

  async #answer(request: BlockRequest): Promise<void> {
    const { id } = request;
    try {
      this.#ports.reply({ kind: 'done', id, value: await this.#carryOut(request) });
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof UserError) this.#ports.reply({ kind: 'failed', id, code: error.code, message });
      else this.#ports.reply({ kind: 'failed', id, code: 'Bug', message: String((error as Error).stack) });
    }
  }

  async #carryOut(request: BlockRequest): Promise<unknown> {
    switch (request.kind) {
      case 'open':
        return this.#open(request.config);
      case 'drive':
        return { config: request.drive, medium: await this.#openDrive(request.drive) };
      case 'release':
        await this.#release(request.handle);
        return null;
      case 'resize':
        return this.#resize(request.handle, request.sizeBytes);
      case 'info':
        return describeGraph(this.#graph, this.#server.exports, this.#names);
      case 'add':
        return this.#add(request.node, request.option);
      case 'remove':
        return this.#remove(request.nodeName);
      case 'attach':
        this.#attach(request.machine);
        return null;
      case 'share':
        return this.#server.exportMessages(this.#ports.openShare(request.share));
      case 'close':
        await this.#close();
        this.#ports.closed();
        return null;
    }
  }

  async #open(config: BlockConfig): Promise<OpenedDrives> {
    const nodes: OpenedDrive[] = [];
    for (const { option, node } of config.blockdevs) nodes.push(await this.#add(node, option));
    const drives: OpenedDrive[] = [];
    for (const drive of config.drives) drives.push({ config: drive, medium: await this.#openDrive(drive) });
    return { drives, nodes };
  }

  async #add(options: NodeOptions, option: string): Promise<OpenedDrive> {
    const reader = new NodeOptionReader(options, option);
    reader.required('driver');
    reader.required('node-name');
    const node = await this.#graph.open(options, option);
    this.#opened.add(node);
    this.#blockdevs.add(node);
    const opened = this.#blockdevDrive(options, option);
    return { ...opened, medium: await withFirstSector(opened.medium!, node) };
  }

  /** A `-blockdev` as a drive, for devices that name its node. */
  #blockdevDrive(options: NodeOptions, option: string): OpenedDrive {
    const id = textOf(options['node-name']);
    const node = this.#graph.nodes.get(id)!;
    const config: DriveConfig = {
      option,
      id,
      interface: 'none',
      bus: 0,
      unit: 0,
      media: 'disk',
      node: options,
      isReadOnly: node.isReadOnly,
      isSnapshot: false,
      isWritethrough: false,
      readError: 'report',
      writeError: 'enospc',
    };
    return { config, medium: this.#export(node, exportOptions(config, options)) };
  }

  async #openDrive(drive: DriveConfig): Promise<MediumInfo | undefined> {
    if (drive.node === undefined) return undefined;
    const { throttling, ...options } = drive.node;
    const limits =
      throttling === undefined ? undefined : new ThrottleOptions(throttling, drive.option).read(drive.id);
    const isReadOnly = drive.isReadOnly || drive.isSnapshot;
    let node = await this.#graph.open(options, drive.option, isReadOnly ? { isReadOnly: true } : {});
    this.#warnOfGuess(drive, node);
    if (drive.isSnapshot) node = await openOverlay(this.#host, node);
    if (limits !== undefined)
      node = new ThrottleNode(node, this.#graph.throttleGroups.group(limits.group, limits.limits));
    this.#opened.add(node);
    return withFirstSector(this.#export(node, exportOptions(drive, options)), node);
  }

  #warnOfGuess(drive: DriveConfig, node: BlockNode): void {
    const isGuess = drive.node?.['driver'] === undefined && node.driver === 'raw' && !node.isReadOnly;
    if (!isGuess || drive.interface === 'floppy') return;
    this.#ports.reply({
      kind: 'warning',
      text: `${drive.option}: Image format was not specified and probing guessed raw. Specify the 'raw' format explicitly`,
    });
  }

  #export(node: BlockNode, options: ExportOptions): MediumInfo {
    const entry = { node, options };
    return mediumInfo(this.#server.export(entry), entry);
  }

  async #release(handle: number): Promise<void> {
    const entry = this.#server.exports.get(handle);
    if (entry === undefined || this.#blockdevs.has(entry.node)) return;
    this.#server.unexport(handle);
    await this.#closeNode(entry.node);
  }

  async #closeNode(node: BlockNode): Promise<void> {
    for (const [name, other] of this.#graph.nodes) if (other === node) this.#graph.nodes.delete(name);
    this.#opened.delete(node);
    this.#blockdevs.delete(node);
    if (!node.isReadOnly) await node.flush();
    await node.close();
  }

  async #resize(handle: number, sizeBytes: number): Promise<MediumInfo> {
    const entry = this.#server.exports.get(handle);
    if (entry === undefined) throw new UserError('DeviceNotFound', 'Device has no medium');
    const { node, options } = entry;
    if (options.isReadOnly || node.isReadOnly)
      throw new UserError('GenericError', `Node '${this.#names.of(node)}' is read-only`);
    try {
      await node.resize(sizeBytes);
    } catch (error) {
      throw new UserError('GenericError', `Could not resize: ${(error as Error).message}`);
    }
    return mediumInfo(handle, entry);
  }

  async #remove(name: string): Promise<null> {
    const node = this.#graph.nodes.get(name);
    if (node === undefined)
      throw new UserError('DeviceNotFound', `Failed to find node with node-name='${name}'`);
    if (!this.#blockdevs.has(node))
      throw new UserError('GenericError', `Node ${name} is not owned by the monitor`);
    const user = this.#names.userOf(node, this.#opened);
    if (user !== undefined)
      throw new UserError('GenericError', `Node '${name}' is busy: node is used as '${user}'`);
    for (const [handle, entry] of this.#server.exports)
      if (entry.node === node) this.#server.unexport(handle);
    await this.#closeNode(node);
    return null;
  }

  #attach({ ram, doorbell, doorbellOffset, kick }: MachineAttachment): void {
    const word = new Int32Array(kick.buffer, kick.byteOffset, 1);
    this.#server.attach(ram, {
      doorbell: new Doorbell(new Int32Array(doorbell, doorbellOffset, 1)),
      kick: () => void Atomics.or(word, 0, kick.bits),
    });
  }

  /** Everything is written and closed; the first failure is reported after all were tried. */
  async #close(): Promise<void> {
    const failures: Error[] = [];
    // Those that use others were opened after them.
    for (const node of [...this.#opened].reverse()) {
      try {
        if (!node.isReadOnly) await node.flush();
        await node.close();
      } catch (error) {
        failures.push(error as Error);
      }
    }
    this.#opened.clear();
    this.#server.end();
    if (failures.length > 0) throw new UserError('CloseFailed', failures[0]!.message);
  }
}

function mediumInfo(handle: number, { node, options }: BlockExport): MediumInfo {
  return {
    handle,
    sizeBytes: Math.floor(node.sizeBytes / 512) * 512,
    isReadOnly: options.isReadOnly || node.isReadOnly,
    blockSizeBytes: node.blockSizeBytes,
  };
}

/** What cannot be read is left out; the guest will see the error. */
async function withFirstSector(medium: MediumInfo, node: BlockNode): Promise<MediumInfo> {
  if (medium.sizeBytes < SECTOR) return medium;
  const firstSector = new Uint8Array(SECTOR);
  try {
    await node.read(0, firstSector);
    return { ...medium, firstSector };
  } catch {
    return medium;
  }
}

function exportOptions(drive: DriveConfig, options: NodeOptions): ExportOptions {
  const cache = (options['cache'] ?? {}) as NodeOptions;
  const isOn = (value: unknown): boolean =>
    value === true || value === 'on' || value === 'true' || value === 'yes';
  const discard = options['discard'];
  const detect = options['detect-zeroes'];
  return {
    isReadOnly: drive.isReadOnly,
    isWritethrough: drive.isWritethrough,
    ignoresFlush: isOn(cache['no-flush']),
    detectZeroes: detect === 'on' || detect === 'unmap' ? detect : 'off',
    discard: discard === 'unmap' || discard === 'on',
  };
}
