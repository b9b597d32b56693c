import { createImage } from '../../block/create.ts';
import { findDriver } from '../../block/drivers.ts';
import { UserError } from '../../util/errors.ts';
import { type Images, parseCreateOptions, parseSizeArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const create: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, { short: 'F:b:f:o:qu', long: ['object='] });
    const format = options.get('f') ?? 'raw';
    if (options.all('o').some((text) => text === 'help' || text === '?')) return printHelp(format);
    const filename = options.args[0];
    if (filename === undefined || options.args.length > 2)
      throw new UserError('BadArguments', 'Expecting image file name and size');
    const sizeText = options.args[1];
    const given = parseCreateOptions(options.all('o'));
    const backing = options.get('b');
    if (backing !== undefined) given['backing_file'] = backing;
    const backingFormat = options.get('F');
    if (backingFormat !== undefined) given['backing_fmt'] = backingFormat;
    const size = sizeText ?? given['size'];
    const sizeBytes = await makeImage(images, {
      format,
      filename,
      sizeBytes: size === undefined ? undefined : parseSizeArgument(size),
      options: given,
      isUnsafe: options.has('u'),
    });
    if (!options.has('q'))
      print(`Formatting '${filename}', fmt=${format} size=${sizeBytes}${listOf(given)}\n`);
    return 0;
  },
};

function listOf(options: Record<string, string>): string {
  return Object.entries(options)
    .filter(([key]) => key !== 'size')
    .map(([key, value]) => ` ${key}=${value}`)
    .join('');
}

function printHelp(format: string): number {
  const driver = findDriver(format);
  if (driver === undefined) throw new UserError('UnknownFormat', `Unknown file format '${format}'`);
  print('Supported options:\n');
  for (const { name, help } of driver.createOptions ?? []) print(`  ${name.padEnd(24)} - ${help}\n`);
  return 0;
}

export interface MakeImage {
  readonly format: string;
  readonly filename: string;
  /** Undefined: the backing image's. */
  readonly sizeBytes: number | undefined;
  readonly options: Record<string, string>;
  /** The backing image is not looked at. */
  readonly isUnsafe: boolean;
}

/** Checks the backing image and makes the new one; returns the disk's size. */
export async function makeImage(images: Images, request: MakeImage): Promise<number> {
  const { format, filename, options, isUnsafe } = request;
  const driver = findDriver(format);
  if (driver === undefined) throw new UserError('UnknownFormat', `Unknown file format '${format}'`);
  const backing = options['backing_file'];
  let { sizeBytes } = request;
  if (backing !== undefined && backing !== '') {
    if (driver.hasBacking !== true)
      throw new UserError('NoBacking', `Backing file not supported for file format '${format}'`);
    if (options['backing_fmt'] === undefined && !isUnsafe)
      throw new UserError('NoBackingFormat', `${filename}: Backing file specified without backing format`);
    const isAnUrl = /^[a-z][a-z0-9+.-]*:/i.test(backing);
    const path = isAnUrl ? backing : images.host.resolvePath(filename, backing);
    if (!isUnsafe || sizeBytes === undefined) {
      const node = await images.open(path, {
        format: options['backing_fmt'],
        isReadOnly: true,
        forceShare: true,
      });
      sizeBytes ??= node.sizeBytes;
      await images.close(node);
    }
  }
  if (sizeBytes === undefined)
    throw new UserError('NoSize', `${filename}: Image creation needs a size parameter`);
  await createImage(images.host, format, filename, sizeBytes, options);
  return sizeBytes;
}
