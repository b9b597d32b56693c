/** Opening an image that lies in one file. */
import type { BlockNode } from '../block-node.ts';
import type { CommonOptions, OpenContext } from '../driver.ts';

/** The node that `openNode` makes of the child `file`, which is closed again when the image cannot be opened. */
export async function openOverFile(
  context: OpenContext,
  openNode: (file: BlockNode) => Promise<BlockNode>,
  overrides?: Partial<CommonOptions>,
): Promise<BlockNode> {
  const file = await context.openChild('file', undefined, overrides);
  try {
    return await openNode(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}
