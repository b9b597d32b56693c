/**
 * virtio over MMIO (virtio 1.2, 4.2): registers of 32 bits and the device configuration behind them, one interrupt. Version 2, or the
 * legacy version 1 (4.2.4).
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { allOnes } from '../../util/bits.ts';
import { VirtioCore, type VirtioOptions } from './virtio-core.ts';
import type { VirtioBackend } from './virtio-device.ts';

/** Bytes of a transport's window. */
export const VIRTIO_MMIO_BYTES = 0x200;
const CONFIG_AT = 0x100;

const MAGIC = 0x74726976; // "virt"
const VENDOR = 0x1af4;
const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

// Registers, 4.2.2; those of version 1 only, 4.2.4
const REG_MAGIC = 0x000;
const REG_VERSION = 0x004;
const REG_DEVICE = 0x008;
const REG_VENDOR = 0x00c;
const REG_DEVICE_FEATURES = 0x010;
const REG_DEVICE_FEATURES_SELECT = 0x014;
const REG_DRIVER_FEATURES = 0x020;
const REG_DRIVER_FEATURES_SELECT = 0x024;
const LEGACY_PAGE_SIZE = 0x028;
const REG_QUEUE_SELECT = 0x030;
const REG_QUEUE_MAX = 0x034;
const REG_QUEUE_SIZE = 0x038;
const LEGACY_QUEUE_ALIGN = 0x03c;
const LEGACY_QUEUE_PAGE = 0x040;
const REG_QUEUE_READY = 0x044;
const REG_QUEUE_NOTIFY = 0x050;
const REG_INTERRUPT_STATUS = 0x060;
const REG_INTERRUPT_ACK = 0x064;
const REG_STATUS = 0x070;
const REG_QUEUE_DESCRIPTORS = 0x080;
const REG_QUEUE_DRIVER = 0x090;
const REG_QUEUE_DEVICE = 0x0a0;
const REG_CONFIG_GENERATION = 0x0fc;

const schema = defineState('virtio-mmio', 1, {
  isr: u8(),
  queueSelect: u16(),
  deviceFeatureSelect: u32(),
  driverFeatureSelect: u32(),
  /** Version 1: unit of queue addresses, alignment of the used ring. */
  pageBytes: u32(),
  align: u32(4096),
});

export interface VirtioMmioOptions extends VirtioOptions {
  /** Version 1. */
  readonly legacy: boolean;
}

/** A window that may be empty: then it says that there is no device (id 0). */
export class VirtioMmio implements Device, MmioDevice {
  readonly vmstate: Stateful;
  readonly core: VirtioCore | undefined;
  readonly #s = schema.create();
  readonly #irq: IrqLine;
  readonly #legacy: boolean;

  constructor(
    backend: VirtioBackend | undefined,
    memory: AddressSpace,
    irq: IrqLine,
    options: VirtioMmioOptions,
    onError: (text: string) => void,
  ) {
    this.#irq = irq;
    this.#legacy = options.legacy;
    const own = stateful(schema, this.#s, { postLoad: () => this.#update() });
    if (backend === undefined) {
      this.vmstate = own;
      return;
    }
    const core = new VirtioCore(
      backend,
      memory,
      { ...options, modern: !options.legacy },
      { queue: () => this.#interrupt(ISR_QUEUE), config: () => this.#interrupt(ISR_CONFIG) },
      onError,
    );
    this.core = core;
    core.onReset = () => {
      schema.reset(this.#s);
      this.#update();
    };
    this.vmstate = combineStates(`virtio-mmio-${backend.id}`, [
      ['transport', own],
      ['core', core.vmstate],
      ['backend', backend.vmstate],
    ]);
  }

  reset(): void {
    schema.reset(this.#s);
    this.core?.reset();
    this.#update();
  }

  #interrupt(bits: number): void {
    this.#s.isr |= bits;
    this.#update();
  }

  #update(): void {
    this.#irq.set(this.#s.isr !== 0);
  }

  read(offset: number, size: AccessSize): number {
    const { core } = this;
    if (offset >= CONFIG_AT) {
      const at = offset - CONFIG_AT;
      return core !== undefined && at + size <= core.backend.configSize
        ? core.backend.readConfig(at, size)
        : 0;
    }
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return this.#register(offset) >>> 0;
  }

  #register(offset: number): number {
    const { core } = this;
    switch (offset) {
      case REG_MAGIC:
        return MAGIC;
      case REG_VERSION:
        return this.#legacy ? 1 : 2;
      case REG_DEVICE:
        return core?.backend.id ?? 0;
      case REG_VENDOR:
        return VENDOR;
      default:
        return core === undefined ? 0 : this.#deviceRegister(core, offset);
    }
  }

  #deviceRegister(core: VirtioCore, offset: number): number {
    const s = this.#s;
    const queue = core.queues[s.queueSelect];
    switch (offset) {
      case REG_DEVICE_FEATURES:
        return half(this.#offered(core), s.deviceFeatureSelect);
      case REG_QUEUE_MAX:
        return core.maximumSize(s.queueSelect);
      case LEGACY_QUEUE_PAGE:
        return this.#legacy && queue?.s.ready === true
          ? Number(queue.s.descriptors / BigInt(this.#pageBytes))
          : 0;
      case REG_QUEUE_READY:
        return !this.#legacy && queue?.s.ready === true ? 1 : 0;
      case REG_INTERRUPT_STATUS:
        return s.isr;
      case REG_STATUS:
        return core.visibleStatus;
      case REG_CONFIG_GENERATION:
        return this.#legacy ? 0 : core.configGeneration;
      default:
        return 0;
    }
  }

  /** The legacy features of rings mean nothing to a driver of version 2. */
  #offered(core: VirtioCore): bigint {
    return this.#legacy ? core.offered & 0xffff_ffffn : core.offered & ~((1n << 24n) | (1n << 27n));
  }

  get #pageBytes(): number {
    return this.#s.pageBytes === 0 ? 4096 : this.#s.pageBytes;
  }

  write(offset: number, size: AccessSize, value: number): void {
    const { core } = this;
    if (core === undefined) return;
    if (offset >= CONFIG_AT) {
      const at = offset - CONFIG_AT;
      if (at + size <= core.backend.configSize) core.backend.writeConfig(at, size, value & allOnes(size));
      return;
    }
    if (size !== 4 || (offset & 3) !== 0) return;
    if (this.#legacy) this.#writeLegacy(core, offset, value);
    else this.#writeModern(core, offset, value);
  }

  #writeCommon(core: VirtioCore, offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case REG_DEVICE_FEATURES_SELECT:
        s.deviceFeatureSelect = value;
        break;
      case REG_DRIVER_FEATURES_SELECT:
        s.driverFeatureSelect = value;
        break;
      case REG_QUEUE_SELECT:
        s.queueSelect = value & 0xffff;
        break;
      case REG_QUEUE_NOTIFY:
        core.notified(value & 0xffff);
        break;
      case REG_INTERRUPT_ACK:
        s.isr &= ~value;
        this.#update();
        break;
      case REG_STATUS:
        core.writeStatus(value & 0xff);
        break;
      default:
    }
  }

