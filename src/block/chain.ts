/** What a whole backing chain shows at an offset. */
import type { BlockNode, BlockStatus } from './block-node.ts';

export interface ChainStatus extends BlockStatus {
  readonly kind: 'data' | 'zero' | 'hole';
  /** Number of images above the one that decides. */
  readonly depth: number;
  /** Some image of the chain has an entry for it. */
  readonly isPresent: boolean;
  /** File that `hostOffset` is an offset in. */
  readonly filename?: string | undefined;
}

/** A format over a file says what it has; where it says "data at an offset", the file may know of a hole there. */
async function statusOf(node: BlockNode, offset: number, sizeBytes: number): Promise<BlockStatus> {
  const status = await node.status(offset, sizeBytes);
  if (status.kind !== 'data' || status.hostOffset === undefined || status.isCompressed === true)
    return status;
  const { file } = node;
  if (file === undefined || node.driver === 'raw') return status;
  const below = await file.status(status.hostOffset, status.sizeBytes);
  if (below.kind === 'data') return { ...status, sizeBytes: Math.min(status.sizeBytes, below.sizeBytes) };
  return {
    ...status,
    sizeBytes: Math.min(status.sizeBytes, below.sizeBytes),
    kind: 'zero',
    isAllocated: true,
  };
}

/** `until`: the first image of the chain that is not looked at. `hole` is left only below all of them. */
export async function chainStatus(
  top: BlockNode,
  offset: number,
  sizeBytes: number,
  until?: BlockNode,
): Promise<ChainStatus> {
  let node: BlockNode | undefined = top;
  let length = sizeBytes;
  let depth = 0;
  for (;;) {
    if (offset >= node.sizeBytes) return { sizeBytes: length, kind: 'zero', depth, isPresent: depth > 0 };
    const status = await statusOf(node, offset, Math.min(length, node.sizeBytes - offset));
    if (status.kind !== 'hole') return { ...status, depth, isPresent: true, filename: fileOf(node) };
    length = status.sizeBytes;
    const next: BlockNode | undefined = node.backing;
    if (next === until) return { sizeBytes: length, kind: 'hole', depth, isPresent: false };
    if (next === undefined) return { sizeBytes: length, kind: 'zero', depth: 0, isPresent: false };
    node = next;
    depth++;
  }
}

function fileOf(node: BlockNode): string {
  return node.filename;
}
