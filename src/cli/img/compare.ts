import { isZero } from '../../block/block-node.ts';
import { chainStatus } from '../../block/chain.ts';
import type { FormatNode } from '../../block/driver.ts';
import { UserError } from '../../util/errors.ts';
import { Progress, print } from './common.ts';
import { COPY_BYTES } from './copy.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const compare: Verb = {
  errorStatus: 2,
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:F:T:pqsU',
      long: ['image-opts', 'object=', 'force-share'],
    });
    if (options.args.length !== 2) throw new UserError('BadArguments', 'Expecting two image file names');
    const isQuiet = options.has('q');
    const isStrict = options.has('s');
    const open = (name: string, format: string | undefined): Promise<FormatNode> =>
      images.open(name, {
        format,
        isReadOnly: true,
        imageOpts: options.has('image-opts'),
        forceShare: options.has('U') || options.has('force-share'),
      });
    const a = await open(options.args[0]!, options.get('f'));
    const b = await open(options.args[1]!, options.get('F'));
    const say = (text: string): void => {
      if (!isQuiet) print(`${text}\n`);
    };
    if (isStrict && a.sizeBytes !== b.sizeBytes) {
      say('Strict mode: Image size mismatch!');
      return 1;
    }
    const progress = new Progress(options.has('p') && !isQuiet);
    const common = Math.min(a.sizeBytes, b.sizeBytes);
    const total = Math.max(a.sizeBytes, b.sizeBytes);
    const different = await firstDifference(a, b, common, isStrict, (at) => progress.report(at, total));
    if (different !== undefined) {
      say(
        different.isAllocation
          ? `Strict mode: Offset ${different.offset} block status mismatch!`
          : `Content mismatch at offset ${different.offset}!`,
      );
      return 1;
    }
    if (total > common) {
      say('Warning: Image size mismatch!');
      const longer = a.sizeBytes > b.sizeBytes ? a : b;
      const data = await firstData(longer, common);
      if (data !== undefined) {
        say(`Content mismatch at offset ${data}!`);
        return 1;
      }
    }
    progress.end();
    say('Images are identical.');
    return 0;
  },
};

async function firstDifference(
  a: FormatNode,
  b: FormatNode,
  size: number,
  isStrict: boolean,
  onProgress: (at: number) => void,
): Promise<{ offset: number; isAllocation: boolean } | undefined> {
  const bytesA = new Uint8Array(COPY_BYTES);
  const bytesB = new Uint8Array(COPY_BYTES);
  for (let at = 0; at < size; ) {
    const statusA = await chainStatus(a, at, size - at);
    const statusB = await chainStatus(b, at, size - at);
    let length = Math.min(statusA.sizeBytes, statusB.sizeBytes);
    if (isStrict && statusA.isPresent !== statusB.isPresent) return { offset: at, isAllocation: true };
    if (statusA.kind === 'data' || statusB.kind === 'data') {
      length = Math.min(length, COPY_BYTES);
      const partA = bytesA.subarray(0, length);
      const partB = bytesB.subarray(0, length);
      await Promise.all([a.read(at, partA), b.read(at, partB)]);
      const equal = Buffer.from(partA.buffer, 0, length).equals(Buffer.from(partB.buffer, 0, length));
      if (!equal) return { offset: at + differingSector(partA, partB), isAllocation: false };
    }
    at += length;
    onProgress(at);
  }
  return undefined;
}

function differingSector(a: Uint8Array, b: Uint8Array): number {
  return Math.floor(a.findIndex((byte, i) => byte !== b[i]) / 512) * 512;
}

async function firstData(node: FormatNode, from: number): Promise<number | undefined> {
  const bytes = new Uint8Array(COPY_BYTES);
  for (let at = from; at < node.sizeBytes; ) {
    const status = await chainStatus(node, at, node.sizeBytes - at);
    let length = status.sizeBytes;
    if (status.kind === 'data') {
      length = Math.min(length, COPY_BYTES);
      const part = bytes.subarray(0, length);
      await node.read(at, part);
      if (!isZero(part)) return at + Math.floor(part.findIndex((byte) => byte !== 0) / 512) * 512;
    }
    at += length;
  }
  return undefined;
}
