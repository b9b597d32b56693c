/** What the control protocols show of the graph of nodes. */
import type { BlockNode } from '../block-node.ts';
import type { FormatNode } from '../driver.ts';
import { type BlockGraph, SharedNode } from '../open.ts';
import type { BlockExport } from './block-server.ts';
import type { BlockInfo, NodeInfo } from './protocol.ts';

const MAX_DEPTH = 200;

/** Names of nodes; those that were given none get one when they are first shown. */
export class NodeNames {
  readonly #graph: BlockGraph;
  readonly #made = new WeakMap<BlockNode, string>();
  #count = 0;

  constructor(graph: BlockGraph) {
    this.#graph = graph;
  }

  given(node: BlockNode): string | undefined {
    for (const [name, other] of this.#graph.nodes) if (other === node) return name;
    return undefined;
  }

  of(node: BlockNode): string {
    const known = this.given(node) ?? this.#made.get(node);
    if (known !== undefined) return known;
    const name = `#block${String(this.#count++).padStart(3, '0')}`;
    this.#made.set(node, name);
    return name;
  }

  /** What another node of `tops` uses `node` as. */
  userOf(node: BlockNode, tops: Iterable<BlockNode>): string | undefined {
    for (const top of tops) {
      for (const user of chain(top)) {
        if (user === node) continue;
        if (user.file !== undefined && inner(user.file) === node) return 'file';
        if (user.backing !== undefined && inner(user.backing) === node) return 'backing';
      }
    }
    return undefined;
  }
}

function inner(node: BlockNode): BlockNode {
  return node instanceof SharedNode ? node.node : node;
}

/** A node and all below it. */
function* chain(top: BlockNode, depth = 0): Generator<BlockNode> {
  const node = inner(top);
  yield node;
  if (depth > MAX_DEPTH) return;
  if (node.file !== undefined) yield* chain(node.file, depth + 1);
  if (node.backing !== undefined) yield* chain(node.backing, depth + 1);
}

export async function describeGraph(
  graph: BlockGraph,
  exports: ReadonlyMap<number, BlockExport>,
  names: NodeNames,
): Promise<BlockInfo> {
  const all = new Set<BlockNode>();
  const tops = [...graph.nodes.values(), ...[...exports.values()].map(({ node }) => node)];
  for (const top of tops) for (const node of chain(top)) all.add(node);
  const nodes: NodeInfo[] = [];
  for (const node of all) nodes.push(await describeNode(node, names));
  return { nodes, media: [...exports].map(([handle, { node }]) => [handle, names.of(inner(node))]) };
}

async function describeNode(node: FormatNode, names: NodeNames): Promise<NodeInfo> {
  const nameOf = (below: BlockNode | undefined): string | undefined =>
    below === undefined ? undefined : names.of(inner(below));
  return {
    name: names.of(node),
    isNamed: names.given(node) !== undefined,
    driver: node.driver,
    filename: node.filename,
    sizeBytes: node.sizeBytes,
    isReadOnly: node.isReadOnly,
    allocatedBytes: await node.allocatedBytes().catch(() => undefined),
    clusterSizeBytes: node.clusterSizeBytes,
    backingName: node.backingName,
    backingFormat: node.backingFormat,
    specific: node.formatInfo?.(),
    file: nameOf(node.file),
    backing: nameOf(node.backing),
  };
}
