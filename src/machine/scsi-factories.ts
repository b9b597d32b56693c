/** Builds the SCSI controllers and the units that plug into them. */

import { ScsiCdrom } from '../hw/scsi/scsi-cdrom.ts';
import { ScsiDisk } from '../hw/scsi/scsi-disk.ts';
import type { ScsiUnit } from '../hw/scsi/scsi-unit.ts';
import { VirtioScsi } from '../hw/virtio/virtio-scsi.ts';
import { MAX_QUEUE_SIZE } from '../hw/virtio/virtqueue.ts';
import { UserError } from '../util/errors.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice, ChildBus } from './device-registry.ts';
import { blockSize, requireDrive, type VirtioParts } from './virtio-factories.ts';

const UNSET = 0xffffffff;
const MAX_QUEUES = 125;
/** What a SCSI disk discards in one piece unless `discard_granularity=` says otherwise. */
const DISCARD_BYTES = 4096;

export function buildVirtioScsi(request: BuildRequest): VirtioParts {
  const queues = request.number('num_queues');
  const queueSize = request.number('virtqueue_size');
  if (queues < 1 || queues > MAX_QUEUES) throw request.error(`num_queues must be from 1 to ${MAX_QUEUES}`);
  if (queueSize < 3 || queueSize > MAX_QUEUE_SIZE || (queueSize & (queueSize - 1)) !== 0)
    throw request.error(`virtqueue_size must be a power of two from 4 to ${MAX_QUEUE_SIZE}`);
  const backend = new VirtioScsi({
    queues,
    queueSize,
    segMaxAdjust: request.flag('seg_max_adjust'),
    maxSectors: request.number('max_sectors'),
    commandsPerLun: request.number('cmd_per_lun'),
    hotplug: request.flag('hotplug'),
    parameterChange: request.flag('param_change'),
  });
  return { backend, bus: virtioScsiBus(request, backend) };
}

function virtioScsiBus(request: BuildRequest, controller: VirtioScsi): ChildBus {
  const given = (value: unknown): number | undefined =>
    value === undefined || Number(value) === UNSET ? undefined : Number(value);
  return {
    name: `${request.spec.id ?? 'scsi'}.0`,
    kind: 'SCSI',
    attach: (part, properties, what) => {
      if (Number(properties['channel'] ?? 0) !== 0)
        throw new UserError('GenericError', `${what}: bad scsi channel id: ${String(properties['channel'])}`);
      const place = controller.bus.choose(given(properties['scsi-id']), given(properties['lun']));
      if (typeof place === 'string') throw new UserError('GenericError', `${what}: ${place}`);
      controller.attach(place, part as ScsiUnit);
    },
    detach: (part) => controller.detach(part as ScsiUnit),
    bootPath: (part) => {
      const { target, lun } = controller.bus.placeOf(part as ScsiUnit)!;
      return `channel@0/disk@${target.toString(16)},${lun.toString(16)}`;
    },
  };
}

function unitFacts(request: BuildRequest, product: string) {
  const serial = request.text('serial') ?? '';
  return {
    serial,
    vendor: request.text('vendor') ?? 'LYREBIRD',
    product: request.text('product') ?? product,
    revision: request.text('ver') ?? '1.0',
    deviceId: request.text('device_id') ?? (serial !== '' ? serial : (request.text('drive') ?? '')),
    wwn: BigInt(request.text('wwn') ?? 0),
  };
}

export function buildScsiDisk(request: BuildRequest): BuiltDevice {
  const { backend } = requireDrive(request);
  const facts = { ...unitFacts(request, 'HARDDISK'), backend };
  const logicalBlock = blockSize(request, 'logical_block_size');
  const granularity = request.number('discard_granularity');
  const unit = new ScsiDisk({
    ...facts,
    isRemovable: request.flag('removable'),
    logicalBlock,
    physicalBlock: Math.max(logicalBlock, blockSize(request, 'physical_block_size')),
    discardGranularity: granularity === UNSET ? Math.max(DISCARD_BYTES, logicalBlock) : granularity,
    rotationRate: request.number('rotation_rate'),
    minIoBytes: request.number('min_io_size'),
    optIoBytes: request.number('opt_io_size'),
    writeCache: request.text('write-cache') !== 'off',
  });
  return { device: unit, part: unit };
}

export function buildScsiCdrom(request: BuildRequest): BuiltDevice {
  const isEmpty = request.text('drive') === undefined;
  const drive = isEmpty ? request.context.emptyDrive(request.name, 'cdrom') : requireDrive(request);
  const unit = new ScsiCdrom(drive.backend, unitFacts(request, 'CD-ROM'));
  return { device: unit, part: unit, drive, removable: unit.unit };
}
