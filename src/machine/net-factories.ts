/** Builds network cards. */

import { IrqLine } from '../core/irq.ts';
import { MemoryRegion } from '../core/memory-region.ts';
import { type NetBackend, NullNetBackend } from '../core/net-backend.ts';
import { E1000 } from '../hw/net/e1000.ts';
import { NE2000_MMIO, NE2000_PORTS, Ne2000, Ne2000Pci } from '../hw/net/ne2000.ts';
import { Rtl8139 } from '../hw/net/rtl8139.ts';
import { VIRTIO_NET_FEATURES, VirtioNet } from '../hw/virtio/virtio-net.ts';
import { MAX_QUEUE_SIZE } from '../hw/virtio/virtqueue.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice } from './device-registry.ts';
import type { VirtioParts } from './virtio-factories.ts';

/** What `info network` shows of a card. */
export interface NicInfo {
  readonly netdev: string | undefined;
  /** Now; the guest may change it. */
  mac(): Uint8Array;
}

/** The card's address and its end of the back end. `UserError` for what is spelt wrong or in use. */
export function nicParts(request: BuildRequest): {
  mac: Uint8Array;
  backend: NetBackend;
  netdev: string | undefined;
} {
  const { context } = request;
  const given = request.text('mac');
  const mac = given === undefined ? undefined : parseMac(given);
  if (given !== undefined && mac === undefined)
    throw request.error(`Property '${request.type.name}.mac' doesn't take value '${given}'`);
  const netdev = request.text('netdev');
  const backend = netdev === undefined ? new NullNetBackend() : context.netdev(netdev);
  if (backend === undefined)
    throw request.error(`Property '${request.type.name}.netdev' can't find value '${netdev}'`);
  if (backend === 'in-use')
    throw request.error(`Property '${request.type.name}.netdev' can't take value '${netdev}', it's in use`);
  return { mac: context.macs.take(mac), backend, netdev };
}

/** Addresses of cards whose user gave none: 52:54:00:12:34:56 and up, as QEMU's. */
export class MacAddresses {
  readonly #taken = new Set<number>();

  /** `given` itself, or the first that is free. */
  take(given: Uint8Array | undefined): Uint8Array {
    if (given !== undefined) {
      if (PREFIX.every((byte, n) => byte === given[n])) this.#taken.add(given[5]!);
      return given;
    }
    let last = FIRST;
    while (this.#taken.has(last) && last < 0xff) last++;
    this.#taken.add(last);
    return Uint8Array.from([...PREFIX, last]);
  }
}

const PREFIX = [0x52, 0x54, 0x00, 0x12, 0x34];
const FIRST = 0x56;

function parseMac(text: string): Uint8Array | undefined {
  const parts = text.split(/[:-]/);
  const isMac = parts.length === 6 && parts.every((part) => /^[0-9a-f]{1,2}$/i.test(part));
  return isMac ? Uint8Array.from(parts, (part) => Number.parseInt(part, 16)) : undefined;
}

export function buildE1000(request: BuildRequest): BuiltDevice {
  const { memory, timers } = request.context;
  const { netdev, ...parts } = nicParts(request);
  const device = new E1000({ memory, timers, ...parts });
  return { device, pci: device.pci, nic: { netdev, mac: () => device.mac } };
}

export function buildRtl8139(request: BuildRequest): BuiltDevice {
  const { memory, timers } = request.context;
  const { netdev, ...parts } = nicParts(request);
  const device = new Rtl8139({ memory, timers, ...parts });
  return { device, pci: device.pci, nic: { netdev, mac: () => device.mac } };
}

export function buildNe2000Pci(request: BuildRequest): BuiltDevice {
  const { netdev, ...parts } = nicParts(request);
  const device = new Ne2000Pci(parts, (set) => new IrqLine((_, level) => set(level)));
  return { device, pci: device.pci, nic: { netdev, mac: () => device.card.mac } };
}

export function buildNe2000Isa(request: BuildRequest): BuiltDevice {
  const { context } = request;
  const [port, irq] = [request.number('iobase'), request.number('irq')];
  if (port + NE2000_PORTS > 0x10000 || irq > 15)
    throw request.error('the ports or the interrupt do not exist');
  const { netdev, ...parts } = nicParts(request);
  const device = new Ne2000({ ...parts, irq: context.isaIrq(irq) });
  const region = MemoryRegion.mmio('ne2000', NE2000_PORTS, device.ports, NE2000_MMIO);
  context.io.root.add(port, region, 1);
  const dispose = (): void => context.io.root.remove(region);
  return { device, dispose, nic: { netdev, mac: () => device.mac } };
}

/** Pairs of queues unless the user says how many. */
const MAX_PAIRS = 16;

export function buildVirtioNet(request: BuildRequest): VirtioParts {
  const size = (name: string): number => {
    const value = request.number(name);
    if (value < 64 || value > MAX_QUEUE_SIZE || (value & (value - 1)) !== 0)
      throw request.error(
        `Invalid ${name} (= ${value}), must be a power of 2 between 64 and ${MAX_QUEUE_SIZE}.`,
      );
    return value;
  };
  const queuePairs = virtioNetPairs(request);
  const [rxQueueSize, txQueueSize] = [size('rx_queue_size'), size('tx_queue_size')];
  let features = 0n;
  for (const [name, bit] of Object.entries(VIRTIO_NET_FEATURES))
    if (name === 'mq' ? queuePairs > 1 : request.flag(name)) features |= bit;
  const { mac, backend, netdev } = nicParts(request);
  const device = new VirtioNet({
    backend,
    mac,
    features,
    queuePairs,
    rxQueueSize,
    txQueueSize,
    mtu: request.number('host_mtu'),
  });
  return { backend: device, nic: { netdev, mac: () => device.mac } };
}

export function virtioNetPairs(request: BuildRequest): number {
  const pairs = request.number('x-queue-pairs');
  if (pairs < 1 || pairs > MAX_PAIRS) throw request.error(`x-queue-pairs must be from 1 to ${MAX_PAIRS}`);
  return pairs;
}
