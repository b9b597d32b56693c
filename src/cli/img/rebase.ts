import type { BlockNode } from '../../block/block-node.ts';
import { chainStatus } from '../../block/chain.ts';
import type { FormatNode } from '../../block/driver.ts';
import { UserError } from '../../util/errors.ts';
import { oneArgument, Progress } from './common.ts';
import { COPY_BYTES } from './copy.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const rebase: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:F:b:upt:T:qU',
      long: ['image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'rebase');
    const backing = options.get('b');
    if (backing === undefined) throw new UserError('BadArguments', 'Must specify backing file (-b)');
    const isUnsafe = options.has('u');
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: false,
      imageOpts: options.has('image-opts'),
      noBacking: isUnsafe,
    });
    if (node.changeBacking === undefined)
      throw new UserError('NotSupported', `format '${node.driver}' has no backing files`);
    const format = options.get('F');
    if (backing !== '' && format === undefined && !isUnsafe)
      throw new UserError('NoBackingFormat', 'backing format must be specified (-F)');
    if (!isUnsafe) {
      const path = images.host.resolvePath(filename, backing);
      const next =
        backing === '' ? undefined : await images.open(path, { format, isReadOnly: true, forceShare: true });
      const progress = new Progress(options.has('p') && !options.has('q'));
      await keepContent(node, next, (at) => progress.report(at, node.sizeBytes));
      progress.end();
    }
    await node.changeBacking(backing === '' ? undefined : backing, format);
    await images.close(node);
    return 0;
  },
};

/** What the old backing image shows and the new one does not is written into the image. */
async function keepContent(
  node: FormatNode,
  next: BlockNode | undefined,
  onProgress: (at: number) => void,
): Promise<void> {
  const old = new Uint8Array(COPY_BYTES);
  const fresh = new Uint8Array(COPY_BYTES);
  const unit = node.clusterSizeBytes ?? 65536;
  for (let offset = 0; offset < node.sizeBytes; ) {
    const status = await node.status(offset, node.sizeBytes - offset);
    let length = status.sizeBytes;
    if (status.kind === 'hole') {
      const shown = await chainStatus(node, offset, length);
      length = Math.min(shown.sizeBytes, COPY_BYTES);
      const before = old.subarray(0, length);
      const after = fresh.subarray(0, length);
      await node.read(offset, before);
      const available = next === undefined ? 0 : Math.max(0, Math.min(length, next.sizeBytes - offset));
      after.fill(0, available);
      if (available > 0) await next!.read(offset, after.subarray(0, available));
      for (let at = 0; at < length; ) {
        const count = Math.min(length - at, unit - ((offset + at) % unit));
        const a = before.subarray(at, at + count);
        if (
          !Buffer.from(a.buffer, a.byteOffset, count).equals(
            Buffer.from(after.buffer, after.byteOffset + at, count),
          )
        )
          await node.write(offset + at, a);
        at += count;
      }
    }
    offset += length;
    onProgress(offset);
  }
}
