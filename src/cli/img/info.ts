import type { FormatNode, SnapshotInfo } from '../../block/driver.ts';
import { humanSize, type Images, oneArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

export const info: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:U',
      long: ['output=', 'backing-chain', 'image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'info');
    const all: Array<Record<string, unknown>> = [];
    const human: string[] = [];
    let next: { path: string; format: string | undefined } | undefined = {
      path: filename,
      format: options.get('f'),
    };
    while (next !== undefined) {
      const node: FormatNode = await images.open(next.path, {
        format: next.format,
        isReadOnly: true,
        imageOpts: options.has('image-opts') && all.length === 0,
        forceShare: options.has('U') || options.has('force-share'),
        noBacking: true,
      });
      const facts = await describe(node, next.path, images);
      all.push(facts);
      human.push(humanText(facts, node));
      await images.close(node);
      const full = facts['full-backing-filename'] as string | undefined;
      const hasNext = options.has('backing-chain') && full !== undefined && all.length < 200;
      next = hasNext ? { path: full, format: node.backingFormat } : undefined;
    }
    if (options.get('output') === 'json')
      print(`${JSON.stringify(options.has('backing-chain') ? all : all[0], bigints, 4)}\n`);
    else print(human.join('\n'));
    return 0;
  },
};

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

async function describe(node: FormatNode, path: string, images: Images): Promise<Record<string, unknown>> {
  const snapshots = node.snapshots?.list() ?? [];
  const specific = node.formatInfo?.();
  const allocated = await node.allocatedBytes();
  const { backingName } = node;
  const isUrl = backingName !== undefined && /^[a-z][a-z0-9+.-]*:/i.test(backingName);
  return {
    ...(snapshots.length > 0 && { snapshots: snapshots.map(snapshotFacts) }),
    'virtual-size': node.sizeBytes,
    filename: path,
    ...(node.clusterSizeBytes !== undefined && { 'cluster-size': node.clusterSizeBytes }),
    format: node.driver,
    ...(allocated !== undefined && { 'actual-size': allocated }),
    ...(specific !== undefined && { 'format-specific': { type: node.driver, data: specific } }),
    ...(backingName !== undefined && {
      'full-backing-filename': isUrl ? backingName : images.host.resolvePath(path, backingName),
      'backing-filename': backingName,
      ...(node.backingFormat !== undefined && { 'backing-filename-format': node.backingFormat }),
    }),
    'dirty-flag': false,
  };
}

function snapshotFacts(snapshot: SnapshotInfo): Record<string, unknown> {
  return {
    ...(snapshot.icount !== undefined && { icount: snapshot.icount }),
    'vm-clock-nsec': Number(snapshot.vmClockNs % 1_000_000_000n),
    name: snapshot.name,
    'date-sec': snapshot.dateSec,
    'date-nsec': snapshot.dateNsec,
    'vm-clock-sec': Number(snapshot.vmClockNs / 1_000_000_000n),
    id: snapshot.id,
    'vm-state-size': snapshot.vmStateBytes,
  };
}

function humanText(facts: Record<string, unknown>, node: FormatNode): string {
  const lines = [
    `image: ${String(facts['filename'])}`,
    `file format: ${node.driver}`,
    `virtual size: ${humanSize(node.sizeBytes)} (${node.sizeBytes} bytes)`,
    `disk size: ${facts['actual-size'] === undefined ? 'unavailable' : humanSize(facts['actual-size'] as number)}`,
  ];
  if (node.clusterSizeBytes !== undefined) lines.push(`cluster_size: ${node.clusterSizeBytes}`);
  const backing = facts['backing-filename'] as string | undefined;
  if (backing !== undefined) {
    const full = facts['full-backing-filename'] as string;
    lines.push(`backing file: ${backing}${full === backing ? '' : ` (actual path: ${full})`}`);
    if (node.backingFormat !== undefined) lines.push(`backing file format: ${node.backingFormat}`);
  }
  const snapshots = node.snapshots?.list() ?? [];
  if (snapshots.length > 0) lines.push('Snapshot list:', ...snapshotLines(snapshots));
  const specific = (facts['format-specific'] as { data: Record<string, unknown> } | undefined)?.data;
  if (specific !== undefined) {
    lines.push('Format specific information:');
    for (const [key, value] of Object.entries(specific)) lines.push(...valueLines(key, value, 1));
  }
  return `${lines.join('\n')}\n`;
}

function valueLines(key: string, value: unknown, depth: number): string[] {
  const indent = '    '.repeat(depth);
  const name = key.replaceAll('-', ' ');
  if (!Array.isArray(value)) return [`${indent}${name}: ${String(value)}`];
  const lines = [`${indent}${name}:`];
  value.forEach((item: unknown, i) => {
    lines.push(`${indent}    [${i}]:`);
    if (typeof item === 'object' && item !== null)
      for (const [k, v] of Object.entries(item)) lines.push(...valueLines(k, v, depth + 2));
    else lines.push(`${indent}        ${String(item)}`);
  });
  return lines;
}

export function snapshotLines(snapshots: readonly SnapshotInfo[]): string[] {
  const lines = ['ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT'];
  for (const { id, name, vmStateBytes, dateSec, vmClockNs, icount } of snapshots) {
    const date = new Date(dateSec * 1000);
    const two = (value: number): string => String(value).padStart(2, '0');
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
    const ms = Number(vmClockNs / 1_000_000n);
    const seconds = Math.floor(ms / 1000);
    const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${String(ms % 1000).padStart(3, '0')}`;
    const count = icount === undefined ? '' : String(icount);
    lines.push(
      `${id.padEnd(9)} ${name.padEnd(16)} ${humanSize(vmStateBytes).padStart(8)} ${`${day} ${time}`.padStart(19)} ${clock.padStart(12)} ${count.padStart(10)}`,
    );
  }
  return lines;
}
