/** Format `qed`, to read: QEMU's enhanced disk format. Little-endian. */
import { BlockError, type BlockNode, EINVAL, ENOTSUP } from '../block-node.ts';
import type { DriverDefinition, OpenContext } from '../driver.ts';
import { ReadOnlyFile } from '../read-only-file.ts';
import { openOverFile } from './open-file.ts';
import { HOLE, type Place, SparseNode, ZERO } from './sparse-node.ts';

const MAGIC = 0x00444551;
const FEATURE_BACKING = 1;
const FEATURES_KNOWN = 7;
const FEATURE_NO_PROBE = 4;
const MAX_TABLES = 64;

class QedNode extends SparseNode {
  readonly driver = 'qed';
  readonly sizeBytes: number;
  readonly backingName: string | undefined;
  readonly #owner: BlockNode;
  readonly #l1: DataView;
  readonly #clusterBytes: number;
  readonly #entries: number;
  readonly #tables = new Map<number, DataView>();

  constructor(
    file: BlockNode,
    backing: BlockNode | undefined,
    facts: { sizeBytes: number; clusterBytes: number; l1: DataView; backingName: string | undefined },
  ) {
    super(new ReadOnlyFile(file), facts.clusterBytes, backing);
    this.#owner = file;
    this.sizeBytes = facts.sizeBytes;
    this.backingName = facts.backingName;
    this.#l1 = facts.l1;
    this.#clusterBytes = facts.clusterBytes;
    this.#entries = facts.l1.byteLength / 8;
  }

  protected override async place(block: number): Promise<Place> {
    const index = Math.floor(block / this.#entries);
    const tableOffset = this.#offset(this.#l1, index);
    if (tableOffset === 0) return HOLE;
    const entry = this.#offset(await this.#table(tableOffset), block % this.#entries);
    if (entry === 0) return HOLE;
    return entry === 1 ? ZERO : { kind: 'data', hostOffset: entry };
  }

  #offset(table: DataView, index: number): number {
    const offset = Number(table.getBigUint64(index * 8, true));
    if (offset > 1 && (offset % this.#clusterBytes !== 0 || offset >= this.#owner.sizeBytes))
      throw new BlockError(EINVAL, 'a QED table entry lies outside the image');
    return offset;
  }

  async #table(offset: number): Promise<DataView> {
    const kept = this.#tables.get(offset);
    if (kept !== undefined) return kept;
    const bytes = new Uint8Array(this.#l1.byteLength);
    await this.file.read(offset, bytes);
    const view = new DataView(bytes.buffer);
    this.#tables.set(offset, view);
    if (this.#tables.size > MAX_TABLES) this.#tables.delete(this.#tables.keys().next().value!);
    return view;
  }

  protected override makeRoom(): Promise<number> {
    throw new BlockError(ENOTSUP, 'QED images are read-only');
  }

  protected override commit(): Promise<void> {
    throw new BlockError(ENOTSUP, 'QED images are read-only');
  }

  protected override beforeClose(): Promise<void> {
    return this.#owner.close();
  }
}

async function openNode(context: OpenContext, file: BlockNode): Promise<BlockNode> {
  const bytes = new Uint8Array(4096);
  await file.read(0, bytes);
  const header = new DataView(bytes.buffer);
  const bad = (reason: string): BlockError => new BlockError(EINVAL, reason);
  if (header.getUint32(0, true) !== MAGIC) throw bad('Image not in QED format');
  const clusterBytes = header.getUint32(4, true);
  const tableClusters = header.getUint32(8, true);
  const features = Number(header.getBigUint64(16, true));
  const isPowerOfTwo = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value));
  if (!isPowerOfTwo(clusterBytes) || clusterBytes < 4096 || clusterBytes > 2 ** 26)
    throw bad('QED cluster size is invalid');
  if (!isPowerOfTwo(tableClusters) || tableClusters > 16) throw bad('QED table size is invalid');
  if (features > FEATURES_KNOWN) throw bad('Unsupported QED features');
  const entries = (clusterBytes * tableClusters) / 8;
  const sizeBytes = Number(header.getBigUint64(48, true));
  const l1Offset = Number(header.getBigUint64(40, true));
  if (
    sizeBytes > entries * entries * clusterBytes ||
    sizeBytes > Number.MAX_SAFE_INTEGER ||
    sizeBytes % 512 !== 0
  )
    throw bad('QED image size is invalid');
  if (l1Offset % clusterBytes !== 0 || l1Offset >= file.sizeBytes)
    throw bad('QED L1 table offset is invalid');
  let backingName: string | undefined;
  if ((features & FEATURE_BACKING) !== 0) {
    const at = header.getUint32(56, true);
    const length = header.getUint32(60, true);
    if (length > 1023 || at + length > bytes.length) throw bad('QED backing file name is invalid');
    backingName = String.fromCharCode(...bytes.subarray(at, at + length));
  }
  const l1 = new Uint8Array(entries * 8);
  await file.read(l1Offset, l1);
  const format = (features & FEATURE_NO_PROBE) !== 0 ? 'raw' : undefined;
  const backing = await context.openBacking(file.filename, backingName, format);
  return new QedNode(file, backing, { sizeBytes, clusterBytes, l1: new DataView(l1.buffer), backingName });
}

export const QED: DriverDefinition = {
  name: 'qed',
  kind: 'format',
  probe: (head) => (new DataView(head.buffer, head.byteOffset).getUint32(0, true) === MAGIC ? 100 : 0),
  async open(context) {
    return openOverFile(context, (file) => openNode(context, file), { isReadOnly: true });
  },
};
