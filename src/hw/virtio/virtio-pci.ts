/**
 * virtio over PCI (virtio 1.2, 4.1): the modern registers in a memory BAR found through vendor capabilities, and the legacy ones
 * (4.1.4.10) in an I/O BAR. A transitional device has both.
 *
 *   BAR 0  legacy registers (I/O)     BAR 1  MSI-X     BAR 4  common 0x0, ISR 0x1000, device 0x2000, notify 0x3000 (64-bit)
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { array, defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { allOnes } from '../../util/bits.ts';
import { MsiX } from '../pci/msix.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { VirtioCore, type VirtioOptions } from './virtio-core.ts';
import type { VirtioBackend } from './virtio-device.ts';

const VENDOR = 0x1af4;
/** Transitional device ids by virtio id (4.1.2.1). */
const TRANSITIONAL_IDS: Readonly<Record<number, number>> = {
  1: 0x1000,
  2: 0x1001,
  5: 0x1002,
  3: 0x1003,
  8: 0x1004,
  4: 0x1005,
  9: 0x1009,
};
const MODERN_ID_BASE = 0x1040;

const CAP_VENDOR = 0x09;
const CFG_COMMON = 1;
const CFG_NOTIFY = 2;
const CFG_ISR = 3;
const CFG_DEVICE = 4;
const CFG_PCI = 5;
const BAR_LEGACY = 0;
const BAR_MSIX = 1;
const BAR_MODERN = 4;

const MODERN_BYTES = 0x4000;
const ISR_AT = 0x1000;
const DEVICE_AT = 0x2000;
const NOTIFY_AT = 0x3000;
const REGION_BYTES = 0x1000;
const NOTIFY_MULTIPLIER = 4;
const NO_VECTOR = 0xffff;
const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

/** Legacy rings are in one piece, aligned to pages (2.7.2). */
const LEGACY_PAGE = 4096;
const LEGACY_CONFIG = 20;
const LEGACY_CONFIG_MSIX = 24;

export interface VirtioPciOptions extends VirtioOptions {
  readonly legacy: boolean;
  /** MSI-X vectors; 0: none. */
  readonly vectors: number;
  readonly classCode: number;
}

const MAX_QUEUES = 128;
const schema = defineState('virtio-pci', 1, {
  isr: u8(),
  configVector: u16(NO_VECTOR),
  queueVectors: array(MAX_QUEUES, u16(NO_VECTOR)),
  queueSelect: u16(),
  deviceFeatureSelect: u32(),
  driverFeatureSelect: u32(),
});

export class VirtioPci implements Device {
  readonly pci: PciFunction;
  readonly core: VirtioCore;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #state: Stateful;
  readonly #msix: MsiX | undefined;
  readonly #memory: AddressSpace;
  readonly #modern: MmioDevice | undefined;
  readonly #configCapability: number = 0;

  constructor(
    backend: VirtioBackend,
    memory: AddressSpace,
    msi: MsiSink,
    options: VirtioPciOptions,
    onError: (text: string) => void,
  ) {
    this.#memory = memory;
    const { legacy, modern } = options;
    this.pci = new PciFunction({
      vendorId: VENDOR,
      deviceId: legacy ? (TRANSITIONAL_IDS[backend.id] ?? 0x1000) : MODERN_ID_BASE + backend.id,
      classCode: options.classCode,
      revision: legacy ? 0 : 1,
      subsystemVendorId: VENDOR,
      subsystemId: legacy ? backend.id : 0x1100,
      interruptPin: 1,
    });
    this.core = new VirtioCore(
      backend,
      memory,
      options,
      {
        queue: (index) => this.#interrupt(ISR_QUEUE, this.#s.queueVectors[index] ?? NO_VECTOR),
        config: () => this.#interrupt(ISR_QUEUE | ISR_CONFIG, this.#s.configVector),
      },
      onError,
    );
    this.core.onReset = () => this.#resetRegisters();
    if (legacy) this.#addLegacyBar(backend.configSize);
    if (modern) {
      this.#modern = this.#addModernBar();
      this.#configCapability = this.#addCapabilities(backend.configSize);
    }
    if (options.vectors > 0) this.#msix = new MsiX(this.pci, BAR_MSIX, options.vectors, msi, 'virtio-msix');
    this.pci.onConfigWritten = (offset, size) => this.#configWritten(offset, size);
    this.#state = stateful(schema, this.#s);
    this.vmstate = this.#combinedState();
  }

  reset(): void {
    this.pci.reset();
    this.#msix?.reset();
    this.core.reset();
  }

