/** Makes images. */
import { UserError } from '../util/errors.ts';
import { BlockError, type BlockNode } from './block-node.ts';
import { findDriver } from './drivers.ts';
import { FileNode } from './file-node.ts';
import type { BlockHost } from './host.ts';
import { NodeOptionReader, type NodeOptions } from './node-options.ts';

/** `UserError` for what cannot be made. `options` are those of `-o`, with `backing_file` and `backing_fmt`. */
export async function createImage(
  host: BlockHost,
  format: string,
  filename: string,
  sizeBytes: number,
  options: NodeOptions,
): Promise<void> {
  const driver = findDriver(format);
  if (driver === undefined) throw new UserError('UnknownFormat', `Unknown file format '${format}'`);
  if (driver.create === undefined)
    throw new UserError('NoCreation', `Format driver '${format}' does not support image creation`);
  const { size: _, ...rest } = options;
  const reader = new NodeOptionReader(rest, filename);
  try {
    await driver.create({
      host,
      filename,
      sizeBytes,
      options: reader,
      async createFile(path): Promise<BlockNode> {
        const name = path.startsWith('file:') ? path.slice(5) : path;
        return FileNode.create(await host.openFile(name, { isReadOnly: false, create: true, kind: 'any' }));
      },
    });
  } catch (error) {
    if (error instanceof BlockError) throw new UserError('CreateFailed', `${filename}: ${error.message}`);
    throw error;
  }
}
