import { type ChainStatus, chainStatus } from '../../block/chain.ts';
import { UserError } from '../../util/errors.ts';
import { oneArgument, parseSizeArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

interface Entry extends ChainStatus {
  readonly start: number;
}

export const map: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:s:l:U',
      long: ['output=', 'start-offset=', 'max-length=', 'image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'map');
    const isJson = options.get('output') === 'json';
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: true,
      imageOpts: options.has('image-opts'),
      forceShare: options.has('U') || options.has('force-share'),
    });
    const start = parseSizeArgument(options.get('s') ?? options.get('start-offset') ?? '0', 'offset');
    const most = options.get('l') ?? options.get('max-length');
    const end =
      most === undefined
        ? node.sizeBytes
        : Math.min(node.sizeBytes, start + parseSizeArgument(most, 'length'));
    if (!isJson) print('Offset          Length          Mapped to       File\n');
    let last: Entry | undefined;
    let isFirst = true;
    const put = (entry: Entry, isLast: boolean): void => {
      if (isJson) {
        print(
          `${isFirst ? '[' : ''}${JSON.stringify(jsonOf(entry)).replaceAll('":', '": ').replaceAll(',"', ', "').replace('{', '{ ')}${isLast ? ']\n' : ',\n'}`,
        );
        isFirst = false;
      } else printHuman(entry);
    };
    for (let at = start; at < end; ) {
      const status = await chainStatus(node, at, end - at);
      const entry: Entry = { ...status, start: at };
      if (last !== undefined && continues(last, entry))
        last = { ...last, sizeBytes: last.sizeBytes + entry.sizeBytes };
      else {
        if (last !== undefined) put(last, false);
        last = entry;
      }
      at += status.sizeBytes;
    }
    if (last !== undefined) put(last, true);
    else if (isJson) print('[]\n');
    return 0;
  },
};

function continues(last: Entry, next: Entry): boolean {
  const follows =
    last.hostOffset === undefined
      ? next.hostOffset === undefined
      : next.hostOffset === last.hostOffset + last.sizeBytes;
  return (
    last.kind === next.kind &&
    last.depth === next.depth &&
    last.isPresent === next.isPresent &&
    last.isCompressed === next.isCompressed &&
    last.filename === next.filename &&
    follows
  );
}

function jsonOf(entry: Entry): Record<string, unknown> {
  return {
    start: entry.start,
    length: entry.sizeBytes,
    depth: entry.depth,
    present: entry.isPresent,
    zero: entry.kind !== 'data',
    data: entry.kind === 'data',
    ...(entry.hostOffset !== undefined && { offset: entry.hostOffset }),
  };
}

function printHuman(entry: Entry): void {
  if (entry.kind !== 'data') return;
  if (entry.hostOffset === undefined)
    throw new UserError('NotMappable', 'File contains external, encrypted or compressed clusters.');
  const column = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`).padEnd(16);
  print(`${column(entry.start)}${column(entry.sizeBytes)}${column(entry.hostOffset)}${entry.filename}\n`);
}
