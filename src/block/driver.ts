/** What a driver is: how its images are recognised, opened and made. */
import type { BlockNode, Preallocation } from './block-node.ts';
import type { BlockHost } from './host.ts';
import type { NodeOptionReader, NodeOptions } from './node-options.ts';

/** Options of a node that every driver knows, already read. */
export interface CommonOptions {
  readonly nodeName: string | undefined;
  readonly isReadOnly: boolean;
  /** `discard=unmap`. */
  readonly discard: boolean;
  readonly isDirect: boolean;
  readonly forceShare: boolean;
  /** The files below are not flushed. */
  readonly ignoresFlush: boolean;
  /** No backing files are opened, nothing is written but what was asked for (`info`, `check`). */
  readonly noBacking: boolean;
  /** The image need not be sound: `check` and repair open it. */
  readonly isForCheck: boolean;
  readonly locking: 'on' | 'off' | 'auto';
}

export interface OpenContext {
  readonly host: BlockHost;
  readonly options: NodeOptionReader;
  readonly common: CommonOptions;
  /** Opens the child `key` (`file`, `data-file`…), given or by `fallback`. */
  openChild(
    key: string,
    fallback?: NodeOptions | string,
    overrides?: Partial<CommonOptions>,
  ): Promise<BlockNode>;
  /** Opens the backing image that an image at `base` names, unless the options say otherwise. */
  openBacking(
    base: string,
    name: string | undefined,
    format: string | undefined,
  ): Promise<BlockNode | undefined>;
  /** A file that an image at `base` names, opened as protocol node. */
  openReferenced(base: string, name: string, overrides?: Partial<CommonOptions>): Promise<BlockNode>;
  warn(text: string): void;
}

/** `-o` of `create`, with what the command adds. */
export interface CreateContext {
  readonly host: BlockHost;
  readonly filename: string;
  readonly sizeBytes: number;
  readonly options: NodeOptionReader;
  /** Makes or empties a file and opens it to write. */
  createFile(filename: string): Promise<BlockNode>;
}

export interface CreateOption {
  readonly name: string;
  readonly help: string;
}

export interface DriverDefinition {
  readonly name: string;
  readonly kind: 'protocol' | 'format' | 'filter';
  /** How sure it is (0 to 100) that a file with this beginning is its own. */
  probe?(head: Uint8Array, filename: string, sizeBytes: number): number;
  open(context: OpenContext): Promise<BlockNode>;
  create?(context: CreateContext): Promise<void>;
  readonly createOptions?: readonly CreateOption[];
  /** Options of `create` that name a backing image are understood. */
  readonly hasBacking?: boolean;
  /** `convert -c` works. */
  readonly canCompress?: boolean;
}

/** What some formats can do beyond reading and writing. Absent: not of this format. */
export interface FormatNode extends BlockNode {
  /** A whole cluster, compressed. */
  writeCompressed?(offset: number, from: Uint8Array): Promise<void>;
  readonly clusterSizeBytes?: number | undefined;
  /** The backing file's name as the image has it. */
  readonly backingName?: string | undefined;
  readonly backingFormat?: string | undefined;
  /** For `info`: keys as QEMU's QMP types name them. */
  formatInfo?(): Readonly<Record<string, unknown>> | undefined;
  check?(repair: 'none' | 'leaks' | 'all'): Promise<CheckResult>;
  readonly snapshots?: SnapshotSupport;
  changeBacking?(name: string | undefined, format: string | undefined): Promise<void>;
  /** Drops all data of this node: what is below shows through. */
  makeEmpty?(): Promise<void>;
  /** The disk as a snapshot has it, to read. Closed with this node. */
  openSnapshot?(idOrName: string): Promise<BlockNode>;
}

export interface CheckResult {
  corruptions: number;
  leaks: number;
  checkErrors: number;
  fixedCorruptions: number;
  fixedLeaks: number;
  /** Host clusters: of the image, allocated, fragmented, compressed; end of the image. */
  totalClusters: number;
  allocatedClusters: number;
  fragmentedClusters: number;
  compressedClusters: number;
  imageEndOffset: number;
  readonly messages: string[];
}

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  readonly vmStateBytes: number;
  readonly dateSec: number;
  readonly dateNsec: number;
  readonly vmClockNs: bigint;
  readonly icount: bigint | undefined;
  readonly diskBytes: number;
}

export interface SnapshotSupport {
  list(): readonly SnapshotInfo[];
  create(name: string, dateSec: number, dateNsec: number): Promise<void>;
  apply(idOrName: string): Promise<void>;
  delete(idOrName: string): Promise<void>;
}

export function parsePreallocation(text: string): Preallocation | undefined {
  return ['off', 'metadata', 'falloc', 'full'].includes(text) ? (text as Preallocation) : undefined;
}
