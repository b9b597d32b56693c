import type { CheckResult } from '../../block/driver.ts';
import { UserError } from '../../util/errors.ts';
import { oneArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import type { Verb } from './verb.ts';

const STATUS_ERRORS = 1;
const STATUS_CORRUPT = 2;
const STATUS_LEAKS = 3;
const STATUS_UNSUPPORTED = 63;

export const check: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'f:r:T:qU',
      long: ['output=', 'repair=', 'image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'check');
    const repair = options.get('r') ?? options.get('repair') ?? 'none';
    if (repair !== 'none' && repair !== 'leaks' && repair !== 'all')
      throw new UserError('BadOption', `-r expects the option "leaks" or "all", not "${repair}"`);
    const isJson = options.get('output') === 'json';
    const isQuiet = options.has('q');
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: repair === 'none',
      imageOpts: options.has('image-opts'),
      forceShare: options.has('U') || options.has('force-share'),
      noBacking: true,
      isForCheck: true,
    });
    if (node.check === undefined) {
      if (!isQuiet) process.stderr.write('lyrebird-img: This image format does not support checks\n');
      return STATUS_UNSUPPORTED;
    }
    const result = await node.check(repair);
    if (isJson) print(`${JSON.stringify(jsonOf(result, filename, node.driver), null, 4)}\n`);
    else if (!isQuiet) printHuman(result, repair !== 'none');
    if (result.checkErrors > 0) return STATUS_ERRORS;
    if (result.corruptions > 0) return STATUS_CORRUPT;
    return result.leaks > 0 ? STATUS_LEAKS : 0;
  },
};

function jsonOf(result: CheckResult, filename: string, format: string): Record<string, unknown> {
  const counts = {
    leaks: result.leaks,
    corruptions: result.corruptions,
    'leaks-fixed': result.fixedLeaks,
    'corruptions-fixed': result.fixedCorruptions,
  };
  return {
    'image-end-offset': result.imageEndOffset,
    'total-clusters': result.totalClusters,
    'check-errors': result.checkErrors,
    ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
    'allocated-clusters': result.allocatedClusters,
    'fragmented-clusters': result.fragmentedClusters,
    'compressed-clusters': result.compressedClusters,
    filename,
    format,
  };
}

function printHuman(result: CheckResult, wasRepair: boolean): void {
  for (const message of result.messages) print(`${message}\n`);
  if (wasRepair && (result.fixedLeaks > 0 || result.fixedCorruptions > 0)) {
    print('The following inconsistencies were found and repaired:\n\n');
    print(`    ${result.fixedLeaks} leaked clusters\n    ${result.fixedCorruptions} corruptions\n\n`);
    print('Double checking the fixed image now...\n');
  }
  const { corruptions, leaks, checkErrors } = result;
  if (corruptions === 0 && leaks === 0 && checkErrors === 0) print('No errors were found on the image.\n');
  if (corruptions > 0) {
    print(`\n${corruptions} errors were found on the image.\n`);
    print('Data may be corrupted, or further writes to the image may corrupt it.\n');
  }
  if (leaks > 0) {
    print(`\n${leaks} leaked clusters were found on the image.\n`);
    print('This means waste of disk space, but no harm to data.\n');
  }
  if (checkErrors > 0) print(`\n${checkErrors} internal errors have occurred during the check.\n`);
  const { totalClusters, allocatedClusters, fragmentedClusters, compressedClusters } = result;
  const percent = (part: number, whole: number): string => `${((part * 100) / whole).toFixed(2)}%`;
  if (totalClusters > 0 && allocatedClusters > 0) {
    print(`${allocatedClusters}/${totalClusters} = ${percent(allocatedClusters, totalClusters)} allocated, `);
    print(`${percent(fragmentedClusters, allocatedClusters)} fragmented, `);
    print(`${percent(compressedClusters, allocatedClusters)} compressed clusters\n`);
  }
  if (result.imageEndOffset > 0) print(`Image end offset: ${result.imageEndOffset}\n`);
}
