/** The steps of a driver that finds a virtio device on PCI and brings it up through its modern registers (virtio 1.2, 3.1). */
import assert from 'node:assert/strict';
import type { AddressSpace } from '../../core/address-space.ts';
import type { GuestRam } from '../../core/guest-ram.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { createGuest, packedRing, splitRing, type TestRing } from './driver.cases.ts';
import { DEFAULT_VIRTIO_OPTIONS } from './virtio-core.ts';
import type { VirtioBackend } from './virtio-device.ts';
import { VirtioPci, type VirtioPciOptions } from './virtio-pci.ts';

export const COMMON = 0x8000_0000;
export const ISR = COMMON + 0x1000;
export const CONFIG = COMMON + 0x2000;
export const NOTIFY = COMMON + 0x3000;
export const MSIX_TABLE = 0x9000_0000;

export interface PciRig {
  readonly device: VirtioPci;
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly ram: GuestRam;
  readonly messages: Array<[number, number]>;
  readonly errors: string[];
  /** Level of the interrupt pin. */
  readonly pin: { level: boolean };
}

export function createRig(backend: VirtioBackend, options: Partial<VirtioPciOptions> = {}): PciRig {
  const { memory, io, ram } = createGuest();
  const messages: Array<[number, number]> = [];
  const errors: string[] = [];
  const pin = { level: false };
  const bus = new PciBus(memory.root, io.root, (_slot, _pin, level) => (pin.level = level));
  const device = new VirtioPci(
    backend,
    memory,
    { sendMsi: (addr, data) => void messages.push([addr, data]) },
    { ...DEFAULT_VIRTIO_OPTIONS, legacy: true, vectors: 4, classCode: 0x010000, ...options },
    (text) => errors.push(text),
  );
  bus.add(3, 0, device.pci);
  device.pci.writeConfig(0x10, 4, 0xc001);
  device.pci.writeConfig(0x14, 4, MSIX_TABLE);
  device.pci.writeConfig(0x20, 4, COMMON);
  device.pci.writeConfig(0x24, 4, 0);
  device.pci.writeConfig(4, 2, 7);
  return { device, memory, io, ram, messages, errors, pin };
}

export interface BringUp {
  readonly rings: readonly TestRing[];
  readonly features: bigint;
}

/** Negotiates everything offered but `without`, makes rings of `size` at 64 KiB steps from 0x10000, sets DRIVER_OK. */
export function bringUp(rig: PciRig, queues: number, without = 0n, size = 16): BringUp {
  const { memory, ram } = rig;
  memory.write(COMMON + 0x14, 1, 0);
  memory.write(COMMON + 0x14, 1, 3);
  let features = 0n;
  for (const half of [0, 1]) {
    memory.write(COMMON, 4, half);
    const offered = BigInt(memory.read(COMMON + 4, 4)) << BigInt(32 * half);
    const accepted = offered & ~without;
    features |= accepted;
    memory.write(COMMON + 8, 4, half);
    memory.write(COMMON + 12, 4, Number((accepted >> BigInt(32 * half)) & 0xffffffffn));
  }
  memory.write(COMMON + 0x14, 1, 11);
  assert.equal(memory.read(COMMON + 0x14, 1), 11, 'FEATURES_OK');
  const rings: TestRing[] = [];
  for (let n = 0; n < queues; n++) {
    memory.write(COMMON + 0x16, 2, n);
    assert.ok(memory.read(COMMON + 0x18, 2) >= size);
    memory.write(COMMON + 0x18, 2, size);
    const base = 0x10000 * (n + 1);
    const ring = (features & (1n << 34n)) !== 0n ? packedRing(ram, base, size) : splitRing(ram, base, size);
    ram.bytes.fill(0, base, base + 0x10000);
    memory.write(COMMON + 0x20, 4, ring.descriptors);
    memory.write(COMMON + 0x28, 4, ring.driverArea);
    memory.write(COMMON + 0x30, 4, ring.deviceArea);
    memory.write(COMMON + 0x1c, 2, 1);
    rings.push(ring);
  }
  memory.write(COMMON + 0x14, 1, 15);
  return { rings, features };
}

/** Rings queue `n`. */
export function kick(rig: PciRig, n: number): void {
  rig.memory.write(NOTIFY + 4 * n, 2, n);
}
