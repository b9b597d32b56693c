import type { BlockNode } from '../../block/block-node.ts';
import type { FormatNode } from '../../block/driver.ts';
import { findDriver } from '../../block/drivers.ts';
import { UserError } from '../../util/errors.ts';
import { type Images, Progress, parseCreateOptions, parseSizeArgument } from './common.ts';
import { ConcatNode } from './concat-node.ts';
import { copyDisk } from './copy.ts';
import { makeImage } from './create.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

const DEFAULT_SPARSE = 4096;
const MAX_PARALLEL = 16;

export const convert: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'hf:O:B:b:CcF:o:l:S:pt:T:qnm:WUr:',
      long: [
        'image-opts',
        'target-image-opts',
        'force-share',
        'object=',
        'salvage',
        'target-is-zero',
        'bitmaps',
        'skip-broken-bitmaps',
      ],
    });
    const sources = options.args.slice(0, -1);
    const output = options.args.at(-1);
    if (sources.length === 0 || output === undefined)
      throw new UserError('BadArguments', 'Must specify image file name');
    const source = await openSources(images, sources, options);
    const targetFormat = options.get('O') ?? 'raw';
    const isCompressed = options.has('c');
    const backing = options.get('B') ?? parseCreateOptions(options.all('o'))['backing_file'];
    if (isCompressed) assertCompression(targetFormat, options);
    if (options.has('target-is-zero') && !options.has('n'))
      throw new UserError('BadOption', '--target-is-zero requires use of -n flag');
    if (!options.has('n')) await createTarget(images, options, targetFormat, output, source.sizeBytes);
    const target = await openTarget(images, options, targetFormat, output);
    if (target.sizeBytes < source.sizeBytes)
      throw new UserError('TooSmall', 'output file is smaller than input file');
    const isNew = !options.has('n') || options.has('target-is-zero');
    const progress = new Progress(options.has('p') && !options.has('q'));
    let done = 0;
    await copyDisk({
      source,
      target,
      targetOffset: 0,
      isCompressed,
      // Where a backing image shows through, zeroes must be written.
      isTargetZero: isNew && target.backing === undefined && target.file?.driver !== 'host_device',
      sharedBacking: backing === undefined ? undefined : sharedBackingOf(source),
      sparseBytes: options.has('S') ? parseSizeArgument(options.get('S')!, 'sparse size') : DEFAULT_SPARSE,
      parallel: parallelism(options, isCompressed),
      onProgress: (bytes) => progress.report((done += bytes), source.sizeBytes),
      salvage: options.has('salvage')
        ? (offset, message) =>
            process.stderr.write(`lyrebird-img: warning: error while reading offset ${offset}: ${message}\n`)
        : undefined,
    });
    await target.flush();
    await images.close(target);
    progress.end();
    return 0;
  },
};

/** With `-B` the source's own backing image takes the place that the target's shows. */
function sharedBackingOf(source: BlockNode): BlockNode | undefined {
  if (source.backing === undefined)
    throw new UserError('NoBacking', 'the input image has no backing file that -B could stand for');
  return source.backing;
}

function parallelism(options: ParsedOptions, isCompressed: boolean): number {
  const given = options.get('m');
  if (given === undefined) return isCompressed ? 8 : 2;
  const count = Number(given);
  if (!Number.isInteger(count) || count < 1 || count > MAX_PARALLEL)
    throw new UserError(
      'BadOption',
      `Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_PARALLEL}`,
    );
  return count;
}

function assertCompression(format: string, options: ParsedOptions): void {
  if (findDriver(format)?.canCompress !== true)
    throw new UserError('NoCompression', 'Compression not supported for this file format');
  const preallocation = parseCreateOptions(options.all('o'))['preallocation'];
  if (preallocation !== undefined && preallocation !== 'off')
    throw new UserError('BadOption', 'Compression and preallocation not supported at the same time');
}

async function openSources(
  images: Images,
  names: readonly string[],
  options: ParsedOptions,
): Promise<BlockNode> {
  const nodes: FormatNode[] = [];
  for (const name of names)
    nodes.push(
      await images.open(name, {
        format: options.get('f'),
        isReadOnly: true,
        imageOpts: options.has('image-opts'),
        forceShare: options.has('U') || options.has('force-share'),
      }),
    );
  const snapshot = options.get('l');
  if (snapshot === undefined) return nodes.length === 1 ? nodes[0]! : new ConcatNode(nodes);
  const name = /^snapshot\.(?:id|name)=(.*)$/.exec(snapshot)?.[1] ?? snapshot;
  const first = nodes[0]!;
  if (nodes.length > 1 || first.openSnapshot === undefined)
    throw new UserError('NoSnapshot', `Failed to load snapshot '${name}': not supported`);
  return first.openSnapshot(name);
}

async function createTarget(
  images: Images,
  options: ParsedOptions,
  format: string,
  output: string,
  sizeBytes: number,
): Promise<void> {
  const given = parseCreateOptions(options.all('o'));
  const backing = options.get('B') ?? options.get('b');
  if (backing !== undefined) given['backing_file'] = backing;
  const backingFormat = options.get('F');
  if (backingFormat !== undefined) given['backing_fmt'] = backingFormat;
  await makeImage(images, { format, filename: output, sizeBytes, options: given, isUnsafe: false });
}

function openTarget(
  images: Images,
  options: ParsedOptions,
  format: string,
  output: string,
): Promise<FormatNode> {
  return images.open(output, {
    format: options.has('target-image-opts') ? undefined : format,
    isReadOnly: false,
    imageOpts: options.has('target-image-opts'),
    // As with qemu-img: a conversion that the host does not survive is made again.
    cache: options.get('t') ?? 'unsafe',
  });
}
