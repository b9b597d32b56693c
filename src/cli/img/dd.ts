import { UserError } from '../../util/errors.ts';
import { parseSizeArgument } from './common.ts';
import { COPY_BYTES } from './copy.ts';
import { makeImage } from './create.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const dd: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:O:U',
      long: ['image-opts', 'object=', 'force-share'],
    });
    const operands = new Map<string, string>();
    for (const arg of options.args) {
      const equals = arg.indexOf('=');
      const key = arg.slice(0, equals);
      if (equals < 0 || !['bs', 'count', 'skip', 'if', 'of'].includes(key))
        throw new UserError('BadArguments', `unrecognized operand ${arg}`);
      operands.set(key, arg.slice(equals + 1));
    }
    const input = operands.get('if');
    const output = operands.get('of');
    if (input === undefined || output === undefined)
      throw new UserError('BadArguments', 'Must specify both input and output files');
    const blockBytes = parseSizeArgument(operands.get('bs') ?? '512', 'number: bs');
    const skip = parseSizeArgument(operands.get('skip') ?? '0', 'number: skip') * blockBytes;
    const count = operands.get('count');
    if (blockBytes === 0) throw new UserError('BadArguments', "invalid number: 'bs=0'");
    const source = await images.open(input, {
      format: options.get('f'),
      isReadOnly: true,
      imageOpts: options.has('image-opts'),
      forceShare: options.has('U') || options.has('force-share'),
    });
    const format = options.get('O') ?? 'raw';
    const most =
      count === undefined ? source.sizeBytes : parseSizeArgument(count, 'number: count') * blockBytes;
    const sizeBytes = Math.max(0, Math.min(most, source.sizeBytes - skip));
    await makeImage(images, { format, filename: output, sizeBytes, options: {}, isUnsafe: false });
    const target = await images.open(output, { format, isReadOnly: false });
    const buffer = new Uint8Array(COPY_BYTES);
    for (let at = 0; at < sizeBytes; ) {
      const part = buffer.subarray(0, Math.min(COPY_BYTES, sizeBytes - at));
      await source.read(skip + at, part);
      await target.write(at, part);
      at += part.length;
    }
    await target.flush();
    await images.close(target);
    return 0;
  },
};
