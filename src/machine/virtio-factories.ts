/** Builds virtio devices behind their transports. */
import type { Device } from '../core/device.ts';
import type { Drive } from '../core/drive.ts';
import { MAX_MOUNT_TAG, Virtio9p } from '../hw/virtio/virtio-9p.ts';
import { BALLOON_PAGE, VirtioBalloon } from '../hw/virtio/virtio-balloon.ts';
import { guessGeometry, VirtioBlk } from '../hw/virtio/virtio-blk.ts';
import type { VirtioBackend } from '../hw/virtio/virtio-device.ts';
import { VirtioInput, type VirtioInputKind } from '../hw/virtio/virtio-input.ts';
import { VirtioPci } from '../hw/virtio/virtio-pci.ts';
import { VirtioRng } from '../hw/virtio/virtio-rng.ts';
import { MAX_SERIAL_PORTS, SerialPort, VirtioSerial } from '../hw/virtio/virtio-serial.ts';
import { MAX_QUEUE_SIZE } from '../hw/virtio/virtqueue.ts';
import { UserError } from '../util/errors.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice, ChildBus } from './device-registry.ts';

/** What a builder makes besides the backend. */
export interface VirtioParts extends Omit<BuiltDevice, 'device' | 'pci'> {
  readonly backend: VirtioBackend;
}

export interface VirtioBuilder {
  /** Class, subclass and interface of the PCI function. */
  readonly classCode: number;
  /** MSI-X vectors unless `vectors=` says otherwise. */
  vectors(request: BuildRequest): number;
  build(request: BuildRequest): VirtioParts;
}

const MAX_VECTORS = 128;

/** A part whose state its controller keeps. */
export const NOTHING_TO_SAVE: Device = {
  reset: () => {},
  vmstate: {
    saveState: () => ({ name: 'part', version: 1, fields: {} }),
    loadState: () => {},
    randomizeState: () => {},
  },
};

export function buildVirtioPci(request: BuildRequest, builder: VirtioBuilder, suffix: string): BuiltDevice {
  const { context } = request;
  const legacyOff = request.text('disable-legacy') === 'on';
  const legacy = suffix === '' ? !legacyOff : suffix === '-transitional';
  const modern = suffix !== '' || !request.flag('disable-modern');
  if (!legacy && !modern)
    throw request.error('device cannot work as neither modern nor legacy mode is enabled');
  const vectors =
    request.text('vectors') === undefined ? builder.vectors(request) : request.number('vectors');
  if (vectors > MAX_VECTORS) throw request.error(`at most ${MAX_VECTORS} vectors`);
  const { backend, ...rest } = builder.build(request);
  const transport = new VirtioPci(
    backend,
    context.memory,
    context.msi,
    {
      legacy,
      modern,
      vectors,
      classCode: builder.classCode,
      indirect: request.flag('indirect_desc'),
      eventIndex: request.flag('event_idx'),
      packed: request.flag('packed'),
      notifyOnEmpty: request.flag('notify_on_empty'),
      anyLayout: request.flag('any_layout'),
    },
    (text) => context.guestError(text),
  );
  return { ...rest, device: transport, pci: transport.pci };
}

export function buildVirtioRng(request: BuildRequest): VirtioParts {
  const maxBytes = request.number('max-bytes');
  const periodMs = request.number('period');
  if (periodMs <= 0) throw request.error("'period' parameter expects a positive integer");
  const { timers, randomBytes } = request.context;
  return {
    backend: new VirtioRng({
      timers,
      fill: randomBytes,
      maxBytes: maxBytes >= Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : maxBytes,
      periodMs,
    }),
  };
}

export function buildVirtioInput(request: BuildRequest, kind: VirtioInputKind): VirtioParts {
  const { input } = request.context;
  const backend = new VirtioInput({ kind, input, serial: request.text('serial') ?? '' });
  return { backend, dispose: () => backend.dispose() };
}

export function buildVirtioBlk(request: BuildRequest): VirtioParts {
  const { backend } = requireDrive(request);
  const queues = request.number('num-queues');
  const queueSize = request.number('queue-size');
  if (queues < 1 || queues >= MAX_VECTORS) throw request.error('num-queues must be from 1 to 127');
  if (queueSize < 4 || queueSize > MAX_QUEUE_SIZE || (queueSize & (queueSize - 1)) !== 0)
    throw request.error(`queue-size must be a power of two from 4 to ${MAX_QUEUE_SIZE}`);
  const logicalBlock = blockSize(request, 'logical_block_size');
  const physicalBlock = Math.max(logicalBlock, blockSize(request, 'physical_block_size'));
  return {
    backend: new VirtioBlk({
      backend,
      serial: request.text('serial') ?? '',
      queues,
      queueSize,
      logicalBlock,
      physicalBlock,
      configWce: request.flag('config-wce'),
      discard: request.flag('discard'),
      writeZeroes: request.flag('write-zeroes'),
      maxDiscardSectors: request.number('max-discard-sectors'),
      maxWriteZeroesSectors: request.number('max-write-zeroes-sectors'),
      segMaxAdjust: request.flag('seg-max-adjust'),
      geometry: geometry(request, backend.sizeBytes),
    }),
  };
}

