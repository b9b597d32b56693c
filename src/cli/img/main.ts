/** `lyrebird-img`: qemu-img's verbs, options and exit statuses. */
import { BlockError } from '../../block/block-node.ts';
import { driverNames } from '../../block/drivers.ts';
import { UserError } from '../../util/errors.ts';
import { version } from '../help.ts';
import { Images } from './common.ts';
import type { Verb } from './verb.ts';

const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  bench: async () => (await import('./bench.ts')).bench,
  check: async () => (await import('./check.ts')).check,
  commit: async () => (await import('./commit.ts')).commit,
  compare: async () => (await import('./compare.ts')).compare,
  convert: async () => (await import('./convert.ts')).convert,
  create: async () => (await import('./create.ts')).create,
  dd: async () => (await import('./dd.ts')).dd,
  info: async () => (await import('./info.ts')).info,
  map: async () => (await import('./map.ts')).map,
  measure: async () => (await import('./measure.ts')).measure,
  rebase: async () => (await import('./rebase.ts')).rebase,
  resize: async () => (await import('./resize.ts')).resize,
  snapshot: async () => (await import('./snapshot.ts')).snapshot,
};

function usage(): string {
  return `usage: lyrebird-img COMMAND [OPTIONS]

Options and output are qemu-img's.

  create [-q] [-f FMT] [-b BACKING [-F FMT]] [-u] [-o OPTIONS] FILE [SIZE]
  info [-f FMT] [--output=human|json] [--backing-chain] [-U] FILE
  check [-q] [-f FMT] [--output=human|json] [-r leaks|all] [-U] FILE
  convert [-c] [-p] [-q] [-n] [-U] [-f FMT] [-O FMT] [-B BACKING [-F FMT]] [-o OPTIONS] [-S SIZE] [-l SNAPSHOT]
          [-m COUNT] [-W] [--salvage] [--target-is-zero] FILE [FILE…] OUTPUT
  compare [-f FMT] [-F FMT] [-p] [-q] [-s] [-U] FILE1 FILE2
  map [-f FMT] [--output=human|json] [--start-offset=N] [--max-length=N] [-U] FILE
  snapshot [-q] [-U] -l | -a NAME | -c NAME | -d NAME FILE
  commit [-q] [-f FMT] [-b BASE] [-d] [-p] FILE
  rebase [-q] [-f FMT] [-p] [-u] [-U] -b BACKING [-F FMT] FILE
  resize [-q] [-f FMT] [--shrink] [--preallocation=MODE] FILE [+|-]SIZE
  measure [--output=human|json] [-O FMT] [-o OPTIONS] [--size N | -f FMT FILE]
  bench [-c COUNT] [-d DEPTH] [-f FMT] [-n] [-o OFFSET] [-q] [-s SIZE] [-S STEP] [-t CACHE] [-w [--flush-interval=N]] FILE
  dd [-f FMT] [-O FMT] [-U] [bs=SIZE] [count=N] [skip=N] if=INPUT of=OUTPUT

Supported formats: ${[...driverNames()].sort().join(' ')}
`;
}

/** Resolves with the exit status. */
export async function imgMain(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) return fail('Not enough arguments');
  if (['-h', '--help', 'help'].includes(name)) {
    process.stdout.write(`${version()}${usage()}`);
    return 0;
  }
  if (['-V', '--version'].includes(name)) {
    process.stdout.write(`lyrebird-img: ${version()}`);
    return 0;
  }
  const load = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (load === undefined) return fail(`Command not found: ${name}`);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(usage());
    return 0;
  }
  const verb = await load();
  const images = new Images();
  let status: number;
  try {
    status = await verb.run(rest, images);
    await images.closeAll();
  } catch (error) {
    status = report(error, verb.errorStatus ?? 1);
    await images.closeAll().catch(() => {});
  }
  return status;
}

function fail(text: string): number {
  process.stderr.write(`lyrebird-img: ${text}\nTry 'lyrebird-img --help' for more information\n`);
  return 1;
}

function report(error: unknown, status: number): number {
  if (error instanceof UserError || error instanceof BlockError) {
    process.stderr.write(`lyrebird-img: ${error.message}\n`);
    return status;
  }
  if (error instanceof RangeError && /allocation|array length/i.test(error.message)) {
    process.stderr.write('lyrebird-img: Cannot allocate memory\n');
    return status;
  }
  process.stderr.write(
    `lyrebird-img: internal error: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return 70;
}
