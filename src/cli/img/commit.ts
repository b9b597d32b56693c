import type { BlockNode } from '../../block/block-node.ts';
import { chainStatus } from '../../block/chain.ts';
import type { FormatNode } from '../../block/driver.ts';
import { UserError } from '../../util/errors.ts';
import { oneArgument, Progress, print } from './common.ts';
import { COPY_BYTES } from './copy.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const commit: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, { short: 'f:t:b:dpqr:', long: ['image-opts', 'object='] });
    const filename = oneArgument(options.args, 'commit');
    const isQuiet = options.has('q');
    const top = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: true,
      imageOpts: options.has('image-opts'),
    });
    if (top.backing === undefined) throw new UserError('NoBacking', 'Image does not have a backing file');
    const base = findBase(top, options.get('b'), (name) => images.host.resolvePath(filename, name));
    const basePath = base.filename;
    const baseFormat = base.driver;
    const depth = depthOf(top, base);
    await images.close(top);
    // Opened again: the base to write, the images above it to read.
    const target = await images.open(basePath, { format: baseFormat, isReadOnly: false });
    const source = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: true,
      forceShare: true,
    });
    const stop = at(source, depth);
    if (target.sizeBytes < source.sizeBytes) await target.resize(source.sizeBytes);
    const progress = new Progress(options.has('p') && !isQuiet);
    await copyAbove(source, target, stop, (bytes) => progress.report(bytes, source.sizeBytes));
    await target.flush();
    await images.close(source);
    await images.close(target);
    if (!options.has('d') && options.get('b') === undefined) await empty(images, filename, options.get('f'));
    progress.end();
    if (!isQuiet) print('Image committed.\n');
    return 0;
  },
};

async function empty(
  images: Parameters<Verb['run']>[1],
  filename: string,
  format: string | undefined,
): Promise<void> {
  const node = await images.open(filename, { format, isReadOnly: false });
  await node.makeEmpty?.();
  await images.close(node);
}

function findBase(top: FormatNode, name: string | undefined, resolve: (name: string) => string): BlockNode {
  if (name === undefined) return top.backing!;
  for (let node: BlockNode | undefined = top.backing; node !== undefined; node = node.backing)
    if (node.filename === name || node.filename === resolve(name)) return node;
  throw new UserError('BaseNotFound', `Did not find '${name}' in the backing chain of '${top.filename}'`);
}

function depthOf(top: BlockNode, base: BlockNode): number {
  let depth = 0;
  for (let node: BlockNode | undefined = top; node !== base; node = node?.backing) depth++;
  return depth;
}

function at(top: BlockNode, depth: number): BlockNode | undefined {
  let node: BlockNode | undefined = top;
  for (let i = 0; i < depth; i++) node = node?.backing;
  return node;
}

async function copyAbove(
  source: FormatNode,
  target: FormatNode,
  stop: BlockNode | undefined,
  onProgress: (at: number) => void,
): Promise<void> {
  const buffer = new Uint8Array(COPY_BYTES);
  for (let offset = 0; offset < source.sizeBytes; ) {
    const status = await chainStatus(source, offset, source.sizeBytes - offset, stop);
    let length = status.sizeBytes;
    if (status.kind === 'data') {
      length = Math.min(length, COPY_BYTES);
      await source.read(offset, buffer.subarray(0, length));
      await target.write(offset, buffer.subarray(0, length));
    } else if (status.kind === 'zero' && status.isPresent) await target.writeZeroes(offset, length, true);
    offset += length;
    onProgress(offset);
  }
}