  #writeModern(core: VirtioCore, offset: number, value: number): void {
    const s = this.#s;
    const queue = core.queues[s.queueSelect];
    const isFree = queue !== undefined && !queue.s.ready;
    switch (offset) {
      case REG_DRIVER_FEATURES:
        if (s.driverFeatureSelect < 2)
          core.writeDriverFeatures(withHalf(core.driverFeatures, s.driverFeatureSelect === 1, value));
        break;
      case REG_QUEUE_SIZE:
        if (isFree && value <= core.maximumSize(queue.index)) queue.s.size = value;
        break;
      case REG_QUEUE_READY:
        if (queue !== undefined && (value & 1) !== 0) core.enableQueue(queue.index);
        else if (queue !== undefined) core.disableQueue(queue.index);
        break;
      case REG_QUEUE_DESCRIPTORS:
      case REG_QUEUE_DESCRIPTORS + 4:
        if (isFree) queue.s.descriptors = withHalf(queue.s.descriptors, (offset & 4) !== 0, value);
        break;
      case REG_QUEUE_DRIVER:
      case REG_QUEUE_DRIVER + 4:
        if (isFree) queue.s.driverArea = withHalf(queue.s.driverArea, (offset & 4) !== 0, value);
        break;
      case REG_QUEUE_DEVICE:
      case REG_QUEUE_DEVICE + 4:
        if (isFree) queue.s.deviceArea = withHalf(queue.s.deviceArea, (offset & 4) !== 0, value);
        break;
      default:
        this.#writeCommon(core, offset, value);
    }
  }

  #writeLegacy(core: VirtioCore, offset: number, value: number): void {
    const s = this.#s;
    const queue = core.queues[s.queueSelect];
    switch (offset) {
      case REG_DRIVER_FEATURES:
        if (s.driverFeatureSelect === 0) core.writeLegacyFeatures(value);
        break;
      case LEGACY_PAGE_SIZE:
        s.pageBytes = isPowerOfTwo(value) ? value : 0;
        break;
      case REG_QUEUE_SIZE:
        if (queue !== undefined && !queue.s.ready && value <= core.maximumSize(queue.index))
          queue.s.size = value;
        break;
      case LEGACY_QUEUE_ALIGN:
        if (isPowerOfTwo(value)) s.align = value;
        break;
      case LEGACY_QUEUE_PAGE:
        this.#placeQueue(core, value);
        break;
      default:
        this.#writeCommon(core, offset, value);
    }
  }

  /** Version 1 rings are in one piece (2.7.2); page 0 takes the queue back. */
  #placeQueue(core: VirtioCore, page: number): void {
    const queue = core.queues[this.#s.queueSelect];
    if (queue === undefined) return;
    core.disableQueue(queue.index);
    if (page === 0) return;
    const { align } = this.#s;
    const base = page * this.#pageBytes;
    const available = base + 16 * queue.s.size;
    queue.s.descriptors = BigInt(base);
    queue.s.driverArea = BigInt(available);
    queue.s.deviceArea = BigInt(Math.ceil((available + 6 + 2 * queue.s.size) / align) * align);
    core.enableQueue(queue.index);
  }
}

const isPowerOfTwo = (value: number): boolean => value > 0 && value <= 2 ** 20 && (value & (value - 1)) === 0;

function half(value: bigint, select: number): number {
  return select > 1 ? 0 : Number((value >> (select === 1 ? 32n : 0n)) & 0xffff_ffffn);
}

function withHalf(value: bigint, high: boolean, part: number): bigint {
  const mask = 0xffff_ffffn;
  return high ? (value & mask) | (BigInt(part) << 32n) : (value & (mask << 32n)) | BigInt(part);
}
