import type { BlockConfig } from '../../../block/drive-config.ts';
import type { NodeBlockThread } from './block-threads.ts';

/**
 * Opens the drives on an I/O thread; undefined where there are none and none can be `added` later. `UserError` for the first that
 * cannot be opened.
 */
export async function openDrives(config: BlockConfig, canAdd = false): Promise<NodeBlockThread | undefined> {
  if (!canAdd && config.drives.length === 0 && config.blockdevs.length === 0 && !config.shares?.length)
    return undefined;
  const { NodeBlockThread } = await import('./block-threads.ts');
  return NodeBlockThread.open(config, (text) => process.stderr.write(`warning: ${text}\n`));
}