export function buildVirtio9p(request: BuildRequest): VirtioParts {
  const id = request.text('fsdev');
  const tag = request.text('mount_tag');
  if (id === undefined || tag === undefined) throw request.error('fsdev and mount_tag properties are needed');
  if (tag === '' || tag.length > MAX_MOUNT_TAG || /[^ -~]/.test(tag))
    throw request.error(`mount tag '${tag}' is not 1 to ${MAX_MOUNT_TAG} characters of ASCII`);
  const share = request.context.share(id);
  if (share === undefined) throw request.error(`virtio-9p device couldn't find fsdev with the id = ${id}`);
  return { backend: new Virtio9p(share, tag) };
}

/** The controller is a bus for ports. */
export function buildVirtioSerial(request: BuildRequest): VirtioParts {
  const { context, name } = request;
  const maxPorts = request.number('max_ports');
  if (maxPorts < 1 || maxPorts > MAX_SERIAL_PORTS)
    throw request.error(`maximum ports supported: ${MAX_SERIAL_PORTS}`);
  const ids = new Map<SerialPort, string>();
  const backend = new VirtioSerial({
    maxPorts,
    emergencyWrite: request.flag('emergency-write'),
    timers: context.timers,
    onPortOpen: (port, open) => {
      const id = ids.get(port);
      if (id !== undefined) context.notify('VSERPORT_CHANGE', { open, id });
    },
  });
  const bus: ChildBus = {
    name: `${request.spec.id ?? 'virtio-serial-bus'}.0`,
    kind: 'virtio-serial-bus',
    attach: (part, { nr }, what) => {
      const { port, id } = part as { port: SerialPort; id: string | undefined };
      if (!backend.attach(port, nr === undefined ? undefined : Number(nr)))
        throw new UserError(
          'GenericError',
          `${what}: virtio-serial-bus: no port ${String(nr ?? 'left')} on ${name}`,
        );
      if (id !== undefined) ids.set(port, id);
    },
    detach: (part) => backend.detach((part as { port: SerialPort }).port),
  };
  return { backend, bus };
}

/** `virtconsole` and `virtserialport`. */
export function buildSerialPort(request: BuildRequest): BuiltDevice {
  const id = request.text('chardev');
  const chardev = id === undefined ? undefined : request.context.chardev(id);
  if (id !== undefined && chardev === undefined)
    throw request.error(`Property '${request.type.name}.chardev' can't find value '${id}'`);
  const isConsole = request.type.name === 'virtconsole';
  const port = new SerialPort({ isConsole, name: request.text('name') ?? '', chardev });
  return { device: NOTHING_TO_SAVE, part: { port, id: request.spec.id } };
}

export function buildVirtioBalloon(request: BuildRequest): VirtioParts {
  const { context } = request;
  const total = (): number => context.ramBytes;
  const backend = new VirtioBalloon({
    deflateOnOom: request.flag('deflate-on-oom'),
    timers: context.timers,
    nowMs: () => context.wallClock.nowMs(),
    onActual: (pages) => context.notify('BALLOON_CHANGE', { actual: total() - pages * BALLOON_PAGE }),
  });
  return {
    backend,
    setBalloon: (bytes) => {
      const pages = Math.max(0, Math.floor((total() - bytes) / BALLOON_PAGE));
      backend.setTarget(pages);
    },
    live: {
      actual: () => total() - backend.actualPages * BALLOON_PAGE,
      'guest-stats': () => backend.statistics,
      'guest-stats-polling-interval': () => backend.intervalSeconds,
    },
    setProperty: {
      names: ['guest-stats-polling-interval'],
      set: (_name, value) => {
        const seconds = Number(value);
        if (!Number.isInteger(seconds) || seconds < 0 || seconds > 2 ** 31)
          throw new UserError('GenericError', 'timer value must be from 0 to 2147483648');
        backend.setInterval(seconds);
      },
    },
  };
}

/** The drive a device names. */
export function requireDrive(request: BuildRequest): Drive {
  const id = request.text('drive');
  if (id === undefined) throw request.error('drive property not set');
  const drive = request.context.drive(id);
  if (drive === undefined)
    throw request.error(`Property '${request.type.name}.drive' can't find value '${id}'`);
  return drive;
}

/** 512 unless given; powers of two up to 2 MiB. */
export function blockSize(request: BuildRequest, property: string): number {
  const size = request.number(property) || 512;
  if (size < 512 || size > 2 ** 21 || (size & (size - 1)) !== 0)
    throw request.error(`${property} must be a power of two from 512 to 2097152`);
  return size;
}

function geometry(request: BuildRequest, sizeBytes: number): ReturnType<typeof guessGeometry> {
  const [cylinders, heads, sectors] = [
    request.number('cyls'),
    request.number('heads'),
    request.number('secs'),
  ];
  if (cylinders === 0 && heads === 0 && sectors === 0) return guessGeometry(sizeBytes / 512);
  if (cylinders < 1 || cylinders > 65535) throw request.error('cyls must be between 1 and 65535');
  if (heads < 1 || heads > 255) throw request.error('heads must be between 1 and 255');
  if (sectors < 1 || sectors > 255) throw request.error('secs must be between 1 and 255');
  return { cylinders, heads, sectors };
}
