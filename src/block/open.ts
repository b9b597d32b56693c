/** Opens graphs of nodes from options: drivers by name or by looking at the image, children, backing chains. */
import { UserError } from '../util/errors.ts';
import { BlockError, type BlockNode } from './block-node.ts';
import type { CommonOptions, DriverDefinition, OpenContext } from './driver.ts';
import { FORMAT_DRIVERS, findDriver } from './drivers.ts';
import { nodeOptionsOfFilename } from './filename.ts';
import { ThrottleGroups } from './filter/throttle.ts';
import type { BlockHost } from './host.ts';
import { NodeOptionReader, type NodeOptions, parseJsonOptions, textOf } from './node-options.ts';

/** Longest backing chain, and deepest nesting of nodes. */
const MAX_CHAIN = 200;
export const PROBE_BYTES = 4096;

/** What a set of graphs shares: named nodes, throttle groups, the host. */
export class BlockGraph {
  readonly host: BlockHost;
  readonly throttleGroups: ThrottleGroups;
  readonly nodes = new Map<string, BlockNode>();
  readonly warn: (text: string) => void;

  constructor(host: BlockHost, warn: (text: string) => void = () => {}) {
    this.host = host;
    this.warn = warn;
    this.throttleGroups = new ThrottleGroups(host);
  }

  /** Opens a node; `what` begins messages ("-drive file=x"). Throws `UserError`. */
  async open(
    options: NodeOptions | string,
    what: string,
    overrides: Partial<CommonOptions> = {},
  ): Promise<BlockNode> {
    try {
      return await this.#open(options, what, overrides, [], 0);
    } catch (error) {
      if (error instanceof UserError) throw error;
      // `new Array(n)` and typed arrays of damaged images' sizes.
      if (error instanceof BlockError || error instanceof RangeError)
        throw new UserError('OpenFailed', `${what}: ${error.message}`);
      throw error;
    }
  }

  async #open(
    given: NodeOptions | string,
    what: string,
    overrides: Partial<CommonOptions>,
    chain: readonly string[],
    depth: number,
  ): Promise<BlockNode> {
    if (depth > MAX_CHAIN) throw new UserError('OpenFailed', `${what}: the chain of images is too long`);
    const named = typeof given === 'string' ? this.nodes.get(given) : undefined;
    if (named !== undefined) return new SharedNode(named);
    const options = typeof given === 'string' ? this.#optionsOfFilename(given, what) : given;
    const reader = new NodeOptionReader(this.#expand(options, what), what);
    const common = readCommon(reader, overrides);
    const driverName = reader.text('driver');
    const driver = driverName === undefined ? undefined : findDriver(driverName);
    if (driverName !== undefined && driver === undefined)
      throw reader.error(`Unknown driver '${driverName}'`);
    const open = (reader2: NodeOptionReader, chosen: DriverDefinition): Promise<BlockNode> =>
      chosen.open(this.#context(reader2, common, what, chain, depth));
    const node =
      driver === undefined
        ? await this.#openProbed(reader, common, what, chain, depth)
        : await open(reader, driver);
    try {
      reader.finish();
      if (common.nodeName !== undefined) this.#register(common.nodeName, node, what);
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  #register(name: string, node: BlockNode, what: string): void {
    if (this.nodes.has(name))
      throw new UserError('DuplicateId', `${what}: Duplicate nodes with node-name='${name}'`);
    this.nodes.set(name, node);
  }

  #optionsOfFilename(filename: string, what: string): NodeOptions {
    if (filename.startsWith('json:')) return parseJsonOptions(filename.slice(5), what);
    return { file: nodeOptionsOfFilename(filename, what) };
  }

  /** `filename` of a format, or at a level without driver, stands for the file below. */
  #expand(options: NodeOptions, what: string): NodeOptions {
    const { driver: name } = options;
    const kind = typeof name === 'string' ? findDriver(name)?.kind : undefined;
    if (kind === 'protocol' || options['filename'] === undefined) return options;
    const { filename, ...rest } = options;
    const text = textOf(filename);
    if (text.startsWith('json:')) return { ...parseJsonOptions(text.slice(5), what), ...rest };
    const file = rest['file'];
    const below = typeof file === 'object' && file !== null ? (file as NodeOptions) : {};
    return { ...rest, file: { ...nodeOptionsOfFilename(text, what), ...below } };
  }

  /** No driver given: the image says what it is. */
  async #openProbed(
    reader: NodeOptionReader,
    common: CommonOptions,
    what: string,
    chain: readonly string[],
    depth: number,
  ): Promise<BlockNode> {
    const child = reader.child('file');
    if (child === undefined || child === null) throw reader.error('no driver and no file given');
    const file = await this.#open(child, what, childOverrides(common), chain, depth + 1);
    try {
      const driver = await probe(file);
      const context = this.#context(reader, common, what, chain, depth, file);
      return await driver.open(context);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  #context(
    reader: NodeOptionReader,
    common: CommonOptions,
    what: string,
    chain: readonly string[],
    depth: number,
    openedFile?: BlockNode,
  ): OpenContext {
    const open = (
      options: NodeOptions | string,
      overrides: Partial<CommonOptions>,
      next: readonly string[] = chain,
    ): Promise<BlockNode> => this.#open(options, what, overrides, next, depth + 1);
    return {
      host: this.host,
      options: reader,
      common,
      openChild: async (key, fallback, overrides = {}) => {
        if (key === 'file' && openedFile !== undefined) return openedFile;
        const given = reader.child(key) ?? fallback;
        if (given === undefined) throw reader.error(`A block device must be specified for "${key}"`);
        const asProtocol = typeof given === 'string' && !this.nodes.has(given) && !given.startsWith('json:');
        const options = asProtocol ? nodeOptionsOfFilename(given, what) : given;
        return open(protocolDefault(options), { ...childOverrides(common), ...overrides });
      },
      openBacking: async (base, name, format) => {
        const given = reader.child('backing');
        if (common.noBacking || given === null || given === '') return undefined;
        const overrides: Partial<CommonOptions> = {
          ...childOverrides(common),
          isReadOnly: true,
          isForCheck: false,
        };
        if (given !== undefined && !isBackingHint(given)) return open(given, overrides);
        if (name === undefined || name === '') return undefined;
        const path = isProtocolName(name) ? name : this.host.resolvePath(base, name);
        if (chain.includes(path))
          throw new UserError('OpenFailed', `${what}: the backing chain contains "${path}" twice`);
        const inner = path.startsWith('json:')
          ? parseJsonOptions(path.slice(5), what)
          : { file: nodeOptionsOfFilename(path, what) };
        const driver = format === undefined || format === '' ? {} : { driver: format };
        try {
          return await open({ ...driver, ...inner }, overrides, [...chain, base, path]);
        } catch (error) {
          const reason = (error as Error).message;
          throw new UserError('OpenFailed', `Could not open backing file: ${reason}`, { cause: error });
        }
      },
      openReferenced: (base, name, overrides = {}) => {
        const path = isProtocolName(name) ? name : this.host.resolvePath(base, name);
        return open(nodeOptionsOfFilename(path, what), { ...childOverrides(common), ...overrides });
      },
      warn: this.warn,
    };
  }
}

