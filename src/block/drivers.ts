/** The drivers, by name. */
import { SECTOR } from './block-node.ts';
import type { DriverDefinition, OpenContext } from './driver.ts';
import { FileNode } from './file-node.ts';
import { QED } from './formats/qed.ts';
import { VDI } from './formats/vdi.ts';
import { VHDX } from './formats/vhdx.ts';
import { VMDK } from './formats/vmdk.ts';
import { VPC } from './formats/vpc.ts';
import { MemoryNode, NullNode } from './memory-node.ts';
import { NETWORK_DRIVERS } from './net/drivers.ts';
import { QCOW2 } from './qcow2/driver.ts';
import { RawNode } from './raw-node.ts';

async function openFile(context: OpenContext, kind: 'file' | 'device' | 'any'): Promise<FileNode> {
  const { options, common, host } = context;
  const path = options.required('filename');
  const locking = options.choice('locking', ['auto', 'on', 'off'] as const, common.locking);
  options.choice('aio', ['threads', 'native', 'io_uring'] as const, 'threads');
  const file = await host.openFile(path, {
    isReadOnly: common.isReadOnly,
    isDirect: common.isDirect,
    forceShare: common.forceShare,
    ignoresFlush: common.ignoresFlush,
    locking,
    kind,
  });
  return FileNode.create(file, { discard: common.discard });
}

const FILE: DriverDefinition = {
  name: 'file',
  kind: 'protocol',
  open: (context) => openFile(context, 'any'),
};

const HOST_DEVICE: DriverDefinition = {
  name: 'host_device',
  kind: 'protocol',
  open: (context) => openFile(context, 'device'),
};

const NULL_SIZE = 2 ** 30;

function nullDriver(name: string): DriverDefinition {
  return {
    name,
    kind: 'protocol',
    async open({ options }) {
      options.text('latency-ns');
      return new NullNode(options.size('size') ?? NULL_SIZE, options.flag('read-zeroes', false), name);
    },
  };
}

const MEMORY: DriverDefinition = {
  name: 'memory',
  kind: 'protocol',
  async open({ options, common }) {
    return new MemoryNode(options.size('size') ?? 0, 'memory://', common.isReadOnly);
  },
};

const RAW: DriverDefinition = {
  name: 'raw',
  kind: 'format',
  hasBacking: false,
  async open(context) {
    const offset = context.options.size('offset') ?? 0;
    const size = context.options.size('size');
    const file = await context.openChild('file');
    if (offset % SECTOR !== 0 || (size !== undefined && size % SECTOR !== 0)) {
      await file.close();
      throw context.options.error('"offset" and "size" must be multiples of 512');
    }
    if (offset + (size ?? 0) > Math.ceil(file.sizeBytes / SECTOR) * SECTOR) {
      await file.close();
      throw context.options.error('"offset" plus "size" is beyond the end of the file');
    }
    return new RawNode(file, offset, size);
  },
  async create({ options, createFile, filename, sizeBytes }) {
    const preallocation = options.choice('preallocation', ['off', 'falloc', 'full'] as const, 'off');
    options.finish();
    const file = await createFile(filename);
    try {
      await file.resize(sizeBytes, preallocation);
    } finally {
      await file.close();
    }
  },
  createOptions: [
    { name: 'preallocation', help: 'off, falloc or full' },
    { name: 'size', help: 'Virtual disk size' },
  ],
};

export const FORMAT_DRIVERS: readonly DriverDefinition[] = [RAW, QCOW2, VMDK, VDI, VPC, VHDX, QED];

const DRIVERS: ReadonlyMap<string, DriverDefinition> = new Map(
  [
    FILE,
    HOST_DEVICE,
    nullDriver('null-co'),
    nullDriver('null-aio'),
    MEMORY,
    ...NETWORK_DRIVERS,
    ...FORMAT_DRIVERS,
  ].map((driver) => [driver.name, driver]),
);

export function findDriver(name: string): DriverDefinition | undefined {
  return DRIVERS.get(name);
}

export function driverNames(): readonly string[] {
  return [...DRIVERS.keys()];
}
