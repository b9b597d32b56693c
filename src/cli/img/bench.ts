import { UserError } from '../../util/errors.ts';
import { oneArgument, parseSizeArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const bench: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'hc:d:f:ni:o:qs:S:t:wU',
      long: ['pattern=', 'flush-interval=', 'no-drain', 'image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'bench');
    const number = (name: string, fallback: number): number => {
      const value = Number(options.get(name) ?? fallback);
      if (!Number.isInteger(value) || value < 0 || value > 2 ** 31 - 1)
        throw new UserError('BadOption', `Invalid value specified for -${name}`);
      return value;
    };
    const count = number('c', 75_000);
    const depth = number('d', 64);
    const size = parseSizeArgument(options.get('s') ?? '4096', 'buffer size');
    const step = parseSizeArgument(options.get('S') ?? '0', 'step size') || size;
    const start = parseSizeArgument(options.get('o') ?? '0', 'offset');
    const isWrite = options.has('w');
    const flushInterval = number('flush-interval', 0);
    if (depth === 0 || count === 0 || size === 0)
      throw new UserError('BadOption', 'count, depth and size must not be 0');
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: !isWrite,
      imageOpts: options.has('image-opts'),
    });
    if (node.sizeBytes < size) throw new UserError('TooSmall', 'the image is smaller than the buffer');
    if (!options.has('q')) {
      print(
        `Sending ${count} ${isWrite ? 'write' : 'read'} requests, ${size} bytes each, ${depth} in parallel `,
      );
      print(`(starting at offset ${start}, step size ${step})\n`);
    }
    let sent = 0;
    let offset = start;
    const started = performance.now();
    const worker = async (): Promise<void> => {
      const buffer = new Uint8Array(size).fill(Number(options.get('pattern') ?? 0));
      while (sent < count) {
        sent++;
        const at = offset;
        offset += step;
        if (offset + size > node.sizeBytes) offset = 0;
        if (isWrite) await node.write(at, buffer);
        else await node.read(at, buffer);
        if (flushInterval > 0 && sent % flushInterval === 0) await node.flush();
      }
    };
    await Promise.all(Array.from({ length: Math.min(depth, count) }, worker));
    if (!options.has('q'))
      print(`Run completed in ${((performance.now() - started) / 1000).toFixed(3)} seconds.\n`);
    return 0;
  },
};
