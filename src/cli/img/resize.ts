import { parsePreallocation } from '../../block/driver.ts';
import { UserError } from '../../util/errors.ts';
import { parseSizeArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const resize: Verb = {
  async run(args, images) {
    // A negative difference looks like an option.
    const last = args.at(-1) ?? '';
    const isNegative = /^-\d/.test(last);
    const options = new ParsedOptions(isNegative ? args.slice(0, -1) : args, {
      short: 'f:q',
      long: ['shrink', 'preallocation=', 'image-opts', 'object='],
    });
    const [filename, given, ...more] = isNegative ? [...options.args, last] : options.args;
    if (filename === undefined || given === undefined || more.length > 0)
      throw new UserError('BadArguments', 'Expecting image file name and size');
    const preallocation = parsePreallocation(options.get('preallocation') ?? 'off');
    if (preallocation === undefined)
      throw new UserError('BadOption', `Invalid preallocation mode '${options.get('preallocation')}'`);
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: false,
      imageOpts: options.has('image-opts'),
    });
    const relative = given.startsWith('+') ? 1 : given.startsWith('-') ? -1 : 0;
    const amount = parseSizeArgument(relative === 0 ? given : given.slice(1));
    const size = Math.ceil((relative === 0 ? amount : node.sizeBytes + relative * amount) / 512) * 512;
    if (size <= 0) throw new UserError('BadSize', 'New image size must be positive');
    if (size < node.sizeBytes && !options.has('shrink'))
      throw new UserError('WouldShrink', 'Use the --shrink option to perform a shrink operation.');
    await node.resize(size, preallocation);
    await images.close(node);
    if (!options.has('q')) print('Image resized.\n');
    return 0;
  },
};
