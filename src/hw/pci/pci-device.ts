/**
 * One PCI function: 256 bytes of configuration space with a type-0 header, base address registers, interrupt pin.
 * PCI Local Bus Specification 3.0, chapter 6.
 */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import { bool, bytes, defineState, type Stateful, stateful } from '../../core/vmstate.ts';
import { isPowerOfTwo } from '../../util/bits.ts';
import { assert } from '../../util/errors.ts';

export const PCI_CONFIG_SIZE = 256;

// Header fields, figure 6-1
export const PCI_VENDOR_ID = 0x00;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_REVISION = 0x08;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BAR0 = 0x10;
export const PCI_SUBSYSTEM = 0x2c;
export const PCI_CAPABILITIES = 0x34;
export const PCI_EXPANSION_ROM = 0x30;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

export const PCI_COMMAND_IO = 1;
export const PCI_COMMAND_MEMORY = 2;
export const PCI_COMMAND_MASTER = 4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
/** I/O, memory, master, parity, SERR, INTx disable. */
const COMMAND_WRITABLE = 0x547;
const ROM_ENABLE = 1;
const STATUS_CAPABILITIES = 0x10;
const STATUS_INTERRUPT = 0x08;

/** Subsystem of every function that names no other: by it on the host bridge firmware knows the platform (1af4:1100). */
const DEFAULT_SUBSYSTEM_VENDOR = 0x1af4;
const DEFAULT_SUBSYSTEM = 0x1100;

export interface PciIdentity {
  readonly vendorId: number;
  readonly deviceId: number;
  /** Base class, subclass and interface: 0x060000 is a host bridge. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  /** Other functions share the slot. */
  readonly multifunction?: boolean;
  /** INTA# … INTD# as 1…4; 0 for none. */
  readonly interruptPin?: number;
  /** A type-1 header: the function is a bridge. */
  readonly isBridge?: boolean;
}

/** The bus behind a bridge, as configuration accesses reach it. */
export interface SecondaryBus {
  locate(busNumber: number, devfn: number): PciFunction | undefined;
}

export type BarKind = 'io' | 'memory32' | 'memory64';

interface Bar {
  readonly index: number;
  readonly kind: BarKind;
  readonly prefetchable: boolean;
  readonly region: MemoryRegion;
  /** Where it is mapped now, or −1. */
  mappedAt: number;
}

/** What a function needs of the bus it sits on. */
export interface PciParent {
  /** The container that holds memory BARs (or I/O BARs). */
  readonly memory: MemoryRegion;
  readonly io: MemoryRegion;
  setIntx(slot: number, pin: number, level: boolean): void;
}

const schema = defineState('pci-function', 1, { config: bytes(PCI_CONFIG_SIZE), intx: bool() });

export class PciFunction implements Device {
  readonly config: Uint8Array;
  /** Bits the guest may write. */
  readonly writable = new Uint8Array(PCI_CONFIG_SIZE);
  /** Bits that a written one clears. */
  readonly writeOneToClear = new Uint8Array(PCI_CONFIG_SIZE);
  /** Called after the guest wrote configuration space (or a snapshot was loaded: the whole of it). */
  onConfigWritten: ((offset: number, size: number) => void) | undefined;
  /** Called before the guest reads configuration space: fields that are computed are brought up to date. */
  onConfigRead: ((offset: number, size: number) => void) | undefined;
  /** Called when the function has been put into a slot. */
  onAttached: ((parent: PciParent, slot: number) => void) | undefined;
  /** Of a bridge: the bus behind it. */
  secondary: SecondaryBus | undefined;
  /** Called on reset after the header has been reset. */
  onReset: (() => void) | undefined;
  readonly vmstate: Stateful;

  readonly #s = schema.create();
  readonly #view: DataView;
  readonly #initial = new Uint8Array(PCI_CONFIG_SIZE);
  readonly #bars: Bar[] = [];
  #rom: { readonly region: MemoryRegion; mappedAt: number } | undefined;
  #nextCapability = 0x40;
  #parent: PciParent | undefined;
  #slot = 0;

