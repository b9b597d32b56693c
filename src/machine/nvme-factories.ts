/** Builds NVMe controllers and their namespaces. */
import { MAX_QUEUE_PAIRS, NVME_IDS, NVME_INTEL_IDS, Nvme } from '../hw/nvme/nvme.ts';
import { NvmeNamespace } from '../hw/nvme/nvme-namespace.ts';
import { UserError } from '../util/errors.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice, ChildBus } from './device-registry.ts';
import { blockSize, NOTHING_TO_SAVE, requireDrive } from './virtio-factories.ts';

const UNSET = 0xffffffff;
const DISCARD_BYTES = 4096;
const MAX_TRANSFER_SHIFT = 12;

export function buildNvme(request: BuildRequest): BuiltDevice {
  const serial = request.text('serial');
  if (serial === undefined || serial === '') throw request.error('serial property not set');
  const queuePairs = request.number('max_ioqpairs');
  const vectors = request.number('msix_qsize');
  const shift = request.number('mdts');
  if (queuePairs < 1 || queuePairs > MAX_QUEUE_PAIRS)
    throw request.error(`max_ioqpairs must be between 1 and ${MAX_QUEUE_PAIRS}`);
  if (vectors < 1 || vectors > 128) throw request.error('msix_qsize must be between 1 and 128');
  if (shift > MAX_TRANSFER_SHIFT) throw request.error(`mdts must be at most ${MAX_TRANSFER_SHIFT}`);
  const { memory, msi, timers, guestError } = request.context;
  const controller = new Nvme({
    ...{ memory, msi, timers, guestError, serial, queuePairs, vectors },
    ids: request.flag('use-intel-id') ? NVME_INTEL_IDS : NVME_IDS,
    maxTransferShift: shift,
    eventLimit: request.number('aerl') + 1,
  });
  if (request.text('drive') !== undefined) controller.attach(createNamespace(request), 1);
  return { device: controller, pci: controller.pci, bus: namespaceBus(request, controller) };
}

function namespaceBus(request: BuildRequest, controller: Nvme): ChildBus {
  return {
    name: request.spec.id ?? 'nvme-bus.0',
    kind: 'nvme-bus',
    attach: (part, { nsid }, what) => {
      const id = nsid === undefined || Number(nsid) === 0 ? undefined : Number(nsid);
      if (controller.attach(part as NvmeNamespace, id) === undefined)
        throw new UserError('GenericError', `${what}: namespace id ${id ?? 'left'} is not available`);
    },
    detach: (part) => controller.detach(part as NvmeNamespace),
    bootPath: (part) => `namespace@${controller.idOf(part as NvmeNamespace).toString(16)},0`,
  };
}

/** `nvme-ns`. */
export function buildNamespace(request: BuildRequest): BuiltDevice {
  return { device: NOTHING_TO_SAVE, part: createNamespace(request) };
}

function createNamespace(request: BuildRequest): NvmeNamespace {
  const { backend } = requireDrive(request);
  const logicalBlock = blockSize(request, 'logical_block_size');
  const granularity = request.number('discard_granularity');
  return new NvmeNamespace({
    backend,
    logicalBlock,
    physicalBlock: Math.max(logicalBlock, blockSize(request, 'physical_block_size')),
    discardGranularity:
      granularity === UNSET || granularity === 0 ? Math.max(DISCARD_BYTES, logicalBlock) : granularity,
    uuid: uuidOf(request),
    eui64: BigInt(request.text('eui64') ?? 0),
  });
}

/** As given, or made up. */
function uuidOf(request: BuildRequest): Uint8Array {
  const text = request.text('uuid') ?? 'auto';
  const bytes = new Uint8Array(16);
  if (text === 'auto') {
    request.context.randomBytes(bytes);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    return bytes;
  }
  const digits = text.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw request.error(`'${text}' is not a UUID`);
  return bytes.map((_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
