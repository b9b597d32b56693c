import { UserError } from '../../util/errors.ts';
import { oneArgument, print } from './common.ts';
import { ParsedOptions } from './getopt.ts';
import { snapshotLines } from './info.ts';
import type { Verb } from './verb.ts';

export const snapshot: Verb = {
  async run(args, images) {
    const options = new ParsedOptions(args, {
      short: 'la:c:d:f:qU',
      long: ['image-opts', 'object=', 'force-share'],
    });
    const filename = oneArgument(options.args, 'snapshot');
    const actions = (['a', 'c', 'd'] as const).filter((letter) => options.has(letter));
    if (actions.length + (options.has('l') ? 1 : 0) > 1)
      throw new UserError('BadArguments', "Cannot mix '-l', '-a', '-c', '-d'");
    const action = actions[0];
    const node = await images.open(filename, {
      format: options.get('f'),
      isReadOnly: action === undefined,
      imageOpts: options.has('image-opts'),
      forceShare: options.has('U') || options.has('force-share'),
      noBacking: true,
    });
    const support = node.snapshots;
    if (support === undefined)
      throw new UserError('NotSupported', `format '${node.driver}' has no internal snapshots`);
    if (action === undefined) {
      const list = support.list();
      if (list.length > 0) print(`Snapshot list:\n${snapshotLines(list).join('\n')}\n`);
      return 0;
    }
    const name = options.get(action)!;
    const nowMs = Date.now();
    try {
      if (action === 'c') await support.create(name, Math.floor(nowMs / 1000), (nowMs % 1000) * 1e6);
      else if (action === 'a') await support.apply(name);
      else await support.delete(name);
    } catch (error) {
      const what = { c: 'create', a: 'apply', d: 'delete' }[action];
      throw new UserError(
        'SnapshotFailed',
        `Could not ${what} snapshot '${name}': ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    return 0;
  },
};
