/** Builds PCI bridges and PCI Express root ports. */

import { PciBridge } from '../hw/pci/pci-bridge.ts';
import { createRootPort } from '../hw/pci/pcie-port.ts';
import type { BuildRequest } from './device-factories.ts';
import type { BuiltDevice } from './device-registry.ts';

interface RootPortKind {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
  readonly at: number;
  /** Generation and width of the link. */
  readonly speed: number;
  readonly width: number;
}

/** Numbers of QEMU's `pcie-root-port` and of the Intel 5520's ports. */
export const GENERIC_ROOT_PORT: RootPortKind = {
  vendorId: 0x1b36,
  deviceId: 0x000c,
  revision: 0,
  at: 0x54,
  speed: 4,
  width: 32,
};
export const IOH_ROOT_PORT: RootPortKind = {
  vendorId: 0x8086,
  deviceId: 0x3420,
  revision: 2,
  at: 0x90,
  speed: 1,
  width: 1,
};

export function buildRootPort({ name, number }: BuildRequest, kind: RootPortKind): BuiltDevice {
  const bridge = createRootPort({ ...kind, name, port: number('port'), slot: number('slot') });
  return { device: bridge.pci, pci: bridge.pci, pciBus: bridge.bus };
}

export function buildPciBridge({ name }: BuildRequest): BuiltDevice {
  const bridge = new PciBridge(
    { vendorId: 0x1b36, deviceId: 0x0001, classCode: 0x060400, interruptPin: 1 },
    name,
  );
  return { device: bridge.pci, pci: bridge.pci, pciBus: bridge.bus };
}
