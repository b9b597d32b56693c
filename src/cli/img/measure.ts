import { chainStatus } from '../../block/chain.ts';
import { l1EntriesFor } from '../../block/qcow2/format.ts';
import { UserError } from '../../util/errors.ts';
import { parseCreateOptions, parseSizeArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const measure: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:l:o:O:U',
      long: ['output=', 'size=', 'image-opts', 'object=', 'force-share'],
    });
    const format = options.get('O') ?? 'raw';
    const sizeText = options.get('size');
    if ((sizeText === undefined) === (options.args.length === 0))
      throw new UserError('BadArguments', 'Either --size N or one filename must be specified.');
    let sizeBytes: number;
    let usedBytes = 0;
    const given = parseCreateOptions(options.all('o'));
    const clusterBytes = parseSizeArgument(given['cluster_size'] ?? '65536', 'cluster size');
    if (sizeText !== undefined) sizeBytes = parseSizeArgument(sizeText);
    else {
      const node = await images.open(options.args[0]!, {
        format: options.get('f'),
        isReadOnly: true,
        imageOpts: options.has('image-opts'),
        forceShare: options.has('U') || options.has('force-share'),
      });
      sizeBytes = node.sizeBytes;
      usedBytes = await usedIn(node, format === 'qcow2' ? clusterBytes : 512);
    }
    const { required, full } =
      format === 'qcow2'
        ? qcow2Size(sizeBytes, usedBytes, clusterBytes, Number(given['refcount_bits'] ?? 16), given)
        : format === 'raw'
          ? { required: sizeText === undefined ? usedBytes : 0, full: sizeBytes }
          : refuse(format);
    // A raw image is as large as its disk, however sparse.
    const needed = format === 'raw' ? sizeBytes : required;
    if (options.get('output') === 'json')
      print(`${JSON.stringify({ required: needed, 'fully-allocated': full }, null, 4)}\n`);
    else print(`required size: ${needed}\nfully allocated size: ${full}\n`);
    return 0;
  },
};

function refuse(format: string): never {
  throw new UserError('NotSupported', `Format driver '${format}' does not support measuring`);
}

/** Bytes of whole units that hold data. */
async function usedIn(node: Parameters<typeof chainStatus>[0], unit: number): Promise<number> {
  let used = 0;
  let countedTo = 0;
  for (let at = 0; at < node.sizeBytes; ) {
    const status = await chainStatus(node, at, node.sizeBytes - at);
    if (status.kind === 'data') {
      const from = Math.max(countedTo, Math.floor(at / unit) * unit);
      const to = Math.ceil((at + status.sizeBytes) / unit) * unit;
      used += Math.max(0, to - from);
      countedTo = Math.max(countedTo, to);
    }
    at += status.sizeBytes;
  }
  return used;
}

/** Header, L1, L2 tables for the whole disk, refcounts for everything, data. */
function qcow2Size(
  sizeBytes: number,
  usedBytes: number,
  clusterBytes: number,
  refcountBits: number,
  options: Record<string, string>,
): { required: number; full: number } {
  const clusterBits = Math.log2(clusterBytes);
  const incompatible = options['extended_l2'] === 'on' ? 16 : 0;
  const entryBytes = incompatible === 0 ? 8 : 16;
  const guestClusters = Math.ceil(sizeBytes / clusterBytes);
  const l1Clusters = Math.ceil((l1EntriesFor(sizeBytes, { clusterBits, incompatible }) * 8) / clusterBytes);
  const l2Clusters = Math.ceil((guestClusters * entryBytes) / clusterBytes);
  const before = 1 + l1Clusters + l2Clusters;
  const refcounts = (clusters: number): number => {
    let tables = 0;
    for (;;) {
      const blocks = Math.ceil(((clusters + tables) * refcountBits) / 8 / clusterBytes);
      const needed = blocks + Math.ceil((blocks * 8) / clusterBytes);
      if (needed === tables) return tables;
      tables = needed;
    }
  };
  const meta = (before + refcounts(before + guestClusters)) * clusterBytes;
  return { required: meta + usedBytes, full: meta + guestClusters * clusterBytes };
}
