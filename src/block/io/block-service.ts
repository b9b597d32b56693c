/** What the I/O thread does for the main thread: opens, changes and closes drives. Portable; the thread comes from the host. */
import type { ShareConfig } from '../../core/share-backend.ts';
import { UserError } from '../../util/errors.ts';
import { Doorbell } from '../../util/ring.ts';
import type { BlockNode } from '../block-node.ts';
import type { BlockConfig, DriveConfig } from '../drive-config.ts';
import { ThrottleNode } from '../filter/throttle.ts';
import { ThrottleOptions } from '../filter/throttle-options.ts';
import type { BlockHost } from '../host.ts';
import { NodeOptionReader, type NodeOptions, textOf } from '../node-options.ts';
import { BlockGraph } from '../open.ts';
import { openOverlay } from '../overlay.ts';
import type { MediumInfo } from './block-channel.ts';
import { BlockServer, type ExportOptions, type MessageHandler, type ServerHost } from './block-server.ts';
import type { BlockReply, BlockRequest, MachineAttachment, OpenedDrive } from './protocol.ts';

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

  constructor(channel: SharedArrayBuffer, host: BlockHost, ports: ServicePorts) {
    this.#server = new BlockServer(channel, ports);
    this.#graph = new BlockGraph(host, (text) => ports.reply({ kind: 'warning', text }));
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
      case 'change': {
        const medium = await this.#openDrive(request.drive);
        if (request.handle !== undefined) await this.#release(request.handle);
        return medium;
      }
      case 'add':
        this.#opened.add(await this.#graph.open(request.node, request.option));
        return null;
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

  async #open(config: BlockConfig): Promise<OpenedDrive[]> {
    for (const { option, node } of config.blockdevs) {
      const reader = new NodeOptionReader(node, option);
      reader.required('driver');
      reader.required('node-name');
      this.#opened.add(await this.#graph.open(node, option));
    }
    const drives: OpenedDrive[] = [];
    for (const drive of config.drives) drives.push({ config: drive, medium: await this.#openDrive(drive) });
    for (const { node, option } of config.blockdevs) drives.push(this.#blockdevDrive(node, option));
    return drives;
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
    return this.#export(node, exportOptions(drive, options));
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
    const handle = this.#server.export({ node, options });
    return {
      handle,
      sizeBytes: Math.floor(node.sizeBytes / 512) * 512,
      isReadOnly: options.isReadOnly || node.isReadOnly,
      blockSizeBytes: node.blockSizeBytes,
    };
  }

  async #release(handle: number): Promise<void> {
    const entry = this.#server.unexport(handle);
    if (entry === undefined) return;
    this.#opened.delete(entry.node);
    await entry.node.close();
  }

  async #remove(name: string): Promise<null> {
    const node = this.#graph.nodes.get(name);
    if (node === undefined)
      throw new UserError('DeviceNotFound', `Failed to find node with node-name='${name}'`);
    this.#graph.nodes.delete(name);
    this.#opened.delete(node);
    await node.close();
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