function isBackingHint(given: NodeOptions | string): boolean {
  return typeof given === 'object' && Object.keys(given).length === 0;
}

function isProtocolName(name: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(name);
}

/** A protocol level without driver is a file. */
function protocolDefault(options: NodeOptions | string): NodeOptions | string {
  if (typeof options === 'string' || options['driver'] !== undefined) return options;
  return { driver: 'file', ...options };
}

function childOverrides(common: CommonOptions): Partial<CommonOptions> {
  const { nodeName: _, ...rest } = common;
  return rest;
}

function readCommon(reader: NodeOptionReader, inherited: Partial<CommonOptions>): CommonOptions {
  const cache = reader.take('cache');
  let isDirect = inherited.isDirect ?? false;
  if (typeof cache === 'object' && cache !== null && !Array.isArray(cache)) {
    const inner = new NodeOptionReader(cache as NodeOptions, reader.what);
    isDirect = inner.flag('direct', isDirect);
    inner.flag('no-flush', false);
    inner.flag('writeback', true);
    inner.finish();
  }
  const isReadOnly = reader.flag('read-only', inherited.isReadOnly ?? false);
  const autoReadOnly = reader.flag('auto-read-only', false);
  const discard = reader.choice(
    'discard',
    ['ignore', 'off', 'unmap', 'on'] as const,
    inherited.discard === true ? 'unmap' : 'ignore',
  );
  reader.text('detect-zeroes');
  return {
    nodeName: reader.text('node-name'),
    isReadOnly: isReadOnly || (autoReadOnly && inherited.isReadOnly === true),
    discard: discard === 'unmap' || discard === 'on',
    isDirect,
    forceShare: reader.flag('force-share', inherited.forceShare ?? false),
    ignoresFlush: inherited.ignoresFlush ?? false,
    noBacking: inherited.noBacking ?? false,
    isForCheck: inherited.isForCheck ?? false,
    locking: inherited.locking ?? 'auto',
  };
}

/** The format of the image in `file`, `raw` if none knows it. */
export async function probe(file: BlockNode): Promise<DriverDefinition> {
  const head = new Uint8Array(PROBE_BYTES);
  await file.read(0, head);
  let best = findDriver('raw')!;
  let bestScore = 0;
  for (const driver of FORMAT_DRIVERS) {
    const score = driver.probe?.(head, file.filename, file.sizeBytes) ?? 0;
    if (score > bestScore) {
      best = driver;
      bestScore = score;
    }
  }
  return best;
}

/** A named node used by another: closing the user does not close it. */
export class SharedNode implements BlockNode {
  readonly #node: BlockNode;

  constructor(node: BlockNode) {
    this.#node = node;
  }

  get node(): BlockNode {
    return this.#node;
  }
  get driver(): string {
    return this.#node.driver;
  }
  get filename(): string {
    return this.#node.filename;
  }
  get sizeBytes(): number {
    return this.#node.sizeBytes;
  }
  get isReadOnly(): boolean {
    return this.#node.isReadOnly;
  }
  get blockSizeBytes(): number {
    return this.#node.blockSizeBytes;
  }
  get file(): BlockNode | undefined {
    return this.#node.file;
  }
  get backing(): BlockNode | undefined {
    return this.#node.backing;
  }
  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#node.read(offset, into);
  }
  write(offset: number, from: Uint8Array): Promise<void> {
    return this.#node.write(offset, from);
  }
  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean): Promise<void> {
    return this.#node.writeZeroes(offset, sizeBytes, mayUnmap);
  }
  discard(offset: number, sizeBytes: number): Promise<void> {
    return this.#node.discard(offset, sizeBytes);
  }
  flush(): Promise<void> {
    return this.#node.flush();
  }
  status(offset: number, sizeBytes: number): ReturnType<BlockNode['status']> {
    return this.#node.status(offset, sizeBytes);
  }
  resize(sizeBytes: number): Promise<void> {
    return this.#node.resize(sizeBytes);
  }
  allocatedBytes(): Promise<number | undefined> {
    return this.#node.allocatedBytes();
  }
  async close(): Promise<void> {
    await this.#node.flush();
  }
}