  constructor(identity: PciIdentity) {
    this.config = this.#s.config;
    this.#view = new DataView(this.config.buffer);
    this.set(PCI_VENDOR_ID, 2, identity.vendorId);
    this.set(2, 2, identity.deviceId);
    this.set(PCI_REVISION, 4, ((identity.classCode << 8) | (identity.revision ?? 0)) >>> 0);
    const isBridge = identity.isBridge === true;
    this.set(PCI_HEADER_TYPE, 1, (identity.multifunction === true ? 0x80 : 0) | (isBridge ? 1 : 0));
    if (!isBridge) {
      this.set(PCI_SUBSYSTEM, 2, identity.subsystemVendorId ?? DEFAULT_SUBSYSTEM_VENDOR);
      this.set(PCI_SUBSYSTEM + 2, 2, identity.subsystemId ?? DEFAULT_SUBSYSTEM);
    }
    this.set(PCI_INTERRUPT_PIN, 1, identity.interruptPin ?? 0);
    this.allow(PCI_COMMAND, 2, COMMAND_WRITABLE);
    this.allow(0x0c, 1, 0xff); // cache line size
    this.allow(0x0d, 1, 0xff); // latency timer
    this.allow(PCI_INTERRUPT_LINE, 1, 0xff);
    this.writeOneToClear[PCI_STATUS + 1] = 0xf9;
    this.vmstate = stateful(schema, this.#s, {
      postLoad: () => {
        this.#mapBars();
        this.#driveIntx();
        this.onConfigWritten?.(0, PCI_CONFIG_SIZE);
      },
    });
  }

  get command(): number {
    return this.#view.getUint16(PCI_COMMAND, true);
  }

  /** Sets a field of the configuration space and its reset value. */
  set(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      this.config[offset + i] = value >>> (8 * i);
      this.#initial[offset + i] = value >>> (8 * i);
    }
  }

  /** Declares which bits of a field the guest may write. */
  allow(offset: number, size: AccessSize, mask: number): void {
    for (let i = 0; i < size; i++) this.writable[offset + i] = mask >>> (8 * i);
  }

  /** Adds BAR `index`. `region` has a power-of-two size, and sits in no container. */
  addBar(index: number, kind: BarKind, region: MemoryRegion, prefetchable = false): void {
    const minimum = kind === 'io' ? 4 : 16;
    assert(isPowerOfTwo(region.size) && region.size >= minimum, `BAR of ${region.name}: bad size`);
    assert(index + (kind === 'memory64' ? 1 : 0) < 6, `BAR of ${region.name}: bad index`);
    const offset = PCI_BAR0 + 4 * index;
    const flags = kind === 'io' ? 1 : (kind === 'memory64' ? 4 : 0) | (prefetchable ? 8 : 0);
    this.set(offset, 4, flags);
    this.allow(offset, 4, region.size > 2 ** 32 ? 0 : (-region.size & ~(kind === 'io' ? 3 : 15)) >>> 0);
    if (kind === 'memory64') {
      this.allow(
        offset + 4,
        4,
        region.size <= 2 ** 32 ? 0xffffffff : -Math.floor(region.size / 2 ** 32) >>> 0,
      );
    }
    this.#bars.push({ index, kind, prefetchable, region, mappedAt: -1 });
  }

  /** Adds the expansion ROM (6.2.5.2). `region` has a power-of-two size of 2 KiB or more. */
  addRom(region: MemoryRegion): void {
    assert(isPowerOfTwo(region.size) && region.size >= 2048, `ROM ${region.name}: bad size`);
    this.allow(PCI_EXPANSION_ROM, 4, ((-region.size & ~0x7ff) | ROM_ENABLE) >>> 0);
    this.#rom = { region, mappedAt: -1 };
  }

  /** Reserves `size` bytes for a capability, links it into the list (6.7), and returns its offset: `at`, or the next free one. */
  addCapability(id: number, size: number, at?: number): number {
    const offset = at ?? this.#nextCapability;
    assert(offset + size <= PCI_CONFIG_SIZE, 'no room for a PCI capability');
    if (at === undefined) this.#nextCapability = (offset + size + 3) & ~3;
    this.set(offset, 1, id);
    this.set(offset + 1, 1, this.config[PCI_CAPABILITIES]!);
    this.set(PCI_CAPABILITIES, 1, offset);
    this.set(PCI_STATUS, 1, this.config[PCI_STATUS]! | STATUS_CAPABILITIES);
    return offset;
  }

  /** Called by the bus. */
  attach(parent: PciParent, slot: number): void {
    this.#parent = parent;
    this.#slot = slot;
    this.onAttached?.(parent, slot);
  }

  /** Called by the bus when the function goes. */
  detach(): void {
    this.reset();
    this.#parent = undefined;
  }

  /** What the BARs decode, for the monitor. */
  get regions(): ReadonlyArray<{
    readonly bar: number;
    readonly type: 'io' | 'memory';
    /** −1: not decoded now. */
    readonly address: number;
    readonly size: number;
    readonly prefetch: boolean;
    readonly mem_type_64: boolean;
  }> {
    return this.#bars.map(({ index, kind, region, prefetchable, mappedAt }) => ({
      bar: index,
      type: kind === 'io' ? 'io' : 'memory',
      address: mappedAt,
      size: region.size,
      prefetch: prefetchable,
      mem_type_64: kind === 'memory64',
    }));
  }

  reset(): void {
    this.config.set(this.#initial);
    this.#s.intx = false;
    this.#driveIntx();
    this.#mapBars();
    this.onReset?.();
  }

  /** Drives the interrupt pin. */
  setIntx(level: boolean): void {
    if (this.#s.intx === level) return;
    this.#s.intx = level;
    if (level) this.config[PCI_STATUS]! |= STATUS_INTERRUPT;
    else this.config[PCI_STATUS]! &= ~STATUS_INTERRUPT;
    this.#driveIntx();
  }

  readConfig(offset: number, size: AccessSize): number {
    this.onConfigRead?.(offset, size);
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.config[(offset + i) & 0xff]! << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = (offset + i) & 0xff;
      const byte = (value >>> (8 * i)) & 0xff;
      const mask = this.writable[at]!;
      this.config[at] = ((this.config[at]! & ~mask) | (byte & mask)) & ~(byte & this.writeOneToClear[at]!);
    }
    const touchesBars = offset < PCI_EXPANSION_ROM + 4 && offset + size > PCI_BAR0;
    const touchesCommand = offset < PCI_COMMAND + 2 && offset + size > PCI_COMMAND;
    if (touchesBars || touchesCommand) this.#mapBars();
    if (touchesCommand) this.#driveIntx();
    this.onConfigWritten?.(offset, size);
  }

  #driveIntx(): void {
    const pin = this.config[PCI_INTERRUPT_PIN]!;
    if (pin < 1 || pin > 4) return;
    const enabled = (this.command & PCI_COMMAND_INTX_DISABLE) === 0;
    this.#parent?.setIntx(this.#slot, pin, this.#s.intx && enabled);
  }

  #mapBars(): void {
    const parent = this.#parent;
    if (parent === undefined) return;
    for (const bar of this.#bars) {
      const container = bar.kind === 'io' ? parent.io : parent.memory;
      const addr = this.#barAddress(bar, container.size);
      if (addr === bar.mappedAt) continue;
      if (addr < 0) container.remove(bar.region);
      else if (bar.mappedAt < 0) container.add(addr, bar.region, 1);
      else container.move(bar.region, addr);
      bar.mappedAt = addr;
    }
    this.#mapRom(parent);
  }

  #mapRom(parent: PciParent): void {
    const rom = this.#rom;
    if (rom === undefined) return;
    const value = this.#view.getUint32(PCI_EXPANSION_ROM, true);
    const base = (value & ~0x7ff) >>> 0;
    const decodes = (value & ROM_ENABLE) !== 0 && (this.command & PCI_COMMAND_MEMORY) !== 0;
    const addr = decodes && base !== 0 && base + rom.region.size < 2 ** 32 ? base : -1;
    if (addr === rom.mappedAt) return;
    if (addr < 0) parent.memory.remove(rom.region);
    else if (rom.mappedAt < 0) parent.memory.add(addr, rom.region, 1);
    else parent.memory.move(rom.region, addr);
    rom.mappedAt = addr;
  }

  /** Where a BAR decodes now, or −1: decoding off, not assigned, or being sized. */
  #barAddress(bar: Bar, limit: number): number {
    const decodes = bar.kind === 'io' ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if ((this.command & decodes) === 0) return -1;
    const offset = PCI_BAR0 + 4 * bar.index;
    const low = this.#view.getUint32(offset, true);
    let addr = bar.kind === 'io' ? low & ~3 : low & ~15;
    addr >>>= 0;
    if (bar.kind === 'memory64') addr += this.#view.getUint32(offset + 4, true) * 2 ** 32;
    const end = addr + bar.region.size;
    if (addr === 0 || end > limit) return -1;
    // The last address of the 32-bit space is what a BAR of all ones covers while it is sized.
    return end === 2 ** 32 ? -1 : addr;
  }
}