  #resetRegisters(): void {
    schema.reset(this.#s);
    this.pci.setIntx(false);
  }

  // --- interrupts (4.1.5)

  #interrupt(bits: number, vector: number): void {
    if (this.#msix?.enabled === true) {
      if (vector !== NO_VECTOR) this.#msix.notify(vector);
      return;
    }
    this.#s.isr |= bits;
    this.pci.setIntx(true);
  }

  #readIsr(): number {
    const { isr } = this.#s;
    this.#s.isr = 0;
    this.pci.setIntx(false);
    return isr;
  }

  /** A vector that does not exist is answered with NO_VECTOR (4.1.5.1.2). */
  #checkedVector(value: number): number {
    return value < (this.#msix?.vectors ?? 0) ? value : NO_VECTOR;
  }

  get #isMaster(): boolean {
    return (this.pci.command & PCI_COMMAND_MASTER) !== 0;
  }

  /** Without bus mastering the device cannot reach its rings; a reset and legacy drivers may come before it is set. */
  #notified(index: number): void {
    if (this.#isMaster || !this.core.isModernDriver) this.core.notified(index);
  }

  // --- modern registers (4.1.4.3)

  #addModernBar(): MmioDevice {
    const device: MmioDevice = {
      read: (offset, size) => this.#readModern(offset, size),
      write: (offset, size, value) => this.#writeModern(offset, size, value),
    };
    this.pci.addBar(BAR_MODERN, 'memory64', MemoryRegion.mmio('virtio-pci', MODERN_BYTES, device), true);
    return device;
  }

  #addCapabilities(configSize: number): number {
    const add = (type: number, offset: number, length: number, extra = 0): number => {
      const at = this.pci.addCapability(CAP_VENDOR, 16 + extra);
      this.pci.set(at + 2, 1, 16 + extra);
      this.pci.set(at + 3, 1, type);
      this.pci.set(at + 4, 1, BAR_MODERN);
      this.pci.set(at + 8, 4, offset);
      this.pci.set(at + 12, 4, length);
      return at;
    };
    add(CFG_COMMON, 0, REGION_BYTES);
    add(CFG_ISR, ISR_AT, REGION_BYTES);
    add(CFG_DEVICE, DEVICE_AT, Math.max(configSize, REGION_BYTES));
    const notify = add(CFG_NOTIFY, NOTIFY_AT, REGION_BYTES, 4);
    this.pci.set(notify + 16, 4, NOTIFY_MULTIPLIER);
    const access = add(CFG_PCI, 0, 0, 4);
    this.pci.set(access + 4, 1, 0);
    this.pci.allow(access + 4, 1, 0xff);
    this.pci.allow(access + 8, 4, 0xffffffff);
    this.pci.allow(access + 12, 4, 0xffffffff);
    this.pci.allow(access + 16, 4, 0xffffffff);
    this.pci.onConfigRead = (offset, size) => this.#configRead(offset, size);
    return access;
  }

  #readModern(offset: number, size: AccessSize): number {
    if (offset < ISR_AT) return this.#readCommon(offset, size);
    if (offset < DEVICE_AT) return offset === ISR_AT ? this.#readIsr() : 0;
    return offset < NOTIFY_AT ? this.#readConfig(offset - DEVICE_AT, size) : 0;
  }

  #writeModern(offset: number, size: AccessSize, value: number): void {
    if (offset < ISR_AT) this.#writeCommon(offset, size, value);
    else if (offset >= NOTIFY_AT) this.#notified((offset - NOTIFY_AT) / NOTIFY_MULTIPLIER);
    else if (offset >= DEVICE_AT) this.#writeConfig(offset - DEVICE_AT, size, value);
  }

  #readConfig(offset: number, size: AccessSize): number {
    const { backend } = this.core;
    return offset + size <= backend.configSize ? backend.readConfig(offset, size) : allOnes(size);
  }

  #writeConfig(offset: number, size: AccessSize, value: number): void {
    const { backend } = this.core;
    if (offset + size <= backend.configSize) backend.writeConfig(offset, size, value);
  }

  #readCommon(offset: number, size: AccessSize): number {
    return ((this.#commonField(offset & ~3) >>> (8 * (offset & 3))) & allOnes(size)) >>> 0;
  }

  /** The doubleword at `offset`. */
  #commonField(offset: number): number {
    const s = this.#s;
    const { core } = this;
    const queue = core.queues[s.queueSelect];
    const vector = s.queueVectors[s.queueSelect] ?? NO_VECTOR;
    const half = (value: bigint | undefined, high: boolean): number =>
      Number(((value ?? 0n) >> (high ? 32n : 0n)) & 0xffffffffn);
    const features = (value: bigint, select: number): number => (select < 2 ? half(value, select === 1) : 0);
    switch (offset) {
      case 0x00:
        return s.deviceFeatureSelect;
      case 0x04:
        return features(core.offered & ~((1n << 24n) | (1n << 27n)), s.deviceFeatureSelect);
      case 0x08:
        return s.driverFeatureSelect;
      case 0x0c:
        return features(core.driverFeatures, s.driverFeatureSelect);
      case 0x10:
        return (s.configVector | (core.queues.length << 16)) >>> 0;
      case 0x14:
        return (core.visibleStatus | (core.configGeneration << 8) | (s.queueSelect << 16)) >>> 0;
      case 0x18:
        return queue === undefined ? 0 : (queue.s.size | (vector << 16)) >>> 0;
      case 0x1c:
        return (queue?.s.ready === true ? 1 : 0) | (queue === undefined ? 0 : s.queueSelect << 16);
      case 0x20:
      case 0x24:
        return half(queue?.s.descriptors, offset === 0x24);
      case 0x28:
      case 0x2c:
        return half(queue?.s.driverArea, offset === 0x2c);
      case 0x30:
      case 0x34:
        return half(queue?.s.deviceArea, offset === 0x34);
      default:
        return 0;
    }
  }

  #writeCommon(offset: number, size: AccessSize, value: number): void {
    const s = this.#s;
    const { core } = this;
    const queue = core.queues[s.queueSelect];
    switch (offset) {
      case 0x00:
        s.deviceFeatureSelect = value;
        break;
      case 0x08:
        s.driverFeatureSelect = value;
        break;
      case 0x0c:
        if (s.driverFeatureSelect < 2)
          core.writeDriverFeatures(withHalf(core.driverFeatures, s.driverFeatureSelect === 1, value));
        break;
      case 0x10:
        s.configVector = this.#checkedVector(value & 0xffff);
        break;
      case 0x14:
        core.writeStatus(value & 0xff);
        break;
      case 0x16:
        s.queueSelect = value & 0xffff;
        break;
      case 0x18:
        if (queue !== undefined && !queue.s.ready && value <= core.maximumSize(queue.index))
          queue.s.size = value;
        break;
      case 0x1a:
        if (queue !== undefined) s.queueVectors[queue.index] = this.#checkedVector(value & 0xffff);
        break;
      case 0x1c:
        if (queue !== undefined && (value & 1) !== 0) core.enableQueue(queue.index);
        break;
      default:
        if (queue !== undefined && !queue.s.ready && size === 4) writeAddress(queue.s, offset, value);
    }
  }

  // --- access through configuration space (4.1.4.9)

  #configRead(offset: number, _size: number): void {
    const at = this.#configCapability;
    if (at === 0 || offset < at + 16 || offset >= at + 20) return;
    const { bar, address, length } = this.#window();
    if (bar !== BAR_MODERN || address + length > MODERN_BYTES) return;
    this.#putWindow(this.#modern!.read(address, length));
  }

  #configWritten(offset: number, size: number): void {
    this.#msix?.configWritten(offset, size);
    const at = this.#configCapability;
    if (at === 0 || offset < at + 16 || offset >= at + 20) return;
    const { bar, address, length } = this.#window();
    if (bar !== BAR_MODERN || address + length > MODERN_BYTES) return;
    const value = new DataView(this.pci.config.buffer).getUint32(at + 16, true);
    this.#modern!.write(address, length, (value & allOnes(length)) >>> 0);
  }

  #window(): { bar: number; address: number; length: AccessSize } {
    const view = new DataView(this.pci.config.buffer);
    const at = this.#configCapability;
    const length = view.getUint32(at + 12, true);
    const address = view.getUint32(at + 8, true);
    const isAccess = (length === 1 || length === 2 || length === 4) && address % length === 0;
    return { bar: isAccess ? this.pci.config[at + 4]! : -1, address, length: isAccess ? length : 1 };
  }

  #putWindow(value: number): void {
    new DataView(this.pci.config.buffer).setUint32(this.#configCapability + 16, value, true);
  }

  // --- legacy registers (4.1.4.10)

  #addLegacyBar(configSize: number): void {
    const device: MmioDevice = {
      read: (offset, size) => this.#readLegacy(offset, size),
      write: (offset, size, value) => this.#writeLegacy(offset, size, value),
    };
    const bytes = Math.max(32, 2 ** Math.ceil(Math.log2(LEGACY_CONFIG_MSIX + configSize)));
    this.pci.addBar(BAR_LEGACY, 'io', MemoryRegion.mmio('virtio-legacy', bytes, device));
  }

  get #legacyConfig(): number {
    return this.#msix?.enabled === true ? LEGACY_CONFIG_MSIX : LEGACY_CONFIG;
  }

  #readLegacy(offset: number, size: AccessSize): number {
    const config = this.#legacyConfig;
    if (offset >= config) return this.#readConfig(offset - config, size);
    const s = this.#s;
    const { core } = this;
    const queue = core.queues[s.queueSelect];
    switch (offset) {
      case 0:
        return Number(core.offered & 0xffffffffn);
      case 4:
        return Number(core.driverFeatures & 0xffffffffn);
      case 8:
        return queue?.s.ready === true ? Number(queue.s.descriptors / BigInt(LEGACY_PAGE)) >>> 0 : 0;
      case 12:
        return core.maximumSize(s.queueSelect);
      case 14:
        return s.queueSelect;
      case 18:
        return core.status;
      case 19:
        return this.#readIsr();
      case 20:
        return s.configVector;
      case 22:
        return s.queueVectors[s.queueSelect] ?? NO_VECTOR;
      default:
        return 0;
    }
  }

  #writeLegacy(offset: number, size: AccessSize, value: number): void {
    const config = this.#legacyConfig;
    if (offset >= config) {
      this.#writeConfig(offset - config, size, value);
      return;
    }
    const s = this.#s;
    const { core } = this;
    switch (offset) {
      case 4:
        core.writeLegacyFeatures(value);
        break;
      case 8:
        this.#placeLegacyQueue(value);
        break;
      case 14:
        s.queueSelect = value & 0xffff;
        break;
      case 16:
        core.notified(value & 0xffff);
        break;
      case 18:
        core.writeStatus(value & 0xff);
        break;
      case 20:
        s.configVector = this.#checkedVector(value & 0xffff);
        break;
      case 22:
        if (s.queueSelect < core.queues.length)
          s.queueVectors[s.queueSelect] = this.#checkedVector(value & 0xffff);
        break;
      default:
    }
  }

  /** Page 0 takes the queue back; a legacy driver resets the device that way, too. */
  #placeLegacyQueue(page: number): void {
    const { core } = this;
    const queue = core.queues[this.#s.queueSelect];
    if (queue === undefined) return;
    if (page === 0) {
      core.disableQueue(queue.index);
      return;
    }
    const size = core.maximumSize(queue.index);
    const base = BigInt(page) * BigInt(LEGACY_PAGE);
    const available = base + BigInt(16 * size);
    const end = Number(available) + 6 + 2 * size;
    core.disableQueue(queue.index);
    queue.s.size = size;
    queue.s.descriptors = base;
    queue.s.driverArea = available;
    queue.s.deviceArea = BigInt(Math.ceil(end / LEGACY_PAGE) * LEGACY_PAGE);
    core.enableQueue(queue.index);
  }

  // --- snapshots: the parts under one name

  #combinedState(): Stateful {
    const parts: ReadonlyArray<readonly [string, Stateful]> = [
      ['pci', this.pci.vmstate],
      ['transport', this.#state],
      ['core', this.core.vmstate],
      ['backend', this.core.backend.vmstate],
      ...(this.#msix === undefined ? [] : [['msix', this.#msix.vmstate] as const]),
    ];
    return combineStates(`virtio-pci-${this.core.backend.id}`, parts);
  }

  /** The guest's memory, for tests. */
  get memory(): AddressSpace {
    return this.#memory;
  }
}

function withHalf(value: bigint, high: boolean, half: number): bigint {
  const mask = 0xffffffffn;
  return high ? (value & mask) | (BigInt(half) << 32n) : (value & (mask << 32n)) | BigInt(half);
}

function writeAddress(
  queue: { descriptors: bigint; driverArea: bigint; deviceArea: bigint },
  offset: number,
  value: number,
): void {
  const high = (offset & 4) !== 0;
  if ((offset & ~4) === 0x20) queue.descriptors = withHalf(queue.descriptors, high, value);
  else if ((offset & ~4) === 0x28) queue.driverArea = withHalf(queue.driverArea, high, value);
  else if ((offset & ~4) === 0x30) queue.deviceArea = withHalf(queue.deviceArea, high, value);
}
