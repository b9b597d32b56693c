/** What the verbs of `lyrebird-img` share. */
import type { BlockNode } from '../../block/block-node.ts';
import type { CommonOptions, FormatNode } from '../../block/driver.ts';
import { findDriver } from '../../block/drivers.ts';
import { nodeOptionsOfFilename } from '../../block/filename.ts';
import { type NodeOptions, parseByteSize, parseJsonOptions, unflatten } from '../../block/node-options.ts';
import { BlockGraph } from '../../block/open.ts';
import { NodeBlockHost } from '../../host/node/block/node-block-host.ts';
import { UserError } from '../../util/errors.ts';
import { OptionList } from '../../util/option-list.ts';

export interface OpenImageOptions {
  readonly format?: string | undefined;
  readonly isReadOnly: boolean;
  /** `--image-opts`: the file name is a list of options. */
  readonly imageOpts?: boolean;
  /** `-U`. */
  readonly forceShare?: boolean;
  readonly noBacking?: boolean;
  readonly isForCheck?: boolean;
  /** `-t`, `-T`. */
  readonly cache?: string | undefined;
}

export class Images {
  readonly host = new NodeBlockHost();
  readonly #graph = new BlockGraph(this.host, (text) =>
    process.stderr.write(`lyrebird-img: warning: ${text}\n`),
  );
  readonly #opened: BlockNode[] = [];

  async open(filename: string, options: OpenImageOptions): Promise<FormatNode> {
    const common: Partial<CommonOptions> = {
      isReadOnly: options.isReadOnly,
      forceShare: options.forceShare ?? false,
      ignoresFlush: options.cache === 'unsafe',
      noBacking: options.noBacking ?? false,
      isForCheck: options.isForCheck ?? false,
    };
    const node = await this.#graph.open(nodeOptions(filename, options), filename, common);
    this.#opened.push(node);
    return node as FormatNode;
  }

  /** Writes what is pending; failures reach the user. */
  async close(node: BlockNode): Promise<void> {
    const at = this.#opened.indexOf(node);
    if (at >= 0) this.#opened.splice(at, 1);
    await node.close();
  }

  async closeAll(): Promise<void> {
    for (const node of this.#opened.splice(0).reverse()) await node.close();
  }
}

export function nodeOptions(filename: string, options: OpenImageOptions): NodeOptions {
  const driver = options.format === undefined ? {} : { driver: options.format };
  if (options.format !== undefined && findDriver(options.format) === undefined)
    throw new UserError('UnknownFormat', `Unknown driver '${options.format}'`);
  if (options.imageOpts === true)
    return unflatten(new OptionList(filename, filename, 'file').rest(), filename);
  if (filename.startsWith('json:')) return { ...driver, ...parseJsonOptions(filename.slice(5), filename) };
  return { ...driver, file: nodeOptionsOfFilename(filename, filename) };
}

/** Bytes; without a suffix the unit is the byte. */
export function parseSizeArgument(text: string, what = 'image size'): number {
  const bytes = parseByteSize(text);
  if (bytes === undefined)
    throw new UserError(
      'BadSize',
      `Invalid ${what} specified! You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.`,
    );
  return bytes;
}

/** All `-o` lists as one. */
export function parseCreateOptions(lists: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const list of lists)
    for (const [key, value] of new OptionList(list, `-o ${list}`).rest()) out[key] = value;
  return out;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** Three significant digits: "1 GiB", "196 KiB", "1.46 MiB". */
export function humanSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const text = value >= 100 ? String(Math.round(value)) : Number(value.toPrecision(3)).toString();
  return `${text} ${UNITS[unit]}`;
}

/** A progress line on standard output, at most some ten times a second. */
export class Progress {
  readonly #isOn: boolean;
  #lastMs = 0;

  constructor(isOn: boolean) {
    this.#isOn = isOn;
    this.#print(0);
  }

  #print(percent: number): void {
    if (this.#isOn) process.stdout.write(`    (${percent.toFixed(2)}/100%)\r`);
  }

  report(done: number, total: number): void {
    const now = performance.now();
    if (!this.#isOn || now - this.#lastMs < 100) return;
    this.#lastMs = now;
    this.#print(total === 0 ? 100 : (done / total) * 100);
  }

  end(): void {
    this.#print(100);
    if (this.#isOn) process.stdout.write('\n');
  }
}

export function print(text: string): void {
  process.stdout.write(text);
}

export function oneArgument(args: readonly string[], verb: string): string {
  if (args.length !== 1) throw new UserError('BadArguments', `${verb}: Expecting one image file name`);
  return args[0]!;
}
